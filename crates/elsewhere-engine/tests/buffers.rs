//! Memory that goes beside messages: what two honest ends get of it, and what a dishonest one brings about.
//! Owns: both ends of a link in this process. Must not know: values beyond plain bytes.

mod support;

use std::sync::Arc;

use elsewhere_engine::transport::Transport;
use elsewhere_engine::{
    Borrowed, BufferError, BufferName, Frozen, Inbox, LendError, Link, Loss, Purpose, SharedMemory,
};
use elsewhere_proto::codec::{BufferForm, BufferHead, BufferPlace, Writer};
use elsewhere_proto::{Capabilities, Config, Hello};
use elsewhere_shm::PIECE;
use support::Watchdog;

const BYTES: usize = 100_000;

fn config(capabilities: Capabilities) -> Config {
    let hello = Hello { capabilities: Capabilities::CHUNKS.with(capabilities), ..Hello::default() };
    Config { hello, ..Config::default() }
}

fn links_with(pair: (Transport, Transport), far: Capabilities) -> (Arc<Link>, Arc<Link>) {
    let near = Link::new(pair.0, config(Capabilities::BUFFERS), Inbox::shared()).unwrap();
    let far = Link::new(pair.1, config(far), Inbox::shared()).unwrap();
    while near.peer().is_none() || far.peer().is_none() {
        near.drain();
        far.drain();
    }
    (near, far)
}

fn links() -> (Arc<Link>, Arc<Link>) {
    links_with(Transport::ring_pair().unwrap(), Capabilities::BUFFERS)
}

fn wait_for_loss(link: &Arc<Link>) -> Arc<Loss> {
    loop {
        if let Some(loss) = link.loss() {
            return loss;
        }
        std::thread::yield_now();
    }
}

fn is_violated(link: &Arc<Link>) -> bool {
    matches!(*wait_for_loss(link), Loss::Violated { .. })
}

fn name_of(place: BufferPlace) -> Vec<u8> {
    let mut body = vec![];
    let head = BufferHead { place, len: BYTES as u64, read_only: false, form: BufferForm::Raw };
    Writer::new(&mut body).buffer(&head).unwrap();
    body
}

#[test]
fn content_that_is_lent_is_read_at_the_other_end() {
    let _watchdog = Watchdog::new("content_that_is_lent_is_read_at_the_other_end");
    let (near, far) = links();
    let content: Vec<u8> = (0..BYTES).map(|index| index as u8).collect();

    let lent = near.lend(&content, Purpose::Own, &mut || true).unwrap().unwrap();
    let borrowed = far.borrow_buffer(lent.name(), BYTES as u64).unwrap();

    assert_eq!(borrowed.to_vec(), content);
}

#[test]
fn memory_that_comes_back_is_lent_again() {
    let _watchdog = Watchdog::new("memory_that_comes_back_is_lent_again");
    let (near, far) = links();
    let mut slots = vec![];
    for number in 0..5 {
        let lent = near.lend(&vec![number; BYTES], Purpose::Own, &mut || true).unwrap().unwrap();
        let name = lent.name();
        let mut enclosed = elsewhere_engine::Enclosed::default();
        enclosed.lend(lent);
        enclosed.sent();

        let borrowed = far.borrow_buffer(name, BYTES as u64).unwrap();

        assert_eq!(borrowed.to_vec(), vec![number; BYTES]);
        slots.push(name.slot);
    }

    assert!(slots.iter().all(|slot| *slot == slots[0]), "{slots:?}");
}

#[test]
fn copy_that_is_given_up_is_not_lent_and_its_memory_is_there_for_the_next() {
    let _watchdog = Watchdog::new("copy_that_is_given_up_is_not_lent_and_its_memory_is_there_for_the_next");
    let (near, far) = links();
    let content: Vec<u8> = (0..2 * PIECE + 1).map(|index| (index / PIECE + index % 251) as u8).collect();
    let give_up_before = |piece: usize| {
        let mut copied = 0;
        let given_up = near.lend(&content, Purpose::Own, &mut || {
            copied += 1;
            copied <= piece
        });
        assert_eq!(given_up.unwrap_err(), LendError::GivenUp);
        assert_eq!(copied, piece + 1);
    };
    let lend = || near.lend(&content, Purpose::Own, &mut || true).unwrap().unwrap();

    (0..3).for_each(give_up_before); // in memory that is made for it
    let slot = lend().name().slot;
    (0..3).for_each(give_up_before); // in that which came back
    let lent = lend();

    assert_eq!(lent.name().slot, slot);
    assert_eq!(far.borrow_buffer(lent.name(), content.len() as u64).unwrap().to_vec(), content);
}

#[test]
fn message_that_nobody_reads_gives_back_what_it_names() {
    let _watchdog = Watchdog::new("message_that_nobody_reads_gives_back_what_it_names");
    let (near, far) = links();
    let mut slots = vec![];
    for _ in 0..5 {
        let lent = near.lend(&[7; BYTES], Purpose::Own, &mut || true).unwrap().unwrap();
        let BufferName { slot, generation } = lent.name();
        let mut enclosed = elsewhere_engine::Enclosed::default();
        enclosed.lend(lent);
        enclosed.sent();

        far.discard(&name_of(BufferPlace::Lent { slot, generation }));

        slots.push(slot);
    }

    assert!(slots.iter().all(|slot| *slot == slots[0]), "{slots:?}");
}

fn pass(near: &Arc<Link>, far: &Arc<Link>, content: &[u8]) -> (BufferName, Borrowed) {
    let lent = near.lend(content, Purpose::Read, &mut || true).unwrap().unwrap();
    let name = lent.name();
    let mut enclosed = elsewhere_engine::Enclosed::default();
    enclosed.lend(lent);
    enclosed.sent();
    (name, far.borrow_buffer(name, content.len() as u64).unwrap())
}

#[test]
fn memory_that_is_only_read_goes_back_as_the_same_and_is_not_lent_again() {
    let _watchdog = Watchdog::new("memory_that_is_only_read_goes_back_as_the_same_and_is_not_lent_again");
    let (near, far) = links();
    let (_, borrowed) = pass(&near, &far, &[7; BYTES]);
    let (there, frozen) = (borrowed.segment(), far.freeze(borrowed));

    let number = far.share(frozen.share().unwrap()).unwrap().number();
    drop(frozen);
    let back = near.shared_buffer(number).unwrap();
    for number in 0..5 {
        let (_, other) = pass(&near, &far, &[number; BYTES]);
        assert_eq!(other.to_vec(), [number; BYTES]);
        assert_ne!(other.segment().key(), there.key());
        near.drain();
    }

    assert!(back.is_frozen());
    let mut bytes = [0; 10];
    assert!(there.read(0, &mut bytes));
    assert_eq!(bytes, [7; 10]);
    assert!(near.loss().is_none() && far.loss().is_none());
}

#[test]
fn memory_that_is_only_read_is_found_by_its_address_and_given_back_unless_it_is_passed_on() {
    let _watchdog =
        Watchdog::new("memory_that_is_only_read_is_found_by_its_address_and_given_back_unless_it_is_passed_on");
    let (near, far) = links();
    let (first, borrowed) = pass(&near, &far, &[7; BYTES]);
    let frozen = far.freeze(borrowed);
    let address = frozen.start().as_ptr().addr();

    assert!(Frozen::find(address + 10, BYTES - 10).is_some_and(|(_, offset)| offset == 10));
    assert!(Frozen::find(address + 10, 2 * BYTES).is_none());
    drop(frozen);
    assert!(Frozen::find(address, 1).is_none());
    let (second, _borrowed) = pass(&near, &far, &[8; BYTES]);

    assert_eq!((second.slot, second.generation), (first.slot, first.generation + 1));
}

#[test]
fn slots_do_not_run_out_by_what_is_passed_on() {
    let _watchdog = Watchdog::new("slots_do_not_run_out_by_what_is_passed_on");
    let (near, far) = links();

    for number in 0..1_100 {
        let (_, borrowed) = pass(&near, &far, &[7; 70_000]);
        let shared = far.freeze(borrowed).share();
        assert!(shared.is_some(), "{number}");
        near.drain();
    }

    assert!(near.loss().is_none() && far.loss().is_none());
}

#[test]
fn nothing_is_lent_to_who_takes_nothing() {
    let _watchdog = Watchdog::new("nothing_is_lent_to_who_takes_nothing");
    for pair in [Transport::unix_pair().unwrap(), Transport::memory_pair().unwrap()] {
        let (near, _far) = links_with(pair, Capabilities::BUFFERS);

        assert!(near.lend(&[1; BYTES], Purpose::Own, &mut || true).unwrap().is_none());
    }
    let (near, _far) = links_with(Transport::ring_pair().unwrap(), Capabilities::default());
    assert!(near.lend(&[1; BYTES], Purpose::Own, &mut || true).unwrap().is_none());
    assert!(near.share(SharedMemory::create(1).unwrap()).is_err());
}

#[test]
fn shared_memory_is_the_same_at_the_other_end_and_when_it_comes_back() {
    let _watchdog = Watchdog::new("shared_memory_is_the_same_at_the_other_end_and_when_it_comes_back");
    let (near, far) = links();
    let made = SharedMemory::create(BYTES).unwrap();
    let start = made.start();
    let named = near.share(made).unwrap();

    let there = far.shared_buffer(named.number()).unwrap();
    let back = near.shared_buffer(far.share(there.clone()).unwrap().number()).unwrap();

    // Both ends are this process, so it is mapped once.
    assert_eq!((there.start(), back.start(), there.bytes()), (start, start, BYTES));
    assert_eq!(near.share(back).unwrap().number(), named.number());
}

#[test]
fn memory_that_was_never_handed_over_ends_the_link() {
    let _watchdog = Watchdog::new("memory_that_was_never_handed_over_ends_the_link");
    for name in [BufferName { slot: 0, generation: 1 }, BufferName { slot: u32::MAX, generation: 0 }] {
        let (near, far) = links();

        let refused = far.borrow_buffer(name, 1);

        assert!(matches!(refused, Err(BufferError::Violated(_))));
        assert!(is_violated(&far));
        wait_for_loss(&near);
    }
    let (_near, far) = links();
    assert!(matches!(far.shared_buffer(1), Err(BufferError::Violated(_))));
    assert!(is_violated(&far));
}

#[test]
fn discarded_message_with_forged_names_ends_the_link() {
    let _watchdog = Watchdog::new("discarded_message_with_forged_names_ends_the_link");
    let (_near, far) = links();

    far.discard(&name_of(BufferPlace::Lent { slot: 5, generation: 5 }));

    assert!(is_violated(&far));
}

#[test]
fn loan_that_is_named_twice_or_too_long_ends_the_link() {
    let _watchdog = Watchdog::new("loan_that_is_named_twice_or_too_long_ends_the_link");
    let (near, far) = links();
    let lent = near.lend(&[1; BYTES], Purpose::Own, &mut || true).unwrap().unwrap();
    drop(far.borrow_buffer(lent.name(), BYTES as u64).unwrap());
    assert!(far.borrow_buffer(lent.name(), BYTES as u64).is_err());
    assert!(is_violated(&far));

    let (near, far) = links();
    let lent = near.lend(&[1; BYTES], Purpose::Own, &mut || true).unwrap().unwrap();
    assert!(far.borrow_buffer(lent.name(), u64::MAX).is_err());
    assert!(is_violated(&far));
}

#[test]
fn memory_named_where_none_can_be_passed_ends_the_link() {
    let _watchdog = Watchdog::new("memory_named_where_none_can_be_passed_ends_the_link");
    let (_near, far) = links_with(Transport::unix_pair().unwrap(), Capabilities::BUFFERS);

    assert!(far.borrow_buffer(BufferName { slot: 0, generation: 1 }, 1).is_err());

    assert!(is_violated(&far));
}

#[test]
fn views_outlive_both_ends() {
    let _watchdog = Watchdog::new("views_outlive_both_ends");
    let (near, far) = links();
    let lent = near.lend(&[3; BYTES], Purpose::Own, &mut || true).unwrap().unwrap();
    let borrowed = far.borrow_buffer(lent.name(), BYTES as u64).unwrap();
    drop(lent);
    let shared = far.shared_buffer(near.share(SharedMemory::create(9).unwrap()).unwrap().number()).unwrap();

    near.abandon();
    wait_for_loss(&far);
    drop((near, far));

    assert_eq!((borrowed.to_vec(), shared.bytes()), (vec![3; BYTES], 9));
}

//! Lender and borrower against a model, against each other across threads, and against a peer that breaks the rules.
//! Owns: both ends of one direction. Must not know: channels.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::segment::tests::resident;
use crate::sync::Ordering;

const BYTES: usize = 64 * 1024;

/// Both ends of one direction, and the table between them.
struct Ends {
    lender: Lender,
    borrower: Borrower,
    table: Place<AtomicU32>,
    holdings: Arc<Holdings>,
}

impl Ends {
    fn new() -> Self {
        let (segment, _fd) = Segment::create(super::BYTES, Sharing::NotWithForks).unwrap();
        let table = Place::new(&Arc::new(segment), 0, SLOTS).unwrap();
        let holdings = Arc::<Holdings>::default();
        let (lender, borrower) = (Lender::new(table.share()), Borrower::new(table.share(), Arc::clone(&holdings)));
        Self { lender, borrower, table, holdings }
    }

    /// Sends `loan` with its descriptor if that is needed.
    fn hand_over(&mut self, loan: Loan, bytes: usize) -> Borrowed {
        if let Some(fd) = loan.fd() {
            self.borrower.accept(loan.name(), loan.bytes(), Some(fd)).unwrap();
        }
        let name = self.lender.sent(loan);
        for retired in self.lender.take_retired() {
            self.borrower.forget(retired).unwrap(); // after the slot may have another segment, which is the harder order
        }
        self.borrower.take(name, bytes).unwrap()
    }

    fn pass(&mut self, content: &[u8]) -> Borrowed {
        let loan = self.lender.lend_with(content).unwrap();
        self.hand_over(loan, content.len())
    }

    fn set(&self, slot: usize, generation: u32) {
        self.table.get().unwrap()[slot].store(generation, Ordering::Release);
    }
}

fn violation<T>(result: Result<T, PoolError>) -> Violation {
    match result.map(drop).expect_err("it is a violation") {
        PoolError::Violated(violation) => violation,
        error => panic!("{error}"),
    }
}

#[test]
fn content_arrives() {
    let mut ends = Ends::new();
    let content: Vec<u8> = (0..BYTES).map(|at| at as u8).collect();

    let borrowed = ends.pass(&content);

    assert_eq!(borrowed.to_vec(), content);
    let mut part = [0; 3];
    assert!(borrowed.read(BYTES - 3, &mut part) && part == content[BYTES - 3..]);
    assert!(!borrowed.read(BYTES - 2, &mut part) && !borrowed.read(usize::MAX, &mut part));
}

#[test]
fn buffer_is_mapped_without_a_look_at_its_pages() {
    let mut ends = Ends::new();

    let borrowed = ends.pass(&vec![7; 64 * BYTES]);

    assert_eq!(resident(&borrowed.segment()), "0"); // it takes as long for a gigabyte
    assert_eq!(borrowed.to_vec(), vec![7; 64 * BYTES]);
}

#[test]
fn buffer_that_was_given_back_is_used_again_without_its_descriptor() {
    let mut ends = Ends::new();
    let start = ends.pass(b"first").start();

    let loan = ends.lender.lend_with(b"second").unwrap();

    assert!(loan.fd().is_none());
    let borrowed = ends.hand_over(loan, 6);
    assert_eq!((borrowed.start(), borrowed.to_vec()), (start, b"second".to_vec()));
}

#[test]
fn buffer_in_use_is_never_lent() {
    let mut ends = Ends::new();
    let first = ends.pass(b"first");

    let second = ends.pass(b"second");

    assert_eq!((first.to_vec(), second.to_vec()), (b"first".to_vec(), b"second".to_vec()));
    assert_ne!(first.name().slot, second.name().slot);
}

#[test]
fn loan_that_was_not_sent_comes_back_with_its_descriptor() {
    let mut ends = Ends::new();
    let loan = ends.lender.lend(BYTES).unwrap();
    let slot = loan.name().slot;
    assert!(loan.write(0, b"never sent") && loan.fd().is_some());

    drop(loan);

    let again = ends.lender.lend(BYTES).unwrap();
    assert!(again.name().slot == slot && again.fd().is_some());
    assert_eq!(ends.hand_over(again, 1).bytes(), 1);
}

#[test]
fn buffer_outlives_both_ends() {
    let mut ends = Ends::new();
    let borrowed = ends.pass(b"still here");

    drop(ends);

    assert_eq!(borrowed.to_vec(), b"still here");
}

#[test]
fn given_back_from_any_thread() {
    let mut ends = Ends::new();
    let borrowed: Vec<Borrowed> = (0..50_u8).map(|number| ends.pass(&[number; 100])).collect();

    let threads: Vec<_> = borrowed.into_iter().map(|one| std::thread::spawn(move || drop(one))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());

    ends.lender.collect().unwrap();
    assert_eq!(ends.lender.counts(), (0, 50));
    assert_eq!(ends.holdings.counts(), (0, 0));
}

#[test]
fn unused_buffers_go_after_two_quiet_ticks_and_the_peer_is_told() {
    let mut ends = Ends::new();
    drop((ends.pass(b"one"), ends.pass(b"two")));

    assert_eq!(ends.lender.trim(), Ok(true));
    assert_eq!(ends.borrower.mapped(), 2);
    assert_eq!(ends.lender.trim(), Ok(false));

    let retired = ends.lender.take_retired();
    assert_eq!(retired.len(), 2);
    retired.into_iter().for_each(|name| ends.borrower.forget(name).unwrap());
    assert_eq!(ends.borrower.mapped(), 0);
    assert_eq!(ends.pass(b"three").to_vec(), b"three");
}

#[test]
fn many_small_buffers_are_kept() {
    let mut ends = Ends::new();
    let all: Vec<_> = (0..20).map(|_| ends.pass(b"small")).collect();
    drop(all);

    ends.lender.collect().unwrap();

    assert_eq!(ends.lender.counts(), (0, 20));
}

#[test]
fn few_large_buffers_are_kept() {
    let mut ends = Ends::new();
    // Not touched and not mapped but for a moment; the pages are there, so not more than these.
    for _ in 0..6 {
        let (segment, fd) = Lender::make(&[], 56 << 20, &mut || true).unwrap();
        ends.lender.stock(segment, fd).unwrap();
    }

    ends.lender.collect().unwrap();

    assert_eq!(ends.lender.counts(), (0, 4));
    assert_eq!(ends.lender.take_retired(), []); // the peer never had them
}

#[test]
fn all_slots_in_use_is_an_error_that_passes() {
    let mut ends = Ends::new();
    let mut loans: Vec<_> = (0..SLOTS).map(|_| ends.lender.lend(1).unwrap()).collect();

    assert!(matches!(ends.lender.lend(1), Err(PoolError::AllLent)));
    loans.pop();

    assert!(ends.lender.lend(1).is_ok());
}

#[test]
fn slot_of_another_size_makes_room_when_none_is_vacant() {
    let mut ends = Ends::new();
    let mut loans: Vec<_> = (0..SLOTS).map(|_| ends.lender.lend(1).unwrap()).collect();
    let slot = loans.pop().unwrap().name().slot;

    let loan = ends.lender.lend(BYTES).unwrap();

    assert_eq!((loan.name().slot, loan.bytes()), (slot, BYTES));
}

#[test]
fn who_holds_too_much_is_told() {
    let mut ends = Ends::new();
    let held: Vec<_> = (0..1024).map(|_| ends.holdings.add(1)).collect();
    assert!(!held.contains(&true));

    assert!(ends.pass(b"one more").is_surplus());
    ends.holdings.remove(1);
    assert!(!ends.pass(b"one more").is_surplus());
    ends.holdings.add(1 << 30);
    assert!(ends.pass(b"one more").is_surplus());
}

#[test]
fn impossible_sizes_are_errors() {
    let mut ends = Ends::new();

    for bytes in [usize::MAX, isize::MAX as usize, 1 << 56] {
        assert!(matches!(ends.lender.lend(bytes), Err(PoolError::Segment(_))), "{bytes}");
    }
    assert_eq!(ends.lender.counts(), (0, 0));
}

#[test]
fn loan_of_a_slot_that_was_never_handed_over_is_a_violation() {
    let mut ends = Ends::new();
    let name = |slot| BufferName { slot, generation: 1 };

    assert_eq!(violation(ends.borrower.take(name(3), 1)), Violation::UnknownBuffer { slot: 3 });
    assert_eq!(violation(ends.borrower.take(name(u32::MAX), 1)), Violation::UnknownBuffer { slot: u32::MAX });
    assert_eq!(violation(ends.borrower.forget(name(0))), Violation::UnknownBuffer { slot: 0 });
    let (_segment, fd) = Lender::make(&[], 1, &mut || true).unwrap();
    assert_eq!(violation(ends.borrower.accept(name(1024), 1, Some(fd))), Violation::UnknownBuffer { slot: 1024 });
}

#[test]
fn old_or_double_loans_are_violations() {
    let mut ends = Ends::new();
    let borrowed = ends.pass(b"x");
    let BufferName { slot, generation } = borrowed.name();
    let name = |generation| BufferName { slot, generation };

    assert_eq!(violation(ends.borrower.take(name(2), 1)), Violation::LentTwice { slot });
    drop(borrowed);
    for found in [generation, 0, u32::MAX] {
        let stale = Violation::StaleLoan { slot, found, before: generation };
        assert_eq!(violation(ends.borrower.take(name(found), 1)), stale);
    }
}

#[test]
fn more_bytes_than_the_buffer_has_are_a_violation() {
    let mut ends = Ends::new();
    let loan = ends.lender.lend(1).unwrap();
    ends.borrower.accept(loan.name(), loan.bytes(), loan.fd()).unwrap();
    let name = ends.lender.sent(loan);

    let too_long = Violation::BufferLength { slot: name.slot, named: 4097, bytes: 4096 };
    assert_eq!(violation(ends.borrower.take(name, 4097)), too_long);
    assert!(ends.borrower.take(name, 4096).is_ok());
}

#[test]
fn scribbled_table_is_a_violation() {
    let mut ends = Ends::new();
    let borrowed = ends.pass(b"mine");

    ends.set(borrowed.name().slot as usize, 99);

    let wrong = Violation::Return { slot: borrowed.name().slot, found: 99, lent: 1 };
    assert_eq!(violation(ends.lender.lend(1)), wrong);
    assert_eq!(borrowed.to_vec(), b"mine");
}

#[derive(Clone, Debug)]
enum Step {
    Pass(usize, u8),
    DropUnsent(usize),
    GiveBack(usize),
    Trim,
    Stock(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop_oneof![1..9_usize, 4090..4100_usize, 60_000..80_000_usize];
    let step = prop_oneof![
        4 => (bytes(), any::<u8>()).prop_map(|(bytes, content)| Step::Pass(bytes, content)),
        1 => bytes().prop_map(Step::DropUnsent),
        3 => any::<usize>().prop_map(Step::GiveBack),
        1 => Just(Step::Trim),
        1 => bytes().prop_map(Step::Stock),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_buffer_is_lent_twice_and_none_is_lost(steps in steps()) {
        let mut ends = Ends::new();
        let mut held: Vec<(Borrowed, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(bytes, byte) => {
                    let content = vec![byte; bytes];
                    let borrowed = ends.pass(&content);
                    prop_assert!(held.iter().all(|(other, _)| other.start() != borrowed.start()));
                    held.push((borrowed, content));
                }
                Step::DropUnsent(bytes) => drop(ends.lender.lend(bytes).unwrap()),
                Step::GiveBack(index) if !held.is_empty() => drop(held.swap_remove(index % held.len())),
                Step::GiveBack(_) => {}
                Step::Trim => drop(ends.lender.trim().unwrap()),
                Step::Stock(bytes) => {
                    let (segment, fd) = Lender::make(&[], bytes, &mut || true).unwrap();
                    ends.lender.stock(segment, fd).unwrap();
                }
            }
            for (borrowed, content) in &held {
                prop_assert_eq!(&borrowed.to_vec(), content);
            }
            prop_assert_eq!(ends.holdings.counts().0, held.len());
        }
        let count = held.len();
        ends.lender.collect().unwrap();
        prop_assert_eq!(ends.lender.counts().0, count);
        drop(held);
        ends.lender.collect().unwrap();
        prop_assert_eq!(ends.lender.counts().0, 0);
        while ends.lender.trim().unwrap() {}
        for name in ends.lender.take_retired() {
            ends.borrower.forget(name).unwrap();
        }
        prop_assert_eq!((ends.borrower.mapped(), ends.holdings.counts()), (0, (0, 0)));
    }

    #[test]
    fn whatever_the_table_says_what_is_lent_keeps_its_content(
        words in prop::collection::vec((0..4_usize, prop_oneof![0..4_u32, any::<u32>()]), 1..30),
    ) {
        let mut ends = Ends::new();
        let mut held = HashMap::new();
        for (slot, value) in words {
            ends.set(slot, value);
            let Ok(loan) = ends.lender.lend_with(&[slot as u8; 10]) else { break };
            if let Some(fd) = loan.fd() {
                ends.borrower.accept(loan.name(), loan.bytes(), Some(fd)).unwrap();
            }
            let name = ends.lender.sent(loan);
            // A borrower that gave back what it still has is its own victim: it must be told, or see other bytes.
            if let Ok(borrowed) = ends.borrower.take(name, 10) {
                prop_assert!(held.insert(name.slot, borrowed).is_none());
            }
        }
    }
}

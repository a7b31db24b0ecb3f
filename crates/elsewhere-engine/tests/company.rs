//! Links that one thread reads while it waits for another one.
//! Owns: that whoever asks is answered, whatever it comes by. Must not know: how calls are run.

mod support;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use elsewhere_engine::transport::Transport;
use elsewhere_engine::{Company, Inbox, InboxWake, Incoming, Link, Taker, Work};
use support::{Call, Mechanism, Watchdog, answer, bytes, config, echo, reply};

/// Serves with one thread an owner and so many guests, who share an inbox, until the owner is done.
fn serve(mechanism: Mechanism, guests: usize) -> (Vec<Arc<Link>>, JoinHandle<()>) {
    serve_by(mechanism, guests, |incoming| answer(&incoming, bytes(incoming.steps())))
}

/// The same, where `run` sees to it that each call is answered.
fn serve_by(
    mechanism: Mechanism,
    guests: usize,
    run: impl Fn(Incoming) + Send + 'static,
) -> (Vec<Arc<Link>>, JoinHandle<()>) {
    let inbox = Inbox::new();
    let (near, far): (Vec<_>, Vec<_>) = (0..=guests)
        .map(|_| {
            let (here, there) = mechanism().expect("the system has descriptors left");
            (support::link(here), Link::new(there, config(), Arc::clone(&inbox)).expect("there is a watch thread"))
        })
        .unzip();
    let company = Company::new().expect("the system has descriptors left");
    for guest in &far[1..] {
        guest.serve();
        company.add(guest);
    }
    let serving = thread::spawn(move || {
        let mut taker = Taker::All;
        loop {
            let spun = company.spin_for_work(&far[0], &mut taker);
            match spun.unwrap_or_else(|| company.wait_work(&far[0], &mut taker, None)) {
                InboxWake::Work(Work::Call(incoming)) => run(incoming),
                InboxWake::Ended => return,
                InboxWake::Work(_) | InboxWake::Tick => {}
            }
        }
    });
    (near, serving)
}

fn finish(near: &[Arc<Link>], serving: JoinHandle<()>) {
    near.iter().for_each(|link| link.close());
    serving.join().expect("it serves without a fault");
}

#[test]
fn every_guest_is_answered_and_the_owner_too() {
    let _watchdog = Watchdog::new("every guest");
    for mechanism in [Transport::ring_pair, Transport::unix_pair] {
        let (near, serving) = serve(mechanism, 10); // more than are looked at

        let asking: Vec<_> = near
            .iter()
            .cloned()
            .map(|link| thread::spawn(move || (0..200_u8).all(|number| echo(&link, &[number]) == [number])))
            .collect();
        let answered: Vec<_> = asking.into_iter().map(|asking| asking.join().expect("it asks")).collect();

        assert_eq!(answered, [true; 11]);
        finish(&near, serving);
    }
}

#[test]
fn guest_is_answered_whenever_it_comes() {
    let _watchdog = Watchdog::new("whenever");
    for mechanism in [Transport::ring_pair, Transport::unix_pair] {
        let (near, serving) = serve(mechanism, 2);
        let (_keep, never) = channel::<()>();

        for pause in (0..60).chain([100, 1000, 20_000]) {
            let _ = never.recv_timeout(Duration::from_micros(pause * 7)); // it looks, falls asleep, or sleeps
            for link in &near {
                assert_eq!(echo(link, b"again"), b"again");
            }
        }
        finish(&near, serving);
    }
}

#[test]
fn answer_larger_than_what_is_on_its_way_at_once_comes_whole() {
    let _watchdog = Watchdog::new("large");
    for mechanism in [Transport::ring_pair, Transport::unix_pair] {
        let (near, serving) = serve(mechanism, 2);
        let large = vec![7_u8; 3 << 20];

        let pending: Vec<_> = near.iter().map(|link| (link, Call::new(&large).submit(link))).collect();

        for (link, pending) in &pending {
            assert!(reply(link, pending) == large);
        }
        finish(&near, serving);
    }
}

#[test]
fn what_another_thread_answers_meanwhile_comes_whole() {
    let _watchdog = Watchdog::new("another thread");
    for mechanism in [Transport::ring_pair, Transport::unix_pair] {
        let (hand_over, handed_over) = channel::<Incoming>();
        let (near, serving) = serve_by(mechanism, 2, move |incoming| hand_over.send(incoming).expect("it is there"));
        let other = thread::spawn(move || {
            let (_keep, never) = channel::<()>();
            for incoming in handed_over {
                let _ = never.recv_timeout(Duration::from_millis(5)); // the one that serves is asleep by then
                answer(&incoming, bytes(incoming.steps()));
            }
        });
        let large = vec![7_u8; 3 << 20];

        for link in near.iter().chain(&near) {
            assert!(echo(link, &large) == large);
        }
        finish(&near, serving);
        other.join().expect("it answers without a fault");
    }
}

#[test]
fn guest_that_is_gone_holds_up_nobody() {
    let _watchdog = Watchdog::new("gone");
    for mechanism in [Transport::ring_pair, Transport::unix_pair] {
        let (near, serving) = serve(mechanism, 3);
        near.iter().for_each(|link| assert_eq!(echo(link, b"here"), b"here"));
        let left = Call::new(b"left").submit(&near[1]);

        near[1].abandon();
        near[2].close();

        assert_eq!([&near[0], &near[3], &near[0]].map(|link| echo(link, b"there")), [b"there"; 3]);
        drop(left);
        finish(&near, serving);
    }
}

//! Several threads wait on one channel: some spin, one sleeps on the wake word, the others elsewhere. The models run every
//! order of few events; this runs many events on the real system calls.

mod support;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

use elsewhere_shm::wake::{Event, Listener, Lookout};
use elsewhere_shm::{Channel, ChannelNews, Receiver, RingError, Sender};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use support::*;

const CALLS: u32 = 5000;
const WAITERS: usize = 4;
/// A message: who sent it, and its number.
const MESSAGE: usize = 8;

#[test]
fn peer_main() {
    let Some((_, fd)) = role() else { return };
    let mut channel = Channel::open(fd).unwrap();
    let mut buffer = [0; 4096];
    while let Some(count) = receive(&mut channel, &mut buffer).unwrap() {
        let mut sent = 0;
        while sent < count {
            match channel.sender.send(&buffer[sent..count]) {
                Ok((more, _)) => sent += more,
                Err(RingError::Full) => drop(sleep(&channel, None)),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The shared side: what an engine does with a channel, without anything else.
struct Side {
    sender: Mutex<Sender>,
    receiver: Mutex<(Receiver, Vec<u8>)>,
    lookout: Arc<Lookout<ChannelNews>>,
    /// The number of the last answer of each waiter.
    answers: [AtomicU32; WAITERS],
    waiting: Mutex<Vec<(usize, Thread)>>,
}

impl Side {
    fn new(channel: Channel) -> Self {
        let Channel { sender, receiver, lookout, .. } = channel;
        Self {
            sender: Mutex::new(sender),
            receiver: Mutex::new((receiver, Vec::new())),
            lookout,
            answers: Default::default(),
            waiting: Mutex::default(),
        }
    }

    fn send(&self, waiter: usize, number: u32) {
        let waiter = u32::try_from(waiter).unwrap();
        locked(&self.sender).send_whole(&[&waiter.to_le_bytes(), &number.to_le_bytes()]).unwrap();
    }

    /// The reader's part, for a moment: hands to everybody what came.
    fn route(&self) {
        let Ok(mut receiver) = self.receiver.try_lock() else { return std::thread::yield_now() };
        let (receiver, left) = &mut *receiver;
        let mut buffer = [0; 4096];
        if let elsewhere_shm::Received::Bytes { count, .. } = receiver.receive(&mut buffer).unwrap() {
            left.extend(&buffer[..count]);
        }
        let whole = left.len() / MESSAGE * MESSAGE;
        for message in left.drain(..whole).collect::<Vec<u8>>().chunks(MESSAGE) {
            let waiter = u32::from_le_bytes(message[..4].try_into().unwrap()) as usize;
            let number = u32::from_le_bytes(message[4..].try_into().unwrap());
            self.answers[waiter].store(number, Ordering::SeqCst);
            for (_, thread) in locked(&self.waiting).iter().filter(|(other, _)| *other == waiter) {
                thread.unpark();
            }
            self.lookout.wake_sleeper();
        }
    }

    fn is_answered(&self, waiter: usize, number: u32) -> bool {
        self.answers[waiter].load(Ordering::SeqCst) == number
    }

    /// Looks for a while, then waits asleep.
    fn wait(&self, waiter: usize, number: u32, spin: Duration) {
        let spinner = self.lookout.spin();
        let begin = Instant::now();
        while !self.is_answered(waiter, number) && begin.elapsed() < spin {
            self.route();
        }
        drop(spinner);
        locked(&self.waiting).push((waiter, std::thread::current()));
        while !self.is_answered(waiter, number) {
            let Some(mut sleeper) = self.lookout.try_sleeper() else {
                std::thread::park();
                continue;
            };
            while !self.is_answered(waiter, number) {
                self.route();
                sleeper.sleep(None, || self.is_answered(waiter, number));
            }
        }
        let mut waiting = locked(&self.waiting);
        waiting.retain(|(other, _)| *other != waiter);
        if let Some((_, next)) = waiting.first() {
            next.unpark();
        }
    }
}

#[test]
fn threads_that_spin_and_sleep_all_get_their_answers() {
    let _watchdog = Watchdog::new("threads_that_spin_and_sleep_all_get_their_answers");
    let (channel, fd) = Channel::create().unwrap();
    let mut peer = start("echoes", fd);
    let side = Side::new(channel);

    std::thread::scope(|scope| {
        let call = |waiter: usize| {
            let mut numbers = Numbers(waiter as u64 + 1);
            for number in 1..=CALLS {
                side.send(waiter, number);
                // The first never spins, the last nearly always.
                let spin = numbers.next() % (40 * waiter as u64 + 1);
                side.wait(waiter, number, Duration::from_micros(spin));
            }
        };
        let calling: Vec<_> = (0..WAITERS).map(|waiter| scope.spawn(move || call(waiter))).collect();
        calling.into_iter().for_each(|thread| thread.join().unwrap());
    });

    locked(&side.sender).close();
    assert!(peer.wait().unwrap().success());
    let answers = side.answers.each_ref().map(|answer| answer.load(Ordering::SeqCst));
    assert_eq!(answers, [CALLS; WAITERS]);
}

#[test]
fn loop_and_thread_both_get_their_answers() {
    let _watchdog = Watchdog::new("loop_and_thread_both_get_their_answers");
    let (channel, fd) = Channel::create().unwrap();
    let there = Channel::open(&fd).unwrap();
    let polled = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
    let raised = Arc::clone(&polled);
    let event = Arc::new(Event::new(move || {
        rustix::io::write(&raised, &1_u64.to_ne_bytes()).unwrap();
    }));
    there.doorbell.add_loop(1, Some(Arc::clone(&event))).unwrap();
    let is_over = AtomicBool::new(false);
    let side = Side::new(channel);
    side.lookout.set_listener(Some(Listener::Loop(1, Arc::clone(&event))));

    std::thread::scope(|scope| {
        let mut there = there;
        let echoing = scope.spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(count) = receive(&mut there, &mut buffer).unwrap() {
                assert_eq!(there.sender.send(&buffer[..count]).map(|(sent, _)| sent), Ok(count));
            }
        });
        let looping = scope.spawn(|| {
            for number in 1..=CALLS {
                side.send(0, number);
                while !side.is_answered(0, number) {
                    wait_readable(&polled);
                    side.lookout.arm();
                    side.route();
                }
            }
        });
        let calling = scope.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::SeqCst) {
                number += 1;
                side.send(1, number);
                side.wait(1, number, Duration::from_micros(u64::from(number % 3)));
                event.raise(); // what the thread routed for the loop, the loop must hear of
            }
        });
        looping.join().unwrap();
        is_over.store(true, Ordering::SeqCst);
        calling.join().unwrap();
        locked(&side.sender).close();
        echoing.join().unwrap();
    });

    assert!(side.is_answered(0, CALLS));
}

/// Waits until it is readable, and makes it unreadable.
fn wait_readable(polled: &OwnedFd) {
    while poll(&mut [PollFd::new(polled, PollFlags::IN)], None).is_err() {}
    rustix::io::read(polled, &mut [0; 8]).unwrap();
}

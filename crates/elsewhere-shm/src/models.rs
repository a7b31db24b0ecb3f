//! Models for loom, which runs them in every order of events up to a number of preemptions: `make loom`.
//! Owns: the smallest use of each part that can go wrong. Must not know: segments and system calls.
//!
//! What ends a model wrongly is an assertion or a deadlock: a thread that sleeps for ever is a lost wake.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::mpsc;
use loom::thread::{self, JoinHandle};

use crate::place::Place;
use crate::pool::{Ledger, give_back};
use crate::ring::{Consumer, Inlet, Outlet, Producer, Received, RingError, RingPlace};
use crate::sync::{Arc, AtomicBool, Ordering, lock};
use crate::wake::{Doorbell, Event, Futex, Listener, Lookout, News};

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions)); // LOOM_MAX_PREEMPTIONS comes first
    builder.check(model);
}

#[test]
fn bytes_arrive_whole_and_in_order_around_the_end() {
    check(3, || {
        let place = RingPlace::on_heap(8);
        let (mut producer, mut consumer) = (place.producer(), place.consumer());

        let writer = thread::spawn(move || {
            for part in [&[1, 2, 3][..], &[4, 5, 6, 7], &[8, 9, 10]] {
                while producer.write_whole(&[part]) == Err(RingError::Full) {
                    thread::yield_now();
                }
            }
            producer.close();
        });

        let mut arrived: Vec<u8> = Vec::new();
        loop {
            let mut target = [0; 5];
            match consumer.read(&mut target).unwrap() {
                Received::Bytes { count, .. } => arrived.extend(&target[..count]),
                Received::Empty => thread::yield_now(),
                Received::End => break,
            }
        }
        writer.join().unwrap();
        assert!(arrived.into_iter().eq(1..=10));
    });
}

/// What a side waits for: bytes, or room.
struct RingNews {
    inlet: Option<Arc<Inlet>>,
    outlet: Option<Arc<Outlet>>,
}

impl News for RingNews {
    fn is_there(&self) -> bool {
        self.inlet.as_ref().is_some_and(|inlet| inlet.has_news())
            || self.outlet.as_ref().is_some_and(|outlet| outlet.has_news())
    }
}

/// A place where one thread sleeps that is not the sleeper.
#[derive(Default)]
struct Slot(Futex);

impl Slot {
    fn wake(&self) {
        self.0.value.store(1, Ordering::SeqCst);
        self.0.wake();
    }

    fn sleep(&self) {
        self.0.wait(0, None);
        self.0.value.store(0, Ordering::SeqCst);
    }
}

/// A reading side with several waiters, each of whom waits for the byte that is its number. It does what the engine does.
struct Side {
    lookout: Lookout<RingNews>,
    reader: Mutex<Consumer>,
    is_ready: [AtomicBool; 3],
    slots: [Slot; 3],
    waiting: Mutex<Vec<usize>>,
    event: Arc<Event>,
    is_over: AtomicBool,
}

/// What writes to it.
struct Peer {
    producer: Producer,
    doorbell: Doorbell,
}

impl Peer {
    fn send(&mut self, bytes: &[u8]) {
        self.producer.write_whole(&[bytes]).unwrap();
        self.doorbell.ring().unwrap();
    }
}

fn sides() -> (Arc<Side>, Peer) {
    let ring = RingPlace::on_heap(8);
    let line = Place::on_heap(1);
    let consumer = ring.consumer();
    let news = RingNews { inlet: Some(consumer.inlet()), outlet: None };
    let side = Side {
        lookout: Lookout::new(line.share(), news),
        reader: Mutex::new(consumer),
        is_ready: Default::default(),
        slots: Default::default(),
        waiting: Mutex::new(Vec::new()),
        event: Arc::new(Event::modelled()),
        is_over: AtomicBool::new(false),
    };
    (Arc::new(side), Peer { producer: ring.producer(), doorbell: Doorbell::new(line) })
}

impl Side {
    /// The reader's part, for a moment. Tells everybody whose byte came.
    fn route(&self) {
        let Ok(mut consumer) = self.reader.try_lock() else {
            return thread::yield_now(); // another thread reads, which takes a moment only
        };
        let mut target = [0; 4];
        let count = match consumer.read(&mut target).unwrap() {
            Received::Bytes { count, .. } => count,
            Received::Empty | Received::End => 0,
        };
        drop(consumer);
        for number in &target[..count] {
            let number = usize::from(*number);
            self.is_ready[number].store(true, Ordering::SeqCst);
            self.slots[number].wake();
            self.lookout.wake_sleeper();
        }
    }

    fn is_done(&self, number: usize) -> bool {
        self.is_ready[number].load(Ordering::SeqCst) || self.is_over.load(Ordering::SeqCst)
    }

    /// Waits asleep.
    fn wait(&self, number: usize) {
        lock(&self.waiting).push(number);
        loop {
            if self.is_done(number) {
                break;
            }
            let Some(mut sleeper) = self.lookout.try_sleeper() else {
                self.slots[number].sleep();
                continue;
            };
            while !self.is_done(number) {
                self.route();
                if !self.is_done(number) {
                    sleeper.sleep(None, || self.is_done(number));
                }
            }
            break;
        }
        self.leave(number);
    }

    /// Whoever leaves wakes one who remains, to take the part.
    fn leave(&self, number: usize) {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|other| *other != number);
        if let Some(next) = waiting.first() {
            self.slots[*next].wake();
        }
    }

    /// Looks a few times before it waits asleep.
    fn spin(&self, number: usize, looks: usize) {
        let spinner = self.lookout.spin();
        for _ in 0..looks {
            self.route();
            if self.is_done(number) {
                break;
            }
        }
        drop(spinner);
        if !self.is_done(number) {
            self.wait(number);
        }
    }
}

fn waits(side: &Arc<Side>, number: usize) -> JoinHandle<()> {
    let side = Arc::clone(side);
    thread::spawn(move || side.wait(number))
}

#[test]
fn sleeper_is_woken_for_each_message() {
    check(3, || {
        let (side, mut peer) = sides();
        let sleeper = thread::spawn(move || {
            side.wait(0);
            side.wait(1);
        });

        peer.send(&[0]);
        peer.send(&[1]);

        sleeper.join().unwrap();
    });
}

#[test]
fn spinner_reads_for_the_sleeper_and_the_sleeper_for_the_spinner() {
    check(2, || {
        let (side, mut peer) = sides();
        let sleeper = waits(&side, 0);
        let sending = thread::spawn(move || {
            peer.send(&[1]);
            peer.send(&[0]);
        });

        side.spin(1, 1);

        sleeper.join().unwrap();
        sending.join().unwrap();
    });
}

#[test]
fn spinner_sleeper_and_service_thread_all_get_theirs() {
    check(2, || {
        let (side, mut peer) = sides();
        let (sleeper, service) = (waits(&side, 0), waits(&side, 1));
        let sending = thread::spawn(move || {
            peer.send(&[2]);
            peer.send(&[1]);
            peer.send(&[0]);
        });

        side.spin(2, 1);

        sleeper.join().unwrap();
        service.join().unwrap();
        sending.join().unwrap();
    });
}

#[test]
fn spinner_that_leaves_puts_the_word_up_again() {
    check(3, || {
        let (side, mut peer) = sides();
        let sleeper = waits(&side, 0);
        let sending = thread::spawn(move || peer.send(&[0]));

        drop(side.lookout.spin()); // it takes the word down and never looks

        sleeper.join().unwrap();
        sending.join().unwrap();
    });
}

#[test]
fn two_spinners_do_not_undo_each_other() {
    check(2, || {
        let (side, mut peer) = sides();
        let sleeper = waits(&side, 0);
        let other = Arc::clone(&side);
        let spinner = thread::spawn(move || drop(other.lookout.spin()));

        drop(side.lookout.spin());
        peer.send(&[0]);

        sleeper.join().unwrap();
        spinner.join().unwrap();
    });
}

#[test]
fn service_thread_is_woken_by_whoever_reads() {
    check(2, || {
        let (side, mut peer) = sides();
        let (sleeper, service) = (waits(&side, 0), waits(&side, 1));

        peer.send(&[0]);
        peer.send(&[1]);

        sleeper.join().unwrap();
        service.join().unwrap();
    });
}

#[test]
fn part_of_one_who_gave_up_is_taken_over() {
    check(3, || {
        let (side, mut peer) = sides();
        let service = waits(&side, 1);
        let sending = thread::spawn(move || peer.send(&[1]));

        // A wait that times out, and reads nothing before it leaves.
        lock(&side.waiting).push(0);
        if let Some(mut sleeper) = side.lookout.try_sleeper() {
            sleeper.sleep(Some(Duration::ZERO), || false);
        }
        side.leave(0);

        service.join().unwrap();
        sending.join().unwrap();
    });
}

#[test]
fn death_wakes_the_sleeper_also_beside_a_spinner() {
    check(3, || {
        let (side, _peer) = sides();
        let sleeper = waits(&side, 0);
        let watched = Arc::clone(&side);
        let watch = thread::spawn(move || {
            watched.is_over.store(true, Ordering::SeqCst);
            watched.lookout.wake_sleeper();
        });

        drop(side.lookout.spin());

        sleeper.join().unwrap();
        watch.join().unwrap();
    });
}

/// The number of the loop whose event is `event`, of two.
const FIRST: u32 = 1;
const SECOND: u32 = 2;

/// Sides whose first loop was handed over, and listens.
fn sides_with_a_loop() -> (Arc<Side>, Peer) {
    let (side, peer) = sides();
    peer.doorbell.add_loop(FIRST, Some(Arc::clone(&side.event))).unwrap();
    side.lookout.set_listener(Some(Listener::Loop(FIRST, Arc::clone(&side.event))));
    (side, peer)
}

impl Side {
    /// Reads, as a loop does that was told, until it is sure of being told again.
    fn take_in(&self) {
        loop {
            self.route();
            if !self.lookout.arm() {
                break;
            }
        }
    }

    /// Waits as a loop does, in its poll.
    fn wait_in_loop(&self, number: usize, event: &Event) {
        while !self.is_done(number) {
            event.wait_and_clear();
            self.take_in();
        }
    }

    /// Reads, and tells another loop, whose answer it may have read.
    fn route_and_tell(&self, event: &Event) {
        self.take_in();
        event.raise();
    }
}

#[test]
fn loop_is_told_of_what_a_thread_left_behind() {
    check(3, || {
        let (side, mut peer) = sides_with_a_loop();
        let sending = thread::spawn(move || peer.send(&[1]));

        // A thread that sleeps between, or does not get to it, and leaves without its reply.
        let passing = Arc::clone(&side);
        let passing = thread::spawn(move || {
            drop(passing.lookout.spin());
            drop(passing.lookout.try_sleeper());
        });
        side.wait_in_loop(1, &side.event);

        sending.join().unwrap();
        passing.join().unwrap();
    });
}

#[test]
fn loop_is_told_of_each_message_that_it_reads_itself() {
    check(3, || {
        let (side, mut peer) = sides_with_a_loop();
        let sending = thread::spawn(move || {
            peer.send(&[0]);
            peer.send(&[1]);
        });

        side.wait_in_loop(0, &side.event);
        side.wait_in_loop(1, &side.event);

        sending.join().unwrap();
    });
}

#[test]
fn watch_thread_that_takes_the_bell_from_a_loop_reads_what_was_rung_to_it() {
    check(2, || {
        let (side, mut peer) = sides_with_a_loop();
        let watching = Arc::new(Event::modelled());
        peer.doorbell.set_event(Arc::clone(&watching));
        let sending = thread::spawn(move || peer.send(&[1]));

        // The loop is busy and never looks. The watch thread takes the bell and looks, or is rung.
        if side.lookout.set_listener(Some(Listener::Event(Arc::clone(&watching)))) {
            side.take_in();
        }
        side.wait_in_loop(1, &watching);

        sending.join().unwrap();
    });
}

#[test]
fn answer_is_told_to_a_loop_whichever_of_two_has_the_bell() {
    check(2, || {
        let (side, mut peer) = sides_with_a_loop();
        let second = Arc::new(Event::modelled());
        peer.doorbell.add_loop(SECOND, Some(Arc::clone(&second))).unwrap();
        let sending = thread::spawn(move || peer.send(&[1]));

        let (other, event) = (Arc::clone(&side), Arc::clone(&second));
        let other = thread::spawn(move || {
            // It listens instead from now on, and reads whatever that brings.
            if other.lookout.set_listener(Some(Listener::Loop(SECOND, Arc::clone(&event)))) {
                other.route_and_tell(&other.event);
            }
            while !other.is_done(1) {
                event.wait_and_clear();
                other.route_and_tell(&other.event);
            }
        });
        while !side.is_done(1) {
            side.event.wait_and_clear();
            side.route_and_tell(&second);
        }

        sending.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn writer_that_waits_for_room_is_woken() {
    check(3, || {
        let ring = RingPlace::on_heap(8);
        let line = Place::on_heap(1);
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        let doorbell = Doorbell::new(line.share());
        let lookout = Lookout::new(line, RingNews { inlet: None, outlet: Some(producer.outlet()) });

        let writer = thread::spawn(move || {
            producer.write_whole(&[&[1; 6]]).unwrap();
            let mut sleeper = lookout.try_sleeper().unwrap();
            while producer.write_whole(&[&[2; 6]]) == Err(RingError::Full) {
                sleeper.sleep(None, || false);
            }
        });

        // Reads until everything was there, and never looks again at an empty ring without being sure of it.
        let mut left = 12;
        while left > 0 {
            match consumer.read(&mut [0; 4]).unwrap() {
                Received::Bytes { count, wants_room } => {
                    left -= count;
                    if wants_room {
                        doorbell.ring().unwrap();
                    }
                }
                Received::Empty => thread::yield_now(),
                Received::End => unreachable!("nobody closes"),
            }
        }
        writer.join().unwrap();
    });
}

/// One buffer, in which loom notices if two use it at a time.
#[derive(Default)]
struct Memory(UnsafeCell<u32>);

// SAFETY: that one thread at a time uses it is what the models check: loom panics otherwise.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Memory {}

impl Memory {
    fn fill(&self, value: u32) {
        // SAFETY: the pointer is valid in here, and loom tells if somebody else uses the cell meanwhile.
        self.0.with_mut(|place| unsafe { *place = value });
    }

    fn check(&self, value: u32) {
        // SAFETY: as above.
        self.0.with(|place| assert_eq!(unsafe { *place }, value));
    }
}

#[test]
fn buffer_is_the_borrowers_until_it_gives_it_back() {
    check(3, || {
        let table: Place<crate::sync::AtomicU32> = Place::on_heap(2);
        let mut ledger = Ledger::new(table.share());
        let memory: Arc<[Memory; 2]> = Arc::new(Default::default());
        let (sender, arrivals) = mpsc::channel();
        let lent = Arc::clone(&memory);
        let borrower = thread::spawn(move || {
            for _ in 0..3 {
                let (slot, generation): (u32, u32) = arrivals.recv().unwrap();
                lent[slot as usize].check(generation);
                give_back(&table, slot, generation);
            }
        });

        for slot in [0, 1, 0] {
            while !ledger.has_returned(slot).unwrap() {
                thread::yield_now();
            }
            let generation = ledger.lend(slot).unwrap();
            memory[slot as usize].fill(generation);
            sender.send((slot, generation)).unwrap();
        }
        borrower.join().unwrap();
        assert!(ledger.has_returned(0).unwrap() && ledger.has_returned(1).unwrap());
    });
}

#[test]
fn buffers_are_given_back_from_two_threads() {
    check(3, || {
        let table: Place<crate::sync::AtomicU32> = Place::on_heap(2);
        let mut ledger = Ledger::new(table.share());
        let memory: Arc<[Memory; 2]> = Arc::new(Default::default());
        let droppers = [0, 1].map(|slot: u32| {
            let generation = ledger.lend(slot).unwrap();
            memory[slot as usize].fill(generation);
            let (table, memory) = (table.share(), Arc::clone(&memory));
            thread::spawn(move || {
                memory[slot as usize].check(generation);
                give_back(&table, slot, generation);
            })
        });

        let mut is_free = [false; 2];
        while is_free != [true; 2] {
            for slot in [0, 1] {
                if !is_free[slot as usize] && ledger.has_returned(slot).unwrap() {
                    is_free[slot as usize] = true;
                    assert_eq!(ledger.lend(slot), Ok(2));
                    memory[slot as usize].fill(2);
                }
            }
            thread::yield_now();
        }
        droppers.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

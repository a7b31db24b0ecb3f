//! Wake words between threads, by the real system calls; that none is lost in any order is for the models.
//! Owns: the memory of a word. Must not know: rings.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::*;
use crate::segment::{Segment, Sharing};

const SHORT: Option<Duration> = Some(Duration::from_millis(5));

/// News that a test switches on.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl News for Flag {
    fn is_there(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Both sides of a word in shared memory.
fn word() -> (Lookout<Flag>, Doorbell, Place<WakeLine>) {
    let (segment, _fd) = Segment::create(4096, Sharing::NotWithForks).unwrap();
    let place = Place::<WakeLine>::new(&Arc::new(segment), 0, 1).unwrap();
    (Lookout::new(place.share(), Flag::default()), Doorbell::new(place.share()), place)
}

/// An event, and whether it was raised.
fn event() -> (Arc<Event>, Arc<AtomicBool>) {
    let raised = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&raised);
    (Arc::new(Event::new(move || told.store(true, Ordering::SeqCst))), raised)
}

fn mode_of(place: &Place<WakeLine>) -> u32 {
    word_of(place).unwrap().value.load(Ordering::SeqCst) & MODES
}

#[test]
fn nobody_is_woken_where_nobody_waits() {
    let (lookout, doorbell, _place) = word();

    assert_eq!(doorbell.ring(), Ok(Rung::Nobody));
    let _sleeper = lookout.try_sleeper().unwrap();
    assert_eq!(doorbell.ring(), Ok(Rung::Nobody));
}

#[test]
fn sleeper_is_woken_by_the_bell() {
    let (lookout, doorbell, _place) = word();

    std::thread::scope(|scope| {
        let asleep = scope.spawn(|| {
            let mut sleeper = lookout.try_sleeper().unwrap();
            while !lookout.news().is_there() {
                sleeper.sleep(None, || false);
            }
        });
        while doorbell.ring() != Ok(Rung::Woken) {
            std::thread::yield_now();
        }
        lookout.news().0.store(true, Ordering::SeqCst);
        while !asleep.is_finished() {
            doorbell.ring().unwrap();
            std::thread::yield_now();
        }
        asleep.join().unwrap();
    });
}

#[test]
fn nobody_sleeps_over_news() {
    let (lookout, _doorbell, _place) = word();
    let mut sleeper = lookout.try_sleeper().unwrap();

    assert_eq!(sleeper.sleep(None, || true), Waited::Changed);
    lookout.news().0.store(true, Ordering::SeqCst);
    assert_eq!(sleeper.sleep(None, || false), Waited::Changed);
}

#[test]
fn sleep_ends_with_its_time() {
    let (lookout, doorbell, _place) = word();
    let mut sleeper = lookout.try_sleeper().unwrap();

    assert_eq!(sleeper.sleep(SHORT, || false), Waited::TimedOut);

    assert_eq!(doorbell.ring(), Ok(Rung::Nobody));
}

#[test]
fn part_is_for_one_thread_at_a_time() {
    let (lookout, _doorbell, _place) = word();

    let first = lookout.try_sleeper();

    assert!(first.is_some() && lookout.try_sleeper().is_none());
    drop(first);
    assert!(lookout.try_sleeper().is_some());
}

#[test]
fn loop_is_told_by_its_event_once() {
    let (lookout, doorbell, place) = word();
    let (event, raised) = event();
    doorbell.set_event(Arc::clone(&event));
    lookout.set_listener(Some(Listener::Event(event)));

    assert_eq!(doorbell.ring(), Ok(Rung::Woken));
    assert_eq!(doorbell.ring(), Ok(Rung::Nobody));

    assert!(raised.swap(false, Ordering::SeqCst));
    lookout.arm();
    assert_eq!(mode_of(&place), EVENT);
    assert!(!raised.load(Ordering::SeqCst));
}

#[test]
fn thread_that_leaves_wakes_the_loop_for_what_it_left_behind() {
    let (lookout, _doorbell, place) = word();
    let (event, raised) = event();
    lookout.set_listener(Some(Listener::Event(event)));
    let sleeper = lookout.try_sleeper();
    assert_eq!(mode_of(&place), NONE);

    lookout.news().0.store(true, Ordering::SeqCst);
    drop(sleeper);

    assert_eq!(mode_of(&place), EVENT);
    assert!(raised.load(Ordering::SeqCst));
}

#[test]
fn spinner_takes_the_word_down_and_puts_it_up_again() {
    let (lookout, _doorbell, place) = word();
    lookout.set_listener(Some(Listener::Event(event().0)));

    let (first, second) = (lookout.spin(), lookout.spin());
    assert_eq!(mode_of(&place), NONE);
    drop(first);
    assert_eq!(mode_of(&place), NONE);
    drop(second);

    assert_eq!(mode_of(&place), EVENT);
}

#[test]
fn lonely_spinner_leaves_the_word_alone() {
    let (lookout, _doorbell, place) = word();
    let before = word_of(&place).unwrap().value.load(Ordering::SeqCst);

    drop(lookout.spin());

    assert_eq!(word_of(&place).unwrap().value.load(Ordering::SeqCst), before);
}

#[test]
fn loop_is_told_by_the_event_that_it_handed_over() {
    let (lookout, doorbell, place) = word();
    let ((first, is_first), (second, is_second)) = (event(), event());
    doorbell.add_loop(1, Some(Arc::clone(&first))).unwrap();
    doorbell.add_loop(2, Some(Arc::clone(&second))).unwrap();

    lookout.set_listener(Some(Listener::Loop(2, second)));
    assert_eq!(mode_of(&place), LOOP);
    assert_eq!(doorbell.ring(), Ok(Rung::Woken));
    assert_eq!(doorbell.ring(), Ok(Rung::Nobody));
    assert_eq!((is_first.load(Ordering::SeqCst), is_second.load(Ordering::SeqCst)), (false, true));

    lookout.set_listener(Some(Listener::Loop(1, first)));
    assert_eq!(doorbell.ring(), Ok(Rung::Woken));
    assert!(is_first.load(Ordering::SeqCst));
}

/// A loop that lies in the socket still.
#[derive(Debug)]
struct Unseen {
    doorbell: Arc<Doorbell>,
    loops: Arc<Event>,
}

impl Learn for Unseen {
    fn learn(&self) {
        self.doorbell.add_loop(5, Some(Arc::clone(&self.loops))).unwrap();
    }
}

#[test]
fn loop_that_was_handed_over_unseen_is_learned_of_when_it_is_rung() {
    let (lookout, doorbell, _place) = word();
    let doorbell = Arc::new(doorbell);
    let (loops, is_told) = event();
    let peer: Arc<dyn Learn> = Arc::new(Unseen { doorbell: Arc::clone(&doorbell), loops: Arc::clone(&loops) });
    doorbell.set_learn(Arc::downgrade(&peer));

    lookout.set_listener(Some(Listener::Loop(5, loops)));

    assert_eq!(doorbell.ring(), Ok(Rung::Woken));
    assert!(is_told.load(Ordering::SeqCst));
}

#[test]
fn loop_whose_descriptor_was_lost_is_no_violation() {
    let (lookout, doorbell, _place) = word();
    doorbell.add_loop(1, None).unwrap();
    lookout.set_listener(Some(Listener::Loop(1, event().0)));

    assert_eq!(doorbell.ring(), Ok(Rung::Woken));
}

#[test]
fn word_of_whom_nobody_knows_is_a_violation() {
    let (_lookout, doorbell, place) = word();
    let value = &word_of(&place).unwrap().value;

    value.store(LOOP, Ordering::SeqCst);
    assert_eq!(doorbell.ring(), Err(Violation::NoEvent));
    value.store(EVENT, Ordering::SeqCst);
    assert_eq!(doorbell.ring(), Err(Violation::NoEvent));
}

#[test]
fn loops_are_limited_and_their_numbers_rise() {
    let (_lookout, doorbell, _place) = word();
    let most = u32::try_from(LOOPS_MAX).unwrap();
    (1..=most).for_each(|number| doorbell.add_loop(number, None).unwrap());

    let beyond = most + 1;
    assert_eq!(doorbell.add_loop(beyond, None), Err(Violation::Loop { number: beyond }));
    doorbell.remove_loop(3).unwrap();
    assert_eq!(doorbell.remove_loop(3), Err(Violation::Loop { number: 3 }));
    assert_eq!(doorbell.add_loop(3, None), Err(Violation::Loop { number: 3 }));
    assert_eq!(doorbell.add_loop(beyond, None), Ok(()));
    doorbell.forget_loops();
    assert_eq!(doorbell.remove_loop(beyond), Err(Violation::Loop { number: beyond }));
}

#[test]
fn scribbled_word_keeps_nobody_from_being_woken_here() {
    let (lookout, _doorbell, place) = word();
    let is_over = AtomicBool::new(false);

    std::thread::scope(|scope| {
        let asleep = scope.spawn(|| {
            let mut sleeper = lookout.try_sleeper().unwrap();
            while !is_over.load(Ordering::SeqCst) {
                sleeper.sleep(None, || is_over.load(Ordering::SeqCst));
            }
        });
        for value in 0..10_000 {
            word_of(&place).unwrap().value.store(value, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
        lookout.wake_sleeper();
        asleep.join().unwrap();
    });
}

//! A ring against a queue, and against a peer that writes what it likes.
//! Owns: the model. Must not know: waking.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::segment::{Segment, Sharing};
use crate::sync::Ordering;

const CAPACITY: usize = 64;

/// A ring in a segment, with both of its ends.
struct Ring {
    producer: Producer,
    consumer: Consumer,
    place: RingPlace,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        let (segment, _fd) = Segment::create(size_of::<Lines>() + capacity, Sharing::NotWithForks).unwrap();
        let segment = Arc::new(segment);
        let lines = Place::new(&segment, 0, 1).unwrap();
        let words = Place::new(&segment, size_of::<Lines>(), capacity / 8).unwrap();
        let place = RingPlace::new(lines, words).unwrap();
        Self { producer: place.producer(), consumer: place.consumer(), place }
    }

    fn lines(&self) -> &Lines {
        lines_of(&self.place.lines).unwrap()
    }

    /// Lets both ends begin as if `count` bytes had passed.
    fn start_at(mut self, count: u32) -> Self {
        (self.producer.tail, self.producer.head) = (count, count);
        (self.consumer.tail, self.consumer.head) = (count, count);
        self.lines().tail.tail.store(count, Ordering::Relaxed);
        self.lines().head.head.store(count, Ordering::Relaxed);
        self.consumer.inlet().read_to.store(count, Ordering::Relaxed);
        self
    }

    fn read(&mut self, most: usize) -> Vec<u8> {
        let mut target = vec![0; most];
        match self.consumer.read(&mut target).unwrap() {
            Received::Bytes { count, .. } => target.truncate(count),
            Received::Empty | Received::End => target.clear(),
        }
        target
    }
}

#[test]
fn what_is_fetched_beforehand_changes_nothing_wherever_the_ends_are() {
    for start in [0, 1, 56, 63, u32::MAX - 8, u32::MAX] {
        let mut ring = Ring::new(CAPACITY).start_at(start);
        ring.producer.outlet().expect_write();
        ring.producer.write(&[7; 40]).unwrap();

        ring.producer.outlet().expect_write();
        ring.consumer.inlet().expect_read();

        assert_eq!(ring.read(CAPACITY), [7; 40]);
    }
}

#[test]
fn only_powers_of_two_are_a_capacity() {
    let (segment, _fd) = Segment::create(4096, Sharing::NotWithForks).unwrap();
    let segment = Arc::new(segment);

    let is_ring = |words| {
        RingPlace::new(Place::new(&segment, 0, 1).unwrap(), Place::new(&segment, 256, words).unwrap()).is_some()
    };

    assert_eq!([0, 1, 2, 3, 4, 480].map(is_ring), [false, true, true, false, true, false]);
    assert!(Place::<AtomicU64>::new(&segment, 256, 481).is_none());
    assert!(Place::<AtomicU64>::new(&segment, 252, 1).is_none());
    assert!(Place::<Lines>::new(&segment, 0, usize::MAX).is_none());
}

#[test]
fn indices_stand_on_lines_of_their_own() {
    assert_eq!((size_of::<TailLine>(), size_of::<HeadLine>(), size_of::<Lines>()), (128, 128, 256));
}

#[test]
fn message_in_parts_is_one_run_of_bytes() {
    let mut ring = Ring::new(CAPACITY);

    ring.producer.write_whole(&[b"he", b"", b"llo", b" world, how are you"]).unwrap();

    assert_eq!(ring.read(100), b"hello world, how are you");
    assert_eq!(ring.read(100), b"");
}

#[test]
fn message_that_does_not_fit_is_not_written_in_part() {
    let mut ring = Ring::new(CAPACITY);
    ring.producer.write_whole(&[&[1; 60]]).unwrap();

    assert_eq!(ring.producer.write_whole(&[&[2; 3], &[2; 2]]), Err(RingError::Full));
    assert_eq!(ring.producer.free(), Ok(4));

    assert_eq!(ring.read(100), [1; 60]);
    assert_eq!(ring.producer.write_whole(&[&[2; 3], &[2; 2]]), Ok(()));
    assert_eq!(ring.read(100), [2; 5]);
}

#[test]
fn message_longer_than_the_ring_is_told_so() {
    let mut ring = Ring::new(CAPACITY);

    let told = RingError::TooLong { bytes: 65, capacity: 64 };
    assert_eq!(ring.producer.write_whole(&[&[1; 60], &[1; 5]]), Err(told));
    assert_eq!(ring.producer.write_whole(&[&[1; 64]]), Ok(()));
}

#[test]
fn reader_learns_that_the_writer_waits() {
    let mut ring = Ring::new(CAPACITY);
    let mut target = [0; 10];
    assert_eq!(ring.producer.write(&[1; 70]), Ok(64));
    let outlet = ring.producer.outlet();

    assert!(!outlet.has_news());
    assert_eq!(ring.consumer.read(&mut target), Ok(Received::Bytes { count: 10, wants_room: true }));
    assert!(outlet.has_news());

    assert_eq!(ring.producer.write(&[2; 6]), Ok(6));
    assert!(!outlet.has_news());
    assert_eq!(ring.consumer.read(&mut target), Ok(Received::Bytes { count: 10, wants_room: false }));
}

#[test]
fn end_comes_after_the_last_byte() {
    let mut ring = Ring::new(CAPACITY);
    let inlet = ring.consumer.inlet();
    ring.producer.write(b"last").unwrap();

    ring.producer.close();

    assert_eq!(ring.producer.write(b"more"), Err(RingError::Closed));
    assert!(inlet.has_news());
    assert_eq!(ring.read(10), b"last");
    assert!(inlet.has_news());
    assert_eq!(ring.consumer.read(&mut [0; 10]), Ok(Received::End));
    assert!(!inlet.has_news());
}

#[test]
fn writer_learns_that_nobody_reads() {
    let mut ring = Ring::new(CAPACITY);
    ring.producer.write(&[1; 64]).unwrap();
    assert_eq!(ring.producer.write(b"x"), Err(RingError::Full));

    ring.consumer.close();

    assert!(ring.producer.outlet().has_news());
    assert_eq!(ring.producer.write(b"x"), Err(RingError::Gone));
}

#[test]
fn index_beyond_what_is_possible_is_a_violation() {
    for wrong in [65, 1 << 31, u32::MAX] {
        let mut ring = Ring::new(CAPACITY);
        ring.lines().tail.tail.store(wrong, Ordering::Relaxed);

        let violation = Violation::RingIndex { found: wrong, before: 0, limit: 64 };
        assert_eq!(ring.consumer.read(&mut [0; 8]), Err(violation.into()));
    }
}

#[test]
fn head_ahead_of_the_tail_or_behind_itself_is_a_violation() {
    for wrong in [11, 2, u32::MAX] {
        let mut ring = Ring::new(CAPACITY);
        ring.producer.write(&[1; 10]).unwrap();
        ring.read(3);
        ring.producer.free().unwrap();

        ring.lines().head.head.store(wrong, Ordering::Relaxed);

        let violation = Violation::RingIndex { found: wrong, before: 3, limit: 7 };
        assert_eq!(ring.producer.free(), Err(violation.into()));
    }
}

#[test]
fn own_index_is_never_read_back() {
    let mut ring = Ring::new(CAPACITY);
    ring.producer.write(b"one").unwrap();

    ring.lines().tail.tail.store(77, Ordering::Relaxed);
    ring.producer.write(b"two").unwrap();

    assert_eq!(ring.read(10), b"onetwo");
    ring.lines().head.head.store(6, Ordering::Relaxed);
    assert_eq!(ring.producer.free(), Ok(64));
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    WriteWhole(Vec<Vec<u8>>),
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = |most: usize| prop::collection::vec(any::<u8>(), 0..most);
    let step = prop_oneof![
        bytes(100).prop_map(Step::Write),
        prop::collection::vec(bytes(30), 0..4).prop_map(Step::WriteWhole),
        (0..100_usize).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn ring_is_a_bounded_queue(start in any::<u32>(), power in 3..9_u32, steps in steps()) {
        let capacity = 1_usize << power;
        let mut ring = Ring::new(capacity).start_at(start);
        let mut model: VecDeque<u8> = VecDeque::new();
        for step in steps {
            let room = capacity - model.len();
            match step {
                Step::Write(bytes) => {
                    let expected = if room == 0 && !bytes.is_empty() { Err(RingError::Full) } else { Ok(room.min(bytes.len())) };
                    prop_assert_eq!(ring.producer.write(&bytes), expected);
                    model.extend(&bytes[..expected.unwrap_or(0)]);
                }
                Step::WriteWhole(parts) => {
                    let all = parts.concat();
                    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    let expected = match all.len() {
                        bytes if bytes > capacity => Err(RingError::TooLong { bytes, capacity }),
                        bytes if bytes > room => Err(RingError::Full),
                        _ => Ok(()),
                    };
                    prop_assert_eq!(ring.producer.write_whole(&slices), expected);
                    model.extend(expected.map_or(&[][..], |()| &all));
                }
                Step::Read(most) => {
                    let count = most.min(model.len());
                    let expected: Vec<u8> = model.drain(..count).collect();
                    prop_assert_eq!(ring.consumer.inlet().has_news(), count > 0 || !model.is_empty());
                    prop_assert_eq!(ring.read(most), expected);
                }
            }
            prop_assert_eq!(ring.producer.free(), Ok(capacity - model.len()));
            prop_assert_eq!(ring.consumer.available(), Ok(model.len()));
        }
    }

    #[test]
    fn whatever_the_control_words_say_both_ends_return(words in prop::collection::vec((0..6_usize, any::<u32>()), 1..50)) {
        let mut ring = Ring::new(CAPACITY);
        for (word, value) in words {
            let lines = ring.lines();
            let word = [&lines.tail.tail, &lines.tail.is_closed, &lines.tail.wants_room, &lines.tail.core,
                &lines.head.head, &lines.head.is_gone][word];
            word.store(value, Ordering::Relaxed);
            let written = ring.producer.write(&[1; 40]);
            let read = ring.consumer.read(&mut [0; 50]);

            prop_assert!(written.is_err() || written.is_ok_and(|count| count <= 40));
            let is_too_much = matches!(read, Ok(Received::Bytes { count: 51.., .. }));
            prop_assert!(!is_too_much);
            let _ = (ring.producer.outlet().has_news(), ring.consumer.inlet().has_news());
        }
    }
}

//! Two processes over one channel: everything arrives, everybody wakes, a death leaves nothing behind.

mod support;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elsewhere_shm::wake::{Rung, Waited};
use elsewhere_shm::{Channel, RING_BYTES, Received, RingError, Segment, SegmentError, Sharing, Violation};
use support::*;

const MESSAGES: u32 = 1_000_000;

#[test]
fn peer_main() {
    let Some((role, fd)) = role() else { return };
    match role.as_str() {
        "echoes" => echo(&mut Channel::open(fd).unwrap()),
        "scribbles" => scribble(&fd, || false),
        _ => unreachable!("{role}"),
    }
}

/// Sends back what comes, until the end. Never blocks on sending without receiving.
fn echo(channel: &mut Channel) {
    let mut buffer = vec![0; RING_BYTES];
    let mut queued = VecDeque::new();
    let mut is_over = false;
    while !is_over || !queued.is_empty() {
        let is_stuck = flush(channel, &mut queued);
        match channel.receiver.receive(&mut buffer).unwrap() {
            Received::Bytes { count, .. } => queued.extend(&buffer[..count]),
            Received::End if is_over && is_stuck => drop(sleep(channel, None)),
            Received::End => is_over = true,
            Received::Empty if is_stuck || queued.is_empty() => drop(sleep(channel, None)),
            Received::Empty => {}
        }
    }
    channel.sender.close();
}

/// Sends what is queued, and tells whether something remains.
fn flush(channel: &mut Channel, queued: &mut VecDeque<u8>) -> bool {
    while !queued.is_empty() {
        match channel.sender.send(queued.as_slices().0) {
            Ok((sent, _)) => drop(queued.drain(..sent)),
            Err(RingError::Full) => return true,
            Err(error) => panic!("{error}"),
        }
    }
    false
}

/// Writes what looks random everywhere in the memory of a channel, some of it in the form of plausible indices.
fn scribble(fd: &OwnedFd, is_over: impl Fn() -> bool) {
    let segment = whole(fd);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    while !is_over() {
        let number = numbers.next();
        let is_control = number & 1 == 0;
        let limit = if is_control { 1024 } else { segment.bytes() as u64 };
        let offset = usize::try_from(numbers.next() % (limit / 8)).unwrap() * 8;
        let value = match number >> 1 & 3 {
            0 => numbers.next(),
            1 => numbers.next() % 4,
            _ => numbers.next() % RING_BYTES as u64,
        };
        assert!(segment.write(offset, &value.to_ne_bytes()));
    }
}

fn whole(fd: &OwnedFd) -> Segment {
    let bytes = usize::try_from(rustix::fs::fstat(fd).unwrap().st_size).unwrap();
    Segment::open(fd, bytes, Sharing::WithForks).unwrap()
}

/// A message that tells its number and its length; its length differs from its neighbours'.
fn message(number: u32) -> Vec<u8> {
    let len = 8 + usize::try_from(number.wrapping_mul(2_654_435_761) >> 26).unwrap();
    let mut bytes = vec![number as u8; len];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..8].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
    bytes
}

#[test]
fn million_messages_come_back_whole_and_in_order() {
    let _watchdog = Watchdog::new("million_messages_come_back_whole_and_in_order");
    let (mut channel, fd) = Channel::create().unwrap();
    let mut peer = start("echoes", fd);
    let mut buffer = vec![0; RING_BYTES];
    let mut arrived: VecDeque<u8> = VecDeque::new();
    let (mut sent, mut checked) = (0, 0);

    while checked < MESSAGES {
        while sent < MESSAGES {
            match channel.sender.send_whole(&[&message(sent)]) {
                Ok(()) => sent += 1,
                Err(RingError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        match channel.receiver.receive(&mut buffer).unwrap() {
            Received::Bytes { count, .. } => arrived.extend(&buffer[..count]),
            Received::Empty => drop(sleep(&channel, None)),
            Received::End => panic!("the peer left"),
        }
        while checked < sent && arrived.len() >= message(checked).len() {
            let expected = message(checked);
            assert!(arrived.drain(..expected.len()).eq(expected), "message {checked}");
            checked += 1;
        }
    }
    channel.sender.close();

    assert_eq!(receive(&mut channel, &mut buffer), Ok(None));
    assert!(peer.wait().unwrap().success());
}

#[test]
fn each_message_wakes_a_peer_that_sleeps() {
    let _watchdog = Watchdog::new("each_message_wakes_a_peer_that_sleeps");
    let (mut channel, fd) = Channel::create().unwrap();
    let mut peer = start("echoes", fd);
    let mut back = [0; 100];

    for number in 0..20_000 {
        let message = message(number);
        channel.sender.send_whole(&[&message]).unwrap();
        let mut count = 0;
        while count < message.len() {
            count += receive(&mut channel, &mut back[count..]).unwrap().unwrap();
        }
        assert_eq!(back[..count], message);
    }

    channel.sender.close();
    assert!(peer.wait().unwrap().success());
}

#[test]
fn peer_killed_in_the_middle_leaves_memory_that_can_be_read_and_goes() {
    let _watchdog = Watchdog::new("peer_killed_in_the_middle_leaves_memory_that_can_be_read_and_goes");
    let mut numbers = Numbers(88_172_645_463_325_252);
    for _ in 0..20 {
        let (mut channel, fd) = Channel::create().unwrap();
        let inode = inode(&fd);
        let mut peer = start("echoes", fd);
        let is_over = AtomicBool::new(false);
        channel.sender.send(&[7; 100]).unwrap();
        receive(&mut channel, &mut [0; 100]).unwrap().unwrap(); // it is up

        let lookout = Arc::clone(&channel.lookout);
        std::thread::scope(|scope| {
            let killing = scope.spawn(|| {
                std::thread::park_timeout(Duration::from_micros(numbers.next() % 2000)); // any instant will do
                peer.kill().unwrap();
                assert_eq!(peer.wait().unwrap().signal(), Some(9));
                is_over.store(true, Ordering::SeqCst);
                lookout.wake_sleeper();
            });
            let mut buffer = [0; 1000];
            while !is_over.load(Ordering::SeqCst) {
                let _ = channel.sender.send(&[1; 300]);
                if channel.receiver.receive(&mut buffer).unwrap() == Received::Empty {
                    channel.lookout.try_sleeper().unwrap().sleep(None, || is_over.load(Ordering::SeqCst));
                }
            }
            while channel.receiver.receive(&mut buffer).unwrap() != Received::Empty {}
            killing.join().unwrap();
        });
        drop((channel, lookout));

        assert!(!is_mapped(inode));
    }
}

/// Uses both halves of a channel in every way, so often, and tells how often that was an error.
fn use_in_every_way(channel: &mut Channel, rounds: usize) -> usize {
    let mut failed = 0;
    let mut buffer = vec![0; 20_000];
    let mut numbers = Numbers(1);
    for _ in 0..rounds {
        let number = usize::try_from(numbers.next() % 20_000).unwrap();
        let sent = channel.sender.send(&buffer[..number]);
        let whole = channel.sender.send_whole(&[&buffer[..number / 2], &buffer[..number / 3]]);
        let spinner = channel.lookout.spin();
        let received = channel.receiver.receive(&mut buffer[..number]);
        drop(spinner);
        assert!(sent.is_err() || sent.is_ok_and(|(count, _)| count <= number));
        assert!(received.is_err() || !matches!(received, Ok(Received::Bytes { count, .. }) if count > number));
        let _ = channel.doorbell.ring();
        sleep(channel, Some(Duration::from_micros(50)));
        failed += [sent.is_err(), whole.is_err(), received.is_err()].into_iter().filter(|is_error| *is_error).count();
    }
    failed
}

#[test]
fn process_that_scribbles_causes_errors_and_nothing_else() {
    let _watchdog = Watchdog::new("process_that_scribbles_causes_errors_and_nothing_else");
    let (mut channel, fd) = Channel::create().unwrap();
    let before = channel.lookout.news().inlet.peer_core();
    let mut peer = start("scribbles", fd);
    while channel.lookout.news().inlet.peer_core() == before {
        std::thread::yield_now(); // it has not begun
    }

    let failed = use_in_every_way(&mut channel, 5000);

    peer.kill().unwrap();
    peer.wait().unwrap();
    assert!(failed > 0);
}

#[test]
fn thread_that_scribbles_causes_errors_and_nothing_else() {
    let _watchdog = Watchdog::new("thread_that_scribbles_causes_errors_and_nothing_else");
    for _ in 0..10 {
        let (mut channel, fd) = Channel::create().unwrap();
        let is_over = AtomicBool::new(false);

        let failed = std::thread::scope(|scope| {
            let scribbling = scope.spawn(|| scribble(&fd, || is_over.load(Ordering::Relaxed)));
            let failed = use_in_every_way(&mut channel, 500);
            is_over.store(true, Ordering::Relaxed);
            scribbling.join().unwrap();
            failed
        });

        assert!(failed > 0);
    }
}

#[test]
fn memory_that_is_no_channel_is_refused() {
    let bytes = {
        let (_channel, fd) = Channel::create().unwrap();
        whole(&fd).bytes()
    };
    let (_segment, fd) = Segment::create(bytes, Sharing::WithForks).unwrap();
    let (_small, small) = Segment::create(4096, Sharing::WithForks).unwrap();

    assert!(matches!(Channel::open(&fd), Err(SegmentError::Violated(Violation::Layout { found: 0, .. }))));
    assert!(matches!(Channel::open(&small), Err(SegmentError::WrongSize { .. })));
}

#[test]
fn end_of_one_side_is_told_to_the_other() {
    let _watchdog = Watchdog::new("end_of_one_side_is_told_to_the_other");
    let (mut here, fd) = Channel::create().unwrap();
    let mut there = Channel::open(&fd).unwrap();
    here.sender.send(b"last").unwrap();
    let mut buffer = [0; 10];

    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            assert_eq!(receive(&mut there, &mut buffer), Ok(Some(4)));
            receive(&mut there, &mut buffer)
        });
        drop(here);
        assert_eq!(reading.join().unwrap(), Ok(None));
    });

    assert!(there.lookout.news().outlet.is_gone() && there.lookout.news().inlet.is_closed());
    assert_eq!(there.sender.send(&vec![0; RING_BYTES]), Ok((RING_BYTES, Rung::Nobody)));
    assert_eq!(there.sender.send(b"x"), Err(RingError::Gone));
}

#[test]
fn child_of_a_fork_cannot_touch_the_rings() {
    let _watchdog = Watchdog::new("child_of_a_fork_cannot_touch_the_rings");
    let (channel, fd) = Channel::create().unwrap();
    let mut there = Channel::open(&fd).unwrap();
    let channel = Arc::new(Mutex::new(channel));
    let inherited = Arc::clone(&channel);
    let mut command = Command::new("true");
    let touch = move || {
        let mut channel = inherited.lock().unwrap();
        let (sent, received) = (channel.sender.send(b"x"), channel.receiver.receive(&mut [0; 8]));
        channel.sender.close();
        let waited = sleep(&channel, None);
        let is_refused = (sent, received) == (Err(RingError::Inherited), Err(RingError::Inherited));
        if is_refused && waited == Waited::Changed { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
    };
    // SAFETY: in the child the closure takes a lock that nobody held at the fork, and makes no allocation.
    unsafe { command.pre_exec(touch) };

    assert!(command.status().unwrap().success());

    let mut here = channel.lock().unwrap();
    assert_eq!(here.sender.send(b"still here"), Ok((10, Rung::Nobody)));
    assert_eq!(receive(&mut there, &mut [0; 100]), Ok(Some(10)));
}

//! The shared memory of one connection, and its two ends.
//! Owns: where everything lies in the segment. Must not know: frames, who started whom.
//!
//! The end that makes the channel hands the descriptor to the other, which opens it once. After a page of control words come
//! the free tables of the buffers, the recorder and the two rings; all of it is mapped and present from the start.

use std::os::fd::{AsFd, OwnedFd};

use crate::error::{SegmentError, Violation};
use crate::place::Place;
use crate::pool::{self, Holdings, Pool};
use crate::recorder::{self, Recorder};
use crate::ring::{Consumer, Inlet, Lines, Outlet, Producer, Received, RingError, RingPlace};
use crate::segment::{Segment, Sharing};
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::wake::{Doorbell, Lookout, News, Rung, WakeLine};

/// Bytes that each ring can hold.
pub const RING_BYTES: usize = 64 * 1024;

/// The first word of the segment: the layout. It changes with whatever changes in this file.
const LAYOUT: u64 = u64::from_le_bytes(*b"elswhr\x03\x00");

const SIGN: usize = 0;
const RECORDED: usize = 8;
const WAKES: [usize; 2] = [128, 256];
const LINES: [usize; 2] = [512, 768];
const TABLES: usize = 4096;
const RECORDER: usize = TABLES + pool::BYTES;
const RINGS: [usize; 2] = [RECORDER + recorder::BYTES, RECORDER + recorder::BYTES + RING_BYTES];
const BYTES: usize = RECORDER + recorder::BYTES + 2 * RING_BYTES;

/// Which end this is. Each ring has the number of the side that writes it, each wake word that of the side it wakes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Maker = 0,
    Opener = 1,
}

/// One end of a connection in shared memory.
#[derive(Debug)]
pub struct Channel {
    /// Sends; who shares it between threads locks it.
    pub sender: Sender,
    /// Receives; who shares it between threads locks it.
    pub receiver: Receiver,
    /// Where threads of this side wait.
    pub lookout: Arc<Lookout<ChannelNews>>,
    /// Wakes the other side, for whoever has no message for it.
    pub doorbell: Arc<Doorbell>,
    /// The buffers of both sides.
    pub pool: Pool,
    /// What the side that runs calls records of them, for the other to read after its death.
    pub recorder: Recorder,
}

/// The sending half of an end.
#[derive(Debug)]
pub struct Sender {
    producer: Producer,
    doorbell: Arc<Doorbell>,
}

/// The receiving half of an end.
#[derive(Debug)]
pub struct Receiver {
    consumer: Consumer,
    doorbell: Arc<Doorbell>,
}

/// What the threads of an end wait for: bytes, and room after a ring was full.
#[derive(Debug)]
pub struct ChannelNews {
    /// The receiving half, as others see it.
    pub inlet: Arc<Inlet>,
    /// The sending half, as others see it.
    pub outlet: Arc<Outlet>,
}

impl Channel {
    /// Makes a channel. The descriptor is for the other end.
    ///
    /// # Errors
    /// Those of [`Segment::create`].
    pub fn create() -> Result<(Self, OwnedFd), SegmentError> {
        let (segment, fd) = Segment::create(BYTES, Sharing::NotWithForks)?;
        let segment = Arc::new(segment);
        let sign = Place::<AtomicU64>::new(&segment, SIGN, 1);
        if let Some(sign) = sign.as_ref().and_then(|place| place.get()?.first()) {
            sign.store(LAYOUT, Ordering::Relaxed); // handing over the descriptor orders it
        }
        Ok((Self::over(&segment, Side::Maker)?, fd))
    }

    /// Opens the other end, once: two openers would write over each other.
    ///
    /// # Errors
    /// Those of [`Segment::open`], and [`SegmentError::Violated`] if it was not made by [`Channel::create`] of this version.
    pub fn open(fd: impl AsFd) -> Result<Self, SegmentError> {
        let segment = Arc::new(Segment::open(fd, BYTES, Sharing::NotWithForks)?);
        let sign = Place::<AtomicU64>::new(&segment, SIGN, 1);
        let sign = sign.as_ref().and_then(|place| place.get()?.first());
        let found = sign.map_or(0, |sign| sign.load(Ordering::Relaxed)); // see `create`
        if found != LAYOUT {
            return Err(Violation::Layout { found, expected: LAYOUT }.into());
        }
        Self::over(&segment, Side::Opener)
    }

    fn over(segment: &Arc<Segment>, side: Side) -> Result<Self, SegmentError> {
        let (here, there) = if side == Side::Maker { (0, 1) } else { (1, 0) };
        let impossible = || SegmentError::Size(segment.bytes());
        let ring = |number: usize| {
            let lines = Place::<Lines>::new(segment, *LINES.get(number)?, 1)?;
            RingPlace::new(lines, Place::new(segment, *RINGS.get(number)?, RING_BYTES / size_of::<u64>())?)
        };
        let wake = |number: usize| Place::<WakeLine>::new(segment, *WAKES.get(number)?, 1);
        let doorbell = Arc::new(Doorbell::new(wake(there).ok_or_else(impossible)?));
        let producer = ring(here).ok_or_else(impossible)?.producer();
        let consumer = ring(there).ok_or_else(impossible)?.consumer();
        let news = ChannelNews { inlet: consumer.inlet(), outlet: producer.outlet() };
        let lookout = Arc::new(Lookout::new(wake(here).ok_or_else(impossible)?, news));
        let sender = Sender { producer, doorbell: Arc::clone(&doorbell) };
        let receiver = Receiver { consumer, doorbell: Arc::clone(&doorbell) };
        let pool = Pool::over(segment, TABLES, side == Side::Maker, Holdings::of_process())?;
        let entries = Place::new(segment, RECORDER, recorder::CALLS).ok_or_else(impossible)?;
        let recorder = Recorder::new(entries, Place::new(segment, RECORDED, 1).ok_or_else(impossible)?);
        Ok(Self { sender, receiver, lookout, doorbell, pool, recorder })
    }
}

impl Sender {
    /// Sends a prefix of `bytes`, and wakes the peer; tells the prefix's length, and whether the peer slept. If that is not
    /// all, the peer wakes this side when it has made room.
    ///
    /// # Errors
    /// Those of [`Producer::write`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(usize, Rung), RingError> {
        let sent = self.producer.write(bytes)?;
        Ok((sent, self.doorbell.ring()?))
    }

    /// Sends all `parts`, one behind the other, or nothing, and wakes the peer.
    ///
    /// # Errors
    /// Those of [`Producer::write_whole`].
    pub fn send_whole(&mut self, parts: &[&[u8]]) -> Result<(), RingError> {
        self.producer.write_whole(parts)?;
        self.doorbell.ring()?;
        Ok(())
    }

    /// The ring behind it.
    pub fn producer(&mut self) -> &mut Producer {
        &mut self.producer
    }

    /// Ends the direction: the peer still receives what was sent. A second time does nothing.
    pub fn close(&mut self) {
        self.producer.close();
        let _ = self.doorbell.ring(); // a peer that broke its word misses its own wake
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.close();
    }
}

impl Receiver {
    /// Receives what is there, at most as much as `target` takes, and wakes the peer if it waits for the room.
    ///
    /// # Errors
    /// Those of [`Consumer::read`].
    pub fn receive(&mut self, target: &mut [u8]) -> Result<Received, RingError> {
        let received = self.consumer.read(target)?;
        if let Received::Bytes { wants_room: true, .. } = received {
            self.doorbell.ring()?;
        }
        Ok(received)
    }

    /// The ring behind it.
    pub fn consumer(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// Tells the peer that nothing is received any more. A second time does nothing.
    pub fn close(&mut self) {
        self.consumer.close();
        let _ = self.doorbell.ring(); // a peer that broke its word misses its own wake
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.close();
    }
}

impl News for ChannelNews {
    fn is_there(&self) -> bool {
        self.inlet.has_news() || self.outlet.has_news()
    }

    fn falls_asleep(&self) {
        self.outlet.tell_core();
    }
}

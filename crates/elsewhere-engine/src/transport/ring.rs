//! A stream through memory that two processes share, beside a socket that tells of its end and wakes whoever polls.
//! Owns: who of the two uses the memory, and what is said over the socket about it. Must not know: frames, links, threads'
//! turns.
//!
//! The maker of a socket pair offers the memory with the first byte on it, before the other process starts: [`OFFER`] with a
//! descriptor, or [`NOTHING`]. A preface, for programs that have to be told what they are, comes before that. To an offer the other answers with one byte: [`TAKEN`], and from then on both send through
//! the memory; or [`REFUSED`], and both go on over the socket, as after [`NOTHING`]; or [`TABLES`] with one of two more connected
//! sockets: then both send over the first one, and use of the memory the free tables alone, with the words of `buffers` going
//! over the other. The maker sends nothing before it has
//! the answer. Between processes that have proven themselves to each other over a Unix socket the one that connected is the
//! maker, and the offer is what it sends after the proof. In use, what comes over the socket is its end, and the words of `buffers`: of memory that is lent or shared,
//! and one that only wakes who polls.
//!
//! What was sent through the memory before the end of the socket is there to read after it, so the end is told when the
//! socket has ended and the memory is found empty after that.

mod polled;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use elsewhere_shm::wake::{Budget, Event, Lookout, News as _, Outlook, Rung, Traffic, Turns, Waited};
use elsewhere_shm::{Channel, ChannelNews, Received, Receiver, Recorder, RingError, Sender, cores};
use rustix::event::{PollFd, epoll};
use rustix::io::{Errno, Result, retry_on_intr};

use super::{Half, Interest, PeerEnd};
use crate::buffers::{Buffers, Word};
use crate::lock::lock;
use crate::socket::{self, Stream};

use polled::Polled;

const OFFER: u8 = b'M';
const NOTHING: u8 = b'N';
const TAKEN: u8 = b'T';
const REFUSED: u8 = b'R';
const TABLES: u8 = b'B';

/// What has been agreed on. The maker is not decided until the peer has answered.
const UNDECIDED: u8 = 0;
const MEMORY: u8 = 1;
const SOCKET: u8 = 2;
const BESIDE: u8 = 3;

/// How long a thread may look for news before it sleeps: about as long as waking it would take.
const SPINS: Duration = Duration::from_micros(100);
/// Looks between two looks at the clock.
const LOOKS: usize = 16;
/// Looks before the first look at the clock, which costs as much as several of them: a microsecond.
const FIRST_LOOKS: usize = 48;
/// Whoever looks and finds that so much time has passed since the look before was not running: others want the core.
const PREEMPTED: Duration = Duration::from_micros(25);

/// How often the core is given up in one wait: the first turn is the peer's, if it is ready to run.
const TURNS: usize = 3;
/// Whoever waited so long for the core was not waiting for a short call, or not for the peer alone.
const LONG: Duration = Duration::from_micros(50);

/// What was said since the last wait began.
const SILENCE: u8 = 0;
const TALK: u8 = 1;
const WAKING: u8 = 2;

/// An end in shared memory, or where there is none, the socket alone.
pub(super) type Shared = std::result::Result<End, Stream>;

/// One end.
#[derive(Debug)]
pub struct End {
    socket: Stream,
    agreed: AtomicU8,
    sender: Mutex<Sender>,
    receiver: Mutex<Receiver>,
    lookout: Arc<Lookout<ChannelNews>>,
    recorder: Arc<Recorder>,
    polled: Mutex<Polled>,
    budget: Budget,
    turns: Turns,
    /// Whether something was sent or received since the last wait began, and whether the peer had to be woken for it.
    traffic: AtomicU8,
    is_shut: AtomicBool,
    has_socket_ended: AtomicBool,
    violation: OnceLock<String>,
    buffers: Arc<Buffers>,
}

/// The two ends of a stream to a process that is still to come: ours, and the socket that it is given. The other value says
/// why there is no shared memory, where it was wanted and could not be had.
pub(super) fn offer(is_wanted: bool, preface: &[u8]) -> Result<(Shared, OwnedFd, Option<String>)> {
    let (ours, theirs) = socket::pair()?;
    send_preface(&ours, preface)?;
    let (ours, problem) = offer_on(ours, is_wanted)?;
    Ok((ours, theirs, problem))
}

/// Our end of the stream over `ours`, one of a pair whose other end nobody has written to.
pub(super) fn offer_on(ours: OwnedFd, is_wanted: bool) -> Result<(Shared, Option<String>)> {
    let made = is_wanted.then(Channel::create);
    let problem = match made {
        Some(Ok((channel, memory))) => match socket::send_with(&ours, &[OFFER], &[memory.as_fd()]) {
            Ok(()) => return Ok((Ok(End::new(Stream::new(ours), channel, UNDECIDED)), None)),
            Err(error) => Some(format!("its descriptor could not be sent: {error}")),
        },
        Some(Err(error)) => Some(error.to_string()),
        None => None,
    };
    socket::send_with(&ours, &[NOTHING], &[])?;
    Ok((Err(Stream::new(ours)), problem))
}

/// Nobody reads it yet, so it has to find room in the socket.
fn send_preface(ours: &OwnedFd, preface: &[u8]) -> Result<()> {
    if preface.is_empty() {
        return Ok(());
    }
    // As much as the system gives; it is generous, and the rest of the socket's life needs no more than usual.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(ours, preface.len().saturating_mul(4));
    let stream = Stream::new(ours.try_clone().map_err(|_| Errno::MFILE)?);
    let mut sent = 0;
    while let Some(rest) = preface.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += stream.send(rest)?;
    }
    Ok(())
}

/// Our end of a stream to who has just proven itself over `socket`, which has room: both sides have read all.
pub(super) fn offer_over(socket: OwnedFd) -> Shared {
    if let Ok((channel, memory)) = Channel::create()
        && socket::send_with(&socket, &[OFFER], &[memory.as_fd()]).is_ok()
    {
        return Ok(End::new(Stream::new(socket), channel, UNDECIDED));
    }
    let stream = Stream::new(socket);
    send_word(&stream, NOTHING);
    Err(stream)
}

/// What the maker said of memory. The first byte on the socket, and nothing of what follows it.
#[derive(Debug)]
pub(crate) struct Offer {
    memory: Option<Result<OwnedFd>>,
}

impl Offer {
    /// Takes it from the socket; None if that has ended instead.
    ///
    /// # Errors
    /// AGAIN where nothing is there yet, PROTO where something else is.
    pub(crate) fn try_take(socket: &OwnedFd) -> Result<Option<Self>> {
        let mut said = [0];
        let (count, memory) = socket::try_receive_with(socket, &mut said)?;
        Self::read(&said[..count], memory)
    }

    fn read(said: &[u8], memory: Vec<OwnedFd>) -> Result<Option<Self>> {
        match said.first() {
            Some(&OFFER) => Ok(Some(Self { memory: Some(memory.into_iter().next().ok_or(Errno::BADF)) })),
            Some(&NOTHING) => Ok(Some(Self { memory: None })),
            Some(_) => Err(Errno::PROTO),
            None => Ok(None),
        }
    }
}

/// The other end, over the socket that [`offer`] made, or of the pair that [`offer_on`] has the other end of. Waits for the
/// offer, which may still be on its way to a fork.
pub(super) fn answer(socket: OwnedFd) -> Result<Shared> {
    let (said, memory) = retry_on_intr(|| socket::receive_with(&socket, 1))?;
    let offer = Offer::read(&said, memory)?;
    let nothing = Offer { memory: None }; // its end is seen by whoever reads
    Ok(accept(socket, offer.unwrap_or(nothing)))
}

/// The end that takes what was offered over `socket`, if it can.
pub(super) fn accept(socket: OwnedFd, offer: Offer) -> Shared {
    let stream = Stream::new(socket);
    let Some(memory) = offer.memory else { return Err(stream) };
    match memory.and_then(|memory| Channel::open(memory).map_err(|_| Errno::NOMEM)) {
        Ok(channel) => {
            send_word(&stream, TAKEN);
            Ok(End::new(stream, channel, MEMORY))
        }
        Err(_) => {
            send_word(&stream, REFUSED);
            Err(stream)
        }
    }
}

/// Two ends in this process.
pub(super) fn pair() -> Result<(End, End)> {
    let (here, there) = socket::pair()?;
    let (maker, memory) = Channel::create().map_err(|_| Errno::NOMEM)?;
    let opener = Channel::open(memory).map_err(|_| Errno::NOMEM)?;
    Ok((End::new(Stream::new(here), maker, MEMORY), End::new(Stream::new(there), opener, MEMORY)))
}

/// Nothing is lost when it fails: a peer that reads nothing finds the word later, and one that has ended needs none.
fn send_word(stream: &Stream, word: u8) {
    let _ = stream.send(&[word]);
}

impl End {
    fn new(socket: Stream, channel: Channel, agreed: u8) -> Self {
        let Channel { sender, receiver, lookout, doorbell, pool, recorder } = channel;
        let buffers = Arc::new(Buffers::new(pool, socket.clone(), &doorbell));
        let learning: Weak<Buffers> = Arc::downgrade(&buffers);
        doorbell.set_learn(learning);
        let waking = socket.clone();
        doorbell.set_event(Arc::new(Event::new(move || {
            let _ = waking.send(&Word::Wake.to_bytes()); // lost where the socket is full, which wakes as well
        })));
        if agreed == MEMORY {
            buffers.turn_on();
        }
        Self {
            socket,
            agreed: AtomicU8::new(agreed),
            sender: Mutex::new(sender),
            receiver: Mutex::new(receiver),
            lookout,
            recorder: Arc::new(recorder),
            polled: Mutex::default(),
            budget: Budget::new(SPINS, cores::allowed()),
            turns: Turns::default(),
            traffic: AtomicU8::new(SILENCE),
            is_shut: AtomicBool::new(false),
            has_socket_ended: AtomicBool::new(false),
            violation: OnceLock::new(),
            buffers,
        }
    }

    /// The memory that is passed beside the bytes.
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// Acquire pairs with the Release in `decide`; the memory itself is ordered by its own indices.
    fn agreed(&self) -> u8 {
        self.agreed.load(Ordering::Acquire)
    }

    fn decide(&self, agreed: u8) {
        if agreed == MEMORY || agreed == BESIDE {
            self.buffers.turn_on();
        }
        self.agreed.store(agreed, Ordering::Release);
    }

    /// Whether the bytes go through the memory.
    pub(crate) fn is_memory(&self) -> bool {
        self.agreed() == MEMORY
    }

    /// What is recorded of calls.
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Whether the bytes go over the socket.
    fn is_over_socket(&self) -> bool {
        matches!(self.agreed(), SOCKET | BESIDE)
    }

    /// Whether the peer would not have the memory.
    pub(crate) fn is_refused(&self) -> bool {
        self.agreed() == SOCKET
    }

    /// What the peer broke, if it did.
    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.get().map(String::as_str)
    }

    pub(super) fn send(&self, bytes: &[u8]) -> Result<usize> {
        match self.agreed() {
            MEMORY => {
                let (sent, rung) = lock(&self.sender).send(bytes).map_err(|error| self.errno(error))?;
                self.note_traffic(if rung == Rung::Woken { WAKING } else { TALK });
                Ok(sent)
            }
            SOCKET | BESIDE => self.socket.send(bytes),
            _ if self.is_shut.load(Ordering::SeqCst) => Err(Errno::PIPE),
            _ => Err(Errno::AGAIN),
        }
    }

    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        match self.agreed() {
            MEMORY => self.receive_from_memory(buffer),
            SOCKET | BESIDE => self.socket.receive(buffer),
            _ => self.receive_answer(buffer),
        }
    }

    fn receive_from_memory(&self, buffer: &mut [u8]) -> Result<usize> {
        if self.is_shut.load(Ordering::SeqCst) {
            return Ok(0);
        }
        let has_ended = self.has_socket_ended.load(Ordering::SeqCst); // before the look at the memory
        match lock(&self.receiver).receive(buffer).map_err(|error| self.errno(error))? {
            Received::Bytes { count, .. } => {
                self.note_traffic(TALK);
                self.lookout.news().outlet.expect_write(); // the answer, or the next call
                Ok(count)
            }
            Received::End => Ok(0),
            Received::Empty if has_ended => Ok(0),
            Received::Empty => Err(Errno::AGAIN),
        }
    }

    /// The first of the peer. A peer that answers with something else speaks without being asked for an answer.
    fn receive_answer(&self, buffer: &mut [u8]) -> Result<usize> {
        let (count, fds) = socket::try_receive_with(&self.socket, buffer)?;
        match buffer.first() {
            Some(&TAKEN) if count > 0 => {
                self.decide(MEMORY);
                self.receive_from_memory(buffer)
            }
            Some(&answer @ (REFUSED | TABLES)) if count > 0 => {
                match fds.into_iter().next().filter(|_| answer == TABLES) {
                    Some(words) => {
                        self.buffers.go_over(Stream::new(words));
                        self.decide(BESIDE);
                    }
                    None => self.decide(SOCKET),
                }
                buffer.copy_within(1..count, 0);
                if count > 1 { Ok(count - 1) } else { self.socket.receive(buffer) }
            }
            _ if count > 0 => {
                self.decide(SOCKET);
                Ok(count)
            }
            _ => Ok(0),
        }
    }

    /// Takes what came over the socket, to wake and of memory, and notes its end. To be called when it is readable.
    pub(crate) fn take_wakes(&self) {
        if !self.is_memory() {
            return;
        }
        match self.buffers.take_words() {
            Ok(false) => {}
            Ok(true) => self.has_socket_ended.store(true, Ordering::SeqCst),
            Err(error) => {
                let _ = self.violation.set(error.to_string());
                self.has_socket_ended.store(true, Ordering::SeqCst);
            }
        }
    }

    fn errno(&self, error: RingError) -> Errno {
        match error {
            RingError::Full => Errno::AGAIN,
            RingError::Violated(violation) => {
                let _ = self.violation.set(violation.to_string());
                Errno::PROTO
            }
            _ => Errno::PIPE,
        }
    }

    pub(super) fn shutdown(&self, half: Half) {
        lock(&self.sender).close();
        if half == Half::Both {
            self.is_shut.store(true, Ordering::SeqCst);
            lock(&self.receiver).close();
        }
        self.socket.shutdown(half);
    }

    pub(super) fn peer_end(&self) -> PeerEnd {
        self.socket.peer_end()
    }

    pub(super) fn poll_fd(&self, want_write: bool) -> PollFd<'_> {
        self.socket.poll_fd(want_write && self.is_over_socket())
    }

    pub(super) fn watch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        self.socket.watch(poll, data, self.interest(interest))
    }

    pub(super) fn rewatch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        self.set_watched(interest.read);
        self.socket.rewatch(poll, data, self.interest(interest))
    }

    pub(super) fn unwatch(&self, poll: BorrowedFd<'_>) {
        self.socket.unwatch(poll);
    }

    /// Room in the memory is told like bytes in it.
    fn interest(&self, interest: Interest) -> Interest {
        Interest { write: interest.write && self.is_over_socket(), ..interest }
    }

    pub(super) fn raw_fds(&self) -> Vec<RawFd> {
        let mut fds = self.socket.raw_fds();
        if self.agreed() == BESIDE {
            fds.extend(self.buffers.raw_fd());
        }
        fds
    }

    /// Wakes the thread that sleeps on the memory, if one does.
    pub(crate) fn wake_sleeper(&self) {
        self.lookout.wake_sleeper();
    }

    /// The write is spared where it changes nothing: the word is read by all who wait.
    fn note_traffic(&self, traffic: u8) {
        if self.traffic.load(Ordering::Relaxed) < traffic {
            self.traffic.store(traffic, Ordering::Relaxed); // Relaxed: a hint, in all places
        }
    }

    /// What was said since it was asked last.
    fn take_traffic(&self) -> Traffic {
        let traffic = self.traffic.load(Ordering::Relaxed);
        self.traffic.store(SILENCE, Ordering::Relaxed);
        match traffic {
            SILENCE => Traffic::None,
            WAKING => Traffic::Woken,
            _ => Traffic::Awake,
        }
    }

    /// Whether there is something to read, or room that was waited for.
    pub(crate) fn has_news(&self) -> bool {
        self.lookout.news().is_there()
    }

    /// Whether there is something to read; to be asked by whoever reads it then.
    pub(crate) fn has_arrived(&self) -> bool {
        let has_arrived = self.lookout.news().inlet.has_news();
        if has_arrived {
            self.lookout.news().inlet.expect_read();
        }
        has_arrived
    }

    /// Asks `is_over` again and again, at most as long as that has been worth while of late. Returns whether it became true.
    /// `at_most` ends it sooner; it may be gone on with then.
    pub(crate) fn spin(&self, at_most: Duration, mut is_over: impl FnMut() -> bool) -> bool {
        let peer_core = self.lookout.news().inlet.peer_core();
        let outlook = Outlook { core: cores::current(), peer_core, traffic: self.take_traffic() };
        if outlook.core == peer_core && outlook.traffic != Traffic::None {
            return self.take_turns(is_over);
        }
        let most = self.budget.begin(outlook);
        if most.is_zero() {
            return false;
        }
        let _spinner = self.lookout.spin();
        for _ in 0..FIRST_LOOKS {
            if is_over() {
                self.budget.hit();
                return true;
            }
            std::hint::spin_loop();
        }
        let begin = Instant::now();
        let mut before = Duration::ZERO;
        loop {
            for _ in 0..LOOKS {
                if is_over() {
                    self.budget.hit();
                    return true;
                }
                std::hint::spin_loop();
            }
            let spun = begin.elapsed();
            if spun >= most || spun - before >= PREEMPTED {
                self.budget.miss();
                return is_over();
            }
            before = spun;
            if spun >= at_most {
                self.budget.cut(most - spun);
                return false;
            }
        }
    }

    /// [`spin`](Self::spin) for a peer on the core of the calling thread, which lets it run meanwhile: see [`Turns`].
    fn take_turns(&self, mut is_over: impl FnMut() -> bool) -> bool {
        if !self.turns.begin() {
            return false;
        }
        let _spinner = self.lookout.spin();
        if is_over() {
            return true;
        }
        let (begin, mut is_there) = (Instant::now(), false);
        for _ in 0..TURNS {
            std::thread::yield_now();
            is_there = is_over();
            let is_long = begin.elapsed() >= LONG;
            if is_there && !is_long {
                self.turns.hit();
                return true;
            }
            if is_there || is_long {
                break;
            }
        }
        self.turns.miss();
        is_there
    }

    /// Sleeps on the memory until there is news, until [`wake_sleeper`](Self::wake_sleeper) after `is_over` has become
    /// true, until a signal or until `timeout` is over. Returns whether it was a signal; None if another thread sleeps there.
    pub(crate) fn sleep(&self, timeout: Option<Duration>, is_over: impl FnOnce() -> bool) -> Option<bool> {
        let mut sleeper = self.lookout.try_sleeper()?;
        Some(sleeper.sleep(timeout, is_over) == Waited::Interrupted)
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;

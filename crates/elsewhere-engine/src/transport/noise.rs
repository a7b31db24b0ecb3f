//! A TCP stream whose bytes are encrypted: Noise_NNpsk0_25519_AESGCM_SHA256, after its handshake.
//! Owns: the socket, the records, the keys of both directions. Must not know: who is at the other end, frames, calls.
//!
//! What is sent goes in records: the length of the encrypted part (u16, big endian), then that part, at most 65,535 bytes of
//! which the last 16 are its proof. Records are numbered from 1 in each direction, and neither number nor key is ever sent: a
//! record that was changed, left out, repeated or put elsewhere cannot be read, and the connection is over. After each 4 GiB
//! of a direction its key is replaced by one made of it.
//!
//! An empty record is the end of a direction. Without it the end of the stream is a cut, and nobody knows what the other side
//! had still said.

use std::cell::RefCell;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use elsewhere_shm::cores;
use elsewhere_shm::wake::{Budget, Outlook, Traffic};

use rustix::event::{PollFd, epoll};
use rustix::io::{Errno, Result};
use snow::StatelessTransportState;

use super::{Half, Interest, PeerEnd};
use crate::lock::lock;
use crate::socket;

/// The most that one record has of what was sent.
const PLAIN_MAX: usize = 65_535 - TAG;
const TAG: usize = 16;
const HEAD: usize = 2;
/// Records that are sent, or read, at once: few system calls, and all of it stays in the cache of a core. As many as a
/// frame takes: its header, four full ones and the rest.
const RECORDS_AT_ONCE: usize = 6;
/// With room for the record that ends a direction.
const BLOCK: usize = RECORDS_AT_ONCE * RECORD_MAX + HEAD + TAG;
const RECORD_MAX: usize = HEAD + PLAIN_MAX + TAG;
/// How long a wait looks for news before it sleeps, where that is worth while: about as long as it takes to wake two cores.
const SPINS: Duration = Duration::from_micros(100);
/// A look takes no longer unless something else ran on this core meanwhile, which has more to do than to look.
const PREEMPTED: Duration = Duration::from_micros(25);
/// One wait in so many asks whether the peer is still on the same core.
const ASKED_EVERY: u32 = 16;
/// Bytes of a direction after which its key is replaced.
const REKEY_AFTER: u64 = 1 << 32;

thread_local! {
    /// A block that no stream needs. A quiet connection has none, and what one thread uses for all of them stays warm.
    static SPARE: RefCell<Option<Box<[u8]>>> = const { RefCell::new(None) };
}

/// Encrypted bytes on their way, in memory that is there as long as there are any.
#[derive(Debug, Default)]
struct Block {
    memory: Option<Box<[u8]>>,
    /// Where the bytes begin and end.
    from: usize,
    to: usize,
}

impl Block {
    fn bytes(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[self.from..self.to])
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// The room behind the bytes.
    fn room(&mut self) -> &mut [u8] {
        let spare = || SPARE.try_with(RefCell::take).ok().flatten();
        let memory = self.memory.get_or_insert_with(|| spare().unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice()));
        &mut memory[self.to..]
    }

    /// So many bytes of the room are used now.
    fn add(&mut self, count: usize) {
        self.to += count;
    }

    /// The first bytes are done with. The memory goes with the last of them.
    fn take(&mut self, count: usize) {
        self.from += count;
        self.let_go_if_empty();
    }

    fn let_go_if_empty(&mut self) {
        if self.is_empty()
            && let Some(memory) = self.memory.take()
        {
            (self.from, self.to) = (0, 0);
            let _ = SPARE.try_with(|spare| spare.replace(Some(memory))); // a thread that ends keeps none
        }
    }

    /// Makes all room that there can be.
    fn compact(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
    }
}

/// One end of an encrypted stream.
#[derive(Debug)]
pub struct End {
    stream: socket::Stream,
    keys: RwLock<StatelessTransportState>,
    sending: Mutex<Sending>,
    receiving: Mutex<Receiving>,
    /// Whether the stream ended without word of it.
    is_cut: AtomicBool,
    violation: OnceLock<String>,
    budget: Budget,
    /// Whether anything was sent or received since the last wait.
    has_talked: AtomicBool,
    /// Waits on the core of the peer until it is asked again which that is.
    until_asked: AtomicU32,
}

#[derive(Debug)]
struct Count {
    record: u64,
    bytes: u64,
    rekey_after: u64,
}

#[derive(Debug)]
struct Sending {
    count: Count,
    /// Encrypted, and not taken by the system yet.
    unsent: Block,
    is_over: bool,
}

#[derive(Debug)]
struct Receiving {
    count: Count,
    /// Read, and not decrypted yet.
    read: Block,
    is_over: bool,
}

impl Count {
    const fn new(rekey_after: u64) -> Self {
        Self { record: 1, bytes: 0, rekey_after }
    }

    /// Counts a record of `len` bytes. Whether the key is to be replaced behind it.
    fn add(&mut self, len: usize) -> bool {
        self.record += 1;
        self.bytes += len as u64;
        let is_due = self.bytes >= self.rekey_after;
        if is_due {
            self.bytes = 0;
        }
        is_due
    }
}

impl End {
    /// The end of `socket` after its handshake, in which record 0 of the client was used up.
    pub(crate) fn new(socket: OwnedFd, keys: StatelessTransportState) -> Self {
        Self::with_rekey(socket, keys, REKEY_AFTER)
    }

    fn with_rekey(socket: OwnedFd, keys: StatelessTransportState, rekey_after: u64) -> Self {
        let (sending, receiving) = (Count::new(rekey_after), Count::new(rekey_after));
        Self {
            stream: socket::Stream::new(socket),
            keys: RwLock::new(keys),
            sending: Mutex::new(Sending { count: sending, unsent: Block::default(), is_over: false }),
            receiving: Mutex::new(Receiving { count: receiving, read: Block::default(), is_over: false }),
            is_cut: AtomicBool::new(false),
            violation: OnceLock::new(),
            budget: Budget::new(SPINS, cores::allowed()),
            has_talked: AtomicBool::new(false),
            until_asked: AtomicU32::new(0),
        }
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize> {
        self.send_parts([bytes, &[]])
    }

    /// Sends of two pieces, the second of which follows the first.
    pub(crate) fn send_parts(&self, parts: [&[u8]; 2]) -> Result<usize> {
        let mut sending = lock(&self.sending);
        self.flush_locked(&mut sending)?;
        if sending.is_over {
            return Err(Errno::PIPE);
        }
        self.has_talked.store(true, Ordering::Relaxed); // Relaxed: a hint, in all places
        let mut count = 0;
        for chunk in parts.into_iter().flat_map(|part| part.chunks(PLAIN_MAX)).take(RECORDS_AT_ONCE) {
            self.seal(&mut sending, chunk)?;
            count += chunk.len();
        }
        match self.flush_locked(&mut sending) {
            // What is encrypted counts as sent; who sends asks `has_unsent` whether all of it is.
            Ok(()) | Err(Errno::AGAIN) => Ok(count),
            Err(error) => Err(error),
        }
    }

    /// Adds a record to what is to be sent.
    fn seal(&self, sending: &mut Sending, plain: &[u8]) -> Result<()> {
        let len = plain.len() + TAG;
        let room = sending.unsent.room();
        let (head, sealed) = room.split_at_mut_checked(HEAD).ok_or(Errno::AGAIN)?;
        head.copy_from_slice(&u16::try_from(len).expect("a record is short").to_be_bytes());
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.write_message(sending.count.record, plain, sealed).map_err(|_| Errno::PROTO)?;
        drop(keys);
        sending.unsent.add(HEAD + len);
        if sending.count.add(plain.len()) {
            self.keys.write().unwrap_or_else(PoisonError::into_inner).rekey_outgoing();
        }
        Ok(())
    }

    fn flush_locked(&self, sending: &mut Sending) -> Result<()> {
        while !sending.unsent.is_empty() {
            let count = self.stream.send(sending.unsent.bytes())?;
            sending.unsent.take(count);
        }
        Ok(())
    }

    /// Sends what was left.
    pub(crate) fn flush(&self) -> Result<()> {
        self.flush_locked(&mut lock(&self.sending))
    }

    /// Whether something is left that the system did not take.
    pub(crate) fn has_unsent(&self) -> bool {
        !lock(&self.sending).unsent.is_empty()
    }

    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        let mut receiving = lock(&self.receiving);
        let mut filled = 0;
        loop {
            if receiving.is_over {
                return Ok(filled);
            }
            if let Some(len) = receiving.record() {
                // With room for the proof, too, it is decrypted where it is to lie.
                if filled > 0 && filled + len > buffer.len() {
                    return Ok(filled);
                }
                filled += self.open(&mut receiving, len, &mut buffer[filled..])?;
                continue;
            }
            if filled > 0 {
                return Ok(filled);
            }
            let read = self.read(&mut receiving);
            if !matches!(read, Ok(1..) | Err(Errno::AGAIN)) {
                self.is_cut.store(true, Ordering::SeqCst); // SeqCst: no hot path
            }
            if read? == 0 {
                return Ok(0);
            }
        }
    }

    /// Decrypts the next record, which has `len` bytes.
    fn open(&self, receiving: &mut Receiving, len: usize, into: &mut [u8]) -> Result<usize> {
        let sealed = receiving.read.bytes().get(HEAD..HEAD + len).ok_or(Errno::PROTO)?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let opened = keys.read_message(receiving.count.record, sealed, into);
        drop(keys);
        let Ok(count) = opened else {
            let _ = self.violation.set("a record that was changed on its way".to_owned());
            return Err(Errno::PROTO);
        };
        receiving.read.take(HEAD + len);
        if receiving.count.add(count) {
            self.keys.write().unwrap_or_else(PoisonError::into_inner).rekey_incoming();
        }
        receiving.is_over = count == 0;
        Ok(count)
    }

    fn read(&self, receiving: &mut Receiving) -> Result<usize> {
        let read = &mut receiving.read;
        read.compact();
        let result = self.stream.receive(read.room());
        if let Ok(count) = result {
            read.add(count);
            self.has_talked.store(true, Ordering::Relaxed);
        }
        read.let_go_if_empty();
        result
    }

    /// Whether something was read that is there to be received: nobody polls for it.
    pub(crate) fn has_read(&self) -> bool {
        let receiving = lock(&self.receiving);
        !receiving.is_over && receiving.record().is_some()
    }

    /// Looks again and again whether something has come, or `is_woken`, at most as long as that has been worth while of late.
    /// Returns whether it has. A quiet peer is looked for once.
    pub(crate) fn spin(&self, is_woken: impl Fn() -> bool) -> bool {
        if !self.has_talked.swap(false, Ordering::Relaxed) {
            return false;
        }
        let most = self.budget.begin(self.outlook());
        if most.is_zero() {
            return false;
        }
        let begin = Instant::now();
        let mut before = Duration::ZERO;
        loop {
            if is_woken() || self.stream.is_readable() {
                self.budget.hit();
                return true;
            }
            let spun = begin.elapsed();
            if spun >= most || spun - before >= PREEMPTED {
                self.budget.miss();
                return false;
            }
            before = spun;
        }
    }

    /// What is known at the beginning of a wait. As long as the peer is on this very core the system is seldom asked where it
    /// is: that takes time from both.
    fn outlook(&self) -> Outlook {
        let (core, left) = (cores::current(), self.until_asked.load(Ordering::Relaxed));
        let peer_core = if left > 0 { core } else { self.stream.incoming_core() };
        let until_asked = if left > 0 { left - 1 } else { ASKED_EVERY * u32::from(peer_core == core) };
        self.until_asked.store(until_asked, Ordering::Relaxed);
        Outlook { core, peer_core, traffic: Traffic::Awake }
    }

    pub(crate) fn shutdown(&self, half: Half) {
        let mut sending = lock(&self.sending);
        if !std::mem::replace(&mut sending.is_over, true) && self.seal(&mut sending, &[]).is_ok() {
            let _ = self.flush_locked(&mut sending); // if it does not fit, it is a cut
        }
        self.stream.shutdown(half);
    }

    /// Whether the stream ended without the other side's word that this is its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst) // SeqCst: no hot path
    }

    /// What the other side, or somebody between, broke.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.get().map(String::as_str)
    }

    pub(crate) fn peer_end(&self) -> PeerEnd {
        self.stream.peer_end()
    }

    pub(crate) fn poll_fd(&self, want_write: bool) -> PollFd<'_> {
        self.stream.poll_fd(want_write)
    }

    pub(crate) fn watch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        self.stream.watch(poll, data, interest)
    }

    pub(crate) fn rewatch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        self.stream.rewatch(poll, data, interest)
    }

    pub(crate) fn unwatch(&self, poll: BorrowedFd<'_>) {
        self.stream.unwatch(poll);
    }

    pub(crate) fn raw_fds(&self) -> Vec<RawFd> {
        self.stream.raw_fds()
    }
}

impl Receiving {
    /// The length of the next record, if all of it is here. One too short to have a proof cannot be read, which is found out
    /// as for any other.
    fn record(&self) -> Option<usize> {
        let rest = self.read.bytes();
        let len = usize::from(u16::from_be_bytes(rest.first_chunk::<HEAD>().copied()?));
        (rest.len() >= HEAD + len).then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::noise_pair;

    /// Two ends whose keys are replaced after so many bytes.
    fn pair(rekey_after: u64) -> (End, End) {
        let (here, there) = socket::pair().unwrap();
        let (client, server) = noise_pair();
        (End::with_rekey(here, client, rekey_after), End::with_rekey(there, server, rekey_after))
    }

    fn pass(from: &End, to: &End, bytes: &[u8]) -> Vec<u8> {
        let mut sent = 0;
        let mut got = Vec::new();
        let mut buffer = vec![0; 65_536];
        while got.len() < bytes.len() {
            if sent < bytes.len() {
                sent += from
                    .send(&bytes[sent..])
                    .or_else(|error| if error == Errno::AGAIN { Ok(0) } else { Err(error) })
                    .unwrap();
            } else {
                let _ = from.flush();
            }
            match to.receive(&mut buffer) {
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
        }
        got
    }

    #[test]
    fn bytes_arrive_as_they_were_in_both_directions() {
        let (here, there) = pair(u64::MAX);
        let long: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();

        assert_eq!(pass(&here, &there, &long), long);
        assert_eq!(pass(&there, &here, b"short"), b"short");
    }

    #[test]
    fn keys_are_replaced_on_the_way() {
        let (here, there) = pair(100_000);
        let long = vec![7; 1_000_000];

        assert_eq!(pass(&here, &there, &long), long);
        assert_eq!(pass(&there, &here, &long), long);
    }

    #[test]
    fn two_pieces_arrive_one_after_the_other() {
        let (here, there) = pair(u64::MAX);
        let long = vec![7; 3 * PLAIN_MAX];

        let count = here.send_parts([b"head", &long]).unwrap();

        let mut got = vec![0; 4 * PLAIN_MAX];
        let first = there.receive(&mut got).unwrap();
        assert!(count > 4 && got.starts_with(b"head"));
        assert!(got[4..first].iter().all(|byte| *byte == 7));
    }

    #[test]
    fn wait_sees_what_comes_while_it_looks() {
        let (here, there) = pair(u64::MAX);
        there.send(b"a word").unwrap();
        here.receive(&mut [0; 100]).unwrap();
        there.send(b"another").unwrap();

        let is_alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2);
        assert!(here.spin(|| false) || is_alone, "it was there at the first look");
    }

    #[test]
    fn wait_without_a_word_in_between_does_not_look() {
        let (here, there) = pair(u64::MAX);
        there.send(b"a word").unwrap();
        here.receive(&mut [0; 100]).unwrap();
        let _ = here.spin(|| true);

        assert!(!here.spin(|| unreachable!("it looked at a peer that said nothing")));
    }

    #[test]
    fn no_byte_goes_in_the_clear() {
        let (here, there) = socket::pair().unwrap();
        let end = End::new(here, noise_pair().0);

        end.send(b"a secret that is looked for").unwrap();

        let mut seen = [0; 100];
        let count = socket::Stream::new(there).receive(&mut seen).unwrap();
        assert!(count > 27 && !seen.windows(6).any(|bytes| bytes == b"secret"));
    }

    #[test]
    fn record_that_was_changed_ends_the_connection() {
        for bit in [0, 13, 8 * 10, 8 * 20] {
            let (here, between) = socket::pair().unwrap();
            let (client, server) = noise_pair();
            let here = End::new(here, client);
            here.send(b"four").unwrap();
            let mut record = [0; 22];
            socket::Stream::new(between).receive(&mut record).unwrap();
            record[bit / 8] ^= 1 << (bit % 8);
            let (forger, there) = socket::pair().unwrap();
            let there = End::new(there, server);
            let forger = socket::Stream::new(forger);
            forger.send(&record).unwrap();
            forger.shutdown(Half::Both);

            let got = there.receive(&mut [0; 100]);

            assert!(got == Err(Errno::PROTO) || (got == Ok(0) && there.is_cut()), "bit {bit}: {got:?}");
        }
    }

    #[test]
    fn end_is_told_from_a_cut() {
        let (here, there) = pair(u64::MAX);
        here.send(b"last words").unwrap();
        here.shutdown(Half::Write);
        let mut buffer = [0; 100];

        assert_eq!(there.receive(&mut buffer), Ok(10));
        assert_eq!(there.receive(&mut buffer), Ok(0));
        assert!(!there.is_cut());

        there.stream.shutdown(Half::Both);
        assert_eq!(here.receive(&mut buffer), Ok(0));
        assert!(here.is_cut());
    }
}

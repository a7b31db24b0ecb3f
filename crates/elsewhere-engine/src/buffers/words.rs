//! What goes over the socket beside a connection in shared memory.
//! Owns: the layout of the words, and what came in part. Must not know: what is done about them.
//!
//! | word | bytes | with it |
//! |---|---|---|
//! | wake | `W` | |
//! | memory that is lent | `B`, u32 slot, u32 generation, u64 bytes | its descriptor |
//! | the same, to be read only and perhaps passed on | `R`, u32 slot, u32 generation, u64 bytes | its descriptor |
//! | memory that is shared | `S`, u64 number, u64 bytes | its descriptor |
//! | the same, which nobody writes any more | `F`, u64 number, u64 bytes | its descriptor |
//! | an event loop, which waits by an eventfd of its own | `E`, u32 number | the eventfd |
//! | that loop is no more | `D`, u32 number | |
//!
//! A word is sent by one call, so its descriptor comes with its bytes, and no other descriptor with these.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use elsewhere_shm::pool::Purpose;
use rustix::io::Errno;

use crate::socket::{self, Stream};

const WAKE: u8 = b'W';
const LENT: u8 = b'B';
const READ: u8 = b'R';
const SHARED: u8 = b'S';
const FROZEN: u8 = b'F';
const LOOP: u8 = b'E';
const LOOP_GONE: u8 = b'D';
/// Bytes of a word about memory.
const LONG: usize = 17;
/// Bytes of a word about an event loop.
const SHORT: usize = 5;
/// Bytes taken at once.
const CHUNK: usize = 256;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Look at the memory.
    Wake,
    /// A segment for a slot of the pool.
    Lent { slot: u32, generation: u32, bytes: u64, purpose: Purpose },
    /// Memory to share.
    Shared { number: u64, bytes: u64, is_frozen: bool },
    /// An event loop that is told of news by its eventfd.
    Loop { number: u32 },
    /// It ended.
    LoopGone { number: u32 },
}

impl Word {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let (letter, first, bytes) = match self {
            Self::Wake => return vec![WAKE],
            Self::Loop { number } => return [&[LOOP][..], &number.to_le_bytes()].concat(),
            Self::LoopGone { number } => return [&[LOOP_GONE][..], &number.to_le_bytes()].concat(),
            Self::Lent { slot, generation, bytes, purpose } => {
                let letter = if purpose == Purpose::Read { READ } else { LENT };
                (letter, u64::from(slot) | u64::from(generation) << 32, bytes)
            }
            Self::Shared { number, bytes, is_frozen } => (if is_frozen { FROZEN } else { SHARED }, number, bytes),
        };
        [&[letter][..], &first.to_le_bytes(), &bytes.to_le_bytes()].concat()
    }

    fn from_short([letter, n0, n1, n2, n3]: [u8; SHORT]) -> Option<Self> {
        let number = u32::from_le_bytes([n0, n1, n2, n3]);
        match letter {
            LOOP => Some(Self::Loop { number }),
            LOOP_GONE => Some(Self::LoopGone { number }),
            _ => None,
        }
    }

    fn from_long(bytes: [u8; LONG]) -> Option<Self> {
        let [letter, f0, f1, f2, f3, f4, f5, f6, f7, b0, b1, b2, b3, b4, b5, b6, b7] = bytes;
        let bytes = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
        match letter {
            LENT | READ => {
                let slot = u32::from_le_bytes([f0, f1, f2, f3]);
                let generation = u32::from_le_bytes([f4, f5, f6, f7]);
                let purpose = if letter == READ { Purpose::Read } else { Purpose::Own };
                Some(Self::Lent { slot, generation, bytes, purpose })
            }
            SHARED | FROZEN => {
                let number = u64::from_le_bytes([f0, f1, f2, f3, f4, f5, f6, f7]);
                Some(Self::Shared { number, bytes, is_frozen: letter == FROZEN })
            }
            _ => None,
        }
    }
}

/// A byte that begins no word, or descriptors without words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoWord;

/// What came and was not taken.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: VecDeque<u8>,
    /// Those that came, in the order of their words. The system tells at most one at a time, as the last of what it tells, so
    /// for a word that is read right after that it is here or it was lost.
    fds: VecDeque<OwnedFd>,
    has_ended: bool,
}

impl Inbox {
    /// Takes some bytes off the socket without waiting. Returns whether there may be more.
    pub(crate) fn fill(&mut self, socket: &Stream) -> bool {
        let mut bytes = [0; CHUNK];
        match socket::try_receive_with(socket, &mut bytes) {
            Ok((0, _)) => self.has_ended = true,
            Ok((count, fds)) => {
                self.bytes.extend(&bytes[..count]);
                self.fds.extend(fds);
                return true;
            }
            Err(Errno::AGAIN) => {}
            Err(_) => self.has_ended = true,
        }
        false
    }

    /// Whether nothing more comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The next word, with its descriptor if this process had room for it. To be called until there is none before more is
    /// taken off the socket.
    pub(crate) fn next(&mut self) -> Result<Option<(Word, Option<OwnedFd>)>, NoWord> {
        match self.bytes.front() {
            None if !self.fds.is_empty() => Err(NoWord),
            None => Ok(None),
            Some(&WAKE) => {
                self.bytes.pop_front();
                Ok(Some((Word::Wake, None)))
            }
            Some(&(LENT | READ | SHARED | FROZEN)) => {
                let Some(long) = self.take::<LONG>() else { return Ok(None) };
                let word = Word::from_long(long).ok_or(NoWord)?;
                Ok(Some((word, self.fds.pop_front())))
            }
            Some(&(LOOP | LOOP_GONE)) => {
                let Some(short) = self.take::<SHORT>() else { return Ok(None) };
                let word = Word::from_short(short).ok_or(NoWord)?;
                let fd = if matches!(word, Word::Loop { .. }) { self.fds.pop_front() } else { None };
                Ok(Some((word, fd)))
            }
            Some(_) => Err(NoWord),
        }
    }

    /// The next `LEN` bytes, once they are here.
    fn take<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        if self.bytes.len() < LEN {
            return None;
        }
        let mut taken = [0; LEN];
        taken.iter_mut().zip(self.bytes.drain(..LEN)).for_each(|(place, byte)| *place = byte);
        Some(taken)
    }
}

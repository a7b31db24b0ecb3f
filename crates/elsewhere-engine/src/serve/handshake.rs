//! A stranger at the door: his proof, carried on as its bytes come.
//! Owns: the socket of one connection until its other end is proven. Must not know: what a proof consists of, threads.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use elsewhere_proto::Timestamp;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

#[cfg(feature = "net")]
use super::noise::NoiseProof;
use super::{Proof, Unproven};
use crate::transport::{Offer, Transport};

/// The proof that a connection begins with.
#[derive(Debug)]
pub(super) enum Handshake {
    /// Between processes of one machine.
    Local(Proof),
    /// Between machines.
    #[cfg(feature = "net")]
    Noise(NoiseProof),
}

impl Handshake {
    fn wanted(&self) -> usize {
        match self {
            Self::Local(proof) => proof.wanted(),
            #[cfg(feature = "net")]
            Self::Noise(proof) => proof.wanted(),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Local(proof) => proof.is_done(),
            #[cfg(feature = "net")]
            Self::Noise(proof) => proof.is_done(),
        }
    }

    /// Whether the other side can judge this one by what it was sent. Between machines that is the first message.
    fn is_shown(&self) -> bool {
        match self {
            Self::Local(proof) => proof.is_shown(),
            #[cfg(feature = "net")]
            Self::Noise(_) => true,
        }
    }

    fn take_output(&mut self) -> Vec<u8> {
        match self {
            Self::Local(proof) => proof.take_output(),
            #[cfg(feature = "net")]
            Self::Noise(proof) => proof.take_output(),
        }
    }

    fn look(&self, beginning: &[u8]) -> Result<(), Unproven> {
        match self {
            Self::Local(proof) => proof.look(beginning),
            #[cfg(feature = "net")]
            Self::Noise(proof) => proof.look(beginning),
        }
    }

    fn receive(&mut self, message: &[u8]) -> Result<(), Unproven> {
        match self {
            Self::Local(proof) => proof.receive(message),
            #[cfg(feature = "net")]
            Self::Noise(proof) => proof.receive(message),
        }
    }
}

/// One connection that is not proven yet.
#[derive(Debug)]
pub(super) struct Knock {
    id: u64,
    socket: OwnedFd,
    proof: Handshake,
    from: String,
    until: Timestamp,
    /// What came of the next message.
    read: Vec<u8>,
    /// What is left to send.
    unsent: Vec<u8>,
    memory: Memory,
}

/// What becomes of memory that both sides could share, once they are proven.
#[derive(Debug)]
enum Memory {
    /// It is offered, where there is some on this way.
    Offered,
    /// The other side is to say whether it offers any.
    Awaited,
    Taken(Offer),
}

/// How far a proof has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The other side has to send, or to read.
    Waits,
    Proven,
    Unproven(Unproven),
    /// The other side has gone, and had not read all that it was sent, or not enough of it to judge by.
    Left,
    /// The other side has ended the stream when it had read how this one proves itself.
    Refused,
}

impl Knock {
    pub(super) fn new(id: u64, socket: OwnedFd, mut proof: Handshake, from: String, until: Timestamp) -> Self {
        let unsent = proof.take_output();
        Self { id, socket, proof, from, until, read: Vec::new(), unsent, memory: Memory::Offered }
    }

    /// The same for who listens: whoever connects has memory to offer.
    pub(super) fn awaiting_memory(self) -> Self {
        let is_local = matches!(self.proof, Handshake::Local(_));
        Self { memory: if is_local { Memory::Awaited } else { Memory::Offered }, ..self }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// Who it is, as far as that is known.
    pub(super) fn from(&self) -> &str {
        &self.from
    }

    /// When its time is over.
    pub(super) const fn until(&self) -> Timestamp {
        self.until
    }

    pub(super) fn interest(&self) -> epoll::EventFlags {
        if self.unsent.is_empty() { epoll::EventFlags::IN } else { epoll::EventFlags::OUT }
    }

    /// Whether it is the other side's turn to read, and not to send.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends and reads what can be without waiting.
    pub(super) fn go_on(&mut self) -> Progress {
        loop {
            while !self.unsent.is_empty() {
                match rustix::net::send(&self.socket, &self.unsent, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(count) => drop(self.unsent.drain(..count)),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => return Progress::Waits,
                    Err(_) => return Progress::Left,
                }
            }
            if self.proof.is_done() {
                return self.look_for_memory();
            }
            // Not one byte more than this message: what follows it is for the connection.
            let wanted = self.proof.wanted();
            let mut buffer = vec![0; wanted - self.read.len()];
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                // Where something had not been read it would be an error.
                Ok((0, _)) => return if self.proof.is_shown() { Progress::Refused } else { Progress::Left },
                Ok((count, _)) => self.read.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Progress::Waits,
                Err(_) => return Progress::Left,
            }
            if let Err(why) = self.proof.look(&self.read) {
                return Progress::Unproven(why);
            }
            if self.read.len() == wanted {
                let message = std::mem::take(&mut self.read);
                if let Err(why) = self.proof.receive(&message) {
                    return Progress::Unproven(why);
                }
                self.unsent = self.proof.take_output();
            }
        }
    }

    /// The other side is proven, and has one thing to say before the connection begins.
    fn look_for_memory(&mut self) -> Progress {
        if !matches!(self.memory, Memory::Awaited) {
            return Progress::Proven;
        }
        match Offer::try_take(&self.socket) {
            Ok(Some(offer)) => {
                self.memory = Memory::Taken(offer);
                Progress::Proven
            }
            Ok(None) => Progress::Left,
            Err(Errno::AGAIN) => Progress::Waits,
            Err(Errno::PROTO) => Progress::Unproven(Unproven::Stranger),
            Err(_) => Progress::Left,
        }
    }

    /// The stream, whose other end is proven.
    pub(super) fn into_transport(self) -> Transport {
        match self.proof {
            Handshake::Local(_) => match self.memory {
                Memory::Taken(offer) => Transport::with_offer(self.socket, offer),
                Memory::Offered | Memory::Awaited => Transport::offer_over(self.socket),
            },
            #[cfg(feature = "net")]
            Handshake::Noise(proof) => {
                Transport::encrypted(self.socket, proof.into_keys().expect("the handshake has been made"))
            }
        }
    }
}

impl AsFd for Knock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

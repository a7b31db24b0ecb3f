//! Moves bytes between two peers, starts and watches processes, tells the time.
//!
//! Owns: sockets, threads, clocks, child processes. Must not know: Python, and what the values in a message mean; the
//! protocol's decisions are made in `elsewhere-proto`, which this crate drives.
//!
//! Whoever waits drives. A thread that calls writes its own frame, reads what arrives until its answer is there, and
//! hands everything else it reads to whom it concerns. What happens when nobody waits (a death, a deadline, a release, a
//! call from the other side) is the work of one watch thread per process.
//!
//! * [`Link`]: one connection; [`Pending`]: one outgoing call on it; [`Inbox`]: what peers want of this process.
//! * [`HostCommand`] and [`HostProcess`]: a process of ours at the other end; [`adopt_stdin`]: being one.
//! * [`ZygoteSeat`]: being a process that forks hosts; [`HostCommand::launch_warm`] asks one for them.
//! * [`client`]: hosts and objects for Rust programs, on top of these.
//! * [`Listener`] and [`connect`]: links between processes that were not started by one another.
//! * [`interrupts`]: calls of peers that are to be broken off while they run.
//! * [`fork`] and [`exit`]: what to call around `fork` and at the end of the process.
#![forbid(unsafe_code)]

mod alarm;
mod aside;
mod buffers;
mod chains;
pub mod client;
mod clock;
mod error;
pub mod exit;
pub mod fork;
mod home;
mod inbox;
pub mod interrupts;
mod link;
mod lock;
mod loop_queue;
mod observer;
mod owner;
mod parker;
mod pending;
mod process;
mod refusal;
mod serve;
mod socket;
mod taker;
pub mod transport;
mod turns;
mod watch;
mod zygote;

pub use alarm::Alarm;
pub use buffers::{BufferError, Enclosed, Frozen, Holding, LendError, Lent, Named, ShareError, SharedMemory};
pub use chains::ChainSeat;
pub use clock::expires;
pub use elsewhere_shm::pool::{Borrowed, BufferName, Purpose};
pub use elsewhere_shm::{Held, Shortage, pages};
pub use error::{Arrival, Exit, Loss, StartError, SubmitError};
pub use home::{Home, Piece, Stream};
pub use inbox::{Inbox, Incoming, Work};
pub use link::{Company, Expect, InboxWake, Link, LoopSeat, Request, Wake};
pub use loop_queue::LoopQueue;
pub use observer::Observer;
pub use owner::{adopt_stdin, owner_pid};
pub use parker::Sleeper;
pub use pending::{Items, Pending};
pub use process::{HostCommand, HostFork, HostProcess, Stdio, Unforked, WarmStart};
#[cfg(feature = "net")]
pub use serve::NoiseProof;
pub use serve::{
    Attendant, ConnectError, Endpoint, Key, Listener, Nonce, OnLink, Proof, ServeError, Ticket, Unproven, Welcome,
    connect, new_path, wait_served,
};
pub use taker::{Lane, Taker};
pub use zygote::{Child, Errand, ForkOrder, HostOrder, StandBy, ZygoteSeat, other_threads, retire_zygotes, zygotes};

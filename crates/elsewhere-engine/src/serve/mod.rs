//! Being connected to: who may listen where, and who is let in.
//! Owns: the sockets that are listened on, and those at the other end of which nobody is proven yet. Must not know: Python,
//! what is served.
//!
//! The watch thread accepts and carries each proof on as its bytes come, so a silent or slow stranger costs a descriptor and
//! some bytes for a few seconds, and nobody waits for him. Of what he sends nothing is read beyond the message of fixed size
//! that is next; a connection of the protocol, with its tables, exists only for who is proven.

mod attendant;
mod connect;
mod endpoint;
mod handshake;
#[cfg(feature = "net")]
mod noise;
mod place;
mod proof;
mod tcp;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elsewhere_proto::{Config, Timestamp};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::net::sockopt::socket_peercred;

use crate::clock;
use crate::fork;
use crate::inbox::Inbox;
use crate::link::{Kind, Link};
use crate::lock::lock;
use crate::observer::Observer;
use crate::watch::{self, Token};

pub use attendant::Attendant;
pub use connect::{ConnectError, connect, wait_served};
pub use endpoint::Endpoint;
use handshake::{Handshake, Knock, Progress};
#[cfg(feature = "net")]
pub use noise::NoiseProof;
#[cfg(all(test, feature = "net"))]
pub(crate) use noise::noise_pair;
pub use place::new_path;
pub use proof::{Key, Nonce, Proof, Ticket, Unproven};

/// Why there are none.
const NO_NETWORKS: &str = "this build serves on Unix sockets alone";
/// How long a stranger may take to prove himself, all in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many strangers may be at it at once; the one that came first goes when there is one more.
const HALF_OPEN_MAX: usize = 64;
/// How many are accepted before something else has its turn.
const ACCEPTED_AT_ONCE: usize = 64;
/// How long nobody is accepted when the process is out of descriptors.
const BREATH: Duration = Duration::from_millis(50);
/// How long nothing is told of refusals after something was.
const SILENCE: Duration = Duration::from_secs(1);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another server has this place.
    #[error("{0}")]
    InUse(String),
    /// The place is not one to serve at.
    #[error("{0}")]
    Place(String),
    /// The system refused something.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Told of a connection, and of who it is.
pub type OnLink = Box<dyn Fn(&Arc<Link>, &str) + Send + Sync>;

/// What becomes of who is let in.
pub struct Welcome {
    /// What is said of this side.
    pub config: Config,
    /// Where the wishes of those who are let in go.
    pub inbox: Arc<Inbox>,
    /// Told of each of them, and who it is, before it can ask for anything, on the watch thread.
    pub on_link: OnLink,
    /// Told when somebody was refused: see [`Listener::take_refusals`].
    pub on_refusal: Observer,
}

impl fmt::Debug for Welcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Welcome").finish_non_exhaustive()
    }
}

/// A place that others connect to. Its drop closes it; connections that were made stay.
#[derive(Debug)]
pub struct Listener {
    porch: Arc<Porch>,
}

/// What the watch thread has of a listener.
#[derive(Debug)]
pub(crate) struct Porch {
    id: u64,
    generation: u32,
    key: Key,
    endpoint: Endpoint,
    /// The name in the file system, if it has one.
    place: Option<place::Place>,
    welcome: Welcome,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// None once it is closed.
    socket: Option<OwnedFd>,
    knocks: Vec<Knock>,
    /// When it goes on to accept, where the process was out of descriptors.
    resume_at: Option<Timestamp>,
    refusals: Refusals,
}

#[derive(Debug, Default)]
struct Refusals {
    count: u64,
    last: String,
    told_at: Option<Timestamp>,
    is_told: bool,
}

/// Why somebody is not let in who may well be one to let in.
fn no_room(error: &io::Error) -> String {
    format!("there is no room for connections ({error})")
}

/// Bytes that nobody can guess.
pub(crate) fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let mut filled = 0;
    while filled < LEN {
        // Fails only before the machine has gathered any randomness, for which it waits, or for a signal.
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}

impl Listener {
    /// Listens at `endpoint` for whoever has the same key; at a Unix socket, for processes of this user alone.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left of it.
    pub fn new(endpoint: &Endpoint, key: Key, welcome: Welcome) -> Result<Self, ServeError> {
        let (socket, endpoint, place) = match endpoint {
            Endpoint::Unix(path) => {
                let (socket, place) = place::listen(path)?;
                (socket, endpoint.clone(), Some(place))
            }
            Endpoint::Tcp(..) if !cfg!(feature = "net") => return Err(ServeError::Place(NO_NETWORKS.to_owned())),
            Endpoint::Tcp(host, port) => {
                let listening = tcp::listen(host, *port);
                let (socket, port) = listening.map_err(|error| match error.kind() {
                    io::ErrorKind::AddrInUse => ServeError::InUse(format!("{endpoint} is in use already")),
                    _ => ServeError::Place(format!("cannot listen at {endpoint}: {error}")),
                })?;
                (socket, Endpoint::Tcp(host.clone(), port), None)
            }
        };
        let porch = Arc::new(Porch {
            id: watch::next_id(),
            generation: fork::generation(),
            key,
            endpoint,
            place,
            welcome,
            state: Mutex::new(State {
                socket: Some(socket),
                knocks: Vec::new(),
                resume_at: None,
                refusals: Refusals::default(),
            }),
        });
        let listener = Self { porch };
        watch::add_porch(&listener.porch)?; // where that fails, the drop takes the socket away
        Ok(listener)
    }

    /// A number that no other listener or link of this process has or had.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.porch.id
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.porch.endpoint
    }

    /// Accepts nobody any more, and takes the name away. Who is not proven yet is cut off. A second time does nothing.
    pub fn close(&self) {
        if self.porch.generation != fork::generation() {
            return; // it is the parent's
        }
        watch::remove_porch(self.porch.id);
        self.porch.close();
    }

    /// How many were refused since this was last asked, and who the last of them was.
    #[must_use]
    pub fn take_refusals(&self) -> (u64, String) {
        let mut state = lock(&self.porch.state);
        let refusals = &mut state.refusals;
        refusals.is_told = false;
        (std::mem::take(&mut refusals.count), std::mem::take(&mut refusals.last))
    }

    /// How many connections are not proven yet.
    #[must_use]
    pub fn half_open(&self) -> usize {
        lock(&self.porch.state).knocks.len()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

impl Porch {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn watch(&self, epoll: BorrowedFd<'_>) -> io::Result<()> {
        match &lock(&self.state).socket {
            Some(socket) => Ok(epoll::add(epoll, socket, Token::Porch(self.id).into(), epoll::EventFlags::IN)?),
            None => Ok(()),
        }
    }

    pub(crate) fn raw_fds(&self) -> Vec<RawFd> {
        let state = lock(&self.state);
        let sockets = state.knocks.iter().map(|knock| knock.as_fd().as_raw_fd());
        sockets.chain(state.socket.as_ref().map(AsRawFd::as_raw_fd)).collect()
    }

    /// Closes it at the end of the process, whoever holds it.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        if let Some(place) = self.place.as_ref().filter(|_| state.socket.is_some()) {
            place.remove();
        }
        state.socket = None;
        state.knocks.clear();
    }

    /// Somebody has come.
    pub(crate) fn on_arrival(&self, epoll: BorrowedFd<'_>) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let mut state = lock(&self.state);
            let Some(listening) = &state.socket else { return };
            let accepted = rustix::net::accept_with(listening, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
            match accepted {
                Ok(socket) => self.admit(&mut state, socket, epoll),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    // Out of descriptors or memory. Who waits goes on to wait, and so do we, instead of asking all the time.
                    let flags = epoll::EventFlags::empty();
                    let _ = epoll::modify(epoll, listening, Token::Porch(self.id).into(), flags);
                    state.resume_at = Some(Timestamp(clock::now().0 + BREATH));
                    self.refuse(&mut state, "somebody", &no_room(&error.into()));
                    return;
                }
            }
        }
    }

    /// Begins a proof with who has come, if he is one who may try.
    fn admit(&self, state: &mut State, socket: OwnedFd, epoll: BorrowedFd<'_>) {
        let from = match &self.endpoint {
            // Before the first byte is read.
            Endpoint::Unix(_) => match socket_peercred(&socket) {
                Ok(peer) if peer.uid == rustix::process::geteuid() => format!("process {}", peer.pid.as_raw_nonzero()),
                Ok(peer) => {
                    return self.refuse(state, &format!("a process of user {}", peer.uid.as_raw()), "another user");
                }
                Err(_) => return,
            },
            Endpoint::Tcp(..) => match rustix::net::getpeername(&socket).map(|found| found.map(SocketAddr::try_from)) {
                Ok(Some(Ok(address))) if tcp::prepare(&socket, &address).is_ok() => address.to_string(),
                _ => return,
            },
        };
        if state.knocks.len() >= HALF_OPEN_MAX {
            let oldest = state.knocks.remove(0);
            self.refuse(state, oldest.from(), "too many at once");
        }
        let proof = match &self.endpoint {
            #[cfg(feature = "net")]
            Endpoint::Tcp(..) => Handshake::Noise(NoiseProof::server(self.key.clone())),
            #[cfg(not(feature = "net"))]
            Endpoint::Tcp(..) => return,
            Endpoint::Unix(path) => {
                Handshake::Local(Proof::server(self.key.clone(), &connect::name_of(path), random()))
            }
        };
        let until = Timestamp(clock::now().0 + PATIENCE);
        let knock = Knock::new(watch::next_id(), socket, proof, from, until).awaiting_memory();
        match epoll::add(epoll, knock.as_fd(), Token::Knock(knock.id()).into(), knock.interest()) {
            Ok(()) => state.knocks.push(knock),
            Err(error) => self.refuse(state, knock.from(), &no_room(&error.into())),
        }
    }

    /// A stranger has sent something, or has gone. False where it is none of this porch's.
    pub(crate) fn on_knock(&self, id: u64, epoll: BorrowedFd<'_>) -> bool {
        let mut state = lock(&self.state);
        let Some(at) = state.knocks.iter().position(|knock| knock.id() == id) else { return false };
        let progress = state.knocks[at].go_on();
        match progress {
            Progress::Waits => {
                let knock = &state.knocks[at];
                let _ = epoll::modify(epoll, knock.as_fd(), Token::Knock(id).into(), knock.interest());
            }
            Progress::Left | Progress::Refused => drop(state.knocks.remove(at)),
            Progress::Unproven(why) => {
                let knock = state.knocks.remove(at);
                self.refuse(&mut state, knock.from(), &why.to_string());
            }
            Progress::Proven => {
                let knock = state.knocks.remove(at);
                drop(state); // a link takes the table, which comes before
                let _ = epoll::delete(epoll, knock.as_fd());
                self.welcome(knock);
            }
        }
        true
    }

    fn welcome(&self, knock: Knock) {
        let Welcome { config, inbox, on_link, .. } = &self.welcome;
        let who = knock.from().to_owned();
        // Where the system has no room, whoever knocked sees the end of the stream.
        let link = match Link::with_kind(knock.into_transport(), config.clone(), Arc::clone(inbox), Kind::Client) {
            Ok(link) => link,
            Err(error) => return self.refuse(&mut lock(&self.state), &who, &no_room(&error)),
        };
        on_link(&link, &who);
        link.serve();
        link.arm();
    }

    fn refuse(&self, state: &mut State, who: &str, why: &str) {
        let refusals = &mut state.refusals;
        refusals.count += 1;
        refusals.last = format!("{who}: {why}");
        let now = clock::now();
        let is_silent = refusals.told_at.is_some_and(|at| now.0.saturating_sub(at.0) < SILENCE);
        if !refusals.is_told && !is_silent {
            refusals.told_at = Some(now);
            refusals.is_told = true;
            self.welcome.on_refusal.clone().completed();
        }
    }

    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        let state = lock(&self.state);
        state.knocks.iter().map(Knock::until).chain(state.resume_at).min()
    }

    /// Cuts off who has taken too long.
    pub(crate) fn fire_timers(&self, now: Timestamp, epoll: BorrowedFd<'_>) {
        let mut state = lock(&self.state);
        while let Some(at) = state.knocks.iter().position(|knock| knock.until() <= now) {
            let knock = state.knocks.remove(at);
            self.refuse(&mut state, knock.from(), "too slow");
        }
        if state.resume_at.is_some_and(|at| at <= now) {
            state.resume_at = None;
            if let Some(socket) = &state.socket {
                let _ = epoll::modify(epoll, socket, Token::Porch(self.id).into(), epoll::EventFlags::IN);
            }
        }
    }
}

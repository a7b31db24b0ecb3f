//! Connecting to who serves.
//! Owns: the way from an address to a link, on the thread that wants it. Must not know: Python, what is served.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use elsewhere_proto::{Config, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::net::sockopt::{socket_error, socket_peercred};

use super::handshake::{Handshake, Knock, Progress};
#[cfg(feature = "net")]
use super::noise::NoiseProof;
use super::place::stream_socket;
use super::{Endpoint, Key, Proof, Ticket, Unproven, place, random, tcp};
use crate::error::Loss;
use crate::inbox::Inbox;
use crate::link::{Link, Wake};
use crate::transport::Transport;

/// The longest sleep between two looks at signals.
const TICK: Duration = Duration::from_millis(50);
/// How long to wait where more want to connect than may wait for it.
const CROWD: Duration = Duration::from_millis(2);
/// How long to wait for a sign of a machine whether somebody listens there.
const PROBE: Duration = Duration::from_secs(1);
/// How long to wait between two looks where the system tells of no change.
const GLANCE: Duration = Duration::from_millis(10);
/// The same at first, and for how long. To have the system tell of changes, and to end that, takes milliseconds, as long as a
/// process that was just forked takes until it serves.
const FIRST_GLANCE: Duration = Duration::from_micros(500);
const FIRST_GLANCES: Duration = Duration::from_millis(20);

/// Why there is no connection. Nothing was asked of anybody.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("nobody serves at {0}")]
    Nobody(String),
    /// It is there, but cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// One side could not prove itself to the other.
    #[error("authentication failed at {0}")]
    Unproven(String),
    /// What is there speaks another language, or another version of this one.
    #[error("{0}")]
    Stranger(String),
    /// It took too long.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// The caller did not want to wait any longer.
    #[error("given up")]
    GivenUp,
}

/// What a proof with the server at `path` is bound to.
pub(super) fn name_of(path: &Path) -> Vec<u8> {
    path.file_name().unwrap_or_default().as_encoded_bytes().to_vec()
}

/// Connects to `endpoint`, at the latest by `until`. `goes_on` is asked every 50 ms, and after signals.
///
/// # Errors
/// [`ConnectError`].
pub fn connect(
    endpoint: &Endpoint,
    key: Key,
    config: Config,
    inbox: Arc<Inbox>,
    until: Instant,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Arc<Link>, ConnectError> {
    let shown = endpoint.to_string();
    let (socket, proof) = match endpoint {
        Endpoint::Unix(path) => {
            let socket = reach(path, until, goes_on)?;
            match socket_peercred(&socket) {
                Ok(peer) if peer.uid == rustix::process::geteuid() => {}
                Ok(_) => return Err(ConnectError::Unproven(format!("{shown}, which another user serves"))),
                Err(error) => return Err(ConnectError::Unreachable(format!("{shown}: {error}"))),
            }
            (socket, Handshake::Local(Proof::client(key, &name_of(path), Ticket::default(), random())))
        }
        #[cfg(feature = "net")]
        Endpoint::Tcp(host, port) => {
            let socket = reach_host(endpoint, host, *port, until, goes_on)?;
            (socket, Handshake::Noise(NoiseProof::client(key, Ticket::default())))
        }
        #[cfg(not(feature = "net"))]
        Endpoint::Tcp(..) => return Err(ConnectError::Unreachable(super::NO_NETWORKS.to_owned())),
    };
    let transport = prove(Knock::new(0, socket, proof, shown.clone(), Timestamp(Duration::ZERO)), until, goes_on)?;
    begin(transport, config, inbox, &shown, until, goes_on)
}

fn reach(path: &Path, until: Instant, goes_on: &mut dyn FnMut() -> bool) -> Result<OwnedFd, ConnectError> {
    let shown = path.display();
    let failed = |error: io::Error| ConnectError::Unreachable(format!("{shown}: {error}"));
    let address = SocketAddrUnix::new(path).map_err(|error| failed(error.into()))?;
    let socket = stream_socket().map_err(failed)?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(None, CROWD, until, &shown.to_string(), goes_on)?,
            Err(error @ (Errno::NOENT | Errno::CONNREFUSED)) => {
                if error == Errno::CONNREFUSED {
                    place::forget(path);
                }
                return Err(ConnectError::Nobody(shown.to_string()));
            }
            Err(Errno::ACCESS | Errno::PERM) => {
                return Err(ConnectError::Unproven(format!("{shown}, where this user may not go")));
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// The addresses of `host`. The system looks them up for as long as it likes, and cannot be stopped: so another thread waits
/// for it, which ends when it is done.
fn resolve(
    endpoint: &Endpoint,
    host: &str,
    port: u16,
    until: Instant,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let unreachable = |error: io::Error| ConnectError::Unreachable(format!("{endpoint}: {error}"));
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (tell, told) = mpsc::channel();
    let name = host.to_owned();
    let look_up = move || {
        let _ = tell.send(tcp::resolve(&name, port)); // nobody may wait any longer
    };
    std::thread::Builder::new().name("elsewhere-names".to_owned()).spawn(look_up).map_err(unreachable)?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match told.recv_timeout(left.min(TICK)) {
            Ok(found) => return found.map_err(unreachable),
            Err(_) if left.is_zero() => return Err(ConnectError::TimedOut(endpoint.to_string())),
            Err(_) if !goes_on() => return Err(ConnectError::GivenUp),
            Err(_) => {}
        }
    }
}

/// Reaches one of the addresses of `host`, tried one after another.
fn reach_host(
    endpoint: &Endpoint,
    host: &str,
    port: u16,
    until: Instant,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<OwnedFd, ConnectError> {
    let unreachable = |error: io::Error| ConnectError::Unreachable(format!("{endpoint}: {error}"));
    let mut failed = ConnectError::Unreachable(format!("{endpoint}: no such host"));
    for address in resolve(endpoint, host, port, until, goes_on)? {
        let socket = tcp::socket(&address).map_err(unreachable)?;
        tcp::prepare(&socket, &address).map_err(unreachable)?;
        let begun = rustix::net::connect(&socket, &address);
        let reached = match begun {
            Err(Errno::INPROGRESS | Errno::INTR) => loop {
                wait(Some((socket.as_fd(), PollFlags::OUT)), TICK, until, &endpoint.to_string(), goes_on)?;
                let mut look = [PollFd::new(&socket, PollFlags::OUT)];
                let now = Timespec { tv_sec: 0, tv_nsec: 0 };
                if matches!(poll(&mut look, Some(&now)), Ok(1..)) {
                    break socket_error(&socket).and_then(|outcome| outcome);
                }
            },
            other => other,
        };
        match reached {
            Ok(()) => return Ok(socket),
            Err(Errno::CONNREFUSED) => failed = ConnectError::Nobody(endpoint.to_string()),
            Err(Errno::TIMEDOUT) => failed = ConnectError::TimedOut(endpoint.to_string()),
            Err(error) => failed = unreachable(error.into()),
        }
    }
    Err(failed)
}

/// Carries the proof to its end.
fn prove(mut knock: Knock, until: Instant, goes_on: &mut dyn FnMut() -> bool) -> Result<Transport, ConnectError> {
    let shown = knock.from().to_owned();
    loop {
        match knock.go_on() {
            Progress::Proven => return Ok(knock.into_transport()),
            Progress::Unproven(Unproven::Stranger) => {
                return Err(ConnectError::Stranger(format!("what serves at {shown} does not speak this protocol")));
            }
            // A server that refuses says nothing: the stream ends.
            Progress::Unproven(Unproven::Wrong) | Progress::Refused => return Err(ConnectError::Unproven(shown)),
            Progress::Left => {
                return Err(ConnectError::Unreachable(format!("the server at {shown} went away before it answered")));
            }
            Progress::Waits => {
                let flags = if knock.has_unsent() { PollFlags::OUT } else { PollFlags::IN };
                wait(Some((knock.as_fd(), flags)), TICK, until, &shown, goes_on)?;
            }
        }
    }
}

/// Sleeps until `fd` is ready, at most `step`.
fn wait(
    fd: Option<(BorrowedFd<'_>, PollFlags)>,
    step: Duration,
    until: Instant,
    shown: &str,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(), ConnectError> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ConnectError::TimedOut(shown.to_owned()));
    }
    let timeout = Timespec::try_from(left.min(step)).expect("a step is short");
    let woken = match fd {
        Some((fd, flags)) => poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout)),
        None => poll(&mut [], Some(&timeout)),
    };
    if !matches!(woken, Ok(1..)) && !goes_on() {
        return Err(ConnectError::GivenUp);
    }
    Ok(())
}

/// Makes the link, and waits until the server has said hello.
fn begin(
    transport: Transport,
    config: Config,
    inbox: Arc<Inbox>,
    shown: &str,
    until: Instant,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Arc<Link>, ConnectError> {
    let unreachable = |error: io::Error| ConnectError::Unreachable(format!("{shown}: {error}"));
    let link = Link::new(transport, config, inbox).map_err(unreachable)?;
    let failed = loop {
        let tick = Instant::now().checked_add(TICK).unwrap_or(until).min(until);
        let woken = link.wait_established(Some(tick), Some(TICK));
        if link.peer().is_some() {
            return Ok(link);
        }
        if let Some(loss) = link.loss() {
            return Err(match &*loss {
                Loss::Violated { text } | Loss::Refused { text } => {
                    ConnectError::Stranger(format!("the server at {shown} cannot be talked to: {text}"))
                }
                other => ConnectError::Unreachable(format!("the server at {shown} went away: {other}")),
            });
        }
        if Instant::now() >= until {
            break ConnectError::TimedOut(shown.to_owned());
        }
        if !matches!(woken, Wake::Arrived) && !goes_on() {
            break ConnectError::GivenUp;
        }
    };
    link.abandon();
    Err(failed)
}

/// Whether somebody listens at `endpoint` now.
fn is_served(endpoint: &Endpoint, until: Option<Instant>, goes_on: &mut dyn FnMut() -> bool) -> bool {
    let soon = Instant::now() + PROBE;
    match endpoint {
        Endpoint::Unix(path) => {
            let Ok(socket) = stream_socket() else { return false };
            let tried = SocketAddrUnix::new(path).and_then(|address| rustix::net::connect(&socket, &address));
            matches!(tried, Ok(()) | Err(Errno::AGAIN))
        }
        Endpoint::Tcp(host, port) => {
            reach_host(endpoint, host, *port, until.map_or(soon, |until| until.min(soon)), goes_on).is_ok()
        }
    }
}

/// Waits until somebody listens at `endpoint` or `end` is readable, at most until `until`. Returns whether somebody does.
///
/// # Errors
/// [`ConnectError::GivenUp`].
pub fn wait_served(
    endpoint: &Endpoint,
    end: Option<BorrowedFd<'_>>,
    until: Option<Instant>,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<bool, ConnectError> {
    let begin = Instant::now();
    let mut changes = None;
    loop {
        if is_served(endpoint, until, goes_on) {
            return Ok(true);
        }
        let left = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(false);
        }
        let step = match endpoint {
            Endpoint::Unix(_) if begin.elapsed() < FIRST_GLANCES => FIRST_GLANCE,
            Endpoint::Unix(path) if changes.is_none() => {
                changes = watch_directory(path);
                if changes.is_some() { Duration::ZERO } else { GLANCE } // what came before is not told
            }
            Endpoint::Unix(_) => TICK,
            Endpoint::Tcp(..) => GLANCE,
        };
        let step = left.min(step);
        let timeout = Timespec::try_from(step).expect("a step is short");
        let mut fds: Vec<PollFd<'_>> = [changes.as_ref().map(AsFd::as_fd), end]
            .into_iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let is_quiet = !matches!(poll(&mut fds, Some(&timeout)), Ok(1..));
        let has_ended = end.is_some() && fds.last().is_some_and(|end| !end.revents().is_empty());
        drop(fds);
        if let Some(changes) = &changes {
            let mut told = [0; 4096];
            while rustix::io::read(changes, &mut told).is_ok_and(|count| count > 0) {}
        }
        if has_ended {
            return Ok(is_served(endpoint, until, goes_on)); // whoever ended may have left the place to another
        }
        if is_quiet && !goes_on() {
            return Err(ConnectError::GivenUp);
        }
    }
}

/// What tells of new names in the directory of `path`; None where the system has no more of it to give.
fn watch_directory(path: &Path) -> Option<OwnedFd> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let changes = inotify::init(flags).ok()?;
    inotify::add_watch(&changes, directory, inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE).ok()?;
    Some(changes)
}

//! What the tests with two processes share: the second process, a watchdog, numbers that look random.
//! Owns: the start of this test program as a peer. Must not know: what is tested.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::exit, clippy::print_stderr, reason = "this is how a watchdog and a peer end")]

use std::env;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

use elsewhere_shm::wake::Waited;
use elsewhere_shm::{Channel, Received, RingError};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Names the environment variable that makes the test `peer_main` a peer, and says which one.
const ROLE: &str = "ELSEWHERE_SHM_TEST_PEER";

/// Ends the test program if a test hangs.
pub struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    pub fn new(name: &'static str) -> Self {
        let (alive, watched) = channel();
        thread::spawn(move || {
            if watched.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs");
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}

/// Starts this program once more, with `fd` as its standard input. Each test program has a test `peer_main`.
pub fn start(role: &str, fd: OwnedFd) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "peer_main", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::from(fd))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// In a peer, its role and what it was handed.
pub fn role() -> Option<(String, OwnedFd)> {
    let role = env::var(ROLE).ok()?;
    Some((role, std::io::stdin().as_fd().try_clone_to_owned().unwrap()))
}

/// Numbers that look random: xorshift, so that a failure can be had again.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Locks in a way that ThreadSanitizer sees: how the standard library waits for a lock it does not.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::WouldBlock) => thread::yield_now(),
            Err(TryLockError::Poisoned(_)) => panic!("another thread failed"),
        }
    }
}

/// Receives at least one byte, asleep until then. None at the end.
pub fn receive(channel: &mut Channel, target: &mut [u8]) -> Result<Option<usize>, RingError> {
    loop {
        match channel.receiver.receive(target)? {
            Received::Bytes { count, .. } => return Ok(Some(count)),
            Received::End => return Ok(None),
            Received::Empty => sleep(channel, None),
        };
    }
}

/// Sleeps until there is something to do.
pub fn sleep(channel: &Channel, timeout: Option<Duration>) -> Waited {
    channel.lookout.try_sleeper().expect("one thread waits").sleep(timeout, || false)
}

/// Sends a descriptor over a socket, beside one byte.
pub fn send_fd(socket: impl AsFd, fd: impl AsFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(socket, &[IoSlice::new(b"f")], &mut control, SendFlags::NOSIGNAL).unwrap();
}

/// Receives one; None at the end.
pub fn receive_fd(socket: impl AsFd) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let fds = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fds.filter(|_| received.bytes == 1)
}

/// Whether this process maps the memfd with that inode.
pub fn is_mapped(inode: u64) -> bool {
    let inode = inode.to_string();
    let is_it = |line: &str| line.contains("memfd") && line.split_whitespace().any(|word| word == inode);
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().any(is_it)
}

/// The inode of a memfd.
pub fn inode(fd: impl AsFd) -> u64 {
    rustix::fs::fstat(fd).unwrap().st_ino
}

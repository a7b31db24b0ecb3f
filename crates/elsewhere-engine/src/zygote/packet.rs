//! What a process and its zygote say to each other.
//! Owns: the forms of an order, of its answer and of the news of an end. Must not know: who forks, and when.
//!
//! Orders go over a socket that keeps packets apart. Each brings a socket of its own for the answer, so that threads which
//! wait for theirs at the same time need no lock, and one that gave up is noticed. Ends are told through a pipe.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::error::Exit;
use crate::socket::{receive_with, send_with};

/// The longest packet, in bytes.
const LEN_MAX: usize = 1 << 14;
/// How many bytes tell the end of one host: its number, its exit code, its signal.
pub(super) const END_LEN: usize = 16;
/// What stands for a code or signal that there is not.
const NONE: i32 = i32::MIN;

const BEGIN: u8 = 1;
const FORK: u8 = 2;
const FORKED: u8 = 3;
const NOT_NOW: u8 = 4;
const NEVER: u8 = 5;

/// Two connected sockets that keep packets apart.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// What comes over the socket of orders.
#[derive(Debug)]
pub(super) enum Order {
    /// The first: where ends are told.
    Begin(OwnedFd),
    Fork(Box<Fork>),
}

/// One host is wanted.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) id: u64,
    pub(super) umask: u32,
    /// What the program knows what to do with.
    pub(super) setting: Vec<u8>,
    /// Where the answer goes.
    pub(super) answer: OwnedFd,
    pub(super) ends: Ends,
}

/// What a host gets of its owner.
#[derive(Debug)]
pub(crate) struct Ends {
    /// The stream, its stdin.
    pub(crate) socket: OwnedFd,
    /// Its working directory.
    pub(crate) directory: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What comes of an order.
#[derive(Debug)]
pub(super) enum Answer {
    Forked { pid: i32, pidfd: OwnedFd },
    Refused(No, String),
}

/// How long an order is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    /// The next order may be followed.
    ThisTime,
    /// It is no use to ask again.
    Ever,
}

pub(super) fn send_begin(socket: impl AsFd, ends: BorrowedFd<'_>) -> Result<()> {
    send_with(socket, &[BEGIN], &[ends])
}

pub(super) fn send_fork(
    socket: impl AsFd,
    (id, umask, setting): (u64, u32, &[u8]),
    answer: &OwnedFd,
    ends: &Ends,
) -> Result<()> {
    let mut bytes = vec![FORK];
    bytes.extend(id.to_ne_bytes());
    bytes.extend(umask.to_ne_bytes());
    bytes.extend(setting);
    let fds = [answer, &ends.socket, &ends.directory, &ends.stdout, &ends.stderr].map(AsFd::as_fd);
    send_with(socket, &bytes, &fds)
}

pub(super) fn send_forked(socket: impl AsFd, pid: i32, pidfd: BorrowedFd<'_>) -> Result<()> {
    let mut bytes = vec![FORKED];
    bytes.extend(pid.to_ne_bytes());
    send_with(socket, &bytes, &[pidfd])
}

pub(super) fn send_no(socket: impl AsFd, no: No, text: &str) -> Result<()> {
    let mut bytes = vec![if no == No::Ever { NEVER } else { NOT_NOW }];
    bytes.extend(text.as_bytes().iter().take(LEN_MAX - 1));
    send_with(socket, &bytes, &[])
}

/// The next order; None at the end of the stream.
pub(super) fn receive_order(socket: impl AsFd) -> Result<Option<Order>> {
    let Some((bytes, fds)) = receive(socket)? else { return Ok(None) };
    read_order(&bytes, fds).map(Some).ok_or(Errno::PROTO)
}

fn read_order(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Order> {
    let mut fds = fds.into_iter();
    let (kind, bytes) = bytes.split_first()?;
    if *kind == BEGIN {
        return fds.next().map(Order::Begin);
    }
    let (id, bytes) = bytes.split_first_chunk()?;
    let (umask, setting) = bytes.split_first_chunk()?;
    let mut next = || fds.next();
    (*kind == FORK).then_some(())?;
    Some(Order::Fork(Box::new(Fork {
        id: u64::from_ne_bytes(*id),
        umask: u32::from_ne_bytes(*umask),
        setting: setting.to_vec(),
        answer: next()?,
        ends: Ends { socket: next()?, directory: next()?, stdout: next()?, stderr: next()? },
    })))
}

/// The answer to an order; None when there will be none.
pub(super) fn receive_answer(socket: impl AsFd) -> Result<Option<Answer>> {
    let Some((bytes, fds)) = receive(socket)? else { return Ok(None) };
    read_answer(&bytes, fds).map(Some).ok_or(Errno::PROTO)
}

fn read_answer(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Answer> {
    match bytes.split_first()? {
        (&FORKED, pid) => {
            let pidfd = fds.into_iter().next()?;
            Some(Answer::Forked { pid: i32::from_ne_bytes(pid.try_into().ok()?), pidfd })
        }
        (&kind @ (NEVER | NOT_NOW), text) => {
            let no = if kind == NEVER { No::Ever } else { No::ThisTime };
            Some(Answer::Refused(no, String::from_utf8_lossy(text).into_owned()))
        }
        _ => None,
    }
}

/// The end of the host `id`, as it goes through the pipe.
pub(super) fn write_end(id: u64, exit: Exit) -> [u8; END_LEN] {
    let mut bytes = [0; END_LEN];
    bytes[..8].copy_from_slice(&id.to_ne_bytes());
    bytes[8..12].copy_from_slice(&exit.code.unwrap_or(NONE).to_ne_bytes());
    bytes[12..].copy_from_slice(&exit.signal.unwrap_or(NONE).to_ne_bytes());
    bytes
}

/// What [`write_end`] wrote.
pub(super) fn read_end(bytes: &[u8]) -> Option<(u64, Exit)> {
    let (id, bytes) = bytes.split_first_chunk()?;
    let (code, signal) = bytes.split_first_chunk()?;
    let some = |number: i32| (number != NONE).then_some(number);
    let exit =
        Exit { code: some(i32::from_ne_bytes(*code)), signal: some(i32::from_ne_bytes(signal.try_into().ok()?)) };
    Some((u64::from_ne_bytes(*id), exit))
}

/// The next packet, of at least one byte; waits for it. None at the end of the stream.
fn receive(socket: impl AsFd) -> Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let packet = receive_with(socket, LEN_MAX)?;
    Ok((!packet.0.is_empty()).then_some(packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn order_arrives_with_its_descriptors() {
        let (here, there) = pair().unwrap();
        let ends = Ends { socket: null(), directory: null(), stdout: null(), stderr: null() };

        send_fork(&here, (7, 0o022, b"serial"), &null(), &ends).unwrap();

        let Some(Order::Fork(fork)) = receive_order(&there).unwrap() else { panic!("no order") };
        assert_eq!((fork.id, fork.umask, fork.setting.as_slice()), (7, 0o022, &b"serial"[..]));
        drop(here);
        assert!(receive_order(&there).unwrap().is_none());
    }

    #[test]
    fn order_that_lacks_something_is_refused() {
        let (here, there) = pair().unwrap();
        for (bytes, fds) in [(vec![FORK; 4], 5), (vec![FORK; 20], 4), (vec![BEGIN], 0), (vec![9; 20], 5)] {
            let fds: Vec<OwnedFd> = (0..fds).map(|_| null()).collect();
            let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();

            send_with(&here, &bytes, &borrowed).unwrap();

            assert_eq!(receive_order(&there).unwrap_err(), Errno::PROTO);
        }
    }

    #[test]
    fn answers_arrive_as_they_were_sent() {
        let (here, there) = pair().unwrap();

        send_forked(&here, 4711, null().as_fd()).unwrap();
        send_no(&here, No::Ever, "threads run").unwrap();
        send_no(&here, No::ThisTime, &"long ".repeat(LEN_MAX)).unwrap();

        let next = || receive_answer(&there).unwrap().unwrap();
        assert!(matches!(next(), Answer::Forked { pid: 4711, .. }));
        assert!(matches!(next(), Answer::Refused(No::Ever, text) if text == "threads run"));
        assert!(matches!(next(), Answer::Refused(No::ThisTime, text) if text.len() == LEN_MAX - 1));
    }

    #[test]
    fn end_is_read_as_it_was_written() {
        let exits = [Exit { code: Some(3), signal: None }, Exit { code: None, signal: Some(9) }, Exit::default()];

        for exit in exits {
            assert_eq!(read_end(&write_end(5, exit)), Some((5, exit)));
        }
        assert_eq!(read_end(&[0; END_LEN - 1]), None);
    }
}

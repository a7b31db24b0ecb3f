//! A child that is forked before a host is wanted, and becomes the next one.
//! Owns: the line between it and its zygote, and both ends of that. Must not know: when one is forked, what it makes ready.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use rustix::thread::{name, set_name};

use super::packet::{self, Fork, Order};
use super::seat::HostOrder;
use crate::process::pidfd::send_signal;

/// What a spare is called until it is a host, in `ps -o comm` and the like.
const NAME: &CStr = c"elsewhere-spare";

/// As long as it lives this process is called a spare.
#[derive(Debug)]
struct Disguise(CString);

/// A line to a spare that is still to be forked.
#[derive(Debug)]
pub(super) struct Line {
    ours: OwnedFd,
    theirs: OwnedFd,
    /// From before the fork on, so that no eye takes a spare for a host.
    disguise: Disguise,
}

/// A spare, for its zygote. It ends when the line is closed.
#[derive(Debug)]
pub(super) struct Spare {
    pid: Pid,
    pidfd: OwnedFd,
    line: OwnedFd,
}

/// Being a spare, which waits for its order.
#[derive(Debug)]
pub struct StandBy {
    line: OwnedFd,
    disguise: Disguise,
}

impl Disguise {
    fn new() -> rustix::io::Result<Self> {
        let before = name()?;
        set_name(NAME)?;
        Ok(Self(before))
    }
}

impl Drop for Disguise {
    fn drop(&mut self) {
        let _ = set_name(&self.0); // as it was let before
    }
}

impl Line {
    pub(super) fn new() -> rustix::io::Result<Self> {
        let (ours, theirs) = packet::pair()?;
        Ok(Self { ours, theirs, disguise: Disguise::new()? })
    }

    /// After the fork, in the zygote.
    pub(super) fn into_spare(self, pid: Pid, pidfd: OwnedFd) -> Spare {
        Spare { pid, pidfd, line: self.ours }
    }

    /// After the fork, in the child.
    pub(super) fn stand_by(self) -> StandBy {
        StandBy { line: self.theirs, disguise: self.disguise }
    }
}

impl Spare {
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Has it become a host. If it has not ended it does, or ends then.
    pub(super) fn order(&self, fork: &Fork) -> rustix::io::Result<()> {
        packet::send_fork(&self.line, (fork.id, fork.umask, &fork.setting), &fork.answer, &fork.ends)
    }

    /// It is a child like any other now.
    pub(super) fn into_child(self) -> (Pid, OwnedFd) {
        (self.pid, self.pidfd)
    }

    /// Ends it, and returns when it is gone.
    pub(super) fn end(self) {
        send_signal(&self.pidfd, self.pid, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

impl StandBy {
    /// Waits for the order. None when there will be none, or there was one that makes no sense.
    ///
    /// # Errors
    /// Itself, when a signal came.
    pub fn wait(self) -> Result<Option<HostOrder>, Self> {
        match packet::receive_order(&self.line) {
            Ok(Some(Order::Fork(fork))) => {
                drop(self.disguise);
                Ok(Some(HostOrder(fork)))
            }
            Err(Errno::INTR) => Err(self),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::socket::send_with;
    use crate::zygote::packet::Ends;

    fn null() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    /// Both ends of a line, of which no fork has one.
    fn line() -> (OwnedFd, StandBy) {
        let Line { ours, theirs, disguise } = Line::new().unwrap();
        (ours, StandBy { line: theirs, disguise })
    }

    #[test]
    fn order_reaches_a_spare_which_has_its_name_again() {
        let before = name().unwrap();
        let (line, spare) = line();
        assert_eq!(name().unwrap().as_c_str(), NAME);
        let ends = Ends { socket: null(), directory: null(), stdout: null(), stderr: null() };

        packet::send_fork(&line, (7, 0o022, b"serial"), &null(), &ends).unwrap();

        let order = spare.wait().unwrap().unwrap();
        assert_eq!(order.setting(), b"serial");
        assert_eq!(name().unwrap(), before);
    }

    #[test]
    fn spare_ends_with_its_line_and_with_an_order_that_makes_no_sense() {
        let (closed, spare) = line();
        drop(closed);
        assert!(matches!(spare.wait(), Ok(None)));

        let (line, spare) = line();
        send_with(&line, &[9; 20], &[]).unwrap();
        assert!(matches!(spare.wait(), Ok(None)));
    }
}

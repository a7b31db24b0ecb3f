//! A process by a descriptor that stands for it.
//! Owns: how it is had, and how signals go by it. Must not know: whose process it is, what its end means.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// What tells of the end of a child that is not reaped yet.
///
/// # Errors
/// Those of the system, which name its call: it is one that containers refuse.
pub(crate) fn watchable(pid: Pid) -> io::Result<OwnedFd> {
    pidfd_open(pid, PidfdFlags::empty()).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(
            error.kind(),
            format!("its end could not be told, since the system refuses pidfd_open ({error})"),
        )
    })
}

/// Sends a signal to the process `pid`, which `pidfd` stands for. One that has ended gets none.
pub(crate) fn send_signal(pidfd: &OwnedFd, pid: Pid, signal: Signal) {
    // The call by descriptors is one that containers refuse. Until the process has ended its number is its own.
    if pidfd_send_signal(pidfd, signal).is_err() && is_running(pidfd) {
        let _ = kill_process(pid, signal);
    }
}

fn is_running(pidfd: &OwnedFd) -> bool {
    matches!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&Timespec::default())), Ok(0))
}

//! A host that is a fork of this process. The fork itself is the caller's, who knows what it means to the program.
//! Owns: the ends of the streams between both, and what each side does with its own. Must not know: how a fork is made.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use elsewhere_proto::Config;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::{HostCommand, HostProcess, Stdio};
use crate::error::StartError;
use crate::inbox::Inbox;
use crate::{socket, watch};

/// What a process and its fork have to share before the fork. Afterwards the parent calls [`adopt`](Self::adopt) and the
/// child [`become_host`](Self::become_host); where there was no fork after all, it is dropped.
#[derive(Debug)]
pub struct HostFork {
    command: HostCommand,
    inbox: Arc<Inbox>,
    config: Config,
    ours: OwnedFd,
    theirs: OwnedFd,
    /// Reading and writing end; None where stdout does not come to us.
    stdout: Option<(OwnedFd, OwnedFd)>,
    stderr: (OwnedFd, OwnedFd),
}

impl HostCommand {
    /// Prepares for a host that is not a program but a fork of this process: of this command, only what it says about the
    /// output, the home, the sharing of memory and the time to say hello counts.
    ///
    /// # Errors
    /// [`StartError::Spawn`] when the system has no room for it.
    pub fn prepare_fork(self, inbox: Arc<Inbox>, config: Config) -> Result<HostFork, StartError> {
        self.try_prepare_fork(inbox, config).map_err(not_forked)
    }

    fn try_prepare_fork(self, inbox: Arc<Inbox>, config: Config) -> io::Result<HostFork> {
        let pipe = || {
            let (reading, writing) = io::pipe()?;
            Ok::<_, io::Error>((beside_standard(reading.into())?, beside_standard(writing.into())?))
        };
        let stdout = (self.output == Stdio::Home).then(pipe).transpose()?;
        let stderr = pipe()?;
        let (ours, theirs) = socket::pair()?;
        let (ours, theirs) = (beside_standard(ours)?, beside_standard(theirs)?);
        Ok(HostFork { command: self, inbox, config, ours, theirs, stdout, stderr })
    }
}

impl HostFork {
    /// In the parent: takes the child `pid` as a host. Follow with [`HostProcess::wait_started`].
    ///
    /// What the stream shares is made only now, while the child is on its way: the fork has less to copy.
    ///
    /// # Errors
    /// [`StartError::Spawn`]; the child is gone and reaped then.
    pub fn adopt(self, pid: u32) -> Result<HostProcess, StartError> {
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| not_forked(io::ErrorKind::NotFound.into()))?;
        self.try_adopt(pid).map_err(|error| {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
            not_forked(error)
        })
    }

    fn try_adopt(self, pid: Pid) -> io::Result<HostProcess> {
        let Self { command, inbox, config, ours, theirs, stdout, stderr } = self;
        let link = command.make_link_on(watch::next_id(), ours, inbox, config)?;
        let adopted = command.adopt(pid, stdout.map(|(end, _)| end), stderr.0, &link).inspect_err(|_| link.abandon());
        drop(theirs); // its end must not be seen before the process is watched
        adopted
    }

    /// In the child: the streams become its standard streams, and the socket its stdin, where [`adopt_stdin`] finds it.
    ///
    /// # Errors
    /// Those of the system.
    ///
    /// [`adopt_stdin`]: crate::adopt_stdin
    pub fn become_host(self) -> io::Result<()> {
        rustix::stdio::dup2_stdin(&self.theirs)?;
        rustix::stdio::dup2_stderr(&self.stderr.1)?;
        match &self.stdout {
            Some((_, end)) => rustix::stdio::dup2_stdout(end)?,
            None if self.command.output == Stdio::Null => {
                rustix::stdio::dup2_stdout(beside_standard(File::options().write(true).open("/dev/null")?.into())?)?;
            }
            None => {}
        }
        Ok(())
    }
}

/// The same descriptor under a number that is not one of a standard stream: where this process has closed one of those, its
/// number is given to what comes next, and in the child it is to be the stream again.
fn beside_standard(end: OwnedFd) -> io::Result<OwnedFd> {
    if end.as_raw_fd() > 2 {
        return Ok(end);
    }
    Ok(fcntl_dupfd_cloexec(&end, 3)?)
}

fn not_forked(error: io::Error) -> StartError {
    StartError::Spawn { program: "a fork of this process".to_owned(), error }
}

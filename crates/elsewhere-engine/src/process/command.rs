//! How a host is started.
//! Owns: the program, its surroundings, its first seconds. Must not know: what the program does with its socket.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use elsewhere_proto::Config;
use rustix::process::Pid;

use super::output::{Goes, Output, Unshown};
use super::{HostProcess, Parent, Process};
use crate::error::StartError;
use crate::home::{Home, Stream};
use crate::inbox::Inbox;
use crate::link::{Kind, Link};
use crate::transport::Transport;
use crate::watch;

/// A program that becomes a host: it finds a connected socket as its stdin and speaks the protocol over it.
#[derive(Clone, Debug)]
pub struct HostCommand {
    /// The program, looked up in `PATH` unless it contains a slash.
    pub program: OsString,
    /// Its arguments, without the program itself.
    pub arguments: Vec<OsString>,
    /// Variables to set (Some) or remove (None) for the program.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// Whether it starts with an empty environment instead of ours.
    pub clear_environment: bool,
    /// Where it starts; None for our own directory.
    pub directory: Option<PathBuf>,
    /// Where its stdout and stderr go. The last words on stderr are kept in any case.
    pub output: Stdio,
    /// Who shows here what it prints, with [`Stdio::Home`], and what it tells our object number 0.
    pub home: Option<Arc<Home>>,
    /// How long it may take to say hello.
    pub start_timeout: Duration,
    /// Whether the stream goes through shared memory, where there is such.
    pub shares_memory: bool,
    /// Bytes that the program finds on the socket before anything of the protocol: what it needs to become a host.
    pub preface: Vec<u8>,
}

/// Where what a host prints goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// To our own stdout and stderr.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// To [`HostCommand::home`].
    Home,
}

impl HostCommand {
    /// `program` with our environment, in our directory, with 30 s to say hello.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            clear_environment: false,
            directory: None,
            output: Stdio::Inherit,
            home: None,
            start_timeout: Duration::from_secs(30),
            shares_memory: true,
            preface: Vec::new(),
        }
    }

    /// Starts the program without waiting for its hello; calls may be submitted at once and are sent when it comes.
    /// Follow with [`HostProcess::wait_started`].
    ///
    /// # Errors
    /// [`StartError::Spawn`] when there is no such program or the system has no room for it; nothing is left behind.
    pub fn launch(&self, inbox: Arc<Inbox>, config: Config) -> Result<HostProcess, StartError> {
        self.try_launch(inbox, config)
            .map_err(|error| StartError::Spawn { program: self.program.to_string_lossy().into_owned(), error })
    }

    /// Starts the program and waits for its hello.
    ///
    /// # Errors
    /// [`StartError`]; the process is gone and reaped then.
    pub fn spawn(&self, inbox: Arc<Inbox>, config: Config) -> Result<HostProcess, StartError> {
        let process = self.launch(inbox, config)?;
        while !process.wait_started(None)? {}
        Ok(process)
    }

    fn try_launch(&self, inbox: Arc<Inbox>, config: Config) -> std::io::Result<HostProcess> {
        let (link, theirs) = self.make_link(inbox, config)?;
        let mut command = self.command(theirs);
        let started = command.spawn().and_then(|mut child| {
            self.adopt_child(&mut child, &link).inspect_err(|_| {
                let _ = child.kill();
                let _ = child.wait();
            })
        });
        if started.is_err() {
            link.abandon();
        }
        // It holds the host's end of the stream, whose end must not be seen before the process is watched.
        drop(command);
        started
    }

    /// The link to a process that is still to come, and the host's end of its stream. Everything that can fail for want of
    /// descriptors or threads comes before the process.
    pub(super) fn make_link(&self, inbox: Arc<Inbox>, config: Config) -> std::io::Result<(Arc<Link>, OwnedFd)> {
        let (ours, theirs, problem) = Transport::offer(self.shares_memory, &self.preface)?;
        Ok((self.link_over(watch::next_id(), (ours, problem), inbox, config)?, theirs))
    }

    /// The link of that id, to a process that has the other end of the stream already, or is given it meanwhile. Where it
    /// fails, the caller sees to it that the process ends.
    pub(super) fn make_link_on(
        &self,
        id: u64,
        ours: OwnedFd,
        inbox: Arc<Inbox>,
        config: Config,
    ) -> std::io::Result<Arc<Link>> {
        self.link_over(id, Transport::offer_on(ours, self.shares_memory)?, inbox, config)
    }

    fn link_over(
        &self,
        id: u64,
        (ours, problem): (Transport, Option<String>),
        inbox: Arc<Inbox>,
        config: Config,
    ) -> std::io::Result<Arc<Link>> {
        let link = Link::with_id(id, ours, config, inbox, Kind::Host)?;
        if let Some(problem) = problem {
            link.set_memory_problem(problem);
        }
        if let Some(home) = &self.home {
            link.bring_home(home);
        }
        Ok(link)
    }

    fn adopt_child(&self, child: &mut std::process::Child, link: &Arc<Link>) -> std::io::Result<HostProcess> {
        let pid =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("the system gives positive process ids");
        let stderr = child.stderr.take().expect("stderr was asked to be a pipe").into();
        let stdout = child.stdout.take().map(OwnedFd::from);
        self.adopt(pid, stdout, stderr, link)
    }

    /// Watches the process `pid`, a child of ours, as the host at the other end of `link`.
    pub(super) fn adopt(
        &self,
        pid: Pid,
        stdout: Option<OwnedFd>,
        stderr: OwnedFd,
        link: &Arc<Link>,
    ) -> std::io::Result<HostProcess> {
        let pidfd = super::pidfd::watchable(pid)?;
        self.adopt_watched((pid, pidfd, Parent::Here), self.outputs(stdout, stderr)?, link)
    }

    /// The same for a process whose pidfd is there, and which may be the child of a zygote.
    pub(super) fn adopt_watched(
        &self,
        whose: (Pid, OwnedFd, Parent),
        (stdout, stderr): (Output, Output),
        link: &Arc<Link>,
    ) -> std::io::Result<HostProcess> {
        let process = Arc::new(Process::new(whose, Arc::clone(link), stdout, stderr, self.home.clone()));
        watch::add_process(&process)?;
        Ok(HostProcess::new(process, self.start_timeout))
    }

    /// What comes of its stdout, if that is a pipe to us, and of its stderr.
    pub(super) fn outputs(&self, stdout: Option<OwnedFd>, stderr: OwnedFd) -> std::io::Result<(Output, Output)> {
        let goes = |stream| match (self.output, &self.home) {
            (Stdio::Home, Some(home)) => Goes::Home(Arc::clone(home), stream),
            (Stdio::Inherit, _) => Goes::On(Unshown::default()),
            (Stdio::Null | Stdio::Home, _) => Goes::Away,
        };
        let stdout = match stdout {
            Some(pipe) => Output::new(pipe, goes(Stream::Output))?,
            None => Output::elsewhere(),
        };
        Ok((stdout, Output::new(stderr, goes(Stream::Error))?))
    }

    /// No hook runs between fork and exec, and nothing but stdin, stdout and stderr is inherited.
    fn command(&self, socket: OwnedFd) -> Command {
        let mut command = self.bare_command();
        command.stdin(socket).stderr(std::process::Stdio::piped());
        command.stdout(match self.output {
            Stdio::Inherit => std::process::Stdio::inherit(),
            Stdio::Null => std::process::Stdio::null(),
            Stdio::Home => std::process::Stdio::piped(),
        });
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// The program, its arguments and environment.
    pub(super) fn bare_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        if self.clear_environment {
            command.env_clear();
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

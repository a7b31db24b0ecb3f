//! The handle of a host.
//! Owns: what a program may ask of a host, and that the host ends with its last handle. Must not know: how.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Process;
use crate::error::{Exit, Loss, StartError};
use crate::link::{Link, Wake};
use crate::lock::lock;

/// A host process. Its drop closes the link: the host finishes what it accepted and ends, and is reaped whenever it does.
#[derive(Debug)]
pub struct HostProcess {
    process: Arc<Process>,
    started: Instant,
    start_timeout: Duration,
}

impl HostProcess {
    pub(super) fn new(process: Arc<Process>, start_timeout: Duration) -> Self {
        Self { process, started: Instant::now(), start_timeout }
    }

    /// Waits for the host's hello, at most until the start timeout. False when `tick` was over or a signal came first:
    /// see to signals and call again.
    ///
    /// # Errors
    /// [`StartError`]; the process is gone and reaped then.
    pub fn wait_started(&self, tick: Option<Duration>) -> Result<bool, StartError> {
        let link = self.link();
        let wake = link.wait_established(self.started.checked_add(self.start_timeout), tick);
        if link.peer().is_some() {
            return Ok(true);
        }
        match (link.loss(), wake) {
            (Some(loss), _) => Err(self.start_error(&loss)),
            (None, Wake::TimedOut) => {
                self.end_now();
                Err(StartError::TimedOut {
                    pid: self.pid(),
                    after: self.start_timeout,
                    stderr_tail: self.stderr_tail(),
                })
            }
            (None, _) => Ok(false),
        }
    }

    fn start_error(&self, loss: &Loss) -> StartError {
        let pid = self.pid();
        self.end_now();
        let stderr_tail = self.stderr_tail();
        match loss {
            Loss::Violated { text } => StartError::Protocol { pid, text: text.clone(), stderr_tail },
            _ => StartError::Ended { pid, exit: self.status().unwrap_or_default(), stderr_tail },
        }
    }

    /// Kills the process and waits until it is reaped, which a kill makes short.
    fn end_now(&self) {
        self.kill();
        while !self.process.wait_until(None) {}
    }

    /// The same where no watch thread reaps.
    pub(crate) fn end_unwatched(&self) {
        self.kill();
        self.process.reap_here();
    }

    /// The connection to the host.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.process.link
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.raw_pid()
    }

    /// Whether it has not been seen to end.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.exit.get().is_none()
    }

    /// It listens at the socket `path`, which is taken away when it has ended, however it did.
    pub fn note_socket(&self, path: PathBuf) {
        let _ = self.process.socket.set(path);
        if !self.is_alive() {
            self.process.tidy_up();
        }
    }

    /// How it ended; None while it lives.
    #[must_use]
    pub fn status(&self) -> Option<Exit> {
        self.process.exit.get().copied()
    }

    /// The last bytes it wrote to stderr, at most 4 KiB.
    #[must_use]
    pub fn stderr_tail(&self) -> Vec<u8> {
        lock(&self.process.stderr).tail()
    }

    /// Takes in what it has written so far, for its [`Home`](crate::Home).
    pub fn read_output(&self) {
        if !self.link().is_inherited() {
            self.process.read_output();
        }
    }

    /// Ends it at once with SIGKILL. What it was doing ends with [`Loss::Died`].
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Asks it to end with SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        if !self.link().is_inherited() {
            self.process.signal(signal);
        }
    }

    /// Waits until it has ended and everybody was told, for `timeout` (None: as long as it takes) or until a signal
    /// comes. Returns whether it has.
    #[must_use]
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        if self.link().is_inherited() {
            return true;
        }
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.process.wait_until(until)
    }

    /// Begins to close it without waiting: it accepts nothing new, finishes what it accepted and ends. If it has not
    /// ended after `grace` it gets SIGTERM, a second later SIGKILL. A second time only shortens the grace.
    pub fn start_close(&self, grace: Duration) {
        if !self.link().is_inherited() {
            self.process.start_close(grace);
        }
    }

    /// Closes it and waits until it has ended, which takes at most `grace` and a good second. A signal interrupts the
    /// wait, not the close. Returns whether it has ended.
    pub fn close(&self, grace: Duration) -> bool {
        self.start_close(grace);
        self.wait(None)
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        self.link().close();
    }
}

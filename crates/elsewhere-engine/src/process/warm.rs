//! How a host is forked by a zygote.
//! Owns: the ends that such a host gets, the wait for it, what is done when its zygote fails. Must not know: how a zygote
//! is asked, what is ready in it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use elsewhere_proto::Config;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, Signal, pidfd_send_signal};

use super::{HostCommand, HostProcess, Parent, Stdio};
use crate::error::StartError;
use crate::exit;
use crate::inbox::Inbox;
use crate::link::Link;
use crate::zygote::{self, Answering, Ends, No, Ordered, Source, Surroundings, Zygote};

/// How often a host is asked for again when its zygote is gone.
const TRIES: u8 = 3;
const ENDS_EARLY: &str = "the process that is to fork it ends before it is ready";

/// A host that was asked for. Its drop gives it up.
#[derive(Debug)]
pub struct WarmStart {
    command: HostCommand,
    key: String,
    setting: String,
    umask: u32,
    inbox: Arc<Inbox>,
    config: Config,
    started: Instant,
    streams: Streams,
    asked: Asked,
    tries: u8,
}

/// What is between this process and a host that is still to come.
#[derive(Debug)]
struct Streams {
    /// None once it belongs to a process.
    link: Option<Arc<Link>>,
    ends: Ends,
    stdout: Option<OwnedFd>,
    stderr: OwnedFd,
}

#[derive(Debug)]
struct Asked {
    zygote: Arc<Zygote>,
    is_new: bool,
    answering: Answering,
}

/// Why there is no host from a zygote.
#[derive(Debug, thiserror::Error)]
pub enum Unforked {
    /// There will be none in another way, either.
    #[error("{0}")]
    Failed(#[from] StartError),
    /// The program cannot be made ready to be forked; start the host by itself.
    #[error("{text}")]
    Refused {
        /// Why.
        text: String,
        /// Whether that was not told before.
        is_news: bool,
    },
}

impl HostCommand {
    /// Asks for a host that is forked by a zygote: a process of this program, arguments and environment, which sits in a
    /// [`ZygoteSeat`](crate::ZygoteSeat). It is started if there is none of this `key` that was started in the same
    /// surroundings. `setting` is what the program is told for this host. Follow with [`WarmStart::wait`].
    ///
    /// # Errors
    /// [`Unforked`]; nothing is left behind.
    pub fn launch_warm(
        self,
        key: &str,
        setting: &str,
        inbox: Arc<Inbox>,
        config: Config,
    ) -> Result<WarmStart, Unforked> {
        let surroundings = Surroundings::now().map_err(|error| not_known(&error))?;
        let key = format!("{key}\n{}", surroundings.fixed);
        let asked = self.prepare(Arc::clone(&inbox), config.clone()).and_then(|streams| {
            let asked = ask(&self, &key, setting, surroundings.umask, &streams)?;
            Ok((streams, asked))
        });
        let (streams, asked) = asked.map_err(|error| Self::unforked(&self, error))?;
        let asked = asked.map_err(|text| Unforked::Refused { text, is_news: false })?;
        Ok(WarmStart {
            command: self,
            key,
            setting: setting.to_owned(),
            umask: surroundings.umask,
            inbox,
            config,
            started: Instant::now(),
            streams,
            asked,
            tries: 1,
        })
    }

    fn unforked(&self, error: io::Error) -> Unforked {
        StartError::Spawn { program: self.program.to_string_lossy().into_owned(), error }.into()
    }

    fn prepare(&self, inbox: Arc<Inbox>, config: Config) -> io::Result<Streams> {
        let path = self.directory.as_deref().unwrap_or(".".as_ref());
        let directory = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let (stdout_here, stdout) = match self.output {
            Stdio::Inherit => match io::stdout().as_fd().try_clone_to_owned() {
                Ok(ours) => (None, ours),
                Err(_) => (None, null()?), // we have none
            },
            Stdio::Null => (None, null()?),
            Stdio::Home => {
                let (reading, writing) = io::pipe()?;
                (Some(OwnedFd::from(reading)), writing.into())
            }
        };
        let (stderr_here, stderr) = io::pipe()?;
        let (link, socket) = self.make_link(inbox, config)?;
        let ends = Ends { socket, directory, stdout, stderr: stderr.into() };
        Ok(Streams { link: Some(link), ends, stdout: stdout_here, stderr: stderr_here.into() })
    }

    /// The zygote as a program. Until it is ready it prints to where its first host does.
    fn zygote(&self, ends: &Ends) -> io::Result<Command> {
        let mut command = self.bare_command();
        command.current_dir("/").stdout(ends.stdout.try_clone()?).stderr(ends.stderr.try_clone()?);
        Ok(command)
    }
}

/// Asks the zygote of `key`, a new one if need be. The inner error says why there is none to be had.
fn ask(
    command: &HostCommand,
    key: &str,
    setting: &str,
    umask: u32,
    streams: &Streams,
) -> io::Result<Result<Asked, String>> {
    let Streams { link, ends, .. } = streams;
    let id = link.as_ref().expect("the streams are new").id();
    for _ in 0..TRIES {
        let (zygote, is_new) = match zygote::find(key, || command.zygote(ends)) {
            Ok(Source::Zygote(zygote, is_new)) => (zygote, is_new),
            Ok(Source::Nowhere(text)) => return Ok(Err(text)),
            Err(error) if is_end(&error) => break,
            Err(error) => return Err(error),
        };
        match zygote.order(id, umask, setting, ends) {
            Ok(answering) => return Ok(Ok(Asked { zygote, is_new, answering })),
            // It is gone, or was let go in this moment.
            Err(error) if is_end(&error) => zygote::forget(&zygote),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Err("the process that forks hosts does not keep up".to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Err(ENDS_EARLY.to_owned()))
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl WarmStart {
    /// Waits for the process, at most until the start timeout. None when `tick` was over or a signal came first: see to
    /// signals and call again. Then follow with [`HostProcess::wait_started`].
    ///
    /// # Errors
    /// [`Unforked`]; nothing is left behind.
    pub fn wait(&mut self, tick: Duration) -> Result<Option<HostProcess>, Unforked> {
        let left = self.command.start_timeout.saturating_sub(self.started.elapsed());
        let answer = self.asked.answering.wait(tick.min(left));
        exit::gate();
        match answer.map_err(|error| self.command.unforked(error))? {
            Ordered::Forked { pid, pidfd } => self.adopt(pid, &pidfd).map(Some),
            Ordered::Refused(no, text) => {
                let is_news = no == No::ThisTime || zygote::refuse(&self.key, &text);
                Err(Unforked::Refused { text, is_news })
            }
            Ordered::Gone => self.ask_again().map(|()| None),
            Ordered::Babble => {
                zygote::forget(&self.asked.zygote);
                self.asked.zygote.end_now();
                Err(Unforked::Refused { text: "it does not speak this protocol".to_owned(), is_news: true })
            }
            Ordered::Nothing if left.is_zero() => Err(self.is_late().into()),
            Ordered::Nothing => Ok(None),
        }
    }

    fn adopt(&mut self, pid: Pid, pidfd: &OwnedFd) -> Result<HostProcess, Unforked> {
        let link = self.streams.link.take().expect("only this takes it, once");
        let adopted = self.streams.stderr.try_clone().and_then(|stderr| {
            let pidfd = pidfd.try_clone()?;
            let parent = Parent::Zygote(Arc::clone(&self.asked.zygote));
            self.command.adopt_watched((pid, pidfd, parent), self.streams.stdout.take(), stderr, &link)
        });
        adopted.map_err(|error| {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
            link.abandon();
            self.command.unforked(error)
        })
    }

    /// The zygote is gone without an answer. A new one that ends at once would do so again. It may have forked all the
    /// same, so the next one gets streams of its own, and a host that nobody knows of finds that its owner has left.
    fn ask_again(&mut self) -> Result<(), Unforked> {
        zygote::forget(&self.asked.zygote);
        let text = ENDS_EARLY.to_owned();
        if self.asked.is_new || self.tries == TRIES {
            return Err(Unforked::Refused { text, is_news: true });
        }
        self.tries += 1;
        let asked = self.command.prepare(Arc::clone(&self.inbox), self.config.clone()).and_then(|streams| {
            self.streams = streams;
            ask(&self.command, &self.key, &self.setting, self.umask, &self.streams)
        });
        self.asked = asked
            .map_err(|error| self.command.unforked(error))?
            .map_err(|text| Unforked::Refused { text, is_news: true })?;
        Ok(())
    }

    /// A zygote that does not answer is not asked again.
    fn is_late(&self) -> StartError {
        let zygote = &self.asked.zygote;
        if self.asked.is_new {
            zygote.end_now(); // it has no hosts, whose exit codes would be lost with it
        }
        zygote::forget(zygote);
        StartError::TimedOut {
            pid: zygote.raw_pid(),
            after: self.command.start_timeout,
            stderr_tail: super::output::last_words(&self.streams.stderr),
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.abandon();
        }
    }
}

fn null() -> io::Result<OwnedFd> {
    File::options().write(true).open("/dev/null").map(OwnedFd::from)
}

fn not_known(error: &io::Error) -> Unforked {
    Unforked::Refused { text: format!("/proc does not tell what it would inherit ({error})"), is_news: false }
}

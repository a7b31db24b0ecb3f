//! How a host is forked by a zygote.
//! Owns: the ends that such a host gets, the wait for it, what is done when its zygote fails. Must not know: how a zygote
//! is asked, what is ready in it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use elsewhere_proto::Config;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::process::{Pid, Signal};

use super::output::Output;
use super::{HostCommand, HostProcess, Parent, Stdio};
use crate::error::StartError;
use crate::inbox::Inbox;
use crate::link::Link;
use crate::zygote::{self, Answering, Ends, No, Ordered, Source, Surroundings, Zygote};
use crate::{exit, socket, watch};

/// How often a host is asked for again when its zygote is gone.
const TRIES: u8 = 3;
const ENDS_EARLY: &str = "the process that is to fork it ends before it is ready";
/// How long a zygote without hosts may take to be gone, before a host is started that may need the room it takes.
const MAKE_ROOM: Duration = Duration::from_millis(100);

/// A host that was asked for. Its drop gives it up.
#[derive(Debug)]
pub struct WarmStart {
    command: HostCommand,
    key: String,
    setting: Vec<u8>,
    umask: u32,
    inbox: Arc<Inbox>,
    config: Config,
    started: Instant,
    streams: Streams,
    asked: Asked,
    tries: u8,
    /// Whether its zygote is known to answer, or not to.
    is_answered: bool,
    /// The host, once it is forked.
    forked: Option<HostProcess>,
}

/// What is between this process and a host that is still to come.
#[derive(Debug)]
struct Streams {
    /// The id of the link.
    id: u64,
    /// Our end of its socket; None once the link has it.
    socket: Option<OwnedFd>,
    /// None before the host is asked for, and once it belongs to a process.
    link: Option<Arc<Link>>,
    ends: Ends,
    /// What the zygote prints until it is ready, and then the host.
    outputs: (Output, Output),
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
    /// It is not ready in time.
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
    /// surroundings. `setting` is what the program is told for this host, at most 16,000 bytes. Follow with [`WarmStart::wait`].
    ///
    /// # Errors
    /// [`Unforked`]; nothing is left behind.
    pub fn launch_warm(
        self,
        key: &str,
        setting: &[u8],
        inbox: Arc<Inbox>,
        config: Config,
    ) -> Result<WarmStart, Unforked> {
        let surroundings = Surroundings::now().map_err(|error| not_known(&error))?;
        let key = format!("{key}\n{}", surroundings.fixed);
        let asked = self.prepare().and_then(|streams| {
            let asked = ask(&self, &key, setting, surroundings.umask, &streams)?;
            Ok((streams, asked))
        });
        let (streams, asked) = asked.map_err(|error| system_refuses(&error))?;
        let asked = asked.map_err(|text| Unforked::Refused { text, is_news: false })?;
        let mut start = WarmStart {
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
            is_answered: false,
            forked: None,
        };
        start.make_link()?;
        Ok(start)
    }

    fn prepare(&self) -> io::Result<Streams> {
        let path = self.directory.as_deref().unwrap_or(".".as_ref());
        let directory = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let (stdout_here, stdout) = match self.output {
            Stdio::Inherit => (None, inherited_stdout().map_or_else(null, Ok)?),
            Stdio::Null => (None, null()?),
            Stdio::Home => {
                let (reading, writing) = io::pipe()?;
                (Some(OwnedFd::from(reading)), writing.into())
            }
        };
        let (stderr_here, stderr) = io::pipe()?;
        let (ours, socket) = socket::pair()?;
        let ends = Ends { socket, directory, stdout, stderr: stderr.into() };
        let outputs = self.outputs(stdout_here, stderr_here.into())?;
        Ok(Streams { id: watch::next_id(), socket: Some(ours), link: None, ends, outputs })
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
    setting: &[u8],
    umask: u32,
    streams: &Streams,
) -> io::Result<Result<Asked, String>> {
    let Streams { id, ends, .. } = streams;
    for _ in 0..TRIES {
        let (zygote, is_new) = match zygote::find(key, || command.zygote(ends)) {
            Ok(Source::Zygote(zygote, is_new)) => (zygote, is_new),
            Ok(Source::Nowhere(text)) => return Ok(Err(text)),
            Err(error) if is_end(&error) => break,
            Err(error) => return Err(error),
        };
        match zygote.order(*id, umask, setting, ends) {
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
    /// Makes what the stream shares, while the zygote forks.
    fn make_link(&mut self) -> Result<(), Unforked> {
        let socket = self.streams.socket.take().expect("the streams are new");
        let link = self.command.make_link_on(self.streams.id, socket, Arc::clone(&self.inbox), self.config.clone());
        self.streams.link = Some(link.map_err(|error| system_refuses(&error))?);
        Ok(())
    }

    /// Waits for the process and its hello, at most until the start timeout. None when `tick` was over or a signal came
    /// first: see to signals and call again.
    ///
    /// # Errors
    /// [`Unforked`]; nothing is left behind.
    pub fn wait(&mut self, tick: Duration) -> Result<Option<HostProcess>, Unforked> {
        if self.forked.is_none() {
            self.wait_forked(tick)?;
        }
        let Some(process) = &self.forked else { return Ok(None) };
        match process.wait_started(Some(tick)) {
            Ok(true) => Ok(self.forked.take()),
            Ok(false) => Ok(None),
            // What is imported there may not bear a fork, or there was no room: executed it may well be.
            Err(StartError::Ended { exit, .. }) => {
                Err(self.refuse_once(format!("its fork {exit} before it was ready")))
            }
            Err(StartError::Protocol { text, .. }) => {
                Err(self.refuse_once(format!("its fork does not speak this protocol: {text}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn wait_forked(&mut self, tick: Duration) -> Result<(), Unforked> {
        let left = self.command.start_timeout.saturating_sub(self.started.elapsed());
        let answer = self.asked.answering.wait(tick.min(left), &self.streams.pipes());
        self.streams.pump(); // a zygote that prints much while it imports would wait for us
        exit::gate();
        let answer = answer.map_err(|error| system_refuses(&error))?;
        self.is_answered = !matches!(answer, Ordered::Nothing);
        match answer {
            Ordered::Forked { pid, pidfd } => {
                self.forked = Some(self.adopt(pid, &pidfd)?);
                Ok(())
            }
            Ordered::Refused(No::Ever, text) => {
                let is_news = zygote::refuse(&self.key, &text);
                Err(Unforked::Refused { text, is_news })
            }
            Ordered::Refused(No::ThisTime, text) => Err(self.refuse_once(text)),
            Ordered::Gone => self.ask_again(),
            Ordered::Babble => {
                zygote::forget(&self.asked.zygote);
                self.asked.zygote.end_now();
                Err(Unforked::Refused { text: "it does not speak this protocol".to_owned(), is_news: true })
            }
            Ordered::Nothing if left.is_zero() => Err(self.is_late().into()),
            Ordered::Nothing => Ok(()),
        }
    }

    /// The zygote takes room, too, and the host that is executed instead may need that.
    fn refuse_once(&self, text: String) -> Unforked {
        zygote::forget(&self.asked.zygote);
        self.asked.zygote.end_unless_used(Instant::now() + MAKE_ROOM);
        Unforked::Refused { text, is_news: true }
    }

    fn adopt(&mut self, pid: Pid, pidfd: &OwnedFd) -> Result<HostProcess, Unforked> {
        let link = self.streams.link.take().expect("only this takes it, once");
        let outputs = std::mem::replace(&mut self.streams.outputs, (Output::elsewhere(), Output::elsewhere()));
        let parent = Parent::Zygote(Arc::clone(&self.asked.zygote));
        let adopted =
            pidfd.try_clone().and_then(|pidfd| self.command.adopt_watched((pid, pidfd, parent), outputs, &link));
        adopted.map_err(|error| {
            super::pidfd::send_signal(pidfd, pid, Signal::KILL);
            link.abandon();
            system_refuses(&error)
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
        self.is_answered = false;
        let asked = self.command.prepare().and_then(|streams| {
            self.streams = streams;
            ask(&self.command, &self.key, &self.setting, self.umask, &self.streams)
        });
        self.asked =
            asked.map_err(|error| system_refuses(&error))?.map_err(|text| Unforked::Refused { text, is_news: true })?;
        self.make_link()
    }

    /// A zygote that does not answer is not asked again. A new one ends with this: it has no hosts, whose exit codes would
    /// be lost with it.
    fn is_late(&self) -> StartError {
        let zygote = &self.asked.zygote;
        zygote::forget(zygote);
        StartError::TimedOut {
            pid: zygote.raw_pid(),
            after: self.command.start_timeout,
            stderr_tail: self.streams.outputs.1.tail(),
        }
    }
}

impl Drop for WarmStart {
    /// A zygote that may never be ready would keep the next host waiting; it has none yet.
    fn drop(&mut self) {
        if self.asked.is_new && !self.is_answered {
            zygote::forget(&self.asked.zygote);
            self.asked.zygote.end_now();
        }
        if let Some(process) = &self.forked {
            process.kill();
        }
    }
}

impl Streams {
    /// Where something may be printed.
    fn pipes(&self) -> Vec<BorrowedFd<'_>> {
        [&self.outputs.0, &self.outputs.1].into_iter().filter_map(Output::pipe).collect()
    }

    /// Takes what was printed.
    fn pump(&mut self) {
        self.outputs.0.pump(None);
        self.outputs.1.pump(None);
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.abandon();
        }
    }
}

/// What a program would have as stdout that is executed: ours, if we have one, and its number is not that of something else.
fn inherited_stdout() -> Option<OwnedFd> {
    let stdout = io::stdout();
    let flags = fcntl_getfd(&stdout).ok()?;
    if flags.contains(FdFlags::CLOEXEC) {
        return None;
    }
    stdout.as_fd().try_clone_to_owned().ok()
}

fn null() -> io::Result<OwnedFd> {
    File::options().write(true).open("/dev/null").map(OwnedFd::from)
}

/// What a zygote needs of the system is more than what a host needs that is executed, so that one is still to be tried.
fn system_refuses(error: &io::Error) -> Unforked {
    Unforked::Refused { text: format!("the system refuses what it needs ({error})"), is_news: true }
}

fn not_known(error: &io::Error) -> Unforked {
    Unforked::Refused { text: format!("what it would inherit cannot be told ({error})"), is_news: true }
}

//! What a process has from the one that started it and cannot be told it later.
//! Owns: which of these things count. Must not know: what is started.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};

use rustix::process::{Resource, getpriority_process, getrlimit};

/// The lines of `/proc/…/status` that a child inherits: who it is, what it may, where it runs, what it ignores, and its
/// process group and session. Those two are 0 where their leader is outside our PID namespace (`docker exec`), which
/// rustix takes for impossible, so they are read here.
const LINES: [&str; 15] = [
    "Uid",
    "Gid",
    "Groups",
    "NSpgid",
    "NSsid",
    "SigIgn",
    "CapInh",
    "CapPrm",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Cpus_allowed",
    "Mems_allowed",
];

/// Room for the whole of it, so that it is read at once.
const STATUS_LEN: usize = 4096;

const RESOURCES: [Resource; 16] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::Rss,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Memlock,
    Resource::As,
    Resource::Locks,
    Resource::Sigpending,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Rtprio,
    Resource::Rttime,
];

/// The surroundings of the calling thread.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// A zygote that was started in others is not one for here.
    pub(crate) fixed: String,
    /// What a host takes over when it is forked.
    pub(crate) umask: u32,
}

impl Surroundings {
    /// Those of this moment.
    pub(crate) fn now() -> io::Result<Self> {
        let mut status = String::with_capacity(STATUS_LEN);
        fs::File::open("/proc/thread-self/status")?.read_to_string(&mut status)?;
        let lines = || status.lines().filter_map(|line| line.split_once(':'));
        let umask = lines().find(|(name, _)| *name == "Umask").map(|(_, text)| text.trim());
        let umask = umask.and_then(|text| u32::from_str_radix(text, 8).ok()).ok_or(io::ErrorKind::Unsupported)?;
        let mut fixed = String::new();
        for (name, text) in lines().filter(|(name, _)| LINES.contains(name)) {
            let _ = writeln!(fixed, "{name} {}", text.trim()); // a String takes everything
        }
        for resource in RESOURCES {
            let limit = getrlimit(resource);
            let _ = write!(fixed, "{:?} {:?}, ", limit.current, limit.maximum);
        }
        let _ = write!(fixed, "{:?}", getpriority_process(None).ok());
        Ok(Self { fixed, umask })
    }
}

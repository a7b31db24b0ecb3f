//! What a process has from the one that started it and cannot be told it later.
//! Owns: which of these things count, and which of them are rights. Must not know: what is started.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, getpid, getpriority_process, getrlimit};

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

/// Those of them that say what a process may do, and that a program which is executed has unchanged.
const RIGHTS: [&str; 9] =
    ["Uid", "Gid", "Groups", "CapInh", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"];

/// Files and links beside `status` that say what a child inherits: where it is counted, and what it sees of the system.
const FILES: [&str; 2] = ["cgroup", "oom_score_adj"];
const LINKS: [&str; 7] = ["ns/cgroup", "ns/ipc", "ns/mnt", "ns/net", "ns/user", "ns/uts", "root"];

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
        let of_thread = Path::new("/proc/thread-self");
        if link(of_thread, "ns/pid") != link(of_thread, "ns/pid_for_children") {
            // Its first child is the first process there, and no other outlives it.
            return Err(io::Error::other("children are in a PID namespace of their own"));
        }
        let status = read(&of_thread.join("status"))?;
        let lines = || status.lines().filter_map(|line| line.split_once(':'));
        let umask = lines().find(|(name, _)| *name == "Umask").map(|(_, text)| text.trim());
        let umask = umask.and_then(|text| u32::from_str_radix(text, 8).ok()).ok_or(io::ErrorKind::Unsupported)?;
        let mut fixed = String::new();
        for (name, text) in lines().filter(|(name, _)| LINES.contains(name)) {
            let text = if name == "SigIgn" { &without_libcs(text) } else { text.trim() };
            let _ = writeln!(fixed, "{name} {text}"); // a String takes everything
        }
        for resource in RESOURCES {
            let limit = getrlimit(resource);
            let _ = write!(fixed, "{:?} {:?}, ", limit.current, limit.maximum);
        }
        let _ = writeln!(fixed, "{:?} {:?}", getpriority_process(None).ok(), policy(of_thread));
        for name in FILES {
            let _ = writeln!(fixed, "{:?}", read(&of_thread.join(name)).ok()); // a kernel may lack some
        }
        for name in LINKS {
            let _ = writeln!(fixed, "{:?}", link(of_thread, name));
        }
        Ok(Self { fixed, umask })
    }
}

/// A set of signals, as `/proc` shows it, without those that the C library keeps for itself: a process that inherited
/// them ignored does so until its first thread.
fn without_libcs(set: &str) -> String {
    const SIGNALS_32_AND_33: u64 = 0b11 << 31;
    u64::from_str_radix(set.trim(), 16).map_or_else(|_| set.to_owned(), |set| format!("{:x}", set & !SIGNALS_32_AND_33))
}

fn link(of_process: &Path, name: &str) -> Option<PathBuf> {
    fs::read_link(of_process.join(name)).ok()
}

/// How a thread is scheduled: its real-time priority and its policy.
fn policy(of_thread: &Path) -> Option<String> {
    const PRIORITY_AFTER_NAME: usize = 37;
    let stat = read(&of_thread.join("stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    Some(after_name.split_whitespace().skip(PRIORITY_AFTER_NAME).take(2).collect::<Vec<_>>().join(" "))
}

/// What the process `pid` may do, and what it sees of the system. Of one that is executed by it the same comes out.
///
/// # Errors
/// Those of the system, where it does not show that process.
pub(super) fn rights(pid: Pid) -> io::Result<String> {
    let of_process = Path::new("/proc").join(pid.to_string());
    let status = read(&of_process.join("status"))?;
    let mut rights = String::new();
    for (name, text) in status.lines().filter_map(|line| line.split_once(':')) {
        if RIGHTS.contains(&name) {
            let is_of_ids = matches!(name, "Uid" | "Gid");
            // Real and effective; the others become the effective one.
            let count = if is_of_ids { 2 } else { usize::MAX };
            let words: Vec<&str> = text.split_whitespace().take(count).collect();
            let _ = writeln!(rights, "{name} {}", words.join(" "));
        }
    }
    for name in LINKS {
        let _ = writeln!(rights, "{:?}", link(&of_process, name));
    }
    Ok(rights)
}

/// Whether `/proc` shows the processes by the numbers that they have for this one.
pub(super) fn is_proc_ours() -> bool {
    fs::read_link("/proc/self").is_ok_and(|link| link.to_str() == Some(&getpid().to_string()))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::with_capacity(STATUS_LEN);
    let read = fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surroundings_that_did_not_change_are_the_same() {
        let (one, other) = (Surroundings::now().unwrap(), Surroundings::now().unwrap());

        assert_eq!(one.fixed, other.fixed);
    }

    #[test]
    fn signals_of_the_c_library_do_not_count() {
        assert_eq!(without_libcs("0000000181001000"), without_libcs("0000000001001000"));
        assert_ne!(without_libcs("0000000181001000"), without_libcs("0000000181000000"));
    }

    #[test]
    fn thread_has_a_policy_and_rights_of_its_process_are_told() {
        let policy = policy(Path::new("/proc/thread-self")).unwrap();

        assert!(policy.split(' ').all(|number| number.parse::<u32>().is_ok()), "{policy}");
        assert!(is_proc_ours());
        assert_eq!(rights(getpid()).unwrap().lines().count(), RIGHTS.len() + LINKS.len());
    }
}

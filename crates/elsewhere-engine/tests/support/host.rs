//! A host for the tests of processes: this very test program, started once more.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::exit, reason = "this is how a host ends")]

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use elsewhere_engine::{HostCommand, HostProcess, Inbox, InboxWake, StartError, Stdio, Work, adopt_stdin};
use elsewhere_proto::{Capabilities, Want};

use super::support::*;

/// Names the environment variable that makes `host_main` a host, and says which one.
const ROLE: &str = "ELSEWHERE_TEST_HOST";

/// What starts a host of this program. Each test program has a test `host_main` that calls [`main`].
pub fn command(role: &str) -> HostCommand {
    let mut command = HostCommand::new(env::current_exe().unwrap());
    command.arguments = ["--exact", "host_main", "--nocapture", "--test-threads=1"].map(Into::into).to_vec();
    command.environment = vec![(ROLE.into(), Some(role.into()))];
    command.output = Stdio::Null;
    command
}

pub fn start(role: &str) -> Result<HostProcess, StartError> {
    command(role).spawn(Inbox::new(), config())
}

/// The body of `host_main`: nothing in the tests' own process.
pub fn main() {
    let Ok(role) = env::var(ROLE) else { return };
    match role.as_str() {
        "exits" => {
            std::io::stderr().write_all(b"cannot go on").unwrap();
            std::process::exit(3);
        }
        "hangs" => wait_for_ever(),
        "babbles" => {
            let socket = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().unwrap();
            rustix::io::write(socket, &[0xaa; 100]).unwrap();
            wait_for_ever();
        }
        _ => serve(role == "stubborn"),
    }
}

pub fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

fn serve(is_stubborn: bool) -> ! {
    let mut config = config();
    config.hello.capabilities = config.hello.capabilities.with(Capabilities::SERIAL);
    let link = adopt_stdin(config, Inbox::new()).unwrap();
    let mut hosts = Vec::new();
    loop {
        match link.wait_inbox(None) {
            InboxWake::Work(Work::Call(incoming)) => {
                let argument = String::from_utf8(bytes(incoming.steps()).to_vec()).unwrap();
                let said = obey(&argument, &mut hosts);
                if incoming.call.head.want == Want::Nothing {
                    link.finish(incoming.call.call);
                } else {
                    answer(&incoming, said.as_bytes());
                }
            }
            InboxWake::Ended if is_stubborn => wait_for_ever(),
            InboxWake::Ended => std::process::exit(0),
            InboxWake::Work(_) | InboxWake::Tick => {}
        }
    }
}

fn obey(argument: &str, hosts: &mut Vec<Arc<HostProcess>>) -> String {
    let (verb, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    match verb {
        "exit" => std::process::exit(rest.parse().unwrap()),
        "abort" => {
            std::io::stderr().write_all(rest.as_bytes()).unwrap();
            std::process::abort()
        }
        "print" => {
            std::io::stdout().write_all(rest.as_bytes()).unwrap();
            std::io::stdout().flush().unwrap();
            std::io::stderr().write_all(rest.as_bytes()).unwrap();
            rest.to_owned()
        }
        "loop" => loop {
            std::hint::spin_loop();
        },
        "stdin" => {
            let mut read = Vec::new();
            std::io::stdin().read_to_end(&mut read).unwrap();
            format!("{}", read.len())
        }
        "fds" => {
            // Only what we make ourselves: cargo lets its programs inherit pipes.
            let target = |fd: std::io::Result<fs::DirEntry>| fs::read_link(fd.unwrap().path()).ok();
            let targets = fs::read_dir("/proc/self/fd").unwrap().filter_map(target);
            let kinds =
                targets.map(|target| target.to_string_lossy().split(":[").next().unwrap_or_default().to_owned());
            let mut ours: Vec<_> =
                kinds.filter(|kind| ["socket", "anon_inode"].iter().any(|of| kind.starts_with(of))).collect();
            ours.sort();
            ours.join(" ")
        }
        "host" => {
            let host = start(rest.trim_end_matches(" busy")).unwrap();
            if rest.ends_with(" busy") {
                let _ = Call::new(b"loop").submit(host.link());
            }
            let pid = host.pid().to_string();
            hosts.push(Arc::new(host));
            pid
        }
        "heir" => {
            // A process that outlives this one and holds what it inherited: stdout and stderr, and nothing of ours.
            std::process::Command::new("sleep").arg("60").spawn().unwrap().id().to_string()
        }
        "append" => {
            let (path, line) = rest.split_once(' ').unwrap();
            let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
            String::new()
        }
        _ => argument.to_owned(),
    }
}

/// Waits until no process has this id, or it is a zombie of somebody else.
pub fn wait_gone(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return };
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    while rustix::event::poll(&mut fds, None) == Err(rustix::io::Errno::INTR) {}
}

pub const SHORT: Duration = Duration::from_millis(200);

//! What a process does whose zygotes fail. Forks that succeed are tested from Python, since a fork is not for safe code.

mod support;

use std::env;
use std::time::Duration;

use elsewhere_engine::{
    Errand, HostCommand, HostProcess, Inbox, StartError, Stdio, Unforked, ZygoteSeat, other_threads, retire_zygotes,
};

use support::*;

const ROLE: &str = "ELSEWHERE_TEST_ZYGOTE";

/// The body of a zygote: nothing in the tests' own process.
#[test]
#[expect(clippy::exit, reason = "this is how a zygote ends")]
fn zygote_main() {
    let Ok(role) = env::var(ROLE) else { return };
    match role.as_str() {
        "babbles" => {
            let socket = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().unwrap();
            rustix::io::write(socket, &[0xaa; 100]).unwrap();
            wait_for_ever();
        }
        "hangs" => wait_for_ever(),
        "ends" => std::process::exit(3),
        _ => {}
    }
    let mut seat = ZygoteSeat::adopt_stdin().unwrap();
    loop {
        match seat.wait().unwrap() {
            Errand::Fork(order) if role == "fails" => {
                order.fail(std::str::from_utf8(order.setting().unwrap()).unwrap());
            }
            Errand::Fork(order) if role == "lies" => {
                // A process that does not exist.
                assert!(seat.adopt(order, u32::MAX >> 1).is_err());
            }
            Errand::Fork(order) => order.refuse(&other_threads().unwrap().len().to_string()),
            Errand::Interrupted => {}
            Errand::Over => std::process::exit(0),
        }
    }
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

fn start(role: &str, timeout: Duration) -> Result<HostProcess, Unforked> {
    let mut command = HostCommand::new(env::current_exe().unwrap());
    command.arguments = ["--exact", "zygote_main", "--nocapture", "--test-threads=1"].map(Into::into).to_vec();
    command.environment = vec![(ROLE.into(), Some(role.into()))];
    command.output = Stdio::Null;
    command.start_timeout = timeout;
    let mut start = command.launch_warm(role, b"setting", Inbox::new(), config())?;
    loop {
        if let Some(process) = start.wait(Duration::from_millis(50))? {
            return Ok(process);
        }
    }
}

fn refusal(role: &str) -> (String, bool) {
    match start(role, Duration::from_secs(20)) {
        Err(Unforked::Refused { text, is_news }) => (text, is_news),
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusal_is_remembered() {
    let _watchdog = Watchdog::new("refusal_is_remembered");

    let (text, is_news) = refusal("refuses");

    assert!(is_news);
    assert!(text.parse::<usize>().unwrap() > 0, "a test program has more than one thread");
    assert_eq!(refusal("refuses"), (text, false));
}

#[test]
fn fork_that_fails_is_news_each_time() {
    let _watchdog = Watchdog::new("fork_that_fails_is_news_each_time");

    assert_eq!(refusal("fails"), ("setting".to_owned(), true));
    assert_eq!(refusal("fails"), ("setting".to_owned(), true));
}

#[test]
fn zygote_that_cannot_watch_its_child_says_so() {
    let _watchdog = Watchdog::new("zygote_that_cannot_watch_its_child_says_so");

    assert!(refusal("lies").1);
}

#[test]
fn zygote_that_ends_at_once_is_refused() {
    let _watchdog = Watchdog::new("zygote_that_ends_at_once_is_refused");

    assert!(refusal("ends").0.contains("ends before it is ready"));
}

#[test]
fn zygote_that_babbles_is_refused_and_gone() {
    let _watchdog = Watchdog::new("zygote_that_babbles_is_refused_and_gone");

    assert!(refusal("babbles").0.contains("does not speak"));
}

#[test]
fn zygote_that_hangs_is_late_and_gone() {
    let _watchdog = Watchdog::new("zygote_that_hangs_is_late_and_gone");

    let error = start("hangs", Duration::from_millis(100)).unwrap_err();

    let Unforked::Failed(StartError::TimedOut { pid, .. }) = error else { panic!("{error:?}") };
    assert!(std::fs::metadata(format!("/proc/{pid}")).is_err());
}

#[test]
fn program_that_is_none_is_left_to_an_exec_to_tell() {
    let _watchdog = Watchdog::new("program_that_is_none_is_left_to_an_exec_to_tell");

    let launched = HostCommand::new("/nowhere/program").launch_warm("none", b"", Inbox::new(), config());

    assert!(matches!(launched, Err(Unforked::Refused { is_news: true, .. })));
    retire_zygotes();
}

//! What hosts cost their owner, and that they leave nothing.

#[path = "support/host.rs"]
mod host;
mod support;

use std::fs;
use std::time::Duration;

use elsewhere_engine::{Arrival, HostCommand, Inbox, Loss, fork};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use host::start;
use support::*;

#[test]
fn host_main() {
    host::main();
}

/// Descriptors, once every process is reaped and the watch thread holds nothing any more.
fn descriptors() -> usize {
    let still_there = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::All, still_there).is_ok() {
        std::thread::yield_now();
    }
    current_descriptors()
}

/// Descriptors now. Of the engine's threads only the watch thread is there.
fn current_descriptors() -> usize {
    // The watch thread is joined on the way, which drops whatever it held.
    fork::prepare();
    fork::parent();
    wait_for_watch_threads(1);
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// One test, because the counts are those of the whole process.
#[test]
fn two_hundred_starts_and_deaths_leave_nothing() {
    let _watchdog = Watchdog::new("two_hundred_starts_and_deaths_leave_nothing");
    assert!(start("serves").unwrap().close(Duration::from_secs(5)));
    let before = descriptors();

    let host = start("serves").unwrap();
    assert_eq!(current_descriptors(), before + 3);
    assert!(host.close(Duration::from_secs(5)));
    assert_eq!(descriptors(), before, "a dead host whose handle lives has no descriptors");
    assert_eq!(host.link().loss().as_deref(), Some(&Loss::Closed));

    for round in 0..200 {
        if round % 10 == 0 {
            assert!(HostCommand::new("/nonexistent").spawn(Inbox::new(), config()).is_err());
            assert!(start("exits").is_err());
        }
        let host = start("serves").unwrap();
        match round % 4 {
            0 => host.kill(),
            1 => {
                let pending = Call::new(b"exit 1").submit(host.link());
                assert!(matches!(arrival(host.link(), &pending), Arrival::Lost { .. }));
            }
            2 => host.start_close(Duration::from_secs(5)),
            _ => assert_eq!(echo(host.link(), b"x"), b"x"),
        }
    }

    assert_eq!(descriptors(), before);
}

//! The end of a process that has hosts and waiting threads.

#[path = "support/host.rs"]
mod host;
mod support;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use elsewhere_engine::exit;
use rustix::process::{Pid, Signal, kill_process};

use host::start;
use support::*;

#[test]
fn host_main() {
    host::main();
}

/// One test, because the end is that of the whole process.
#[test]
fn hosts_end_and_waiting_threads_never_come_back() {
    let _watchdog = Watchdog::new("hosts_end_and_waiting_threads_never_come_back");
    let idle = start("serves").unwrap();
    let busy = start("serves").unwrap();
    let stopped = start("serves").unwrap();
    kill_process(Pid::from_raw(i32::try_from(stopped.pid()).unwrap()).unwrap(), Signal::STOP).unwrap();
    let pending = Call::new(b"loop").submit(busy.link());
    let (back, came_back) = channel();
    let link = Arc::clone(busy.link());
    std::thread::spawn(move || {
        let _ = arrival(&link, &pending);
        back.send(()).unwrap();
    });

    exit::begin();
    assert!(!exit::finish(Duration::from_millis(300)));

    assert_eq!(came_back.recv_timeout(Duration::from_millis(300)), Err(RecvTimeoutError::Timeout));
    for host in [&idle, &busy, &stopped] {
        host::wait_gone(host.pid());
    }
    // What happens now happens on the last thread, which may still wait.
    assert!(start("serves").unwrap().close(Duration::from_secs(5)));
}

//! What the watch thread costs when there is nothing to do.

mod support;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use elsewhere_engine::transport::Transport;
use elsewhere_engine::{Inbox, Observer, Work};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use support::*;

/// The voluntary context switches of the watch thread so far: one for each time it went to sleep.
fn sleeps_of_the_watch_thread() -> u64 {
    loop {
        if let Some(sleeps) = sleeps_if_there() {
            return sleeps;
        }
        std::thread::yield_now(); // it begins its life by giving itself its name
    }
}

fn sleeps_if_there() -> Option<u64> {
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        if status.contains("elsewhere-watch") {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
            return line.split_whitespace().nth(1).unwrap().parse().ok();
        }
    }
    None
}

/// Waits on a timer of the kernel.
fn pass(time: Duration) {
    let timer =
        rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).expect("a descriptor is left");
    let once = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec::try_from(time).expect("the time is short"),
    };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).expect("the timer is ours");
    poll(&mut [PollFd::new(&timer, PollFlags::IN)], None).expect("no signals here");
}

/// Returns once a while has passed without a single wake-up. A thread that ticks never lets it return.
fn wait_for_quiet() {
    loop {
        let before = sleeps_of_the_watch_thread();
        pass(Duration::from_millis(200));
        if sleeps_of_the_watch_thread() == before {
            return;
        }
    }
}

/// One test, because the thread is one for the whole process.
#[test]
fn quiet_process_has_no_wake_ups() {
    let _watchdog = Watchdog::new("quiet_process_has_no_wake_ups");
    let (near, far) = links(Transport::unix_pair);
    let peer = serve_echo(Arc::clone(&far));

    assert_eq!(echo(&near, b"x"), b"x");
    wait_for_quiet(); // after a call, with a host that waits for the next one

    near.serve();
    assert_eq!(echo(&near, b"x"), b"x");
    wait_for_quiet(); // after a call, with a link that the peer may call

    let inbox = Inbox::new();
    let pending = Call::new(b"x").submit(&near);
    if !near.observe(&pending, Observer::Inbox(Arc::clone(&inbox), 1)) {
        assert!(matches!(inbox.wait(None), Some(Work::Completed(1))));
    }
    wait_for_quiet(); // after an observed call

    // The link is armed now, so the thread reads when the peer calls and nobody drives.
    let call = Call::new(b"hello there").submit(&far);
    let Some(Work::Call(incoming)) = near.inbox().wait(None) else { panic!("a call came") };
    answer(&incoming, b"hello");
    assert_eq!(reply(&far, &call), b"hello");
    wait_for_quiet(); // after a call from the other side

    near.close();
    peer.join().unwrap();
}

//! The life of a host: start, close, death, and what is left.

#[path = "support/host.rs"]
mod host;
mod support;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use elsewhere_engine::{
    Arrival, Home, HostCommand, Inbox, Loss, Observer, Piece, StartError, Stdio, Stream, SubmitError, Work,
};
use elsewhere_proto::{Outcome, Want};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use host::{SHORT, command, start};
use support::*;

#[test]
fn host_main() {
    host::main();
}

fn died(arrival: Arrival) -> (Option<i32>, Option<i32>, String) {
    match arrival {
        Arrival::Lost { loss, .. } => match &*loss {
            Loss::Died { exit_code, signal, stderr_tail, .. } => {
                (*exit_code, *signal, String::from_utf8_lossy(stderr_tail).into_owned())
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn host_answers_and_ends_with_its_close() {
    let _watchdog = Watchdog::new("host_answers_and_ends_with_its_close");
    let host = start("serves").unwrap();

    assert_eq!(echo(host.link(), b"hello"), b"hello");
    assert!(host.is_alive());
    assert!(host.close(Duration::from_secs(5)));

    assert_eq!(host.status().unwrap().code, Some(0));
    assert_eq!(host.link().loss().as_deref(), Some(&Loss::Closed));
    assert!(host.close(Duration::from_secs(5)));
    assert!(matches!(Call::new(b"?").try_submit(host.link()), Err(SubmitError::Lost(_))));
}

#[test]
fn exit_in_a_call_is_told_with_its_code() {
    let _watchdog = Watchdog::new("exit_in_a_call_is_told_with_its_code");
    let host = start("serves").unwrap();
    let pending = Call::new(b"exit 7").submit(host.link());

    assert_eq!(died(arrival(host.link(), &pending)), (Some(7), None, String::new()));

    assert!(host.wait(None));
    assert!(!host.is_alive());
}

#[test]
fn abort_is_told_with_its_signal_and_last_words() {
    let _watchdog = Watchdog::new("abort_is_told_with_its_signal_and_last_words");
    let host = start("serves").unwrap();
    let words = "many words\n".repeat(500) + "the end";
    let pending = Call::new(format!("abort {words}").as_bytes()).submit(host.link());

    let (code, signal, tail) = died(arrival(host.link(), &pending));

    assert_eq!((code, signal), (None, Some(6)));
    assert_eq!(tail.len(), 4096);
    assert!(words.ends_with(&tail));
}

/// What is in a home, by stream.
fn printed(home: &Home) -> (String, String) {
    let (mut output, mut error) = (Vec::new(), Vec::new());
    while let Some(piece) = home.take() {
        match piece {
            Piece::Printed(Stream::Output, bytes) => output.extend(bytes),
            Piece::Printed(Stream::Error, bytes) => error.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    (String::from_utf8(output).unwrap(), String::from_utf8(error).unwrap())
}

#[test]
fn what_a_host_prints_in_a_call_is_home_with_the_answer() {
    let _watchdog = Watchdog::new("what_a_host_prints_in_a_call_is_home_with_the_answer");
    let inbox = Inbox::new();
    let home = Home::new(Observer::Inbox(Arc::clone(&inbox), 5));
    let host = HostCommand { output: Stdio::Home, home: Some(Arc::clone(&home)), ..command("serves") };
    let host = host.spawn(Inbox::new(), config()).unwrap();

    echo(host.link(), b"print words");
    host.read_output();

    let (output, error) = printed(&home);
    assert!(output.ends_with("words"), "{output}");
    assert_eq!(error, "words");
}

#[test]
fn last_words_of_a_host_that_died_are_home_and_its_observer_is_told() {
    let _watchdog = Watchdog::new("last_words_of_a_host_that_died_are_home_and_its_observer_is_told");
    let inbox = Inbox::new();
    let home = Home::new(Observer::Inbox(Arc::clone(&inbox), 5));
    let host = HostCommand { output: Stdio::Home, home: Some(Arc::clone(&home)), ..command("serves") };
    let host = host.spawn(Inbox::new(), config()).unwrap();
    let words = "x".repeat(60_000);

    let _pending = Call::new(format!("abort {words}").as_bytes()).submit(host.link());
    assert!(host.wait(None));

    assert_eq!(printed(&home).1, words);
    assert!(matches!(inbox.wait(None), Some(Work::Completed(5))));
    assert_eq!(host.stderr_tail().len(), 4096);
}

#[test]
fn kill_in_a_call_is_told_with_its_signal() {
    let _watchdog = Watchdog::new("kill_in_a_call_is_told_with_its_signal");
    let host = start("serves").unwrap();
    let running = Call::new(b"loop").submit(host.link());
    let queued = Call::new(b"never").submit(host.link());

    host.kill();

    let (running, queued) = (arrival(host.link(), &running), arrival(host.link(), &queued));
    assert!(matches!(running, Arrival::Lost { outcome: Outcome::Unknown, .. }));
    assert!(matches!(queued, Arrival::Lost { outcome: Outcome::NotStarted, .. }));
    assert_eq!(died(running).1, Some(9));
    assert_eq!(died(queued).1, Some(9));
}

#[test]
fn answers_that_arrived_before_the_death_are_delivered() {
    let _watchdog = Watchdog::new("answers_that_arrived_before_the_death_are_delivered");
    let host = start("serves").unwrap();
    let calls: Vec<_> = (0..100).map(|tag: u32| Call::new(tag.to_string().as_bytes()).submit(host.link())).collect();
    let last = Call::new(b"exit 0").submit(host.link());
    assert!(host.wait(None));

    for (tag, call) in calls.iter().enumerate() {
        assert_eq!(reply(host.link(), call), tag.to_string().as_bytes());
    }
    assert_eq!(died(arrival(host.link(), &last)).0, Some(0));
}

#[test]
fn idle_death_is_told_to_observers_without_a_call() {
    let _watchdog = Watchdog::new("idle_death_is_told_to_observers_without_a_call");
    let host = start("serves").unwrap();
    let inbox = Inbox::new();
    assert!(!host.link().observe_loss(Observer::Inbox(Arc::clone(&inbox), 5)));

    host.terminate();

    assert!(matches!(inbox.wait(None), Some(Work::Died(5))));
    assert_eq!(host.status().unwrap().signal, Some(15));
    assert!(inbox.try_pop().is_none());
}

#[test]
fn heir_of_the_descriptors_does_not_hide_the_death() {
    let _watchdog = Watchdog::new("heir_of_the_descriptors_does_not_hide_the_death");
    let host = start("serves").unwrap();
    let heir: i32 = String::from_utf8(echo(host.link(), b"heir")).unwrap().parse().unwrap();
    let pending = Call::new(b"exit 1").submit(host.link());

    assert_eq!(died(arrival(host.link(), &pending)).0, Some(1));

    let heir = Pid::from_raw(heir).unwrap();
    kill_process(heir, Signal::KILL).unwrap();
}

#[test]
fn program_that_does_not_exist_is_told_by_name() {
    let _watchdog = Watchdog::new("program_that_does_not_exist_is_told_by_name");

    let error = HostCommand::new("/nonexistent/python").spawn(Inbox::new(), config()).unwrap_err();

    assert!(error.to_string().contains("/nonexistent/python"), "{error}");
}

#[test]
fn host_that_exits_at_once_is_told_with_its_words() {
    let _watchdog = Watchdog::new("host_that_exits_at_once_is_told_with_its_words");

    let error = start("exits").unwrap_err();

    let StartError::Ended { exit, stderr_tail, pid } = error else { panic!("{error:?}") };
    assert_eq!(exit.code, Some(3));
    assert_eq!(stderr_tail, b"cannot go on");
    host::wait_gone(pid);
}

#[test]
fn host_that_says_nothing_is_killed_after_its_time() {
    let _watchdog = Watchdog::new("host_that_says_nothing_is_killed_after_its_time");
    let mut command = command("hangs");
    command.start_timeout = SHORT;

    let error = command.spawn(Inbox::new(), config()).unwrap_err();

    let StartError::TimedOut { pid, after: SHORT, .. } = error else { panic!("{error:?}") };
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
}

#[test]
fn host_that_speaks_otherwise_is_refused() {
    let _watchdog = Watchdog::new("host_that_speaks_otherwise_is_refused");

    let error = start("babbles").unwrap_err();

    let StartError::Protocol { pid, .. } = error else { panic!("{error:?}") };
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
}

#[test]
fn start_can_be_watched_in_ticks() {
    let _watchdog = Watchdog::new("start_can_be_watched_in_ticks");
    let host = command("hangs").launch(Inbox::new(), config()).unwrap();

    assert!(!host.wait_started(Some(Duration::from_millis(5))).unwrap());

    host.kill();
    assert!(matches!(host.wait_started(None), Err(StartError::Ended { .. })));
}

#[test]
fn stubborn_host_is_ended_by_signals_after_the_grace() {
    let _watchdog = Watchdog::new("stubborn_host_is_ended_by_signals_after_the_grace");
    let host = start("stubborn").unwrap();
    let begin = Instant::now();

    assert!(host.close(SHORT));

    assert!(begin.elapsed() >= SHORT);
    assert_eq!(host.status().unwrap().signal, Some(15));
    assert_eq!(host.link().loss().as_deref(), Some(&Loss::Closed));
}

#[test]
fn running_call_ends_as_closed_after_the_grace() {
    let _watchdog = Watchdog::new("running_call_ends_as_closed_after_the_grace");
    let host = start("serves").unwrap();
    let pending = Call::new(b"loop").submit(host.link());

    host.start_close(SHORT);

    let Arrival::Lost { loss, .. } = arrival(host.link(), &pending) else { panic!("the call is lost") };
    assert_eq!(*loss, Loss::Closed);
}

#[test]
fn stopped_host_is_ended_by_a_close() {
    let _watchdog = Watchdog::new("stopped_host_is_ended_by_a_close");
    let host = start("serves").unwrap();
    let pid = Pid::from_raw(i32::try_from(host.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    assert!(waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED).unwrap().unwrap().stopped());

    assert!(host.close(Duration::ZERO));

    assert_eq!(host.status().unwrap().signal, Some(9));
}

#[test]
fn last_handle_lets_posts_finish() {
    let _watchdog = Watchdog::new("last_handle_lets_posts_finish");
    let path = std::env::temp_dir().join(format!("elsewhere-posts-{}", std::process::id()));
    let host = start("serves").unwrap();
    let pid = host.pid();
    for line in 0..500 {
        let append = format!("append {} {line}", path.display());
        Call { want: Want::Nothing, ..Call::new(append.as_bytes()) }.try_submit(host.link()).unwrap();
    }

    drop(host);

    host::wait_gone(pid);
    let lines = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(lines.lines().map(|line| line.parse::<u32>().unwrap()).eq(0..500));
}

#[test]
fn host_has_no_stdin_and_few_descriptors() {
    let _watchdog = Watchdog::new("host_has_no_stdin_and_few_descriptors");
    let host = start("serves").unwrap();

    assert_eq!(echo(host.link(), b"stdin"), b"0");
    let ours = String::from_utf8(echo(host.link(), b"fds")).unwrap();

    // Its end of the link; the watch thread's epoll and poke, the main thread's eventfd, the owner's pidfd.
    assert_eq!(ours.matches("socket").count(), 1, "{ours}");
    assert!(ours.split(' ').count() <= 5, "{ours}");
}

#[test]
fn close_from_many_threads_ends_once() {
    let _watchdog = Watchdog::new("close_from_many_threads_ends_once");
    let host = start("serves").unwrap();
    let pending = Call::new(b"loop").submit(host.link());

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(host.close(Duration::from_millis(10))));
        }
    });

    assert!(matches!(arrival(host.link(), &pending), Arrival::Lost { .. }));
}

#[test]
fn owner_that_is_killed_takes_all_its_hosts_along() {
    let _watchdog = Watchdog::new("owner_that_is_killed_takes_all_its_hosts_along");
    let owner = start("serves").unwrap();
    let child: u32 = String::from_utf8(echo(owner.link(), b"host serves")).unwrap().parse().unwrap();
    let stubborn: u32 = String::from_utf8(echo(owner.link(), b"host stubborn")).unwrap().parse().unwrap();
    let busy: u32 = String::from_utf8(echo(owner.link(), b"host serves busy")).unwrap().parse().unwrap();

    owner.kill();

    assert!(owner.wait(None));
    [child, stubborn, busy].into_iter().for_each(host::wait_gone);
}

//! The ends of calls and links.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use elsewhere_engine::transport::Half;
use elsewhere_engine::{Arrival, Inbox, InboxWake, Loss, Observer, SubmitError, Work};
use elsewhere_proto::{Outcome, Reason, Want};

use crate::raw::*;
use crate::support::*;

conformance! {
    end_in_the_middle_of_a_frame_loses_the_call
    garbage_ends_the_link
    close_finishes_what_was_accepted
    call_that_meets_a_peer_which_went_away_is_told_why
    loss_tells_every_call_and_observer_once
    use_after_the_loss_tells_the_loss
    answer_after_a_cancel_comes_to_nobody
    cancel_of_a_queued_call_never_runs
    cancel_is_heard_by_who_asks_for_work_after_it_was_sent
    cancel_of_a_running_call_is_told_to_it
    deadline_ends_a_call_and_the_next_is_right
    deadline_ends_a_call_that_nobody_waits_for
}

fn end_in_the_middle_of_a_frame_loses_the_call(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("end_in_the_middle_of_a_frame_loses_the_call");
    let (near, mut raw) = raw_peer(mechanism);
    let pending = Call::new(b"cut").submit(&near);
    let call = raw.next_call();
    let hello = raw.output();
    raw.send(&hello);
    raw.protocol.reply(call.call, call.lane, &mut value(b"never whole")).unwrap();
    let output = raw.output();
    raw.send(&output[..output.len() / 2]);

    raw.stream.shutdown(Half::Both);

    let Arrival::Lost { loss, outcome } = arrival(&near, &pending) else { panic!("the call is lost") };
    assert!(matches!(*loss, Loss::Disconnected { .. }));
    assert_eq!(outcome, Outcome::Unknown);
}

fn garbage_ends_the_link(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("garbage_ends_the_link");
    let (near, raw) = raw_peer(mechanism);
    let pending = Call::new(b"?").submit(&near);

    raw.send(&[0xee; 64]);

    let Arrival::Lost { loss, .. } = arrival(&near, &pending) else { panic!("the call is lost") };
    assert!(matches!(*loss, Loss::Violated { .. }), "{loss:?}");
}

fn close_finishes_what_was_accepted(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("close_finishes_what_was_accepted");
    let (near, far) = links(mechanism);
    let calls: Vec<_> = (0..50_u32).map(|tag| Call::new(&tag.to_le_bytes()).submit(&near)).collect();
    assert!(Call { want: Want::Nothing, ..Call::new(b"post") }.try_submit(&near).unwrap().is_none());

    near.close();
    near.close();

    assert!(matches!(Call::new(b"late").try_submit(&near), Err(SubmitError::Closing)));
    let peer = serve_echo(far);
    for (tag, call) in calls.iter().enumerate() {
        assert_eq!(reply(&near, call), u32::try_from(tag).unwrap().to_le_bytes());
    }
    assert_eq!(peer.join().unwrap(), 51);
    let (end, ended) = channel();
    let inbox = Inbox::new();
    if !near.observe_loss(Observer::Inbox(Arc::clone(&inbox), 1)) {
        assert!(matches!(inbox.wait(None), Some(Work::Died(1))));
    }
    end.send(near.loss()).unwrap();
    assert_eq!(ended.recv().unwrap().as_deref(), Some(&Loss::Closed));
}

fn call_that_meets_a_peer_which_went_away_is_told_why(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("call_that_meets_a_peer_which_went_away_is_told_why");
    let (near, far) = links(mechanism);
    far.go_away(Reason::SHUTDOWN, "it is closed");

    let pending = Call::new(b"late").submit(&near);

    match arrival(&near, &pending) {
        Arrival::Lost { loss, outcome: Outcome::NotStarted } => {
            assert_eq!(*loss, Loss::Refused { text: "it is closed".to_owned() });
        }
        other => panic!("{other:?}"),
    }
}

fn loss_tells_every_call_and_observer_once(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("loss_tells_every_call_and_observer_once");
    let (near, far) = links(mechanism);
    let inbox = Inbox::new();
    let calls: Vec<_> = (0..100_u32).map(|tag| Call::new(&tag.to_le_bytes()).submit(&near)).collect();
    for (key, call) in calls.iter().enumerate().take(50) {
        assert!(!near.observe(call, Observer::Inbox(Arc::clone(&inbox), key as u64)));
    }
    let waiters: Vec<_> = calls
        .iter()
        .skip(90)
        .map(|call| {
            let (near, call) = (Arc::clone(&near), Arc::clone(call));
            std::thread::spawn(move || matches!(arrival(&near, &call), Arrival::Lost { .. }))
        })
        .collect();

    far.abandon();

    for waiter in waiters {
        assert!(waiter.join().unwrap());
    }
    let told: BTreeSet<u64> = (0..50)
        .map(|_| match inbox.wait(None) {
            Some(Work::Completed(key)) => key,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, (0..50).collect());
    assert!(inbox.try_pop().is_none());
    for call in calls.iter().take(90) {
        assert!(matches!(arrival(&near, call), Arrival::Lost { .. }));
        assert!(call.take().is_none());
    }
    assert_eq!(near.stats().calls, 0);
}

fn use_after_the_loss_tells_the_loss(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("use_after_the_loss_tells_the_loss");
    let (near, far) = links(mechanism);
    drop(far);
    let inbox = Inbox::new();
    if !near.observe_loss(Observer::Inbox(Arc::clone(&inbox), 9)) {
        assert!(matches!(inbox.wait(None), Some(Work::Died(9))));
    }

    let refused = Call::new(b"?").try_submit(&near);

    assert!(matches!(refused, Err(SubmitError::Lost(loss)) if Some(&loss) == near.loss().as_ref()));
    assert!(near.observe_loss(Observer::Inbox(inbox, 9)));
    assert!(near.fds().is_empty());
}

fn answer_after_a_cancel_comes_to_nobody(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("answer_after_a_cancel_comes_to_nobody");
    let (near, far) = links(mechanism);
    let (running, is_running) = channel();
    let (go, gate) = channel::<()>();
    let peer = serve(far, move |incoming| {
        running.send(()).unwrap();
        gate.recv().unwrap();
        answer(incoming, bytes(incoming.steps()));
    });
    let pending = Call::new(b"given up").submit(&near);
    is_running.recv().unwrap();

    assert!(near.cancel(&pending, false));
    go.send(()).unwrap();
    go.send(()).unwrap();

    assert!(matches!(arrival(&near, &pending), Arrival::Cancelled));
    assert!(!near.cancel(&pending, false));
    assert_eq!(echo(&near, b"next"), b"next");
    assert_eq!(near.stats().calls, 0);
    near.close();
    peer.join().unwrap();
}

fn cancel_of_a_queued_call_never_runs(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("cancel_of_a_queued_call_never_runs");
    let (near, far) = links(mechanism);
    let calls: Vec<_> = (0..100_u32).map(|tag| Call::new(&tag.to_le_bytes()).submit(&near)).collect();
    for call in calls.iter().skip(1).step_by(2) {
        assert!(near.cancel(call, false));
    }
    near.close();

    let ran = serve_echo(far);

    for (at, call) in calls.iter().enumerate() {
        let arrival = arrival(&near, call);
        assert!(matches!((at % 2, arrival), (0, Arrival::Reply(_)) | (1, Arrival::Cancelled)));
    }
    assert_eq!(ran.join().unwrap(), 50);
}

/// Another thread may be reading all the while, and be interrupted between a call and the cancel behind it.
fn cancel_is_heard_by_who_asks_for_work_after_it_was_sent(mechanism: Mechanism) {
    const ROUNDS: u32 = 3_000;
    let _watchdog = Watchdog::new("cancel_is_heard_by_who_asks_for_work_after_it_was_sent");
    let (near, far) = links(mechanism);
    far.serve();
    let is_over = AtomicBool::new(false);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                far.drain();
            }
        });
        for round in 0..ROUNDS {
            let given_up = Call { number: 2 * round, ..Call::new(b"given up") }.submit(&near);
            assert!(near.cancel(&given_up, false));
            let wanted = Call { number: 2 * round + 1, ..Call::new(b"wanted") }.submit(&near);
            let work = std::iter::repeat_with(|| far.wait_inbox(None)).find_map(|wake| match wake {
                InboxWake::Work(Work::Call(incoming)) => Some(incoming),
                _ => None,
            });
            let ran = work.inspect(|incoming| answer(incoming, b"done")).map(|it| bytes(&it.call.body).to_vec());
            is_over.store(round + 1 == ROUNDS || ran.as_deref() != Some(b"wanted"), Ordering::Relaxed);
            assert_eq!(ran.as_deref(), Some(&b"wanted"[..]), "in round {round}");
            assert_eq!(reply(&near, &wanted), b"done");
        }
    });
}

fn cancel_of_a_running_call_is_told_to_it(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("cancel_of_a_running_call_is_told_to_it");
    let (near, far) = links(mechanism);
    far.serve();
    let pending = Call::new(b"running").submit(&near);
    let InboxWake::Work(Work::Call(incoming)) = far.wait_inbox(None) else { panic!("a call came") };

    near.cancel(&pending, true);

    match far.wait_inbox(None) {
        InboxWake::Work(Work::Cancelled { call, interrupt: true, .. }) => assert_eq!(call, incoming.call.call),
        other => panic!("{other:?}"),
    }
}

fn deadline_ends_a_call_and_the_next_is_right(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("deadline_ends_a_call_and_the_next_is_right");
    let (near, far) = links(mechanism);
    let deadline = Instant::now() + Duration::from_millis(20);
    let pending = Call { deadline: Some(deadline), ..Call::new(b"too slow") }.submit(&near);

    assert!(matches!(arrival(&near, &pending), Arrival::TimedOut));

    assert!(Instant::now() >= deadline);
    let peer = serve_echo(far);
    assert_eq!(echo(&near, b"next"), b"next");
    assert_eq!(near.stats().calls, 0);
    near.close();
    peer.join().unwrap();
}

fn deadline_ends_a_call_that_nobody_waits_for(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("deadline_ends_a_call_that_nobody_waits_for");
    let (near, _far) = links(mechanism);
    let inbox = Inbox::new();
    let deadline = Instant::now() + Duration::from_millis(20);
    let pending = Call { deadline: Some(deadline), ..Call::new(b"too slow") }.submit(&near);

    assert!(!near.observe(&pending, Observer::Inbox(Arc::clone(&inbox), 3)));

    assert!(matches!(inbox.wait(None), Some(Work::Completed(3))));
    assert!(Instant::now() >= deadline);
    assert!(matches!(pending.take(), Some(Arrival::TimedOut)));
}

//! What a link promises over every transport.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use elsewhere_engine::transport::{Half, Transport};
use elsewhere_engine::{Arrival, Inbox, InboxWake, Link, Loss, Observer, SubmitError, Wake, Work};
use elsewhere_proto::codec::{ReferenceHead, Writer};
use elsewhere_proto::{ChainId, Connection, Event, Outcome, Timestamp, Want};

use support::*;

/// Each of these functions becomes a test for each transport.
macro_rules! conformance {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(elsewhere_engine::transport::Transport::memory_pair); })*
        }
        mod unix {
            $(#[test] fn $name() { super::$name(elsewhere_engine::transport::Transport::unix_pair); })*
        }
    };
}

conformance! {
    answers_come_to_their_calls
    calls_of_a_lane_arrive_in_order
    large_messages_pass_both_ways
    full_streams_in_both_directions_do_not_deadlock
    bytes_one_at_a_time_are_a_call
    end_in_the_middle_of_a_frame_loses_the_call
    garbage_ends_the_link
    close_finishes_what_was_accepted
    loss_tells_every_call_and_observer_once
    use_after_the_loss_tells_the_loss
    answer_after_a_cancel_comes_to_nobody
    references_in_answers_that_nobody_takes_are_released
    window_of_posts_opens_as_they_finish
    cancel_of_a_queued_call_never_runs
    cancel_of_a_running_call_is_told_to_it
    stream_delivers_under_credit_and_ends
    releases_of_many_threads_all_arrive
    threads_share_a_link
    deadline_ends_a_call_and_the_next_is_right
    deadline_ends_a_call_that_nobody_waits_for
    patience_is_not_the_end_of_a_call
    call_of_the_chain_runs_in_the_waiting_thread
    call_of_the_chain_that_came_early_is_found
    call_of_another_chain_goes_to_the_inbox
    full_window_is_told_and_waited_for
    observed_call_needs_no_waiter
    drain_takes_in_what_is_here
}

fn answers_come_to_their_calls(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("answers_come_to_their_calls");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);

    for tag in 0..200_u32 {
        assert_eq!(echo(&near, &tag.to_le_bytes()), tag.to_le_bytes());
    }

    near.close();
    assert_eq!(peer.join().unwrap(), 200);
}

fn calls_of_a_lane_arrive_in_order(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("calls_of_a_lane_arrive_in_order");
    let (near, far) = links(mechanism);
    let (seen, order) = channel();
    let peer = serve(far, move |incoming| {
        seen.send(bytes(&incoming.call.body).to_vec()).unwrap();
        answer(incoming, b"");
    });

    let calls: Vec<_> = (0..3000_u32).map(|tag| Call::new(&tag.to_le_bytes()).submit(&near)).collect();
    for call in &calls {
        assert_eq!(reply(&near, call), b"");
    }

    near.close();
    peer.join().unwrap();
    let order: Vec<_> = order.iter().collect();
    assert_eq!(order, (0..3000_u32).map(|tag| tag.to_le_bytes().to_vec()).collect::<Vec<_>>());
}

fn large_messages_pass_both_ways(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("large_messages_pass_both_ways");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);
    let large: Vec<u8> = (0..8_u32 << 20).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();

    assert!(echo(&near, &large) == large);
    assert_eq!(echo(&near, b"small"), b"small");

    near.close();
    peer.join().unwrap();
}

fn full_streams_in_both_directions_do_not_deadlock(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("full_streams_in_both_directions_do_not_deadlock");
    let (near, far) = links(mechanism);
    let large = Arc::new(vec![7_u8; 1 << 20]);
    let callers = [Arc::clone(&near), Arc::clone(&far)].map(|link| {
        let large = Arc::clone(&large);
        std::thread::spawn(move || {
            let calls: Vec<_> = (0..24).map(|_| Call::new(&large).submit(&link)).collect();
            calls.iter().all(|call| reply(&link, call) == *large)
        })
    });
    let peers = [serve_echo(Arc::clone(&near)), serve_echo(Arc::clone(&far))];

    for caller in callers {
        assert!(caller.join().unwrap());
    }

    near.abandon();
    far.abandon();
    for peer in peers {
        peer.join().unwrap();
    }
}

/// A peer that is a bare protocol over a bare stream, so that the test decides about each byte.
struct Raw {
    stream: Transport,
    protocol: Connection<()>,
}

impl Raw {
    fn new(stream: Transport) -> Self {
        Self { stream, protocol: Connection::new(config()) }
    }

    /// Reads byte by byte until a call is complete.
    fn next_call(&mut self) -> elsewhere_proto::IncomingCall {
        let mut byte = [0];
        loop {
            match self.stream.receive(&mut byte) {
                Ok(0) => panic!("the stream ended"),
                Ok(_) => self.protocol.receive(&byte, Timestamp::default()).expect("the other side is ours"),
                Err(rustix::io::Errno::AGAIN) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
            while let Some(event) = self.protocol.poll_event() {
                if let Event::Call(call) = event {
                    return call;
                }
            }
        }
    }

    fn output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        while let Some(bytes) = self.protocol.poll_transmit() {
            output.extend_from_slice(bytes);
            let count = bytes.len();
            self.protocol.transmitted(count);
        }
        output
    }

    fn send(&self, bytes: &[u8]) {
        for byte in bytes {
            while self.stream.send(&[*byte]).is_err() {
                std::thread::yield_now();
            }
        }
    }
}

fn raw_peer(mechanism: Mechanism) -> (Arc<Link>, Raw) {
    let (here, there) = mechanism().unwrap();
    (link(here), Raw::new(there))
}

fn bytes_one_at_a_time_are_a_call(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("bytes_one_at_a_time_are_a_call");
    let (near, mut raw) = raw_peer(mechanism);
    let pending = Call::new(b"slow").submit(&near);
    let peer = std::thread::spawn(move || {
        let call = raw.next_call();
        raw.protocol.reply(call.call, call.lane, &mut value(bytes(&call.body))).unwrap();
        let output = raw.output();
        raw.send(&output);
        raw
    });

    assert_eq!(reply(&near, &pending), b"slow");

    peer.join().unwrap();
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
        answer(incoming, bytes(&incoming.call.body));
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

/// An answer that offers an object, exported for it.
fn offer(link: &Link) -> Vec<u8> {
    let mut body = Vec::new();
    let object = link.export();
    Writer::new(&mut body).reference(&ReferenceHead::Offer { object, class: 0, described: false });
    body
}

fn references_in_answers_that_nobody_takes_are_released(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("references_in_answers_that_nobody_takes_are_released");
    let (near, far) = links(mechanism);
    let (running, is_running) = channel();
    let (go, gate) = channel::<()>();
    let peer = serve(Arc::clone(&far), move |incoming| {
        running.send(()).unwrap();
        gate.recv().unwrap();
        let mut body = offer(&incoming.link);
        incoming.link.reply(incoming.call.call, incoming.call.lane, &mut body).unwrap();
    });
    let call = || {
        let pending = Call::new(b"an object").submit(&near);
        is_running.recv().unwrap();
        pending
    };

    let cancelled = call();
    near.cancel(&cancelled, false);
    go.send(()).unwrap();
    let forgotten_early = call();
    near.forget(&forgotten_early);
    go.send(()).unwrap();
    let forgotten_late = call();
    go.send(()).unwrap();
    assert!(matches!(near.wait(&forgotten_late, None, None, ChainId(0)), Wake::Arrived));
    near.forget(&forgotten_late);
    let taken = call();
    go.send(()).unwrap();

    assert!(matches!(arrival(&near, &taken), Arrival::Reply(_)));
    while far.stats().exports > 1 {
        std::thread::yield_now();
    }
    near.close();
    far.abandon();
    peer.join().unwrap();
    while far.stats().exports > 0 {
        std::thread::yield_now();
    }
    let mut released = 0;
    while released < 4 {
        released += far.take_released().len();
    }
    assert_eq!(released, 4);
}

fn window_of_posts_opens_as_they_finish(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("window_of_posts_opens_as_they_finish");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);

    for _ in 0..5000 {
        let post = Call { want: Want::Nothing, ..Call::new(b"post") };
        while let Err(refused) = post.try_submit(&near) {
            assert!(matches!(refused, SubmitError::WindowFull));
            assert!(matches!(near.wait_window(None, ChainId(0)), Wake::Arrived));
        }
    }

    near.close();
    assert_eq!(peer.join().unwrap(), 5000);
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

fn stream_delivers_under_credit_and_ends(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("stream_delivers_under_credit_and_ends");
    let (near, far) = links(mechanism);
    far.serve();
    let server = std::thread::spawn(move || {
        let InboxWake::Work(Work::Call(incoming)) = far.wait_inbox(None) else { panic!("a call came") };
        let (call, lane) = (incoming.call.call, incoming.call.lane);
        let (mut left, mut granted) = (10_u8, 0);
        while left > 0 {
            while granted == 0 {
                match far.wait_inbox(None) {
                    InboxWake::Work(Work::Credit { call: of, count, .. }) if of == call => granted += count,
                    other => panic!("{other:?}"),
                }
            }
            far.items(call, lane, 1, &mut value(&[left])).unwrap();
            left -= 1;
            granted -= 1;
        }
        far.reply(call, lane, &mut vec![0xc0]).unwrap();
        while !matches!(far.wait_inbox(None), InboxWake::Ended) {}
    });
    let pending = Call { want: Want::Stream, ..Call::new(b"count") }.submit(&near);
    near.credit(&pending, 2);

    let mut got = Vec::new();
    while !pending.is_done() || got.len() < 10 {
        assert!(matches!(near.wait(&pending, None, None, ChainId(0)), Wake::Arrived));
        while let Some(items) = pending.take_items() {
            assert_eq!(items.count, 1);
            got.extend_from_slice(bytes(&items.body));
            near.credit(&pending, 1);
        }
    }

    assert_eq!(got, (1..=10).rev().collect::<Vec<u8>>());
    assert!(matches!(pending.take(), Some(Arrival::Reply(body)) if body == [0xc0]));
    near.close();
    server.join().unwrap();
}

fn releases_of_many_threads_all_arrive(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("releases_of_many_threads_all_arrive");
    let (near, far) = links(mechanism);
    let objects: Vec<_> = (0..8).map(|_| far.export()).collect();
    for object in &objects {
        for _ in 1..100 {
            far.grant(*object).unwrap();
        }
        for _ in 0..100 {
            near.imported(*object);
        }
    }
    far.serve();

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    objects.iter().for_each(|object| near.push_release(*object, 1));
                }
            });
        }
    });

    let mut released = BTreeSet::new();
    while released.len() < objects.len() {
        if let Some(Work::Released { link }) = far.inbox().wait(None) {
            released.extend(link.take_released());
        }
    }
    assert_eq!(released, objects.into_iter().collect());
    assert_eq!(far.stats().exports, 0);
}

fn threads_share_a_link(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("threads_share_a_link");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);

    std::thread::scope(|scope| {
        for thread in 0..16_u32 {
            let near = &near;
            scope.spawn(move || {
                for tag in 0..200_u32 {
                    let tag = [thread.to_le_bytes(), tag.to_le_bytes()].concat();
                    assert_eq!(echo(near, &tag), tag);
                }
            });
        }
    });

    near.close();
    assert_eq!(peer.join().unwrap(), 3200);
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

fn patience_is_not_the_end_of_a_call(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("patience_is_not_the_end_of_a_call");
    let (near, far) = links(mechanism);
    let pending = Call::new(b"slow").submit(&near);
    let until = Instant::now() + Duration::from_millis(5);

    assert!(matches!(near.wait(&pending, Some(until), None, ChainId(0)), Wake::TimedOut));
    assert!(matches!(near.wait(&pending, None, Some(Duration::from_millis(1)), ChainId(0)), Wake::Tick));

    let peer = serve_echo(far);
    assert_eq!(reply(&near, &pending), b"slow");
    near.close();
    peer.join().unwrap();
}

// Both ends live in one process here, where a chain would be found at its own beginning. So in these tests the call that
// goes out has no chain, its wait has one, and the peer learns of the chain by the argument.

fn call_of_the_chain_runs_in_the_waiting_thread(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("call_of_the_chain_runs_in_the_waiting_thread");
    let (near, far) = links(mechanism);
    let chain = fresh_chain();
    let peer = serve(far, move |incoming| {
        let back = Call { chain, nested: true, ..Call::new(b"back") }.submit(&incoming.link);
        assert_eq!(reply(&incoming.link, &back), b"back to you");
        answer(incoming, b"forth");
    });
    let pending = Call::new(b"go").submit(&near);

    let Wake::Call(incoming) = near.wait(&pending, None, None, ChainId(chain)) else {
        panic!("a call of the chain came")
    };
    assert_eq!(bytes(&incoming.call.body), b"back");
    answer(&incoming, b"back to you");

    assert!(matches!(near.wait(&pending, None, None, ChainId(chain)), Wake::Arrived));
    assert_eq!(reply(&near, &pending), b"forth");
    assert!(near.inbox().is_empty());
    near.close();
    peer.join().unwrap();
}

fn call_of_the_chain_that_came_early_is_found(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("call_of_the_chain_that_came_early_is_found");
    let (near, far) = links(mechanism);
    let chain = fresh_chain();
    let pending = Call::new(b"go").submit(&near);
    let early = Call { chain, ..Call::new(b"early") }.submit(&far);
    while near.inbox().is_empty() {
        near.drain();
        std::thread::yield_now();
    }

    let Wake::Call(incoming) = near.wait(&pending, None, None, ChainId(chain)) else {
        panic!("the early call is found")
    };

    assert!(near.inbox().is_empty());
    answer(&incoming, b"found");
    assert_eq!(reply(&far, &early), b"found");
}

fn call_of_another_chain_goes_to_the_inbox(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("call_of_another_chain_goes_to_the_inbox");
    let (near, far) = links(mechanism);
    let peer = serve(far, |incoming| {
        let other = Call { chain: fresh_chain(), ..Call::new(b"other") }.submit(&incoming.link);
        assert_eq!(reply(&incoming.link, &other), b"served");
        answer(incoming, b"done");
    });
    let inbox = Arc::clone(near.inbox());
    let service = std::thread::spawn(move || {
        let Some(Work::Call(incoming)) = inbox.wait(None) else { panic!("a call came") };
        answer(&incoming, b"served");
    });

    let pending = Call::new(b"go").submit(&near);
    assert!(matches!(near.wait(&pending, None, None, ChainId(fresh_chain())), Wake::Arrived));

    service.join().unwrap();
    near.close();
    peer.join().unwrap();
}

fn full_window_is_told_and_waited_for(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("full_window_is_told_and_waited_for");
    let (near, far) = links(mechanism);
    let mut calls = Vec::new();
    while let Ok(Some(pending)) = Call::new(b"fill").try_submit(&near) {
        calls.push(pending);
    }
    assert_eq!(calls.len(), 1024);
    assert!(matches!(Call::new(b"more").try_submit(&near), Err(SubmitError::WindowFull)));
    assert!(matches!(near.wait_window(Some(Duration::from_millis(1)), ChainId(0)), Wake::Tick));

    let peer = serve_echo(far);

    assert!(matches!(near.wait_window(None, ChainId(0)), Wake::Arrived));
    assert_eq!(echo(&near, b"more"), b"more");
    for call in &calls {
        assert_eq!(reply(&near, call), b"fill");
    }
    near.close();
    peer.join().unwrap();
}

fn observed_call_needs_no_waiter(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("observed_call_needs_no_waiter");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);
    let inbox = Inbox::new();

    for key in 0..100_u64 {
        let pending = Call::new(&key.to_le_bytes()).submit(&near);
        if !near.observe(&pending, Observer::Inbox(Arc::clone(&inbox), key)) {
            assert!(matches!(inbox.wait(None), Some(Work::Completed(done)) if done == key));
        }
        assert!(pending.is_done());
        // A driver in between disarms what the observer armed.
        assert_eq!(echo(&near, b"sync"), b"sync");
    }

    near.close();
    peer.join().unwrap();
}

fn drain_takes_in_what_is_here(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("drain_takes_in_what_is_here");
    let (near, far) = links(mechanism);
    let pending = Call::new(b"x").submit(&near);
    near.drain();
    assert!(!pending.is_done());
    let peer = serve_echo(far);

    while !pending.is_done() {
        near.drain();
        std::thread::yield_now();
    }

    near.close();
    peer.join().unwrap();
}

#[test]
fn pair_in_one_process_is_pumped_by_whoever_waits() {
    let _watchdog = Watchdog::new("pair_in_one_process_is_pumped_by_whoever_waits");
    let far_inbox = Inbox::new();
    let (near, far) = Link::pair(config(), Inbox::new(), config(), Arc::clone(&far_inbox)).unwrap();
    let runs = AtomicUsize::new(0);
    let chain = fresh_chain();
    let calls: Vec<_> = (0..3_u8).map(|tag| Call { chain, ..Call::new(&[tag]) }.submit(&near)).collect();

    while !calls[2].is_done() {
        match near.wait(&calls[2], None, None, ChainId(chain)) {
            Wake::Pump => {
                let Some(Work::Call(incoming)) = far_inbox.try_pop() else { panic!("a call is there") };
                runs.fetch_add(1, Ordering::Relaxed);
                answer(&incoming, bytes(&incoming.call.body));
            }
            other => assert!(matches!(other, Wake::Arrived)),
        }
    }

    assert_eq!(runs.into_inner(), 3);
    assert_eq!(reply(&near, &calls[0]), [0]);
    near.close();
    assert!(matches!(far.wait_inbox(None), InboxWake::Ended));
}

#[test]
fn waiters_of_a_pair_find_work_that_others_submit() {
    let _watchdog = Watchdog::new("waiters_of_a_pair_find_work_that_others_submit");
    let far_inbox = Inbox::new();
    let (near, _far) = Link::pair(config(), Inbox::new(), config(), Arc::clone(&far_inbox)).unwrap();
    let start = Barrier::new(8);

    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (near, far_inbox, start) = (&near, &far_inbox, &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..200 {
                    let pending = Call { lane: u32::from(thread), ..Call::new(&[thread]) }.submit(near);
                    while !pending.is_done() {
                        if matches!(near.wait(&pending, None, None, ChainId(0)), Wake::Pump)
                            && let Some(Work::Call(incoming)) = far_inbox.try_pop()
                        {
                            answer(&incoming, bytes(&incoming.call.body));
                        }
                    }
                    assert_eq!(reply(near, &pending), [thread]);
                }
            });
        }
    });
}

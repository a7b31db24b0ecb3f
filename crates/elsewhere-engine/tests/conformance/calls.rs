//! Calls, answers, streams and references.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use elsewhere_engine::{Arrival, ChainSeat, InboxWake, Link, SubmitError, Wake, Work};
use elsewhere_proto::Want;
use elsewhere_proto::codec::{ReferenceHead, Writer};

use crate::raw::*;
use crate::support::*;

conformance! {
    answers_come_to_their_calls
    calls_of_a_lane_arrive_in_order
    large_messages_pass_both_ways
    full_streams_in_both_directions_do_not_deadlock
    bytes_one_at_a_time_are_a_call
    threads_share_a_link
    stream_delivers_under_credit_and_ends
    references_in_answers_that_nobody_takes_are_released
    object_that_an_answer_names_outlives_its_release
    releases_of_many_threads_all_arrive
    full_window_is_told_and_waited_for
    window_of_posts_opens_as_they_finish
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
        seen.send(bytes(incoming.steps()).to_vec()).unwrap();
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
        assert!(matches!(near.wait(&pending, None, None, &ChainSeat::NONE), Wake::Arrived));
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
    assert!(matches!(near.wait(&forgotten_late, None, None, &ChainSeat::NONE), Wake::Arrived));
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

fn object_that_an_answer_names_outlives_its_release(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("object_that_an_answer_names_outlives_its_release");
    let (near, far) = links(mechanism);
    let object = near.export();
    far.imported(object);
    let peer = serve(far, move |incoming| {
        let mut body = Vec::new();
        Writer::new(&mut body).reference(&ReferenceHead::Home { object });
        incoming.link.reply(incoming.call.call, incoming.call.lane, &mut body).unwrap();
        incoming.link.push_release(object, 1);
    });
    let pending = Call::new(b"").submit(&near);

    while near.stats().exports > 0 {
        assert!(matches!(near.wait(&pending, None, None, &ChainSeat::NONE), Wake::Arrived));
        near.drain();
    }

    assert_eq!(near.take_released(), []);
    assert!(matches!(pending.take(), Some(Arrival::Reply(_))));
    assert_eq!(near.take_released(), []);
    assert!(near.decoded(&pending));
    assert_eq!(near.take_released(), [object]);
    near.close();
    peer.join().unwrap();
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

fn full_window_is_told_and_waited_for(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("full_window_is_told_and_waited_for");
    let (near, far) = links(mechanism);
    let mut calls = Vec::new();
    while let Ok(Some(pending)) = Call::new(b"fill").try_submit(&near) {
        calls.push(pending);
    }
    assert_eq!(calls.len(), 1024);
    assert!(matches!(Call::new(b"more").try_submit(&near), Err(SubmitError::WindowFull)));
    assert!(matches!(near.wait_window(0, Some(Duration::from_millis(1)), &ChainSeat::NONE), Wake::Tick));

    let peer = serve_echo(far);

    assert!(matches!(near.wait_window(0, None, &ChainSeat::NONE), Wake::Arrived));
    assert_eq!(echo(&near, b"more"), b"more");
    for call in &calls {
        assert_eq!(reply(&near, call), b"fill");
    }
    near.close();
    peer.join().unwrap();
}

fn window_of_posts_opens_as_they_finish(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("window_of_posts_opens_as_they_finish");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);

    for _ in 0..5000 {
        let post = Call { want: Want::Nothing, ..Call::new(b"post") };
        while let Err(refused) = post.try_submit(&near) {
            assert!(matches!(refused, SubmitError::WindowFull));
            assert!(matches!(near.wait_window(0, None, &ChainSeat::NONE), Wake::Arrived));
        }
    }

    near.close();
    assert_eq!(peer.join().unwrap(), 5000);
}

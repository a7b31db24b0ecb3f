//! Who waits for what, and in which chain.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use elsewhere_engine::{ChainSeat, Inbox, InboxWake, Link, Observer, Pending, Wake, Work};
use elsewhere_proto::{ChainId, LaneId, Want};

use crate::support::*;

conformance! {
    patience_is_not_the_end_of_a_call
    observed_call_needs_no_waiter
    drain_takes_in_what_is_here
    calls_behind_many_others_are_sent_without_anybody_waiting
    call_of_the_chain_runs_in_the_waiting_thread
    call_of_the_chain_that_came_early_is_found
    call_of_another_chain_goes_to_the_inbox
    calls_that_come_while_one_of_their_chain_runs_wait_in_its_seat
    calls_left_in_a_seat_go_to_the_seat_below_and_then_to_the_inbox
    calls_that_went_on_to_another_inbox_start_before_those_that_came_later
    call_that_goes_on_to_another_inbox_while_its_chain_is_waited_in_keeps_its_place
    call_waits_in_its_seat_until_those_before_it_have_begun
    wait_in_a_chain_ends_for_a_stream_that_is_waited_for_there
}

fn patience_is_not_the_end_of_a_call(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("patience_is_not_the_end_of_a_call");
    let (near, far) = links(mechanism);
    let pending = Call::new(b"slow").submit(&near);
    let until = Instant::now() + Duration::from_millis(5);

    assert!(matches!(near.wait(&pending, Some(until), None, &ChainSeat::NONE), Wake::TimedOut));
    assert!(matches!(near.wait(&pending, None, Some(Duration::from_millis(1)), &ChainSeat::NONE), Wake::Tick));

    let peer = serve_echo(far);
    assert_eq!(reply(&near, &pending), b"slow");
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

fn calls_behind_many_others_are_sent_without_anybody_waiting(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("calls_behind_many_others_are_sent_without_anybody_waiting");
    let (near, far) = links(mechanism);
    let (told, ran) = std::sync::mpsc::channel();
    let peer = serve(far, move |incoming| {
        answer(incoming, b"");
        told.send(incoming.call.call).unwrap();
    });

    // Two rounds: the second finds the watch thread reading for the observer.
    for is_observed in [false, true] {
        let inbox = Inbox::new();
        let observed = Call::new(b"").submit(&near);
        if is_observed {
            near.observe(&observed, Observer::Inbox(Arc::clone(&inbox), 1));
        }
        let calls: Vec<_> = (0..100).map(|_| Call::new(b"").submit(&near)).collect();

        assert_eq!(ran.recv().unwrap(), observed.call());
        for pending in &calls {
            assert_eq!(ran.recv().unwrap(), pending.call());
        }
        calls.iter().chain([&observed]).for_each(|pending| drop(reply(&near, pending)));
    }

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

    let Wake::Call(incoming) = near.wait(&pending, None, None, &near.sit(ChainId(chain))) else {
        panic!("a call of the chain came")
    };
    assert_eq!(bytes(incoming.steps()), b"back");
    answer(&incoming, b"back to you");

    assert!(matches!(near.wait(&pending, None, None, &near.sit(ChainId(chain))), Wake::Arrived));
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

    let Wake::Call(incoming) = near.wait(&pending, None, None, &near.sit(ChainId(chain))) else {
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
    assert!(matches!(near.wait(&pending, None, None, &near.sit(ChainId(fresh_chain()))), Wake::Arrived));

    service.join().unwrap();
    near.close();
    peer.join().unwrap();
}

/// Calls of one chain that came to `near`, one byte each; it has taken all of them in.
fn calls_of(chain: u64, count: u8, far: &Arc<Link>, near: &Arc<Link>) -> Vec<Arc<Pending>> {
    let before = near.stats().answers;
    let calls = (0..count).map(|tag| Call { chain, number: u32::from(tag), ..Call::new(&[tag]) }.submit(far)).collect();
    while near.stats().answers < before + usize::from(count) {
        near.drain();
        std::thread::yield_now();
    }
    calls
}

/// The byte of the next call that a wait in `seat` hands out, which is answered; None if there is none.
fn next_in(seat: &ChainSeat, near: &Arc<Link>, pending: &Arc<Pending>) -> Option<u8> {
    match near.wait(pending, None, Some(Duration::from_millis(1)), seat) {
        Wake::Call(incoming) => {
            answer(&incoming, b"");
            Some(bytes(incoming.steps())[0])
        }
        _ => None,
    }
}

fn next_of(inbox: &Inbox) -> Option<u8> {
    let Work::Call(incoming) = inbox.try_pop()? else { return None };
    Some(bytes(incoming.steps())[0])
}

fn calls_that_come_while_one_of_their_chain_runs_wait_in_its_seat(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("calls_that_come_while_one_of_their_chain_runs_wait_in_its_seat");
    let (near, far) = links(mechanism);
    let chain = fresh_chain();
    let pending = Call::new(b"go").submit(&near);
    let seat = near.sit(ChainId(chain));
    let calls = calls_of(chain, 3, &far, &near);
    assert_eq!(next_in(&seat, &near, &pending), Some(0));

    let later = calls_of(chain, 1, &far, &near);

    assert!(near.inbox().is_empty());
    assert_eq!([(); 4].map(|()| next_in(&seat, &near, &pending)), [Some(1), Some(2), Some(0), None]);
    drop((calls, later));
}

fn calls_that_went_on_to_another_inbox_start_before_those_that_came_later(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("calls_that_went_on_to_another_inbox_start_before_those_that_came_later");
    let (near, far) = links(mechanism);
    let elsewhere = Inbox::shared();
    let chain = fresh_chain();
    let pending = Call::new(b"go").submit(&near);
    let calls = calls_of(chain, 5, &far, &near);
    for _ in 0..2 {
        let Some(Work::Call(incoming)) = near.inbox().try_pop() else { panic!("calls came") };
        elsewhere.push_again(incoming);
    }

    let seat = near.sit(ChainId(chain));

    assert_eq!([(); 5].map(|()| next_in(&seat, &near, &pending)), [0, 1, 2, 3, 4].map(Some));
    drop(calls);
}

fn call_that_goes_on_to_another_inbox_while_its_chain_is_waited_in_keeps_its_place(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("call_that_goes_on_to_another_inbox_while_its_chain_is_waited_in_keeps_its_place");
    let (near, far) = links(mechanism);
    let elsewhere = Inbox::shared();
    let chain = fresh_chain();
    let pending = Call::new(b"go").submit(&near);
    let calls = calls_of(chain, 4, &far, &near);
    let take = || {
        let Some(Work::Call(incoming)) = near.inbox().try_pop() else { panic!("calls came") };
        incoming
    };
    elsewhere.push_again(take());
    // By another thread: a thread that sits down has begun what it took.
    let on_its_way = std::thread::scope(|scope| scope.spawn(take).join().unwrap());
    let seat = near.sit(ChainId(chain));
    assert_eq!(next_in(&seat, &near, &pending), None);

    elsewhere.push_again(on_its_way);

    assert_eq!([(); 4].map(|()| next_in(&seat, &near, &pending)), [0, 1, 2, 3].map(Some));
    assert!(elsewhere.is_empty());
    drop(calls);
}

fn calls_left_in_a_seat_go_to_the_seat_below_and_then_to_the_inbox(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("calls_left_in_a_seat_go_to_the_seat_below_and_then_to_the_inbox");
    let (near, far) = links(mechanism);
    let chain = fresh_chain();
    let pending = Call::new(b"go").submit(&near);
    let outer = near.sit(ChainId(chain));
    let _calls = calls_of(chain, 5, &far, &near);
    assert_eq!(next_in(&outer, &near, &pending), Some(0));

    let inner = near.sit(ChainId(chain));
    let in_inner = next_in(&inner, &near, &pending);
    drop(inner);
    let in_outer = next_in(&outer, &near, &pending);
    drop(outer);

    assert_eq!((in_inner, in_outer), (Some(1), Some(2)));
    assert_eq!((next_of(near.inbox()), next_of(near.inbox()), next_of(near.inbox())), (Some(3), Some(4), None));
}

fn call_waits_in_its_seat_until_those_before_it_have_begun(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("call_waits_in_its_seat_until_those_before_it_have_begun");
    let (near, far) = links(mechanism);
    let chain = fresh_chain();
    let pending = Call::new(b"go").submit(&near);
    let _early = calls_of(chain, 1, &far, &near);
    let inbox = Arc::clone(near.inbox());
    // Taken by another thread: a thread that sits down has begun what it took.
    let taken = std::thread::spawn(move || inbox.try_pop()).join().unwrap();
    let Some(Work::Call(first)) = taken else { panic!("the early call is there") };
    let seat = near.sit(ChainId(chain));
    let _later = calls_of(chain, 1, &far, &near);
    assert_eq!(next_in(&seat, &near, &pending), None);

    let beginner = std::thread::spawn(move || first.begun());
    let Wake::Call(second) = near.wait(&pending, None, None, &seat) else { panic!("the later call may begin") };

    assert_eq!(bytes(second.steps()), [0]);
    beginner.join().unwrap();
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
        match near.wait(&calls[2], None, None, &near.sit(ChainId(chain))) {
            Wake::Pump => {
                let Some(Work::Call(incoming)) = far_inbox.try_pop() else { panic!("a call is there") };
                runs.fetch_add(1, Ordering::Relaxed);
                answer(&incoming, bytes(incoming.steps()));
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
                        if matches!(near.wait(&pending, None, None, &ChainSeat::NONE), Wake::Pump)
                            && let Some(Work::Call(incoming)) = far_inbox.try_pop()
                        {
                            answer(&incoming, bytes(incoming.steps()));
                        }
                    }
                    assert_eq!(reply(near, &pending), [thread]);
                }
            });
        }
    });
}

fn wait_in_a_chain_ends_for_a_stream_that_is_waited_for_there(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("wait_in_a_chain_ends_for_a_stream_that_is_waited_for_there");
    let (near, far) = links(mechanism);
    let chain = ChainId(fresh_chain());
    let peer = serve(far, move |incoming| {
        let link = &incoming.link;
        let stream = Call { want: Want::Stream, ..Call::new(b"items") }.submit(link);
        link.credit(&stream, 1);
        link.wait_for_items(&stream, chain);
        assert!(matches!(link.wait(&stream, None, None, &ChainSeat::NONE), Wake::Arrived));
        answer(incoming, bytes(&stream.take_items().unwrap().body));
    });
    let pending = Call::new(b"consume").submit(&near);
    let mut seat = near.sit(chain);
    seat.take_up_streams(vec![Arc::clone(near.inbox())], chain);

    let call = loop {
        assert!(matches!(near.wait(&pending, None, None, &seat), Wake::Stream));
        if let Some(Work::Awaited { call, chain: of, .. }) = seat.take_stream_work() {
            assert_eq!(of, chain);
            break call;
        }
    };
    near.items(call, LaneId(1), 1, &mut value(b"item")).unwrap();

    assert!(matches!(near.wait(&pending, None, None, &seat), Wake::Arrived));
    assert_eq!(reply(&near, &pending), b"item");
    near.close();
    peer.join().unwrap();
}

//! Which call each of several threads takes from an inbox.
//! Owns: the facts about lanes. Must not know: transports, how calls are run.

mod support;

use std::sync::Arc;

use elsewhere_engine::transport::Transport;
use elsewhere_engine::{Inbox, InboxWake, Incoming, Lane, Link, Taker, Work};
use elsewhere_proto::{ChainId, LaneId, Want};
use support::{Call, Watchdog, answer, bytes, config, link, links, reply};

/// Two links, and the calls `lanes` on their way from the first to the second, numbered from 0.
fn with_calls(lanes: &[u32]) -> (Arc<Link>, Arc<Link>) {
    let (near, far) = links(Transport::unix_pair);
    for (number, lane) in (0_u8..).zip(lanes) {
        Call { lane: *lane, ..Call::new(&[number]) }.submit(&near);
    }
    while far.inbox().len() < lanes.len() {
        far.drain();
        std::thread::yield_now();
    }
    (near, far)
}

/// Two links, the second of which brings its calls to `inbox`.
fn links_into(inbox: &Arc<Inbox>) -> (Arc<Link>, Arc<Link>) {
    let (here, there) = Transport::unix_pair().expect("the system has descriptors left");
    let far = Link::new(there, config(), Arc::clone(inbox)).expect("the watch thread takes it");
    (link(here), far)
}

fn take_in(link: &Arc<Link>, count: usize) {
    while link.inbox().len() < count {
        link.drain();
        std::thread::yield_now();
    }
}

fn call(work: Option<Work>) -> Option<(u8, Incoming)> {
    match work {
        Some(Work::Call(incoming)) => Some((bytes(incoming.steps())[0], incoming)),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn number(inbox: &Inbox, taker: &mut Taker) -> Option<u8> {
    call(inbox.try_take(taker)).map(|(number, _)| number)
}

fn lane(link: &Link, lane: u32) -> Lane {
    Lane { link: link.id(), lane: LaneId(lane) }
}

#[test]
fn one_thread_takes_everything_in_order() {
    let (_near, far) = with_calls(&[1, 1, 2]);

    let taken: Vec<_> = (0..4).map(|_| number(far.inbox(), &mut Taker::All)).collect();

    assert_eq!(taken, [Some(0), Some(1), Some(2), None]);
}

#[test]
fn next_call_of_a_lane_is_taken_when_the_one_before_has_begun() {
    let (_near, far) = with_calls(&[1, 1, 2]);
    let inbox = far.inbox();

    assert_eq!(number(inbox, &mut Taker::Any), Some(0));
    assert_eq!(number(inbox, &mut Taker::Any), Some(2));
    assert_eq!(number(inbox, &mut Taker::Any), None);
    inbox.open_lane(lane(&far, 1));

    assert_eq!(number(inbox, &mut Taker::Any), Some(1));
}

#[test]
fn thread_that_takes_a_new_lane_takes_no_other_from_then_on() {
    let (_near, far) = with_calls(&[1, 2, 1]);
    let inbox = far.inbox();
    let (mut one, mut other) = (Taker::New, Taker::New);

    assert_eq!(number(inbox, &mut one), Some(0));
    assert_eq!(one, Taker::Of(lane(&far, 1)));
    assert_eq!(number(inbox, &mut one), None);
    inbox.open_lane(lane(&far, 1));

    assert_eq!(number(inbox, &mut other), Some(1));
    assert_eq!(number(inbox, &mut one), Some(2));
}

#[test]
fn lane_whose_thread_is_gone_gets_another() {
    let (_near, far) = with_calls(&[1, 1]);
    let inbox = far.inbox();
    assert_eq!(number(inbox, &mut Taker::New), Some(0));
    inbox.open_lane(lane(&far, 1));
    assert_eq!(number(inbox, &mut Taker::New), None);

    inbox.free_lane(lane(&far, 1));

    assert_eq!(number(inbox, &mut Taker::New), Some(1));
}

#[test]
fn errands_are_no_calls() {
    let (_near, far) = with_calls(&[1]);
    let inbox = far.inbox();
    inbox.push(Work::Completed(7));

    assert!(matches!(inbox.try_take(&mut Taker::Errands), Some(Work::Completed(7))));
    assert!(!inbox.has_work_for(Taker::Errands));
    assert!(inbox.has_work_for(Taker::Any));
}

#[test]
fn turn_of_a_stream_is_taken_by_the_thread_of_its_lane_also_while_that_is_shut() {
    let (near, far) = with_calls(&[1]);
    let inbox = far.inbox();
    let stream = Call { lane: 1, want: Want::Stream, ..Call::new(b"s") }.submit(&near);
    let mut taker = Taker::New;
    assert_eq!(number(inbox, &mut taker), Some(0));

    inbox.push(Work::Turn { link: Arc::clone(&far), call: stream.call(), lane: LaneId(1), chain: ChainId(1) });

    assert!(!inbox.has_work_for(Taker::New));
    assert!(matches!(inbox.try_take(&mut taker), Some(Work::Turn { .. })));
}

#[test]
fn thread_that_waits_in_a_chain_takes_what_is_said_of_streams_and_the_turns_that_are_awaited_there() {
    let (near, far) = with_calls(&[1]);
    let inbox = far.inbox();
    let call = Call { lane: 1, want: Want::Stream, ..Call::new(b"s") }.submit(&near).call();
    let turn = |chain| Work::Turn { link: Arc::clone(&far), call, lane: LaneId(1), chain: ChainId(chain) };
    let mut taker = Taker::Within(ChainId(5), std::thread::current().id());
    inbox.push(turn(4));
    inbox.push(Work::Completed(7));
    assert!(!inbox.has_work_for(taker));

    inbox.push(Work::Awaited { link: Arc::clone(&far), call, chain: ChainId(5) });
    inbox.push(turn(5));

    assert!(matches!(inbox.try_take(&mut taker), Some(Work::Awaited { .. })));
    assert!(matches!(inbox.try_take(&mut taker), Some(Work::Turn { chain: ChainId(5), .. })));
    assert!(inbox.try_take(&mut taker).is_none());
}

#[test]
fn many_threads_run_all_calls_and_each_lane_in_order() {
    let _watchdog = Watchdog::new("many_threads_run_all_calls_and_each_lane_in_order");
    let (near, far) = links(Transport::unix_pair);
    far.serve();
    let begun = Arc::new(std::sync::Mutex::new(Vec::new()));
    let workers: Vec<_> = (0..4).map(|_| worker(Arc::clone(&far), Arc::clone(&begun))).collect();

    let calls: Vec<_> =
        (0..200_u8).map(|number| Call { lane: u32::from(number % 3), ..Call::new(&[number]) }.submit(&near)).collect();
    for (call, number) in calls.iter().zip(0..) {
        assert_eq!(reply(&near, call), [number]);
    }
    near.close();
    workers.into_iter().for_each(|worker| worker.join().unwrap());

    let begun = begun.lock().unwrap();
    for lane in 0..3 {
        let numbers: Vec<_> = begun.iter().copied().filter(|number| number % 3 == lane).collect();
        assert!(numbers.is_sorted(), "lane {lane}: {numbers:?}");
    }
    assert_eq!(begun.len(), 200);
}

/// Serves as one of several threads, until the end. Notes a call before it lets the next one of its lane begin.
fn worker(link: Arc<Link>, begun: Arc<std::sync::Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        loop {
            match link.wait_work(&mut Taker::Any, None, None) {
                InboxWake::Work(work) => {
                    let Some((number, incoming)) = call(Some(work)) else { continue };
                    begun.lock().unwrap().push(number);
                    link.inbox().open_lane(Lane { link: link.id(), lane: incoming.call.lane });
                    answer(&incoming, &[number]);
                }
                InboxWake::Tick => {}
                InboxWake::Ended => return,
            }
        }
    })
}

/// A thread that was back from each call at once leaves the stream to nobody: see `link/pace.rs`.
#[test]
fn stream_that_a_thread_left_is_read_by_another_when_a_call_takes_long() {
    const WAITS: u8 = 254;
    const GOES: u8 = 255;
    let _watchdog = Watchdog::new("stream_that_a_thread_left_is_read_by_another_when_a_call_takes_long");
    let (near, far) = links(Transport::ring_pair);
    far.serve();
    let (tell, told) = std::sync::mpsc::channel();
    let told = Arc::new(std::sync::Mutex::new(told));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (link, tell, told) = (Arc::clone(&far), tell.clone(), Arc::clone(&told));
            std::thread::spawn(move || {
                let mut taker = Taker::New;
                while let InboxWake::Work(work) = link.wait_work(&mut taker, None, None) {
                    let Some((number, incoming)) = call(Some(work)) else { continue };
                    match number {
                        WAITS => told.lock().unwrap().recv().unwrap(),
                        GOES => tell.send(()).unwrap(),
                        _ => {}
                    }
                    link.inbox().open_lane(Lane { link: link.id(), lane: incoming.call.lane });
                    answer(&incoming, &[number]);
                }
            })
        })
        .collect();

    let of_lane = |lane: u32, number: u8| Call { lane, ..Call::new(&[number]) }.submit(&near);
    for _ in 0..3 {
        for number in 0..100 {
            assert_eq!(reply(&near, &of_lane(1, number)), [number]);
        }
        let waits = of_lane(1, WAITS);
        let goes = of_lane(2, GOES);

        assert_eq!(reply(&near, &goes), [GOES]);
        assert_eq!(reply(&near, &waits), [WAITS]);
    }

    near.close();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn thread_that_takes_errands_hears_of_the_end_and_of_nothing_else() {
    let _watchdog = Watchdog::new("thread_that_takes_errands_hears_of_the_end_and_of_nothing_else");
    let (near, far) = links(Transport::unix_pair);
    far.serve();
    let main = {
        let far = Arc::clone(&far);
        std::thread::spawn(move || matches!(far.wait_errands(None, None), InboxWake::Ended))
    };
    let server = worker(Arc::clone(&far), Arc::default());

    let pending = Call::new(b"a").submit(&near);
    assert_eq!(reply(&near, &pending), b"a");
    near.close();

    assert!(main.join().unwrap());
    server.join().unwrap();
}

#[test]
fn call_of_a_chain_is_left_to_the_thread_of_its_lane_by_a_thread_that_merely_waits() {
    let inbox = Inbox::of_server_by_lanes();
    let (near, far) = links_into(&inbox);
    let pending = Call { chain: 1000, lane: 1, ..Call::new(&[7]) }.submit(&near);
    take_in(&far, 1);

    let waits = far.sit(ChainId(1000));

    assert!(waits.take_call().is_none());
    let (number, incoming) = call(inbox.try_take(&mut Taker::New)).expect("it is left to a new thread");
    assert_eq!(number, 7);
    answer(&incoming, b"done");
    assert_eq!(reply(&near, &pending), b"done");
}

#[test]
fn call_of_a_chain_runs_in_the_thread_of_its_lane_or_without_one_in_that_of_another_lane() {
    let inbox = Inbox::of_server_by_lanes();
    let (near, far) = links_into(&inbox);
    for (number, lane) in [(0, 1), (1, 1), (2, 2)] {
        Call { chain: 1001, lane, ..Call::new(&[number]) }.submit(&near);
    }
    take_in(&far, 3);
    let (number, first) = call(inbox.try_take(&mut Taker::New)).expect("the first call is there");
    assert_eq!(number, 0);

    let waits = far.sit(ChainId(1001));

    let nested: Vec<_> = (0..2).map(|_| waits.take_call().map(|call| bytes(call.steps())[0])).collect();
    assert_eq!(nested, [Some(1), Some(2)]);
    first.begun();
}

#[test]
fn call_that_its_own_lanes_coroutine_waits_for_does_not_wait_for_the_end_of_that() {
    let inbox = Inbox::of_server_by_lanes();
    let (near, far) = links_into(&inbox);
    let mut own = Taker::New;
    Call { chain: 1002, lane: 1, ..Call::new(&[0]) }.submit(&near);
    take_in(&far, 1);
    assert_eq!(number(&inbox, &mut own), Some(0)); // which shuts the lane
    Call { chain: 1002, lane: 1, ..Call::new(&[1]) }.submit(&near);
    Call { chain: 2000, lane: 1, ..Call::new(&[2]) }.submit(&near);
    take_in(&far, 2);
    assert_eq!(number(&inbox, &mut own), None);

    let waits = std::thread::scope(|scope| {
        let other = scope.spawn(|| std::mem::forget(far.sit(ChainId(1002)))); // where the coroutine awaits
        other.join()
    });

    assert!(waits.is_ok());
    assert_eq!(number(&inbox, &mut own), Some(1));
    assert_eq!(number(&inbox, &mut own), None);
}

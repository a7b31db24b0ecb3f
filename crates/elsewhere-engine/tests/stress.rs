//! Many threads on one link, with cancels, deadlines, observers and a death in between.

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use elsewhere_engine::{Arrival, ChainSeat, Inbox, Link, LoopQueue, Observer, SubmitError, Wake, Work};
use elsewhere_proto::Want;
use rustix::event::{PollFd, PollFlags, poll};

use support::*;

const THREADS: u32 = 64;

/// Each of these functions becomes a test for each transport between processes.
macro_rules! stress {
    ($($name:ident)*) => {
        mod ring {
            $(#[test] fn $name() { super::$name(elsewhere_engine::transport::Transport::ring_pair); })*
        }
        mod unix {
            $(#[test] fn $name() { super::$name(elsewhere_engine::transport::Transport::unix_pair); })*
        }
    };
}

stress! {
    no_answer_is_swapped_between_64_threads
    cancels_deadlines_and_observers_leave_every_other_call_right
    death_at_any_instant_ends_every_call_once
    waiters_come_and_go_and_somebody_always_reads
    drops_in_many_threads_release_each_reference_once
    posts_of_many_threads_all_run
    loops_come_and_go_and_each_is_told_of_every_answer
}

fn no_answer_is_swapped_between_64_threads(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("no_answer_is_swapped_between_64_threads");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);

    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let near = &near;
            scope.spawn(move || {
                for tag in 0..1000_u32 {
                    let tag = [thread.to_le_bytes(), tag.to_le_bytes()].concat();
                    assert_eq!(echo(near, &tag), tag);
                }
            });
        }
    });

    near.close();
    assert_eq!(peer.join().unwrap(), THREADS as usize * 1000);
}

/// What a thread does with each of its calls is drawn at random: wait, wait with little patience, cancel, let a deadline
/// pass, forget it, have it observed.
fn cancels_deadlines_and_observers_leave_every_other_call_right(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("cancels_deadlines_and_observers_leave_every_other_call_right");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);
    let inbox = Inbox::new();
    let observed = AtomicUsize::new(0);

    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (near, inbox, observed) = (&near, &inbox, &observed);
            scope.spawn(move || {
                let mut seed = u64::from(thread);
                for tag in 0..300_u32 {
                    let tag = [thread.to_le_bytes(), tag.to_le_bytes()].concat();
                    let choice = random(&mut seed) % 8;
                    let deadline =
                        (choice == 3).then(|| Instant::now() + Duration::from_micros(random(&mut seed) % 2000));
                    let pending = Call { lane: thread, deadline, ..Call::new(&tag) }.submit(near);
                    match choice {
                        0 => {
                            near.cancel(&pending, false);
                            assert!(matches!(arrival(near, &pending), Arrival::Cancelled | Arrival::Reply(_)));
                        }
                        1 => near.forget(&pending),
                        2 => {
                            let until = Instant::now() + Duration::from_micros(random(&mut seed) % 300);
                            let _ = near.wait(&pending, Some(until), None, &ChainSeat::NONE);
                            assert_eq!(reply(near, &pending), tag);
                        }
                        3 => match arrival(near, &pending) {
                            Arrival::TimedOut => {}
                            Arrival::Reply(body) => assert_eq!(bytes(&body), tag),
                            other => panic!("{other:?}"),
                        },
                        4 => {
                            if !near.observe(&pending, Observer::Inbox(Arc::clone(inbox), u64::from(thread))) {
                                observed.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                        _ => assert_eq!(reply(near, &pending), tag),
                    }
                }
            });
        }
    });

    for _ in 0..observed.load(Ordering::SeqCst) {
        assert!(matches!(inbox.wait(None), Some(Work::Completed(_))));
    }
    assert_eq!(echo(&near, b"after all"), b"after all");
    near.close();
    assert!(peer.join().unwrap() > 0);
    assert!(inbox.try_pop().is_none());
}

fn death_at_any_instant_ends_every_call_once(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("death_at_any_instant_ends_every_call_once");
    let mut seed = 1;
    for round in 0..100 {
        let (near, far) = links(mechanism);
        let calls_until_death = random(&mut seed) % 300;
        let mut count = 0;
        let dying = Arc::clone(&far);
        let peer = serve(far, move |incoming| {
            count += 1;
            if count > calls_until_death {
                dying.abandon();
            } else {
                answer(incoming, bytes(incoming.steps()));
            }
        });
        let lost = AtomicUsize::new(0);

        std::thread::scope(|scope| {
            for thread in 0..8_u32 {
                let (near, lost) = (&near, &lost);
                scope.spawn(move || {
                    for tag in 0.. {
                        let tag: u32 = tag;
                        let tag = [thread.to_le_bytes(), tag.to_le_bytes()].concat();
                        let pending = match Call::new(&tag).try_submit(near) {
                            Ok(pending) => pending.unwrap(),
                            Err(SubmitError::Lost(_)) => break,
                            Err(error) => panic!("{error} in round {round}"),
                        };
                        match arrival(near, &pending) {
                            Arrival::Reply(body) => assert_eq!(bytes(&body), tag),
                            Arrival::Lost { .. } => {
                                lost.fetch_add(1, Ordering::SeqCst);
                                break;
                            }
                            other => panic!("{other:?}"),
                        }
                        assert!(pending.take().is_none());
                    }
                });
            }
        });

        assert!(near.loss().is_some());
        peer.join().unwrap();
    }
}

fn waiters_come_and_go_and_somebody_always_reads(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("waiters_come_and_go_and_somebody_always_reads");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);
    let is_over = AtomicBool::new(false);

    std::thread::scope(|scope| {
        let (near, is_over) = (&near, &is_over);
        for thread in 0..8_u32 {
            scope.spawn(move || {
                // Waits with no patience take the part of the sleeper and give it up again and again.
                let mut seed = u64::from(thread);
                while !is_over.load(Ordering::SeqCst) {
                    let pending = Call::new(b"impatient").submit(near);
                    while !pending.is_done() {
                        let tick = Duration::from_micros(random(&mut seed) % 200);
                        assert!(matches!(
                            near.wait(&pending, None, Some(tick), &ChainSeat::NONE),
                            Wake::Arrived | Wake::Tick
                        ));
                    }
                }
            });
        }
        for _ in 0..3000 {
            assert_eq!(echo(near, b"patient"), b"patient");
        }
        is_over.store(true, Ordering::SeqCst);
    });

    near.close();
    peer.join().unwrap();
}

fn drops_in_many_threads_release_each_reference_once(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("drops_in_many_threads_release_each_reference_once");
    let (near, far) = links(mechanism);
    let objects: Vec<_> = (0..THREADS * 50).map(|_| far.export()).collect();
    objects.iter().for_each(|object| near.imported(*object));
    let peer = serve_echo(Arc::clone(&far));

    std::thread::scope(|scope| {
        for part in objects.chunks(50) {
            let near = &near;
            scope.spawn(move || {
                for object in part {
                    near.push_release(*object, 1);
                    assert_eq!(echo(near, b"x"), b"x");
                }
            });
        }
    });

    // The answers came after the releases were sent, and the stream keeps order.
    assert_eq!(echo(&near, b"last"), b"last");
    let released = far.take_released();
    assert_eq!(released.iter().collect::<HashSet<_>>(), objects.iter().collect());
    assert_eq!(released.len(), objects.len());
    near.close();
    peer.join().unwrap();
}

fn posts_of_many_threads_all_run(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("posts_of_many_threads_all_run");
    let (near, far) = links(mechanism);
    let peer = serve_echo(far);

    std::thread::scope(|scope| {
        for _ in 0..16 {
            let near = &near;
            scope.spawn(move || {
                for _ in 0..500 {
                    let post = Call { want: Want::Nothing, ..Call::new(b"post") };
                    while let Err(refused) = post.try_submit(near) {
                        assert!(matches!(refused, SubmitError::WindowFull));
                        assert!(matches!(near.wait_window(0, None, &ChainSeat::NONE), Wake::Arrived));
                    }
                }
            });
        }
    });

    near.close();
    assert_eq!(peer.join().unwrap(), 8000);
}

/// Loops of a few rounds each, which are busy now and then; some alone, some with others or threads that wait beside them, some
/// more at a time than a peer is told of. No loop looks by itself.
fn loops_come_and_go_and_each_is_told_of_every_answer(mechanism: Mechanism) {
    let _watchdog = Watchdog::new("loops_come_and_go_and_each_is_told_of_every_answer");
    for (loops, threads) in [(1, 0), (2, 0), (1, 1), (12, 2)] {
        let (near, far) = links(mechanism);
        let peer = serve_echo(far);

        std::thread::scope(|scope| {
            for thread in 0..loops {
                let near = &near;
                scope.spawn(move || {
                    let mut seed = thread;
                    for _ in 0..5 {
                        let queue = LoopQueue::new().unwrap();
                        for _ in 0..50 {
                            run_a_loop(near, &queue, &mut seed);
                        }
                    }
                });
            }
            for thread in 0..threads {
                let near = &near;
                scope.spawn(move || {
                    for tag in 0..500_u32 {
                        let tag = [u32::to_le_bytes(thread), tag.to_le_bytes()].concat();
                        assert_eq!(echo(near, &tag), tag);
                    }
                });
            }
        });

        near.close();
        assert!(peer.join().unwrap() > 0);
    }
}

/// Awaits one to four calls.
fn run_a_loop(link: &Arc<Link>, queue: &Arc<LoopQueue>, seed: &mut u64) {
    let mut waiting = HashMap::new();
    for key in 1..=1 + random(seed) % 4 {
        let tag = random(seed).to_le_bytes();
        let pending = Call::new(&tag).submit(link);
        if link.observe(&pending, Observer::Loop(Arc::clone(queue), key)) {
            assert_eq!(reply(link, &pending), tag);
        } else {
            waiting.insert(key, (pending, tag));
        }
    }
    while !waiting.is_empty() {
        if random(seed).is_multiple_of(32) {
            std::thread::sleep(Duration::from_millis(random(seed) % 12)); // it is busy, perhaps for longer than a tick
        }
        poll(&mut [PollFd::new(queue, PollFlags::IN)], None).unwrap();
        for key in queue.drain() {
            let (pending, tag) = waiting.remove(&key).unwrap();
            assert!(matches!(pending.take(), Some(Arrival::Reply(body)) if bytes(&body) == tag));
        }
    }
}

//! Tests of the stream through shared memory: what both sides agree on, and a peer that breaks the rules.

use super::*;

fn received(end: &End) -> Result<Vec<u8>> {
    let mut buffer = [0; 64];
    end.receive(&mut buffer).map(|count| buffer[..count].to_vec())
}

fn offered() -> (End, OwnedFd) {
    let (ours, theirs, problem) = offer(true, &[]).unwrap();
    assert_eq!(problem, None);
    (ours.unwrap(), theirs)
}

#[test]
fn both_sides_use_memory_that_was_taken() {
    let (maker, socket) = offered();
    assert_eq!(maker.send(b"too early"), Err(Errno::AGAIN));
    assert_eq!(received(&maker), Err(Errno::AGAIN));

    let opener = answer(socket).unwrap().unwrap();
    opener.send(b"first").unwrap();

    assert_eq!(received(&maker).unwrap(), b"first");
    maker.send(b"second").unwrap();
    assert_eq!(received(&opener).unwrap(), b"second");
    assert!(maker.is_memory() && opener.is_memory());
}

#[test]
fn socket_is_used_where_memory_is_refused() {
    let (maker, socket) = offered();
    let (word, memory) = socket::receive_with(&socket, 1).unwrap();
    assert_eq!((word.as_slice(), memory.len()), (&[OFFER][..], 1));
    let peer = Stream::new(socket);

    peer.send(&[REFUSED, b'h', b'i']).unwrap();

    assert_eq!(received(&maker).unwrap(), b"hi");
    assert!(maker.is_refused());
    maker.send(b"there").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(peer.receive(&mut buffer), Ok(5));
}

#[test]
fn tables_alone_are_used_where_the_peer_wants_no_ring() {
    let (maker, socket) = offered();
    let _ = socket::receive_with(&socket, 1).unwrap();
    let (words, theirs) = socket::pair().unwrap();

    socket::send_with(&socket, &[TABLES], &[theirs.as_fd()]).unwrap();
    let peer = Stream::new(socket);
    peer.send(b"hi").unwrap();

    assert_eq!(received(&maker).unwrap(), b"hi");
    assert!(!maker.is_memory() && !maker.is_refused() && maker.buffers().is_on());
    assert_eq!(maker.raw_fds().len(), 2);
    let lent = maker.buffers().lend(&[7; 100_000], elsewhere_shm::pool::Purpose::Own, &mut || true).unwrap();
    assert!(lent.is_some());
    let (word, memory) = socket::receive_with(&words, 64).unwrap();
    assert_eq!((word.first(), memory.len()), (Some(&b'B'), 1));
}

#[test]
fn socket_alone_is_used_where_nothing_is_offered() {
    let (ours, theirs, problem) = offer(false, &[]).unwrap();

    let (ours, theirs) = (ours.unwrap_err(), answer(theirs).unwrap().unwrap_err());

    ours.send(b"hello").unwrap();
    assert_eq!(theirs.receive(&mut [0; 8]), Ok(5));
    assert_eq!(problem, None);
}

#[test]
fn preface_comes_before_the_offer() {
    let preface = vec![b'p'; 150_000];
    let (_ours, theirs, problem) = offer(true, &preface).unwrap();

    let mut received = Vec::new();
    while received.len() < preface.len() {
        received.extend(socket::receive_with(&theirs, preface.len() - received.len()).unwrap().0);
    }

    assert_eq!(received, preface);
    assert!(answer(theirs).unwrap().is_ok());
    assert_eq!(problem, None);
}

#[test]
fn peer_that_knows_of_no_offer_is_heard() {
    let (maker, socket) = offered();

    Stream::new(socket).send(b"GET / HTTP/1.1").unwrap();

    assert_eq!(received(&maker).unwrap(), b"GET / HTTP/1.1");
}

#[test]
fn socket_that_begins_with_something_else_is_refused() {
    let (here, there) = socket::pair().unwrap();

    Stream::new(here).send(b"?").unwrap();

    assert_eq!(answer(there).unwrap_err(), Errno::PROTO);
}

/// Whoever connected, which offers memory, and the socket of whoever listens.
fn connected() -> (Shared, OwnedFd) {
    let (ours, theirs) = socket::pair().unwrap();
    (offer_over(ours), theirs)
}

#[test]
fn who_has_proven_itself_offers_memory_over_the_socket_of_the_proof() {
    let (maker, socket) = connected();
    let offer = Offer::try_take(&socket).unwrap().unwrap();

    let (maker, opener) = (maker.unwrap(), accept(socket, offer).unwrap());
    opener.send(b"first").unwrap();

    assert_eq!(received(&maker).unwrap(), b"first");
    assert!(maker.is_memory() && opener.is_memory());
    let held = maker.buffers().lend(&[7; 100_000], elsewhere_shm::pool::Purpose::Own, &mut || true).unwrap().unwrap();
    assert_eq!(opener.buffers().borrow(held.name(), 100_000).unwrap().bytes(), 100_000);
}

#[test]
fn memory_that_the_socket_had_no_room_for_is_handed_over_when_it_is_lent_again() {
    let (maker, opener) = pair().unwrap();
    let lend = || maker.buffers().lend(&[7; 70_000], elsewhere_shm::pool::Purpose::Own, &mut || true).unwrap();
    let sent: Vec<_> = std::iter::from_fn(lend).collect(); // until the socket is full

    let again = lend();
    let known: Vec<_> =
        sent.iter().map(|lent| opener.buffers().borrow(lent.name(), 70_000).map(|borrowed| borrowed.bytes())).collect();
    let with_room = lend().unwrap();

    assert!(again.is_none() && known.len() > 1);
    assert!(known.iter().all(|bytes| *bytes == Ok(70_000)), "{known:?}");
    assert_eq!(opener.buffers().borrow(with_room.name(), 70_000).unwrap().to_vec(), vec![7; 70_000]);
}

#[test]
fn offer_that_is_not_there_yet_is_not_waited_for() {
    let (ours, theirs) = socket::pair().unwrap();

    assert_eq!(Offer::try_take(&theirs).unwrap_err(), Errno::AGAIN);
    drop(ours);
    assert!(Offer::try_take(&theirs).unwrap().is_none());
}

#[test]
fn what_is_no_offer_is_refused_and_what_follows_one_is_left() {
    let (ours, theirs) = socket::pair().unwrap();
    let ours = Stream::new(ours);
    ours.send(&[b'?', NOTHING, b'h']).unwrap();

    assert_eq!(Offer::try_take(&theirs).unwrap_err(), Errno::PROTO);
    let offer = Offer::try_take(&theirs).unwrap().unwrap();
    let stream = accept(theirs, offer).unwrap_err();

    let mut buffer = [0; 8];
    assert_eq!(stream.receive(&mut buffer), Ok(1));
    assert_eq!(buffer[0], b'h');
}

#[test]
fn offer_without_memory_or_of_something_else_leaves_the_socket() {
    let file = std::fs::File::open("/dev/null").unwrap();
    for offered in [vec![], vec![file.as_fd()]] {
        let (ours, theirs) = socket::pair().unwrap();
        socket::send_with(&ours, &[OFFER], &offered).unwrap();

        let offer = Offer::try_take(&theirs).unwrap().unwrap();
        let stream = accept(theirs, offer).unwrap_err();

        let (answer, _) = socket::receive_with(&ours, 8).unwrap();
        assert_eq!(answer, [REFUSED]);
        stream.send(b"goes on").unwrap();
        assert_eq!(socket::receive_with(&ours, 8).unwrap().0, b"goes on");
    }
}

#[test]
fn what_was_sent_before_the_end_comes_before_it() {
    let (maker, socket) = offered();
    let opener = answer(socket).unwrap().unwrap();
    assert_eq!(received(&maker), Err(Errno::AGAIN)); // the answer alone

    opener.send(b"last words").unwrap();
    drop(opener);
    maker.take_wakes();

    assert_eq!(received(&maker).unwrap(), b"last words");
    assert_eq!(received(&maker).unwrap(), b"");
}

/// A row of numbers without a pattern, from a seed: xorshift, Marsaglia 2003.
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn peer_that_scribbles_breaks_the_rules_and_nothing_else() {
    use std::os::unix::fs::FileExt as _;
    const CONTROL: u64 = 4096;
    let mut broken = 0;
    for seed in 1..=200 {
        let (maker, socket) = offered();
        let (_, memory) = socket::receive_with(&socket, 1).unwrap();
        let memory = std::fs::File::from(memory.into_iter().next().unwrap());
        Stream::new(socket.try_clone().unwrap()).send(&[TAKEN]).unwrap();
        let _ = received(&maker);
        let mut next = numbers(seed);

        for _ in 0..50 {
            memory.write_at(&next().to_ne_bytes(), next() % (CONTROL / 8) * 8).unwrap();
            let _ = maker.send(&[7; 100]);
            let _ = received(&maker);
            let _ = maker.rearm();
        }

        broken += usize::from(maker.violation().is_some());
    }
    assert!(broken > 0, "nothing of what was scribbled mattered");
}

/// Runs `work` in a thread that is pinned to `core`.
fn on<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let mut cores = rustix::thread::CpuSet::new();
            cores.set(core);
            rustix::thread::sched_setaffinity(None, &cores).unwrap();
            work()
        });
        working.join().unwrap()
    })
}

#[test]
fn who_was_pinned_when_it_began_looks_for_a_peer_on_another_core_and_takes_turns_with_one_on_its_own() {
    let cores = rustix::thread::sched_getaffinity(None).unwrap();
    let mut usable = (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| cores.is_set(*core));
    let (Some(core), Some(other)) = (usable.next(), usable.next()) else { return };
    let (maker, opener) = on(core, || {
        let (maker, socket) = offered();
        let opener = answer(socket).unwrap().unwrap();
        opener.send(b"here").unwrap();
        assert_eq!(received(&maker).unwrap(), b"here");
        (maker, opener)
    });

    let looks = [core, other].map(|theirs| {
        on(theirs, || opener.send(b"there").unwrap());
        on(core, || {
            received(&maker).unwrap();
            let mut looks = 0;
            while looks == 0 {
                maker.send(b"asked").unwrap();
                assert!(!maker.spin(Duration::MAX, || {
                    looks += 1;
                    false
                }));
                received(&opener).unwrap();
            }
            looks
        })
    });

    assert!(looks[0] <= 1 + TURNS && looks[1] >= FIRST_LOOKS, "{looks:?}");
}

/// A maker whose peer is what a test makes of it: a socket.
fn maker_with_a_bare_peer() -> (End, OwnedFd) {
    let (maker, socket) = offered();
    let _ = socket::receive_with(&socket, 1).unwrap();
    Stream::new(socket.try_clone().unwrap()).send(&[TAKEN]).unwrap();
    assert_eq!(received(&maker), Err(Errno::AGAIN));
    (maker, socket)
}

#[test]
fn words_about_loops_that_break_the_rules_are_a_violation() {
    let come = |number| Word::Loop { number };
    let gone = |number| Word::LoopGone { number };
    let most = u32::try_from(elsewhere_shm::wake::LOOPS_MAX).unwrap();
    let too_many: Vec<_> = (1..=most + 1).map(come).collect();
    for broken in [vec![gone(1)], vec![come(0)], vec![come(2), come(2)], vec![come(2), come(1)], too_many] {
        let (maker, socket) = maker_with_a_bare_peer();

        for word in &broken {
            socket::send_with(&socket, &word.to_bytes(), &[]).unwrap();
        }
        maker.take_wakes();

        assert!(maker.violation().is_some(), "{broken:?}");
    }
    let (maker, socket) = maker_with_a_bare_peer();
    for number in 1..=3 * most {
        socket::send_with(&socket, &come(number).to_bytes(), &[]).unwrap();
        socket::send_with(&socket, &gone(number).to_bytes(), &[]).unwrap();
        maker.take_wakes();
    }
    assert_eq!(maker.violation(), None);
}

#[test]
fn what_is_no_eventfd_is_closed_and_never_written_to() {
    let (maker, opener) = pair().unwrap();
    let (reads, writes) = rustix::pipe::pipe().unwrap(); // a write into it could block
    opener.buffers().hand_over_loop(1, &writes).unwrap();
    drop(writes);
    opener.tell_loop(1, Arc::new(Event::new(|| {})));

    maker.send(b"hello").unwrap();

    assert_eq!(rustix::io::read(&reads, &mut [0; 8]), Ok(0)); // nothing came, and nobody has the other end any more
    assert_eq!((received(&opener).unwrap().as_slice(), maker.violation()), (&b"hello"[..], None));
}

#[test]
fn eventfd_that_would_block_is_raised_without_waiting() {
    use rustix::event::{EventfdFlags, eventfd};
    let (maker, opener) = pair().unwrap();
    let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap(); // it blocks
    rustix::io::write(&event, &(u64::MAX - 1).to_ne_bytes()).unwrap(); // and is full
    opener.buffers().hand_over_loop(1, &event).unwrap();
    opener.tell_loop(1, Arc::new(Event::new(|| {})));

    maker.send(b"hello").unwrap();

    assert_eq!(received(&opener).unwrap(), b"hello");
}

#[test]
fn word_that_names_a_loop_which_was_never_handed_over_is_a_violation() {
    let (maker, opener) = pair().unwrap();
    opener.tell_loop(1, Arc::new(Event::new(|| {})));

    let _ = maker.send(b"hello");

    assert!(maker.violation().is_some());
}

#[test]
fn loop_is_raised_by_the_peer_once_it_is_told_and_no_more_when_it_is_taken_back() {
    use rustix::event::{EventfdFlags, eventfd};
    let (maker, opener) = pair().unwrap();
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
    let raised = || rustix::io::read(&event, &mut [0; 8]).is_ok();
    opener.buffers().hand_over_loop(1, &event).unwrap();
    opener.tell_loop(1, Arc::new(Event::new(|| {})));

    maker.send(b"first").unwrap();
    assert!(raised());
    maker.send(b"second").unwrap();
    assert!(!raised(), "it was told already");
    assert_eq!(received(&opener).unwrap(), b"firstsecond");
    assert_eq!(opener.rearm_loop(1), Some(false));
    maker.send(b"third").unwrap();
    assert!(raised());

    opener.tell_no_loop();
    opener.buffers().take_back_loop(1).unwrap();
    maker.send(b"fourth").unwrap();
    assert!(!raised());
    assert_eq!(opener.rearm_loop(1), None);
    assert_eq!(maker.violation(), None);
}

#[test]
fn socket_is_closed_with_the_stream_while_its_buffers_are_kept() {
    let (maker, opener) = pair().unwrap();
    let buffers = Arc::clone(maker.buffers());

    buffers.end();
    drop(maker);

    opener.take_wakes();
    assert_eq!(opener.receive(&mut [0; 8]), Ok(0));
}

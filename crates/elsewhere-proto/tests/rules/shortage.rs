//! What becomes of messages that there is no memory for.
//! Owns: the facts about one call that is missed, and nothing else. Must not know: how memory is asked for.

use elsewhere_proto::{Config, Connection, ErrorKind, ErrorRecord, Event, Hello, Limits, Outcome, Violation, Want};

use super::LANE;
use super::pair::{Make, Side, at, calls, carry, events, sent};

/// A side that has no memory for a message of more bytes.
const MOST: usize = 500_000;

fn grow(bytes: &mut Vec<u8>, more: usize) -> bool {
    bytes.len() + more <= MOST && bytes.try_reserve(more).is_ok()
}

/// Two sides that know each other, of which the far one has little memory, or else the near one.
fn pair_short_of_memory(is_near: bool) -> (Side, Side) {
    let hello = Hello { capabilities: elsewhere_proto::Capabilities::CHUNKS, ..Hello::default() };
    let little = Config { hello: hello.clone(), grow, ..Config::default() };
    let enough = Config { hello, ..Config::default() };
    let (near, far) = if is_near { (little, enough) } else { (enough, little) };
    let (mut near, mut far) = (Connection::new(near), Connection::new(far));
    carry(&mut near, &mut far);
    carry(&mut far, &mut near);
    events(&mut near);
    events(&mut far);
    (near, far)
}

fn long(len: usize) -> Make {
    Make { len, ..Make::default() }
}

#[test]
fn call_without_memory_comes_without_its_steps() {
    let (mut near, mut far) = pair_short_of_memory(false);
    let call = Make { want: Want::Value, lane: 7, ..long(2_000_000) }.on(&mut near);

    carry(&mut near, &mut far);

    let came = calls(&mut far);
    let [incoming] = &came[..] else { panic!("{came:?}") };
    assert_eq!((incoming.call, incoming.lane.0, incoming.head.want), (call, 7, Want::Value));
    assert_eq!((incoming.gone, incoming.body.len()), (2_000_000, 0));
}

#[test]
fn calls_beside_and_after_it_are_whole() {
    let (mut near, mut far) = pair_short_of_memory(false);
    for len in [2_000_000, 400_000, 3_000_000, 10] {
        Make { lane: len as u32, ..long(len) }.on(&mut near);
    }

    carry(&mut near, &mut far);

    let mut came: Vec<_> = calls(&mut far).iter().map(|call| (call.lane.0, call.body.len(), call.gone)).collect();
    came.sort_unstable();
    assert_eq!(came, [(10, 10, 0), (400_000, 400_000, 0), (2_000_000, 0, 2_000_000), (3_000_000, 0, 3_000_000)]);
    assert_eq!(far.stats().answers, 4);
}

#[test]
fn what_is_let_go_counts_against_the_limit_of_a_message_and_of_the_window_as_if_kept() {
    let (mut near, mut far) = pair_short_of_memory(false);
    for _ in 0..40 {
        let call = long(2_000_000).on(&mut near);
        carry(&mut near, &mut far);
        assert_eq!(calls(&mut far)[0].gone, 2_000_000);
        far.fail(call, LANE, &mut record()).unwrap();
        carry(&mut far, &mut near);
        assert!(matches!(&events(&mut near)[..], [Event::Failed { .. }]));
    }
    assert_eq!((near.stats().calls, far.stats().answers), (0, 0));

    let max_message = 3_000_000;
    let limits = Limits { max_message, ..Limits::default() };
    let mut strict = Connection::new(Config { limits, grow, ..Config::default() });
    let mut bold: Side = Connection::new(Config::default());
    carry(&mut bold, &mut strict);
    long(2 * max_message).on(&mut bold);
    let refused = strict.receive(&sent(&mut bold), at(0));
    assert!(matches!(refused, Err(Violation::MessageTooLarge { max, .. }) if max == max_message), "{refused:?}");
}

#[test]
fn answer_without_memory_fails_its_call_which_has_run() {
    let (mut near, mut far) = pair_short_of_memory(true);
    let (call, other) = (Make::default().on(&mut near), Make::default().on(&mut near));
    carry(&mut near, &mut far);

    far.reply(call, LANE, &mut vec![0xc0; 2_000_000]).unwrap();
    far.reply(other, LANE, &mut vec![0xc0]).unwrap();
    carry(&mut far, &mut near);

    let (mut failed, mut replied) = (Vec::new(), Vec::new());
    for event in events(&mut near) {
        match event {
            Event::Failed { call, body, .. } => {
                failed.push((call, ErrorRecord::decode(&body, Limits::default()).unwrap()));
            }
            Event::Reply { call, .. } => replied.push(call),
            other => panic!("{other:?}"),
        }
    }
    let [(of, record)] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!((*of, record.kind, record.outcome), (call, ErrorKind::Result, Outcome::Finished));
    assert_eq!(record.raised.message, "its answer of 2000000 bytes came, and there was no memory for it");
    assert_eq!(replied, [other]);
    assert_eq!(near.stats().calls, 0);
}

#[test]
fn answer_without_memory_that_nobody_wants_is_late() {
    let (mut near, mut far) = pair_short_of_memory(true);
    let call = Make::default().on(&mut near);
    carry(&mut near, &mut far);
    near.cancel(call, false);

    far.reply(call, LANE, &mut vec![0xc0; 2_000_000]).unwrap();
    carry(&mut far, &mut near);

    let told = events(&mut near);
    assert!(matches!(&told[..], [Event::Late { outcome: Some(Outcome::Finished), .. }]), "{told:?}");
}

#[test]
fn call_that_is_let_go_at_its_first_frame_ends_the_connection() {
    fn nothing(_: &mut Vec<u8>, _: usize) -> bool {
        false
    }
    let mut near: Side = Connection::new(Config::default());
    let mut far: Side = Connection::new(Config { grow: nothing, ..Config::default() });
    carry(&mut near, &mut far);
    long(2_000_000).on(&mut near);

    let refused = far.receive(&sent(&mut near), at(0));

    assert!(matches!(refused, Err(Violation::NoMemory { .. })), "{refused:?}");
}

fn record() -> Vec<u8> {
    let mut body = Vec::new();
    ErrorRecord::plain(ErrorKind::Argument, Outcome::NotStarted, "no memory").encode(&mut body).unwrap();
    body
}

//! What a peer must not do, one test a rule.
//! Owns: the forged frames. Must not know: what well-behaved peers do.

use elsewhere_proto::{
    AnswerRefused, CHUNK_MAX, CallHead, CallId, Capabilities, Config, Connection, Event, Kind, LaneId, Limits,
    ObjectId, Outcome, Reason, State, Violation, Want,
};

use crate::pair::{Forged, Make, Side, at, carry, events, pair, pair_of, pair_with, sent};

fn call_body(want: Want, len: usize) -> Vec<u8> {
    let mut body = vec![];
    CallHead { target: ObjectId(0), deadline: None, want, steps: 0 }.write(&mut body);
    body.resize(CallHead::LEN + len, 0xc0);
    body
}

#[test]
fn stream_that_is_not_ours_is_refused_at_its_first_frame() {
    for noise in [&b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"[..], &[0xff; 40], &[0; 40]] {
        let mut side: Side = Connection::new(Config::default());

        assert_eq!(side.receive(noise, at(0)), Err(Violation::NotOurs));
        assert_eq!(side.state(), State::Over);
    }
}

#[test]
fn nothing_comes_before_hello_and_no_hello_after_it() {
    let mut side: Side = Connection::new(Config::default());
    let before = Forged::new(Kind::Ping, 1).violates(&mut side);
    assert_eq!(before, Some(Violation::BeforeHello { kind: Kind::Ping }));

    let (mut near, _) = pair();
    let again = Forged::new(Kind::Hello, elsewhere_proto::MAGIC).violates(&mut near);
    assert_eq!(again, Some(Violation::SecondHello));
}

#[test]
fn other_version_is_told_in_words() {
    let mut side: Side = Connection::new(Config::default());
    let hello = Forged { chain: 1, number: 9, ..Forged::new(Kind::Hello, elsewhere_proto::MAGIC) };

    assert_eq!(hello.violates(&mut side), Some(Violation::Version { theirs: 9, ours: 1 }));

    let said = sent(&mut side);
    assert!(said.ends_with(b"the peer speaks protocol version 9, this side speaks version 1"));
}

#[test]
fn violation_ends_the_connection_and_tells_the_peer_why() {
    let (mut near, mut far) = pair();
    let call = Make::default().on(&mut near);

    assert!(Forged::new(Kind::Pong, 1).violates(&mut near).is_some());

    assert_eq!(near.receive(&[], at(0)), Err(Violation::Over));
    assert_eq!(Make::default().try_on(&mut near), Err(elsewhere_proto::CallRefused::Closed));
    carry(&mut near, &mut far);
    let told = events(&mut far);
    assert!(matches!(&told[..], [Event::Call(_), Event::GoAway { reason: Reason::VIOLATION, .. }]));
    near.disconnect();
    assert_eq!(events(&mut near), [Event::Lost { call, token: 0, outcome: Outcome::Unknown }]);
}

#[test]
fn nothing_is_answered_after_a_violation() {
    let (mut near, mut far) = pair();
    let call = Make::default().on(&mut far);
    carry(&mut far, &mut near);
    assert!(Forged::new(Kind::Pong, 1).violates(&mut near).is_some());
    assert!(sent(&mut near).ends_with(b"a pong without ping"));

    assert_eq!(near.reply(call, LaneId(0), &mut vec![0xc0]), Err(AnswerRefused::NotOpen));

    assert!(sent(&mut near).is_empty(), "something followed the reason");
}

#[test]
fn call_ids_are_not_used_again() {
    let body = call_body(Want::Auto, 1);
    let call = |id| Forged { body: &body, ..Forged::new(Kind::Call, id) };
    let (_, mut far) = pair();

    assert_eq!(call(5).violates(&mut far), None);
    assert_eq!(call(3).violates(&mut far), None, "long messages may have let it pass");
    assert_eq!(call(5 + 1024).violates(&mut far), Some(Violation::ReusedCall { call: CallId(1029) }));

    let (_, mut far) = pair();
    assert_eq!(call(1029).violates(&mut far), None);
    far.reply(CallId(1029), LaneId(0), &mut vec![0xc0]).unwrap();
    assert_eq!(call(5).violates(&mut far), Some(Violation::ReusedCall { call: CallId(5) }));

    let (_, mut far) = pair();
    assert_eq!(call(0).violates(&mut far), Some(Violation::ReusedCall { call: CallId(0) }));
}

#[test]
fn malformed_calls_are_refused() {
    let short = Forged { body: &[0; 15], ..Forged::new(Kind::Call, 1) };
    assert_eq!(short.violates(&mut pair().1), Some(Violation::ShortCall { len: 15 }));

    let first_chunk = Forged { flags: 1, ..short };
    assert_eq!(first_chunk.violates(&mut pair().1), Some(Violation::ShortCall { len: 15 }));
}

#[test]
fn window_is_enforced_for_posts() {
    let (_, mut far) = pair();
    let body = call_body(Want::Nothing, 1);

    let refused = (1..4000).find_map(|id| Forged { body: &body, ..Forged::new(Kind::Call, id) }.violates(&mut far));

    assert_eq!(refused, Some(Violation::WindowExceeded));
    assert_eq!(far.stats().answers, 2048);
}

#[test]
fn unfinished_messages_are_limited_together() {
    let limits = Limits { max_message: 3 * CHUNK_MAX, ..Limits::default() };
    let (mut near, _) = pair_with(Config { limits, ..Config::default() });
    let body = call_body(Want::Auto, CHUNK_MAX - CallHead::LEN);
    let chunk = |id| Forged { flags: 1, body: &body, ..Forged::new(Kind::Call, id) };

    for id in 1..=3 {
        assert_eq!(chunk(id).violates(&mut near), None);
    }
    assert!(matches!(chunk(4).violates(&mut near), Some(Violation::MessageTooLarge { .. })));
}

#[test]
fn answers_belong_to_open_calls_and_come_once() {
    let reply = |id| Forged { body: &[0xc0], ..Forged::new(Kind::Reply, id) };
    let (mut near, _) = pair();
    assert_eq!(reply(1).violates(&mut near), Some(Violation::UnknownAnswer { call: CallId(1) }));

    let (mut near, _) = pair();
    let call = Make::default().on(&mut near);
    assert_eq!(reply(call.0).violates(&mut near), None);
    assert_eq!(reply(call.0).violates(&mut near), Some(Violation::UnknownAnswer { call }));
}

#[test]
fn answer_to_a_call_that_was_not_sent_whole_is_refused() {
    let (mut near, _) = pair();
    let call = Make { len: 400_000, ..Make::default() }.on(&mut near);

    let reply = Forged { body: &[0xc0], ..Forged::new(Kind::Reply, call.0) };

    assert_eq!(reply.violates(&mut near), Some(Violation::UnknownAnswer { call }));
}

#[test]
fn items_need_a_stream_and_credit() {
    let items = |id, number| Forged { number, body: &[1, 2, 3], ..Forged::new(Kind::Items, id) };
    let (mut near, _) = pair();
    let call = Make::default().on(&mut near);
    assert_eq!(items(call.0, 1).violates(&mut near), Some(Violation::NoCredit { call }));

    for (number, is_legal) in [(0, false), (2, true), (3, false)] {
        let (mut near, _) = pair();
        let call = Make { want: Want::Stream, ..Make::default() }.on(&mut near);
        near.credit(call, 2);
        assert_eq!(items(call.0, number).violates(&mut near).is_none(), is_legal);
    }
}

#[test]
fn credit_needs_a_stream_and_an_end() {
    let credit = |id, number| Forged { number, ..Forged::new(Kind::Credit, id) };
    let (mut near, mut far) = pair();
    let call = Make { want: Want::Stream, ..Make::default() }.on(&mut near);
    let other = Make::default().on(&mut near);
    carry(&mut near, &mut far);

    assert_eq!(credit(call.0, u32::MAX).violates(&mut far), None);
    assert_eq!(credit(call.0, 1).violates(&mut far), Some(Violation::BadCredit { call }));
    for (id, number, violation) in [
        (other.0, 1, Violation::BadCredit { call: other }),
        (call.0, 0, Violation::BadCredit { call }),
        (77, 1, Violation::UnknownCall { call: CallId(77) }),
        (0, 1, Violation::BadCredit { call: CallId(0) }),
    ] {
        let (mut near, mut far) = pair();
        Make { want: Want::Stream, ..Make::default() }.on(&mut near);
        Make::default().on(&mut near);
        carry(&mut near, &mut far);
        assert_eq!(credit(id, number).violates(&mut far), Some(violation));
    }
}

#[test]
fn credit_in_a_chain_needs_a_stream_and_may_grant_nothing() {
    let credit = |id, chain| Forged { chain, ..Forged::new(Kind::Credit, id) };
    let (mut near, mut far) = pair();
    let call = Make { want: Want::Stream, ..Make::default() }.on(&mut near);
    let other = Make::default().on(&mut near);
    carry(&mut near, &mut far);

    assert_eq!(credit(call.0, 5).violates(&mut far), None);
    assert_eq!(credit(other.0, 5).violates(&mut far), Some(Violation::BadCredit { call: other }));
}

#[test]
fn cancel_of_a_call_that_never_came_is_refused() {
    let (_, mut far) = pair();

    let cancel = Forged::new(Kind::Cancel, 9).violates(&mut far);

    assert_eq!(cancel, Some(Violation::UnknownCall { call: CallId(9) }));
}

#[test]
fn references_that_were_not_given_cannot_be_released() {
    let release = |object: u64, count: u32| [&object.to_le_bytes()[..], &count.to_le_bytes()].concat();
    for (given, count, is_legal) in [(1, 1, true), (1, 2, false), (2, 2, true), (0, 1, false), (1, 0, false)] {
        let (mut near, _) = pair();
        let object = if given > 0 { near.export() } else { ObjectId(7) };
        (1..given).for_each(|_| near.grant(object).unwrap());
        let body = release(object.0, count);
        let frame = Forged { number: 1, body: &body, ..Forged::new(Kind::Release, 0) };

        assert_eq!(frame.violates(&mut near).is_none(), is_legal, "{given} given, {count} released");
    }
    let bootstrap = release(0, 1);
    let frame = Forged { number: 1, body: &bootstrap, ..Forged::new(Kind::Release, 0) };
    assert_eq!(frame.violates(&mut pair().0), Some(Violation::UnknownObject { object: ObjectId::BOOTSTRAP }));
    let frame = Forged { number: 2, body: &bootstrap, ..Forged::new(Kind::Release, 0) };
    assert_eq!(frame.violates(&mut pair().0), Some(Violation::BadRelease));
}

#[test]
fn pings_are_answered_until_the_answers_cannot_leave() {
    let (mut near, _) = pair();
    let ping = Forged::new(Kind::Ping, 1).bytes();

    for _ in 0..3 {
        (0..1024).for_each(|_| near.receive(&ping, at(0)).unwrap());
        assert_eq!(sent(&mut near).len(), 1024 * ping.len());
    }
    (0..1024).for_each(|_| near.receive(&ping, at(0)).unwrap());

    assert_eq!(near.receive(&ping, at(0)), Err(Violation::PingFlood));
}

#[test]
fn call_after_close_and_close_amid_a_call_are_refused() {
    let body = call_body(Want::Auto, 1);
    let call = Forged { body: &body, ..Forged::new(Kind::Call, 1) };
    let close = Forged::new(Kind::Close, 0);

    let (_, mut far) = pair();
    assert_eq!(close.violates(&mut far), None);
    assert_eq!(call.violates(&mut far), Some(Violation::CallAfterClose { call: CallId(1) }));

    let (_, mut far) = pair();
    assert_eq!(Forged { flags: 1, ..call }.violates(&mut far), None);
    assert_eq!(close.violates(&mut far), Some(Violation::BadClose));

    let (_, mut far) = pair();
    assert_eq!(close.violates(&mut far), None);
    assert_eq!(close.violates(&mut far), Some(Violation::BadClose));
}

#[test]
fn text_of_go_away_is_text() {
    let frame = Forged { body: &[0xff], ..Forged::new(Kind::GoAway, 0) };

    assert_eq!(frame.violates(&mut pair().0), Some(Violation::BadText));
}

#[test]
fn memory_is_named_only_to_those_who_take_it() {
    let body = call_body(Want::Auto, 1);
    let call = Forged { body: &body, weight: 1, ..Forged::new(Kind::Call, 1) };
    let forget = Forged { body: &[0; 12], number: 1, ..Forged::new(Kind::Forget, 0) };

    let (_, mut far) = pair();
    assert_eq!(call.violates(&mut far), Some(Violation::BuffersNotAgreed));
    let (_, mut far) = pair();
    assert_eq!(forget.violates(&mut far), Some(Violation::BuffersNotAgreed));
    let (_, mut far) = pair_of(Config::default(), Capabilities::BUFFERS);
    assert_eq!(call.violates(&mut far), None);
    assert_eq!(forget.violates(&mut far), None);
}

#[test]
fn malformed_forgets_are_violations() {
    let entry = [0; 12];
    let unknown = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (number, body) in [(0, &[][..]), (1, &entry[..11]), (2, &entry[..]), (1, &unknown[..])] {
        let (_, mut far) = pair_of(Config::default(), Capabilities::BUFFERS);
        let forget = Forged { body, number, ..Forged::new(Kind::Forget, 0) };

        assert_eq!(forget.violates(&mut far), Some(Violation::BadForget));
    }
}

#[test]
fn peer_that_names_more_memory_than_the_window_is_cut_off() {
    let (_, mut far) = pair_of(Config::default(), Capabilities::BUFFERS);
    let body = call_body(Want::Nothing, 0);
    let post = |id| Forged { body: &body, weight: 1024, ..Forged::new(Kind::Call, id) };

    assert_eq!(post(1).violates(&mut far), None);
    assert_eq!(post(2).violates(&mut far), None);
    assert_eq!(post(3).violates(&mut far), Some(Violation::WindowExceeded));
}

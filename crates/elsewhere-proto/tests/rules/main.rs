//! What a connection does, one fact a test.
//! Owns: the facts about peers that follow the rules; `violations` has those about peers that do not, `outcomes` those
//! about calls whose connection is lost, `shortage` those about messages that there is no memory for, `window` those about
//! how many there may be. Must not know: how a connection works inside.

mod insets;
mod lending;
mod outcomes;
mod pair;
mod shortage;
mod violations;
mod window;

use elsewhere_proto::{
    AnswerRefused, CallId, CallRefused, Capabilities, ChainId, Config, ErrorKind, ErrorRecord, Event, Forgotten,
    LaneId, ObjectId, Outcome, Reason, State, Want,
};
use outcomes::outcomes;
use pair::{Make, Side, at, calls, carry, events, pair, pair_of, pair_with, sent};

const LANE: LaneId = LaneId(0);

fn nil() -> Vec<u8> {
    vec![0xc0]
}

fn post() -> Make {
    Make { want: Want::Nothing, ..Make::default() }
}

#[test]
fn slot_of_an_answered_call_is_taken_first() {
    let (mut near, mut far) = pair();
    let (first, second) = (Make::default().on(&mut near), Make::default().on(&mut near));
    carry(&mut near, &mut far);
    far.reply(first, LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    let third = Make::default().on(&mut near);

    assert_eq!((first.0, second.0, third.0), (1, 2, 1025));
}

#[test]
fn long_body_is_taken_and_short_body_is_left() {
    let (mut near, _) = pair();
    let mut short = vec![0; 100];
    near.call(LANE, 0, ChainId(0), false, None, &mut short, Some(0)).unwrap();
    let mut long = vec![0; 100_000];
    near.call(LANE, 0, ChainId(0), false, None, &mut long, Some(0)).unwrap();

    assert_eq!((short.len(), long.len()), (100, 0));
}

#[test]
fn finished_posts_are_reported_beside_other_frames() {
    let (mut near, mut far) = pair();
    let call = post().on(&mut near);
    carry(&mut near, &mut far);

    far.finish(call);
    far.ping(1);
    carry(&mut far, &mut near);

    assert_eq!(near.stats().posts, 0);
}

#[test]
fn calls_are_counted_also_when_they_are_over() {
    let (mut near, mut far) = pair();
    post().on(&mut near);
    let call = Make::default().on(&mut near);
    carry(&mut near, &mut far);
    far.reply(call, LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    assert_eq!((near.stats().calls_made, far.stats().calls_made), (2, 0));
}

#[test]
fn post_is_not_answered() {
    let (mut near, mut far) = pair();
    let call = post().on(&mut near);
    carry(&mut near, &mut far);

    assert_eq!(far.reply(call, LANE, &mut nil()), Err(AnswerRefused::NotOpen));
}

#[test]
fn message_over_the_limit_of_the_peer_is_refused() {
    let mut config = Config::default();
    config.limits.max_message = 1000;
    let (mut near, mut far) = pair_with(config);

    let refused = Make { len: 985, ..Make::default() }.try_on(&mut far);
    assert_eq!(refused, Err(CallRefused::TooLarge { len: 1001, max: 1000 }));
    let call = Make::default().on(&mut near);
    carry(&mut near, &mut far);
    let refused = far.reply(call, LANE, &mut vec![0; 1001]);
    assert_eq!(refused, Err(AnswerRefused::TooLarge { len: 1001, max: 1000 }));
    assert_eq!(far.reply(call, LANE, &mut nil()), Ok(()), "the call is still open");
}

#[test]
fn short_calls_of_other_lanes_pass_a_long_one() {
    let (mut near, mut far) = pair();
    Make { len: 600_000, ..Make::default() }.on(&mut near);
    Make { len: 1, ..Make::default() }.on(&mut near);
    Make { len: 2, lane: 1, ..Make::default() }.on(&mut near);

    carry(&mut near, &mut far);

    let lens: Vec<_> = calls(&mut far).iter().map(|incoming| incoming.body.len()).collect();
    assert_eq!(lens, [2, 600_000, 1]);
}

#[test]
fn chunks_of_long_messages_take_turns() {
    let (mut near, mut far) = pair();
    Make { len: 2_000_000, ..Make::default() }.on(&mut near);
    Make { len: 600_000, lane: 1, ..Make::default() }.on(&mut near);

    carry(&mut near, &mut far);

    let lens: Vec<_> = calls(&mut far).iter().map(|incoming| incoming.body.len()).collect();
    assert_eq!(lens, [600_000, 2_000_000]);
}

#[test]
fn short_answer_does_not_pass_a_long_one_of_its_lane() {
    let (mut near, mut far) = pair();
    for token in 0..2 {
        Make { token, ..Make::default() }.on(&mut near);
    }
    carry(&mut near, &mut far);

    far.reply(CallId(1), LANE, &mut vec![0; 600_000]).unwrap();
    far.reply(CallId(2), LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    let answered: Vec<_> = events(&mut near)
        .into_iter()
        .filter_map(|event| if let Event::Reply { token, .. } = event { Some(token) } else { None })
        .collect();
    assert_eq!(answered, [0, 1]);
}

#[test]
fn cancel_and_credit_follow_the_long_call_they_are_about() {
    let (mut near, mut far) = pair();
    let call = Make { len: 600_000, want: Want::Stream, ..Make::default() }.on(&mut near);
    near.credit(call, 3);
    near.wait_for_items(call, ChainId(9));
    near.cancel(call, true);

    carry(&mut near, &mut far);

    let told = events(&mut far);
    assert!(matches!(
        &told[..],
        [
            Event::Call(_),
            Event::Credit { n: 3, .. },
            Event::Awaited { chain: ChainId(9), .. },
            Event::Cancelled { interrupt: true, .. }
        ]
    ));
}

#[test]
fn releases_become_one_frame_and_pass_nothing() {
    let (mut near, mut far) = pair();
    let (first, second) = (far.export(), far.export());
    Make { len: 600_000, ..Make::default() }.on(&mut near);
    near.release(first, 1);
    near.release(second, 1);
    near.ping(1);

    carry(&mut near, &mut far);

    assert_eq!(calls(&mut far).len(), 1);
    assert!(far.exported(first), "the call before it may still name the object");
    far.begin(CallId(1));
    assert_eq!(events(&mut far), [Event::Released { object: first }, Event::Released { object: second }]);
}

#[test]
fn release_waits_only_for_calls_before_it() {
    let (mut near, mut far) = pair();
    let object = far.export();
    let before = Make::default().on(&mut near);
    carry(&mut near, &mut far);
    near.release(object, 1);
    carry(&mut near, &mut far);
    Make::default().on(&mut near);
    carry(&mut near, &mut far);
    assert_eq!(calls(&mut far).len(), 2);

    far.reply(before, LANE, &mut nil()).unwrap();

    assert_eq!(events(&mut far), [Event::Released { object }]);
    assert!(!far.exported(object));
}

#[test]
fn object_granted_anew_survives_the_release_that_waits() {
    let (mut near, mut far) = pair();
    let object = far.export();
    let call = Make::default().on(&mut near);
    near.release(object, 1);
    carry(&mut near, &mut far);

    far.grant(object).unwrap();
    far.reply(call, LANE, &mut nil()).unwrap();

    assert!(far.exported(object));
    near.release(object, 1);
    carry(&mut far, &mut near);
    carry(&mut near, &mut far);
    assert!(!far.exported(object));
}

#[test]
fn deadline_ends_a_call_and_its_answer_is_late() {
    let (mut near, mut far) = pair();
    let call = Make { deadline: Some(at(50)), token: 5, ..Make::default() }.on(&mut near);
    carry(&mut near, &mut far);
    assert_eq!(near.poll_timeout(), Some(at(50)));

    near.handle_timeout(at(49));
    assert_eq!(events(&mut near), []);
    near.handle_timeout(at(50));
    assert_eq!(events(&mut near), [Event::TimedOut { call, token: 5 }]);
    assert_eq!(near.poll_timeout(), None);

    carry(&mut near, &mut far);
    assert!(matches!(events(&mut far)[..], [Event::Call(_), Event::Cancelled { interrupt: false, .. }]));
    far.reply(call, LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);
    assert_eq!(events(&mut near), [late(call, 5, Some(Outcome::Finished))]);
    assert_eq!(near.stats().calls, 0);
}

/// A late answer or item, nil.
fn late(call: CallId, token: u32, outcome: Option<Outcome>) -> Event<u32> {
    Event::Late { call, token: Some(token), outcome, body: nil() }
}

#[test]
fn late_error_tells_what_is_known_of_the_call_that_was_given_up() {
    let (mut near, mut far) = pair();
    let call = Make::default().on(&mut near);
    near.cancel(call, false);
    carry(&mut near, &mut far);
    let mut record = vec![];
    ErrorRecord::plain(ErrorKind::Cancelled, Outcome::NotStarted, "in time").encode(&mut record).unwrap();

    far.fail(call, LANE, &mut record).unwrap();
    carry(&mut far, &mut near);

    let [Event::Late { outcome, token, .. }] = events(&mut near)[..] else { panic!("no late answer") };
    assert_eq!((outcome, token), (Some(Outcome::NotStarted), Some(0)));
}

#[test]
fn deadline_of_an_answered_call_wakes_nobody() {
    let (mut near, mut far) = pair();
    for millis in [10, 20, 30] {
        Make { deadline: Some(at(millis)), ..Make::default() }.on(&mut near);
    }
    carry(&mut near, &mut far);

    far.reply(CallId(1), LANE, &mut nil()).unwrap();
    far.reply(CallId(2), LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    assert_eq!(near.poll_timeout(), Some(at(30)));
}

#[test]
fn late_items_are_told_as_late() {
    let (mut near, mut far) = pair();
    let call = Make { want: Want::Stream, ..Make::default() }.on(&mut near);
    near.credit(call, 1);
    carry(&mut near, &mut far);
    near.cancel(call, false);

    far.items(call, LANE, 1, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    assert_eq!(events(&mut near), [late(call, 0, None)]);
}

/// A call on `near` that wants a stream and has been granted five items.
fn stream_of_five(near: &mut Side, far: &mut Side) -> CallId {
    let call = Make { want: Want::Stream, ..Make::default() }.on(near);
    near.credit(call, 5);
    carry(near, far);
    call
}

#[test]
fn items_that_were_not_sent_yet_become_one_frame() {
    let (mut near, mut far) = pair();
    let call = stream_of_five(&mut near, &mut far);

    far.items(call, LANE, 1, &mut vec![1]).unwrap();
    far.items(call, LANE, 2, &mut vec![2, 3]).unwrap();
    carry(&mut far, &mut near);

    assert_eq!(events(&mut near), [Event::Items { call, token: 0, count: 3, body: vec![1, 2, 3] }]);
}

#[test]
fn items_that_are_sent_in_part_are_not_added_to() {
    let (mut near, mut far) = pair();
    let call = stream_of_five(&mut near, &mut far);
    far.items(call, LANE, 1, &mut vec![1]).unwrap();
    let part = far.poll_transmit().unwrap()[..5].to_vec();
    far.transmitted(part.len());
    near.receive(&part, at(0)).unwrap();

    far.items(call, LANE, 1, &mut vec![2]).unwrap();
    carry(&mut far, &mut near);

    let items = |item| Event::Items { call, token: 0, count: 1, body: vec![item] };
    assert_eq!(events(&mut near), [items(1), items(2)]);
}

#[test]
fn items_do_not_pass_what_was_sent_between_them() {
    let (mut near, mut far) = pair();
    let first = stream_of_five(&mut near, &mut far);
    let second = stream_of_five(&mut near, &mut far);

    far.items(first, LANE, 1, &mut vec![1]).unwrap();
    far.items(second, LANE, 1, &mut vec![2]).unwrap();
    far.items(first, LANE, 1, &mut vec![3]).unwrap();
    far.items(first, LANE, 1, &mut vec![0xc0; 100_000]).unwrap();
    far.items(first, LANE, 1, &mut vec![4]).unwrap();
    carry(&mut far, &mut near);

    let items = |call, body| Event::Items { call, token: 0, count: 1, body };
    assert_eq!(
        events(&mut near),
        [
            items(first, vec![1]),
            items(second, vec![2]),
            items(first, vec![3]),
            items(first, vec![0xc0; 100_000]),
            items(first, vec![4]),
        ]
    );
}

#[test]
fn what_a_stream_is_granted_is_known_until_it_is_given_up() {
    let (mut near, mut far) = pair();
    let call = stream_of_five(&mut near, &mut far);
    let plain = Make::default().on(&mut near);
    far.items(call, LANE, 2, &mut vec![1, 2]).unwrap();
    carry(&mut near, &mut far);
    assert_eq!((far.granted(call), far.granted(plain), far.granted(CallId(99))), (Some(3), None, None));

    near.cancel(call, false);
    carry(&mut near, &mut far);

    assert_eq!(far.granted(call), None);
}

#[test]
fn all_streams_are_given_up_at_once_and_nothing_else() {
    let (mut near, mut far) = pair();
    let first = stream_of_five(&mut near, &mut far);
    let plain = Make::default().on(&mut near);
    let second = stream_of_five(&mut near, &mut far);
    events(&mut far);

    near.cancel_streams();
    near.cancel_streams();
    carry(&mut near, &mut far);

    let cancelled = |call| Event::Cancelled { call, interrupt: false };
    assert_eq!(events(&mut far), [cancelled(first), cancelled(second)]);
    far.reply(plain, LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);
    assert!(matches!(events(&mut near)[..], [Event::Reply { .. }]));
}

#[test]
fn items_beyond_credit_are_refused_and_can_be_sent_later() {
    let (mut near, mut far) = pair();
    let call = Make { want: Want::Stream, ..Make::default() }.on(&mut near);
    near.credit(call, 1);
    carry(&mut near, &mut far);

    let refused = far.items(call, LANE, 2, &mut vec![1, 2]);
    assert_eq!(refused, Err(AnswerRefused::NoCredit { count: 2, granted: 1 }));
    near.credit(call, 1);
    carry(&mut near, &mut far);

    assert_eq!(far.items(call, LANE, 2, &mut vec![1, 2]), Ok(()));
}

#[test]
fn go_away_tells_which_calls_have_not_started() {
    let (mut near, mut far) = pair();
    Make { token: 1, ..Make::default() }.on(&mut near);
    carry(&mut near, &mut far);
    let late = Make { token: 2, ..Make::default() }.on(&mut near);
    let on_its_way = sent(&mut near);
    far.go_away(Reason::SHUTDOWN, "updating");
    carry(&mut far, &mut near);

    let told = events(&mut near);
    assert!(matches!(&told[0], Event::GoAway { last: CallId(1), text, .. } if text == "updating"));
    assert_eq!(told[1], Event::Lost { call: late, token: 2, outcome: Outcome::NotStarted });
    assert_eq!(Make::default().try_on(&mut near), Err(CallRefused::Closing));
    assert_eq!((near.state(), far.state()), (State::Closing, State::Closing));

    far.receive(&on_its_way, at(0)).unwrap();
    assert!(matches!(&events(&mut far)[..], [Event::Call(_), Event::Late { call, .. }] if *call == late));
    far.reply(CallId(1), LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);
    assert!(matches!(events(&mut near)[..], [Event::Reply { token: 1, .. }]));
}

#[test]
fn close_lets_accepted_calls_finish() {
    let (mut near, mut far) = pair();
    let call = Make { len: 600_000, ..Make::default() }.on(&mut near);
    near.close();
    near.close();
    assert_eq!(Make::default().try_on(&mut near), Err(CallRefused::Closing));

    carry(&mut near, &mut far);
    assert!(matches!(events(&mut far)[..], [Event::Call(_), Event::Closing]));
    Make::default().on(&mut far);
    far.reply(call, LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    assert!(matches!(events(&mut near)[..], [Event::Call(_), Event::Reply { .. }]));
}

#[test]
fn call_whose_last_byte_was_not_taken_has_not_started() {
    for missing in [0, 1] {
        let (mut near, mut far) = pair();
        Make::default().on(&mut far);
        let len = far.poll_transmit().map_or(0, <[u8]>::len);
        far.transmitted(len - missing);
        drop(sent(&mut near));

        far.disconnect();

        let outcome = if missing == 0 { Outcome::Unknown } else { Outcome::NotStarted };
        assert_eq!(outcomes(&mut far), [(0, outcome)]);
    }
}

#[test]
fn loss_releases_every_export_and_empties_every_table() {
    let (mut near, mut far) = pair();
    let object = near.export();
    near.imported(ObjectId(9));
    Make { deadline: Some(at(9)), ..Make::default() }.on(&mut far);
    carry(&mut far, &mut near);
    events(&mut near);

    near.disconnect();

    assert_eq!(events(&mut near), [Event::Released { object }]);
    let stats = near.stats();
    assert_eq!((stats.calls, stats.answers, stats.exports, stats.imports, stats.waiting_bytes), (0, 0, 0, 0, 0));
    assert_eq!(near.reply(CallId(1), LANE, &mut nil()), Err(AnswerRefused::NotOpen));
    near.disconnect();
    assert_eq!(events(&mut near), [], "an end comes once");
}

#[test]
fn references_of_a_discarded_answer_are_given_back() {
    let (mut near, mut far) = pair();
    let object = far.export();
    let mut body = vec![];
    let head = elsewhere_proto::codec::ReferenceHead::Offer { object, class: 1, described: false };
    elsewhere_proto::codec::Writer::new(&mut body).reference(&head);

    near.discard(&body).unwrap();
    carry(&mut near, &mut far);

    assert_eq!(events(&mut far), [Event::Released { object }]);
}

#[test]
fn call_that_its_caller_gave_up_is_known_as_such_until_it_is_answered() {
    let (mut near, mut far) = pair();
    let call = Make::default().on(&mut near);
    carry(&mut near, &mut far);
    assert!(!far.is_given_up(call));

    near.cancel(call, false);
    carry(&mut near, &mut far);

    assert!(far.is_given_up(call));
    far.reply(call, LANE, &mut nil()).unwrap();
    assert!(!far.is_given_up(call));
}

#[test]
fn word_that_shared_memory_is_forgotten_passes_nothing_that_may_name_it() {
    let (mut near, mut far) = pair_of(Config::default(), Capabilities::BUFFERS);
    let mut long = vec![0; 300_000];
    near.call(LANE, 0, ChainId(0), false, None, &mut long, Some(0)).unwrap();

    near.forget(Forgotten::Shared { number: 1 });
    near.forget(Forgotten::Lent { slot: 1, generation: 1 });
    carry(&mut near, &mut far);

    let told = events(&mut far);
    assert!(matches!(
        &told[..],
        [Event::Forgotten(Forgotten::Lent { .. }), Event::Call(_), Event::Forgotten(Forgotten::Shared { .. })]
    ));
}

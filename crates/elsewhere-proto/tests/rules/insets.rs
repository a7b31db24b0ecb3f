//! Content that a call is written around is sent from where it lies, until it is taken back.
//! Owns: that the peer never sees a difference. Must not know: whose the content is.

#![expect(clippy::disallowed_types, reason = "whoever lends content has it, too")]

use std::sync::Arc;

use elsewhere_proto::{
    CallHead, CallId, CallRefused, ChainId, Config, Content, Event, Inset, Limits, ObjectId, Outcome, Reason, Want,
};

use crate::LANE;
use crate::pair::{Make, Side, at, calls, carry, events, pair, pair_with, sent};

const HEAD: &[u8] = b"before ";
const TAIL: &[u8] = b" behind";

struct Lent(Arc<Vec<u8>>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn long(len: usize) -> Arc<Vec<u8>> {
    Arc::new((0..len).map(|number| (number / 7) as u8).collect())
}

fn try_call(side: &mut Side, bytes: &Arc<Vec<u8>>) -> Result<CallId, CallRefused> {
    let mut body = vec![];
    CallHead { target: ObjectId(0), deadline: None, want: Want::Auto, steps: 0 }.write(&mut body);
    body.extend_from_slice(HEAD);
    let at = body.len();
    body.extend_from_slice(TAIL);
    let inset = Inset { at, content: Content::new(Lent(bytes.clone())) };
    let call = side.call_around(Some(inset), LANE, 0, ChainId(0), false, None, 0, &mut body, Some(0))?;
    assert_eq!(body.len(), CallHead::LEN + HEAD.len() + TAIL.len(), "the body was not left as it was");
    Ok(call)
}

fn call(side: &mut Side, bytes: &Arc<Vec<u8>>) -> CallId {
    try_call(side, bytes).unwrap()
}

fn whole(content: &[u8]) -> Vec<u8> {
    [HEAD, content, TAIL].concat()
}

/// Takes so many bytes of what there is to send.
fn take(side: &mut Side, most: usize) -> Vec<u8> {
    let mut taken = vec![];
    while taken.len() < most
        && let Some(part) = side.poll_transmit().map(<[u8]>::to_vec)
    {
        let part = &part[..part.len().min(most - taken.len())];
        side.transmitted(part.len());
        taken.extend_from_slice(part);
    }
    taken
}

#[test]
fn content_arrives_where_it_belongs() {
    for len in [1, 100, 16_384, 262_144, 262_145, 1_000_000] {
        let (mut near, mut far) = pair();
        let bytes = long(len);

        let id = call(&mut near, &bytes);
        carry(&mut near, &mut far);

        assert_eq!(near.sent_of(id), None);
        assert!(calls(&mut far)[0].body == whole(&bytes), "{len}");
    }
}

#[test]
fn content_is_lent_from_where_it_lies() {
    let (mut near, _) = pair();
    let bytes = long(600_000);
    call(&mut near, &bytes);

    let [_, lent] = near.poll_transmit_parts().unwrap();

    assert_eq!(lent.as_ptr(), bytes.as_ptr());
}

#[test]
fn rest_of_content_that_is_taken_back_anywhere_is_sent_from_the_copy() {
    let bytes = long(600_000);
    for taken in [0, 10, 32, 40, 300, 20_000, 262_200, 262_300, 500_000, 599_000, 600_050, 600_110] {
        let (mut near, mut far) = pair();
        let id = call(&mut near, &bytes);
        let mut stream = take(&mut near, taken);

        let from = near.sent_of(id);
        let rest = from.map_or(vec![], |from| bytes[from..].to_vec());
        stream.extend(take(&mut near, 1000)); // while it was copied
        near.keep(id, from.unwrap_or(bytes.len()), rest);

        assert_eq!(Arc::strong_count(&bytes), 1, "{taken}: somebody still has it");
        stream.extend(sent(&mut near));
        far.receive(&stream, at(0)).unwrap();
        assert!(calls(&mut far)[0].body == whole(&bytes), "{taken}");
    }
}

#[test]
fn content_that_was_sent_is_let_go_of_before_its_message_is() {
    let (mut near, _) = pair();
    let bytes = long(600_000);
    let id = call(&mut near, &bytes);
    while near.sent_of(id).is_some() {
        take(&mut near, 1000);
    }

    near.keep(id, bytes.len(), vec![]);

    assert_eq!(Arc::strong_count(&bytes), 1);
}

#[test]
fn cancel_follows_a_call_whose_content_is_taken_back() {
    let (mut near, mut far) = pair();
    let bytes = long(600_000);
    let id = call(&mut near, &bytes);
    let mut stream = take(&mut near, 300_000);

    near.cancel(id, false);
    let from = near.sent_of(id).unwrap();
    near.keep(id, from, bytes[from..].to_vec());
    stream.extend(sent(&mut near));

    far.receive(&stream, at(0)).unwrap();
    let seen = events(&mut far);
    assert!(matches!(&seen[..], [Event::Call(one), Event::Cancelled { call, .. }] if one.call == id && *call == id));
}

#[test]
fn short_calls_of_other_lanes_pass_content() {
    let (mut near, mut far) = pair();
    let id = call(&mut near, &long(2_000_000));
    let mut stream = take(&mut near, 1000);
    let short = Make { lane: 1, ..Make::default() }.on(&mut near);

    stream.extend(sent(&mut near));

    far.receive(&stream, at(0)).unwrap();
    assert_eq!(calls(&mut far).iter().map(|one| one.call).collect::<Vec<_>>(), [short, id]);
}

#[test]
fn content_of_a_call_that_the_peer_does_not_take_is_let_go_of() {
    let (mut near, mut far) = pair();
    let bytes = long(600_000);
    far.go_away(Reason(0), "enough");
    let id = call(&mut near, &bytes);

    carry(&mut far, &mut near);

    assert_eq!(near.sent_of(id), None);
    assert_eq!(Arc::strong_count(&bytes), 1);
    let lost =
        |event: &Event<u32>| matches!(event, Event::Lost { call, outcome: Outcome::NotStarted, .. } if *call == id);
    assert!(events(&mut near).iter().any(lost));
}

#[test]
fn content_counts_against_the_longest_message() {
    let limits = Limits { max_message: 500_000, ..Limits::default() };
    let (mut near, _) = pair_with(Config { limits, ..Config::default() });

    let refused = try_call(&mut near, &long(500_000)).unwrap_err();

    let len = CallHead::LEN + HEAD.len() + 500_000 + TAIL.len();
    assert_eq!(refused, CallRefused::TooLarge { len, max: 500_000 });
    assert_eq!(near.transmit_len(), 0);
}

#[test]
fn stream_that_was_broken_reads_no_content() {
    let (mut near, _) = pair();
    let bytes = long(600_000);
    let id = call(&mut near, &bytes);
    take(&mut near, 1000);

    near.receive(&[0xff; 64], at(0)).unwrap_err();
    near.keep(id, 0, bytes.to_vec());

    assert_eq!(Arc::strong_count(&bytes), 1);
}

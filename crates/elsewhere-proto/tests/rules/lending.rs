//! Long messages are sent from where they lie.
//! Owns: what is lent to who sends, and that the order of the bytes is the same. Must not know: who sends.

use elsewhere_proto::{CHUNK_MAX, CallHead, ChainId, HEADER_LEN, Kind, ObjectId, Reason, Want};

use crate::LANE;
use crate::pair::{Make, Side, at, calls, pair, sent};

fn take(side: &mut Side, most: usize) -> Vec<u8> {
    let taken: Vec<u8> = side
        .poll_transmit_parts()
        .map_or_else(Vec::new, |parts| parts.iter().flat_map(|part| part.iter()).copied().take(most).collect());
    side.transmitted(taken.len());
    taken
}

#[test]
fn long_body_is_lent_from_where_the_caller_wrote_it() {
    let (mut near, _) = pair();
    let mut body = vec![];
    CallHead { target: ObjectId(0), deadline: None, want: Want::Auto, steps: 0 }.write(&mut body);
    body.resize(600_000, 7);
    let start = body.as_ptr();

    near.call(LANE, 0, ChainId(0), false, None, &mut body, Some(0)).unwrap();

    let [header, lent] = near.poll_transmit_parts().unwrap();
    assert_eq!((header.len(), lent.len(), lent.as_ptr()), (HEADER_LEN, CHUNK_MAX, start));
}

#[test]
fn what_comes_while_a_part_is_lent_follows_it() {
    let (mut near, mut far) = pair();
    Make { len: 600_000, ..Make::default() }.on(&mut near);
    let mut bytes = take(&mut near, 1000);

    (1..4).for_each(|lane| _ = Make { len: 10, lane, ..Make::default() }.on(&mut near));
    bytes.extend(sent(&mut near));

    far.receive(&bytes, at(0)).unwrap();
    let lens: Vec<_> = calls(&mut far).iter().map(|incoming| incoming.body.len()).collect();
    assert_eq!(lens, [10, 10, 10, 600_000]);
}

#[test]
fn stream_is_the_same_however_little_is_taken_at_a_time() {
    for most in [1, 31, 33, 4096, 100_000, 300_000] {
        let (mut near, mut far) = pair();
        Make { len: 300_000, ..Make::default() }.on(&mut near);
        Make { len: 70_000, lane: 1, ..Make::default() }.on(&mut near);

        while let bytes = take(&mut near, most)
            && !bytes.is_empty()
        {
            far.receive(&bytes, at(0)).unwrap();
        }

        let lens: Vec<_> = calls(&mut far).iter().map(|incoming| incoming.body.len()).collect();
        assert_eq!(lens, [70_000, 300_000], "{most} bytes at a time");
    }
}

#[test]
fn calls_that_the_peer_refuses_leave_what_is_lent_to_its_end() {
    let (mut near, mut far) = pair();
    Make { len: 600_000, ..Make::default() }.on(&mut near);
    let begun = take(&mut near, 1000);
    Make { len: 600_000, ..Make::default() }.on(&mut near);
    far.go_away(Reason::SHUTDOWN, "enough");
    near.receive(&sent(&mut far), at(0)).unwrap();

    let rest = sent(&mut near);

    assert_eq!(begun.len() + rest.len(), CallHead::LEN + 600_000 + 3 * HEADER_LEN);
}

#[test]
fn frame_that_was_begun_is_sent_to_its_end_after_a_violation() {
    let (mut near, _) = pair();
    Make { len: 600_000, ..Make::default() }.on(&mut near);
    let begun = take(&mut near, 1000);

    near.receive(&[0xff; HEADER_LEN], at(0)).unwrap_err();

    let rest = sent(&mut near);
    let go_away = rest.get(HEADER_LEN + CHUNK_MAX - begun.len()..).unwrap();
    assert!(go_away.len() > HEADER_LEN && go_away[4] == Kind::GoAway.code());
}

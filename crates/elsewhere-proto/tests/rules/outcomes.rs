//! What is known of calls whose connection is lost, one fact a test.
//! Owns: the facts about outcomes. Must not know: how a connection works inside.

use elsewhere_proto::{CallId, Capabilities, Config, ErrorKind, ErrorRecord, Event, LaneId, Outcome, Want};

use super::{LANE, nil};
use crate::pair::{Make, Side, carry, events, pair, pair_of};

pub(crate) fn outcomes(side: &mut Side) -> Vec<(u32, Outcome)> {
    let lost = |event| if let Event::Lost { token, outcome, .. } = event { Some((token, outcome)) } else { None };
    events(side).into_iter().filter_map(lost).collect()
}

#[test]
fn calls_behind_the_running_one_of_a_dead_serial_host_have_not_started() {
    let (mut near, mut far) = pair();
    for token in 0..4 {
        Make { token, chain: u64::from(token) + 1, ..Make::default() }.on(&mut near);
    }
    carry(&mut near, &mut far);
    far.reply(CallId(1), LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    near.disconnect();

    let expected = [(1, Outcome::Unknown), (2, Outcome::NotStarted), (3, Outcome::NotStarted)];
    assert_eq!(outcomes(&mut near), expected);
}

#[test]
fn calls_behind_the_first_open_one_of_their_lane_have_not_started() {
    let (mut near, mut far) = pair_of(Config::default(), Capabilities::LANES);
    for (token, lane) in [(0, 1), (1, 2), (2, 1), (3, 2), (4, 1)] {
        Make { token, lane, chain: u64::from(token) + 1, ..Make::default() }.on(&mut near);
    }
    carry(&mut near, &mut far);
    far.reply(CallId(1), LaneId(1), &mut nil()).unwrap();
    carry(&mut far, &mut near);

    near.disconnect();

    let (unknown, not_started) = (Outcome::Unknown, Outcome::NotStarted);
    assert_eq!(outcomes(&mut near), [(1, unknown), (2, unknown), (3, not_started), (4, not_started)]);
}

#[test]
fn nothing_is_claimed_of_a_peer_that_runs_calls_in_any_order() {
    let (mut near, mut far) = pair_of(Config::default(), Capabilities::default());
    (0..2).for_each(|token| _ = Make { token, ..Make::default() }.on(&mut near));
    carry(&mut near, &mut far);

    near.disconnect();

    assert_eq!(outcomes(&mut near), [(0, Outcome::Unknown), (1, Outcome::Unknown)]);
}

#[test]
fn nothing_is_claimed_of_calls_that_may_run_inside_another() {
    let (mut near, mut far) = pair();
    for (token, chain, nested) in [(0, 7, false), (1, 8, false), (2, 7, false), (3, 9, true)] {
        Make { token, chain, nested, ..Make::default() }.on(&mut near);
    }
    carry(&mut near, &mut far);

    near.disconnect();

    let unknown = Outcome::Unknown;
    assert_eq!(outcomes(&mut near), [(0, unknown), (1, Outcome::NotStarted), (2, unknown), (3, unknown)]);
}

#[test]
fn open_stream_is_not_taken_for_the_running_call() {
    let (mut near, mut far) = pair();
    Make { want: Want::Stream, ..Make::default() }.on(&mut near);
    (1..3).for_each(|token| _ = Make { token, ..Make::default() }.on(&mut near));
    carry(&mut near, &mut far);

    near.disconnect();

    let expected = [(0, Outcome::Unknown), (1, Outcome::Unknown), (2, Outcome::NotStarted)];
    assert_eq!(outcomes(&mut near), expected);
}

#[test]
fn call_refused_before_it_began_does_not_hide_the_running_one() {
    let (mut near, mut far) = pair();
    (0..3).for_each(|token| _ = Make { token, ..Make::default() }.on(&mut near));
    carry(&mut near, &mut far);
    let mut body = vec![];
    ErrorRecord::plain(ErrorKind::Cancelled, Outcome::NotStarted, "").encode(&mut body).unwrap();
    far.fail(CallId(3), LANE, &mut body).unwrap();
    carry(&mut far, &mut near);

    near.disconnect();

    assert_eq!(outcomes(&mut near), [(0, Outcome::Unknown), (1, Outcome::NotStarted)]);
}

#[test]
fn abandoned_peer_may_go_on_with_all_it_got() {
    let (mut near, mut far) = pair();
    (0..2).for_each(|token| _ = Make { token, ..Make::default() }.on(&mut near));
    carry(&mut near, &mut far);
    Make { token: 2, ..Make::default() }.on(&mut near);

    near.abandon();

    let expected = [(0, Outcome::Unknown), (1, Outcome::Unknown), (2, Outcome::NotStarted)];
    assert_eq!(outcomes(&mut near), expected);
}

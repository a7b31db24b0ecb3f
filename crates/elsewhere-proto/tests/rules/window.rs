//! How many calls and bytes may be unanswered, and what goes on beside them.
//! Owns: the facts about the window. Must not know: how it is counted.

use elsewhere_proto::{
    CallHead, CallId, CallRefused, Capabilities, ChainId, Config, ObjectId, WINDOW_BYTES, WINDOW_CALLS, Want,
};

use super::pair::{Make, Side, calls, carry, pair, pair_of, sent};
use super::{LANE, nil, post};

/// A call that names memory of this weight.
fn weigh(side: &mut Side, want: Want, weight: u16) -> Result<CallId, CallRefused> {
    let mut body = vec![];
    CallHead { target: ObjectId(0), deadline: None, want, steps: 0 }.write(&mut body);
    side.call_around(None, LANE, 0, ChainId(0), false, None, weight, &mut body, Some(0))
}

#[test]
fn window_of_calls_fills_and_empties() {
    let (mut near, mut far) = pair();
    let first = Make::default().on(&mut near);
    (1..WINDOW_CALLS).for_each(|_| _ = Make::default().on(&mut near));
    assert_eq!(Make::default().try_on(&mut near), Err(CallRefused::WindowFull));
    assert!(!near.has_room(0));
    carry(&mut near, &mut far);

    far.reply(first, LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    assert!(near.has_room(WINDOW_BYTES));
    assert_eq!(Make::default().on(&mut near), CallId(1025));
}

#[test]
fn window_of_bytes_lets_one_call_exceed_it() {
    let (mut near, _) = pair();
    Make { len: WINDOW_BYTES - 1, ..Make::default() }.on(&mut near);
    Make { len: 10 << 20, lane: 1, ..Make::default() }.on(&mut near);

    assert_eq!(Make { len: 65_536, lane: 2, ..Make::default() }.try_on(&mut near), Err(CallRefused::WindowFull));
    assert!(!near.has_room(65_536));
}

#[test]
fn short_calls_and_posts_go_on_beside_one_that_fills_the_window() {
    let (mut near, mut far) = pair_of(Config::default(), Capabilities::BUFFERS);
    weigh(&mut near, Want::Auto, u16::MAX).unwrap();
    weigh(&mut near, Want::Auto, 1).unwrap_err();
    weigh(&mut near, Want::Nothing, 1).unwrap_err();
    assert!(near.has_room(65_535));

    let short: Vec<CallId> = (0..900).map(|_| Make { len: 65_535, lane: 1, ..Make::default() }.on(&mut near)).collect();
    let post = Make { want: Want::Nothing, lane: 2, ..Make::default() }.on(&mut near);
    carry(&mut near, &mut far);
    let late = Make { lane: 3, ..Make::default() }.on(&mut near);
    carry(&mut near, &mut far);

    let came: Vec<CallId> = calls(&mut far).iter().map(|incoming| incoming.call).collect();
    assert!(short.iter().chain([&post, &late]).all(|call| came.contains(call)));
}

#[test]
fn posts_fill_their_window_until_they_are_reported() {
    let (mut near, mut far) = pair();
    (0..WINDOW_CALLS).for_each(|_| _ = post().on(&mut near));
    assert_eq!(post().try_on(&mut near), Err(CallRefused::WindowFull));
    carry(&mut near, &mut far);

    let posts = calls(&mut far);
    posts[..255].iter().for_each(|incoming| assert!(far.finish(incoming.call)));
    assert_eq!(sent(&mut far), [], "a few finished posts wake nobody");
    assert!(far.finish(posts[255].call));
    carry(&mut far, &mut near);

    assert_eq!(near.stats().posts, WINDOW_CALLS - 256);
    assert!(near.has_room(WINDOW_BYTES));
    assert!(!far.finish(posts[0].call), "a post is finished once");
}

#[test]
fn memory_that_calls_name_counts_against_the_window() {
    let (mut near, mut far) = pair_of(Config::default(), Capabilities::BUFFERS);
    let call = weigh(&mut near, Want::Auto, 1000).unwrap();
    weigh(&mut near, Want::Auto, u16::MAX).unwrap();
    assert_eq!(weigh(&mut near, Want::Auto, 1), Err(CallRefused::WindowFull));
    carry(&mut near, &mut far);

    far.reply(CallId(call.0 + 1), LANE, &mut nil()).unwrap();
    carry(&mut far, &mut near);

    assert!(near.has_room(WINDOW_BYTES));
}

#[test]
fn memory_that_posts_name_counts_until_they_are_finished() {
    let (mut near, mut far) = pair_of(Config::default(), Capabilities::BUFFERS);
    let post = weigh(&mut near, Want::Nothing, 1024).unwrap();
    assert_eq!(weigh(&mut near, Want::Nothing, 1), Err(CallRefused::WindowFull));
    carry(&mut near, &mut far);

    assert!(far.finish(post));
    carry(&mut far, &mut near);

    assert!(near.has_room(WINDOW_BYTES));
}

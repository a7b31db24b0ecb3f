//! Any bytes, cut anywhere, into a connection that has calls, streams and objects.
//! Owns: the claim that cutting changes nothing and nothing panics. Must not know: what the bytes mean.
//!
//! Input: one byte for the first cuts, one that says whether a hello goes before, then the stream.

use elsewhere_proto::{CallHead, ChainId, Config, Connection, Event, LaneId, ObjectId, Timestamp, Violation, Want};

fn prepared(has_hello: bool) -> Connection<u8> {
    let mut connection = Connection::new(Config::default());
    if has_hello {
        let mut other: Connection<u8> = Connection::new(Config::default());
        let hello = other.poll_transmit().map(<[u8]>::to_vec).unwrap_or_default();
        connection.receive(&hello, Timestamp::default()).expect("a hello of ours is accepted");
    }
    for want in [Want::Auto, Want::Stream, Want::Nothing] {
        let mut body = vec![];
        CallHead { target: ObjectId(0), deadline: None, want, steps: 0 }.write(&mut body);
        let call = connection.call(LaneId(0), 0, ChainId(1), false, None, &mut body, Some(0));
        connection.credit(call.expect("the window is empty"), 3);
    }
    connection.export();
    connection.ping(1);
    while let Some(count) = connection.poll_transmit().map(<[u8]>::len) {
        connection.transmitted(count);
    }
    connection
}

fn run<'a>(
    has_hello: bool,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Event<u8>>, Option<Violation>, Connection<u8>) {
    let mut connection = prepared(has_hello);
    let mut violation = None;
    for piece in pieces {
        violation = connection.receive(piece, Timestamp::default()).err();
        if violation.is_some() {
            break;
        }
    }
    let events = std::iter::from_fn(|| connection.poll_event()).collect();
    (events, violation, connection)
}

pub(crate) fn check(input: &[u8]) {
    let [cut, has_hello, stream @ ..] = input else { return };
    let has_hello = has_hello % 4 != 0;
    let size = usize::from(*cut) + 1;

    let (events, violation, mut connection) = run(has_hello, stream.chunks(size));
    let (whole_events, whole_violation, _) = run(has_hello, std::iter::once(stream));

    assert_eq!(events, whole_events);
    assert_eq!(violation, whole_violation);
    connection.disconnect();
    while connection.poll_event().is_some() {}
    let stats = connection.stats();
    assert_eq!((stats.calls, stats.answers, stats.exports, stats.imports), (0, 0, 0, 0));
}

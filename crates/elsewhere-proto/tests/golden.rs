//! The wire, byte for byte: every kind of frame and every kind of value as a file in `tests/golden/`.
//! Owns: the comparison. Must not know: why a byte is what it is; that stands in the crate's header.
//!
//! After a deliberate change of the wire: `ELSEWHERE_GOLDEN=write cargo test -p elsewhere-proto --test golden`.

#![expect(clippy::disallowed_methods, reason = "the wall is around the crate; its tests read files")]

use std::path::PathBuf;
use std::time::Duration;

use elsewhere_proto::codec::{BufferForm, BufferHead, BufferPlace, Flavour, Limits, ReferenceHead, Value, ViewHead};
use elsewhere_proto::{
    CHUNK_MAX, CallHead, CallId, Capabilities, ChainId, Config, Connection, ErrorKind, ErrorRecord, Event, Forgotten,
    HEADER_LEN, Hello, LaneId, Links, ObjectId, Op, Outcome, Raised, Reason, RelatedError, Timestamp, Want,
};

/// Compares `bytes` with the file of this name, or writes it where that is asked for.
fn check(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.bin"));
    if std::env::var_os("ELSEWHERE_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap_or_default();
    assert!(golden == bytes, "{name} has changed on the wire:\n was {golden:02x?}\n is  {bytes:02x?}");
}

fn list(values: impl IntoIterator<Item = i64>) -> Vec<Value> {
    values.into_iter().map(Value::Int).collect()
}

fn values() -> Vec<(&'static str, Value)> {
    let offer = |described| ReferenceHead::Offer { object: ObjectId(7), class: 3, described };
    let descriptor = Value::List(vec!["kennel".into(), "Dog".into(), 0.into(), Value::List(vec!["bark".into()])]);
    let place = ReferenceHead::Place { object: ObjectId(9), steps: 2, values: 4 };
    let steps = vec![Op::Attribute.code().into(), "tail".into(), Op::Item.code().into(), 0.into()];
    vec![
        ("nil", Value::Nil),
        ("booleans", Value::List(vec![false.into(), true.into()])),
        ("integers", Value::List(list(integers()))),
        ("unsigned", Value::Unsigned(u64::MAX)),
        ("big_int", Value::BigInt(vec![0, 0, 0, 0, 0, 0, 0, 0, 1])),
        ("big_int_negative", Value::BigInt(vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xfe])),
        ("floats", Value::List([0.5, -0.0, f64::INFINITY, f64::MIN_POSITIVE].map(Value::Float).to_vec())),
        ("complex", Value::Complex(1.0, -2.5)),
        ("strings", Value::List([0, 31, 32, 255, 256].map(|len| "a".repeat(len).into()).to_vec())),
        ("string_two_bytes", "é".into()),
        ("string_long", "é".repeat(32_768).into()),
        ("bytes", Value::List([0, 255, 256].map(|len| Value::Bytes(vec![7; len])).to_vec())),
        ("bytes_long", Value::Bytes(vec![7; 65_536])),
        ("byte_arrays", Value::List([0, 1, 2, 3, 4, 8, 16, 256].map(|len| Value::ByteArray(vec![7; len])).to_vec())),
        ("memory_view", view()),
        ("array", Value::Array { typecode: b'i', data: vec![1, 0, 0, 0, 2, 0, 0, 0] }),
        ("buffers", Value::List(buffers())),
        ("lists", Value::List(vec![Value::List(list(0..15)), Value::List(list(0..16))])),
        ("list_long", Value::List(vec![Value::Nil; 65_536])),
        ("tuples", Value::List(vec![Value::Tuple(vec![]), Value::Tuple(list(0..255)), Value::Tuple(list(0..256))])),
        ("set", Value::Set(list(1..4))),
        ("frozen_set", Value::FrozenSet(list(1..4))),
        ("maps", Value::List([1, 15, 16].map(|len| Value::Map(pairs(len))).to_vec())),
        ("map_long", Value::Map(pairs(65_536))),
        ("reference_offer", Value::Reference(offer(false), vec![])),
        ("reference_offer_described", Value::Reference(offer(true), vec![descriptor])),
        ("reference_home", ReferenceHead::Home { object: ObjectId(1 << 40) }.into()),
        ("reference_place", Value::Reference(place, steps)),
        ("reference_receiver", ReferenceHead::Receiver.into()),
        ("reference_promise", ReferenceHead::Promise { call: CallId(5) }.into()),
        ("pickle", pickle()),
        ("grid", grid()),
        ("instance", instance()),
        ("instance_with_its_class", instance_with_its_class()),
    ]
}

fn integers() -> Vec<i64> {
    let edges = [0, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, i64::MAX];
    let below = [-1, -32, -33, -128, -129, -32_768, -32_769, -2_147_483_648, -2_147_483_649, i64::MIN];
    [edges, below].concat()
}

fn pairs(len: i64) -> Vec<(Value, Value)> {
    (0..len).map(|key| (Value::Int(key), Value::Nil)).collect()
}

fn view() -> Value {
    let head = ViewHead { read_only: true, format: "h".to_owned(), shape: vec![2, 3] };
    Value::View { head, data: (0..12).collect() }
}

fn buffers() -> Vec<Value> {
    let lent = BufferPlace::Lent { slot: 3, generation: 9 };
    let shared = BufferPlace::Shared { number: 5, offset: 16 };
    let grid = BufferForm::Grid { fortran: true, format: "d".to_owned(), shape: vec![4, 4096] };
    let view = BufferForm::View { format: "d".to_owned(), shape: vec![2, 8192] };
    [
        (lent, false, BufferForm::Raw),
        (lent, true, BufferForm::Bytes),
        (lent, false, BufferForm::ByteArray),
        (shared, true, view),
        (lent, false, BufferForm::Array { typecode: b'd' }),
        (lent, false, grid),
    ]
    .map(|(place, read_only, form)| Value::Buffer(BufferHead { place, len: 131_072, read_only, form }))
    .to_vec()
}

fn grid() -> Value {
    let head = ViewHead { read_only: false, format: "d".to_owned(), shape: vec![2, 1] };
    Value::Grid { head, fortran: true, data: vec![7; 16] }
}

fn instance() -> Value {
    Value::Instance {
        class: "kennel".to_owned(),
        of: Box::new("Dog.Tag".into()),
        attributes: vec![("name".to_owned(), "rex".into()), ("number".to_owned(), 7_i64.into())],
    }
}

fn instance_with_its_class() -> Value {
    Value::Instance {
        class: "6fb0a3".to_owned(),
        of: Box::new(Value::Bytes(b"\x80\x05.".to_vec())),
        attributes: vec![("name".to_owned(), "rex".into())],
    }
}

fn pickle() -> Value {
    Value::Pickle {
        flavour: Flavour::Cloudpickle,
        references: vec![ReferenceHead::Home { object: ObjectId(4) }.into()],
        buffers: vec![Value::Bytes(vec![1]), Value::ByteArray(vec![2])],
        data: Box::new(Value::Bytes(b"\x80\x05N.".to_vec())),
    }
}

#[test]
fn values_are_written_and_read_byte_for_byte() {
    for (name, value) in values() {
        let mut bytes = vec![];
        value.encode(&mut bytes, Limits::default()).unwrap();

        // Of the long ones only the beginning differs from the short ones.
        check(&format!("value_{name}"), bytes.get(..if bytes.len() > 4096 { 16 } else { bytes.len() }).unwrap());
        assert_eq!(Value::decode(&bytes, Limits::default()), Ok(value), "{name}");
    }
}

#[test]
fn error_record_is_written_and_read_byte_for_byte() {
    let record = ErrorRecord {
        raised: Raised {
            module: "kennel".to_owned(),
            qualname: "Bite".to_owned(),
            bases: vec!["ValueError".to_owned()],
            message: "ouch".to_owned(),
            traceback: "Traceback".to_owned(),
            payload: vec![0xc0],
            notes: vec!["a note".to_owned()],
        },
        culprit: Some("result[0]".to_owned()),
        ..ErrorRecord::plain(ErrorKind::Raised, Outcome::Finished, "")
    };
    let mut bytes = vec![];
    record.encode(&mut bytes).unwrap();

    check("error_record", &bytes);
    assert_eq!(ErrorRecord::decode(&bytes, Limits::default()), Ok(record));
}

#[test]
fn error_record_with_a_cause_is_written_and_read_byte_for_byte() {
    let raised = Raised {
        module: "builtins".to_owned(),
        qualname: "KeyError".to_owned(),
        bases: vec!["LookupError".to_owned()],
        message: "'bone'".to_owned(),
        payload: vec![0xc0],
        ..Raised::default()
    };
    let cause = RelatedError { raised, links: Links::default() };
    let record = ErrorRecord {
        links: Links { cause: Some(1), context: Some(1), suppresses_context: true, members: vec![] },
        related: vec![cause],
        ..ErrorRecord::plain(ErrorKind::Raised, Outcome::Finished, "ouch")
    };
    let mut bytes = vec![];
    record.encode(&mut bytes).unwrap();

    check("error_record_with_a_cause", &bytes);
    assert_eq!(ErrorRecord::decode(&bytes, Limits::default()), Ok(record));
}

/// Two peers; each operation gives the frames that it makes and the events that they cause.
struct Pair {
    near: Connection<u8>,
    far: Connection<u8>,
}

fn config() -> Config {
    let hello = Hello {
        capabilities: Capabilities::CHUNKS.with(Capabilities::SERIAL),
        pid: 4711,
        python: "3.11.7".to_owned(),
        implementation: "elsewhere 0.1.0".to_owned(),
        ..Hello::default()
    };
    Config { hello, ..Config::default() }
}

fn drain(connection: &mut Connection<u8>) -> Vec<u8> {
    let mut bytes = vec![];
    while let Some(part) = connection.poll_transmit().map(<[u8]>::to_vec) {
        connection.transmitted(part.len());
        bytes.extend(part);
    }
    bytes
}

fn feed(connection: &mut Connection<u8>, bytes: &[u8]) -> Vec<Event<u8>> {
    connection.receive(bytes, Timestamp::default()).unwrap();
    std::iter::from_fn(|| connection.poll_event()).collect()
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { near: Connection::new(config()), far: Connection::new(config()) };
        let (near, far) = (drain(&mut pair.near), drain(&mut pair.far));
        check("frame_hello", &near);
        let events = feed(&mut pair.far, &near);
        feed(&mut pair.near, &far);
        assert!(matches!(&events[..], [Event::Established(hello)] if hello.pid == 4711));
        pair
    }

    /// The far side takes what is lent and shared.
    fn that_takes_buffers() -> Self {
        let mut far = config();
        far.hello.capabilities = far.hello.capabilities.with(Capabilities::BUFFERS);
        let mut pair = Self { near: Connection::new(config()), far: Connection::new(far) };
        let (near, far) = (drain(&mut pair.near), drain(&mut pair.far));
        feed(&mut pair.far, &near);
        feed(&mut pair.near, &far);
        pair
    }

    fn pass_from_near(&mut self, name: &str) -> Vec<Event<u8>> {
        let bytes = drain(&mut self.near);
        check(name, &bytes);
        feed(&mut self.far, &bytes)
    }

    fn pass_from_far(&mut self, name: &str) -> Vec<Event<u8>> {
        let bytes = drain(&mut self.far);
        check(name, &bytes);
        feed(&mut self.near, &bytes)
    }

    fn call(&mut self, want: Want, padding: usize) -> CallId {
        let mut body = vec![];
        let deadline = Some(Duration::from_millis(1500));
        CallHead { target: ObjectId(2), deadline, want, steps: 2 }.write(&mut body);
        let steps = [Op::Attribute.code().into(), "bark".into(), Op::Call.code().into()];
        let arguments = [Value::List(vec![vec![1; padding].into()]), Value::Map(vec![])];
        for value in steps.iter().chain(&arguments) {
            value.encode(&mut body, Limits::default()).unwrap();
        }
        self.near.call(LaneId(3), 8, ChainId(77), false, None, &mut body, Some(1)).unwrap()
    }
}

#[test]
fn frames_of_a_call_are_written_and_read_byte_for_byte() {
    let mut pair = Pair::new();
    let call = pair.call(Want::Auto, 1);
    let events = pair.pass_from_near("frame_call");
    let [Event::Call(incoming)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((incoming.call, incoming.lane, incoming.number, incoming.chain), (call, LaneId(3), 8, ChainId(77)));
    assert_eq!(incoming.head.deadline, Some(Duration::from_millis(1500)));

    pair.near.cancel(call, true);
    assert_eq!(pair.pass_from_near("frame_cancel"), [Event::Cancelled { call, interrupt: true }]);

    pair.far.reply(call, LaneId(3), &mut vec![0xc3]).unwrap();
    assert_eq!(
        pair.pass_from_far("frame_reply"),
        [Event::Late { call, token: Some(1), outcome: Some(Outcome::Finished), body: vec![0xc3] }]
    );

    let call = pair.call(Want::Value, 1);
    assert_eq!(call.0, 1025, "the slot that became free is taken first");
}

#[test]
fn error_frame_is_written_and_read_byte_for_byte() {
    let mut pair = Pair::new();
    let call = pair.call(Want::Auto, 1);
    pair.pass_from_near("frame_call");
    let mut body = vec![];
    ErrorRecord::plain(ErrorKind::Gone, Outcome::NotStarted, "gone").encode(&mut body).unwrap();

    pair.far.fail(call, LaneId(3), &mut body.clone()).unwrap();

    assert_eq!(pair.pass_from_far("frame_error"), [Event::Failed { call, token: 1, body }]);
}

#[test]
fn frames_of_a_stream_are_written_and_read_byte_for_byte() {
    let mut pair = Pair::new();
    let call = pair.call(Want::Stream, 1);
    pair.near.credit(call, 2);
    let events = pair.pass_from_near("frames_stream");
    assert!(matches!(&events[..], [Event::Call(_), Event::Credit { n: 2, .. }]));

    pair.far.items(call, LaneId(3), 2, &mut vec![1, 2]).unwrap();
    assert_eq!(pair.pass_from_far("frame_items"), [Event::Items { call, token: 1, count: 2, body: vec![1, 2] }]);
}

#[test]
fn frame_of_a_wait_for_items_is_written_and_read_byte_for_byte() {
    let mut pair = Pair::new();
    let call = pair.call(Want::Stream, 1);
    pair.pass_from_near("frame_call_of_a_stream");

    pair.near.wait_for_items(call, ChainId(0x0102_0304_0506_0708));

    let events = pair.pass_from_near("frame_credit_in_a_chain");
    assert!(matches!(events[..], [Event::Awaited { chain: ChainId(0x0102_0304_0506_0708), .. }]));
}

#[test]
fn frames_of_posts_are_written_and_read_byte_for_byte() {
    let mut pair = Pair::new();
    let call = pair.call(Want::Nothing, 1);
    assert!(matches!(&pair.pass_from_near("frame_post")[..], [Event::Call(_)]));

    assert!(pair.far.finish(call));
    pair.far.ping(3);
    assert_eq!(pair.pass_from_far("frames_ping_and_finished_post"), []);
    assert_eq!(pair.near.stats().posts, 0);
    assert_eq!(pair.pass_from_near("frame_pong"), [Event::Pong { token: 3 }]);
}

#[test]
fn call_with_buffers_is_written_and_read_byte_for_byte() {
    let mut pair = Pair::that_takes_buffers();
    let mut body = vec![];
    CallHead { target: ObjectId(2), deadline: None, want: Want::Auto, steps: 0 }.write(&mut body);

    pair.near.call_around(None, LaneId(3), 8, ChainId(77), false, None, 0x0102, &mut body, Some(1)).unwrap();

    assert!(matches!(&pair.pass_from_near("frame_call_with_buffers")[..], [Event::Call(_)]));
}

#[test]
fn frames_of_forgotten_memory_are_written_and_read_byte_for_byte() {
    let mut pair = Pair::that_takes_buffers();
    let forgotten = [
        Forgotten::Lent { slot: 1, generation: 2 },
        Forgotten::Shared { number: 0x0102_0304_0506_0708 },
        Forgotten::Withheld { slot: 3, generation: 4 },
        Forgotten::Unmapped { number: 5 },
    ];

    forgotten.into_iter().for_each(|what| pair.near.forget(what));

    assert_eq!(pair.pass_from_near("frames_forget"), forgotten.map(Event::Forgotten));
}

#[test]
fn long_message_goes_in_chunks() {
    let mut pair = Pair::new();
    pair.call(Want::Auto, CHUNK_MAX);
    let bytes = drain(&mut pair.near);
    let (first, last) = bytes.split_at(HEADER_LEN + CHUNK_MAX);

    check("header_first_chunk", &first[..HEADER_LEN]);
    check("header_last_chunk", &last[..HEADER_LEN]);
    let events = feed(&mut pair.far, &bytes);
    assert!(matches!(&events[..], [Event::Call(incoming)] if incoming.body.len() > CHUNK_MAX));
}

#[test]
fn frames_about_objects_and_the_end_are_written_and_read_byte_for_byte() {
    let mut pair = Pair::new();
    let (first, second) = (pair.far.export(), pair.far.export());
    pair.far.grant(second).unwrap();
    pair.near.release(first, 1);
    pair.near.release(second, 2);
    let released = [Event::Released { object: first }, Event::Released { object: second }];
    assert_eq!(pair.pass_from_near("frame_release"), released);

    pair.near.ping(u64::MAX);
    assert_eq!(pair.pass_from_near("frame_ping"), []);

    pair.near.close();
    assert_eq!(pair.pass_from_near("frame_close"), [Event::Closing]);

    pair.far.go_away(Reason::OVERLOADED, "too much");
    drain(&mut pair.near);
    let pong_and_go_away = pair.pass_from_far("frames_pong_and_go_away");
    let text = "too much".to_owned();
    let go_away = Event::GoAway { last: CallId(0), reason: Reason::OVERLOADED, text };
    assert_eq!(pong_and_go_away, [Event::Pong { token: u64::MAX }, go_away]);
}

#[test]
fn longer_forms_of_other_writers_are_read() {
    let forms: [(&[u8], Value); 9] = [
        (&[0xcc, 5], 5.into()),
        (&[0xd3, 0, 0, 0, 0, 0, 0, 0, 5], 5.into()),
        (&[0xcf, 0, 0, 0, 0, 0, 0, 0, 5], 5.into()),
        (&[0xd9, 1, b'a'], "a".into()),
        (&[0xc6, 0, 0, 0, 1, 7], Value::Bytes(vec![7])),
        (&[0xdd, 0, 0, 0, 1, 0xc0], Value::List(vec![Value::Nil])),
        (&[0xdf, 0, 0, 0, 0], Value::Map(vec![])),
        (&[0xd6, 1, 1, 0, 0, 0, 0xc0], Value::Tuple(vec![Value::Nil])),
        (&[0xc7, 3, 4, 0xff, 0xff, 0xff], (-1).into()),
    ];

    for (bytes, value) in forms {
        assert_eq!(Value::decode(bytes, Limits::default()), Ok(value), "{bytes:02x?}");
    }
}

//! What holds for every value and every sequence of bytes.
//! Owns: the properties. Must not know: examples; those stand beside the code.

#![expect(clippy::disallowed_types, reason = "the wall is around the crate; proptest shares its strategies")]

use elsewhere_proto::codec::{
    BufferForm, BufferHead, BufferPlace, Flavour, Limits, Reader, ReferenceHead, Token, Value, ViewHead, Writer,
};
use elsewhere_proto::{
    CallHead, CallId, ChainId, Config, Connection, ErrorRecord, Event, Hello, LaneId, ObjectId, Timestamp, Want,
    offered_references,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn reference() -> impl Strategy<Value = Value> {
    prop_oneof![
        (1..u64::MAX, any::<u32>()).prop_map(|(object, class)| {
            ReferenceHead::Offer { object: ObjectId(object), class, described: false }.into()
        }),
        any::<u64>().prop_map(|object| ReferenceHead::Home { object: ObjectId(object) }.into()),
        Just(ReferenceHead::Receiver.into()),
        any::<u64>().prop_map(|call| ReferenceHead::Promise { call: CallId(call) }.into()),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-300..300_i64).prop_map(Value::Int),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::Float),
        any::<(f64, f64)>().prop_map(|(real, imaginary)| Value::Complex(real, imaginary)),
        ".{0,40}".prop_map(Value::Str),
        vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        vec(any::<u8>(), 0..40).prop_map(Value::ByteArray),
        (any::<u8>(), vec(any::<u8>(), 0..40)).prop_map(|(typecode, data)| Value::Array { typecode, data }),
        vec(any::<u16>(), 1..20).prop_map(|items| {
            let head =
                ViewHead { read_only: items[0] % 2 == 0, format: "H".to_owned(), shape: vec![items.len() as u64] };
            Value::View { head, data: items.iter().flat_map(|item| item.to_le_bytes()).collect() }
        }),
        (any::<(bool, bool)>(), vec(any::<u16>(), 0..20)).prop_map(|((read_only, fortran), items)| {
            let head = ViewHead { read_only, format: "H".to_owned(), shape: vec![1, items.len() as u64] };
            Value::Grid { head, fortran, data: items.iter().flat_map(|item| item.to_le_bytes()).collect() }
        }),
        reference(),
        buffer(),
    ]
}

fn buffer() -> impl Strategy<Value = Value> {
    let place = prop_oneof![
        any::<(u32, u32)>().prop_map(|(slot, generation)| BufferPlace::Lent { slot, generation }),
        any::<(u64, u64)>().prop_map(|(number, offset)| BufferPlace::Shared { number, offset }),
    ];
    let form = prop_oneof![
        Just(BufferForm::Raw),
        Just(BufferForm::Bytes),
        Just(BufferForm::ByteArray),
        any::<u8>().prop_map(|typecode| BufferForm::Array { typecode }),
        any::<bool>().prop_map(|fortran| BufferForm::Grid { fortran, format: "d".to_owned(), shape: vec![1] }),
        Just(BufferForm::View { format: "B".to_owned(), shape: vec![] }),
    ];
    (place, 1..u64::MAX, any::<bool>(), form)
        .prop_map(|(place, len, read_only, form)| Value::Buffer(BufferHead { place, len, read_only, form }))
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::List),
            vec(inner.clone(), 0..8).prop_map(Value::Tuple),
            vec(inner.clone(), 0..8).prop_map(Value::Set),
            vec(inner.clone(), 0..8).prop_map(Value::FrozenSet),
            vec((inner.clone(), inner.clone()), 0..8).prop_map(Value::Map),
            (1..u64::MAX, inner.clone()).prop_map(|(object, descriptor)| {
                let head = ReferenceHead::Offer { object: ObjectId(object), class: 1, described: true };
                Value::Reference(head, vec![descriptor])
            }),
            ("[a-z.]{0,9}", "[A-Z]\\PC{0,40}", vec(("[a-z_]{0,40}", inner.clone()), 0..8))
                .prop_map(|(class, name, attributes)| Value::Instance { class, of: Box::new(name.into()), attributes }),
            ("[0-9a-f]{32}", vec(any::<u8>(), 0..400), vec(("[a-z_]{0,40}", inner.clone()), 0..8))
                .prop_map(|(class, code, attributes)| Value::Instance { class, of: Box::new(code.into()), attributes }),
            (any::<u64>(), any::<u16>(), vec(inner, 0..6)).prop_map(|(object, steps, values)| {
                let head = ReferenceHead::Place { object: ObjectId(object), steps, values: values.len() as u32 };
                Value::Reference(head, values)
            }),
            (vec(reference(), 0..3), vec(any::<u8>(), 0..20)).prop_map(|(references, data)| {
                let buffers = vec![Value::ByteArray(data.clone())];
                Value::Pickle { flavour: Flavour::Pickle, references, buffers, data: Box::new(Value::Bytes(data)) }
            }),
            buffer().prop_map(|data| Value::Pickle {
                flavour: Flavour::Pickle,
                references: vec![],
                buffers: vec![],
                data: Box::new(data),
            }),
        ]
    })
}

fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = vec![];
    value.encode(&mut bytes, Limits::default()).unwrap();
    bytes
}

/// NaN differs from itself, so values are compared by their bytes.
fn assert_same(left: &Value, right: &Value) {
    assert_eq!(encode(left), encode(right));
}

proptest! {
    #[test]
    fn value_survives_the_wire(value in value()) {
        let bytes = encode(&value);

        let back = Value::decode(&bytes, Limits::default()).unwrap();

        assert_same(&back, &value);
    }

    #[test]
    fn cut_value_is_never_read(value in value(), at in any::<prop::sample::Index>()) {
        let bytes = encode(&value);
        let cut = at.index(bytes.len());

        prop_assert!(Value::decode(&bytes[..cut], Limits::default()).is_err());
    }

    #[test]
    fn skipping_and_reading_end_at_the_same_byte(first in value(), second in value()) {
        let bytes = [encode(&first), encode(&second)].concat();
        let mut skipping = Reader::new(&bytes, Limits::default());
        let mut reading = Reader::new(&bytes, Limits::default());

        skipping.skip_value().unwrap();
        Value::read(&mut reading).unwrap();

        prop_assert_eq!(skipping.position(), encode(&first).len());
        prop_assert_eq!(reading.position(), skipping.position());
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_written_back_the_same(bytes in vec(any::<u8>(), 0..200)) {
        let _ = offered_references(&bytes, Limits::default());
        let _ = ErrorRecord::decode(&bytes, Limits::default());
        if let Ok(value) = Value::decode(&bytes, Limits::default()) {
            let canonical = encode(&value);
            let again = Value::decode(&canonical, Limits::default()).unwrap();
            prop_assert_eq!(encode(&again), canonical);
        }
    }

    #[test]
    fn reader_and_skimmer_agree_on_what_is_a_value(bytes in vec(any::<u8>(), 0..60)) {
        let mut reader = Reader::new(&bytes, Limits::default());
        let is_skipped = reader.skip_value().is_ok() && reader.is_empty();

        if Value::decode(&bytes, Limits::default()).is_ok() {
            prop_assert!(is_skipped);
        }
    }
}

/// A session from one side, as the bytes it sends: calls of all kinds, streams, cancels, pings.
fn session(choices: &[u8]) -> Vec<u8> {
    let mut connection: Connection<u8> = Connection::new(Config::default());
    let mut bytes = vec![];
    let mut last = None;
    for (number, choice) in choices.iter().enumerate() {
        let want = [Want::Auto, Want::Stream, Want::Nothing][usize::from(choice % 3)];
        match (choice / 3 % 5, last) {
            (0, Some(call)) => connection.cancel(call, *choice > 100),
            (1, Some(call)) => connection.credit(call, u32::from(*choice) + 1),
            (2, _) => connection.ping(u64::from(*choice)),
            _ => {
                let mut body = vec![];
                CallHead { target: ObjectId(0), deadline: None, want, steps: 0 }.write(&mut body);
                let len = if *choice == 255 { 300_000 } else { usize::from(*choice) * 2 };
                body.resize(CallHead::LEN + len, 0xc0);
                last = connection
                    .call(LaneId(u32::from(*choice % 4)), number as u32, ChainId(1), false, None, &mut body, Some(1))
                    .ok()
                    .filter(|_| want != Want::Nothing);
            }
        }
        if choice % 7 == 0 {
            drain(&mut connection, &mut bytes);
        }
    }
    connection.close();
    drain(&mut connection, &mut bytes);
    bytes
}

fn drain(connection: &mut Connection<u8>, into: &mut Vec<u8>) {
    while let Some(part) = connection.poll_transmit() {
        into.extend_from_slice(part);
        let count = part.len();
        connection.transmitted(count);
    }
}

/// What a fresh receiver makes of these bytes in these pieces.
fn events(pieces: &[&[u8]]) -> Vec<Event<u8>> {
    let mut connection = Connection::new(Config::default());
    for piece in pieces {
        connection.receive(piece, Timestamp::default()).expect("the sender follows the rules");
    }
    std::iter::from_fn(|| connection.poll_event()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cutting_of_the_stream_gives_the_same_events(
        choices in vec(any::<u8>(), 0..40),
        cuts in vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let bytes = session(&choices);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();

        prop_assert_eq!(events(&pieces), events(&[&bytes]));
    }

    #[test]
    fn byte_by_byte_gives_the_same_events(choices in vec(0..200_u8, 0..30)) {
        let bytes = session(&choices);
        let pieces: Vec<_> = bytes.chunks(1).collect();

        prop_assert_eq!(events(&pieces), events(&[&bytes]));
    }

    #[test]
    fn beginning_of_a_stream_gives_the_beginning_of_its_events(
        choices in vec(any::<u8>(), 0..40),
        end in any::<prop::sample::Index>(),
    ) {
        let bytes = session(&choices);
        let end = end.index(bytes.len());

        let (part, whole) = (events(&[&bytes[..end]]), events(&[&bytes]));

        prop_assert!(whole.starts_with(&part), "an incomplete message was told");
    }

    #[test]
    fn any_bytes_after_hello_are_taken_or_refused(noise in vec(any::<u8>(), 0..400)) {
        let mut connection: Connection<u8> = Connection::new(Config::default());
        let mut hello = vec![];
        drain(&mut Connection::new(Config::default()), &mut hello);
        connection.receive(&hello, Timestamp::default()).unwrap();

        let result = connection.receive(&noise, Timestamp::default());

        prop_assert_eq!(result.is_err(), connection.state() == elsewhere_proto::State::Over);
        connection.disconnect();
        prop_assert_eq!(connection.stats().answers, 0);
    }

    #[test]
    fn items_never_exceed_the_credit_granted(steps in vec((any::<bool>(), 1..9_u32), 1..60)) {
        let hello = Hello::default();
        let mut near: Connection<u8> = Connection::new(Config { hello, ..Config::default() });
        let mut far: Connection<u8> = Connection::new(Config::default());
        let mut body = vec![];
        CallHead { target: ObjectId(0), deadline: None, want: Want::Stream, steps: 0 }.write(&mut body);
        let call = near.call(LaneId(0), 0, ChainId(0), false, None, &mut body, Some(1)).unwrap();
        exchange(&mut near, &mut far);
        let (mut granted, mut sent) = (0, 0);

        for (is_grant, n) in steps {
            if is_grant {
                near.credit(call, n);
                granted += n;
            } else {
                let accepted = far.items(call, LaneId(0), n, &mut vec![0xc0; n as usize]).is_ok();
                prop_assert_eq!(accepted, sent + n <= granted);
                sent += if accepted { n } else { 0 };
            }
            exchange(&mut near, &mut far);
        }

        let received: u32 = std::iter::from_fn(|| near.poll_event())
            .map(|event| if let Event::Items { count, .. } = event { count } else { 0 })
            .sum();
        prop_assert_eq!(received, sent);
    }
}

fn exchange(near: &mut Connection<u8>, far: &mut Connection<u8>) {
    let mut bytes = vec![];
    drain(near, &mut bytes);
    far.receive(&bytes, Timestamp::default()).unwrap();
    bytes.clear();
    drain(far, &mut bytes);
    near.receive(&bytes, Timestamp::default()).unwrap();
}

proptest! {
    #[test]
    fn content_of_a_long_grid_lies_at_a_multiple_of_16(before in 0_usize..100, format in "[a-z]{1,9}", fortran: bool) {
        let head = ViewHead { read_only: false, format, shape: vec![1, 70_000] };
        let data = vec![7; 70_000];
        let mut body = vec![0xc0; before];

        Writer::new(&mut body).grid(&head, fortran, &data).unwrap();

        let mut reader = Reader::new(&body[before..], Limits::default());
        let token = reader.next_token().unwrap();
        let Token::Grid { head: read, fortran: order, data: content } = token else { panic!("{token:?}") };
        prop_assert!((content.as_ptr().addr() - body.as_ptr().addr()).is_multiple_of(16));
        prop_assert_eq!((read, order, content), (head, fortran, &data[..]));
    }
}

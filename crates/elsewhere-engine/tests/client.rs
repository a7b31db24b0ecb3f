//! The Rust API against a host that answers as one with Python would, as far as plain values go.

mod support;

use std::env;
use std::time::Duration;

use elsewhere_engine::client::{Error, Host, Value};
use elsewhere_engine::{HostCommand, Inbox, InboxWake, Incoming, Link, Loss, Stdio, Work, adopt_stdin};
use elsewhere_proto::codec::{Limits, Reader, ReferenceHead};
use elsewhere_proto::{ErrorKind, ErrorRecord, ObjectId, Op, Outcome, Want};
use std::sync::Arc;

use support::*;

const ROLE: &str = "ELSEWHERE_TEST_OBJECTS";

fn host() -> Host {
    let mut command = HostCommand::new(env::current_exe().unwrap());
    command.arguments = ["--exact", "host_main", "--nocapture", "--test-threads=1"].map(Into::into).to_vec();
    command.environment = vec![(ROLE.into(), Some("1".into()))];
    command.output = Stdio::Null;
    Host::start_command(&command).unwrap()
}

#[test]
#[expect(clippy::exit, reason = "this is how a host ends")]
fn host_main() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let link = adopt_stdin(config(), Inbox::new()).unwrap();
    let mut streams = Vec::new();
    loop {
        match link.wait_inbox(None) {
            InboxWake::Work(Work::Call(incoming)) => obey(&link, &incoming, &mut streams),
            InboxWake::Work(Work::Credit { call, count, .. }) => {
                let stream = streams.iter_mut().find(|stream: &&mut Stream| stream.incoming.call.call == call);
                stream.unwrap().produce(count);
            }
            InboxWake::Work(_) | InboxWake::Tick => {}
            InboxWake::Ended => std::process::exit(0),
        }
    }
}

/// Counts down from a number.
struct Stream {
    incoming: Incoming,
    left: i64,
}

impl Stream {
    fn produce(&mut self, count: u32) {
        let (link, call, lane) = (&self.incoming.link, self.incoming.call.call, self.incoming.call.lane);
        for _ in 0..count {
            if self.left == 0 {
                let _ = link.reply(call, lane, &mut vec![0xc0]);
                return;
            }
            link.items(call, lane, 1, &mut encoded(&Value::Int(self.left))).unwrap();
            self.left -= 1;
        }
    }
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    value.encode(&mut body, Limits::default()).unwrap();
    body
}

/// The method and the arguments of a call, whatever its target.
fn method(body: &[u8]) -> (String, Vec<Value>, Vec<(Value, Value)>) {
    let mut reader = Reader::new(body, Limits::default());
    assert_eq!(Value::read(&mut reader), Ok(Value::Int(Op::Attribute.code())));
    let Ok(Value::Str(name)) = Value::read(&mut reader) else { panic!("a name follows") };
    if reader.is_empty() {
        return (name, vec![], vec![]);
    }
    assert_eq!(Value::read(&mut reader), Ok(Value::Int(Op::Call.code())));
    let (Ok(Value::List(arguments)), Ok(Value::Map(keywords))) = (Value::read(&mut reader), Value::read(&mut reader))
    else {
        panic!("arguments follow")
    };
    (name, arguments, keywords)
}

fn obey(link: &Arc<Link>, incoming: &Incoming, streams: &mut Vec<Stream>) {
    let (name, arguments, keywords) = method(incoming.steps());
    let (call, lane) = (incoming.call.call, incoming.call.lane);
    let mut body = match name.as_str() {
        "configure" => encoded(&Value::Nil),
        "construct_named" => {
            assert_eq!(arguments.len(), 3);
            encoded(&Value::Reference(
                ReferenceHead::Offer { object: link.export(), class: 0, described: false },
                vec![],
            ))
        }
        "echo" => encoded(&Value::List(vec![Value::List(arguments), Value::Map(keywords)])),
        "attribute" => encoded(&Value::Float(1.5)),
        "objects" => encoded(&Value::Int(i64::try_from(link.stats().exports).unwrap())),
        "count" => {
            let [Value::Int(left)] = arguments[..] else { panic!("a number is given") };
            let incoming = Incoming::new(Arc::clone(link), incoming.call.clone());
            assert_eq!(incoming.call.head.want, Want::Stream);
            return streams.push(Stream { incoming, left });
        }
        "end" => std::process::abort(),
        _ => {
            let mut record = ErrorRecord::plain(ErrorKind::Raised, Outcome::Finished, format!("no method {name}"));
            "AttributeError".clone_into(&mut record.raised.qualname);
            "builtins".clone_into(&mut record.raised.module);
            "Traceback: line 7".clone_into(&mut record.raised.traceback);
            let mut body = Vec::new();
            record.encode(&mut body).unwrap();
            return link.fail(call, lane, &mut body).unwrap();
        }
    };
    link.reply(call, lane, &mut body).unwrap();
}

#[test]
fn object_is_constructed_called_and_read() {
    let _watchdog = Watchdog::new("object_is_constructed_called_and_read");
    let host = host();
    let object = host.construct_with("module:Class", &["x".into()], &[("y", 1.into())]).unwrap();

    let said = object.call_with("echo", &[1.into(), object.to_value()], &[("key", Value::Nil)]).unwrap();

    let ReferenceHead::Home { object: own } = (match object.to_value() {
        Value::Reference(head, _) => head,
        other => panic!("{other:?}"),
    }) else {
        panic!("an object is at home in its host")
    };
    assert_ne!(own, ObjectId::BOOTSTRAP);
    assert_eq!(
        said,
        Value::List(vec![Value::List(vec![1.into(), object.to_value()]), Value::Map(vec![("key".into(), Value::Nil)])])
    );
    assert_eq!(object.get("attribute").unwrap(), Value::Float(1.5));
    assert!(host.close(Duration::from_secs(5)));
}

#[test]
fn stream_gives_every_item_in_order() {
    let _watchdog = Watchdog::new("stream_gives_every_item_in_order");
    let host = host();
    let object = host.construct("module:Class", &[]).unwrap();

    let items: Result<Vec<_>, _> = object.stream("count", &[1000.into()]).unwrap().collect();

    assert_eq!(items.unwrap(), (1..=1000_i64).rev().map(Value::from).collect::<Vec<_>>());
    // One that is not used up does not stand in the way.
    assert_eq!(object.stream("count", &[1000.into()]).unwrap().take(3).count(), 3);
    assert_eq!(object.get("attribute").unwrap(), Value::Float(1.5));
}

#[test]
fn errors_carry_class_message_and_traceback() {
    let _watchdog = Watchdog::new("errors_carry_class_message_and_traceback");
    let host = host();
    let object = host.construct("module:Class", &[]).unwrap();

    let error = object.call("missing", &[]).unwrap_err();

    assert_eq!(error.outcome(), Outcome::Finished);
    assert_eq!(error.to_string(), "AttributeError: no method missing\nTraceback: line 7");
    let Error::Raised(record) = error else { panic!("it was raised there") };
    assert_eq!(record.kind, ErrorKind::Raised);
}

#[test]
fn dropped_objects_are_let_go_there() {
    let _watchdog = Watchdog::new("dropped_objects_are_let_go_there");
    let host = host();
    let object = host.construct("module:Class", &[]).unwrap();
    let others: Vec<_> = (0..10).map(|_| host.construct("module:Class", &[]).unwrap()).collect();
    assert_eq!(object.call("objects", &[]).unwrap(), Value::Int(11));

    drop(others);

    assert_eq!(object.call("objects", &[]).unwrap(), Value::Int(1));
}

#[test]
fn death_is_an_error_of_each_call() {
    let _watchdog = Watchdog::new("death_is_an_error_of_each_call");
    let host = host();
    let object = host.construct("module:Class", &[]).unwrap();

    let error = object.call("end", &[]).unwrap_err();

    assert_eq!(error.outcome(), Outcome::Unknown);
    let Error::Lost { loss, .. } = error else { panic!("the host is lost") };
    assert!(matches!(*loss, Loss::Died { signal: Some(6), .. }));
    let again = object.call("echo", &[]).unwrap_err();
    assert_eq!(again.outcome(), Outcome::NotStarted);
    assert_eq!(again.to_string(), loss.to_string());
}

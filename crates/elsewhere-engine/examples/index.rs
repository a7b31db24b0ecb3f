//! Starts a Python host, counts the words of this file in a `collections.Counter` there, and reads them back.
//!
//! `cargo run -p elsewhere-engine --example index [PYTHON]`, where PYTHON (or `$ELSEWHERE_PYTHON`, or `python3`) is an
//! interpreter in which the package `elsewhere` is installed. This program does not link Python.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::env;
use std::time::Duration;

use elsewhere_engine::client::{Error, Host, Value};

fn main() -> Result<(), Error> {
    let python = env::args_os().nth(1).or_else(|| env::var_os("ELSEWHERE_PYTHON")).unwrap_or_else(|| "python3".into());
    let host = Host::start(python)?;
    println!("host {} is up", host.process().pid());

    // An object there: construct it, call it, copy results here.
    let index = host.construct("collections:Counter", &[])?;
    for line in include_str!("index.rs").lines() {
        let words = line.split_whitespace().map(Value::from).collect();
        index.call("update", &[Value::List(words)])?;
    }
    println!("{:?} words", index.call("total", &[])?);
    println!("the most common: {:?}", index.call("most_common", &[Value::Int(3)])?);

    // An iterator there: its items come ahead of their use.
    let mut slashes = 0;
    for word in index.stream("elements", &[])? {
        slashes += u32::from(word? == Value::from("//"));
    }
    println!("{slashes} comments");

    // Keyword arguments, and an error with the traceback of the other side.
    let text = host.construct_with("io:StringIO", &["one\ntwo\n".into()], &[("newline", "\n".into())])?;
    println!("first line: {:?}", text.call("readline", &[])?);
    match text.call("seek", &["nowhere".into()]) {
        Err(Error::Raised(record)) => println!("{}: {}", record.raised.qualname, record.raised.message),
        other => println!("unexpected: {other:?}"),
    }

    drop((index, text));
    host.close(Duration::from_secs(5));
    println!("host ended: {:?}", host.process().status());
    Ok(())
}

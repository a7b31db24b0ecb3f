//! Any value through the wire and back.
//! Owns: the claim that nothing is lost. Must not know: the bytes.
//!
//! Input: a program that builds one value on a stack, one byte a step.

use elsewhere_proto::codec::{Flavour, Limits, ReferenceHead, Value, ViewHead};
use elsewhere_proto::{CallId, ObjectId};

struct Builder<'a> {
    input: &'a [u8],
    stack: Vec<Value>,
    /// How many bytes all leaves together may still have; a short program must not fill the memory.
    budget: usize,
}

impl Builder<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.input.split_first()?;
        self.input = rest;
        Some(*first)
    }

    fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let len = usize::from(self.byte().unwrap_or(0)) % 9;
        word[..len].fill_with(|| self.byte().unwrap_or(0));
        u64::from_le_bytes(word)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte().unwrap_or(0)) * if self.byte().unwrap_or(0) == 0 { 300 } else { 1 };
        let len = len.min(self.budget);
        self.budget -= len;
        let head = self.input.get(..len.min(self.input.len())).unwrap_or_default().to_vec();
        self.input = &self.input[head.len()..];
        let mut bytes = head;
        bytes.resize(len, 7);
        bytes
    }

    fn children(&mut self) -> Vec<Value> {
        let len = usize::from(self.byte().unwrap_or(0)).min(self.stack.len());
        self.stack.split_off(self.stack.len() - len)
    }

    fn step(&mut self, code: u8) {
        let value = match code % 22 {
            0 => Value::Nil,
            1 => Value::Bool(code > 128),
            2 => Value::Int(self.word() as i64),
            3 => Value::from(self.word()),
            4 => Value::BigInt([&[1][..], &self.bytes()].concat()),
            5 => Value::Float(f64::from_bits(self.word())),
            6 => Value::Complex(f64::from_bits(self.word()), f64::from_bits(self.word())),
            7 => Value::Str(String::from_utf8_lossy(&self.bytes()).into_owned()),
            8 => Value::Bytes(self.bytes()),
            9 => Value::ByteArray(self.bytes()),
            10 => Value::Array { typecode: code, data: self.bytes() },
            11 => Value::List(self.children()),
            12 => Value::Tuple(self.children()),
            13 => Value::Set(self.children()),
            14 => Value::FrozenSet(self.children()),
            15 => {
                let children = self.children();
                Value::Map(children.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            16 => {
                let children = self.children();
                let head = ReferenceHead::Place {
                    object: ObjectId(self.word()),
                    steps: u16::from(code),
                    values: children.len() as u32,
                };
                Value::Reference(head, children)
            }
            17 => ReferenceHead::Promise { call: CallId(self.word()) }.into(),
            18 => {
                let object = ObjectId(self.word().max(1));
                let described = self.children();
                let head = ReferenceHead::Offer { object, class: 7, described: described.len() == 1 };
                Value::Reference(head, if described.len() == 1 { described } else { vec![] })
            }
            21 => {
                let data = self.bytes();
                let shape = vec![data.len() as u64, 1];
                let head = ViewHead { read_only: code < 128, format: "B".to_owned(), shape };
                Value::Grid { head, fortran: code < 64, data }
            }
            20 => {
                let children = self.children();
                let named = |value: Value| (format!("attribute {code}"), value);
                Value::Instance {
                    class: "kennel".repeat(usize::from(code)),
                    of: Box::new(if code < 128 { Value::Bytes(self.bytes()) } else { "Dog".into() }),
                    attributes: children.into_iter().map(named).collect(),
                }
            }
            _ => {
                let (references, data) = (self.children(), Box::new(Value::Bytes(self.bytes())));
                Value::Pickle { flavour: Flavour::Cloudpickle, references, buffers: vec![], data }
            }
        };
        self.stack.push(value);
    }
}

pub(crate) fn check(input: &[u8]) {
    let mut builder = Builder { input, stack: vec![], budget: 1 << 18 };
    while let Some(code) = builder.byte() {
        builder.step(code);
    }
    let value = Value::List(builder.stack);
    let limits = Limits::default();
    let (mut bytes, mut again) = (vec![], vec![]);
    if value.encode(&mut bytes, limits).is_err() {
        // Too deep, or an integer beyond 4 KiB: nothing half written is left.
        assert!(bytes.is_empty());
        return;
    }

    let back = Value::decode(&bytes, limits).expect("what was written can be read");

    back.encode(&mut again, limits).expect("what was read can be written");
    assert_eq!(bytes, again);
}

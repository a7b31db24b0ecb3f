//! Two connections with nothing between them, for tests that state one rule.
//! Owns: how frames are carried and forged. Must not know: the rules.

use std::time::Duration;

use elsewhere_proto::{
    CallHead, CallId, CallRefused, Capabilities, ChainId, Config, Connection, Event, HEADER_LEN, Hello, IncomingCall,
    Kind, LaneId, ObjectId, Timestamp, Violation, Want,
};

pub(crate) type Side = Connection<u32>;

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp(Duration::from_millis(millis))
}

/// A call to make; the rest is as in most tests.
pub(crate) struct Make {
    pub(crate) want: Want,
    pub(crate) lane: u32,
    pub(crate) chain: u64,
    pub(crate) nested: bool,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) len: usize,
    pub(crate) token: u32,
}

impl Default for Make {
    fn default() -> Self {
        Self { want: Want::Auto, lane: 0, chain: 0, nested: false, deadline: None, len: 1, token: 0 }
    }
}

impl Make {
    pub(crate) fn try_on(&self, side: &mut Side) -> Result<CallId, CallRefused> {
        let mut body = vec![];
        CallHead { target: ObjectId(0), deadline: None, want: self.want, steps: 0 }.write(&mut body);
        body.resize(CallHead::LEN + self.len, 0xc0);
        let (lane, chain) = (LaneId(self.lane), ChainId(self.chain));
        side.call(lane, 0, chain, self.nested, self.deadline, &mut body, Some(self.token))
    }

    pub(crate) fn on(&self, side: &mut Side) -> CallId {
        self.try_on(side).unwrap()
    }
}

/// What this side has to send now, taken whole.
pub(crate) fn sent(side: &mut Side) -> Vec<u8> {
    let mut bytes = vec![];
    while let Some(part) = side.poll_transmit().map(<[u8]>::to_vec) {
        side.transmitted(part.len());
        bytes.extend(part);
    }
    bytes
}

pub(crate) fn events(side: &mut Side) -> Vec<Event<u32>> {
    std::iter::from_fn(|| side.poll_event()).collect()
}

pub(crate) fn calls(side: &mut Side) -> Vec<IncomingCall> {
    let only_calls = |event| if let Event::Call(incoming) = event { Some(incoming) } else { None };
    events(side).into_iter().filter_map(only_calls).collect()
}

/// Carries what one side has to send to the other.
pub(crate) fn carry(from: &mut Side, to: &mut Side) {
    to.receive(&sent(from), at(0)).unwrap();
}

/// Two sides that know each other; the far one is a serial host.
pub(crate) fn pair() -> (Side, Side) {
    pair_with(Config::default())
}

pub(crate) fn pair_with(near: Config) -> (Side, Side) {
    pair_of(near, Capabilities::SERIAL)
}

/// Two sides that know each other; the far one runs its calls as `capability` says.
pub(crate) fn pair_of(near: Config, capability: Capabilities) -> (Side, Side) {
    let hello = Hello { capabilities: Capabilities::CHUNKS.with(capability), ..Hello::default() };
    let (mut near, mut far) = (Connection::new(near), Connection::new(Config { hello, ..Config::default() }));
    carry(&mut near, &mut far);
    carry(&mut far, &mut near);
    events(&mut near);
    events(&mut far);
    (near, far)
}

/// A frame made by hand.
#[derive(Clone, Copy)]
pub(crate) struct Forged<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) id: u64,
    pub(crate) chain: u64,
    pub(crate) number: u32,
    pub(crate) weight: u16,
    pub(crate) body: &'a [u8],
}

impl Forged<'_> {
    pub(crate) fn new(kind: Kind, id: u64) -> Self {
        Self { kind, flags: 0, id, chain: 0, number: 0, weight: 0, body: &[] }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_LEN];
        out[..4].copy_from_slice(&(self.body.len() as u32).to_le_bytes());
        out[4] = self.kind.code();
        out[5] = self.flags;
        out[6..8].copy_from_slice(&self.weight.to_le_bytes());
        out[8..16].copy_from_slice(&self.id.to_le_bytes());
        out[16..24].copy_from_slice(&self.chain.to_le_bytes());
        out[28..].copy_from_slice(&self.number.to_le_bytes());
        out.extend(self.body);
        out
    }

    /// What a side says to this frame.
    pub(crate) fn violates(&self, side: &mut Side) -> Option<Violation> {
        side.receive(&self.bytes(), at(0)).err()
    }
}

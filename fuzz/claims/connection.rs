//! A program of operations, ticks and deliveries on two connections, and in the end any bytes.
//! Owns: the claim that two peers that follow the rules break none, whatever their users do. Must not know: what a
//! user wants with it.
//!
//! Input: two bytes an operation, the first says what, the second how much; after 0xff any bytes for one side.

use std::time::Duration;

use elsewhere_proto::{
    CallHead, CallId, ChainId, Config, Connection, Event, LaneId, ObjectId, Reason, Timestamp, Want,
};

#[derive(Default)]
struct Side {
    made: Vec<CallId>,
    to_answer: Vec<(CallId, LaneId, Want)>,
    exports: Vec<ObjectId>,
}

struct World {
    connections: [Connection<u8>; 2],
    sides: [Side; 2],
    now: Duration,
}

impl World {
    fn new() -> Self {
        let config = || Config { window_calls: 32, ..Config::default() };
        Self {
            connections: [Connection::new(config()), Connection::new(config())],
            sides: [Side::default(), Side::default()],
            now: Duration::ZERO,
        }
    }

    fn operate(&mut self, code: u8, amount: u8) {
        let index = usize::from(code & 1);
        let (connection, side) = (&mut self.connections[index], &mut self.sides[index]);
        let some = |len: usize| usize::from(amount) % len.max(1);
        match code >> 1 & 0x0f {
            0..=2 => {
                let wants = [Want::Auto, Want::Value, Want::Reference, Want::Nothing, Want::Stream];
                let want = wants[some(wants.len())];
                let mut body = vec![];
                CallHead { target: ObjectId(0), deadline: None, want, steps: 0 }.write(&mut body);
                let len = if amount > 250 { 300_000 } else { usize::from(amount) };
                body.resize(body.len() + len, 0xc0);
                let deadline = amount.is_multiple_of(5).then(|| Timestamp(self.now + Duration::from_millis(5)));
                let lane = LaneId(u32::from(amount % 3));
                if let Ok(call) =
                    connection.call(lane, 0, ChainId(1), amount.is_multiple_of(2), deadline, &mut body, Some(0))
                {
                    side.made.push(call);
                }
            }
            3 | 4 if !side.to_answer.is_empty() => {
                let (call, lane, want) = side.to_answer.swap_remove(some(side.to_answer.len()));
                connection.begin(call);
                let len = if amount > 250 { 300_000 } else { 1 };
                let is_answered = match want {
                    Want::Nothing => connection.finish(call),
                    _ if amount.is_multiple_of(3) => connection.fail(call, lane, &mut vec![0x90; len]).is_ok(),
                    _ => connection.reply(call, lane, &mut vec![0xc0; len]).is_ok(),
                };
                assert!(is_answered || connection.state() == elsewhere_proto::State::Over);
            }
            5 if !side.to_answer.is_empty() => {
                let (call, lane, _) = side.to_answer[some(side.to_answer.len())];
                let _ = connection.items(call, lane, u32::from(amount % 4), &mut vec![0xc0; 4]);
            }
            6 if !side.made.is_empty() => connection.cancel(side.made[some(side.made.len())], amount > 128),
            7 if !side.made.is_empty() => connection.credit(side.made[some(side.made.len())], u32::from(amount)),
            8 => side.exports.push(connection.export()),
            9 if !side.exports.is_empty() => {
                // As if an offer had travelled: the other side holds it and lets go of it.
                let object = side.exports.swap_remove(some(side.exports.len()));
                if connection.exported(object) {
                    let other = &mut self.connections[1 - index];
                    other.imported(object);
                    other.release(object, 1);
                }
            }
            10 => connection.ping(u64::from(amount)),
            11 => {
                self.now += Duration::from_millis(u64::from(amount));
                connection.handle_timeout(Timestamp(self.now));
                assert!(connection.poll_timeout().is_none_or(|next| next.0 > self.now));
            }
            12 if amount == 255 => connection.close(),
            13 if amount == 255 => connection.go_away(Reason::SHUTDOWN, "enough"),
            _ => self.deliver(index, usize::from(amount) * 300),
        }
    }

    /// Brings up to `most` bytes from one side to the other.
    fn deliver(&mut self, from: usize, most: usize) {
        let [one, other] = &mut self.connections;
        let (sender, receiver) = if from == 0 { (one, other) } else { (other, one) };
        let bytes = sender.poll_transmit().map(|bytes| bytes[..bytes.len().min(most)].to_vec()).unwrap_or_default();
        sender.transmitted(bytes.len());
        receiver.receive(&bytes, Timestamp(self.now)).expect("a peer that follows the rules breaks none");
        while let Some(event) = receiver.poll_event() {
            if let Event::Call(incoming) = event {
                self.sides[1 - from].to_answer.push((incoming.call, incoming.lane, incoming.head.want));
            }
        }
    }
}

pub(crate) fn check(input: &[u8]) {
    let mut world = World::new();
    let mut rest = input;
    while let [code, amount, more @ ..] = rest {
        if *code == 0xff {
            break;
        }
        world.operate(*code, *amount);
        rest = more;
    }
    if let [_, which, noise @ ..] = rest {
        let _ = world.connections[usize::from(which & 1)].receive(noise, Timestamp(world.now));
    }
    for connection in &mut world.connections {
        connection.disconnect();
        while connection.poll_event().is_some() {}
        let stats = connection.stats();
        assert_eq!((stats.calls, stats.answers, stats.exports, stats.imports), (0, 0, 0, 0));
        assert_eq!(connection.poll_timeout(), None);
    }
}

//! One simulated peer: callers on one side, a serial host on the other, around one connection.
//! Owns: what a peer does with events and at random. Must not know: the network, when things arrive.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use elsewhere_proto::codec::{Reader, ReferenceHead, Token, Writer};
use elsewhere_proto::{
    CallHead, CallId, CallRefused, Capabilities, ChainId, Config, Connection, ErrorRecord, Event, Hello, IncomingCall,
    LaneId, Limits, ObjectId, Op, Timestamp, Want,
};

use crate::host::{Stream, Task};
use crate::ledger::{End, Ledger};
use crate::random::Random;

/// What a peer hangs on its calls: the number of the call in the ledger.
pub(crate) type Serial = u64;

pub(crate) struct Peer {
    pub(crate) index: usize,
    pub(crate) connection: Connection<Serial>,
    /// Calls made here that somebody waits for, with their chains.
    pub(crate) open: BTreeMap<CallId, (Serial, ChainId, Want)>,
    pub(crate) lanes: [u32; 4],
    pub(crate) heard: BTreeMap<LaneId, u32>,
    pub(crate) queue: VecDeque<IncomingCall>,
    /// Running calls by chain, the innermost last.
    pub(crate) stacks: BTreeMap<ChainId, Vec<Task>>,
    /// The chain whose outermost call came from the queue.
    pub(crate) main: Option<ChainId>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) own: Vec<ObjectId>,
    pub(crate) foreign: BTreeMap<ObjectId, u32>,
    pub(crate) next_chain: u64,
    pub(crate) pings: VecDeque<u64>,
    pub(crate) scratch: Vec<u8>,
    pub(crate) large: u64,
}

pub(crate) fn at(now: u64) -> Timestamp {
    Timestamp(Duration::from_millis(now))
}

impl Peer {
    pub(crate) fn new(index: usize, random: &mut Random) -> Self {
        let hello = Hello { capabilities: Capabilities::CHUNKS.with(Capabilities::SERIAL), ..Hello::default() };
        let window_calls = if random.chance(20) { 1 + random.below(8) } else { 1024 };
        let large = if random.chance(15) { 8 } else { 0 };
        Self {
            index,
            connection: Connection::new(Config { hello, window_calls, ..Config::default() }),
            open: BTreeMap::new(),
            lanes: [0; 4],
            heard: BTreeMap::new(),
            queue: VecDeque::new(),
            stacks: BTreeMap::new(),
            main: None,
            streams: Vec::new(),
            own: Vec::new(),
            foreign: BTreeMap::new(),
            next_chain: index as u64 + 1,
            pings: VecDeque::new(),
            scratch: Vec::new(),
            large,
        }
    }

    fn other(&self) -> usize {
        1 - self.index
    }

    /// One random thing that a program does.
    pub(crate) fn act(&mut self, now: u64, random: &mut Random, ledger: &mut Ledger) {
        match random.below(12) {
            0..=4 => {
                self.next_chain += 2;
                let chain = ChainId(self.next_chain);
                self.call(chain, false, now, random, ledger);
            }
            5 => self.cancel_some(random, ledger),
            6 | 7 => self.release_some(random, ledger),
            8 => {
                let token = random.next();
                self.pings.push_back(token);
                self.connection.ping(token);
            }
            _ => self.credit_some(random, ledger),
        }
    }

    pub(crate) fn call(
        &mut self,
        chain: ChainId,
        nested: bool,
        now: u64,
        random: &mut Random,
        ledger: &mut Ledger,
    ) -> Option<CallId> {
        let want = match random.below(10) {
            _ if nested => Want::Auto,
            0 | 1 => Want::Nothing,
            2 | 3 => Want::Stream,
            4 => Want::Reference,
            _ => Want::Auto,
        };
        let serial = ledger.make(want);
        let lane = random.below(self.lanes.len());
        let deadline = (random.chance(15) && want != Want::Nothing).then(|| now + 1 + random.next() % 40);
        let target = self.some_foreign(random).unwrap_or(ObjectId::BOOTSTRAP);
        let left = deadline.map(|deadline| Duration::from_millis(deadline - now));
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        CallHead { target, deadline: left, want, steps: 1 }.write(&mut body);
        Writer::new(&mut body).int(Op::Call.code());
        let granted = self.write_values(serial, &mut body, random, ledger);
        Writer::new(&mut body).begin_map(0).unwrap();
        let number = self.lanes[lane];
        let len = body.len() - CallHead::LEN;
        let result =
            self.connection.call(LaneId(lane as u32), number, chain, nested, deadline.map(at), &mut body, Some(serial));
        self.scratch = body;
        match result {
            Ok(call) => {
                self.lanes[lane] += 1;
                if want != Want::Nothing {
                    self.open.insert(call, (serial, chain, want));
                }
                if want == Want::Stream {
                    self.credit(call, serial, random, ledger);
                }
                Some(call)
            }
            Err(refused) => {
                let is_expected = matches!(refused, CallRefused::WindowFull | CallRefused::Closing);
                assert!(is_expected, "{refused}");
                assert_eq!(self.connection.has_room(len), refused != CallRefused::WindowFull);
                for object in granted {
                    self.take_back(object, ledger);
                }
                ledger.unmake();
                None
            }
        }
    }

    /// A list of the serial number, some padding and some references.
    pub(crate) fn write_values(
        &mut self,
        serial: Serial,
        body: &mut Vec<u8>,
        random: &mut Random,
        ledger: &mut Ledger,
    ) -> Vec<ObjectId> {
        let (offers, homes) = (random.below(3), random.below(2));
        let homes: Vec<_> = (0..homes).filter_map(|_| self.some_foreign(random)).collect();
        let granted: Vec<_> = (0..offers).map(|_| self.offer(random, ledger)).collect();
        let padding = if self.large > 0 && random.chance(10) {
            self.large -= 1;
            60_000 + random.below(600_000)
        } else {
            random.below(100)
        };
        let mut out = Writer::new(body);
        out.begin_list(2 + homes.len() + granted.len()).unwrap();
        out.unsigned(serial);
        out.bytes(&vec![serial as u8; padding]).unwrap();
        for object in homes {
            out.reference(&ReferenceHead::Home { object });
        }
        for object in &granted {
            let described = object.0.is_multiple_of(2);
            out.reference(&ReferenceHead::Offer { object: *object, class: 1, described });
            if described {
                out.begin_list(0).unwrap();
            }
        }
        granted
    }

    fn offer(&mut self, random: &mut Random, ledger: &mut Ledger) -> ObjectId {
        let known = random.pick(&self.own).copied().filter(|_| random.chance(50));
        let object = match known.filter(|object| self.connection.grant(*object).is_ok()) {
            Some(object) => object,
            None => {
                let object = self.connection.export();
                self.own.push(object);
                object
            }
        };
        Ledger::change(&mut ledger.travelling, (self.index, object.0), 1);
        object
    }

    fn take_back(&mut self, object: ObjectId, ledger: &mut Ledger) {
        Ledger::change(&mut ledger.travelling, (self.index, object.0), -1);
        if self.connection.ungrant(object) {
            self.own.retain(|own| *own != object);
        }
    }

    fn some_foreign(&self, random: &mut Random) -> Option<ObjectId> {
        let objects: Vec<_> = self.foreign.keys().copied().collect();
        random.pick(&objects).copied()
    }

    /// Reads what `write_values` wrote; own objects that it names must exist.
    fn read_values(&self, body: &[u8]) -> (Serial, Vec<ObjectId>) {
        let mut reader = Reader::new(body, Limits::default());
        let mut token = reader.next_token().unwrap();
        if token == Token::Int(Op::Call.code()) {
            token = reader.next_token().unwrap();
        }
        let Token::List(len) = token else { panic!("not what was sent: {token:?}") };
        let serial = reader.read_int().unwrap() as u64;
        let Token::Bytes(padding) = reader.next_token().unwrap() else { panic!("padding is missing") };
        assert!(padding.iter().all(|byte| *byte == serial as u8), "bytes of another message");
        let mut offered = Vec::new();
        for _ in 2..len {
            match reader.next_token().unwrap() {
                Token::Reference(ReferenceHead::Home { object }) => {
                    assert!(self.own.contains(&object), "object {object} was named after its release");
                }
                Token::Reference(ReferenceHead::Offer { object, described, .. }) => {
                    offered.push(object);
                    if described {
                        reader.skip_value().unwrap();
                    }
                }
                token => panic!("unexpected {token:?}"),
            }
        }
        (serial, offered)
    }

    /// Values were looked at: what they offer is held now.
    pub(crate) fn import(&mut self, body: &[u8], ledger: &mut Ledger) -> Serial {
        let (serial, offered) = self.read_values(body);
        for object in offered {
            self.connection.imported(object);
            *self.foreign.entry(object).or_default() += 1;
            Ledger::change(&mut ledger.travelling, (self.other(), object.0), -1);
            Ledger::change(&mut ledger.held, (self.other(), object.0), 1);
        }
        serial
    }

    /// Values are thrown away: what they offer is released.
    pub(crate) fn discard(&mut self, body: &[u8], ledger: &mut Ledger) {
        let offered = elsewhere_proto::offered_references(body, Limits::default()).unwrap();
        for object in &offered {
            Ledger::change(&mut ledger.travelling, (self.other(), object.0), -1);
        }
        self.connection.discard(body).unwrap();
    }

    fn cancel_some(&mut self, random: &mut Random, ledger: &mut Ledger) {
        let calls: Vec<_> = self.open.keys().copied().collect();
        let waited: Vec<_> = self.stacks.values().flatten().filter_map(|task| task.waits_for).collect();
        let Some(call) = random.pick(&calls).copied().filter(|call| !waited.contains(call)) else { return };
        self.cancel(call, random, ledger);
    }

    pub(crate) fn cancel(&mut self, call: CallId, random: &mut Random, ledger: &mut Ledger) {
        let Some((serial, ..)) = self.open.remove(&call) else { return };
        self.connection.cancel(call, random.chance(30));
        ledger.end(serial, End::Cancelled);
    }

    fn release_some(&mut self, random: &mut Random, ledger: &mut Ledger) {
        let Some(object) = self.some_foreign(random) else { return };
        let held = self.foreign[&object];
        let count = 1 + random.below(held as usize) as u32;
        self.release(object, count, ledger);
    }

    fn release(&mut self, object: ObjectId, count: u32, ledger: &mut Ledger) {
        self.connection.release(object, count);
        Ledger::change(&mut ledger.held, (self.other(), object.0), -i64::from(count));
        let held = self.foreign.get_mut(&object).unwrap();
        *held -= count;
        if *held == 0 {
            self.foreign.remove(&object);
        }
    }

    pub(crate) fn release_all(&mut self, ledger: &mut Ledger) {
        for (object, count) in self.foreign.clone() {
            self.release(object, count, ledger);
        }
    }

    fn credit_some(&mut self, random: &mut Random, ledger: &mut Ledger) {
        let streams: Vec<_> = self.open.iter().filter(|(_, (.., want))| *want == Want::Stream).collect();
        let Some((call, serial)) = random.pick(&streams).map(|(call, (serial, ..))| (**call, *serial)) else { return };
        self.credit(call, serial, random, ledger);
    }

    fn credit(&mut self, call: CallId, serial: Serial, random: &mut Random, ledger: &mut Ledger) {
        let n = 1 + random.below(5) as u32;
        self.connection.credit(call, n);
        ledger.record(serial).granted += u64::from(n);
        if random.below(3) == 0 {
            self.connection.wait_for_items(call, waits_in(call));
        }
    }

    /// Grants every open stream enough to end.
    pub(crate) fn credit_all(&mut self, ledger: &mut Ledger) {
        for (call, (serial, _, want)) in &self.open {
            let record = ledger.record(*serial);
            if *want == Want::Stream && record.granted < record.items + 10 {
                self.connection.credit(*call, 10);
                record.granted += 10;
            }
        }
    }

    pub(crate) fn handle_events(&mut self, ledger: &mut Ledger) {
        while let Some(event) = self.connection.poll_event() {
            self.handle(event, ledger);
        }
    }

    fn handle(&mut self, event: Event<Serial>, ledger: &mut Ledger) {
        match event {
            Event::Established(hello) => assert!(hello.capabilities.has(Capabilities::SERIAL)),
            Event::Reply { call, token, body } => {
                let (_, _, want) = self.ended(call, token);
                if want == Want::Stream {
                    assert_eq!(body, [0xc0]);
                } else {
                    assert_eq!(self.import(&body, ledger), token, "an answer to another call");
                }
                ledger.end(token, End::Replied);
            }
            Event::Failed { call, token, body } => {
                self.ended(call, token);
                let record = ErrorRecord::decode(&body, Limits::default()).unwrap();
                ledger.end(token, End::Failed(record.outcome));
            }
            Event::TimedOut { call, token } => {
                self.ended(call, token);
                ledger.end(token, End::TimedOut);
            }
            Event::Lost { call, token, outcome } => {
                self.ended(call, token);
                ledger.end(token, End::Lost(outcome));
            }
            Event::Items { token, count, body, .. } => {
                self.import_items(&body, count, ledger);
                let record = ledger.record(token);
                record.items += u64::from(count);
                assert!(record.items <= record.granted, "more items than granted");
            }
            Event::Late { body, .. } => self.discard(&body, ledger),
            Event::Call(incoming) => self.on_call(incoming),
            Event::Cancelled { call, interrupt } => self.on_cancelled(call, interrupt, ledger),
            Event::Credit { call, n } => {
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.call == call) {
                    stream.credit += u64::from(n);
                }
            }
            Event::Awaited { call, chain } => assert_eq!(chain, waits_in(call)),
            Event::Released { object } => {
                let is_lost = self.connection.state() == elsewhere_proto::State::Over;
                assert!(
                    is_lost || !ledger.is_referenced((self.index, object.0)),
                    "object {object} was freed too early"
                );
                assert!(self.own.contains(&object), "object {object} was freed twice");
                self.own.retain(|own| *own != object);
            }
            Event::Pong { token } => assert_eq!(self.pings.pop_front(), Some(token)),
            Event::GoAway { .. } | Event::Closing | Event::Forgotten(_) => {}
        }
    }

    pub(crate) fn ended(&mut self, call: CallId, token: Serial) -> (Serial, ChainId, Want) {
        let open = self.open.remove(&call).expect("a call that is not open ended");
        assert_eq!(open.0, token);
        open
    }

    fn import_items(&mut self, body: &[u8], count: u32, ledger: &mut Ledger) {
        let mut reader = Reader::new(body, Limits::default());
        for _ in 0..count {
            let item = reader.read_encoded().unwrap();
            self.import(item, ledger);
        }
        assert!(reader.is_empty());
    }

    /// The other side is gone: what waits is never begun.
    pub(crate) fn lose(&mut self, ledger: &mut Ledger) {
        self.handle_events(ledger);
        self.queue.clear();
        self.streams.clear();
        self.stacks.clear();
        let stats = self.connection.stats();
        assert_eq!((stats.calls, stats.answers, stats.exports, stats.imports), (0, 0, 0, 0));
        assert!(self.open.is_empty() && self.own.is_empty(), "something survived its connection");
        assert_eq!(self.connection.poll_timeout(), None);
        assert!(self.connection.poll_transmit().is_none());
    }

    pub(crate) fn describe(&self) -> String {
        let (open, queue) = (&self.open, self.queue.iter().map(|incoming| incoming.call.0).collect::<Vec<_>>());
        let waits: Vec<_> = self.stacks.values().flatten().map(|task| (task.serial, task.waits_for)).collect();
        let streams: Vec<_> = self.streams.iter().map(|stream| (stream.serial, stream.credit, stream.left)).collect();
        let (main, stats) = (self.main, self.connection.stats());
        format!("open {open:?}, queue {queue:?}, stacks {waits:?}, main {main:?}, streams {streams:?}, {stats:?}")
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
            && self.queue.is_empty()
            && self.stacks.is_empty()
            && self.streams.is_empty()
            && self.connection.transmit_len() == 0
    }

    pub(crate) fn check_empty(&self) {
        let stats = self.connection.stats();
        assert_eq!((stats.calls, stats.answers, stats.exports, stats.imports), (0, 0, 0, 0), "{stats:?}");
        assert!(self.own.is_empty() && self.foreign.is_empty() && self.pings.is_empty());
        assert!(stats.posts < 256, "finished posts are told at the latest by the quarter of the window");
        assert_eq!(self.connection.poll_timeout(), None, "a deadline outlived its call");
    }
}

/// Where a caller waits for the items of a stream, if it says so.
fn waits_in(call: CallId) -> ChainId {
    ChainId(call.0 + 1_000_000)
}

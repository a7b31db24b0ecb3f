//! What the tests of the engine share: calls with plain bytes, peers that serve, a watchdog.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use elsewhere_engine::transport::Transport;
use elsewhere_engine::{
    Arrival, ChainSeat, Expect, Inbox, InboxWake, Incoming, Link, Pending, Request, SubmitError, Wake, Work,
};
use elsewhere_proto::codec::{Limits, Reader, Token, Writer};
use elsewhere_proto::{CallHead, ChainId, Config, LaneId, ObjectId, Op, Want};

/// How a pair of streams is made.
pub type Mechanism = fn() -> rustix::io::Result<(Transport, Transport)>;

/// Ends the test program with a message when a test does not end by itself.
pub struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    #[expect(clippy::print_stderr, reason = "the last words of a stuck test")]
    pub fn new(name: &'static str) -> Self {
        let (alive, end) = channel::<()>();
        std::thread::spawn(move || {
            if end.recv_timeout(Duration::from_secs(60)).is_err_and(|error| error.to_string().contains("timed out")) {
                eprintln!("{name} is stuck");
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}

/// A thread names itself after it began, and the kernel lists it for a moment after it was joined.
pub fn wait_for_watch_threads(count: usize) {
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    let tasks = || fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    while tasks().map(name).filter(|name| name.trim() == "elsewhere-watch").count() != count {
        std::thread::yield_now();
    }
}

/// A chain that no other test of this program uses: chains are a matter of the whole process.
pub fn fresh_chain() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn config() -> Config {
    Config::default()
}

pub fn link(transport: Transport) -> Arc<Link> {
    Link::new(transport, config(), Inbox::shared()).expect("the system has descriptors left")
}

pub fn links(mechanism: Mechanism) -> (Arc<Link>, Arc<Link>) {
    let (here, there) = mechanism().expect("the system has descriptors left");
    (link(here), link(there))
}

/// One value: these bytes.
pub fn value(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).bytes(bytes).expect("test data is small");
    out
}

/// The bytes of a value, or of the only argument of a call.
pub fn bytes(body: &[u8]) -> &[u8] {
    let mut reader = Reader::new(body, Limits::default());
    loop {
        match reader.next_token().expect("the body has bytes in it") {
            Token::Bytes(bytes) => return bytes,
            Token::Int(_) | Token::List(1) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A call of the peer's bootstrap object with one argument.
pub fn call_body(argument: &[u8], want: Want) -> Vec<u8> {
    let mut body = Vec::new();
    CallHead { target: ObjectId::BOOTSTRAP, deadline: None, want, steps: 1 }.write(&mut body);
    let mut out = Writer::new(&mut body);
    out.int(Op::Call.code());
    out.begin_list(1).expect("one is few");
    out.bytes(argument).expect("test data is small");
    out.begin_map(0).expect("none is few");
    body
}

#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub argument: &'a [u8],
    pub want: Want,
    pub lane: u32,
    pub number: u32,
    pub chain: u64,
    pub nested: bool,
    pub deadline: Option<Instant>,
}

impl<'a> Call<'a> {
    pub fn new(argument: &'a [u8]) -> Self {
        Self { argument, want: Want::Auto, lane: 1, number: 0, chain: 0, nested: false, deadline: None }
    }

    pub fn try_submit(self, link: &Arc<Link>) -> Result<Option<Arc<Pending>>, SubmitError> {
        let mut body = call_body(self.argument, self.want);
        link.submit(Request {
            lane: LaneId(self.lane),
            number: self.number,
            chain: ChainId(self.chain),
            nested: self.nested,
            deadline: self.deadline,
            weight: 0,
            body: &mut body,
            expect: match self.want {
                Want::Nothing => Expect::Nothing,
                Want::Stream => Expect::Items,
                _ => Expect::Answer,
            },
        })
    }

    /// Submits, waiting for room in the window.
    pub fn submit(self, link: &Arc<Link>) -> Arc<Pending> {
        loop {
            match self.try_submit(link) {
                Ok(pending) => return pending.expect("an answer is expected"),
                Err(SubmitError::WindowFull) => drop(link.wait_window(usize::MAX, None, &ChainSeat::NONE)),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Waits for the end of a call.
pub fn arrival(link: &Arc<Link>, pending: &Arc<Pending>) -> Arrival {
    loop {
        if let Some(arrival) = pending.take() {
            return arrival;
        }
        assert!(matches!(link.wait(pending, None, None, &ChainSeat::NONE), Wake::Arrived | Wake::Home));
    }
}

pub fn reply(link: &Arc<Link>, pending: &Arc<Pending>) -> Vec<u8> {
    match arrival(link, pending) {
        Arrival::Reply(body) => bytes(&body).to_vec(),
        other => panic!("{other:?}"),
    }
}

/// A call and its answer.
pub fn echo(link: &Arc<Link>, argument: &[u8]) -> Vec<u8> {
    let pending = Call::new(argument).submit(link);
    reply(link, &pending)
}

/// Serves a link as the main thread of a host does, until its end. Returns what `handler` was given.
pub fn serve(link: Arc<Link>, mut handler: impl FnMut(&Incoming) + Send + 'static) -> JoinHandle<usize> {
    link.serve();
    std::thread::spawn(move || {
        let mut count = 0;
        loop {
            match link.wait_inbox(None) {
                InboxWake::Work(Work::Call(incoming)) => {
                    count += 1;
                    handler(&incoming);
                    if incoming.call.head.want == Want::Nothing {
                        link.finish(incoming.call.call);
                    }
                }
                InboxWake::Work(_) | InboxWake::Tick => {}
                InboxWake::Ended => return count,
            }
        }
    })
}

/// Answers a call with the given bytes.
pub fn answer(incoming: &Incoming, bytes: &[u8]) {
    // Refused where the caller gave up and was answered already.
    let _ = incoming.link.reply(incoming.call.call, incoming.call.lane, &mut value(bytes));
}

/// Answers every call with its argument.
pub fn serve_echo(link: Arc<Link>) -> JoinHandle<usize> {
    serve(link, |incoming| {
        if incoming.call.head.want != Want::Nothing {
            answer(incoming, bytes(incoming.steps()));
        }
    })
}

/// A number that is different from call to call, without a seed to choose.
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

//! One connection to one peer, shared by all threads that use it.
//! Owns: the protocol state of the connection, its stream, and who waits on it. Must not know: Python, what values mean,
//! processes (those hold a link, not the other way round).
//!
//! Whoever waits drives: the calling thread writes its own frame, reads what arrives, hands it to whom it concerns. The
//! parts: `wire` is the locked section over the protocol, `submit` and `objects` the operations, `straight` the way of long content, `route` the way of an
//! arrival, `wait` the roles of waiting threads, `attention` the hand-over to the watch thread, `loops` event loops that read, `life` the signs of life, `end` the end.

mod attention;
mod buffers;
mod company;
mod end;
mod life;
mod loops;
mod objects;
mod pace;
mod record;
mod route;
mod spin;
mod straight;
mod submit;
mod undecoded;
mod wait;
mod wire;

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use crossbeam_queue::SegQueue;
use elsewhere_proto::{Config, Connection, Hello, Limits, ObjectId, Stats};
use elsewhere_shm::{Recorder, pages};

use crate::buffers::{Buffers, HandedOver};
use crate::fork;
use crate::home::Home;
use crate::inbox::Inbox;
use crate::lock::lock;
use crate::transport::Transport;
use crate::watch::{self, Ask, Bell};

pub use company::Company;
pub(crate) use end::{Kind, PeerFate};
pub use submit::{Expect, Request};
pub(crate) use undecoded::Mark;
pub use wait::{InboxWake, LoopSeat, Wake};

/// One connection to one peer. All methods may be called from any thread; those that wait say so.
#[derive(Debug)]
pub struct Link {
    id: u64,
    generation: u32,
    limits: Limits,
    inbox: Arc<Inbox>,
    bell: Arc<Bell>,
    wire: Mutex<wire::Wire>,
    /// How many threads wait for that.
    wire_wanted: AtomicUsize,
    reader: Mutex<wire::Reader>,
    roles: Mutex<wait::Roles>,
    watched: Mutex<attention::Watched>,
    loops: OnceLock<Box<Mutex<loops::Loops>>>,
    attention: attention::Flags,
    /// References to give back. Filled by drops that may happen anywhere, so without a lock.
    releases: SegQueue<(ObjectId, u32)>,
    /// Answers on their way to be decoded, and own objects that the peer let go of.
    undecoded: Mutex<undecoded::Undecoded>,
    /// Whether it has something that the peer let go of.
    has_released: AtomicBool,
    /// Whether the inbox was told of the latter.
    is_release_told: AtomicBool,
    hello: OnceLock<Hello>,
    end: end::State,
    life: life::Life,
    /// What passes memory, on a stream that goes through memory.
    memory: Option<Arc<Buffers>>,
    /// Memory that the other link of a pair shares.
    shared_here: HandedOver,
    /// The other link of a pair in this process, and its inbox if a wait here is to run it.
    far: OnceLock<Far>,
    /// Where what a host tells our object number 0 goes.
    home: OnceLock<Arc<Home>>,
    /// Whether it leads to a server of this very process.
    leads_here: AtomicBool,
    /// Where the calls of the peer are recorded, if they are.
    recorder: OnceLock<Arc<Recorder>>,
    /// Why its peer is reached over a socket although memory was to be shared.
    memory_problem: OnceLock<String>,
}

#[derive(Debug)]
struct Far {
    link: Weak<Link>,
    pumped: Option<Arc<Inbox>>,
}

impl Link {
    /// A link over `transport`. What its peer asks for goes to `inbox`.
    ///
    /// # Errors
    /// Those of the system when the watch thread cannot start or watch the stream.
    pub fn new(transport: Transport, config: Config, inbox: Arc<Inbox>) -> std::io::Result<Arc<Self>> {
        Self::with_kind(transport, config, inbox, Kind::Plain)
    }

    /// Two links in this process that are each other's peers.
    ///
    /// A wait on the first returns [`Wake::Pump`] while `inbox_there` holds work that nobody else runs.
    ///
    /// # Errors
    /// Those of the system when descriptors are short.
    pub fn pair(
        here: Config,
        inbox_here: Arc<Inbox>,
        there: Config,
        inbox_there: Arc<Inbox>,
    ) -> std::io::Result<(Arc<Self>, Arc<Self>)> {
        let (near, far) = Transport::memory_pair()?;
        let near = Self::new(near, here, inbox_here)?;
        let far = Self::new(far, there, inbox_there)?;
        let pumped = Some(Arc::clone(&far.inbox));
        near.far.set(Far { link: Arc::downgrade(&far), pumped }).expect("the link is new");
        far.far.set(Far { link: Arc::downgrade(&near), pumped: None }).expect("the link is new");
        Ok((near, far))
    }

    pub(crate) fn with_kind(
        transport: Transport,
        config: Config,
        inbox: Arc<Inbox>,
        kind: Kind,
    ) -> std::io::Result<Arc<Self>> {
        Self::with_id(watch::next_id(), transport, config, inbox, kind)
    }

    /// The same with an id that [`watch::next_id`] gave before.
    pub(crate) fn with_id(
        id: u64,
        transport: Transport,
        config: Config,
        inbox: Arc<Inbox>,
        kind: Kind,
    ) -> std::io::Result<Arc<Self>> {
        let bell = watch::bell()?;
        let config = Config { grow: pages::try_make_room, ..config };
        let transport = Arc::new(transport);
        let told = Arc::clone(&bell);
        transport.set_event(move || told.ask(Ask::News(id)));
        let link = Arc::new(Self {
            id,
            generation: fork::generation(),
            limits: config.limits,
            inbox,
            bell,
            wire: Mutex::new(wire::Wire::new(Connection::new(config), Arc::clone(&transport))),
            wire_wanted: AtomicUsize::new(0),
            reader: Mutex::new(wire::Reader::new(Arc::clone(&transport))),
            roles: Mutex::new(wait::Roles::new(Arc::clone(&transport))),
            watched: Mutex::new(attention::Watched::new(Arc::clone(&transport))),
            loops: OnceLock::new(),
            attention: attention::Flags::default(),
            releases: SegQueue::new(),
            undecoded: Mutex::default(),
            has_released: AtomicBool::new(false),
            is_release_told: AtomicBool::new(false),
            hello: OnceLock::new(),
            end: end::State::new(kind),
            life: life::Life::default(),
            memory: transport.buffers(),
            shared_here: HandedOver::default(),
            far: OnceLock::new(),
            home: OnceLock::new(),
            leads_here: AtomicBool::new(false),
            recorder: OnceLock::new(),
            memory_problem: OnceLock::new(),
        });
        watch::add_link(&link, &transport)?;
        link.with_wire(|_| ());
        Ok(link)
    }

    /// A number that no other link of this process has or had.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Brings home what the peer tells our object number 0 without wanting an answer, and, if it is a host, what it
    /// prints. Once.
    pub(crate) fn bring_home(self: &Arc<Self>, home: &Arc<Home>) {
        home.set_link(self);
        self.home.set(Arc::clone(home)).expect("the link is new");
        self.serve();
    }

    /// Where the peer's wishes go.
    #[must_use]
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// What the peer said of itself; None until it did.
    #[must_use]
    pub fn peer(&self) -> Option<&Hello> {
        self.hello.get()
    }

    pub(crate) fn set_memory_problem(&self, problem: String) {
        self.memory_problem.set(problem).expect("the link is new");
    }

    /// Why a host is reached over a socket although it was to share memory; None if it does, or was not to. To be asked
    /// once it has said hello.
    #[must_use]
    pub fn memory_problem(&self) -> Option<String> {
        let is_refused = || lock(&self.roles).transport().is_some_and(|transport| transport.is_refused());
        let refused = || is_refused().then(|| "the host cannot map the memory that it is given".to_owned());
        self.memory_problem.get().cloned().or_else(refused)
    }

    /// The counts of the connection's tables.
    #[must_use]
    pub fn stats(&self) -> Stats {
        lock(&self.wire).protocol.stats()
    }

    /// The descriptors of the stream; none after its end.
    #[must_use]
    pub fn fds(&self) -> Vec<RawFd> {
        lock(&self.roles).transport().map_or_else(Vec::new, |transport| transport.raw_fds())
    }

    /// Whether this link was inherited over a fork and may not be used.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Whether it is the far end of a pair in this process: whoever waits at the other end runs what its inbox holds.
    pub(crate) fn is_pumped(&self) -> bool {
        self.far.get().is_some_and(|far| far.pumped.is_none())
    }

    /// It leads to a server of this very process: a thread that waits here for a call of its own chain is not to run it.
    pub fn leads_here(&self) {
        self.leads_here.store(true, Ordering::SeqCst); // SeqCst: no hot path
    }

    pub(crate) fn is_leading_here(&self) -> bool {
        self.leads_here.load(Ordering::SeqCst) // SeqCst: no hot path
    }

    fn far(&self) -> Option<Arc<Self>> {
        self.far.get().and_then(|far| far.link.upgrade())
    }

    /// Takes in at the far end of a pair what was just sent: nobody may be waiting there. Holding no lock.
    fn read_far(&self) {
        if let Some(far) = self.far() {
            far.read();
        }
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.is_inherited() {
            watch::remove_link(self.id);
        }
    }
}

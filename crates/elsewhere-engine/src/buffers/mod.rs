//! The memory that a connection passes to its peer instead of bytes.
//! Owns: what is lent and shared in both directions, and what is said of it over the socket. Must not know: frames, links,
//! what lies in the memory.
//!
//! A value names memory by a short name (see the protocol, section 11). Before the first message that names a piece of
//! memory its descriptor goes over the socket, in a message of its own; whoever meets a name that he does not know reads the
//! socket, without waiting, and finds it there.
//!
//! *Lent* memory comes from the pool of the connection: filled by one side, and then the other's alone until that gives it
//! back. *Shared* memory ([`SharedMemory`]) belongs to nobody; both sides go on using it. By the same socket go the eventfds
//! of event loops (`bells`).

mod bells;
mod error;
mod frozen;
mod shared;
mod words;

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use elsewhere_proto::{Forgotten, Timestamp};
use elsewhere_shm::pool::{Borrowed, Borrower, BufferName, Lender, Loan, Pool, PoolError, Purpose, Withheld};
use elsewhere_shm::wake::Doorbell;
use elsewhere_shm::{Key, Segment, SegmentError};

use crate::clock;
use crate::link::Link;
use crate::lock::lock;
use crate::socket::{self, Stream};

pub(crate) use bells::raise;
pub use error::{BufferError, LendError, ShareError};
pub use frozen::Frozen;
pub(crate) use shared::HandedOver;
pub use shared::{Holding, SharedMemory};
pub(crate) use words::{Inbox, Word};

/// While so many bytes are lent no more memory is made: an honest peer copies what it holds beyond that.
const LENT_MAX: usize = 1 << 30;
/// How long memory that nobody uses is kept, at the least.
const QUIET: Duration = Duration::from_secs(1);
/// The longest time between two looks for what was given back, where nothing happens meanwhile.
const QUIET_MAX: Duration = Duration::from_secs(64);
const NEVER: u64 = u64::MAX;

/// Memory that is lent for a message. Given back by its drop, unless the message was sent.
#[derive(Debug)]
pub struct Lent {
    loan: Loan,
    bytes: usize,
}

/// What a message names: kept until it is sent, or given up.
#[derive(Debug, Default)]
pub struct Enclosed {
    lent: Vec<Lent>,
    shared: Vec<Named>,
}

/// Shared memory that a message names.
#[derive(Debug)]
pub struct Named {
    number: u64,
    holding: Holding,
    /// The other end, if that lies in this process: it keeps the memory for the message.
    far: Option<Arc<Link>>,
}

impl Named {
    pub(crate) fn new(number: u64, holding: Holding, far: Option<Arc<Link>>) -> Self {
        Self { number, holding, far }
    }

    /// The number that stands for it in the message.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where its own memory begins.
    #[must_use]
    pub fn holding(&self) -> &Holding {
        &self.holding
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(far) = &self.far {
            far.unshare(self.number);
        }
    }
}

/// What of both directions belongs to one connection.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// Where descriptors go. None after the end.
    socket: Mutex<Option<Stream>>,
    /// Whether the peer agreed to it.
    is_on: AtomicBool,
    lender: Mutex<Lender>,
    incoming: Mutex<Incoming>,
    sharing: Mutex<Sharing>,
    /// What wakes the peer, while the stream is there: it keeps the socket open.
    doorbell: Weak<Doorbell>,
    /// When to look what is not needed any more, in ns.
    due: AtomicU64,
    /// How long after the last look.
    pause: AtomicU64,
}

/// What the peer handed over.
#[derive(Debug)]
struct Incoming {
    words: Inbox,
    /// None after the end, when nobody will name what was lent.
    borrower: Option<Borrower>,
    /// None for memory that could not be mapped.
    shared: HashMap<u64, Option<Arc<SharedMemory>>>,
}

/// What the peer was handed over to share.
#[derive(Debug, Default)]
struct Sharing {
    last: u64,
    by_number: HashMap<u64, Shared>,
}

#[derive(Debug)]
struct Shared {
    memory: Arc<SharedMemory>,
    was_named: bool,
}

impl Lent {
    /// Slot and generation.
    #[must_use]
    pub fn name(&self) -> BufferName {
        self.loan.name()
    }
}

impl Enclosed {
    /// Adds what the message names.
    pub fn lend(&mut self, lent: Lent) {
        self.lent.push(lent);
    }

    /// Adds what the message names.
    pub fn share(&mut self, named: Named) {
        self.shared.push(named);
    }

    /// Adds everything of another part of the message.
    pub fn append(&mut self, mut other: Self) {
        self.lent.append(&mut other.lent);
        self.shared.append(&mut other.shared);
    }

    /// How much there is, to come back to by [`truncate`](Self::truncate).
    #[must_use]
    pub fn mark(&self) -> (usize, usize) {
        (self.lent.len(), self.shared.len())
    }

    /// Gives up everything since [`mark`](Self::mark) was this.
    pub fn truncate(&mut self, (lent, shared): (usize, usize)) {
        self.lent.truncate(lent);
        self.shared.truncate(shared);
    }

    /// What the lent memory weighs in the window of the peer.
    #[must_use]
    pub fn weight(&self) -> u16 {
        elsewhere_proto::weight_of(self.lent.iter().map(|lent| lent.bytes).sum())
    }

    /// The message is sent: only the peer gives back what it names.
    pub fn sent(self) {
        for lent in self.lent {
            let _ = lent.loan.sent(); // its name stands in the message
        }
        for mut named in self.shared {
            drop(named.far.take());
        }
    }
}

impl Buffers {
    pub(crate) fn new(pool: Pool, socket: Stream, doorbell: &Arc<Doorbell>) -> Self {
        let Pool { lender, borrower } = pool;
        Self {
            socket: Mutex::new(Some(socket)),
            is_on: AtomicBool::new(false),
            lender: Mutex::new(lender),
            incoming: Mutex::new(Incoming {
                words: Inbox::default(),
                borrower: Some(borrower),
                shared: HashMap::new(),
            }),
            sharing: Mutex::default(),
            doorbell: Arc::downgrade(doorbell),
            due: AtomicU64::new(NEVER),
            pause: AtomicU64::new(0),
        }
    }

    /// Words go over this socket from now on.
    pub(crate) fn go_over(&self, socket: Stream) {
        let before = lock(&self.socket).replace(socket);
        drop(before); // after the lock
    }

    /// The descriptor that words go over. Called in a forked child, too, where the lock may be held for ever.
    pub(crate) fn raw_fd(&self) -> Option<RawFd> {
        crate::lock::try_lock(&self.socket)?.as_ref().map(|socket| socket.as_fd().as_raw_fd())
    }

    /// The peer has agreed.
    pub(crate) fn turn_on(&self) {
        self.is_on.store(true, Ordering::Release);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire) // pairs with the Release in `turn_on`; nothing but the flag is published
    }

    /// The connection has ended: takes what came last, and lets go of the socket and of what is kept for the peer.
    pub(crate) fn end(&self) {
        let _ = self.take_words(); // what it breaks is of no interest any more
        let sharing = std::mem::take(&mut *lock(&self.sharing));
        let socket = lock(&self.socket).take();
        drop((sharing, socket)); // after the locks
        lock(&self.lender).end();
        let _ = self.doorbell.upgrade().map(|doorbell| doorbell.forget_loops());
    }

    /// After the end: nothing that arrived names memory any more.
    pub(crate) fn forget_all(&self) {
        let (borrower, shared) = {
            let mut incoming = lock(&self.incoming);
            (incoming.borrower.take(), std::mem::take(&mut incoming.shared))
        };
        drop((borrower, shared)); // after the lock
    }

    fn socket(&self) -> Option<Stream> {
        lock(&self.socket).clone()
    }

    /// Memory with a copy of `content`, which the peer knows of and may do with what `purpose` says. None where none can be
    /// made: then the content has to go by other ways. The memory is filled, and made, without a lock, and as long as it
    /// `goes_on`.
    ///
    /// # Errors
    /// [`SegmentError::Memory`] where there is no memory for a copy, whichever way it goes; [`SegmentError::GivenUp`] if it
    /// does not go on; violations of the peer.
    pub(crate) fn lend(
        &self,
        content: &[u8],
        purpose: Purpose,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Lent>, PoolError> {
        let bytes = content.len();
        let found = lock(&self.lender).reuse(bytes, purpose)?;
        if let Some(loan) = found {
            return match loan.fill(content, goes_on) {
                Ok(()) => Ok(self.hand_over(loan, bytes)),
                Err(error @ PoolError::Segment(SegmentError::GivenUp)) => Err(error),
                Err(_) => Ok(None),
            };
        }
        if self.socket().is_none() || lock(&self.lender).lent_bytes() > LENT_MAX {
            return Ok(None);
        }
        let (segment, fd) = match Lender::make(content, bytes, goes_on) {
            Ok(made) => made,
            Err(error @ (PoolError::Violated(_) | PoolError::Segment(SegmentError::GivenUp))) => return Err(error),
            Err(error @ PoolError::Segment(SegmentError::Memory(_))) => {
                lock(&self.lender).let_go(); // for the next who asks
                return Err(error);
            }
            Err(_) => return Ok(None),
        };
        let made = lock(&self.lender).lend_new(segment, fd, purpose);
        match made {
            Ok(loan) => Ok(self.hand_over(loan, bytes)),
            Err(PoolError::Violated(violation)) => Err(violation.into()),
            Err(_) => Ok(None),
        }
    }

    /// Has the peer know of what is lent, unless it does. Where the socket has no room the loan comes back with its
    /// descriptor, which goes to the peer when the same is lent again.
    fn hand_over(&self, mut loan: Loan, bytes: usize) -> Option<Lent> {
        if let Some(fd) = loan.fd() {
            let BufferName { slot, generation } = loan.name();
            let word = Word::Lent { slot, generation, bytes: loan.bytes() as u64, purpose: loan.purpose() };
            self.tell(word, fd).ok()?;
            lock(&self.lender).handed_over(&mut loan);
        }
        Some(Lent { loan, bytes })
    }

    fn tell(&self, word: Word, fd: impl AsFd) -> rustix::io::Result<()> {
        let socket = self.socket().ok_or(rustix::io::Errno::PIPE)?;
        socket::send_with(&socket, &word.to_bytes(), &[fd.as_fd()])
    }

    /// Waits until the peer has read so much of the socket that there is room for more; whether it has in time.
    pub(crate) fn wait_for_room(&self, timeout: Duration) -> bool {
        self.socket().is_some_and(|socket| socket.wait_for_room(timeout))
    }

    /// The number by which the peer knows `holding`'s memory from now on.
    pub(crate) fn name(&self, holding: &Holding) -> Result<u64, ShareError> {
        let memory = holding.memory();
        let mut sharing = lock(&self.sharing);
        if let Some((number, shared)) = sharing.find(memory) {
            shared.was_named = true;
            return Ok(number);
        }
        let fd = memory.fd().ok_or(ShareError::NoWay)?;
        let number = sharing.add(memory);
        let word = Word::Shared { number, bytes: memory.bytes() as u64, is_frozen: memory.is_frozen() };
        match self.tell(word, fd) {
            Ok(()) => Ok(number),
            Err(errno) => {
                sharing.by_number.remove(&number);
                Err(ShareError::Unsent(errno))
            }
        }
    }

    /// Begins to use what a message names as lent.
    pub(crate) fn borrow(&self, name: BufferName, bytes: usize) -> Result<Borrowed, PoolError> {
        let mut incoming = lock(&self.incoming);
        self.look_for(&mut incoming, name)?;
        incoming.borrower()?.take(name, bytes)
    }

    /// Keeps for good what was borrowed; it comes back if it cannot be passed on.
    pub(crate) fn withhold(&self, borrowed: Borrowed) -> Result<Withheld, Borrowed> {
        Borrower::withhold(lock(&self.incoming).borrower.as_mut(), borrowed)
    }

    /// The memory that a message names as shared; the outer None for a number that was never handed over, the inner for
    /// memory that could not be mapped.
    pub(crate) fn shared(&self, number: u64) -> Result<Option<Option<Holding>>, PoolError> {
        let mut incoming = lock(&self.incoming);
        if !incoming.shared.contains_key(&number) {
            self.take_words_of(&mut incoming)?;
        }
        Ok(incoming.shared.get(&number).map(|memory| memory.as_ref().map(SharedMemory::hold)))
    }

    /// Takes what lies in the socket; tells whether that has ended.
    pub(crate) fn take_words(&self) -> Result<bool, PoolError> {
        self.take_words_of(&mut lock(&self.incoming))
    }

    fn take_words_of(&self, incoming: &mut Incoming) -> Result<bool, PoolError> {
        let doorbell = self.doorbell.upgrade();
        incoming.take_words(self.socket().as_ref(), doorbell.as_deref(), |key| lock(&self.lender).find(key))
    }

    /// Reads the socket if `name` is not known.
    fn look_for(&self, incoming: &mut Incoming, name: BufferName) -> Result<(), PoolError> {
        if !incoming.borrower()?.knows(name) {
            self.take_words_of(incoming)?;
        }
        Ok(())
    }

    /// Does what the peer said of memory.
    pub(crate) fn forget(&self, what: Forgotten) -> Result<(), PoolError> {
        match what {
            Forgotten::Lent { slot, generation } => {
                let name = BufferName { slot, generation };
                let mut incoming = lock(&self.incoming);
                self.look_for(&mut incoming, name)?;
                incoming.borrower()?.forget(name)
            }
            Forgotten::Withheld { slot, generation } => Ok(lock(&self.lender).lose(BufferName { slot, generation })?),
            Forgotten::Shared { number } => {
                let gone = {
                    let mut incoming = lock(&self.incoming);
                    if !incoming.shared.contains_key(&number) {
                        self.take_words_of(&mut incoming)?; // it was told, and no message named it
                    }
                    incoming.shared.remove(&number)
                };
                drop(gone); // after the lock
                Ok(())
            }
            Forgotten::Unmapped { number } => {
                let gone = lock(&self.sharing).by_number.remove(&number);
                drop(gone); // after the lock
                Ok(())
            }
        }
    }

    /// Whether memory of the peer is kept for the case that it is named again.
    pub(crate) fn is_keeping(&self) -> bool {
        let incoming = lock(&self.incoming);
        !incoming.shared.is_empty() || incoming.borrower.as_ref().is_some_and(|borrower| borrower.mapped() > 0)
    }

    /// When [`trim`](Self::trim) is to be called.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let due = self.due.load(Ordering::SeqCst);
        (due != NEVER).then_some(Timestamp(Duration::from_nanos(due)))
    }

    /// Memory was used: it is to be looked at when it is quiet. Returns when, if that is news.
    pub(crate) fn note_use(&self) -> Option<Timestamp> {
        let due = self.due.load(Ordering::Relaxed); // Relaxed: a use that is missed has another behind it, or the look itself
        let is_soon = due != NEVER && self.pause.load(Ordering::Relaxed) == nanos(QUIET); // Relaxed: as above
        (!is_soon).then(|| self.schedule(QUIET))
    }

    fn schedule(&self, pause: Duration) -> Timestamp {
        let due = Timestamp(clock::now().0 + pause);
        self.pause.store(nanos(pause), Ordering::SeqCst);
        self.due.store(nanos(due.0), Ordering::SeqCst);
        due
    }

    /// Lets go of what nobody used since the last time, and tells what the peer should let go of too.
    pub(crate) fn trim(&self) -> Result<Vec<Forgotten>, PoolError> {
        let pause = Duration::from_nanos(self.pause.load(Ordering::SeqCst));
        self.due.store(NEVER, Ordering::SeqCst);
        let (is_any_free, is_any_lent, mut gone) = {
            let mut lender = lock(&self.lender);
            let is_any_free = lender.trim()?;
            (is_any_free, lender.counts().0 > 0, retired(&mut lender))
        };
        let dropped = lock(&self.sharing).take_unused();
        let is_any_quiet = dropped.is_any_quiet;
        gone.extend(dropped.numbers.into_iter().map(|number| Forgotten::Shared { number }));
        drop(dropped.memories); // after the lock
        if is_any_free || is_any_quiet {
            self.schedule(QUIET);
        } else if is_any_lent {
            self.schedule((pause * 2).clamp(QUIET, QUIET_MAX));
        }
        Ok(gone)
    }

    /// What the peer should let go of because more was free than is kept.
    pub(crate) fn take_retired(&self) -> Vec<Forgotten> {
        retired(&mut lock(&self.lender))
    }
}

fn retired(lender: &mut Lender) -> Vec<Forgotten> {
    let forgotten = |BufferName { slot, generation }| Forgotten::Lent { slot, generation };
    lender.take_retired().into_iter().map(forgotten).collect()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

impl Incoming {
    /// Takes what lies in the socket; tells whether that has ended. `ours` finds what is mapped here because it was lent.
    fn take_words(
        &mut self,
        socket: Option<&Stream>,
        doorbell: Option<&Doorbell>,
        ours: impl Fn(Key) -> Option<Arc<Segment>>,
    ) -> Result<bool, PoolError> {
        let Some(socket) = socket else { return Ok(true) };
        loop {
            let is_more = self.words.fill(socket);
            while let Some((word, fd)) = self.words.next().map_err(|_| unknown_word())? {
                self.accept(word, fd, doorbell, &ours)?;
            }
            if !is_more {
                return Ok(self.words.has_ended());
            }
        }
    }

    fn borrower(&mut self) -> Result<&mut Borrower, PoolError> {
        self.borrower.as_mut().ok_or(PoolError::Unusable)
    }

    fn accept(
        &mut self,
        word: Word,
        fd: Option<OwnedFd>,
        doorbell: Option<&Doorbell>,
        ours: impl Fn(Key) -> Option<Arc<Segment>>,
    ) -> Result<(), PoolError> {
        match word {
            Word::Wake => Ok(()),
            Word::Loop { number } => match doorbell {
                Some(doorbell) => Ok(doorbell.add_loop(number, bells::event_of(fd))?),
                None => Ok(()), // nothing is sent any more, so nobody is woken
            },
            Word::LoopGone { number } => match doorbell {
                Some(doorbell) => Ok(doorbell.remove_loop(number)?),
                None => Ok(()),
            },
            Word::Lent { slot, generation, bytes, purpose } => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                let name = BufferName { slot, generation };
                match purpose {
                    Purpose::Own => self.borrower()?.accept(name, bytes, fd),
                    Purpose::Read => self.borrower()?.accept_open(name, bytes, fd),
                }
            }
            Word::Shared { number, bytes, is_frozen } => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                let opened = fd.map(|fd| match is_frozen {
                    false => SharedMemory::open(fd, bytes),
                    true => SharedMemory::open_frozen(fd, bytes, ours),
                });
                let memory = match opened {
                    None | Some(Err(SegmentError::System { .. })) => None,
                    Some(opened) => Some(opened?),
                };
                self.shared.insert(number, memory);
                Ok(())
            }
        }
    }
}

/// What the socket says is none of the words that belong there.
fn unknown_word() -> PoolError {
    PoolError::Violated(elsewhere_shm::Violation::Word)
}

/// What is not named any more.
struct Unused {
    numbers: Vec<u64>,
    memories: Vec<Shared>,
    /// Whether something is left that nobody here uses.
    is_any_quiet: bool,
}

impl Sharing {
    fn find(&mut self, memory: &Arc<SharedMemory>) -> Option<(u64, &mut Shared)> {
        let mut entries = self.by_number.iter_mut();
        entries.find(|(_, shared)| Arc::ptr_eq(&shared.memory, memory)).map(|(number, shared)| (*number, shared))
    }

    fn add(&mut self, memory: &Arc<SharedMemory>) -> u64 {
        self.last += 1;
        self.by_number.insert(self.last, Shared { memory: Arc::clone(memory), was_named: true });
        self.last
    }

    /// Takes out what this process does not use, and was not named since the last time.
    fn take_unused(&mut self) -> Unused {
        let mut unused = Unused { numbers: Vec::new(), memories: Vec::new(), is_any_quiet: false };
        for (number, shared) in self.by_number.extract_if(|_, shared| !shared.memory.is_held() && !shared.was_named) {
            unused.numbers.push(number);
            unused.memories.push(shared);
        }
        for shared in self.by_number.values_mut() {
            shared.was_named = false;
            unused.is_any_quiet |= !shared.memory.is_held();
        }
        unused
    }
}

//! Memory that several processes go on using, and that is passed on without a copy.
//! Owns: the descriptors and mappings, one of each per process and piece of memory; who of this process uses it. Must not
//! know: connections, what lies in it.
//!
//! A piece of memory is known again when it comes back, by what the system calls the file behind it: that stays its own as
//! long as it is mapped here.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use elsewhere_shm::{KeptFd, Key, Segment, SegmentError, Sharing};
use rustix::io::Errno;

use crate::link::Link;
use crate::lock::{lock, try_lock};

/// What this process has mapped, by where it begins. A child of a fork inherits both.
static MAPPED: Mutex<BTreeMap<usize, Entry>> = Mutex::new(BTreeMap::new());
/// How many there are, for those who need not look.
static COUNT: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct Entry {
    bytes: usize,
    key: Key,
    memory: Weak<SharedMemory>,
}

/// A piece of memory that is shared. Goes back to the system when no process has it any more.
#[derive(Debug)]
pub struct SharedMemory {
    segment: Arc<Segment>,
    fd: Descriptor,
    /// How many bytes were asked for.
    bytes: usize,
    holders: AtomicUsize,
    /// Links whose peers were handed it, to be told when nobody here holds it.
    told: Mutex<Vec<Weak<Link>>>,
}

/// What the memory is passed on by.
#[derive(Debug)]
enum Descriptor {
    /// Of memory that was made to be shared.
    Own(OwnedFd),
    /// Of memory that nobody writes any more, as long as there is room.
    Kept(Option<Arc<KeptFd>>),
}

/// A use of memory by this process, as opposed to its being kept for the case that it is named again.
#[derive(Debug)]
pub struct Holding {
    memory: Arc<SharedMemory>,
}

impl SharedMemory {
    /// New memory of `bytes` bytes (not 0), all zeros.
    ///
    /// # Errors
    /// [`SegmentError`] where the system has none to give.
    pub fn create(bytes: usize) -> Result<Holding, SegmentError> {
        let (segment, fd) = Segment::create(bytes, Sharing::WithForks)?;
        Ok(Self::enter(&mut lock(&MAPPED), Arc::new(segment), Descriptor::Own(fd), bytes).hold())
    }

    /// Memory that a peer handed over; the same as before if it is here already.
    pub(super) fn open(fd: OwnedFd, bytes: usize) -> Result<Arc<Self>, SegmentError> {
        Self::open_with(fd, bytes, Descriptor::Own, |fd| {
            Ok(Arc::new(Segment::open_lazily(fd, bytes, Sharing::WithForks)?))
        })
    }

    /// The same for memory that nobody writes any more. `ours` finds what was lent by this process, and is mapped for that.
    pub(super) fn open_frozen(
        fd: OwnedFd,
        bytes: usize,
        ours: impl FnOnce(Key) -> Option<Arc<Segment>>,
    ) -> Result<Arc<Self>, SegmentError> {
        let keep = |fd| Descriptor::Kept(KeptFd::keep(fd).map(Arc::new));
        Self::open_with(fd, bytes, keep, |fd| {
            let key = Key::of(fd).map_err(|errno| failed(bytes, errno))?;
            match ours(key).filter(|segment| segment.bytes() == bytes && segment.is_own()) {
                Some(segment) => Ok(segment),
                None => Ok(Arc::new(Segment::open_lazily(fd, bytes, Sharing::WithForks)?)),
            }
        })
    }

    /// Memory that a peer has lent to be read, and that it does not get back.
    pub(super) fn adopt(segment: Arc<Segment>, fd: Arc<KeptFd>) -> Holding {
        let bytes = segment.bytes();
        Self::enter(&mut lock(&MAPPED), segment, Descriptor::Kept(Some(fd)), bytes).hold()
    }

    fn open_with(
        fd: OwnedFd,
        bytes: usize,
        keep: impl FnOnce(OwnedFd) -> Descriptor,
        map: impl FnOnce(&OwnedFd) -> Result<Arc<Segment>, SegmentError>,
    ) -> Result<Arc<Self>, SegmentError> {
        let key = Key::of(&fd).map_err(|errno| failed(bytes, errno))?;
        let mut mapped = lock(&MAPPED);
        let known = mapped.values().filter(|entry| entry.key == key).find_map(|entry| entry.memory.upgrade());
        if let Some(known) = known {
            drop(mapped); // its drop, if it is the last, takes the lock
            let found = known.segment.bytes() as u64;
            return if known.bytes == bytes {
                Ok(known)
            } else {
                Err(SegmentError::WrongSize { found, expected: bytes })
            };
        }
        let segment = map(&fd)?;
        Ok(Self::enter(&mut mapped, segment, keep(fd), bytes))
    }

    fn enter(mapped: &mut BTreeMap<usize, Entry>, segment: Arc<Segment>, fd: Descriptor, bytes: usize) -> Arc<Self> {
        let (start, key) = (segment.start().as_ptr().addr(), segment.key());
        let memory = Arc::new(Self { segment, fd, bytes, holders: AtomicUsize::new(0), told: Mutex::default() });
        mapped.insert(start, Entry { bytes, key, memory: Arc::downgrade(&memory) });
        COUNT.store(mapped.len(), Ordering::SeqCst);
        memory
    }

    /// Begins to use it.
    pub(super) fn hold(self: &Arc<Self>) -> Holding {
        self.holders.fetch_add(1, Ordering::SeqCst);
        Holding { memory: Arc::clone(self) }
    }

    /// Whether this process has any.
    #[must_use]
    pub fn is_any() -> bool {
        COUNT.load(Ordering::Relaxed) > 0 // Relaxed: see `find`
    }

    /// The shared memory that `bytes` bytes from `address` on lie in, and how far from its beginning.
    #[must_use]
    pub fn find(address: usize, bytes: usize) -> Option<(Holding, usize)> {
        // Relaxed: who has an address of such memory has it from whoever counted it.
        if !Self::is_any() {
            return None;
        }
        let mapped = lock(&MAPPED);
        let (start, entry) = mapped.range(..=address).next_back()?;
        let offset = address - start;
        let is_inside = offset.checked_add(bytes).is_some_and(|end| end <= entry.bytes);
        let memory = entry.memory.upgrade();
        let found = memory.filter(|_| is_inside).map(|memory| (memory.hold(), offset));
        drop(mapped);
        found
    }

    /// Whether this process uses it.
    pub(super) fn is_held(&self) -> bool {
        self.holders.load(Ordering::SeqCst) > 0
    }

    /// None where there was no room to keep it.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.fd {
            Descriptor::Own(fd) => Some(fd.as_fd()),
            Descriptor::Kept(fd) => fd.as_ref().map(AsFd::as_fd),
        }
    }

    /// Whether nobody writes it any more.
    pub(super) fn is_frozen(&self) -> bool {
        matches!(self.fd, Descriptor::Kept(_))
    }

    /// How many bytes were asked for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let start = self.segment.start().as_ptr().addr();
        let mut mapped = lock(&MAPPED);
        mapped.remove(&start); // the mapping is still here, so nothing else can have this address
        COUNT.store(mapped.len(), Ordering::SeqCst);
    }
}

impl Holding {
    pub(super) fn memory(&self) -> &Arc<SharedMemory> {
        &self.memory
    }

    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes
    }

    /// Where it begins. Valid as long as the holding; others may write it at any time.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.memory.segment.start()
    }

    /// Whether nobody writes it any more: then it is all the same whether it is passed on or a copy.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.memory.is_frozen()
    }

    /// Has `link` told when nobody here uses the memory any more.
    pub(crate) fn tell(&self, link: &Arc<Link>) {
        let link = Arc::downgrade(link);
        let mut told = lock(&self.memory.told);
        if !told.iter().any(|other| other.ptr_eq(&link)) {
            told.retain(|other| other.strong_count() > 0);
            told.push(link);
        }
    }
}

impl Clone for Holding {
    fn clone(&self) -> Self {
        self.memory.hold()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.memory.holders.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        // Without waiting: whoever adds a link right now has the link look at the memory anyway.
        let links = try_lock(&self.memory.told).map(|told| told.iter().filter_map(Weak::upgrade).collect::<Vec<_>>());
        links.unwrap_or_default().iter().for_each(Link::look_at_memory_soon);
    }
}

/// Memory on its way between two ends in this process, by the numbers in the messages.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    state: Mutex<(u64, HashMap<u64, Holding>)>,
}

impl HandedOver {
    pub(crate) fn name(&self, holding: &Holding) -> u64 {
        let mut state = lock(&self.state);
        state.0 += 1;
        let number = state.0;
        state.1.insert(number, holding.clone());
        number
    }

    pub(crate) fn take(&self, number: u64) -> Option<Holding> {
        lock(&self.state).1.remove(&number)
    }
}

fn failed(bytes: usize, errno: Errno) -> SegmentError {
    SegmentError::System { call: "fstat", bytes, errno }
}

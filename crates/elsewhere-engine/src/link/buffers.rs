//! Memory that is passed beside the messages of a link.
//! Owns: what becomes of a peer that breaks its rules, and when memory is let go of. Must not know: how memory is made,
//! what lies in it.

use std::sync::Arc;
use std::time::Duration;

use elsewhere_proto::codec::{BufferPlace, lent_buffers};
use elsewhere_proto::{Capabilities, Forgotten, Timestamp};
use elsewhere_shm::SegmentError;
use elsewhere_shm::pool::{Borrowed, Borrower, BufferName, PoolError, Purpose, Withheld};

use super::Link;
use crate::buffers::{BufferError, Buffers, Frozen, Holding, LendError, Lent, Named, ShareError};
use crate::clock;
use crate::lock::lock;

/// No value that names memory takes fewer bytes.
const SHORTEST_NAME: usize = 29;

/// No memory has this number. Who is told to forget it reads what else it was told.
const NOTHING: u64 = 0;

/// How long a peer may take to read what it was told.
const PATIENCE: Duration = Duration::from_secs(1);

impl Link {
    /// Whether the peer takes what is lent and shared.
    #[must_use]
    pub fn takes_buffers(&self) -> bool {
        self.buffers_of_both().is_some()
    }

    /// What passes memory, if both sides can.
    fn buffers_of_both(&self) -> Option<&Buffers> {
        let is_agreed = self.peer().is_some_and(|hello| hello.capabilities.has(Capabilities::BUFFERS));
        self.passing().filter(|_| is_agreed)
    }

    /// Where memory of the peer comes from, on a link in shared memory.
    fn passing(&self) -> Option<&Buffers> {
        self.memory.as_deref().filter(|memory| memory.is_on() && !self.is_inherited())
    }

    /// Whether memory can be shared with whoever is at the other end.
    #[must_use]
    pub fn can_share(&self) -> bool {
        self.takes_buffers() || self.far().is_some()
    }

    /// Lends the peer memory with a copy of `content`, for it to do with what `purpose` says. None where none can be made, or
    /// the peer takes none: then the content goes in the message itself. While it is copied, every few milliseconds, it is
    /// asked whether that `goes_on`.
    ///
    /// # Errors
    /// [`LendError`]: the content must not go in a message then.
    pub fn lend(
        self: &Arc<Self>,
        content: &[u8],
        purpose: Purpose,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Lent>, LendError> {
        let Some(buffers) = self.buffers_of_both() else { return Ok(None) };
        let lent = match buffers.lend(content, purpose, goes_on) {
            Err(PoolError::Segment(SegmentError::Memory(shortage))) => Err(LendError::Memory(shortage)),
            Err(PoolError::Segment(SegmentError::GivenUp)) => Err(LendError::GivenUp),
            lent => Ok(self.checked(lent).ok().flatten()),
        };
        self.tell_forgotten(buffers.take_retired());
        self.look_at_memory_soon();
        lent
    }

    /// Has shared memory named in a message to the peer.
    ///
    /// # Errors
    /// [`ShareError`].
    pub fn share(self: &Arc<Self>, holding: Holding) -> Result<Named, ShareError> {
        if let Some(far) = self.far() {
            let number = far.shared_here.name(&holding);
            return Ok(Named::new(number, holding, Some(far)));
        }
        let number = self.buffers_of_both().ok_or(ShareError::NoWay)?.name(&holding)?;
        holding.tell(self);
        self.look_at_memory_soon();
        Ok(Named::new(number, holding, None))
    }

    /// Has the peer read what it was told of memory, so that it can be told of more; whether it did in time.
    pub fn make_room_for_names(self: &Arc<Self>) -> bool {
        self.tell_forgotten(vec![Forgotten::Shared { number: NOTHING }]);
        self.passing().is_some_and(|buffers| buffers.wait_for_room(PATIENCE))
    }

    /// Takes back memory that was to be named in a message to this end of a pair.
    pub(crate) fn unshare(&self, number: u64) {
        drop(self.shared_here.take(number));
    }

    /// Begins to use memory that a message of the peer names as lent.
    ///
    /// # Errors
    /// [`BufferError`].
    pub fn borrow_buffer(self: &Arc<Self>, name: BufferName, bytes: u64) -> Result<Borrowed, BufferError> {
        let Some(buffers) = self.passing() else { return Err(self.unknown()) };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match self.checked(buffers.borrow(name, bytes)) {
            Err(BufferError::Unusable) => {
                let BufferName { slot, generation } = name;
                self.tell_forgotten(vec![Forgotten::Withheld { slot, generation }]);
                Err(BufferError::Unusable)
            }
            borrowed => {
                self.attention.set_keeping(true);
                self.touch();
                borrowed
            }
        }
    }

    /// From now on what was borrowed is only read here.
    #[must_use]
    pub fn freeze(self: &Arc<Self>, borrowed: Borrowed) -> Arc<Frozen> {
        Frozen::enter(borrowed, self)
    }

    /// Keeps for good what was borrowed from the peer of `link`, which may be gone.
    pub(crate) fn withhold(link: Option<&Arc<Self>>, borrowed: Borrowed) -> Result<Withheld, Borrowed> {
        match link.and_then(|link| link.passing()) {
            Some(buffers) => buffers.withhold(borrowed),
            None => Borrower::withhold(None, borrowed),
        }
    }

    /// The peer is not to wait for a loan that was passed on.
    pub(crate) fn tell_withheld(self: &Arc<Self>, name: BufferName) {
        if self.passing().is_some() {
            let BufferName { slot, generation } = name;
            self.tell_forgotten(vec![Forgotten::Withheld { slot, generation }]);
        }
    }

    /// Begins to use memory that a message of the peer names as shared.
    ///
    /// # Errors
    /// [`BufferError`].
    pub fn shared_buffer(self: &Arc<Self>, number: u64) -> Result<Holding, BufferError> {
        if self.far().is_some() {
            return self.shared_here.take(number).ok_or_else(|| self.unknown());
        }
        let Some(buffers) = self.passing() else { return Err(self.unknown()) };
        match self.checked(buffers.shared(number))? {
            Some(Some(holding)) => {
                self.attention.set_keeping(true);
                self.touch();
                Ok(holding)
            }
            Some(None) => {
                let _ = buffers.forget(Forgotten::Shared { number });
                self.tell_forgotten(vec![Forgotten::Unmapped { number }]);
                Err(BufferError::Unusable)
            }
            None => Err(self.unknown()),
        }
    }

    /// A violation ends the link; everything else is for the caller.
    fn checked<T>(&self, done: Result<T, PoolError>) -> Result<T, BufferError> {
        done.map_err(|error| match error {
            PoolError::Unusable => BufferError::Unusable,
            error => self.broken(error.to_string()),
        })
    }

    fn unknown(&self) -> BufferError {
        self.broken("peer named memory that it never handed over".to_owned())
    }

    fn broken(&self, text: String) -> BufferError {
        if !self.is_inherited() {
            self.violated(text.clone());
        }
        BufferError::Violated(text)
    }

    /// Gives back what `body` names and nobody took, except the first `taken`.
    pub fn discard_buffers(self: &Arc<Self>, body: &[u8], taken: usize) {
        if self.passing().is_none() && self.far().is_none() {
            return;
        }
        let Ok(places) = lent_buffers(body, self.limits) else { return };
        for place in places.into_iter().skip(taken) {
            match place {
                BufferPlace::Lent { slot, generation } => {
                    drop(self.borrow_buffer(BufferName { slot, generation }, 0)); // which gives it back
                }
                BufferPlace::Shared { number, .. } if self.far().is_some() => drop(self.shared_here.take(number)),
                BufferPlace::Shared { .. } => {}
            }
        }
    }

    /// The peer says that it does not name some memory any more, or cannot use it.
    pub(super) fn on_forgotten(self: &Arc<Self>, what: Forgotten) {
        match self.passing() {
            Some(buffers) => {
                let _ = self.checked(buffers.forget(what)); // a violation was told to the link
                if matches!(what, Forgotten::Withheld { .. }) {
                    self.look_at_memory_soon(); // it is unmapped then, and not on the way of a call
                }
                if !buffers.is_keeping() {
                    self.attention.set_keeping(false);
                }
            }
            None => drop(self.unknown()),
        }
    }

    fn tell_forgotten(self: &Arc<Self>, forgotten: Vec<Forgotten>) {
        if !forgotten.is_empty() {
            self.with_wire(|wire| forgotten.into_iter().for_each(|what| wire.protocol.forget(what)));
        }
    }

    /// Has the watch thread look what memory is not needed any more, when it is quiet.
    pub(crate) fn look_at_memory_soon(self: &Arc<Self>) {
        if let Some(at) = self.passing().and_then(Buffers::note_use) {
            self.bell().schedule(at);
        }
    }

    /// When the watch thread is to look next.
    pub(super) fn next_look_at_memory(&self) -> Option<Timestamp> {
        self.passing().and_then(Buffers::due)
    }

    /// Lets go of memory that nobody needs, if it is time.
    pub(super) fn look_at_memory(self: &Arc<Self>) {
        let Some(buffers) = self.passing() else { return };
        if buffers.due().is_some_and(|at| at <= clock::now())
            && let Ok(forgotten) = self.checked(buffers.trim())
        {
            self.tell_forgotten(forgotten);
        }
    }

    /// The link has ended. What arrived and nobody decoded may still name memory.
    pub(super) fn end_memory(&self) {
        if let Some(memory) = &self.memory {
            memory.end();
        }
        self.forget_memory_if_done();
    }

    /// After the end: lets go of all memory of the peer once nothing names it any more.
    pub(super) fn forget_memory_if_done(&self) {
        if let Some(memory) = self.memory.as_ref().filter(|_| self.loss().is_some())
            && lock(&self.undecoded).is_empty()
        {
            memory.forget_all();
        }
    }

    /// Whether `body` names memory.
    pub(super) fn names_memory(&self, body: &[u8]) -> bool {
        let may_name = body.len() >= SHORTEST_NAME && self.memory.is_some();
        may_name && lent_buffers(body, self.limits).is_ok_and(|places| !places.is_empty())
    }
}

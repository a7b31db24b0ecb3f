//! Which thread waits in which chain of calls, over all links of the process.
//! Owns: the table of waiting chains. Must not know: how a thread waits, how a call is run.
//!
//! A call of a chain runs in the thread that waits in this chain, else in whoever serves the link's inbox. Both sides of
//! the decision happen under one lock: the router looks for a seat and otherwise queues the call, a thread that sits
//! down takes what is queued for its chain. So a call never lies in an inbox while the thread that its chain waits in
//! sleeps; a serial host, whose inbox that very thread serves, would wait for ever.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use elsewhere_proto::{CallId, ChainId};

use crate::inbox::{Inbox, Incoming};
use crate::link::Link;
use crate::lock::lock;
use crate::parker::Parker;

static CHAINS: Mutex<Chains> = Mutex::new(Chains { seats: Vec::new(), inboxes: Vec::new(), next_key: 0 });
/// Calls that lie in seats. A hint that saves the lock: it is raised before the wake and read after it.
static SEATED: AtomicUsize = AtomicUsize::new(0);
/// Calls that lie in inboxes. A hint likewise: it changes under the inbox's lock, which the router holds inside ours.
static QUEUED: AtomicIsize = AtomicIsize::new(0);

pub(crate) struct Chains {
    seats: Vec<Seat>,
    inboxes: Vec<Weak<Inbox>>,
    next_key: u64,
}

struct Seat {
    key: u64,
    chain: ChainId,
    link: u64,
    /// The other link of a pair in this process: what arrives there is what this thread called, not what calls it back.
    far: Option<u64>,
    parker: Arc<Parker>,
    calls: VecDeque<Incoming>,
}

/// A thread's seat in its chain; its drop leaves it.
pub(crate) struct Waiting {
    key: Option<u64>,
}

pub(crate) fn add_inbox(inbox: &Arc<Inbox>) {
    let mut chains = lock(&CHAINS);
    chains.inboxes.retain(|inbox| inbox.strong_count() > 0);
    chains.inboxes.push(Arc::downgrade(inbox));
}

pub(crate) fn count_queued(change: isize) {
    // SeqCst: a hint read under another lock; one total order keeps the argument above simple.
    QUEUED.fetch_add(change, Ordering::SeqCst);
}

/// Hands a call to the innermost thread that waits in its chain, on the same link if one does, else to `inbox`.
pub(crate) fn deliver(incoming: Incoming, inbox: &Inbox) {
    let mut chains = lock(&CHAINS);
    let (chain, link) = (incoming.call.chain, incoming.link.id());
    let of_chain = |seat: &Seat| seat.chain == chain && chain != ChainId(0) && seat.far != Some(link);
    let at = (chains.seats.iter().rposition(|seat| of_chain(seat) && seat.link == link))
        .or_else(|| chains.seats.iter().rposition(of_chain));
    match at {
        Some(at) => {
            let seat = &mut chains.seats[at];
            seat.calls.push_back(incoming);
            SEATED.fetch_add(1, Ordering::SeqCst); // before the wake: whoever it wakes must see it
            seat.parker.wake();
        }
        None => inbox.push(crate::inbox::Work::Call(incoming)),
    }
}

/// Sits down in `chain`, with the calls of this chain that came before. Chain 0 is no chain.
pub(crate) fn sit(chain: ChainId, link: &Link, parker: &Arc<Parker>) -> Waiting {
    if chain == ChainId(0) {
        return Waiting { key: None };
    }
    // Held longer than the lock: the drop of an inbox may drop links, which takes other locks.
    let mut inboxes = Vec::new();
    let far = link.far_id();
    let mut chains = lock(&CHAINS);
    let mut calls = VecDeque::new();
    if QUEUED.load(Ordering::SeqCst) > 0 {
        inboxes.extend(chains.inboxes.iter().filter_map(Weak::upgrade));
        calls.extend(inboxes.iter().flat_map(|inbox| inbox.take_chain(chain, far)));
    }
    SEATED.fetch_add(calls.len(), Ordering::SeqCst);
    let key = chains.next_key;
    chains.next_key += 1;
    chains.seats.push(Seat { key, chain, link: link.id(), far, parker: Arc::clone(parker), calls });
    drop(chains);
    drop(inboxes);
    Waiting { key: Some(key) }
}

/// Removes a call of `link` that nobody has begun, from a seat or from `inbox`.
pub(crate) fn remove_call(link: &Link, inbox: &Inbox, call: CallId) -> Option<Incoming> {
    let mut chains = lock(&CHAINS);
    let of_call = |incoming: &Incoming| incoming.call.call == call && incoming.link.id() == link.id();
    for seat in &mut chains.seats {
        if let Some(at) = seat.calls.iter().position(of_call) {
            SEATED.fetch_sub(1, Ordering::SeqCst);
            return seat.calls.remove(at);
        }
    }
    inbox.remove_call(link, call)
}

impl Waiting {
    /// The next call to run in this thread.
    pub(crate) fn take_call(&self) -> Option<Incoming> {
        let key = self.key?;
        if SEATED.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut chains = lock(&CHAINS);
        let incoming = chains.seats.iter_mut().find(|seat| seat.key == key)?.calls.pop_front();
        if incoming.is_some() {
            SEATED.fetch_sub(1, Ordering::SeqCst);
        }
        incoming
    }
}

impl Drop for Waiting {
    /// Calls left in the seat go back to the front of their inboxes, in order.
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut chains = lock(&CHAINS);
        let Some(at) = chains.seats.iter().rposition(|seat| seat.key == key) else { return };
        let seat = chains.seats.remove(at);
        SEATED.fetch_sub(seat.calls.len(), Ordering::SeqCst);
        for incoming in seat.calls.into_iter().rev() {
            let inbox = Arc::clone(incoming.link.inbox());
            inbox.put_back(incoming);
        }
    }
}

/// Holds the table still across a fork.
pub(crate) fn hold() -> MutexGuard<'static, Chains> {
    lock(&CHAINS)
}

/// Forgets everything in a forked child: its threads and links are not here.
pub(crate) fn clear(chains: &mut Chains) {
    std::mem::take(&mut chains.seats).into_iter().for_each(std::mem::forget);
    std::mem::take(&mut chains.inboxes).into_iter().for_each(std::mem::forget);
    SEATED.store(0, Ordering::SeqCst);
    QUEUED.store(0, Ordering::SeqCst);
}

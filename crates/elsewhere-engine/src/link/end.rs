//! How a link ends.
//! Owns: the close from this side, the end seen from the other, the loss that everybody is told. Must not know: how a
//! process ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use elsewhere_proto::{Outcome, Violation};
use rustix::io::Errno;

use super::Link;
use super::wire::Wire;
use crate::error::{Arrival, Loss};
use crate::interrupts;
use crate::lock::lock;
use crate::observer::Observer;
use crate::pending::Pending;
use crate::transport::{Half, PeerEnd, Transport};
use crate::watch::{self, Ask};

/// What a link means to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its end is the end of the link.
    Plain,
    /// Its peer is a process of ours: its end is explained by how that process ended.
    Host,
    /// Its peer owns this process: its end ends us.
    Owner,
    /// Its peer has connected to us: when it is done with us, so are we with it.
    Client,
}

#[derive(Debug)]
pub(super) struct State {
    kind: Kind,
    is_closing: AtomicBool,
    is_shut: AtomicBool,
    is_peer_closing: AtomicBool,
    is_input_over: AtomicBool,
    /// Who else uses what its peer, the owner, made here.
    guests: AtomicUsize,
    loss: OnceLock<Arc<Loss>>,
    violation: Mutex<Option<String>>,
    refusal: Mutex<Option<String>>,
    /// Why the stream ended, where that was neither side's wish.
    failure: Mutex<Option<String>>,
    /// None when they were told, which is the last step of the end.
    observers: Mutex<Option<Vec<Observer>>>,
}

impl State {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            is_closing: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            is_peer_closing: AtomicBool::new(false),
            is_input_over: AtomicBool::new(false),
            guests: AtomicUsize::new(0),
            loss: OnceLock::new(),
            violation: Mutex::default(),
            refusal: Mutex::default(),
            failure: Mutex::default(),
            observers: Mutex::new(Some(Vec::new())),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.loss.get().is_some()
    }

    /// Whether nothing more will come from the peer.
    pub(super) fn is_input_over(&self) -> bool {
        self.is_input_over.load(Ordering::SeqCst)
    }

    pub(super) fn note_peer_closing(&self) {
        self.is_peer_closing.store(true, Ordering::SeqCst);
    }

    /// What the peer said when it took no more calls.
    pub(super) fn refusal(&self) -> Option<String> {
        lock(&self.refusal).clone()
    }

    pub(super) fn note_refusal(&self, text: String) {
        *lock(&self.refusal) = Some(text);
    }
}

/// What is known of a peer whose link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerFate {
    /// It ended its stream or is dead, and everything it sent was taken in.
    Ended,
    /// The link was given up from this side; the peer may go on with all it got.
    MayGoOn,
}

impl Link {
    /// Why the link is no more; None while it lives.
    #[must_use]
    pub fn loss(&self) -> Option<Arc<Loss>> {
        self.end.loss.get().cloned()
    }

    /// Whether the link is no more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.end.is_over()
    }

    /// Tells `observer` once when the link is no more. Returns whether it is so already; then the observer is not told.
    /// Either way nothing of the link is left then: no call is taken any more, no descriptor is open.
    pub fn observe_loss(&self, observer: Observer) -> bool {
        let mut observers = lock(&self.end.observers);
        if let Some(observers) = &mut *observers {
            observers.push(observer);
        }
        observers.is_none()
    }

    /// Whether it was closed from this side.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.end.is_closing.load(Ordering::SeqCst)
    }

    /// Whether the peer makes no more calls and ends once its own are answered.
    #[must_use]
    pub fn is_peer_closing(&self) -> bool {
        self.end.is_peer_closing.load(Ordering::SeqCst)
    }

    /// Accepts no more calls and tells the peer so, which finishes what it accepted and ends. The write side is shut down
    /// as soon as nothing can follow: nothing queued, no open call of either side, no object that the peer may call.
    /// A second time does nothing. Never blocks.
    pub fn close(self: &Arc<Self>) {
        if self.is_inherited() || self.end.is_closing.swap(true, Ordering::SeqCst) {
            return;
        }
        self.attention.set_closing();
        self.with_wire(|wire| wire.protocol.close());
        self.read_far();
        self.arm_soon();
    }

    /// Ends the stream at once in both directions. What was queued is lost, open calls end with [`Loss::Closed`].
    pub fn abandon(self: &Arc<Self>) {
        if self.is_inherited() {
            return;
        }
        self.end.is_closing.store(true, Ordering::SeqCst);
        self.shut(Half::Both);
        self.notice_end();
    }

    pub(super) fn shut_if_finished(&self, wire: &Wire, transport: &Transport) {
        if !self.is_closing() || self.end.is_shut.load(Ordering::SeqCst) {
            return;
        }
        let stats = wire.protocol.stats();
        // A peer that makes no more calls can do nothing with our objects.
        let is_held = stats.exports > 0 && !self.is_peer_closing();
        if stats.calls == 0 && stats.answers == 0 && !is_held {
            self.end.is_shut.store(true, Ordering::SeqCst); // under the wire's lock, so it happens once
            transport.shutdown(Half::Write);
        }
    }

    /// Ends a call that the process made that this one was forked from: its answer goes there.
    pub(super) fn lose_inherited(&self, pending: &Pending) {
        let reason = "the call belongs to the process that this one was forked from".to_owned();
        let loss = Arc::new(Loss::Disconnected { reason });
        // It may have ended before the fork.
        let _ = pending.complete(Arrival::Lost { loss, outcome: Outcome::Unknown }, None);
    }

    /// Whether the peer is a process of ours that is dead, and everything it sent was taken in.
    pub(super) fn is_peer_dead(&self) -> bool {
        self.kind() == Kind::Host && matches!(self.end.loss.get().map(|loss| &**loss), Some(Loss::Died { .. }))
    }

    /// Ends one or both halves of the stream.
    pub(crate) fn shut(&self, half: Half) {
        if let Some(transport) = lock(&self.roles).transport() {
            transport.shutdown(half);
        }
    }

    /// The peer broke the rules: the stream ends, and so does whoever waits.
    pub(super) fn violated(&self, text: String) {
        lock(&self.end.violation).get_or_insert(text);
        self.shut(Half::Both);
        self.notice_end();
    }

    /// Keeps why the protocol cannot go on: what the peer broke, or what this side lacks.
    pub(super) fn note_broken(&self, violation: &Violation) {
        let place =
            if matches!(violation, Violation::NoMemory { .. }) { &self.end.failure } else { &self.end.violation };
        lock(place).get_or_insert_with(|| violation.to_string());
    }

    /// Why the stream is about to end, where that is known already and nobody here wished it.
    pub(super) fn trouble(&self) -> Option<Loss> {
        let broken = self.violation().map(|text| Loss::Violated { text });
        broken.or_else(|| self.failure().map(|reason| Loss::Disconnected { reason }))
    }

    /// Keeps what the system says of a stream that it ended.
    pub(super) fn note_failure(&self, error: Errno) {
        let text = match error {
            Errno::CONNRESET | Errno::PIPE | Errno::PROTO => return, // the peer's end, or its fault
            Errno::TIMEDOUT => "the peer no longer answers".to_owned(),
            other => std::io::Error::from(other).to_string(),
        };
        lock(&self.end.failure).get_or_insert(text);
    }

    /// Keeps what the peer broke of the rules of the transport, if it did.
    pub(super) fn note_violation(&self, transport: &Transport) {
        if let Some(text) = transport.violation() {
            lock(&self.end.violation).get_or_insert_with(|| text.to_owned());
        }
    }

    /// Somebody saw the end of the stream. The watch thread takes in the rest and finishes the link.
    pub(super) fn notice_end(&self) {
        if !self.end.is_input_over.swap(true, Ordering::SeqCst) {
            self.bell().ask(Ask::End(self.id));
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.end.kind
    }

    /// What the peer broke, if it did.
    pub(crate) fn violation(&self) -> Option<String> {
        lock(&self.end.violation).clone()
    }

    /// What the peer can still do.
    pub(crate) fn peer_end(&self) -> PeerEnd {
        lock(&self.roles).transport().map_or(PeerEnd::Gone, |transport| transport.peer_end())
    }

    /// Marks the input as over after an orderly half-close: nothing more comes, what was accepted is still answered.
    pub(crate) fn end_input(&self) {
        self.end.is_input_over.store(true, Ordering::SeqCst);
        self.wake_all();
        self.wake_servers();
    }

    /// Whether everything that the peer asked for is done and told, and it asks for nothing more.
    pub(super) fn has_nothing_left(&self) -> bool {
        self.is_peer_closing()
            && !self.attention.is_blocked()
            && self.stats().answers == 0
            && self.end.guests.load(Ordering::SeqCst) == 0
    }

    /// Somebody else uses what the peer made here, or was told that he may: this process goes on when the peer, its owner,
    /// is done with it, until [`remove_guest`](Self::remove_guest).
    pub fn add_guest(&self) {
        self.end.guests.fetch_add(1, Ordering::SeqCst);
    }

    /// See [`add_guest`](Self::add_guest).
    pub fn remove_guest(&self) {
        self.end.guests.fetch_sub(1, Ordering::SeqCst);
        self.wake_all();
        self.wake_servers();
    }

    /// Whether nothing more will come from the peer.
    pub(crate) fn is_input_over(&self) -> bool {
        self.end.is_input_over()
    }

    /// The end of a link without a process of ours.
    pub(crate) fn end_as_plain(self: &Arc<Self>) {
        let loss = self.plain_loss();
        let is_cut = lock(&self.roles).transport().is_some_and(|transport| transport.is_cut());
        let is_told = matches!(loss, Loss::Disconnected { .. } | Loss::Refused { .. });
        let is_seen = is_told && !is_cut && self.failure().is_none();
        self.end_with(loss, if is_seen { PeerFate::Ended } else { PeerFate::MayGoOn });
    }

    fn failure(&self) -> Option<String> {
        lock(&self.end.failure).clone()
    }

    /// How the link ends, or would end now, as far as it is known here.
    pub(super) fn plain_loss(&self) -> Loss {
        if let Some(text) = self.violation() {
            return Loss::Violated { text };
        }
        if self.is_closing() {
            return Loss::Closed;
        }
        match lock(&self.end.refusal).clone() {
            Some(text) => Loss::Refused { text },
            None => {
                Loss::Disconnected { reason: self.failure().unwrap_or_else(|| "the peer ended the stream".to_owned()) }
            }
        }
    }

    /// The end: every open call ends with `loss`, every waiter and observer is told, the stream is closed. A second time
    /// does nothing. Only the watch thread comes here, after it took in everything that had arrived.
    ///
    /// Only of a peer that ended its stream, or is dead, is it known how far it got.
    pub(crate) fn end_with(self: &Arc<Self>, loss: Loss, fate: PeerFate) {
        if self.end.loss.set(Arc::new(loss)).is_err() {
            return;
        }
        self.end.is_input_over.store(true, Ordering::SeqCst);
        watch::remove_link(self.id);
        self.drop_watched();
        lock(&self.reader).transport = None;
        self.with_wire(|wire| {
            match fate {
                PeerFate::Ended => wire.protocol.disconnect(),
                PeerFate::MayGoOn => wire.protocol.abandon(),
            }
            wire.transport = None;
        });
        lock(&self.roles).drop_transport();
        self.end_memory();
        self.wake_all();
        self.wake_servers();
        self.inbox.forget(self);
        interrupts::forget(self.id);
        let observers = lock(&self.end.observers).take();
        observers.into_iter().flatten().for_each(Observer::died);
    }
}

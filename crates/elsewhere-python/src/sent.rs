//! A call that is on its way: waited for, and its answer made a value or an error.
//!
//! Owns: the wait loop's Python side (signals, callbacks) and what each arrival means. Must not know: how a call is
//! written and sent ([`crate::call`]).

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use elsewhere_engine::{Arrival, ChainSeat, Link, Pending, Wake};
use elsewhere_proto::{ChainId, ErrorKind, LaneId, Outcome};
use pyo3::prelude::*;

use crate::buffers::LARGE;
use crate::call::{TICK, is_main_thread};
use crate::calls_in;
use crate::decode::{Decoder, Undecodable};
use crate::origin::Source;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::{chain, errands, errors, home, path, producing, running, service, turns};

/// A thread that took so long to win the interpreter back has a sibling that is busy with it.
const CONTENDED: Duration = Duration::from_millis(1);

/// How long such a thread may sleep with the interpreter, which costs the sibling less than winning it back would cost the
/// thread: a switch interval, 5 ms. Time enough to wake a host that sleeps on another core.
const KEPT: Duration = Duration::from_micros(200);

/// So many waits keep it, before one lets go to see whether the sibling is still there.
const KEEPING: u32 = 1_000;

thread_local! {
    static KEEPS: Cell<u32> = const { Cell::new(0) };
}

fn note_contention(winning_back: Duration) {
    if winning_back > CONTENDED {
        KEEPS.set(KEEPING);
    }
}

/// Whether there is time to look for microseconds before anything else.
fn is_late_enough(until: Instant) -> bool {
    until.saturating_duration_since(Instant::now()) >= CONTENDED
}

/// Waits for an answer with the interpreter, if it was hard to win back of late. Whether the answer is there.
fn keep_interpreter(link: &Arc<Link>, pending: &Pending) -> bool {
    let keeps = KEEPS.get();
    if keeps == 0 {
        return false;
    }
    KEEPS.set(keeps - 1);
    link.nap(pending, KEPT)
}

/// What a call was made on, for texts and for results that are the receiver itself.
pub(crate) enum Subject {
    Proxy { proxy: Py<Proxy>, suffix: &'static str },
    Host(String),
}

impl Subject {
    pub(crate) fn text(&self, py: Python<'_>) -> String {
        match self {
            Self::Proxy { proxy, suffix } => format!("{}{suffix}", path::text(py, proxy.get())),
            Self::Host(text) => text.clone(),
        }
    }

    fn receiver<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Proxy>> {
        match self {
            Self::Proxy { proxy, .. } => Some(proxy.bind(py).clone()),
            Self::Host(_) => None,
        }
    }
}

/// A call that is on its way.
pub(crate) struct Sent {
    pub(crate) peer: Arc<Peer>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) subject: Subject,
    pub(crate) chain: ChainId,
    pub(crate) lane: LaneId,
}

impl Sent {
    /// Waits for the answer and makes it a value.
    ///
    /// # Errors
    /// What the call raised there; our own errors; KeyboardInterrupt and whatever else a signal handler raises, after
    /// the call was cancelled.
    pub(crate) fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.wait_seated(py, None)
    }

    /// The same for a thread that sat down before it sent the call.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub(crate) fn wait_seated<'py>(&self, py: Python<'py>, seat: Option<ChainSeat>) -> PyResult<Bound<'py, PyAny>> {
        running::whole(py, || {
            let arrival = self.wait_arrival(py, seat)?;
            self.value(py, arrival).map_err(|error| errors::in_context(py, error, true))
        })
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// KeyboardInterrupt and whatever else a signal handler raises, after the call was cancelled.
    pub(crate) fn wait_arrival(&self, py: Python<'_>, seat: Option<ChainSeat>) -> PyResult<Arrival> {
        let arrived = self.wait_in(py, seat, None, |pending| pending.take()).inspect_err(|_| self.abandon())?;
        Ok(arrived.expect("a wait without a limit ends with an arrival"))
    }

    /// Waits for the answer until `until`; `None` when the time is over. The call goes on in that case.
    pub(crate) fn wait_until(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<Option<Arrival>> {
        self.wait_event(py, until, |pending| pending.take())
    }

    /// Waits until `take` finds something, driving the connection meanwhile. An interrupt cancels the call.
    pub(crate) fn wait_event<T>(
        &self,
        py: Python<'_>,
        until: Option<Instant>,
        take: impl Fn(&Pending) -> Option<T>,
    ) -> PyResult<Option<T>> {
        self.wait_gently(py, until, take).inspect_err(|_| self.abandon())
    }

    fn abandon(&self) {
        self.peer.link.cancel(&self.pending, false);
        self.forget();
    }

    /// The same, but an interrupt leaves the call going.
    pub(crate) fn wait_gently<T>(
        &self,
        py: Python<'_>,
        until: Option<Instant>,
        take: impl Fn(&Pending) -> Option<T>,
    ) -> PyResult<Option<T>> {
        self.wait_in(py, None, until, take)
    }

    fn wait_in<T>(
        &self,
        py: Python<'_>,
        mut seat: Option<ChainSeat>,
        until: Option<Instant>,
        take: impl Fn(&Pending) -> Option<T>,
    ) -> PyResult<Option<T>> {
        let tick = is_main_thread().then_some(TICK);
        let link = &self.peer.link;
        let mut waits = None;
        let mut is_called_back = false;
        loop {
            if let Some(seat) = seat.as_ref().filter(|_| self.pending.is_ready()) {
                while let Some(incoming) = seat.take_call() {
                    calls_in::run_waiting(py, &incoming)?; // what came before the answer, if another thread read both
                }
            }
            let looks = !std::mem::take(&mut is_called_back);
            if looks && self.peer.showing().is_some() && self.pending.is_ready() {
                home::show_all(py, &self.peer)?; // what came before the answer
            }
            if looks && let Some(found) = take(&self.pending) {
                return Ok(Some(found));
            }
            if self.run_at_once(py) {
                running::check(py)?;
                continue;
            }
            if waits.is_none()
                && let Some(twin) = self.peer.twin()
            {
                waits = Some(self.begin_to_wait(py, &twin)?);
                continue;
            }
            if seat.is_none()
                && until.is_none_or(is_late_enough)
                && (link.spin(&self.pending) || (until.is_none() && keep_interpreter(link, &self.pending)))
            {
                running::check(py)?;
                continue;
            }
            let seat = seat.get_or_insert_with(|| link.sit(self.chain));
            producing::take_up(py, seat, self.chain);
            let seat = &*seat;
            let wait = || (link.wait(&self.pending, until, tick, seat), Instant::now());
            let (wake, woken) = running::waiting(py, || py.detach(wait));
            note_contention(woken.elapsed());
            match wake {
                Wake::Arrived => {}
                Wake::Call(incoming) => {
                    calls_in::run_waiting(py, &incoming)?;
                    is_called_back = true; // what came before the answer is run before the answer is looked at
                    continue;
                }
                Wake::Stream => service::take_up_stream(py, seat),
                Wake::Pump => service::pump_far(py, &self.peer),
                Wake::Home => home::show(py, &self.peer)?,
                Wake::TimedOut => return Ok(None),
                Wake::Tick => py.check_signals()?,
            }
            running::check(py)?;
        }
    }

    /// Enters the wait for a local host into the table. A wait that would close a circle ends at once: the call that is
    /// waited for is not begun if it still can be kept from that, and fails; else it goes on, and the wait fails.
    fn begin_to_wait(&self, py: Python<'_>, twin: &Peer) -> PyResult<turns::Wait> {
        let (wait, closes) = turns::wait_for(twin.link.id());
        let is_own = chain::is_in_midst_of(twin.link.id(), self.pending.call());
        if !is_own && !closes {
            return Ok(wait);
        }
        twin.link.drain();
        match twin.link.take_call(self.pending.call()) {
            Some(incoming) => calls_in::refuse_circle(py, &incoming),
            None if self.pending.is_done() => {} // it was answered meanwhile
            None => return Err(errors::circle(py, &self.peer, &self.subject.text(py))),
        }
        Ok(wait)
    }

    /// In a local host, a call that is made from inside another one, and a call back from it, run at once in the thread
    /// that waits: no other thread would. False if this is none of these, or has begun.
    fn run_at_once(&self, py: Python<'_>) -> bool {
        let Some(twin) = self.peer.twin() else { return false };
        let is_back = self.peer.near.get().is_some();
        let is_nested =
            chain::current(py).is_some_and(|(_, link)| link == twin.link.id() || link == self.peer.link.id());
        if !is_back && !is_nested {
            return false;
        }
        twin.link.drain();
        match twin.link.take_call(self.pending.call()) {
            Some(incoming) => calls_in::run(py, &incoming),
            None => return false,
        }
        true
    }

    /// Drops the interest in the answer: what it brings is released when it comes.
    pub(crate) fn forget(&self) {
        self.peer.link.forget(&self.pending);
    }

    /// To be held while the answer is decoded.
    pub(crate) fn decoding<'py>(&self, py: Python<'py>) -> Decoded<'_, 'py> {
        Decoded { sent: self, py }
    }

    /// The same, but word that the path's last step is missing gives `fallback`.
    pub(crate) fn value_or<'py>(
        &self,
        py: Python<'py>,
        arrival: Arrival,
        fallback: Option<&Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (Arrival::Error(body), Some(fallback)) = (&arrival, fallback) else { return self.value(py, arrival) };
        let _decoded = self.decoding(py);
        let record = errors::read_record(py, &self.peer, body)?;
        if record.kind == ErrorKind::Missing {
            return Ok(fallback.bind(py).clone());
        }
        Err(record.into_error(py, &self.peer, &self.subject.text(py)))
    }

    /// Makes the answer a value, or the error that it tells of.
    pub(crate) fn value<'py>(&self, py: Python<'py>, arrival: Arrival) -> PyResult<Bound<'py, PyAny>> {
        errands::run(py, || self.value_here(py, arrival))
    }

    fn value_here<'py>(&self, py: Python<'py>, arrival: Arrival) -> PyResult<Bound<'py, PyAny>> {
        let _decoded = self.decoding(py);
        match arrival {
            Arrival::Reply(body) => self.decode(py, body).map(|(value, _)| value),
            Arrival::Error(body) => Err(errors::from_record(py, &self.peer, &body, &self.subject)),
            Arrival::Lost { loss, outcome } => {
                Err(errors::lost(py, &self.peer, &loss, Some(outcome), Some(&self.subject.text(py))))
            }
            Arrival::TimedOut => Err(errors::timed_out(py, &self.peer, &self.subject.text(py))),
            Arrival::Cancelled => Err(errors::cancelled(py, &self.peer, Outcome::Unknown, &self.subject.text(py))),
        }
    }

    /// Makes the body of a reply a value, and tells where it comes from: of a coroutine's a second value, nil, follows.
    pub(crate) fn decode<'py>(&self, py: Python<'py>, body: Vec<u8>) -> PyResult<(Bound<'py, PyAny>, Source)> {
        let _decoded = self.decoding(py);
        let receiver = self.subject.receiver(py);
        if body.len() < LARGE {
            return self.read(py, Decoder::new(py, &self.peer, &body, receiver.as_ref()));
        }
        let held = self.peer.link.hold(body);
        self.read(py, Decoder::of_held(py, &self.peer, &held, receiver.as_ref()))
    }

    fn read<'py>(&self, py: Python<'py>, mut decoder: Decoder<'_, 'py>) -> PyResult<(Bound<'py, PyAny>, Source)> {
        let value = errands::run(py, || decoder.value()).map_err(|failure| self.unreadable(py, failure))?;
        Ok((value, if decoder.is_empty() { Source::Path } else { Source::Coroutine }))
    }

    /// Makes the body of an error an exception, and tells whether a coroutine raised it.
    pub(crate) fn error(&self, py: Python<'_>, body: &[u8]) -> (PyErr, Source) {
        let _decoded = self.decoding(py);
        errands::run(py, || match errors::read_record(py, &self.peer, body) {
            Ok(record) => {
                let source = if record.is_of_coroutine { Source::Coroutine } else { Source::Path };
                (record.into_error(py, &self.peer, &self.subject.text(py)), source)
            }
            Err(error) => (error, Source::Path),
        })
    }

    /// The error of an answer that cannot be made a value.
    pub(crate) fn unreadable(&self, py: Python<'_>, failure: Undecodable) -> PyErr {
        match failure {
            Undecodable::Raised(error) | Undecodable::Evaluated(error) | Undecodable::Poisoned(error) => {
                errors::result_unreadable(py, &self.peer, &self.subject.text(py), error)
            }
            Undecodable::Malformed(error) => errors::protocol(py, &self.peer, &error.to_string()),
        }
    }
}

/// When it goes, the answer of a call has been decoded: what the peer let go of behind it may go too.
pub(crate) struct Decoded<'a, 'py> {
    sent: &'a Sent,
    py: Python<'py>,
}

impl Drop for Decoded<'_, '_> {
    fn drop(&mut self) {
        if self.sent.peer.link.decoded(&self.sent.pending) {
            self.sent.peer.drop_released(self.py);
        }
    }
}

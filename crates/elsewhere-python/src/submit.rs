//! Calls that are written are handed to the engine, when there is room for them.
//!
//! Owns: the wait for room, and content that is sent from where it lies. Must not know: what was written.

use std::sync::Arc;
use std::time::Instant;

use elsewhere_engine::{ChainSeat, Link, Pending, Request, SubmitError, Wake};
use elsewhere_proto::{CallId, ChainId};
use pyo3::prelude::*;

use crate::buffers::Content;
use crate::call::{TICK, Terms, Transmitted, is_loop_running};
use crate::looks::Looks;
use crate::peer::Peer;
use crate::{calls_in, chain, errors, home, lane, producing, running, service};

/// A call as it was written.
pub(crate) struct Parts<'a, 'py> {
    /// Of the memory that it names.
    pub(crate) weight: u16,
    pub(crate) body: &'a mut Vec<u8>,
    pub(crate) apart: Option<&'a Apart<'py>>,
}

/// Content that belongs into the body of a call and was left where it lies.
pub(crate) struct Apart<'py> {
    /// Where in the body it belongs.
    pub(crate) at: usize,
    pub(crate) content: Content<'py>,
}

impl Apart<'_> {
    /// Sends a call with it. Whoever waits for its answer anyway waits for a peer that is no slower than to be worth it, and
    /// sees to signals; what a handler raised is in the second place.
    fn submit(&self, link: &Arc<Link>, request: Request<'_>, waits: bool) -> (Submitted, Option<PyErr>) {
        let (at, mut looks) = (self.at, Looks::new());
        let mut look = || looks.wait_goes_on();
        let submitted = self.content.read(|bytes| {
            let patience: Option<&mut dyn FnMut() -> bool> = if waits { Some(&mut look) } else { None };
            link.submit_straight(request, (at, bytes), patience)
        });
        (submitted, looks.met())
    }
}

type Submitted = Result<(CallId, Option<Arc<Pending>>), SubmitError>;

/// Why a call was not sent.
pub(crate) enum Refusal {
    Engine(SubmitError),
    /// The event loop of this thread must not be blocked, and the window is full.
    WouldBlockLoop,
    Interrupted(PyErr),
}

impl Refusal {
    pub(crate) fn into_error(self, py: Python<'_>, peer: &Peer, method: &str) -> PyErr {
        match self {
            Self::Engine(error) => errors::refused(py, peer, method, &error),
            Self::WouldBlockLoop => errors::window_full(py, peer, method),
            Self::Interrupted(error) => error,
        }
    }
}

pub(crate) fn submit(
    py: Python<'_>,
    peer: &Arc<Peer>,
    terms: Terms,
    deadline: Option<Instant>,
    mut parts: Parts<'_, '_>,
) -> Result<Transmitted, Refusal> {
    // Nested is the call whichever link its chain came in by: the peer may be the one that waits for us through a third.
    let ((chain, nested), (lane, number)) = match terms.is_beside {
        false => (chain::of_call(py), lane::next(py, &peer.link)),
        true => ((chain::next(py), false), lane::next_beside(&peer.link)),
    };
    let mut seat = (terms.waits && peer.link.may_be_called()).then(|| peer.link.sit(chain));
    loop {
        let Parts { weight, body, apart } = &mut parts;
        let request = Request { lane, number, chain, nested, deadline, weight: *weight, body, expect: terms.expect };
        let (submitted, interrupted) = match apart {
            None => (peer.link.submit_numbered(request), None),
            Some(apart) => apart.submit(&peer.link, request, terms.waits),
        };
        match submitted {
            Ok((call, pending)) => {
                let seat = seat.filter(|_| terms.waits);
                return Ok(Transmitted { seat, pending, call, chain, lane, interrupted });
            }
            Err(SubmitError::WindowFull) => {
                let bytes = if *weight == 0 && apart.is_none() { body.len() } else { usize::MAX };
                make_room(py, peer, bytes, chain, seat.get_or_insert_with(|| peer.link.sit(chain)))?;
            }
            Err(error) => return Err(Refusal::Engine(error)),
        }
    }
}

/// Waits until the window has room for so many bytes.
fn make_room(
    py: Python<'_>,
    peer: &Arc<Peer>,
    bytes: usize,
    chain: ChainId,
    seat: &mut ChainSeat,
) -> Result<(), Refusal> {
    if let Some(far) = peer.far.get() {
        service::pump(py, far);
        return Ok(());
    }
    if is_loop_running(py) {
        return Err(Refusal::WouldBlockLoop);
    }
    producing::take_up(py, seat, chain);
    let seat = &*seat;
    let wake = running::waiting(py, || py.detach(|| peer.link.wait_window(bytes, Some(TICK), seat)));
    match wake {
        Wake::Stream => service::take_up_stream(py, seat),
        Wake::Call(incoming) => calls_in::run_waiting(py, &incoming).map_err(Refusal::Interrupted)?,
        Wake::Pump => service::pump_far(py, peer),
        Wake::Home => home::show(py, peer).map_err(Refusal::Interrupted)?,
        Wake::Arrived | Wake::TimedOut | Wake::Tick => {}
    }
    py.check_signals().and_then(|()| running::check(py)).map_err(Refusal::Interrupted)
}

//! Calls of one host for objects of another one, which this process passes on.
//!
//! Owns: the threads that pass them on, and the lanes that they are passed on in. Must not know: what a call does.
//!
//! Such a call takes as long as the object over there likes: a lock, a queue, a barrier wait for another process. So it has
//! a thread of its own here, one for each lane of each host, in which the calls of that lane keep their order; and it is
//! made in a lane of its own, whatever thread makes it, so that what belongs to a thread over there belongs to the thread
//! that asked for it, and not to those of this process. Threads wait a moment for the next call before they end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use elsewhere_engine::{Inbox, Incoming, Lane as LaneOfLink, Taker, Work};
use elsewhere_proto::{LaneId, ObjectId};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::lane::{self, Lane};
use crate::peer::{self, Peer};
use crate::proxy::Proxy;
use crate::serving::{self, Concurrency};
use crate::{handing, lifecycle, service, stream, threads};

/// How long a thread waits for its next call.
const LINGER: Duration = Duration::from_millis(200);

/// How many threads there are.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// Whether they are to end as soon as they have nothing to do.
static ARE_TO_END: AtomicBool = AtomicBool::new(false);

fn inbox() -> &'static Arc<Inbox> {
    static INBOX: OnceLock<Arc<Inbox>> = OnceLock::new();
    INBOX.get_or_init(Inbox::shared)
}

type Lanes = HashMap<(u64, LaneId), Arc<Lane>>;

/// The lanes that calls are passed on in, by the link and the lane that they came by.
fn lanes() -> MutexGuard<'static, Lanes> {
    static LANES: OnceLock<Mutex<Lanes>> = OnceLock::new();
    LANES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is a host of ours.
pub(crate) fn is_of_host(peer: &Peer) -> bool {
    peer.is_owned() && peer.process.is_some()
}

/// Whether calls of `object` by `peer` are passed on.
fn is_relayed(peer: &Peer, object: &Bound<'_, PyAny>) -> bool {
    is_of_host(peer) && (object.is_exact_instance_of::<Proxy>() || stream::import_of(object).is_some())
}

/// Leaves `work` to a thread of its own if it is a call that is passed on; gives it back otherwise.
pub(crate) fn take(py: Python<'_>, work: Work) -> Option<Work> {
    let Work::Call(incoming) = work else { return Some(work) };
    let target = incoming.call.head.target;
    let is_last_word = lane::is_last_word(&incoming.call);
    if is_last_word && !lanes().contains_key(&(incoming.link.id(), incoming.call.lane)) {
        incoming.link.finish(incoming.call.call);
        return None;
    }
    let is_relayed = is_last_word
        || handing::is_beside(&incoming.call) && peer::of_link(&incoming.link).is_some_and(|peer| is_of_host(&peer))
        || target != ObjectId::BOOTSTRAP
            && peer::of_link(&incoming.link)
                .is_some_and(|peer| peer.exported_unseen(py, target).is_some_and(|object| is_relayed(&peer, &object)));
    if !is_relayed {
        return Some(Work::Call(incoming));
    }
    inbox().push_again(incoming);
    start_spare(py);
    None
}

/// Sees to it that a thread waits, or takes what is there.
fn start_spare(py: Python<'_>) {
    if inbox().is_waited_on(Taker::Any) || !inbox().has_work_for(Taker::Any) {
        return;
    }
    let number = THREADS.fetch_add(1, Ordering::SeqCst); // SeqCst: no hot path; so everywhere here
    let started = threads::start(py, "_pass_on", PyTuple::empty(py), &format!("elsewhere-relay-{}", number + 1));
    if let Err(error) = started {
        THREADS.fetch_sub(1, Ordering::SeqCst);
        lifecycle::report(py, &error, "no thread can be started to pass calls on; this one does");
        while let Some(work) = inbox().try_take(&mut Taker::Any) {
            run(py, work);
        }
    }
}

/// Pass calls on: the body of a thread that does.
#[pyfunction]
pub(crate) fn _pass_on(py: Python<'_>) {
    loop {
        let work = py.detach(|| {
            inbox().wait_as(&mut Taker::Any, Some(LINGER), &|| ARE_TO_END.load(Ordering::SeqCst) && inbox().is_empty())
        });
        match work {
            Some(work) => {
                start_spare(py);
                run(py, work);
            }
            // What was pushed while this thread still counted as one that waits is left to it.
            None if inbox().has_work_for(Taker::Any) => {}
            None if stays(py) => {}
            None => break,
        }
    }
    THREADS.fetch_sub(1, Ordering::SeqCst);
}

/// Whether this thread, which has nothing to do, is the one that sees to what nobody has asked for.
fn stays(py: Python<'_>) -> bool {
    if ARE_TO_END.load(Ordering::SeqCst) || THREADS.load(Ordering::SeqCst) > 1 {
        return false;
    }
    handing::let_go(py)
}

fn run(py: Python<'_>, work: Work) {
    let lane = match &work {
        Work::Call(incoming) => Some(LaneOfLink { link: incoming.link.id(), lane: incoming.call.lane }),
        _ => None,
    };
    serving::in_crew(inbox(), Concurrency::Caller, lane, || match work {
        Work::Call(incoming) if lane::is_last_word(&incoming.call) => {
            end_lane(incoming.link.id(), incoming.call.lane);
            incoming.link.finish(incoming.call.call);
        }
        work => service::handle(py, work),
    });
    start_spare(py); // for the next call of the lane, if this thread goes on with another
}

/// Let the threads that have nothing to do end, before a fork. Gives whether there are any.
#[pyfunction]
pub(crate) fn _end_relays() -> bool {
    ARE_TO_END.store(true, Ordering::SeqCst);
    inbox().wake_all();
    THREADS.load(Ordering::SeqCst) > 0
}

/// Threads that have nothing to do may stay again.
pub(crate) fn go_on() {
    ARE_TO_END.store(false, Ordering::SeqCst);
}

/// Until it is dropped, calls of this thread are made in the lane of the call that is passed on.
pub(crate) struct PassedOn {
    before: Option<Arc<Lane>>,
}

/// Takes note that this thread runs a call that `object` may pass on.
pub(crate) fn enter(peer: &Peer, incoming: &Incoming, object: Option<&Bound<'_, PyAny>>) -> Option<PassedOn> {
    let is_asked_for_way = is_of_host(peer) && handing::is_for_way(&incoming.call);
    if !is_asked_for_way {
        object.filter(|object| is_relayed(peer, object))?;
    }
    let origin = (incoming.link.id(), incoming.call.lane);
    let lane = Arc::clone(lanes().entry(origin).or_insert_with(|| Arc::new(Lane::new())));
    Some(PassedOn { before: lane::stand_in(Some(lane)) })
}

impl Drop for PassedOn {
    fn drop(&mut self) {
        let own = lane::stand_in(self.before.take());
        drop(own);
    }
}

/// A lane of a host has ended: whoever kept something for it is told.
fn end_lane(link: u64, lane: LaneId) {
    let ended = lanes().remove(&(link, lane));
    drop(ended); // after the lock
}

/// The link is lost, and its lanes with it.
pub(crate) fn forget_link(link: u64) {
    let ended: Vec<_> = lanes().extract_if(|(of, _), _| *of == link).collect();
    drop(ended); // after the lock
}

/// A forked child passes nothing on that its parent was asked for.
pub(crate) fn forget() {
    THREADS.store(0, Ordering::SeqCst);
    ARE_TO_END.store(false, Ordering::SeqCst);
    while let Some(work) = inbox().try_pop() {
        std::mem::forget(work);
    }
    inbox().reopen();
    std::mem::forget(std::mem::take(&mut *lanes()));
}

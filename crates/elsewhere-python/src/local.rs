//! The end of hosts that are this very process.
//!
//! Owns: how what they accepted is run or given up. Must not know: how their calls are run (`service::pump`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use elsewhere_engine::{Link, Work, exit};
use elsewhere_proto::{ErrorKind, Outcome};
use pyo3::prelude::*;

use crate::peer::{Peer, sweep};
use crate::service::{self, Pumped};
use crate::{answer, coroutines};

/// How long to look away while another thread notices that a link ended.
const GLANCE: Duration = Duration::from_micros(50);

/// Ends a local host at once: what it accepted and has not begun never runs.
pub(crate) fn kill(py: Python<'_>, near: &Arc<Link>, far: &Arc<Peer>) {
    refuse(py, near, far, "the host was killed before it began");
    abandon(py, near, far);
}

/// Tells everybody who waits for what has not begun that it never will.
fn refuse(py: Python<'_>, near: &Arc<Link>, far: &Arc<Peer>, text: &str) {
    far.link.drain();
    while let Some(work) = far.link.inbox().try_pop() {
        if let Work::Call(incoming) = work {
            far.link.discard(incoming.steps());
            answer::fail(py, far, &incoming.call, ErrorKind::Closed, Outcome::NotStarted, text);
        }
    }
    near.drain();
}

fn abandon(py: Python<'_>, near: &Arc<Link>, far: &Peer) {
    near.abandon();
    // At the end of the process nobody ends links any more.
    while near.loss().is_none() && !exit::has_begun() {
        py.detach(|| std::thread::sleep(GLANCE)); // whoever reads the link at this moment tells its end
    }
    coroutines::forget_local(py, far.link.id());
    sweep(py);
}

/// Runs what a local host accepted, and ends it. What has not begun after `patience` never runs.
pub(crate) fn finish(py: Python<'_>, near: &Arc<Link>, far: &Arc<Peer>, patience: Option<Duration>) {
    let until = patience.and_then(|patience| Instant::now().checked_add(patience));
    loop {
        if until.is_some_and(|until| until <= Instant::now()) {
            refuse(py, near, far, "the host was closed before it began");
            break;
        }
        match service::pump(py, far) {
            Pumped::Ran => {}
            Pumped::Busy if near.loss().is_none() => {}
            Pumped::Busy | Pumped::Nothing => break,
        }
    }
    near.close();
    abandon(py, near, far);
}

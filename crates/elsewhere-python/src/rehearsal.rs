//! Calls that a process makes to itself before anybody calls it.
//!
//! Owns: both ends of them. Must not know: why the process is in a hurry later (`elsewhere._zygote`).
//!
//! A fork shares its memory with its parent until either writes to it, and the kernel then copies each page, and finds each
//! page of code again: that was most of the time from a fork to its first answer. Here the same pages are written, and the
//! watch thread is started, while nobody waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use elsewhere_engine::transport::Transport;
use elsewhere_engine::{Expect, Inbox, InboxWake, Link};
use elsewhere_proto::{Capabilities, Want};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call::{self, TICK};
use crate::peer::{self, Peer};
use crate::{errors, host, service};

/// How long it may take, which is some thousand times as long as it takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Be one's own host for a call, as an owner makes the first one: to configure it so.
///
/// It goes through a ring, as between two processes. What comes after it finds nothing changed but by `configuration`.
#[pyfunction]
pub(crate) fn rehearse(py: Python<'_>, configuration: &Bound<'_, PyDict>) -> PyResult<()> {
    let (near, far) = Transport::ring_pair().map_err(std::io::Error::from)?;
    let near = Link::new(near, host::here(py), Inbox::new())?;
    let far = Link::new(far, host::config(Capabilities::CHUNKS.with(Capabilities::SERIAL), py), Inbox::new())?;
    far.serve();
    let near = Peer::new(near, None, "a rehearsal".to_owned(), true);
    let far = Peer::new(far, None, "a rehearsal".to_owned(), false);
    let until = Instant::now() + PATIENCE;
    let done = be_both(py, &near, &far, configuration, until);
    py.detach(|| {
        for link in [&near.link, &far.link] {
            link.abandon();
            while !link.is_lost() && Instant::now() < until {
                let _ = link.wait_inbox(Some(TICK)); // the watch thread ends it, and tells who waits
            }
        }
    });
    peer::sweep(py);
    done
}

fn be_both(
    py: Python<'_>,
    near: &Arc<Peer>,
    far: &Arc<Peer>,
    configuration: &Bound<'_, PyDict>,
    until: Instant,
) -> PyResult<()> {
    let arguments = PyTuple::new(py, [configuration])?;
    let parts = (None, &arguments, None);
    let sent = call::send_to_host(py, near, "configure", parts, Want::Value, Expect::Answer, None)?;
    let sent = sent.expect("an answer is expected");
    while Instant::now() < until {
        match py.detach(|| far.link.wait_inbox(Some(TICK))) {
            InboxWake::Work(work) => {
                service::handle(py, work);
                break;
            }
            InboxWake::Tick => py.check_signals()?,
            InboxWake::Ended => break,
        }
    }
    match sent.wait_until(py, Some(until))? {
        Some(arrival) => sent.value(py, arrival).map(drop),
        None => Err(errors::timed_out(py, near, &sent.subject.text(py))),
    }
}

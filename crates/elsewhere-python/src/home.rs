//! What hosts print and log, brought home: when it is shown, and by which thread.
//!
//! Owns: the moments at which a host's queue is shown here, and how a host sends to it. Must not know: how it is shown
//! (`elsewhere._home`), how it gets into the queue (the engine's).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use elsewhere_engine::{Home, HostCommand, Observer, Piece, Stdio, Stream};
use elsewhere_proto::{CallHead, LaneId, ObjectId, Op, Want};
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::decode::{Decoder, Undecodable};
use crate::encode::Encoder;
use crate::peer::Peer;
use crate::{errands, lane, lifecycle, service};

/// Seconds that a thread waits for another one that shows what came before its answer. That one may wait for the first,
/// through a handler's lock; it then shows the rest when it can.
const PATIENCE: f64 = 1.0;

/// How long a message that nobody waits for may hold up its sender, where the peer does not read.
const WORD_PATIENCE: Duration = Duration::from_millis(50);

/// How a host's prints and messages come home.
pub(crate) struct Showing {
    queue: Arc<Home>,
    /// The `elsewhere._home.Shower` of the host.
    shower: Py<PyAny>,
    /// What the service thread knows the queue by.
    key: u64,
}

/// The queue of one host, as `elsewhere._home` takes from it.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct HomeQueue {
    queue: Arc<Home>,
    peer: Weak<Peer>,
}

#[pymethods]
impl HomeQueue {
    /// Take the oldest piece; None when nothing is left.
    ///
    /// ("output", bytes), ("error", bytes), ("told", arguments) or ("dropped", bytes, messages). A message that cannot be
    /// read counts as dropped.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let Some(piece) = self.queue.take() else { return Ok(None) };
        let taken = match piece {
            Piece::Printed(Stream::Output, bytes) => ("output", PyBytes::new(py, &bytes)).into_pyobject(py)?,
            Piece::Printed(Stream::Error, bytes) => ("error", PyBytes::new(py, &bytes)).into_pyobject(py)?,
            Piece::Dropped { bytes, messages } => ("dropped", bytes, messages).into_pyobject(py)?,
            Piece::Told(steps) => match self.peer.upgrade().and_then(|peer| arguments(py, &peer, &steps).ok()) {
                Some(arguments) => ("told", arguments).into_pyobject(py)?,
                None => ("dropped", 0, 1).into_pyobject(py)?,
            },
        };
        Ok(Some(taken))
    }

    /// Whether there is anything to take.
    fn __bool__(&self) -> bool {
        self.queue.has_news()
    }

    /// Call `method` of the host's own object with `args`, without waiting and without waiting for room.
    ///
    /// False if it was not sent.
    #[pyo3(signature = (method, *args))]
    fn tell(&self, py: Python<'_>, method: &str, args: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let Some(peer) = self.peer.upgrade() else { return Ok(false) };
        tell(py, &peer, lane::next(py, &peer.link), method, args) // before the next call of this thread there
    }
}

/// Calls `method` of object number 0 of `peer`, which nobody waits for, nor for room for it. Whether it was sent.
///
/// # Errors
/// What writing the arguments raises.
fn tell(
    py: Python<'_>,
    peer: &Arc<Peer>,
    (lane, number): (LaneId, u32),
    method: &str,
    args: &Bound<'_, PyTuple>,
) -> PyResult<bool> {
    errands::pass(py);
    let mut body = Vec::with_capacity(512);
    CallHead { target: ObjectId::BOOTSTRAP, deadline: None, want: Want::Nothing, steps: 2 }.write(&mut body);
    let mut encoder = Encoder::new(py, peer, &mut body, true);
    let written = errands::run(py, || {
        encoder.op(Op::Attribute);
        encoder.name(&PyString::new(py, method))?;
        encoder.op(Op::Call);
        encoder.arguments(args, None)
    });
    written.inspect_err(|_| encoder.abandon())?;
    let granted = encoder.take_granted();
    let is_sent = peer.link.send_word(lane, number, &mut body).is_ok();
    if !is_sent {
        peer.ungrant(py, granted);
    } else if peer.link.is_behind() {
        py.detach(|| peer.link.catch_up(WORD_PATIENCE)); // words that lie here are lost when this process dies
    }
    Ok(is_sent)
}

/// The arguments of the call that a message is.
fn arguments<'py>(py: Python<'py>, peer: &Arc<Peer>, steps: &[u8]) -> Result<Bound<'py, PyTuple>, Undecodable> {
    let mut decoder = Decoder::new(py, peer, steps, None);
    decoder.guarded(|decoder| {
        decoder.code()?;
        decoder.name()?;
        decoder.code()?;
        decoder.arguments().map(|(arguments, _)| arguments)
    })
}

/// What `Host(output=)` and `Host(logging=)` ask for, before there is a host.
pub(crate) struct Wanted {
    queue: Option<(Arc<Home>, u64)>,
    is_told: bool,
}

impl Wanted {
    /// Prepares `command` for `output`, "inherit", "home" or "discard", and for messages where `is_told`.
    pub(crate) fn new(command: &mut HostCommand, output: &str, is_told: bool) -> PyResult<Self> {
        command.output = match output {
            "inherit" => Stdio::Inherit,
            "home" => Stdio::Home,
            "discard" => Stdio::Null,
            other => return Err(PyRuntimeError::new_err(format!("no output goes to {other:?}"))),
        };
        if command.output != Stdio::Home && !is_told {
            return Ok(Self { queue: None, is_told });
        }
        let key = service::new_key();
        let queue = Home::new(Observer::Inbox(service::process_inbox(), key));
        command.home = Some(Arc::clone(&queue));
        Ok(Self { queue: Some((queue, key)), is_told })
    }

    /// From now on what comes home is shown by what `make_shower(queue, label, name, pid, logs)` gives.
    pub(crate) fn begin(
        self,
        py: Python<'_>,
        peer: &Arc<Peer>,
        name: Option<&str>,
        make_shower: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let Some((queue, key)) = self.queue else { return Ok(()) };
        service::ensure(py)?;
        let handle = HomeQueue { queue: Arc::clone(&queue), peer: Arc::downgrade(peer) };
        let pid = peer.process.as_ref().map(|process| process.pid());
        let shower = make_shower.call1((Bound::new(py, handle)?, &peer.label, name, pid, self.is_told))?.unbind();
        service::watch_as(key, service::Watched::Home(Arc::clone(peer)));
        peer.set_showing(Showing { queue, shower, key });
        show_all(py, peer)
    }
}

/// Shows what is in the queue of `peer`, if no other thread does right now.
///
/// # Errors
/// An interrupt of the program that came meanwhile.
pub(crate) fn show(py: Python<'_>, peer: &Peer) -> PyResult<()> {
    show_within(py, peer, 0.0)
}

/// Shows everything that `peer` has printed and logged until now.
///
/// # Errors
/// As [`show`].
pub(crate) fn show_all(py: Python<'_>, peer: &Peer) -> PyResult<()> {
    if peer.showing().is_none() {
        return Ok(());
    }
    if let Some(process) = &peer.process {
        process.read_output();
    }
    show_within(py, peer, PATIENCE)
}

/// The same where nothing can be raised; an interrupt is told to the main thread once more.
pub(crate) fn show_all_quietly(py: Python<'_>, peer: &Peer) {
    if let Err(interrupt) = show_all(py, peer) {
        if interrupt.is_instance_of::<PyKeyboardInterrupt>(py) {
            // SAFETY: it only notes a signal, from any thread that is attached, as this one is.
            unsafe { pyo3::ffi::PyErr_SetInterrupt() };
        } else {
            lifecycle::report(py, &interrupt, "raised while it was shown what a host had printed");
        }
    }
}

/// The same for the last time: the host has ended.
pub(crate) fn show_last(py: Python<'_>, peer: &Peer) {
    show_all_quietly(py, peer);
    if let Some(showing) = peer.showing() {
        service::unwatch(showing.key);
    }
}

fn show_within(py: Python<'_>, peer: &Peer, patience: f64) -> PyResult<()> {
    let Some(showing) = peer.showing() else { return Ok(()) };
    if peer.link.is_inherited() || !showing.queue.has_news() {
        return Ok(());
    }
    let shown = errands::run(py, || showing.shower.bind(py).call_method1("show", (patience,)));
    match shown {
        Err(error) if error.is_instance_of::<PyException>(py) => {
            lifecycle::report(py, &error, "what a host printed or logged could not be shown");
            Ok(())
        }
        Err(interrupt) => Err(interrupt),
        Ok(_) => Ok(()),
    }
}

/// Whether this host's stdout goes to its owner's Python, where it is to be seen before the answer.
static FLUSHES: AtomicBool = AtomicBool::new(false);

/// From now on, flush stdout at the end of each call.
#[pyfunction]
pub(crate) fn _flush_after_calls() {
    FLUSHES.store(true, Ordering::Relaxed); // Relaxed: read by this thread, or after a message that ordered it
}

/// Flushes stdout, where that was asked for.
pub(crate) fn flush(py: Python<'_>) {
    if FLUSHES.load(Ordering::Relaxed) {
        // A stream of the user's own that fails is the user's business, and not this call's.
        let _ = py.import("sys").and_then(|sys| sys.getattr("stdout")?.call_method0("flush"));
    }
}

/// Tell the owner of this host `args`, without waiting and without waiting for room: False if it was not sent.
#[pyfunction]
#[pyo3(signature = (*args))]
pub(crate) fn _tell_owner(py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<bool> {
    static LANE: OnceLock<LaneId> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let Some(owner) = lifecycle::owner() else { return Ok(false) };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Relaxed: only uniqueness matters
    tell(py, &owner, (*LANE.get_or_init(lane::next_id), number), "tell", args)
}

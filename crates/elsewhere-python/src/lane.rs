//! Lanes: the threads and tasks of this process, as a peer tells them apart.
//!
//! Owns: the number of each lane and of its calls, and who is told when it has ended. Must not know: what a peer does
//! with it. Calls of one lane start there in the order of their numbers. A peer that runs one call at a time gets one lane
//! for a thread and all its tasks, since the order of arrival says as much.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use elsewhere_engine::{Expect, Link, Request, exit};
use elsewhere_proto::codec::Writer;
use elsewhere_proto::{CallHead, Capabilities, ChainId, IncomingCall, LaneId, ObjectId, Op, Want};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// What a peer knows a thread or a task by.
pub(crate) struct Lane {
    id: LaneId,
    next: AtomicU32,
    /// Those that keep something for the lane, a thread for instance.
    told: Mutex<Vec<Weak<Link>>>,
}

thread_local! {
    static OF_THREAD: Lane = Lane::new();
    /// The lane of what this thread says beside its calls, which is in no order with them.
    static BESIDE: Lane = Lane::new();
    /// The lane of the call that this thread passes on.
    static PASSED_ON: RefCell<Option<Arc<Lane>>> = const { RefCell::new(None) };
}

/// From now on this thread makes its calls in `lane`, or in its own again. Gives what was before.
pub(crate) fn stand_in(lane: Option<Arc<Lane>>) -> Option<Arc<Lane>> {
    PASSED_ON.replace(lane)
}

/// The lane and number of what is in no order with the calls of this thread.
pub(crate) fn next_beside(link: &Arc<Link>) -> (LaneId, u32) {
    BESIDE.with(|lane| lane.next(link))
}

/// The lane of one task. It ends with the task's context.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct TaskLane {
    lane: Lane,
}

#[pymethods]
impl TaskLane {
    #[new]
    fn new() -> Self {
        Self { lane: Lane::new() }
    }
}

/// The lane of a call that is made now, and the call's number in it.
pub(crate) fn next(py: Python<'_>, link: &Arc<Link>) -> (LaneId, u32) {
    with_current(py, link, |lane| lane.next(link))
}

/// The lane of a call that is made now.
pub(crate) fn current(py: Python<'_>, link: &Arc<Link>) -> LaneId {
    with_current(py, link, |lane| lane.id)
}

fn with_current<T>(py: Python<'_>, link: &Arc<Link>, look: impl FnOnce(&Lane) -> T) -> T {
    if let Some(lane) = PASSED_ON.with_borrow(Option::clone) {
        return look(&lane);
    }
    if has(link, Capabilities::SERIAL) || !may_be_in_task(py) {
        return OF_THREAD.with(look);
    }
    static TASK_LANE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let task = TASK_LANE.import(py, "elsewhere._awaiting", "task_lane").and_then(|task_lane| task_lane.call0());
    match task.as_ref().map(|task| task.cast_exact::<TaskLane>()) {
        Ok(Ok(task)) => look(&task.get().lane),
        _ => OF_THREAD.with(look),
    }
}

/// Whether this thread may run a task: only where asyncio runs a loop, or where trio is imported at all. To find its task
/// is some frames of Python, and most programs have none.
fn may_be_in_task(py: Python<'_>) -> bool {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let look = || -> PyResult<bool> {
        let modules = MODULES.import(py, "sys", "modules")?;
        if modules.contains(intern!(py, "trio.lowlevel"))? {
            return Ok(true);
        }
        match modules.get_item(intern!(py, "asyncio.events"))? {
            Some(events) => Ok(!events.call_method0(intern!(py, "_get_running_loop"))?.is_none()),
            None => Ok(false),
        }
    };
    look().unwrap_or(true)
}

/// A lane that no thread and no task has.
pub(crate) fn next_id() -> LaneId {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    LaneId(NEXT.fetch_add(1, Ordering::Relaxed)) // Relaxed: only uniqueness matters
}

fn has(link: &Link, capability: Capabilities) -> bool {
    link.peer().is_some_and(|hello| hello.capabilities.has(capability))
}

impl Lane {
    pub(crate) fn new() -> Self {
        Self { id: next_id(), next: AtomicU32::new(0), told: Mutex::default() }
    }

    fn next(&self, link: &Arc<Link>) -> (LaneId, u32) {
        // Relaxed, and not in one step: one thread at a time makes calls in a lane.
        let number = self.next.load(Ordering::Relaxed);
        self.next.store(number.wrapping_add(1), Ordering::Relaxed);
        if has(link, Capabilities::LANES) || has(link, Capabilities::LANE_ENDS) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if !told.iter().any(|other| Weak::as_ptr(other) == Arc::as_ptr(link)) {
                told.retain(|other| other.strong_count() > 0);
                told.push(Arc::downgrade(link));
            }
        }
        (self.id, number)
    }
}

impl Drop for Lane {
    /// The last call of the lane is the word that it has ended. No Python: a thread may have none any more.
    fn drop(&mut self) {
        if exit::has_begun() {
            return;
        }
        let told = std::mem::take(self.told.get_mut().unwrap_or_else(PoisonError::into_inner));
        for link in told.iter().filter_map(Weak::upgrade) {
            let number = self.next.fetch_add(1, Ordering::Relaxed); // Relaxed: see `next`
            let mut body = last_words();
            let (lane, chain, expect) = (self.id, ChainId(0), Expect::Nothing);
            // Refused by a link that is over, which keeps nothing, or by a full window: then the thread stays for the
            // life of the host.
            let _ = link.submit(Request {
                lane,
                number,
                chain,
                nested: false,
                deadline: None,
                weight: 0,
                body: &mut body,
                expect,
            });
        }
    }
}

/// Whether a call is the word that its lane has ended.
pub(crate) fn is_last_word(call: &IncomingCall) -> bool {
    let is_post_to_bootstrap = call.head.target == ObjectId::BOOTSTRAP && call.head.want == Want::Nothing;
    is_post_to_bootstrap && call.head.steps == 2 && last_words().get(CallHead::LEN..) == Some(call.steps())
}

/// A post of `end_lane()` to the bootstrap object.
fn last_words() -> Vec<u8> {
    let mut body = Vec::with_capacity(CallHead::LEN + 16);
    CallHead { target: ObjectId::BOOTSTRAP, deadline: None, want: Want::Nothing, steps: 2 }.write(&mut body);
    let mut writer = Writer::new(&mut body);
    writer.int(Op::Attribute.code());
    writer.str("end_lane").expect("the name is short");
    writer.int(Op::Call.code());
    writer.begin_list(0).expect("the list is short");
    writer.begin_map(0).expect("the map is short");
    body
}

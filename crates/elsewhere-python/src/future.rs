//! `Future`: a call whose answer is fetched later.
//!
//! Owns: the answer once it is a value, and those who watch for it. Must not know: how it is waited for (call), asyncio and
//! trio (`elsewhere._awaiting`). Works where a `concurrent.futures.Future` does: `wait`, `as_completed` and `wrap_future`
//! read `_condition`, `_state` and `_waiters`, and isinstance asks `__class__`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use elsewhere_engine::{Arrival, Expect, LoopSeat, Observer};
use elsewhere_proto::{Outcome, Want};
use pyo3::exceptions::{PyBaseException, PyTimeoutError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::awaited::{self, Awaits};
use crate::call::{self, Last, Unsent};
use crate::peer::Lease;
use crate::proxy::Proxy;
use crate::sent::Sent;
use crate::service::Pumped;
use crate::{deadline, errands, errors, home, lifecycle, path, pickling, running, service};

/// How long to look away while another thread turns the answer into a value.
const GLANCE: Duration = Duration::from_micros(50);

/// How long the host may take to say whether a cancelled call had begun.
const FATE_PATIENCE: Duration = Duration::from_millis(100);

/// The answer of a call that was made with `submit`, once it is here.
#[pyclass(frozen, weakref, generic, module = "elsewhere")]
pub(crate) struct Future {
    sent: Sent,
    /// The value where the last step of a `get` is missing.
    fallback: Option<Py<PyAny>>,
    /// The host lives until the answer is here.
    _lease: Option<Arc<Lease>>,
    state: Mutex<State>,
    watchers: Mutex<Watchers>,
    awaits: Awaits,
}

enum State {
    Waiting,
    /// Some thread turns the answer into a value.
    Settling,
    Done(Py<PyAny>),
    Failed(Py<PyBaseException>),
    /// The error is made when it is asked for: by then the host may have said whether the call had begun.
    Cancelled(Option<Py<PyBaseException>>),
    /// The garbage collector took it apart.
    Cleared,
}

#[derive(Default)]
struct Watchers {
    /// Whether the service thread will hear of the answer.
    is_observed: bool,
    callbacks: Vec<Py<PyAny>>,
    /// While event loops wait for the answer: their places in the chain.
    seats: Vec<Arc<LoopSeat>>,
    /// `threading.Condition` and the list of waiters, as `concurrent.futures.wait` wants them.
    condition: Option<Py<PyAny>>,
    waiters: Option<Py<PyList>>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Future {
    /// The future of a call that was sent.
    pub(crate) fn new(py: Python<'_>, sent: Sent) -> PyResult<Bound<'_, Self>> {
        Self::with_fallback(py, sent, None)
    }

    /// The future of a `get` whose value is `fallback` where the path's last step is missing.
    pub(crate) fn with_fallback(py: Python<'_>, sent: Sent, fallback: Option<Py<PyAny>>) -> PyResult<Bound<'_, Self>> {
        let lease = sent.peer.lease();
        sent.peer.link.expect_later();
        let future = Self {
            sent,
            fallback,
            _lease: lease,
            state: Mutex::new(State::Waiting),
            watchers: Mutex::default(),
            awaits: Awaits::default(),
        };
        Bound::new(py, future)
    }

    /// The future of a call whose value is here already.
    pub(crate) fn finished<'py>(sent: Sent, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let state = Mutex::new(State::Done(value.clone().unbind()));
        Bound::new(
            value.py(),
            Self { sent, fallback: None, _lease: None, state, watchers: Mutex::default(), awaits: Awaits::default() },
        )
    }

    /// The future of a call that has failed already.
    pub(crate) fn failed(py: Python<'_>, sent: Sent, error: PyErr) -> PyResult<Bound<'_, Self>> {
        let state = Mutex::new(State::Failed(error.into_value(py)));
        Bound::new(
            py,
            Self { sent, fallback: None, _lease: None, state, watchers: Mutex::default(), awaits: Awaits::default() },
        )
    }

    /// The future of a call that was sent, or could not be because a future that it names failed.
    pub(crate) fn of(py: Python<'_>, sent: Result<Sent, Unsent>) -> PyResult<Bound<'_, Self>> {
        match sent {
            Ok(sent) => Self::new(py, sent),
            Err(Unsent::Poisoned { call, error }) => Self::failed(py, *call, error),
            Err(Unsent::Failed(error)) => Err(error),
        }
    }

    /// Sends a call on `proxy` and gives its future.
    pub(crate) fn send<'py>(proxy: &Bound<'py, Proxy>, last: &Last<'_, 'py>) -> PyResult<Bound<'py, Self>> {
        Self::of(proxy.py(), call::send(proxy, last, Want::Auto, Expect::Answer))
    }

    /// Those who drive it as a coroutine.
    pub(crate) fn awaits(&self) -> &Awaits {
        &self.awaits
    }

    /// The call.
    pub(crate) fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Whether it is settled, or can be now without waiting.
    pub(crate) fn is_here(slf: &Bound<'_, Self>) -> bool {
        Self::look(slf);
        slf.get().is_settled()
    }

    /// The value, waited for until `until`; None when the time is over.
    ///
    /// # Errors
    /// The first, of the wait itself: what a signal handler raises. The second: what the call raised.
    pub(crate) fn settled_value<'py>(
        slf: &Bound<'py, Self>,
        until: Option<Instant>,
    ) -> PyResult<Option<PyResult<Bound<'py, PyAny>>>> {
        Ok(Self::is_settled_by(slf, until)?.then(|| Self::value(slf)))
    }

    fn is_settled(&self) -> bool {
        !matches!(*guard(&self.state), State::Waiting | State::Settling)
    }

    /// Takes in what has arrived, without waiting.
    fn look(slf: &Bound<'_, Self>) {
        let this = slf.get();
        if this.is_settled() {
            return;
        }
        this.sent.peer.link.drain();
        if let Some(arrival) = this.sent.pending.take() {
            Self::settle(slf, arrival);
        }
    }

    /// Turns the answer into a value, once, and tells the watchers.
    fn settle(slf: &Bound<'_, Self>, arrival: Arrival) {
        let py = slf.py();
        let this = slf.get();
        home::show_all_quietly(py, &this.sent.peer);
        *guard(&this.state) = State::Settling;
        let state = match arrival {
            Arrival::Cancelled => State::Cancelled(None),
            arrival => match this.sent.value_or(py, arrival, this.fallback.as_ref()) {
                Ok(value) => State::Done(value.unbind()),
                Err(error) => State::Failed(error.into_value(py)),
            },
        };
        if let Err(error) = Self::publish(slf, state) {
            lifecycle::report(py, &error, "the waiters of a future could not be told");
        }
        let (callbacks, seats) = {
            let mut watchers = guard(&this.watchers);
            (std::mem::take(&mut watchers.callbacks), std::mem::take(&mut watchers.seats))
        };
        drop(seats);
        for callback in callbacks {
            Self::call_back(slf, callback.bind(py));
        }
    }

    /// Sets the state and tells the waiters, under the condition that they read the state under: who finds the future
    /// running is told, who finds it done is not.
    fn publish(slf: &Bound<'_, Self>, state: State) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let watchers = guard(&this.watchers);
        let Some(condition) = watchers.condition.as_ref().map(|it| it.clone_ref(py)) else {
            // Under the lock that a condition is made under: one that is made later reads the state as it is set here.
            let before = std::mem::replace(&mut *guard(&this.state), state);
            drop(watchers);
            drop(before);
            return Ok(());
        };
        drop(watchers);
        let mut state = Some(state);
        let mut set = || {
            if let Some(state) = state.take() {
                let before = std::mem::replace(&mut *guard(&this.state), state);
                drop(before);
            }
        };
        let told = Self::with_condition(condition.bind(py), || {
            set();
            Self::tell_waiters(slf)
        });
        set(); // also where the condition could not be entered
        told
    }

    fn with_condition(condition: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
        let py = condition.py();
        condition.call_method0("__enter__")?;
        let told = body();
        let notified = condition.call_method0("notify_all");
        condition.call_method1("__exit__", (py.None(), py.None(), py.None()))?;
        notified?;
        told
    }

    fn tell_waiters(slf: &Bound<'_, Self>) -> PyResult<()> {
        let waiters = guard(&slf.get().watchers).waiters.as_ref().map(|it| it.clone_ref(slf.py()));
        let Some(waiters) = waiters else { return Ok(()) };
        let method = match *guard(&slf.get().state) {
            State::Cancelled(_) => "add_cancelled",
            State::Failed(_) => "add_exception",
            _ => "add_result",
        };
        for waiter in waiters.bind(slf.py()).iter() {
            waiter.call_method1(method, (slf,))?;
        }
        Ok(())
    }

    /// Runs a callback; what it raises is logged, as `concurrent.futures` does.
    fn call_back(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>) {
        if let Err(error) = errands::run(slf.py(), || callback.call1((slf,))) {
            lifecycle::log_exception(slf.py(), &error, "exception calling callback for a future");
        }
    }

    /// Makes the service thread hear of the answer; a no-op the second time.
    fn observe(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        if this.is_settled() || std::mem::replace(&mut guard(&this.watchers).is_observed, true) {
            return Ok(());
        }
        let py = slf.py();
        if Self::run_local(slf) {
            return Ok(());
        }
        service::ensure(py)?;
        let key = service::watch(service::Watched::Future(slf.clone().unbind()));
        if this.sent.peer.link.observe(&this.sent.pending, Observer::Inbox(service::process_inbox(), key)) {
            service::unwatch(key);
            Self::look(slf);
        }
        Ok(())
    }

    /// Runs the queue of a local host up to this call, since nobody else does; whether it is done then.
    fn run_local(slf: &Bound<'_, Self>) -> bool {
        let this = slf.get();
        let Some(far) = this.sent.peer.far.get() else { return false };
        while !this.sent.pending.is_done() && service::pump(slf.py(), far) != Pumped::Nothing {}
        Self::look(slf);
        this.is_settled()
    }

    /// The service thread heard that the answer is here.
    pub(crate) fn arrived(slf: &Bound<'_, Self>) {
        if let Some(arrival) = slf.get().sent.pending.take() {
            Self::settle(slf, arrival);
        }
    }

    /// Waits until the future is done.
    ///
    /// # Errors
    /// TimeoutError after `timeout` seconds; what a signal handler raises. The call goes on in both cases.
    fn wait_settled(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<()> {
        if Self::is_settled_by(slf, deadline::until(timeout)?)? {
            return Ok(());
        }
        let this = slf.get();
        Err(PyTimeoutError::new_err(format!(
            "{} in {} is not done after {} s; it goes on",
            this.sent.subject.text(slf.py()),
            this.sent.peer.label,
            timeout.unwrap_or_default(),
        )))
    }

    /// Waits until the future is done, or until `until`; whether it is done.
    fn is_settled_by(slf: &Bound<'_, Self>, until: Option<Instant>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        loop {
            if this.is_settled() {
                return Ok(true);
            }
            if let Some(arrival) = this.sent.pending.take() {
                Self::settle(slf, arrival);
                continue;
            }
            if this.sent.pending.is_done() {
                py.detach(|| std::thread::sleep(GLANCE)); // another thread settles it
                py.check_signals()?;
                continue;
            }
            let found = this.sent.wait_gently(py, until, |pending| pending.is_done().then_some(()))?;
            if found.is_none() {
                return Ok(false);
            }
        }
    }

    /// Makes the error of a cancelled call, once. A host tells at once of a call that it has not begun, and of one that it
    /// runs when that is over, so it is given a moment; not where a loop would stand still meanwhile.
    ///
    /// # Errors
    /// What a signal handler raises meanwhile.
    fn explain_cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !matches!(*guard(&this.state), State::Cancelled(None)) {
            return Ok(());
        }
        let Sent { peer, pending, subject, .. } = &this.sent;
        peer.link.drain();
        let mut outcome = pending.fate();
        if outcome.is_none() && peer.far.get().is_none() && !call::is_loop_running(py) {
            let until = Instant::now() + FATE_PATIENCE;
            call::wait_quietly(py, peer, |tick| peer.link.wait_fate(pending, until, tick))?;
            outcome = pending.fate();
        }
        let error = errors::cancelled(py, peer, outcome.unwrap_or(Outcome::Unknown), &subject.text(py));
        let error = error.into_value(py);
        let mut state = guard(&this.state);
        if matches!(*state, State::Cancelled(None)) {
            *state = State::Cancelled(Some(error));
        } else {
            drop(state); // another thread was faster; its error is the one
            drop(error);
        }
        Ok(())
    }

    /// Cancels the call; whether it is cancelled.
    fn give_up(slf: &Bound<'_, Self>, interrupt: bool) -> bool {
        let this = slf.get();
        if Self::is_here(slf) {
            return this.cancelled();
        }
        if interrupt {
            this.sent.pending.break_off();
        }
        if !this.sent.peer.link.cancel(&this.sent.pending, interrupt) {
            return this.cancelled();
        }
        running::heed(slf.py()); // of a local host the call may run on a thread of this process
        if let Some(arrival) = this.sent.pending.take() {
            Self::settle(slf, arrival);
        }
        true
    }

    fn value<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        Self::explain_cancel(slf)?;
        let settled = match &*guard(&slf.get().state) {
            State::Done(value) => Ok(value.bind(py).clone()),
            State::Failed(error) | State::Cancelled(Some(error)) => {
                Err(PyErr::from_value(error.bind(py).clone().into_any()))
            }
            State::Cancelled(None) => unreachable!("it was explained above"),
            State::Waiting | State::Settling | State::Cleared => {
                unreachable!("only settled futures that somebody holds are asked for their value")
            }
        };
        settled.map_err(|error| errors::in_context(py, error, false)) // after the lock
    }
}

impl Drop for Future {
    fn drop(&mut self) {
        if !self.is_settled() {
            self.sent.forget();
        }
    }
}

#[pymethods]
impl Future {
    /// Wait for the value of the call, at most `timeout` seconds (None: as long as it takes), and give it.
    ///
    /// Raises what the call raised. Raises TimeoutError when the time is over; the call goes on.
    #[pyo3(signature = (timeout=None))]
    fn result<'py>(slf: &Bound<'py, Self>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        running::whole(slf.py(), || Self::wait_settled(slf, timeout).and_then(|()| Self::value(slf)))
    }

    /// The exception of the call, or None; waits like `result`.
    #[pyo3(signature = (timeout=None))]
    fn exception<'py>(slf: &Bound<'py, Self>, timeout: Option<f64>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        running::whole(py, || Self::wait_settled(slf, timeout).and_then(|()| Self::explain_cancel(slf)))?;
        match &*guard(&slf.get().state) {
            State::Failed(error) => Ok(Some(error.bind(py).clone().into_any())),
            State::Cancelled(Some(error)) => Err(PyErr::from_value(error.bind(py).clone().into_any())),
            _ => Ok(None),
        }
    }

    /// Whether the call has ended, in whatever way. Takes in what has arrived; never waits.
    fn done(slf: &Bound<'_, Self>) -> PyResult<bool> {
        running::whole(slf.py(), || Ok(Self::is_here(slf)))
    }

    /// Whether the call has not ended yet. Takes in what has arrived; never waits.
    fn running(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::done(slf).map(|is_done| !is_done)
    }

    /// Whether the call was cancelled.
    fn cancelled(&self) -> bool {
        matches!(*guard(&self.state), State::Cancelled(_))
    }

    /// Give the call up: it ends here with CallCancelled. False if it had ended already.
    ///
    /// There it is not started any more if it still waits in the queue; if it runs, it goes on and its result is
    /// dropped. With `interrupt`, CallCancelled is raised in the running method, at its next bytecode: code in C goes
    /// on until it returns, and a method that catches it goes on as well.
    #[pyo3(signature = (*, interrupt=false))]
    fn cancel(slf: &Bound<'_, Self>, interrupt: bool) -> PyResult<bool> {
        running::whole(slf.py(), || Ok(Self::give_up(slf, interrupt)))
    }

    /// Call `fn(future)` when the call has ended, at once if it has; else on the service thread.
    #[pyo3(signature = (r#fn))]
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: &Bound<'_, PyAny>) -> PyResult<()> {
        running::whole(slf.py(), || {
            let state = guard(&slf.get().state);
            if matches!(*state, State::Waiting | State::Settling) {
                guard(&slf.get().watchers).callbacks.push(r#fn.clone().unbind());
                drop(state);
                return Self::observe(slf);
            }
            drop(state);
            Self::call_back(slf, r#fn);
            Ok(())
        })
    }

    /// Go on with an await, as with that of a coroutine; for event loops.
    #[pyo3(name = "send", signature = (value, /))]
    fn go_on<'py>(slf: &Bound<'py, Self>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        awaited::send(slf, value)
    }

    /// Raise an exception at an await, as at that of a coroutine; for event loops.
    #[pyo3(signature = (*raised))]
    fn throw<'py>(slf: &Bound<'py, Self>, raised: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        awaited::throw(slf, raised)
    }

    /// End an await, as that of a coroutine; for event loops. The call goes on.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        awaited::close(slf)
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("elsewhere._awaiting")?.getattr("wait")?.call1((slf,))
    }

    fn _comes_at_once(slf: &Bound<'_, Self>) -> PyResult<bool> {
        running::whole(slf.py(), || Ok(awaited::comes_at_once(slf)))
    }

    /// Have `key` put into `queue` when the call has ended; True if it has ended already.
    fn _observe(slf: &Bound<'_, Self>, queue: &Bound<'_, crate::loop_queue::LoopQueue>, key: u64) -> PyResult<bool> {
        let this = slf.get();
        if running::whole(slf.py(), || Ok(Self::is_here(slf) || Self::run_local(slf)))? {
            return Ok(true);
        }
        let link = &this.sent.peer.link;
        let seat = queue.get().sit(link, this.sent.chain);
        guard(&this.watchers).seats.extend(seat);
        let is_done = link.observe(&this.sent.pending, Observer::Loop(queue.get().inner(), key));
        if is_done || this.is_settled() {
            // Whoever settled it may have looked for seats before this one was there.
            let seats = std::mem::take(&mut guard(&this.watchers).seats);
            drop(seats);
        }
        Ok(is_done)
    }

    #[getter]
    fn _state(slf: &Bound<'_, Self>) -> PyResult<&'static str> {
        // Who holds the condition relies on states that stand still; the service thread settles futures then.
        if guard(&slf.get().watchers).condition.is_none() {
            Self::done(slf)?;
        }
        Ok(match *guard(&slf.get().state) {
            State::Waiting | State::Settling => "RUNNING",
            State::Done(_) | State::Failed(_) | State::Cleared => "FINISHED",
            State::Cancelled(_) => "CANCELLED_AND_NOTIFIED",
        })
    }

    #[getter]
    fn _condition<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        running::whole(py, || Self::observe(slf))?;
        let fresh = py.import("threading")?.getattr("Condition")?.call0()?.unbind();
        let mut watchers = guard(&slf.get().watchers);
        Ok(watchers.condition.get_or_insert(fresh).bind(py).clone())
    }

    #[getter]
    fn _waiters<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        running::whole(py, || Self::observe(slf))?;
        let fresh = PyList::empty(py).unbind();
        let mut watchers = guard(&slf.get().watchers);
        Ok(watchers.waiters.get_or_insert(fresh).bind(py).clone())
    }

    /// `concurrent.futures.Future` where that module is loaded, so that isinstance finds one.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let modules = slf.py().import("sys")?.getattr("modules")?;
        match modules.get_item("concurrent.futures") {
            Ok(futures) => futures.getattr("Future"),
            Err(_) => Ok(slf.get_type().into_any()),
        }
    }

    /// Among arguments that are pickled it stands for what it gives, as it does outside of a pickle.
    fn __reduce_ex__<'py>(slf: &Bound<'py, Self>, protocol: i32) -> PyResult<Bound<'py, PyAny>> {
        if !pickling::is_writing_arguments() {
            return Err(PyTypeError::new_err("a future cannot be pickled: only this process waits for its answer"));
        }
        Proxy::__reduce_ex__(&path::of_future(slf)?, protocol)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let this = slf.get();
        let state = match *guard(&this.state) {
            State::Waiting | State::Settling => "pending",
            State::Done(_) | State::Cleared => "done",
            State::Failed(_) => "failed",
            State::Cancelled(_) => "cancelled",
        };
        format!("<future of {} in {}, {state}>", this.sent.subject.text(slf.py()), this.sent.peer.label)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(state) = self.state.try_lock() {
            match &*state {
                State::Done(value) => visit.call(value)?,
                // An error leads to its traceback, to the frames in it, and so often to this future.
                State::Failed(error) | State::Cancelled(Some(error)) => visit.call(error)?,
                State::Cancelled(None) => {}
                State::Waiting | State::Settling | State::Cleared => {}
            }
        }
        if let Ok(watchers) = self.watchers.try_lock() {
            for callback in &watchers.callbacks {
                visit.call(callback)?;
            }
            visit.call(&watchers.condition)?;
            visit.call(&watchers.waiters)?;
        }
        self.awaits.traverse(&visit)
    }

    fn __clear__(&self) {
        self.awaits.clear();
        let watchers = std::mem::take(&mut *guard(&self.watchers));
        drop(watchers);
        if self.is_settled() {
            let state = std::mem::replace(&mut *guard(&self.state), State::Cleared);
            drop(state);
        }
    }
}

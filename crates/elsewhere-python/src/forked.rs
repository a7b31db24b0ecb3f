//! Hosts that are forks of this process, and what goes to them by inheritance.
//!
//! Owns: what both sides hold across the fork, which objects the child has from it. Must not know: when a process may be
//! forked and what a child has to forget (`elsewhere._fork`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use elsewhere_engine::fork::Stillness;
use elsewhere_engine::{HostCommand, HostProcess, StartError};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::home::Wanted;
use crate::host::{self, Configuration, HostCore};
use crate::{class_info, deadline, memory, peer, service};

/// How long a child that was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// What this process and its fork share. The engine's thread stands still from its making to `start_forked_host`: it need
/// not be told from others, nor be started for the host to be stopped for the fork.
///
/// After `fork` the child calls `become_host`, the parent `start_forked_host`.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct HostFork {
    stage: Mutex<Stage>,
}

enum Stage {
    Prepared(elsewhere_engine::HostFork, Wanted, Stillness),
    /// In the child.
    Forked(elsewhere_engine::HostFork),
    /// Its drop ends the child.
    Adopted(Result<HostProcess, StartError>, Wanted, Stillness),
    Used,
}

impl HostFork {
    fn take(&self) -> Stage {
        std::mem::replace(&mut *self.stage.lock().unwrap_or_else(PoisonError::into_inner), Stage::Used)
    }
}

fn used_up() -> PyErr {
    PyRuntimeError::new_err("a fork is used once")
}

#[pymethods]
impl HostFork {
    /// `timeout` is how many seconds the child may take to say hello. Of the classes of what is in `inherit` is found out
    /// now what the child is to tell of them.
    #[new]
    #[pyo3(signature = (inherit, *, output, logs, timeout))]
    fn new(py: Python<'_>, inherit: &Bound<'_, PyList>, output: &str, logs: bool, timeout: f64) -> PyResult<Self> {
        let mut command = HostCommand::new("");
        command.shares_memory = memory::is_wanted();
        command.start_timeout = deadline::duration(deadline::checked(timeout)?);
        let wanted = Wanted::new(&mut command, output, logs)?;
        class_info::prepare(inherit)?;
        let stillness = Stillness::begin();
        let fork = command
            .prepare_fork(service::process_inbox(), host::here(py))
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { stage: Mutex::new(Stage::Prepared(fork, wanted, stillness)) })
    }

    /// Fork with `os.fork`. Gives whether this is the child, which the parent watches by then.
    ///
    /// No step of Python's lies between, in which a signal's handler could raise something and leave a child that nobody
    /// knows.
    fn fork(&self, py: Python<'_>) -> PyResult<bool> {
        let Stage::Prepared(fork, wanted, stillness) = self.take() else { return Err(used_up()) };
        let pid: u32 = py.import("posix")?.call_method0("fork")?.extract()?;
        let (stage, is_child) = if pid == 0 {
            std::mem::forget(wanted); // the parent's
            stillness.forget();
            (Stage::Forked(fork), true)
        } else {
            class_info::forget_prepared();
            (Stage::Adopted(fork.adopt(pid), wanted, stillness), false)
        };
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        Ok(is_child)
    }

    /// In the child: the streams to the parent become stdin, stdout and stderr.
    fn become_host(&self) -> PyResult<()> {
        let Stage::Forked(fork) = self.take() else { return Err(used_up()) };
        Ok(fork.become_host()?)
    }

    /// In the parent: let nothing be left of it.
    fn abandon(&self, py: Python<'_>) {
        match self.take() {
            Stage::Adopted(Ok(process), _wanted, stillness) => py.detach(|| {
                drop(stillness); // the thread that reaps
                process.kill();
                let _ = process.wait(Some(PATIENCE)); // it is killed, and reaped when it can be
            }),
            other => py.detach(|| drop(other)),
        }
    }
}

/// Fork for nothing: pools like OpenBLAS's, which numpy brings, end their threads when their process forks.
#[pyfunction]
pub(crate) fn _fork_for_nothing(py: Python<'_>) -> PyResult<()> {
    let posix = py.import("posix")?;
    let pid: i32 = posix.call_method0("fork")?.extract()?;
    if pid == 0 {
        posix.call_method1("_exit", (0,))?;
    }
    if let Some(pid) = Pid::from_raw(pid) {
        // Somebody's handler of SIGCHLD may be faster.
        let _ = py.detach(|| retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty())));
    }
    Ok(())
}

/// Wait for a child that was adopted, and ask of it what it has not done by itself; `core` becomes its Host.
///
/// `configuration` is what is left to be asked, `inherited` are the objects that the child has by the fork.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python passes them by keyword")]
#[pyo3(signature = (core, fork, *, name, configuration, timeout, heartbeat, make_shower, inherited))]
pub(crate) fn start_forked_host<'py>(
    py: Python<'py>,
    core: &Bound<'py, HostCore>,
    fork: &HostFork,
    name: Option<&str>,
    configuration: &Bound<'py, PyDict>,
    timeout: f64,
    heartbeat: f64,
    make_shower: &Bound<'py, PyAny>,
    inherited: &Bound<'py, PyList>,
) -> PyResult<()> {
    peer::sweep(py);
    let Stage::Adopted(mut launched, wanted, stillness) = fork.take() else { return Err(used_up()) };
    if let Err(error) = py.detach(|| stillness.end(launched.as_ref().ok())) {
        launched = launched.and(Err(StartError::Spawn { program: "the thread that watches a fork".to_owned(), error }));
    }
    host::begin(
        py,
        core,
        launched,
        wanted,
        Configuration { name, settings: configuration, timeout, heartbeat, make_shower },
    )?;
    let numbers = PyDict::new(py);
    for (number, object) in inherited.iter().enumerate() {
        numbers.set_item(object.as_ptr() as usize, number)?;
    }
    core.get().set_inherited(&numbers, inherited.as_any())
}

//! Hosts that are forks of this process, and what goes to them by inheritance.
//!
//! Owns: what both sides hold across the fork, which objects the child has from it. Must not know: when a process may be
//! forked and what a child has to forget (`elsewhere._fork`).

use std::sync::{Mutex, PoisonError};

use elsewhere_engine::{HostCommand, HostProcess, StartError};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::home::Wanted;
use crate::host::{self, Configuration, HostCore};
use crate::{deadline, memory, peer, service};

/// What this process and its fork share. The child calls `become_host`, the parent `adopt`, `start_forked_host`.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct HostFork {
    stage: Mutex<Stage>,
}

enum Stage {
    Prepared(elsewhere_engine::HostFork, Wanted),
    /// Its drop ends the child.
    Adopted(Result<HostProcess, StartError>, Wanted),
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
    /// `timeout` is how many seconds the child may take to say hello.
    #[new]
    #[pyo3(signature = (*, output, logs, timeout))]
    fn new(py: Python<'_>, output: &str, logs: bool, timeout: f64) -> PyResult<Self> {
        let mut command = HostCommand::new("");
        command.shares_memory = memory::is_wanted();
        command.start_timeout = deadline::duration(deadline::checked(timeout)?);
        let wanted = Wanted::new(&mut command, output, logs)?;
        let fork = command
            .prepare_fork(service::process_inbox(), host::here(py))
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { stage: Mutex::new(Stage::Prepared(fork, wanted)) })
    }

    /// In the child: the streams to the parent become stdin, stdout and stderr.
    fn become_host(&self) -> PyResult<()> {
        let Stage::Prepared(fork, wanted) = self.take() else { return Err(used_up()) };
        std::mem::forget(wanted); // the parent's
        Ok(fork.become_host()?)
    }

    /// In the parent: watch the child `pid`, which ends when nothing comes of it.
    fn adopt(&self, pid: u32) -> PyResult<()> {
        let Stage::Prepared(fork, wanted) = self.take() else { return Err(used_up()) };
        let adopted = Stage::Adopted(fork.adopt(pid), wanted);
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = adopted;
        Ok(())
    }
}

/// Configure a child that was adopted; `core` becomes its Host.
///
/// `inherited` are the objects that the child has by the fork.
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
    let Stage::Adopted(launched, wanted) = fork.take() else { return Err(used_up()) };
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

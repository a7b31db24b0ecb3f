//! Hosts that are forks of this process, and what goes to them by inheritance.
//!
//! Owns: what both sides hold across the fork, which objects the child has from it. Must not know: when a process may be
//! forked and what a child has to forget (`elsewhere._fork`).

use std::sync::{Mutex, PoisonError};

use elsewhere_engine::HostCommand;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::home::Wanted;
use crate::host::{self, Configuration, HostCore};
use crate::{deadline, peer, service};

/// What this process and its fork share. The child calls `become_host`, the parent `start_forked_host`.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct HostFork {
    parts: Mutex<Option<(elsewhere_engine::HostFork, Wanted)>>,
}

impl HostFork {
    fn take(&self) -> PyResult<(elsewhere_engine::HostFork, Wanted)> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        parts.ok_or_else(|| PyRuntimeError::new_err("a fork is used once"))
    }
}

#[pymethods]
impl HostFork {
    /// `timeout` is how many seconds the child may take to say hello.
    #[new]
    #[pyo3(signature = (*, output, logs, timeout))]
    fn new(py: Python<'_>, output: &str, logs: bool, timeout: f64) -> PyResult<Self> {
        let mut command = HostCommand::new("");
        command.start_timeout = deadline::duration(deadline::checked(timeout)?);
        let wanted = Wanted::new(&mut command, output, logs)?;
        let fork = command
            .prepare_fork(service::process_inbox(), host::here(py))
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { parts: Mutex::new(Some((fork, wanted))) })
    }

    /// In the child: the streams to the parent become stdin, stdout and stderr.
    fn become_host(&self) -> PyResult<()> {
        let (fork, wanted) = self.take()?;
        std::mem::forget(wanted); // the parent's
        Ok(fork.become_host()?)
    }
}

/// Take the child `pid` as a host and configure it; `core` becomes its Host.
///
/// `inherited` are the objects that the child has by the fork.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python passes them by keyword")]
#[pyo3(signature = (core, fork, pid, *, name, configuration, timeout, heartbeat, make_shower, inherited))]
pub(crate) fn start_forked_host<'py>(
    py: Python<'py>,
    core: &Bound<'py, HostCore>,
    fork: &HostFork,
    pid: u32,
    name: Option<&str>,
    configuration: &Bound<'py, PyDict>,
    timeout: f64,
    heartbeat: f64,
    make_shower: &Bound<'py, PyAny>,
    inherited: &Bound<'py, PyList>,
) -> PyResult<()> {
    peer::sweep(py);
    let (fork, wanted) = fork.take()?;
    let launched = py.detach(|| fork.adopt(pid));
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

//! Hosts that a zygote forks, and being a zygote.
//!
//! Owns: the handles of both for Python. Must not know: when a zygote may fork and what is ready in it
//! (`elsewhere._zygote`), what makes two hosts come from the same one (`elsewhere._warm`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use elsewhere_engine::{Child, Errand, ForkOrder, HostCommand, HostProcess, Unforked};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::call::TICK;
use crate::host::{self, Configuration, HostCore};
use crate::{peer, service};

/// The place of a zygote, which has its owner's orders as standard input, and of its forks.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct ZygoteSeat {
    held: Mutex<Place>,
}

enum Place {
    Zygote(elsewhere_engine::ZygoteSeat, Option<ForkOrder>),
    Fork(Child),
    Taken,
}

impl ZygoteSeat {
    fn replace(&self, place: Place) -> Place {
        std::mem::replace(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner), place)
    }

    fn take(&self) -> PyResult<(elsewhere_engine::ZygoteSeat, Option<ForkOrder>)> {
        match self.replace(Place::Taken) {
            Place::Zygote(seat, order) => Ok((seat, order)),
            place => {
                self.replace(place);
                Err(PyRuntimeError::new_err("this seat is taken"))
            }
        }
    }

    fn put(&self, seat: elsewhere_engine::ZygoteSeat, order: Option<ForkOrder>) {
        self.replace(Place::Zygote(seat, order));
    }

    fn take_with_order(&self) -> PyResult<(elsewhere_engine::ZygoteSeat, ForkOrder)> {
        match self.take()? {
            (seat, Some(order)) => Ok((seat, order)),
            (seat, None) => {
                self.put(seat, None);
                Err(PyRuntimeError::new_err("no host is wanted"))
            }
        }
    }
}

#[pymethods]
impl ZygoteSeat {
    #[new]
    fn new() -> PyResult<Self> {
        let seat = elsewhere_engine::ZygoteSeat::adopt_stdin()?;
        Ok(Self { held: Mutex::new(Place::Zygote(seat, None)) })
    }

    /// A pipe that is broken when the owner is gone.
    fn fileno(&self) -> PyResult<i32> {
        let (seat, order) = self.take()?;
        let fd = seat.pipe().as_raw_fd();
        self.put(seat, order);
        Ok(fd)
    }

    /// Take no more orders. It is over when the last child has ended.
    fn retire(&self) -> PyResult<()> {
        let (mut seat, order) = self.take()?;
        let retired = seat.retire();
        self.put(seat, order);
        Ok(retired?)
    }

    /// Wait until a fork is wanted, and give what the owner says of the host; None when the owner wants no more.
    ///
    /// It is empty when the fork is to be a spare, which waits for what the owner will say.
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        loop {
            let (mut seat, _) = self.take()?;
            let errand = py.detach(|| seat.wait());
            match errand? {
                Errand::Fork(order) => {
                    let setting = PyBytes::new(py, order.setting().unwrap_or_default());
                    self.put(seat, Some(order));
                    return Ok(Some(setting));
                }
                Errand::Interrupted => {
                    self.put(seat, None);
                    py.check_signals()?;
                }
                Errand::Over => return Ok(None),
            }
        }
    }

    /// Instead of the fork: make the spare the host that is wanted, if there is one. Whether that is done.
    fn employ(&self) -> PyResult<bool> {
        let (mut seat, order) = self.take_with_order()?;
        let left = seat.employ(order).err();
        let is_done = left.is_none();
        self.put(seat, left);
        Ok(is_done)
    }

    /// End the spare, if there is one: what a host is to have has changed since.
    fn dismiss(&self) -> PyResult<()> {
        let (mut seat, order) = self.take()?;
        seat.dismiss();
        self.put(seat, order);
        Ok(())
    }

    /// After the fork, in the zygote: tell the owner of the child `pid`, and later how it ended. A spare is kept.
    fn adopt(&self, pid: u32) -> PyResult<()> {
        let (mut seat, order) = self.take_with_order()?;
        let _ = seat.adopt(order, pid); // the owner was told
        self.put(seat, None);
        Ok(())
    }

    /// After the fork, in the child: let go of what is the zygote's.
    fn leave(&self) -> PyResult<()> {
        let (seat, order) = self.take_with_order()?;
        self.replace(Place::Fork(order.leave(seat)));
        Ok(())
    }

    /// In the child: wait, in a spare, until it is wanted. Give what the owner says of the host; None if never.
    fn stand_by<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        loop {
            match self.replace(Place::Taken) {
                Place::Fork(Child::Host(order)) => {
                    let setting = PyBytes::new(py, order.setting());
                    self.replace(Place::Fork(Child::Host(order)));
                    return Ok(Some(setting));
                }
                Place::Fork(Child::Spare(spare)) => match py.detach(|| spare.wait()) {
                    Ok(None) => return Ok(None),
                    Ok(Some(order)) => drop(self.replace(Place::Fork(Child::Host(order)))),
                    Err(spare) => {
                        self.replace(Place::Fork(Child::Spare(spare)));
                        py.check_signals()?;
                    }
                },
                place => {
                    self.replace(place);
                    return Err(PyRuntimeError::new_err("this is no fork"));
                }
            }
        }
    }

    /// In the child: take over the streams, directory and umask of the owner.
    fn become_host(&self) -> PyResult<()> {
        match self.replace(Place::Taken) {
            Place::Fork(Child::Host(order)) => Ok(order.become_host()?),
            place => {
                self.replace(place);
                Err(PyRuntimeError::new_err("no host is wanted"))
            }
        }
    }

    /// Instead of the fork: tell the owner that this process cannot be forked, now and later.
    fn refuse(&self, reason: &str) -> PyResult<()> {
        let (seat, order) = self.take_with_order()?;
        order.refuse(reason);
        self.put(seat, None);
        Ok(())
    }

    /// Instead of the fork: tell the owner that the system refused it this time.
    fn fail(&self, reason: &str) -> PyResult<()> {
        let (seat, order) = self.take_with_order()?;
        order.fail(reason);
        self.put(seat, None);
        Ok(())
    }
}

/// Let a zygote fork a host and configure it; `core` becomes its Host. If that is not to be had, give why.
///
/// `program` and `arguments` are what is executed to be the zygote of `key`, `environment` the whole environment;
/// `setting` is what it is told for this host. With a reason, no host was started.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python passes them by keyword")]
#[pyo3(signature = (
    core, *, program, arguments, environment, key, setting, directory, name, configuration, timeout, heartbeat, output,
    logs, make_shower
))]
pub(crate) fn start_warm_host<'py>(
    py: Python<'py>,
    core: &Bound<'py, HostCore>,
    program: OsString,
    arguments: Vec<String>,
    environment: Option<BTreeMap<OsString, OsString>>,
    key: &str,
    setting: &[u8],
    directory: Option<OsString>,
    name: Option<&str>,
    configuration: &Bound<'py, PyDict>,
    timeout: f64,
    heartbeat: f64,
    output: &str,
    logs: bool,
    make_shower: &Bound<'py, PyAny>,
) -> PyResult<Option<String>> {
    peer::sweep(py);
    let (command, wanted) = host::command(program, arguments, environment, directory, timeout, output, logs)?;
    let launched = match launch(py, command, key, setting) {
        Err(NotForked::Interrupted(error)) => return Err(error),
        Err(NotForked::Unforked(Unforked::Refused { text, .. })) => return Ok(Some(text)),
        Err(NotForked::Unforked(Unforked::Failed(error))) => Err(error),
        Ok(process) => Ok(process),
    };
    host::begin(
        py,
        core,
        launched,
        wanted,
        Configuration { name, settings: configuration, timeout, heartbeat, make_shower },
    )?;
    Ok(None)
}

/// Why there is no process.
enum NotForked {
    Unforked(Unforked),
    Interrupted(PyErr),
}

/// Asks for a host and waits for its process, seeing to signals meanwhile.
fn launch(py: Python<'_>, command: HostCommand, key: &str, setting: &[u8]) -> Result<HostProcess, NotForked> {
    let (here, inbox) = (host::here(py), service::process_inbox());
    let asked = py.detach(|| command.launch_warm(key, setting, inbox, here));
    let mut start = asked.map_err(NotForked::Unforked)?;
    loop {
        if let Some(process) = py.detach(|| start.wait(TICK)).map_err(NotForked::Unforked)? {
            return Ok(process);
        }
        py.check_signals().map_err(NotForked::Interrupted)?;
    }
}

/// The ids and names of the threads that this process has beside the calling one.
#[pyfunction]
pub(crate) fn _other_threads() -> PyResult<Vec<(String, String)>> {
    Ok(elsewhere_engine::other_threads()?)
}

/// The zygotes of this process that are not reaped yet: their process ids, and their descriptors here.
#[pyfunction]
pub(crate) fn _zygotes(py: Python<'_>) -> Vec<(u32, Vec<i32>)> {
    py.detach(elsewhere_engine::zygotes)
}

/// Let every zygote end with its last host. The next host is forked by a new one.
#[pyfunction]
pub(crate) fn _retire_zygotes(py: Python<'_>) {
    py.detach(elsewhere_engine::retire_zygotes);
}

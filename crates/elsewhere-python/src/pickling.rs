//! Pickles, with the references in them kept in a table beside them.
//!
//! Owns: the table of the pickle that is being written or read on this thread. Must not know: connections.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};

use elsewhere_proto::codec::Flavour;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::abilities::{Abilities, PROTOCOL};
use crate::peer::Peer;
use crate::pickler::{self, Collector, Manner};
use crate::{connecting, lifecycle, running, shown};

/// A finished pickle.
pub(crate) struct Pickle {
    pub(crate) flavour: Flavour,
    pub(crate) data: Py<PyBytes>,
    pub(crate) references: Vec<Py<PyAny>>,
    /// Its out-of-band buffers, each a `PickleBuffer`.
    pub(crate) buffers: Vec<Py<PyAny>>,
}

/// What cannot be pickled.
pub(crate) struct Culprit {
    /// The path to it, and its type.
    pub(crate) text: String,
    /// Whether it is a part of a class or function that travels by value.
    pub(crate) is_of_code: bool,
    /// Whether it is code itself, which means nothing to the peer's version of Python.
    pub(crate) is_foreign_code: bool,
}

/// The references of a pickle that is being written, and what it is for.
struct Writing {
    references: Vec<Py<PyAny>>,
    is_argument: bool,
    /// Whether the peer maps what is passed to it without a copy.
    is_sharing: bool,
    /// Whether the peer may know secrets.
    is_own: bool,
}

thread_local! {
    /// What stood in the way of the last pickle that failed on this thread.
    static CULPRIT: RefCell<Option<Culprit>> = const { RefCell::new(None) };
    /// Objects that the peer has by a fork, while a culprit is looked for.
    static EXCUSED: RefCell<Option<Py<PyDict>>> = const { RefCell::new(None) };
    /// What the peer can read for which a culprit is looked for, and whether it may know secrets.
    static READER: Cell<(Abilities, bool)> = const { Cell::new((Abilities::LIKE_HERE, false)) };
    /// Whether the last pickle on this thread failed because code cannot go by value.
    static HAS_CODE: Cell<bool> = const { Cell::new(false) };
    static WRITING: RefCell<Vec<Writing>> = const { RefCell::new(Vec::new()) };
    static READING: RefCell<Vec<Vec<Py<PyAny>>>> = const { RefCell::new(Vec::new()) };
}

/// What stood in the way of the last pickle that failed on this thread, told once.
pub(crate) fn last_culprit() -> Option<Culprit> {
    CULPRIT.take()
}

/// Remembers what part of `value`, called `name`, cannot be pickled for `peer`, where `error` is about that.
pub(crate) fn find_culprit(error: &PyErr, value: &Bound<'_, PyAny>, name: &str, peer: &Peer) {
    let py = value.py();
    if connecting::is_fatal(py, error) {
        return;
    }
    let inherited = peer.inherited(py).map(|numbers| numbers.clone().unbind());
    let is_foreign_code = HAS_CODE.take();
    let before = (EXCUSED.replace(inherited), READER.replace((peer.abilities(py), peer.is_own())));
    let found = module(py).and_then(|module| module.getattr("culprit")?.call1((value, name))?.extract());
    EXCUSED.set(before.0);
    READER.set(before.1);
    CULPRIT.set(found.ok().map(|(text, is_of_code)| Culprit { text, is_of_code, is_foreign_code }));
}

/// Whether `value` can be pickled for a peer.
#[pyfunction]
pub(crate) fn _pickles(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    let excused = EXCUSED.with_borrow(|numbers| numbers.as_ref().map(|numbers| numbers.clone_ref(py)));
    let inherited = excused.as_ref().map(|it| it.bind(py));
    let (reader, is_own) = READER.get();
    let purpose = Purpose { is_argument: true, kept: None, inherited, is_sharing: false, is_own, reader };
    running::whole(py, || Ok(dumps_for(value, &purpose).is_ok()))
}

/// What a pickle is made for.
struct Purpose<'a, 'py> {
    is_argument: bool,
    kept: Option<&'a Bound<'py, PyAny>>,
    /// The numbers of objects that the peer has by the fork that made it, and that go as these numbers.
    inherited: Option<&'a Bound<'py, PyDict>>,
    is_sharing: bool,
    is_own: bool,
    /// What the peer can read.
    reader: Abilities,
}

/// Pickles `value`; what only lives in `__main__` or in a function travels by value.
///
/// # Errors
/// What the first pickler raised, if none can do it.
///
/// `is_argument`: bound methods and generators in it go by reference, all but `kept`.
pub(crate) fn dumps<'py>(
    value: &Bound<'py, PyAny>,
    is_argument: bool,
    kept: Option<&Bound<'py, PyAny>>,
    peer: &Peer,
) -> PyResult<Pickle> {
    HAS_CODE.set(false); // of an earlier value, whose culprit nobody asked for
    let _guarding = shown::guard(peer);
    let inherited = peer.inherited(value.py()).filter(|_| is_argument);
    let (reader, is_sharing, is_own) = (peer.abilities(value.py()), peer.link.can_share(), peer.is_own());
    dumps_for(value, &Purpose { is_argument, kept, inherited, is_sharing, is_own, reader })
}

fn dumps_for(value: &Bound<'_, PyAny>, purpose: &Purpose<'_, '_>) -> PyResult<Pickle> {
    let py = value.py();
    let is_argument = purpose.is_argument;
    let by_reference = match is_argument {
        _ if shown::is_guarding() => Pickler::Guarded,
        true => Pickler::Argument,
        false if checks_results() => Pickler::Checked,
        false => Pickler::Result,
    };
    match attempt(value, by_reference, purpose) {
        Ok(pickle) if names_main(pickle.data.bind(py).as_bytes()) => {
            if purpose.reader.takes_code {
                return attempt(value, Pickler::ByValue, purpose);
            }
            match attempt(value, Pickler::WithoutCode, purpose) {
                Ok(_) => Ok(pickle), // a text says so
                Err(error) if connecting::is_fatal(py, &error) => Err(error),
                Err(_) => Err(code_stays(py)),
            }
        }
        Ok(pickle) => Ok(pickle),
        Err(first) if !connecting::is_fatal(py, &first) => {
            if !is_argument && is_uncopyable(py, &first) {
                return Err(first);
            }
            match attempt(value, Pickler::ByValue, purpose) {
                Ok(_) if !purpose.reader.takes_code => Err(code_stays(py)),
                Ok(pickle) => Ok(pickle),
                Err(_) => Err(first),
            }
        }
        Err(first) => Err(first),
    }
}

/// What is to be pickled holds code that only travels by value, and the peer cannot read that.
fn code_stays(py: Python<'_>) -> PyErr {
    HAS_CODE.set(true);
    let here = py.version_info();
    let text = format!(
        "code travels by value only between interpreters of one version, and this is Python {}.{}",
        here.major, here.minor
    );
    PyTypeError::new_err(text)
}

/// pickle's TypeError for locks, sockets, files and the like, which cloudpickle cannot help either.
fn is_uncopyable(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyTypeError>(py)
}

/// A name of `__main__` means another module in the peer. See [`is_main`](crate::kinds::is_main).
fn names_main(data: &[u8]) -> bool {
    const MAIN: [&[u8]; 2] = [b"__main__", b"__mp_main__"];
    let mut rest = data;
    while let Some(at) = rest.iter().position(|&byte| byte == b'_') {
        rest = &rest[at..];
        if MAIN.iter().any(|name| rest.starts_with(name)) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Whether this process has modules that no peer can import: scripts, and files from outside of the import path.
static HAS_MODULES_OF_ITS_OWN: AtomicBool = AtomicBool::new(false);

/// From now on results are looked through for classes and functions that no peer can import.
#[pyfunction]
pub(crate) fn _check_results() {
    HAS_MODULES_OF_ITS_OWN.store(true, Ordering::Relaxed); // Relaxed: the GIL orders it before any result that matters
}

/// Whether results are looked through so.
pub(crate) fn checks_results() -> bool {
    HAS_MODULES_OF_ITS_OWN.load(Ordering::Relaxed) // Relaxed: see `_check_results`
}

/// Whether this process is a host by a fork, and its owner sends numbers for what it has from it.
static HAS_INHERITED: AtomicBool = AtomicBool::new(false);

/// From now on messages of the owner are read that name inherited objects, and pickles that hold their numbers.
#[pyfunction]
pub(crate) fn _read_inherited(objects: &Bound<'_, PyList>) {
    if let Some(owner) = lifecycle::owner() {
        owner.set_inheritance(objects);
    }
    HAS_INHERITED.store(true, Ordering::Relaxed); // Relaxed: see `loads`
}

/// What a value is pickled with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pickler {
    /// Bound methods and generators go by reference.
    Argument,
    Result,
    /// cloudpickle.
    ByValue,
    /// As a result, but what only exists here is refused.
    Checked,
    /// As an argument or as such a result, for somebody who is shown some objects only through lists.
    Guarded,
    /// As an argument or as a result, but code of `__main__` is refused.
    WithoutCode,
}

fn attempt(value: &Bound<'_, PyAny>, pickler: Pickler, purpose: &Purpose<'_, '_>) -> PyResult<Pickle> {
    let py = value.py();
    let &Purpose { is_argument, is_sharing, is_own, .. } = purpose;
    // All that can fail for other reasons comes before the frame is pushed.
    let special = match manner_of(pickler, purpose) {
        Some(manner) => Err(manner),
        None => Ok(Special::new(py, pickler)?),
    };
    WRITING.with_borrow_mut(|stack| stack.push(Writing { references: Vec::new(), is_argument, is_sharing, is_own }));
    // Not to be taken for one that cannot be pickled so, and be tried otherwise.
    let made = running::whole(py, || match special {
        Err(manner) => pickler::dumps(value, manner),
        Ok(special) => special.dumps(value, purpose),
    });
    let writing = WRITING.with_borrow_mut(Vec::pop).expect("the frame pushed above is still there");
    let (data, buffers) = made?;
    let flavour = if pickler == Pickler::ByValue { Flavour::Cloudpickle } else { Flavour::Pickle };
    Ok(Pickle { flavour, data: data.unbind(), references: writing.references, buffers })
}

/// The pickler that is used again, where it will do.
fn manner_of(pickler: Pickler, purpose: &Purpose<'_, '_>) -> Option<Manner> {
    let &Purpose { kept, inherited, is_sharing, reader: Abilities { protocol, .. }, .. } = purpose;
    if protocol != PROTOCOL || kept.is_some() || inherited.is_some() {
        return None;
    }
    match pickler {
        Pickler::Argument => Some(Manner { is_argument: true, is_sharing }),
        Pickler::Result => Some(Manner { is_argument: false, is_sharing }),
        Pickler::ByValue | Pickler::Checked | Pickler::Guarded | Pickler::WithoutCode => None,
    }
}

/// A pickler for one pickle, made in Python.
struct Special<'py> {
    dumps: Bound<'py, PyAny>,
    collect: Bound<'py, Collector>,
    is_told_all: bool,
}

impl<'py> Special<'py> {
    fn new(py: Python<'py>, pickler: Pickler) -> PyResult<Self> {
        let name = match pickler {
            Pickler::Argument => "dumps_argument",
            Pickler::ByValue => "dumps_by_value",
            Pickler::Checked => "dumps_checked",
            Pickler::Guarded => "dumps_guarded",
            Pickler::Result => "dumps_result",
            Pickler::WithoutCode => "dumps_without_code",
        };
        let collect = Bound::new(py, Collector::default())?;
        let is_told_all = matches!(pickler, Pickler::Argument | Pickler::ByValue | Pickler::WithoutCode);
        Ok(Self { dumps: module(py)?.getattr(name)?, collect, is_told_all })
    }

    fn dumps(
        &self,
        value: &Bound<'py, PyAny>,
        purpose: &Purpose<'_, 'py>,
    ) -> PyResult<(Bound<'py, PyBytes>, Vec<Py<PyAny>>)> {
        let &Purpose { kept, inherited, reader: Abilities { protocol, .. }, .. } = purpose;
        let data = if self.is_told_all {
            self.dumps.call1((value, &self.collect, kept, inherited, protocol))
        } else {
            self.dumps.call1((value, &self.collect, protocol))
        };
        Ok((data?.cast_into::<PyBytes>()?, self.collect.get().take()))
    }
}

/// Unpickles `data` with the references of its table. `is_foreign`: it comes from another version of Python.
pub(crate) fn loads<'py>(
    data: &Bound<'py, PyAny>,
    (flavour, is_foreign): (Flavour, bool),
    references: Vec<Py<PyAny>>,
    buffers: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    let kwargs = if buffers.is_empty() { None } else { Some(PyDict::new(py)) };
    if let Some(kwargs) = &kwargs {
        kwargs.set_item("buffers", buffers)?;
    }
    let loads = match flavour {
        _ if is_foreign => module(py)?.getattr("loads_foreign")?,
        // Relaxed: set before the first message is read.
        Flavour::Pickle if !HAS_INHERITED.load(Ordering::Relaxed) => pickle_loads(py)?.clone(),
        Flavour::Pickle | Flavour::Cloudpickle => module(py)?.getattr("loads")?,
    };
    READING.with_borrow_mut(|stack| stack.push(references));
    let value = loads.call((data,), kwargs.as_ref());
    let table = READING.with_borrow_mut(Vec::pop);
    drop(table);
    value
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("elsewhere._pickle")
}

fn pickle_loads(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "_pickle", "loads")
}

/// What a proxy or a `ref(x)` reduces to inside a pickle of ours.
///
/// # Errors
/// TypeError with `refusal` outside of one.
pub(crate) fn reduce_reference<'py>(object: &Bound<'py, PyAny>, refusal: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let index = WRITING.with_borrow_mut(|stack| {
        let writing = stack.last_mut()?;
        writing.references.push(object.clone().unbind());
        Some(writing.references.len() - 1)
    });
    let Some(index) = index else { return Err(PyTypeError::new_err(refusal.to_owned())) };
    let loader = py.import("elsewhere._core")?.getattr("_reference")?;
    Ok(PyTuple::new(py, [loader, PyTuple::new(py, [index])?.into_any()])?.into_any())
}

/// Whether a pickle of ours is being written on this thread, in which references stand beside it.
pub(crate) fn is_writing() -> bool {
    WRITING.with_borrow(|stack| !stack.is_empty())
}

/// Whether arguments are being pickled on this thread.
pub(crate) fn is_writing_arguments() -> bool {
    WRITING.with_borrow(|stack| stack.last().is_some_and(|writing| writing.is_argument))
}

/// Whether what is being pickled on this thread goes to a peer that takes memory.
#[pyfunction]
pub(crate) fn _is_passing_memory() -> bool {
    WRITING.with_borrow(|stack| stack.last().is_some_and(|writing| writing.is_sharing))
}

/// Takes the reference at `index` of the pickle that is being read on this thread.
#[pyfunction]
pub(crate) fn _reference(py: Python<'_>, index: usize) -> PyResult<Py<PyAny>> {
    READING
        .with_borrow(|stack| stack.last().and_then(|table| table.get(index)).map(|object| object.clone_ref(py)))
        .ok_or_else(|| PyTypeError::new_err("a reference can only be read inside a message"))
}

/// Makes `object` travel by reference in the pickle that is being written on this thread.
#[pyfunction]
pub(crate) fn _offer<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    reduce_reference(object, "an object can only be offered inside a message")
}

/// Whether the pickle that is being written on this thread holds arguments.
#[pyfunction]
pub(crate) fn _is_pickling_argument() -> bool {
    WRITING.with_borrow(|stack| stack.last().is_some_and(|writing| writing.is_argument))
}

/// Whether the pickle that is being written on this thread holds arguments for a peer that may know secrets.
#[pyfunction]
pub(crate) fn _is_pickling_for_own() -> bool {
    WRITING.with_borrow(|stack| stack.last().is_some_and(|writing| writing.is_argument && writing.is_own))
}

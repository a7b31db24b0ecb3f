//! A place: an object of a peer, and the steps from it that are not taken yet.
//!
//! Owns: the shape of a path and its text. Must not know: connections, how calls are made.

use std::sync::Arc;

use elsewhere_proto::{ObjectId, Op, codec::Writer};
use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::encode::Encoder;
use crate::future::Future;
use crate::peer::Import;
use crate::proxy::Proxy;

/// The longest path that is built. A longer one is a loop by mistake, and each step nests one object in another.
pub(crate) const LENGTH_MAX: u16 = 1_000;

/// Where a proxy points.
pub(crate) enum Place {
    /// The object itself.
    Root(Arc<Import>),
    /// One step from another place.
    Path { parent: Py<Proxy>, step: Step, length: u16 },
}

/// One step of a path.
pub(crate) enum Step {
    Attribute(Py<PyString>),
    Item(Py<PyAny>),
    /// A call that is made when the path is evaluated: a step of lazy paths.
    Call {
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    },
    /// What a future gives; always the first step.
    Result(Py<Future>),
}

impl Step {
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Attribute(name) => Self::Attribute(name.clone_ref(py)),
            Self::Item(key) => Self::Item(key.clone_ref(py)),
            Self::Call { args, kwargs } => {
                Self::Call { args: args.clone_ref(py), kwargs: kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py)) }
            }
            Self::Result(future) => Self::Result(future.clone_ref(py)),
        }
    }
}

impl Place {
    /// A place one step on from `parent`.
    ///
    /// # Errors
    /// RecursionError beyond [`LENGTH_MAX`] steps.
    pub(crate) fn after(parent: &Bound<'_, Proxy>, step: Step) -> PyResult<Self> {
        let length = parent.get().place.length().saturating_add(1);
        if length > LENGTH_MAX {
            let text = format!("a path may have {LENGTH_MAX} steps; use get() or ref() on the way");
            return Err(PyRecursionError::new_err(text));
        }
        Ok(Self::Path { parent: parent.clone().unbind(), step, length })
    }

    pub(crate) fn length(&self) -> u16 {
        match self {
            Self::Root(_) => 0,
            Self::Path { length, .. } => *length,
        }
    }
}

/// The import at the root of a proxy's path.
pub(crate) fn root(proxy: &Proxy) -> &Arc<Import> {
    let mut place = &proxy.place;
    loop {
        match place {
            Place::Root(import) => return import.latest(),
            Place::Path { parent, .. } => place = &parent.get().place,
        }
    }
}

/// The proxies from the first step of a path to its last.
fn steps(proxy: &Proxy) -> Vec<&Step> {
    let mut found = Vec::with_capacity(usize::from(proxy.place.length()));
    let mut place = &proxy.place;
    while let Place::Path { parent, step, .. } = place {
        found.push(step);
        place = &parent.get().place;
    }
    found.reverse();
    found
}

/// Whether all steps of the path are names and keys.
pub(crate) fn is_plain(proxy: &Proxy) -> bool {
    steps(proxy).iter().all(|step| matches!(step, Step::Attribute(_) | Step::Item(_)))
}

/// A path that begins with what `future` gives.
pub(crate) fn of_future<'py>(future: &Bound<'py, Future>) -> PyResult<Bound<'py, Proxy>> {
    let py = future.py();
    let sent = future.get().sent();
    let nowhere = Bound::new(py, Proxy::root(sent.peer.nowhere(format!("lazy({})", sent.subject.text(py)))))?;
    Proxy::after(&nowhere, Step::Result(future.clone().unbind()))
}

/// The future that the path stands for, if it is nothing but that.
pub(crate) fn future<'p, 'py>(py: Python<'py>, proxy: &'p Proxy) -> Option<&'p Bound<'py, Future>> {
    match &proxy.place {
        Place::Path { step: Step::Result(future), .. } => Some(future.bind(py)),
        _ => None,
    }
}

/// Writes the steps of `proxy`'s path; gives the object they start from and their number.
pub(crate) fn write(encoder: &mut Encoder<'_, '_>, proxy: &Proxy) -> PyResult<(ObjectId, u16)> {
    match &proxy.place {
        Place::Root(import) => return Ok((import.latest().object, 0)),
        Place::Path { parent, step: Step::Attribute(name), length: 1 } => {
            write_attribute(encoder, name)?;
            return Ok((root(parent.get()).object, 1));
        }
        Place::Path { .. } => {}
    }
    for step in steps(proxy) {
        match step {
            Step::Attribute(name) => write_attribute(encoder, name)?,
            Step::Item(key) => {
                encoder.op(Op::Item);
                encoder.argument(key.bind(encoder.py))?;
            }
            Step::Call { args, kwargs } => {
                encoder.op(Op::Call);
                let py = encoder.py;
                encoder.arguments(args.bind(py), kwargs.as_ref().map(|kwargs| kwargs.bind(py)))?;
            }
            Step::Result(future) => encoder.start_from(future.bind(encoder.py))?,
        }
    }
    Ok((root(proxy).object, proxy.place.length()))
}

fn write_attribute(encoder: &mut Encoder<'_, '_>, name: &Py<PyString>) -> PyResult<()> {
    encoder.op(Op::Attribute);
    encoder.name(name.bind(encoder.py))
}

/// `dog.friends[0].name` with the class name for the root: for texts, so it never fails and never does I/O.
pub(crate) fn text(py: Python<'_>, proxy: &Proxy) -> String {
    let mut text = root(proxy).target().class.qualname.clone();
    for step in steps(proxy) {
        match step {
            Step::Attribute(name) => {
                text.push('.');
                text.push_str(&name.bind(py).to_string_lossy());
            }
            Step::Item(key) => {
                let key =
                    key.bind(py).repr().map_or_else(|_| "…".to_owned(), |repr| repr.to_string_lossy().into_owned());
                text.push('[');
                text.extend(key.chars().take(40));
                text.push(']');
            }
            Step::Call { .. } => text.push_str("(…)"),
            Step::Result(_) => {} // the root's name says it
        }
    }
    text
}

/// Writes an op code.
pub(crate) fn write_op(writer: &mut Writer<'_>, op: Op) {
    writer.int(op.code());
}

//! Kinds of objects, by exact type: what goes by reference, what is a stream, what is the same whoever holds it.
//!
//! Owns: these distinctions. Must not know: how anything is written.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyFloat, PyFrozenSet, PyFunction, PyInt, PyIterator, PyString, PyTuple, PyType,
};

/// Whether `value` goes by reference without being asked: generators both ways; bound methods of Python classes as
/// arguments; built-in iterators and modules as results.
pub(crate) fn goes_by_reference(py: Python<'_>, value: &Bound<'_, PyAny>, is_argument: bool) -> PyResult<bool> {
    let kind = value.get_type();
    let kinds = Kinds::get(py)?;
    if kind.is(&kinds.generator) || kind.is(&kinds.async_generator) {
        return Ok(true);
    }
    if is_argument {
        if !kind.is(&kinds.method) {
            return Ok(false);
        }
        let owner = value.getattr("__self__")?;
        return Ok(!owner.is_instance_of::<PyType>() && !owner.get_type().is(&kinds.module));
    }
    // The slot is asked first: nearly no result is an iterator, and a failed attribute lookup makes an exception.
    Ok(kind.is(&kinds.module) || value.cast::<PyIterator>().is_ok() && is_stream_type(py, &kind)?)
}

/// Whether all that one can do with objects of `kind` is to iterate them: generators, and built-in iterators without a
/// public attribute (list_iterator, map, zip, …).
pub(crate) fn is_stream_type(py: Python<'_>, kind: &Bound<'_, PyType>) -> PyResult<bool> {
    if kind.is(&Kinds::get(py)?.generator) {
        return Ok(true);
    }
    if !kind.get_type().is(py.get_type::<PyType>()) {
        return Ok(false); // a class of a class of its own, which would be asked for what follows
    }
    if !kind.hasattr("__next__")?
        || !kind.getattr("__module__")?.eq("builtins")? && !kind.getattr("__module__")?.eq("itertools")?
    {
        return Ok(false);
    }
    Ok(kind.dir()?.iter().all(|name| name.extract::<String>().is_ok_and(|name| name.starts_with('_'))))
}

/// Whether objects of `kind` are async generators.
pub(crate) fn is_async_stream_type(py: Python<'_>, kind: &Bound<'_, PyType>) -> PyResult<bool> {
    Ok(kind.is(&Kinds::get(py)?.async_generator))
}

/// Values that are the same whoever holds them: these are always copied, even where the peer holds this very one.
pub(crate) fn is_immutable_value(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PyComplex>()
        || value.is_exact_instance_of::<PyFrozenSet>()
}

/// Those of them that no reference is ever wanted for.
pub(crate) fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    let is_container = value.is_exact_instance_of::<PyTuple>() || value.is_exact_instance_of::<PyFrozenSet>();
    !is_container && is_immutable_value(value)
}

/// Types that are asked for by identity.
struct Kinds {
    generator: Py<PyAny>,
    async_generator: Py<PyAny>,
    method: Py<PyAny>,
    module: Py<PyAny>,
}

impl Kinds {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static KINDS: PyOnceLock<Kinds> = PyOnceLock::new();
        KINDS.get_or_try_init(py, || {
            let types = py.import("types")?;
            Ok(Self {
                generator: types.getattr("GeneratorType")?.unbind(),
                async_generator: types.getattr("AsyncGeneratorType")?.unbind(),
                method: types.getattr("MethodType")?.unbind(),
                module: types.getattr("ModuleType")?.unbind(),
            })
        })
    }
}

/// Whether nothing but a name is pickled of this function or class, so that it shares nothing with the arguments.
pub(crate) fn goes_by_name(first: &Bound<'_, PyAny>) -> bool {
    let is_named = first.is_exact_instance_of::<PyFunction>() || first.is_exact_instance_of::<PyType>();
    let text = |name| first.getattr(name).and_then(|text| text.extract::<String>()).unwrap_or_default();
    is_named && !is_main(&text("__module__")) && !text("__qualname__").contains('<')
}

/// Whether a module is the program itself, which no other process can import. In the children that multiprocessing spawns it
/// has another name.
pub(crate) fn is_main(module: &str) -> bool {
    matches!(module, "__main__" | "__mp_main__")
}

//! `ref(x)`: a value that is to travel by reference, until it does.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::pickling;

/// An object that is to travel by reference and never to be copied. Made by `elsewhere.ref`.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct Ref {
    pub(crate) object: Py<PyAny>,
}

#[pymethods]
impl Ref {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<ref to {}>", self.object.bind(py).repr()?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)
    }

    fn __reduce_ex__<'py>(slf: &Bound<'py, Self>, protocol: i32) -> PyResult<Bound<'py, PyAny>> {
        let _ = protocol;
        pickling::reduce_reference(slf.as_any(), "ref(x) can only travel as an argument or a result")
    }
}

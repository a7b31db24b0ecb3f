//! What is made of the bytes of arrays and views.
//!
//! Owns: the shape that Python sees. Must not know: where the bytes come from.

use elsewhere_proto::codec::{BufferForm, CodecError, ViewHead};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyMemoryView, PyTuple};

use super::Undecodable;
use crate::buffers::{self, Content};

/// What is made of the bytes of a buffer.
pub(super) fn shaped<'py>(content: &Bound<'py, PyAny>, form: &BufferForm) -> Result<Bound<'py, PyAny>, Undecodable> {
    let py = content.py();
    Ok(match form {
        BufferForm::Raw => content.clone(),
        BufferForm::View { format, shape } => cast(&PyMemoryView::from(content)?.into_any(), format, shape)?,
        BufferForm::Grid { fortran, format, shape } => {
            let kind = match format.as_str() {
                "Zf" => "F",
                "Zd" => "D",
                format => format,
            };
            let order = if *fortran { "F" } else { "C" };
            numpy_array(py)?.call1((PyTuple::new(py, shape)?, kind, content, 0, py.None(), order))?
        }
        BufferForm::Array { typecode } => {
            let array = py.import("array")?.getattr("array")?.call1((char::from(*typecode).to_string(),))?;
            buffers::room_for_copy(Content::of(content)?.map_or(0, |content| content.len()))?;
            array.call_method1("frombytes", (content,))?;
            array
        }
        BufferForm::Bytes | BufferForm::ByteArray => {
            return Err(Undecodable::Malformed(CodecError::Unexpected("a view of shared memory")));
        }
    })
}

fn numpy_array(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    ARRAY.import(py, "numpy", "ndarray")
}

fn cast<'py>(flat: &Bound<'py, PyAny>, format: &str, shape: &[u64]) -> PyResult<Bound<'py, PyAny>> {
    if format == "B" && shape.len() == 1 {
        return Ok(flat.clone());
    }
    flat.call_method1("cast", (format, PyTuple::new(flat.py(), shape)?))
}

/// A memoryview of a copy.
pub(super) fn view<'py>(py: Python<'py>, head: &ViewHead, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let owner = if head.read_only {
        buffers::to_bytes(py, data)?.into_any()
    } else {
        buffers::to_byte_array(py, data)?.into_any()
    };
    let flat = py.get_type::<PyMemoryView>().call1((owner,))?;
    cast(&flat, &head.format, &head.shape)
}

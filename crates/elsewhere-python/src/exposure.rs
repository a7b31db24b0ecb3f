//! What a peer may reach of the objects that it holds.
//!
//! Owns: the names that nobody reaches. Must not know: calls, paths, who asks. A safety net between peers that trust each
//! other, and no boundary: see SECURITY.md.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Names through which any object leads to the whole interpreter. They are never reached, by no verb.
const FORBIDDEN: [&str; 19] = [
    "__base__",
    "__bases__",
    "__builtins__",
    "__class__",
    "__closure__",
    "__code__",
    "__dict__",
    "__func__",
    "__getattribute__",
    "__getstate__",
    "__globals__",
    "__init_subclass__",
    "__mro__",
    "__reduce__",
    "__reduce_ex__",
    "__self__",
    "__setstate__",
    "__subclasses__",
    "__wrapped__",
];

/// Whether a peer may reach the attribute `name` of what it holds.
///
/// # Errors
/// AttributeError where it may not.
pub(crate) fn check_name(name: &Bound<'_, PyString>) -> PyResult<()> {
    let text = name.to_str()?;
    if text.starts_with("__") && FORBIDDEN.contains(&text) {
        return Err(PyAttributeError::new_err(format!("{text} is never reached through a proxy")));
    }
    Ok(())
}

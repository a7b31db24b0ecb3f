//! What each operation of the protocol does to a Python object.
//!
//! Owns: the mapping from operation codes to Python's own operations. Must not know: connections, the codec.
//! Special methods are looked up on the type, as the interpreter does; an object that lacks one raises here what it
//! would raise at home.

use elsewhere_proto::Operation;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyTypeMethods};

/// Performs `operation` on `object`.
///
/// # Errors
/// What the object raises; ValueError for a code that this version does not know or operands that do not fit it.
pub(crate) fn perform<'py>(
    object: &Bound<'py, PyAny>,
    operation: Option<Operation>,
    operands: &[Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let Some(operation) = operation else { return Err(PyValueError::new_err("unknown operation")) };
    match operands {
        [] => without_operand(object, operation),
        [operand] => with_operand(object, operation, operand),
        operands => with_operands(object, operation, operands),
    }
}

fn without_operand<'py>(object: &Bound<'py, PyAny>, operation: Operation) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    match operation {
        Operation::Len => Ok(object.len()?.into_pyobject(py)?.into_any()),
        Operation::Iter => Ok(object.try_iter()?.into_any()),
        Operation::Str => Ok(object.str()?.into_any()),
        Operation::Bool => Ok(object.is_truthy()?.into_pyobject(py)?.to_owned().into_any()),
        Operation::Hash => Ok(object.hash()?.into_pyobject(py)?.into_any()),
        Operation::Dir => Ok(object.dir()?.into_any()),
        Operation::Enter => special(object, "__enter__", "the context manager protocol", ()),
        Operation::Aenter => special(object, "__aenter__", "the asynchronous context manager protocol", ()),
        Operation::Anext => special(object, "__anext__", "asynchronous iteration", ()),
        Operation::Await => special(object, "__await__", "await", ()),
        Operation::LengthHint => function(py, "operator", "length_hint")?.call1((object,)),
        Operation::Neg => object.neg(),
        Operation::Pos => object.pos(),
        Operation::Abs => object.abs(),
        Operation::Invert => object.bitnot(),
        Operation::Close => object.call_method0("close"),
        Operation::Aclose => object.call_method0("aclose"),
        Operation::Trunc | Operation::Floor | Operation::Ceil => {
            function(py, "math", operation.name())?.call1((object,))
        }
        Operation::Next
        | Operation::Int
        | Operation::Float
        | Operation::Complex
        | Operation::Round
        | Operation::Bytes
        | Operation::Reversed
        | Operation::Format => function(py, "builtins", operation.name())?.call1((object,)),
        Operation::Index => function(py, "operator", "index")?.call1((object,)),
        _ => Err(unfit(operation, 0)),
    }
}

fn with_operand<'py>(
    object: &Bound<'py, PyAny>,
    operation: Operation,
    operand: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let comparison = match operation {
        Operation::Eq => Some(CompareOp::Eq),
        Operation::Ne => Some(CompareOp::Ne),
        Operation::Lt => Some(CompareOp::Lt),
        Operation::Le => Some(CompareOp::Le),
        Operation::Gt => Some(CompareOp::Gt),
        Operation::Ge => Some(CompareOp::Ge),
        _ => None,
    };
    if let Some(comparison) = comparison {
        return object.rich_compare(operand, comparison);
    }
    match operation {
        Operation::Contains => Ok(object.contains(operand)?.into_pyobject(py)?.to_owned().into_any()),
        Operation::Send | Operation::Throw | Operation::Asend | Operation::Athrow => {
            object.call_method1(operation.name(), (operand,))
        }
        Operation::Format | Operation::Round => function(py, "builtins", operation.name())?.call1((object, operand)),
        _ => binary(object, operation, operand),
    }
}

/// Arithmetic: `operator`'s function of that name, with the operands turned round for the reflected ones.
fn binary<'py>(
    object: &Bound<'py, PyAny>,
    operation: Operation,
    operand: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let name = operation.name();
    if !operation.is_arithmetic() {
        return Err(unfit(operation, 1));
    }
    let (name, left, right) = match name.strip_prefix('r') {
        Some(plain) if operation.is_reflected() => (plain, operand, object),
        _ => (name, object, operand),
    };
    match name {
        "divmod" => function(py, "builtins", name)?.call1((left, right)),
        "and" => left.bitand(right),
        "or" => left.bitor(right),
        name => function(py, "operator", name)?.call1((left, right)),
    }
}

fn with_operands<'py>(
    object: &Bound<'py, PyAny>,
    operation: Operation,
    operands: &[Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let arguments = PyTuple::new(py, operands)?;
    match operation {
        Operation::Exit => special(object, "__exit__", "the context manager protocol", arguments),
        Operation::Aexit => special(object, "__aexit__", "the asynchronous context manager protocol", arguments),
        Operation::Pow => {
            function(py, "builtins", "pow")?.call1((object, arguments.get_item(0)?, arguments.get_item(1)?))
        }
        _ => Err(unfit(operation, operands.len())),
    }
}

fn unfit(operation: Operation, operands: usize) -> PyErr {
    PyValueError::new_err(format!("the operation {} does not take {operands} operands", operation.name()))
}

/// Calls a special method that is looked up on the type.
fn special<'py>(
    object: &Bound<'py, PyAny>,
    name: &str,
    protocol: &str,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = std::convert::Infallible>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let kind = object.get_type();
    let Ok(method) = kind.getattr(name) else {
        let kind = kind.fully_qualified_name()?;
        return Err(PyTypeError::new_err(format!("'{kind}' object does not support {protocol}")));
    };
    let Ok(arguments) = arguments.into_pyobject(py);
    let all = PyTuple::new(py, [object])?.add(arguments)?.cast_into::<PyTuple>()?;
    method.call1(all)
}

fn function<'py>(py: Python<'py>, module: &str, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(module)?.getattr(name)
}

/// Whether `value` is what an `async def` function gives.
pub(crate) fn is_coroutine(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COROUTINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let kind = COROUTINE.import(value.py(), "types", "CoroutineType")?;
    Ok(value.get_type().is(kind))
}

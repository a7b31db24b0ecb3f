//! What each operation of the protocol does to a Python object.
//!
//! Owns: the mapping from operation codes to Python's own operations. Must not know: connections, the codec.
//! Special methods are looked up on the type, as the interpreter does; an object that lacks one raises here what it
//! would raise at home, word for word.

use elsewhere_proto::Operation;
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyMappingProxy, PyString, PyTuple, PyType, PyTypeMethods};

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
        Operation::Enter => Context::PLAIN.call(object, Side::Enter, &[]),
        Operation::Aenter => awaited(Context::ASYNC.call(object, Side::Enter, &[])?),
        Operation::Anext => awaited_call(object, operation, function(py, operation)?, PyTuple::new(py, [object])?),
        Operation::Neg => object.neg(),
        Operation::Pos => object.pos(),
        Operation::Abs => object.abs(),
        Operation::Invert => object.bitnot(),
        Operation::Close => object.call_method0("close"),
        Operation::Aclose => awaited_call(object, operation, &object.getattr("aclose")?, PyTuple::empty(py)),
        Operation::Await => awaited(object.clone()),
        Operation::Next
        | Operation::Int
        | Operation::Float
        | Operation::Complex
        | Operation::Round
        | Operation::Trunc
        | Operation::Floor
        | Operation::Ceil
        | Operation::Bytes
        | Operation::Reversed
        | Operation::Format
        | Operation::LengthHint
        | Operation::Index => function(py, operation)?.call1((object,)),
        Operation::Aiter if special(&object.get_type(), intern!(py, "__aiter__"))?.is_none() => {
            py.import("elsewhere._lacking")?.getattr("async_iteration")?.call1((object,))
        }
        Operation::Aiter => function(py, operation)?.call1((object,)),
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
        Operation::Send | Operation::Throw => object.call_method1(operation.name(), (operand,)),
        Operation::Asend | Operation::Athrow => {
            awaited_call(object, operation, &object.getattr(operation.name())?, PyTuple::new(py, [operand])?)
        }
        Operation::Format | Operation::Round => function(py, operation)?.call1((object, operand)),
        // The operands are turned round for the reflected operators.
        _ if operation.is_reflected() => function(py, operation)?.call1((operand, object)),
        _ if operation.is_arithmetic() => function(py, operation)?.call1((object, operand)),
        _ => Err(unfit(operation, 1)),
    }
}

fn with_operands<'py>(
    object: &Bound<'py, PyAny>,
    operation: Operation,
    operands: &[Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    match (operation, operands) {
        (Operation::Exit, _) => Context::PLAIN.call(object, Side::Exit, operands),
        (Operation::Aexit, _) => awaited(Context::ASYNC.call(object, Side::Exit, operands)?),
        (Operation::Pow, [exponent, modulus]) => function(py, operation)?.call1((object, exponent, modulus)),
        (Operation::Rpow, [base, modulus]) => function(py, operation)?.call1((base, object, modulus)),
        _ => Err(unfit(operation, operands.len())),
    }
}

fn unfit(operation: Operation, operands: usize) -> PyErr {
    PyValueError::new_err(format!("the operation {} does not take {operands} operands", operation.name()))
}

/// Python's own function for an operation; looked up once.
fn function(py: Python<'_>, operation: Operation) -> PyResult<&Bound<'_, PyAny>> {
    static FUNCTIONS: [PyOnceLock<Py<PyAny>>; 256] = [const { PyOnceLock::new() }; 256];
    let function = FUNCTIONS[usize::from(operation.code())].get_or_try_init(py, || {
        let name = operation.name();
        let (module, name) = match operation {
            Operation::Trunc | Operation::Floor | Operation::Ceil => ("math", name),
            Operation::Divmod | Operation::Rdivmod => ("builtins", "divmod"),
            Operation::Pow | Operation::Rpow => ("builtins", "pow"), // which takes a modulus, too
            Operation::And | Operation::Rand => ("operator", "and_"),
            Operation::Or | Operation::Ror => ("operator", "or_"),
            Operation::LengthHint | Operation::Index => ("operator", name),
            _ if operation.is_reflected() => ("operator", name.strip_prefix('r').unwrap_or(name)),
            _ if operation.is_arithmetic() => ("operator", name),
            _ => ("builtins", name),
        };
        py.import(module)?.getattr(name).map(Bound::unbind)
    })?;
    Ok(function.bind(py))
}

/// What `with` and `async with` call.
struct Context {
    enter: Name,
    exit: Name,
    /// The function of `elsewhere._lacking` that raises what the statement raises where a method is missing.
    refusal: &'static str,
}

/// A name that is made once, and found by its address then.
type Name = for<'py> fn(Python<'py>) -> &'py Bound<'py, PyString>;

#[derive(Clone, Copy)]
enum Side {
    Enter,
    Exit,
}

impl Context {
    const PLAIN: Self =
        Self { enter: |py| intern!(py, "__enter__"), exit: |py| intern!(py, "__exit__"), refusal: "context" };
    const ASYNC: Self =
        Self { enter: |py| intern!(py, "__aenter__"), exit: |py| intern!(py, "__aexit__"), refusal: "async_context" };

    /// Both methods have to be there before the first is called.
    fn call<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        side: Side,
        operands: &[Bound<'py, PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, kind) = (object.py(), object.get_type());
        let (Some(enter), Some(exit)) = (special(&kind, (self.enter)(py))?, special(&kind, (self.exit)(py))?) else {
            return py.import("elsewhere._lacking")?.getattr(self.refusal)?.call1((object,));
        };
        let found = match side {
            Side::Enter => enter,
            Side::Exit => exit,
        };
        static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if found.get_type().is(FUNCTION.import(py, "types", "FunctionType")?) {
            let arguments = std::iter::once(object).chain(operands).collect::<Vec<_>>();
            return found.call1(PyTuple::new(py, arguments)?); // as its method would, which need not be made
        }
        let arguments = PyTuple::new(py, operands)?;
        match found.get_type().getattr("__get__") {
            Ok(bind) => bind.call1((found, object, kind))?.call1(arguments),
            Err(_) => found.call1(arguments),
        }
    }
}

/// A special method as the interpreter finds it, before it is bound: on the type, whatever the object's own attributes are.
fn special<'py>(kind: &Bound<'py, PyType>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    for class in kind.mro() {
        let names = class.getattr(intern!(kind.py(), "__dict__"))?.cast_into::<PyMappingProxy>()?;
        if names.contains(name)? {
            return names.get_item(name).map(Some);
        }
    }
    Ok(None)
}

/// A coroutine that awaits `awaitable`, which may be one.
fn awaited(awaitable: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if is_coroutine(&awaitable)? {
        return Ok(awaitable);
    }
    awaitable.py().import("elsewhere._async_stream")?.getattr("awaited")?.call1((awaitable,))
}

/// A coroutine that awaits what `function` gives. Of an async generator that is not made before it is awaited: made and not
/// awaited, as where the coroutine is refused, it would warn.
fn awaited_call<'py>(
    object: &Bound<'py, PyAny>,
    operation: Operation,
    function: &Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    if !runs_when_awaited(object, Some(operation))? {
        return awaited(function.call1(args)?);
    }
    object.py().import("elsewhere._async_stream")?.getattr("awaited_call")?.call1((function, args))
}

/// Whether `operation` runs nothing of the object before what it gives is awaited.
pub(crate) fn runs_when_awaited(object: &Bound<'_, PyAny>, operation: Option<Operation>) -> PyResult<bool> {
    static GENERATOR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    use Operation::{Aclose, Anext, Asend, Athrow};
    if !matches!(operation, Some(Anext | Asend | Athrow | Aclose)) {
        return Ok(false);
    }
    Ok(object.get_type().is(GENERATOR.import(object.py(), "types", "AsyncGeneratorType")?))
}

/// Whether `value` is what an `async def` function gives.
pub(crate) fn is_coroutine(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COROUTINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let kind = COROUTINE.import(value.py(), "types", "CoroutineType")?;
    Ok(value.get_type().is(kind))
}

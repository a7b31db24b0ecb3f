//! Plain instances: objects that are their class and the attributes in their `__dict__`, and no more.
//!
//! Owns: which objects are such, finding their class by its name, making them again. Must not know: the codec, connections.
//! pickle asks each object by name how it wants to be copied, and most classes of users leave every answer to `object`. That
//! they do is asked here of the class, each time, because a class may be changed at any time; what cannot change is kept.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyMappingProxy, PyModule, PyString, PyTuple, PyType, PyWeakrefReference};
use pyo3::{ffi, intern};

use crate::kinds::is_main;

/// How many classes are remembered. A program that sends objects of more of them asks some of them again.
const SLOTS: usize = 128;

/// With one of these a class has its own way of being copied. `__setstate__` is asked where the copy is made, as in pickle.
const OWN_WAYS: [&str; 5] = ["__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs_ex__", "__getnewargs__"];

/// A class whose instances have the layout of plain ones.
pub(crate) struct Class {
    origin: Origin,
    /// The names of the class and of its bases, all but `object`'s.
    namespaces: Vec<Py<PyMappingProxy>>,
}

/// Where a peer gets a class from.
pub(crate) enum Origin {
    /// It imports it.
    Imported {
        module: Py<PyString>,
        qualname: String,
        /// The parts of the qualified name.
        steps: Vec<Py<PyString>>,
    },
    /// From us: it is of `__main__` or of a function.
    Defined,
}

/// What was found out about a class. That it has another layout is final as well.
struct Known {
    kind: Py<PyWeakrefReference>,
    class: Option<Arc<Class>>,
}

static KNOWN: Mutex<[Option<Known>; SLOTS]> = Mutex::new([const { None }; SLOTS]);

/// The class of `value`, if `value` is a plain instance and a peer can have its class.
pub(crate) fn class_of(value: &Bound<'_, PyAny>) -> Option<Arc<Class>> {
    let kind = value.get_type();
    let class = known(&kind)?;
    (class.is_plain(&kind).unwrap_or(false) && class.is_found(&kind)).then_some(class)
}

impl Class {
    /// Where a peer gets it from.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether neither the class nor a base has a way of its own of copying, also none that copyreg knows.
    fn is_plain(&self, kind: &Bound<'_, PyType>) -> PyResult<bool> {
        static WAYS: PyOnceLock<Vec<Py<PyString>>> = PyOnceLock::new();
        static REGISTERED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
        let py = kind.py();
        if !asks_nobody(kind) {
            return Ok(false);
        }
        let ways = WAYS.get_or_init(py, || OWN_WAYS.iter().map(|way| PyString::intern(py, way).unbind()).collect());
        for namespace in &self.namespaces {
            let namespace = namespace.bind(py);
            for way in ways {
                if namespace.contains(way)? {
                    return Ok(false);
                }
            }
        }
        Ok(!REGISTERED.import(py, "copyreg", "dispatch_table")?.contains(kind)?)
    }

    /// Whether an instance is made of its attributes as they are, whatever way of being copied the class has.
    fn is_made_plainly(&self, kind: &Bound<'_, PyType>) -> PyResult<bool> {
        let name = intern!(kind.py(), "__setstate__");
        for namespace in &self.namespaces {
            if namespace.bind(kind.py()).contains(name)? {
                return Ok(false);
            }
        }
        Ok(asks_nobody(kind))
    }

    /// Whether its name leads to this very class, if that is how a peer gets it.
    fn is_found(&self, kind: &Bound<'_, PyType>) -> bool {
        let Origin::Imported { module, steps, .. } = &self.origin else { return true };
        let found = modules(kind.py()).and_then(|modules| modules.get_item(module));
        let Ok(Some(mut found)) = found else { return false };
        for step in steps {
            let Ok(next) = found.getattr(step) else { return false };
            found = next;
        }
        found.is(kind)
    }
}

/// What is known about `kind`: a class of instances with the layout of plain ones, or None.
fn known(kind: &Bound<'_, PyType>) -> Option<Arc<Class>> {
    let slot = (kind.as_ptr() as usize >> 4) % SLOTS;
    let remembered = {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known[slot].as_ref().map(|known| (known.kind.clone_ref(kind.py()), known.class.clone()))
    };
    if let Some((known, class)) = remembered
        && known.bind(kind.py()).upgrade().is_some_and(|known| known.is(kind))
    {
        return class;
    }
    let class = Class::examine(kind).ok().flatten().map(Arc::new);
    let remembered = PyWeakrefReference::new(kind.as_any()).ok()?;
    let now = Known { kind: remembered.unbind(), class: class.clone() };
    let before = KNOWN.lock().unwrap_or_else(PoisonError::into_inner)[slot].replace(now);
    drop(before); // after the lock: what Python frees may run code
    class
}

impl Class {
    /// Finds out what cannot change about `kind`.
    fn examine(kind: &Bound<'_, PyType>) -> PyResult<Option<Self>> {
        let py = kind.py();
        let module = kind.getattr(intern!(py, "__module__"))?;
        let (Ok(module), qualname) = (module.cast_into_exact::<PyString>(), kind.qualname()?) else { return Ok(None) };
        if !has_plain_layout(kind)? {
            return Ok(None);
        }
        let mut namespaces = Vec::new();
        for base in kind.mro().iter().take_while(|base| !base.is(py.get_type::<PyAny>())) {
            let base = base.cast_into::<PyType>()?;
            if !is_made_in_python(&base)? {
                return Ok(None);
            }
            namespaces.push(namespace_of(&base)?);
        }
        if !is_pythons_own("__dict__", &namespaces)? || !is_pythons_own("__class__", &namespaces)? {
            return Ok(None);
        }
        let qualname = qualname.to_str()?.to_owned();
        let origin = if is_main(module.to_str()?) || qualname.contains("<locals>") {
            Origin::Defined
        } else {
            let steps = qualname.split('.').map(|step| PyString::intern(py, step).unbind()).collect();
            Origin::Imported { module: module.unbind(), qualname, steps }
        };
        Ok(Some(Self { origin, namespaces: namespaces.into_iter().map(Bound::unbind).collect() }))
    }
}

/// Whether `object` makes its instances and looks up their attributes: the class has no `__new__`, `__getattr__` or
/// `__getattribute__`.
fn asks_nobody(kind: &Bound<'_, PyType>) -> bool {
    let object = kind.py().get_type::<PyAny>();
    // SAFETY: both are types, and `PyType_GetSlot` reads a slot, of static types too since CPython 3.10.
    let slot = |kind: &Bound<'_, PyType>, slot| unsafe { ffi::PyType_GetSlot(kind.as_type_ptr(), slot) };
    [ffi::Py_tp_new, ffi::Py_tp_getattro].into_iter().all(|name| slot(kind, name) == slot(&object, name))
}

fn namespace_of<'py>(kind: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyMappingProxy>> {
    Ok(kind.getattr(intern!(kind.py(), "__dict__"))?.cast_into::<PyMappingProxy>()?)
}

/// Whether an instance of `kind` has room for its `__dict__` and nothing else.
fn has_plain_layout(kind: &Bound<'_, PyType>) -> PyResult<bool> {
    static PLAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = kind.py();
    let plain = PLAIN.get_or_try_init(py, || {
        let nothing = (PyString::new(py, "Plain"), PyTuple::empty(py), PyDict::new(py));
        py.get_type::<PyType>().call1(nothing).map(Bound::unbind)
    })?;
    for size in ["__basicsize__", "__itemsize__", "__dictoffset__", "__weakrefoffset__"] {
        if !kind.getattr(size)?.eq(plain.bind(py).getattr(size)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether it is no class of an extension, which may keep what no attribute tells.
fn is_made_in_python(kind: &Bound<'_, PyType>) -> PyResult<bool> {
    /// Py_TPFLAGS_HEAPTYPE of CPython's object.h.
    const ON_THE_HEAP: u64 = 1 << 9;
    Ok(kind.getattr(intern!(kind.py(), "__flags__"))?.extract::<u64>()? & ON_THE_HEAP != 0)
}

/// Whether the attribute `name` of every object is what Python makes it, not a property of the user's.
fn is_pythons_own(name: &str, namespaces: &[Bound<'_, PyMappingProxy>]) -> PyResult<bool> {
    for namespace in namespaces {
        if namespace.contains(name)? {
            return Ok(namespace.get_item(name)?.get_type().name()?.to_str()? == "getset_descriptor");
        }
    }
    Ok(true)
}

fn modules(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    MODULES.import(py, "sys", "modules")
}

/// A class that a peer names, and how its instances are made.
pub(crate) enum Found<'a, 'py> {
    /// At once.
    Plain(Bound<'py, PyType>),
    /// As the class says.
    Asked(Bound<'py, PyType>),
    /// As the class says, which has to be imported.
    Named { module: &'a str, qualname: &'a str },
}

/// Looks for the class `qualname` of `module` without running anybody's code.
pub(crate) fn find<'a, 'py>(py: Python<'py>, module: &'a str, qualname: &'a str) -> PyResult<Found<'a, 'py>> {
    let unknown = Found::Named { module, qualname };
    let module = modules(py)?.get_item(crate::names::string(py, module))?;
    let Some(mut found) = module.filter(PyAnyMethods::is_exact_instance_of::<PyModule>) else { return Ok(unknown) };
    for step in qualname.split('.') {
        let Ok(next) = found.getattr(crate::names::string(py, step)) else { return Ok(unknown) };
        found = next;
    }
    match found.cast_into::<PyType>() {
        Ok(kind) => manner_of(kind),
        Err(_) => Ok(unknown),
    }
}

/// How instances of `kind` are made.
pub(crate) fn manner_of<'py>(kind: Bound<'py, PyType>) -> PyResult<Found<'static, 'py>> {
    let is_plain = match known(&kind) {
        Some(class) => class.is_made_plainly(&kind)?,
        None => false,
    };
    Ok(if is_plain { Found::Plain(kind) } else { Found::Asked(kind) })
}

/// A new instance of a plain class, and its attributes.
pub(crate) fn make<'py>(kind: &Bound<'py, PyType>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
    let py = kind.py();
    let made = new_object(kind)?;
    let attributes = made.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    Ok((made, attributes))
}

/// `object.__new__(kind)`, where `kind` has no `__new__` of its own.
fn new_object<'py>(kind: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let py = kind.py();
    let object = py.get_type::<PyAny>();
    // SAFETY: `object` is a type, whose slot holds, as in every version of CPython, a function of this signature.
    let new = unsafe {
        std::mem::transmute::<*mut std::ffi::c_void, Option<ffi::newfunc>>(ffi::PyType_GetSlot(
            object.as_type_ptr(),
            ffi::Py_tp_new,
        ))
    };
    let new = new.ok_or_else(|| PyRuntimeError::new_err("object has no __new__"))?;
    // SAFETY: `kind` is a type, whose `tp_new` is this one, and the arguments are an empty tuple and no dict; it gives a new
    // reference, or NULL with an exception set.
    unsafe {
        Bound::from_owned_ptr_or_err(py, new(kind.as_type_ptr(), PyTuple::empty(py).as_ptr(), std::ptr::null_mut()))
    }
}

/// An instance with these attributes, made as pickle makes it.
pub(crate) fn make_as_asked<'py>(
    found: &Found<'_, 'py>,
    attributes: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let module = attributes.py().import("elsewhere._instances")?;
    let kind = match found {
        Found::Plain(kind) | Found::Asked(kind) => kind.clone().into_any(),
        Found::Named { module: name, qualname } => module.getattr("find_class")?.call1((*name, *qualname))?,
    };
    module.getattr("make_instance")?.call1((kind, attributes))
}

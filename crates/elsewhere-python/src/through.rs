//! What others do with a proxy of this process for an object that it serves itself goes through the server.
//!
//! Owns: which proxies these are, and what stands for them then. Must not know: what a call does, how a connection is made
//! (`_serve.py` asks for one).
//!
//! In the serving process such a proxy means the object itself, and its calls run in the thread that makes them. Where it is
//! passed on, that would pass by the server: its order, its threads, what it exposes. So calls that others make with it go
//! by a connection of this process to its own server, each in the lane of who made it, like those of any client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use elsewhere_engine::Incoming;
use pyo3::prelude::*;

use crate::host::HostCore;
use crate::path::{self, Place};
use crate::peer::Import;
use crate::proxy::Proxy;

/// Whether there is any such proxy; while there is none, no call looks for one.
static ARE_ANY: AtomicBool = AtomicBool::new(false);

/// From now on calls that others make with proxies of the local host `core` go through the server at `place`.
#[pyfunction]
#[pyo3(signature = (core, place, /))]
pub(crate) fn _go_through(core: &Bound<'_, HostCore>, place: String) -> PyResult<()> {
    let _ = core.get().peer()?.serves_at.set(place.into()); // the host is new
    ARE_ANY.store(true, Ordering::Relaxed); // Relaxed: such a proxy is made afterwards, and passed on by messages
    Ok(())
}

/// What calls of `object` that come from another process are made with: itself, but for such a proxy.
///
/// # Errors
/// Those of connecting, where the server is closed, too.
pub(crate) fn of_call<'py>(object: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // Relaxed: see `_go_through`.
    if !ARE_ANY.load(Ordering::Relaxed) {
        return Ok(object);
    }
    let Ok(proxy) = object.cast_exact::<Proxy>() else { return Ok(object) };
    let Place::Root(import) = &proxy.get().place else { return Ok(object) };
    let Some(place) = import.peer.serves_at.get() else { return Ok(object) };
    let through = match import.through.get() {
        Some(through) if !through.peer.link.is_lost() => Arc::clone(through),
        _ => {
            let Some(far) = import.peer.far.get() else { return Ok(object) };
            let Some(itself) = far.exported_unseen(object.py(), import.object) else { return Ok(object) };
            let reached = object.py().import("elsewhere._serve")?.call_method1("_reach", (&**place, itself))?;
            let reached = path::root(reached.cast_exact::<Proxy>()?.get());
            reached.peer.link.leads_here();
            Arc::clone(import.through.get_or_init(|| Arc::clone(reached)))
        }
    };
    Ok(Bound::new(object.py(), Proxy::root(through))?.into_any())
}

/// The same for what a call begins at that came in, and of which nothing is read where this fails.
pub(crate) fn of_incoming<'py>(object: Bound<'py, PyAny>, incoming: &Incoming) -> PyResult<Bound<'py, PyAny>> {
    of_call(object).inspect_err(|_| incoming.link.discard(incoming.steps()))
}

/// What stands for `import` at its server.
pub(crate) fn at_server(import: &Import) -> Option<&Arc<Import>> {
    import.through.get()
}

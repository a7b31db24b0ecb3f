//! `elsewhere._core`: Python objects on one side, the engine on the other.
//!
//! Owns: the classes `Proxy`, `Future`, `Stream`, `HostCore`; the walkers between Python values and the codec; the
//! evaluation of calls that come in. Must not know: sockets, frames, processes (the engine's), nor decide what the
//! protocol says (proto's). Rules that hold everywhere in this crate:
//!
//! * no Python code runs and no `Py` is dropped while one of our locks is held;
//! * every wait detaches from the interpreter first;
//! * threads made by Rust never come here, but for one that the main thread waits for (threads).

mod abilities;
mod answer;
mod awaited;
mod buffers;
mod call;
mod calls_in;
mod chain;
mod class_info;
mod connecting;
mod coroutines;
mod deadline;
mod decode;
mod definitions;
mod encode;
mod errands;
mod errors;
mod exposure;
mod forked;
mod future;
mod guarded;
mod guests;
mod handing;
mod home;
mod host;
mod ids;
mod instances;
mod kinds;
mod known;
mod lane;
mod leaving;
mod lifecycle;
mod local;
mod looks;
mod loop_queue;
mod memory;
mod names;
mod operate;
mod origin;
mod path;
mod peer;
mod pickler;
mod pickling;
mod producing;
mod promise;
mod proxy;
mod read_ahead;
mod reference;
mod rehearsal;
mod relays;
mod returns;
mod running;
mod sent;
mod server;
mod service;
mod serving;
mod shown;
mod stream;
mod submit;
mod threads;
mod through;
mod turns;
mod verbs;
mod verdicts;
mod view;
mod warm;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::{
        buffers::{_shared_span, _shares, shared_memory},
        connecting::{
            _ask_to_listen, _connect, _forget_connections, _grant, _is_relayed, _known_key, _may_go_straight, _redeem,
            _redeem_at_host, _wait_served,
        },
        coroutines::Running,
        deadline::Deadline,
        forked::{_fork_for_nothing, HostFork, start_forked_host},
        future::Future,
        guests::{
            _add_guest, _calling_link, _dismiss_guests, _held_by, _listen_for_guests, _note_sibling, _remove_guest,
        },
        handing::{_end_of, _grant_by_owner, _is_known_link, _take, _take_back},
        home::{_flush_after_calls, _tell_owner, HomeQueue},
        host::{HostCore, adopt_owner, start_host, start_local_host},
        lane::TaskLane,
        lifecycle::{
            _after_fork_in_child, _after_fork_in_parent, _at_exit, _before_fork, _end_solitude, _forget_owner,
        },
        loop_queue::LoopQueue,
        memory::share_memory,
        pickling::{
            _check_results, _is_passing_memory, _is_pickling_argument, _is_pickling_for_own, _offer, _pickles,
            _read_inherited, _reference,
        },
        producing::StreamTurn,
        proxy::{_aiter, _operate_async, _operate_in_place, Proxy},
        read_ahead::ReadAhead,
        reference::Ref,
        rehearsal::rehearse,
        relays::{_end_relays, _pass_on},
        returns::{_declare_returns, _return_mark, ReturnMark},
        running::_attend,
        server::{_new_socket_path, _serve_crew, ServerCore},
        service::{_serve_process, _stop_service},
        serving::{end_lane, is_loop_shared, serve_as_worker, serve_once, serve_owner},
        shown::{_is_guarded, KeptGuard},
        stream::Stream,
        through::_go_through,
        verbs::{
            _check_closable, attribute, close, futures, get, host_of, is_proxy, lazy, post, r#ref, stream, submit,
            with_options,
        },
        warm::{_other_threads, _retire_zygotes, _zygotes, ZygoteSeat, start_warm_host},
    };

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::lifecycle::refuse_sub_interpreter(py)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("IS_PROFILED", env!("ELSEWHERE_IS_PROFILED") == "true")?;
        module.delattr("__all__")?; // PyO3 makes one; nobody imports a private module's names by `*`
        crate::lifecycle::install_hooks(module)?;
        if matches!(env!("ELSEWHERE_OPT_LEVEL"), "0" | "1") {
            let category = py.get_type::<pyo3::exceptions::PyRuntimeWarning>();
            let text = c"this build of elsewhere is not optimised; its speed says nothing (build with --release)";
            PyErr::warn(py, &category, text, 1)?;
        }
        Ok(())
    }
}

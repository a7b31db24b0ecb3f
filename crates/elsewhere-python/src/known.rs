//! What is known here of an object elsewhere without a trip: its `repr`, its card in a notebook, the names of its class
//! and the signatures of its methods.
//!
//! Owns: these answers. Must not know: how calls are made. None of it does I/O, and none of it raises for a lost proxy:
//! debuggers, loggers and notebooks call it when they like.

use elsewhere_proto::Want;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMappingProxy, PyString, PyType};

use crate::class_info::ClassInfo;
use crate::kinds::is_main;
use crate::path::{self, Place, Step};
use crate::proxy::Proxy;
use crate::view::View;

/// The longest path that a card shows.
const CARD_PATH_MAX: usize = 120;

/// `<proxy of Dog in host 4711>` or `<path Dog.age in host 4711>`.
pub(crate) fn repr(proxy: &Bound<'_, Proxy>) -> String {
    let Parts { kind, text, place } = Parts::of(proxy);
    match kind {
        Kind::Object => format!("<proxy of {text} in {place}>"),
        Kind::Path => format!("<path {text} in {place}>"),
    }
}

/// The same as a small piece of HTML, with what the proxy adds to each call.
pub(crate) fn card(proxy: &Bound<'_, Proxy>) -> String {
    let Parts { kind, text, place } = Parts::of(proxy);
    let title = match kind {
        Kind::Object => "proxy of",
        Kind::Path => "path",
    };
    let options = &proxy.get().options;
    let view = match options.view {
        View::Plain => None,
        View::Futures(_) => Some("futures view".to_owned()),
        View::Lazy => Some("lazy view".to_owned()),
    };
    let timeout = options.timeout.map(|seconds| format!("timeout {seconds} s"));
    let results = match options.want {
        Want::Value => Some("results as values".to_owned()),
        Want::Reference => Some("results as proxies".to_owned()),
        _ => None,
    };
    let notes: String = [view, timeout, results].into_iter().flatten().map(|note| format!(" · {note}")).collect();
    let is_cut = text.chars().nth(CARD_PATH_MAX).is_some();
    let text: String = text.chars().take(CARD_PATH_MAX).chain(is_cut.then_some('…')).collect();
    format!(
        "<div class=\"elsewhere-proxy\" style=\"display: inline-block; padding: 0.2em 0.6em; border: 1px solid #8888; \
         border-radius: 4px\">{title} <code>{}</code> in {}{notes}</div>",
        escaped(&text),
        escaped(&place),
    )
}

enum Kind {
    Object,
    Path,
}

struct Parts {
    kind: Kind,
    /// The class of an object, or the whole of a path.
    text: String,
    /// The host, and whether it is gone.
    place: String,
}

impl Parts {
    fn of(proxy: &Bound<'_, Proxy>) -> Self {
        let import = path::root(proxy.get());
        let gone = if import.peer.link.loss().is_some() { ", which is gone" } else { "" };
        let place = format!("{}{gone}", import.peer.label);
        match proxy.get().place {
            Place::Root(_) => Self { kind: Kind::Object, text: import.class.qualname.clone(), place },
            Place::Path { .. } => Self { kind: Kind::Path, text: path::text(proxy.py(), proxy.get()), place },
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The names of a class that is loaded here, sorted as `dir` sorts them, and whether its objects have no others.
pub(crate) fn names<'py>(py: Python<'py>, info: &ClassInfo) -> PyResult<Option<(Bound<'py, PyList>, bool)>> {
    let Some(class) = loaded(py, info)? else { return Ok(None) };
    let names = PyDict::new(py);
    for base in class.mro() {
        for name in base.getattr("__dict__")?.cast_into::<PyMappingProxy>()?.keys()? {
            names.set_item(name, true)?;
        }
    }
    let sorted = names.keys();
    sorted.sort()?;
    let has_plain_dir = class.getattr("__dir__")?.is(&py.get_type::<PyAny>().getattr("__dir__")?);
    Ok(Some((sorted, has_plain_dir && class.getattr("__dictoffset__")?.eq(0)?)))
}

/// What `inspect.signature` gives: that of the class's method where the class is loaded here, else one that takes anything.
pub(crate) fn signature<'py>(proxy: &Bound<'py, Proxy>) -> PyResult<Bound<'py, PyAny>> {
    let py = proxy.py();
    let (info, method) = match &proxy.get().place {
        Place::Root(import) => (Some(&import.class), "__call__".to_owned()),
        Place::Path { parent, step: Step::Attribute(name), length: 1 } => {
            (Some(&path::root(parent.get()).class), name.bind(py).to_string_lossy().into_owned())
        }
        Place::Path { .. } => (None, String::new()),
    };
    let class = info.map(|info| loaded(py, info)).transpose()?.flatten();
    py.import("elsewhere._inspection")?.getattr("signature")?.call1((class, method))
}

/// The class, where a module that is imported here has it. `__main__` over there is another module.
fn loaded<'py>(py: Python<'py>, info: &ClassInfo) -> PyResult<Option<Bound<'py, PyType>>> {
    if is_main(&info.module) {
        return Ok(None);
    }
    let modules = py.import("sys")?.getattr("modules")?;
    let Ok(mut found) = modules.get_item(&info.module) else { return Ok(None) };
    for name in info.qualname.split('.') {
        let name = PyString::new(py, name);
        // Not by getattr: a module or a class may make attributes when asked for them.
        match found.getattr("__dict__").and_then(|names| names.get_item(name)) {
            Ok(next) => found = next,
            Err(_) => return Ok(None),
        }
    }
    Ok(found.cast_into::<PyType>().ok())
}

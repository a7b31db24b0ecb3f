//! What a peer's interpreter can read of what is pickled here.
//!
//! Owns: the distinctions between versions of Python. Must not know: how pickles are made, connections.

use elsewhere_proto::{Capabilities, Hello};
use pyo3::prelude::*;

/// The newest protocol of pickle that is written.
pub(crate) const PROTOCOL: u8 = 5;

/// The same for interpreters before 3.8.
const OLD_PROTOCOL: u8 = 4;

/// What a peer can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// The protocol of pickle.
    pub(crate) protocol: u8,
    /// Whether classes and functions may travel by value: bytecode means nothing to another version.
    pub(crate) takes_code: bool,
    /// Whether its modules may have other names than those here.
    pub(crate) is_foreign: bool,
    /// Whether plain instances of its classes need no pickle.
    pub(crate) takes_instances: bool,
}

impl Abilities {
    /// Those of an interpreter like this one.
    pub(crate) const LIKE_HERE: Self =
        Self { protocol: PROTOCOL, takes_code: true, is_foreign: false, takes_instances: false };

    /// Those of a peer by what it says of itself.
    pub(crate) fn of(py: Python<'_>, hello: &Hello) -> Self {
        let takes_instances = hello.capabilities.has(Capabilities::INSTANCES);
        let mut numbers = hello.python.split('.').map(|number| number.parse::<u8>().unwrap_or(0));
        let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
            return Self { takes_instances, ..Self::LIKE_HERE };
        };
        let here = py.version_info();
        let is_same = (major, minor) == (here.major, here.minor) && !hello.implementation.ends_with("pypy");
        Self {
            protocol: if (major, minor) < (3, 8) { OLD_PROTOCOL } else { PROTOCOL },
            takes_code: is_same,
            is_foreign: !is_same,
            takes_instances,
        }
    }
}

//! Objects of the user's classes among what is written.
//!
//! Owns: their form. Must not know: which objects are plain.

use elsewhere_proto::codec::ClassName;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::{Encoder, Stop, next_of};
use crate::definitions;
use crate::instances::{self, Origin};
use crate::pickling;

impl<'py> Encoder<'_, 'py> {
    /// Writes a plain instance; whether it is one that the peer can make.
    pub(super) fn instance(&mut self, value: &Bound<'py, PyAny>) -> Result<bool, Stop> {
        let py = self.py;
        if !self.peer.abilities(py).takes_instances || (!self.is_argument && pickling::checks_results()) {
            return Ok(false);
        }
        let Some(class) = instances::class_of(value) else { return Ok(false) };
        let Ok(attributes) = value.getattr(pyo3::intern!(py, "__dict__"))?.cast_into_exact::<PyDict>() else {
            return Ok(false);
        };
        self.enter_container(value)?;
        let len = attributes.len();
        self.out.begin_instance(len)?;
        match class.origin() {
            Origin::Imported { module, qualname, .. } => {
                self.out.class(ClassName::Imported { module: module.bind(py).to_str()?, qualname })?;
            }
            Origin::Defined if !self.takes_definitions() => return Err(Stop::Pickle),
            Origin::Defined => match definitions::of(&value.get_type())? {
                Some(known) => {
                    let (name, definition) = (known.name(), known.bytes(py));
                    self.out.class(ClassName::Defined { name, definition })?;
                }
                None => return Err(Stop::Pickle),
            },
        }
        let mut items = attributes.iter();
        for _ in 0..len {
            let (name, value) = next_of(&mut items, attributes.len() == len)?;
            let Ok(name) = name.cast_exact::<PyString>() else { return Err(Stop::Pickle) };
            let Ok(text) = name.to_str() else { return Err(Stop::Pickle) };
            if text.starts_with("__") && text.ends_with("__") {
                return Err(Stop::Pickle); // an object may have its own way of being copied, like a class
            }
            self.out.str(text)?;
            self.value(&value)?;
        }
        Ok(true)
    }

    /// Whether the peer may be sent code, and has not got its own copy of it by a fork.
    fn takes_definitions(&self) -> bool {
        !self.inherits && self.peer.abilities(self.py).takes_code
    }
}

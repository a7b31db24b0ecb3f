//! One object in a host.
//! Owns: one reference to it, given back when dropped. Must not know: what kind of object it is.

use std::sync::Arc;

use elsewhere_proto::codec::{CodecError, Limits, ReferenceHead, Value};
use elsewhere_proto::{ObjectId, Want};

use super::call::{Connected, Path};
use super::{Error, Stream};

/// A Python object in a host. All methods wait for the host.
#[derive(Debug)]
pub struct Object {
    connected: Arc<Connected>,
    id: ObjectId,
}

impl Object {
    pub(super) fn from_reply(connected: &Arc<Connected>, body: &[u8]) -> Result<Self, Error> {
        match Value::decode(body, Limits::default())? {
            Value::Reference(ReferenceHead::Offer { object, .. }, _) => {
                connected.link().imported(object);
                Ok(Self { connected: Arc::clone(connected), id: object })
            }
            _ => {
                connected.link().discard(body);
                Err(CodecError::Unexpected("a reference to an object").into())
            }
        }
    }

    /// Calls a method and copies its result.
    ///
    /// # Errors
    /// [`Error`]; what the method raises is [`Error::Raised`], also when its result cannot be copied.
    pub fn call(&self, method: &str, arguments: &[Value]) -> Result<Value, Error> {
        self.call_with(method, arguments, &[])
    }

    /// Calls a method with keyword arguments too.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_with(&self, method: &str, arguments: &[Value], keywords: &[(&str, Value)]) -> Result<Value, Error> {
        self.value(&self.path().attribute(method).call(arguments, keywords))
    }

    /// Calls a method and leaves its result in the host.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_for_object(
        &self,
        method: &str,
        arguments: &[Value],
        keywords: &[(&str, Value)],
    ) -> Result<Self, Error> {
        let path = self.path().attribute(method).call(arguments, keywords);
        Self::from_reply(&self.connected, &self.connected.answer(&path, Want::Reference)?)
    }

    /// Copies the value of an attribute.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn get(&self, attribute: &str) -> Result<Value, Error> {
        self.value(&self.path().attribute(attribute))
    }

    /// Calls a method and iterates over its result, which is sent ahead as fast as it is taken.
    ///
    /// # Errors
    /// As [`call`](Self::call) if the call could not be sent; what the method raises is the last item.
    pub fn stream(&self, method: &str, arguments: &[Value]) -> Result<Stream, Error> {
        Stream::open(&self.connected, &self.path().attribute(method).call(arguments, &[]))
    }

    /// This object as an argument of a call in its own host.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Reference(ReferenceHead::Home { object: self.id }, Vec::new())
    }

    fn path(&self) -> Path {
        Path::new(self.id)
    }

    fn value(&self, path: &Path) -> Result<Value, Error> {
        let body = self.connected.answer(path, Want::Value)?;
        let value = Value::decode(&body, Limits::default());
        self.connected.link().discard(&body); // references in it would be nobody's
        Ok(value?)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.connected.link().push_release(self.id, 1);
    }
}

//! From the codec to Python objects.
//!
//! Owns: how each token becomes an object, and what a reference means on this side. Must not know: frames, waiting.

mod memory;

use std::sync::Arc;

use elsewhere_engine::{BufferError, BufferName, Held, Incoming};
use elsewhere_proto::codec::{
    BufferForm, BufferHead, BufferPlace, ClassName, CodecError, Flavour, Limits, Reader, ReferenceHead, Token, ViewHead,
};
use elsewhere_proto::{CallId, ObjectId, codec};
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

use crate::buffers::{self, Memory};
use crate::call;
use crate::calls_in;
use crate::class_info::{ClassInfo, class_flag};
use crate::errors;
use crate::future::Future;
use crate::instances::{self, Found};
use crate::names;
use crate::path::Place;
use crate::peer::{HANDED_OVER, Import, Peer};
use crate::proxy::Proxy;
use crate::stream::Stream;

/// Why a value could not be made.
pub(crate) enum Undecodable {
    /// The peer wrote what the format does not allow.
    Malformed(CodecError),
    /// Making the object raised.
    Raised(PyErr),
    /// Taking a step of a path that was passed as an argument raised.
    Evaluated(PyErr),
    /// The earlier call that is named failed with this.
    Poisoned(PyErr),
}

impl From<CodecError> for Undecodable {
    fn from(error: CodecError) -> Self {
        Self::Malformed(error)
    }
}

impl From<PyErr> for Undecodable {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl Undecodable {
    /// The Python error for it; a malformed message is the peer's bug.
    pub(crate) fn into_error(self, py: Python<'_>, peer: &Peer) -> PyErr {
        match self {
            Self::Raised(error) | Self::Evaluated(error) | Self::Poisoned(error) => error,
            Self::Malformed(error) => errors::protocol(py, peer, &error.to_string()),
        }
    }
}

/// Reads values that one peer sent.
pub(crate) struct Decoder<'r, 'py> {
    pub(crate) py: Python<'py>,
    peer: &'r Arc<Peer>,
    body: &'r [u8],
    /// What holds the body, if a value may be made of it without a copy.
    held: Option<&'r Arc<Held>>,
    reader: Reader<'r>,
    /// The proxy that the call was made on, for results that are the receiver itself.
    receiver: Option<&'r Bound<'py, Proxy>>,
    /// The call that is read, until it is said to have begun.
    incoming: Option<&'r Incoming>,
    /// Offers taken in so far; those behind them go back if decoding fails.
    offers: usize,
    /// The same of buffers.
    buffers: usize,
}

impl<'r, 'py> Decoder<'r, 'py> {
    pub(crate) fn new(
        py: Python<'py>,
        peer: &'r Arc<Peer>,
        body: &'r [u8],
        receiver: Option<&'r Bound<'py, Proxy>>,
    ) -> Self {
        Self {
            py,
            peer,
            body,
            held: None,
            reader: Reader::new(body, Limits::default()),
            receiver,
            incoming: None,
            offers: 0,
            buffers: 0,
        }
    }

    /// Reads the steps of a call.
    pub(crate) fn of_call(py: Python<'py>, peer: &'r Arc<Peer>, incoming: &'r Incoming) -> Self {
        Self { incoming: Some(incoming), held: incoming.held(), ..Self::new(py, peer, incoming.steps(), None) }
    }

    /// Reads what `held` holds, a part of which may become a value.
    pub(crate) fn of_held(
        py: Python<'py>,
        peer: &'r Arc<Peer>,
        held: &'r Arc<Held>,
        receiver: Option<&'r Bound<'py, Proxy>>,
    ) -> Self {
        Self { held: Some(held), ..Self::new(py, peer, held.bytes(), receiver) }
    }

    /// Who sent them.
    pub(crate) fn peer(&self) -> &'r Arc<Peer> {
        self.peer
    }

    /// Code of the user's is about to run, so the call has begun. What the user's code may wait for must not wait for us.
    pub(crate) fn begun(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            incoming.begun();
        }
    }

    /// Reads the next value, and gives back every reference that came with the message if that fails.
    pub(crate) fn value(&mut self) -> Result<Bound<'py, PyAny>, Undecodable> {
        self.guarded(Self::next)
    }

    /// Runs `read`; if it fails, the references in the rest of the message go back to the peer.
    pub(crate) fn guarded<T, E>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let result = read(self);
        if result.is_err() {
            let offered = codec::offered_references(self.body, Limits::default()).unwrap_or_default();
            for object in offered.into_iter().skip(self.offers) {
                self.peer.link.imported(object);
                self.peer.link.push_release(object, 1);
            }
            self.peer.link.discard_buffers(self.body, self.buffers);
        }
        result
    }

    fn next(&mut self) -> Result<Bound<'py, PyAny>, Undecodable> {
        let token = self.reader.next_token()?;
        self.make(token)
    }

    /// Makes the object that begins with `token`.
    pub(crate) fn make(&mut self, token: Token<'r>) -> Result<Bound<'py, PyAny>, Undecodable> {
        let py = self.py;
        Ok(match token {
            Token::Str(text) => buffers::to_str(py, text)?.into_any(),
            Token::Int(number) => number.into_pyobject(py).map_err(PyErr::from)?.into_any(),
            Token::Nil => crate::encode::none(py),
            Token::Bool(truth) => PyBool::new(py, truth).to_owned().into_any(),
            Token::Float(number) => PyFloat::new(py, number).into_any(),
            Token::Bytes(data) => buffers::to_bytes(py, data)?.into_any(),
            Token::Unsigned(number) => number.into_pyobject(py).map_err(PyErr::from)?.into_any(),
            Token::BigInt(data) => big_int(py, data)?,
            Token::Complex(real, imaginary) => PyComplex::from_doubles(py, real, imaginary).into_any(),
            Token::ByteArray(data) => buffers::to_byte_array(py, data)?.into_any(),
            Token::Array { typecode, data } => {
                memory::shaped(&self.content(data, true, 1)?, &BufferForm::Array { typecode })?
            }
            Token::View { head, data } => memory::view(py, &head, data)?,
            Token::Grid { head, fortran, data } => self.grid(head, fortran, data)?,
            Token::Buffer(head) => self.buffer(&head)?,
            Token::Reference(head) => self.reference(&head)?,
            Token::Pickle { flavour, references, buffers } => self.pickle(flavour, references, buffers)?,
            Token::List(_)
            | Token::Tuple(_)
            | Token::Set(_)
            | Token::FrozenSet(_)
            | Token::Map(_)
            | Token::Instance(_) => {
                self.reader.enter()?;
                let container = self.container(&token)?;
                self.reader.leave();
                container
            }
        })
    }

    /// An array of numpy's that stands in the message. What its import runs does not belong to the call: numpy is no code of
    /// the user's.
    fn grid(&self, head: ViewHead, fortran: bool, data: &'r [u8]) -> Result<Bound<'py, PyAny>, Undecodable> {
        let content = self.content(data, head.read_only, buffers::ALIGNED)?;
        memory::shaped(&content, &BufferForm::Grid { fortran, format: head.format, shape: head.shape })
    }

    /// What stands in the message, as a buffer: a part of it where it is held and aligned so, else a copy.
    fn content(&self, data: &'r [u8], is_read_only: bool, aligned: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(if let Some(memory) = self.held.and_then(|held| Memory::held(held, data, is_read_only, aligned)) {
            Bound::new(py, memory)?.into_any()
        } else if is_read_only {
            buffers::to_bytes(py, data)?.into_any()
        } else {
            buffers::to_byte_array(py, data)?.into_any()
        })
    }

    fn container(&mut self, token: &Token<'r>) -> Result<Bound<'py, PyAny>, Undecodable> {
        let py = self.py;
        Ok(match *token {
            Token::List(len) => PyList::new(py, self.elements(len)?)?.into_any(),
            Token::Tuple(len) => self.tuple(len, Self::next)?.into_any(),
            Token::Set(len) => PySet::new(py, self.elements(len)?)?.into_any(),
            Token::FrozenSet(len) => PyFrozenSet::new(py, self.elements(len)?)?.into_any(),
            Token::Map(len) => self.map(len)?.into_any(),
            Token::Instance(len) => self.instance(len)?,
            _ => unreachable!("only containers come here"),
        })
    }

    fn elements(&mut self, len: usize) -> Result<Vec<Bound<'py, PyAny>>, Undecodable> {
        (0..len).map(|_| self.next()).collect()
    }

    /// Most argument lists are short, and need no vector between.
    fn tuple(
        &mut self,
        len: usize,
        first: impl FnOnce(&mut Self) -> Result<Bound<'py, PyAny>, Undecodable>,
    ) -> Result<Bound<'py, PyTuple>, Undecodable> {
        Ok(match len {
            0 => PyTuple::empty(self.py),
            1 => PyTuple::new(self.py, [first(self)?])?,
            2 => PyTuple::new(self.py, [first(self)?, self.next()?])?,
            len => {
                let mut all = vec![first(self)?];
                all.extend(self.elements(len - 1)?);
                PyTuple::new(self.py, all)?
            }
        })
    }

    /// The next value; a word is most often a name that was told before.
    fn word(&mut self) -> Result<Bound<'py, PyAny>, Undecodable> {
        match self.reader.next_token()? {
            Token::Str(text) if names::is_likely(text) => Ok(names::string(self.py, text).into_any()),
            token => self.make(token),
        }
    }

    fn map(&mut self, len: usize) -> Result<Bound<'py, PyDict>, Undecodable> {
        let dict = PyDict::new(self.py);
        for _ in 0..len {
            let key = self.next()?;
            let value = self.next()?;
            dict.set_item(key, value)?;
        }
        Ok(dict)
    }

    /// A plain instance with `len` attributes.
    fn instance(&mut self, len: usize) -> Result<Bound<'py, PyAny>, Undecodable> {
        let found = match self.reader.read_class()? {
            ClassName::Imported { module, qualname } => instances::find(self.py, module, qualname)?,
            ClassName::Defined { name, definition } => {
                if let Some(known) = self.peer.definitions.known(self.py, name, definition) {
                    instances::manner_of(known)?
                } else {
                    self.begun();
                    instances::manner_of(self.peer.definitions.read(self.py, name, definition)?)?
                }
            }
        };
        if let Found::Plain(kind) = found {
            let (made, attributes) = instances::make(&kind)?;
            self.attributes(len, &attributes)?;
            return Ok(made);
        }
        let attributes = PyDict::new(self.py);
        self.attributes(len, &attributes)?;
        self.begun();
        Ok(instances::make_as_asked(&found, &attributes)?)
    }

    fn attributes(&mut self, len: usize, attributes: &Bound<'py, PyDict>) -> Result<(), Undecodable> {
        for _ in 0..len {
            let name = names::string(self.py, self.reader.read_str()?);
            let value = self.next()?;
            attributes.set_item(name, value)?;
        }
        Ok(())
    }

    /// Reads the arguments of a call: a list and a map, or one pickle of (tuple, dict). None for no keyword arguments.
    pub(crate) fn arguments(&mut self) -> Result<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>), Undecodable> {
        match self.reader.next_token()? {
            Token::List(len) => {
                let args = self.tuple(len, Self::word)?;
                let Token::Map(len) = self.reader.next_token()? else {
                    return Err(Undecodable::Malformed(CodecError::Unexpected("a map of keyword arguments")));
                };
                let kwargs = if len == 0 { None } else { Some(self.map(len)?) };
                Ok((args, kwargs))
            }
            token @ Token::Pickle { .. } => {
                let both = self.make(token)?;
                let (args, kwargs) = both.extract::<(Bound<'py, PyTuple>, Bound<'py, PyDict>)>()?;
                Ok((args, Some(kwargs).filter(|kwargs| !kwargs.is_empty())))
            }
            _ => Err(Undecodable::Malformed(CodecError::Unexpected("arguments"))),
        }
    }

    /// Reads an op code or an operation code.
    pub(crate) fn code(&mut self) -> Result<i64, Undecodable> {
        match self.reader.next_token()? {
            Token::Int(code) => Ok(code),
            _ => Err(Undecodable::Malformed(CodecError::Unexpected("a code"))),
        }
    }

    /// Reads an attribute name.
    pub(crate) fn name(&mut self) -> Result<Bound<'py, PyString>, Undecodable> {
        match self.reader.next_token()? {
            Token::Str(name) => Ok(names::string(self.py, name)),
            _ => Err(Undecodable::Malformed(CodecError::Unexpected("a name"))),
        }
    }

    /// Reads a list of operands.
    pub(crate) fn operands(&mut self) -> Result<Vec<Bound<'py, PyAny>>, Undecodable> {
        match self.reader.next_token()? {
            Token::List(len) => self.elements(len),
            // One pickle of the whole list, where an operand has no form in the codec.
            token @ Token::Pickle { .. } => Ok(self.make(token)?.extract::<Vec<Bound<'py, PyAny>>>()?),
            _ => Err(Undecodable::Malformed(CodecError::Unexpected("a list of operands"))),
        }
    }

    /// Reads the head of a list of at least `len` values.
    pub(crate) fn list_head(&mut self, len: usize) -> Result<usize, Undecodable> {
        match self.reader.next_token()? {
            Token::List(found) if found >= len => Ok(found),
            _ => Err(Undecodable::Malformed(CodecError::Unexpected("a longer list"))),
        }
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    /// Reads a value of plain data.
    pub(crate) fn plain(&mut self) -> Result<Bound<'py, PyAny>, Undecodable> {
        self.next()
    }

    /// Reads a value that may fail to unpickle without spoiling what follows it: `None` then.
    pub(crate) fn payload(&mut self) -> Result<Option<Bound<'py, PyAny>>, Undecodable> {
        match self.next() {
            Ok(value) => Ok(Some(value)),
            Err(Undecodable::Raised(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn reference(&mut self, head: &ReferenceHead) -> Result<Bound<'py, PyAny>, Undecodable> {
        match *head {
            ReferenceHead::Offer { object, class, described } => self.offered(object, class, described),
            ReferenceHead::Home { object } => self.home(object),
            ReferenceHead::Place { object, steps, .. } => {
                let start = if object == ObjectId::BOOTSTRAP { None } else { Some(self.home(object)?) };
                calls_in::walk(self, start, steps)
            }
            ReferenceHead::Receiver => match self.receiver {
                Some(proxy) => Ok(root_proxy(self.py, proxy)?.into_any()),
                None => Err(Undecodable::Malformed(CodecError::Unexpected("a value, not the receiver"))),
            },
            ReferenceHead::Promise { call } => self.promised(call),
        }
    }

    /// What lies in memory beside the message.
    fn buffer(&mut self, head: &BufferHead) -> Result<Bound<'py, PyAny>, Undecodable> {
        let py = self.py;
        self.buffers += 1;
        let memory = match head.place {
            BufferPlace::Shared { number, offset } => {
                let holding = self.peer.link.shared_buffer(number).map_err(|error| self.no_memory(&error))?;
                Memory::shared(holding, offset, head.len, head.read_only)
                    .ok_or(Undecodable::Malformed(CodecError::Unexpected("a part of shared memory")))?
            }
            BufferPlace::Lent { slot, generation } => {
                let name = BufferName { slot, generation };
                let borrowed = self.peer.link.borrow_buffer(name, head.len).map_err(|error| self.no_memory(&error))?;
                match &head.form {
                    BufferForm::Bytes => return Ok(buffers::bytes_of(py, &borrowed)?.into_bound(py).into_any()),
                    BufferForm::ByteArray => {
                        return Ok(buffers::byte_array_of(py, &borrowed)?.into_bound(py).into_any());
                    }
                    form if borrowed.is_surplus() => {
                        let copy = if head.read_only {
                            buffers::bytes_of(py, &borrowed)?.into_bound(py).into_any()
                        } else {
                            buffers::byte_array_of(py, &borrowed)?.into_bound(py).into_any()
                        };
                        return memory::shaped(&copy, form);
                    }
                    _ if head.read_only => Memory::frozen(borrowed, &self.peer.link),
                    _ => Memory::lent(borrowed),
                }
            }
        };
        match &head.form {
            form @ BufferForm::Grid { .. } => memory::shaped(Bound::new(py, memory)?.as_any(), form),
            form => memory::shaped(&memory.view(py)?, form),
        }
    }

    fn no_memory(&self, error: &BufferError) -> Undecodable {
        Undecodable::Raised(match error {
            BufferError::Violated(text) => errors::protocol(self.py, self.peer, text),
            BufferError::Unusable => PyOSError::new_err(error.to_string()),
        })
    }

    fn offered(&mut self, object: ObjectId, class: u32, described: bool) -> Result<Bound<'py, PyAny>, Undecodable> {
        if class == HANDED_OVER && self.peer.hands_over() {
            self.offers += 1;
            let found = self.peer.take_over(self.py, object);
            return found.ok_or_else(|| Undecodable::Raised(errors::object_gone(self.py, self.peer, object)));
        }
        let import_class = if described { Some(self.descriptor(class)?) } else { self.peer.described(class) };
        let Some(class) = import_class else {
            return Err(Undecodable::Malformed(CodecError::Unexpected("a class that was described")));
        };
        self.offers += 1;
        let import = self.peer.import(object, class);
        Ok(proxy_for(self.py, import)?)
    }

    fn descriptor(&mut self, class: u32) -> Result<Arc<ClassInfo>, Undecodable> {
        let value = self.next()?;
        let (module, qualname, flags, coroutines) = {
            let fields: Vec<Bound<'py, PyAny>> = value.extract()?;
            let [module, qualname, flags, coroutines] = fields.as_slice() else {
                return Err(Undecodable::Malformed(CodecError::Unexpected("a class description")));
            };
            (module.extract()?, qualname.extract()?, flags.extract()?, coroutines.extract()?)
        };
        Ok(self.peer.describe(class, ClassInfo { module, qualname, flags, coroutines }))
    }

    /// The answer that we gave to an earlier call: kept here, or else the caller has it.
    fn promised(&mut self, call: CallId) -> Result<Bound<'py, PyAny>, Undecodable> {
        if let Some(answer) = self.peer.promises.answer(self.py, call) {
            match answer.object {
                None => return Decoder::new(self.py, self.peer, &answer.body, None).value(),
                Some(object) => {
                    if let Some(found) = self.peer.exported_unseen(self.py, object) {
                        return Ok(found);
                    }
                }
            }
        }
        self.begun();
        call::ask_answer(self.py, self.peer, call).map_err(Undecodable::Poisoned)
    }

    /// The answer that we got to a call of ours, if it was promised.
    pub(crate) fn answer(&mut self) -> Result<Bound<'py, PyAny>, Undecodable> {
        let call = CallId(u64::try_from(self.code()?).unwrap_or_default());
        let Some(future) = self.peer.promises.pinned(self.py, call) else {
            return Err(Undecodable::Raised(PyValueError::new_err("an answer that was not promised")));
        };
        // Its answer came before this question, or is on its way.
        let value = Future::settled_value(future.bind(self.py), None)?;
        value.expect("a wait without a limit ends with a value").map_err(Undecodable::Evaluated)
    }

    fn home(&self, object: ObjectId) -> Result<Bound<'py, PyAny>, Undecodable> {
        self.peer
            .exported(self.py, object)
            .or_else(|| self.peer.inheritance(self.py, object))
            .ok_or_else(|| Undecodable::Raised(errors::object_gone(self.py, self.peer, object)))
    }

    fn pickle(
        &mut self,
        flavour: Flavour,
        references: usize,
        buffers: usize,
    ) -> Result<Bound<'py, PyAny>, Undecodable> {
        let references = self.elements(references)?.into_iter().map(Bound::unbind).collect();
        let buffers = PyList::new(self.py, self.elements(buffers)?)?;
        let data = match self.reader.next_token()? {
            Token::Bytes(data) => buffers::to_bytes(self.py, data)?.into_any(),
            Token::Buffer(head) => self.pickle_in_memory(&head, flavour)?,
            _ => return Err(Undecodable::Malformed(CodecError::Unexpected("the bytes of a pickle"))),
        };
        self.begun();
        let is_foreign = self.peer.abilities(self.py).is_foreign;
        Ok(crate::pickling::loads(&data, (flavour, is_foreign), references, &buffers)?)
    }

    /// A large pickle: read where it lies, and given back as soon as it was.
    fn pickle_in_memory(&mut self, head: &BufferHead, flavour: Flavour) -> Result<Bound<'py, PyAny>, Undecodable> {
        let BufferPlace::Lent { slot, generation } = head.place else {
            return Err(Undecodable::Malformed(CodecError::Unexpected("memory of a pickle's own")));
        };
        self.buffers += 1;
        let borrowed = self.peer.link.borrow_buffer(BufferName { slot, generation }, head.len);
        let borrowed = borrowed.map_err(|error| self.no_memory(&error))?;
        Ok(match flavour {
            Flavour::Pickle if !borrowed.is_surplus() => Memory::lent(borrowed).view(self.py)?,
            _ => buffers::bytes_of(self.py, &borrowed)?.into_bound(self.py).into_any(),
        })
    }
}

/// The Python object for an import: a proxy, or a stream where iterating is all there is.
fn proxy_for(py: Python<'_>, import: Arc<Import>) -> PyResult<Bound<'_, PyAny>> {
    if import.class.flags & class_flag::STREAM != 0 {
        return Ok(Bound::new(py, Stream::new(py, import)?)?.into_any());
    }
    let is_async_stream = import.class.flags & class_flag::ASYNC_STREAM != 0;
    let proxy = Bound::new(py, Proxy::root(import))?.into_any();
    if is_async_stream {
        return py.import("elsewhere._async_stream")?.getattr("AsyncStream")?.call1((proxy,));
    }
    Ok(proxy)
}

/// The root of a proxy's path, as a proxy.
fn root_proxy<'py>(py: Python<'py>, proxy: &Bound<'py, Proxy>) -> PyResult<Bound<'py, Proxy>> {
    let mut current = proxy.clone();
    loop {
        let parent = match &current.get().place {
            Place::Root(_) => break,
            Place::Path { parent, .. } => parent.bind(py).clone(),
        };
        current = parent;
    }
    Ok(current)
}

fn big_int<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = PyDict::new(py);
    kwargs.set_item("signed", true)?;
    py.get_type::<PyInt>().call_method("from_bytes", (PyBytes::new(py, data), "little"), Some(&kwargs))
}

/// What an exception is that decoding raised: an `Exception` is reported, anything else is told like one.
pub(crate) fn is_ordinary(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py)
}

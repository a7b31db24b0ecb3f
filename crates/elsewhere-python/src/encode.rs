//! From Python objects to the codec, by exact type, without an intermediate tree.
//!
//! Owns: which value travels by value, by reference or as a pickle. Must not know: frames, waiting. Long because each kind
//! of value has its lines here.
//! A value that the codec has no form for, a subclass, or an alias among mutable containers makes the *whole* of the
//! arguments (or of the result) a pickle, so that identity among them is kept as pickle keeps it.

mod futures;
mod instances;
mod memory;

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

use elsewhere_engine::Enclosed;
use elsewhere_proto::codec::{ReferenceHead, Writer};
use elsewhere_proto::{CallId, ObjectId, Op};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyNone, PySet, PyString,
    PyTuple,
};

use crate::buffers::{Content, LARGE, room_for};
use crate::future::Future;
use crate::handing::{self, Given};
use crate::kinds::{goes_by_name, goes_by_reference};
use crate::lifecycle;
use crate::path::{self, Place};
use crate::peer::{HANDED_OVER, Peer, Reason};
use crate::pickling;
use crate::proxy::Proxy;
use crate::reference::Ref;
use crate::server::{self, Served};
use crate::through;

/// How many mutable containers are compared for aliasing before pickle takes over (ENGINE rule: a scan, no table).
const CONTAINERS_MAX: usize = 16;

/// How many tuples and frozensets within others are written before pickle takes over, which writes what stands in several
/// places once: what nests so, and is written at each place, can become as long as no memory is.
const NESTED_MAX: usize = 1000;

/// How deep containers nest before pickle takes over; the codec's own limit.
const DEPTH_MAX: usize = 60;

/// Why a value was not written.
pub(crate) enum Stop {
    /// The codec has no form for it: pickle the whole.
    Pickle,
    /// It cannot travel.
    Failed(PyErr),
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Self::Failed(error)
    }
}

impl From<elsewhere_proto::codec::CodecError> for Stop {
    fn from(error: elsewhere_proto::codec::CodecError) -> Self {
        Self::Failed(unwritable(error))
    }
}

/// How much was written, to come back to.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    position: usize,
    granted: usize,
    promised: usize,
    containers: usize,
    enclosed: (usize, usize),
    arrays: usize,
    given: usize,
}

/// Writes values for one peer. What it granted is taken back if the message is never sent.
pub(crate) struct Encoder<'w, 'py> {
    pub(crate) py: Python<'py>,
    peer: &'w Arc<Peer>,
    out: Writer<'w>,
    /// Arguments and results differ in what goes by reference.
    is_argument: bool,
    /// Whether the peer has objects of ours by a fork.
    inherits: bool,
    granted: Vec<ObjectId>,
    /// The server here that the peer has connected to, once somebody asked.
    served: OnceCell<Option<Arc<Served>>>,
    /// Whether references go by way of the owner that the peer and we have in common.
    gives_by_owner: bool,
    /// Those that were written so, for the owner to have before the message is sent.
    given: Vec<Given>,
    /// Whether content may go beside the message.
    encloses: bool,
    enclosed: Enclosed,
    /// Whether the longest content may be left where it lies.
    may_leave_out: bool,
    /// That content.
    apart: Option<Content<'py>>,
    /// The arrays of numpy that were written, and long texts and bytes: each must be one there.
    arrays: Vec<usize>,
    containers: [usize; CONTAINERS_MAX],
    container_count: usize,
    depth: usize,
    /// Whether what is written stands in a tuple or a frozenset.
    is_in_tuple: bool,
    /// How many of these stood in another one.
    nested: usize,
    /// Whether futures that are not settled may be named instead of waited for.
    may_promise: bool,
    /// Those that were.
    promised: Vec<(CallId, Py<Future>)>,
    /// What a future failed with that was to be written.
    poison: Option<PyErr>,
    /// How long futures are waited for.
    limit: Option<Instant>,
    /// Whether one was not settled by then.
    is_late: bool,
}

impl<'w, 'py> Encoder<'w, 'py> {
    pub(crate) fn new(py: Python<'py>, peer: &'w Arc<Peer>, out: &'w mut Vec<u8>, is_argument: bool) -> Self {
        Self {
            py,
            peer,
            out: Writer::new(out),
            is_argument,
            inherits: is_argument && peer.inherited(py).is_some(),
            granted: Vec::new(),
            served: OnceCell::new(),
            gives_by_owner: peer.is_sibling.get().is_some(),
            given: Vec::new(),
            encloses: false,
            enclosed: Enclosed::default(),
            may_leave_out: false,
            apart: None,
            arrays: Vec::new(),
            containers: [0; CONTAINERS_MAX],
            container_count: 0,
            depth: 0,
            is_in_tuple: false,
            nested: 0,
            may_promise: false,
            promised: Vec::new(),
            poison: None,
            limit: None,
            is_late: false,
        }
    }

    /// Takes back every reference that was granted for a message that is not sent.
    pub(crate) fn abandon(&mut self) {
        drop(self.take_enclosed());
        self.roll_back_grants(0);
    }

    /// The references granted so far, for a message whose sending may still fail.
    pub(crate) fn take_granted(&mut self) -> Vec<ObjectId> {
        std::mem::take(&mut self.granted)
    }

    fn roll_back_grants(&mut self, keep: usize) {
        let granted = self.granted.split_off(keep.min(self.granted.len()));
        self.peer.ungrant(self.py, granted);
    }

    pub(crate) fn op(&mut self, op: Op) {
        path::write_op(&mut self.out, op);
    }

    pub(crate) fn int(&mut self, number: i64) {
        self.out.int(number);
    }

    /// Writes an attribute name.
    pub(crate) fn name(&mut self, name: &Bound<'_, PyString>) -> PyResult<()> {
        self.out.str(name.to_str()?).map_err(unwritable)
    }

    pub(crate) fn bool(&mut self, truth: bool) {
        self.out.bool(truth);
    }

    pub(crate) fn nil(&mut self) {
        self.out.nil();
    }

    pub(crate) fn begin_list(&mut self, len: usize) -> PyResult<()> {
        self.out.begin_list(len).map_err(unwritable)
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.out.position()
    }

    pub(crate) fn begin_tuple(&mut self, len: usize) -> PyResult<()> {
        self.out.begin_tuple(len).map_err(unwritable)
    }

    pub(crate) fn begin_map(&mut self, len: usize) -> PyResult<()> {
        self.out.begin_map(len).map_err(unwritable)
    }

    pub(crate) fn text(&mut self, text: &str) -> PyResult<()> {
        self.out.str(text).map_err(unwritable)
    }

    /// Writes a pickle that is finished and has no references.
    pub(crate) fn finished_pickle(&mut self, data: &[u8]) -> PyResult<()> {
        self.out.begin_pickle(elsewhere_proto::codec::Flavour::Cloudpickle, 0, 0).map_err(unwritable)?;
        self.out.bytes(data).map_err(unwritable)
    }

    /// Whether values go to the peer as they are.
    pub(crate) fn hands_over(&self) -> bool {
        self.peer.hands_over()
    }

    /// Whether the peer holds this very object.
    pub(crate) fn holds(&self, value: &Bound<'_, PyAny>) -> bool {
        match lifecycle::owner().filter(|_| self.gives_by_owner) {
            Some(owner) => owner.is_exported(value),
            None => self.peer.is_exported(value),
        }
    }

    /// Hands the owner what was written of it by a word. To be called before the message is sent.
    ///
    /// # Errors
    /// Those of a post to the owner.
    pub(crate) fn hand_over_given(&mut self) -> PyResult<()> {
        self.given.drain(..).try_for_each(|given| given.hand_over(self.py))
    }

    /// References are those of this connection, whoever the peer is.
    pub(crate) fn give_itself(&mut self) {
        self.gives_by_owner = false;
    }

    /// Writes one argument that stands alone (a key, a value to set).
    pub(crate) fn argument(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        self.whole(value, |encoder| encoder.value(value))
    }

    /// Writes the arguments of a call: a list and a map, or one pickle of both.
    pub(crate) fn arguments(
        &mut self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        self.arguments_called("arguments", None, args, kwargs)
    }

    /// Writes the arguments of a call with `first` before them, whose own bound method is copied rather than offered:
    /// the function given to `run` and `spawn`.
    pub(crate) fn arguments_after(
        &mut self,
        first: Option<&Bound<'py, PyAny>>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        self.arguments_called(if first.is_some() { "function and arguments" } else { "arguments" }, first, args, kwargs)
    }

    /// Writes the arguments of `construct_named`: the path of a class, a list and a map.
    pub(crate) fn path_and_arguments(&mut self, args: &Bound<'py, PyTuple>) -> PyResult<()> {
        self.arguments_called("path and arguments", None, args, None)
    }

    /// `name` is what `elsewhere._pickle.culprit` knows them by.
    fn arguments_called(
        &mut self,
        name: &str,
        first: Option<&Bound<'py, PyAny>>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let mark = self.mark();
        match self.plain_arguments(first, args, kwargs) {
            Ok(()) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Pickle) => {
                self.roll_back(mark);
                let all = match first {
                    None => args.clone(),
                    Some(first) => {
                        let head = PyTuple::new(self.py, [first])?;
                        head.add(args)?.cast_into::<PyTuple>()?
                    }
                };
                let kwargs = kwargs.cloned().unwrap_or_else(|| PyDict::new(self.py));
                let both = PyTuple::new(self.py, [all.as_any(), kwargs.as_any()])?;
                self.pickle(both.as_any(), first)
                    .inspect_err(|error| pickling::find_culprit(error, both.as_any(), name, self.peer))
            }
        }
    }

    fn plain_arguments(
        &mut self,
        first: Option<&Bound<'py, PyAny>>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> Result<(), Stop> {
        if self.inherits && first.is_some() {
            return Err(Stop::Pickle);
        }
        self.out.begin_list(args.len() + usize::from(first.is_some()))?;
        match first {
            Some(first) if self.peer.hands_over() => self.value(first)?,
            Some(first) if goes_by_name(first) => {
                self.pickle(first, Some(first)).map_err(|_| Stop::Pickle)?; // the whole says what is wrong
            }
            Some(first) if goes_by_reference(self.py, first, self.is_argument)? => return Err(Stop::Pickle), // as a copy
            Some(first) => self.value(first)?,
            None => {}
        }
        for value in args.iter_borrowed() {
            self.value(&value)?;
        }
        match kwargs {
            None => self.out.begin_map(0)?,
            Some(kwargs) => self.items(kwargs)?,
        }
        Ok(())
    }

    /// Writes an argument by the codec, or else pickles `value`, the whole of it.
    fn whole(&mut self, value: &Bound<'py, PyAny>, write: impl FnOnce(&mut Self) -> Result<(), Stop>) -> PyResult<()> {
        let mark = self.mark();
        match write(self) {
            Ok(()) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Pickle) => {
                self.roll_back(mark);
                self.pickle(value, None)
                    .inspect_err(|error| pickling::find_culprit(error, value, "argument", self.peer))
            }
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            position: self.out.position(),
            granted: self.granted.len(),
            promised: self.promised.len(),
            containers: self.container_count,
            enclosed: self.enclosed.mark(),
            arrays: self.arrays.len(),
            given: self.given.len(),
        }
    }

    pub(crate) fn roll_back(&mut self, mark: Mark) {
        let Mark { position, granted, promised, containers, enclosed, arrays, given } = mark;
        self.given.truncate(given);
        self.arrays.truncate(arrays);
        self.enclosed.truncate(enclosed);
        self.out.truncate(position);
        self.apart = self.apart.take().filter(|_| self.out.left_out().is_some());
        self.roll_back_grants(granted);
        self.promised.truncate(promised);
        self.container_count = containers;
        (self.depth, self.is_in_tuple, self.nested) = (0, false, 0);
    }

    /// Writes one value.
    ///
    /// # Errors
    /// [`Stop::Pickle`] where the codec has no form for it; what was written so far has to be rolled back.
    pub(crate) fn value(&mut self, value: &Bound<'py, PyAny>) -> Result<(), Stop> {
        if self.inherits
            && let Some(object) = self.peer.inherited_id(value)
        {
            self.out.reference(&ReferenceHead::Home { object });
            return Ok(());
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            let text = text.to_str().map_err(|_| Stop::Pickle)?; // lone surrogates are pickle's business
            room_for(text.len())?;
            self.enter_long(value, text.len())?;
            return Ok(self.out.str(text)?);
        }
        if let Ok(number) = value.cast_exact::<PyInt>() {
            return self.integer(number);
        }
        if value.is_none() {
            self.out.nil();
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.out.float(number.value());
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            self.out.bool(truth.is_true());
        } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            self.enter_long(value, bytes.as_bytes().len())?;
            self.bytes(bytes)?;
        } else if let Ok(proxy) = value.cast_exact::<Proxy>() {
            return self.proxy(proxy);
        } else {
            return self.compound(value);
        }
        Ok(())
    }

    fn integer(&mut self, number: &Bound<'py, PyInt>) -> Result<(), Stop> {
        if let Ok(small) = number.extract::<i64>() {
            self.out.int(small);
        } else if let Ok(unsigned) = number.extract::<u64>() {
            self.out.unsigned(unsigned);
        } else {
            let bits: usize = number.call_method0("bit_length")?.extract()?;
            let kwargs = PyDict::new(self.py);
            kwargs.set_item("signed", true)?;
            let bytes = number.call_method("to_bytes", (bits / 8 + 1, "little"), Some(&kwargs))?;
            self.out.big_int(bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes()).map_err(|_| Stop::Pickle)?;
        }
        Ok(())
    }

    /// Writes a value that goes to the other end of a local host as it is: not a copy, not what it is pickled as.
    fn handed_over(&mut self, value: &Bound<'py, PyAny>) -> Result<(), Stop> {
        if let Some(import) = crate::stream::import_of(value) {
            if Arc::ptr_eq(&import.peer, self.peer) {
                return Ok(self.import_root(&import, value)?);
            }
        } else if let Ok(reference) = value.cast_exact::<Ref>() {
            let object = reference.get().object.bind(self.py);
            return if self.is_argument { self.hand_over(object) } else { Ok(self.offer(object)?) };
        }
        self.hand_over(value)
    }

    fn hand_over(&mut self, value: &Bound<'py, PyAny>) -> Result<(), Stop> {
        let object = self.peer.hand_over(value)?;
        self.granted.push(object);
        self.out.reference(&ReferenceHead::Offer { object, class: HANDED_OVER, described: false });
        Ok(())
    }

    /// Hands over an exception, where values are handed over at all.
    pub(crate) fn exception_itself(&mut self, error: &Bound<'py, PyAny>) -> PyResult<bool> {
        if !self.peer.hands_over() {
            return Ok(false);
        }
        match self.hand_over(error) {
            Ok(()) => Ok(true),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Pickle) => Ok(false),
        }
    }

    fn compound(&mut self, value: &Bound<'py, PyAny>) -> Result<(), Stop> {
        if self.is_argument
            && let Ok(future) = value.cast_exact::<Future>()
        {
            return self.future(future);
        }
        if self.peer.hands_over() {
            return self.handed_over(value);
        }
        if self.depth >= DEPTH_MAX {
            return Err(Stop::Pickle);
        }
        self.depth += 1;
        if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            let outer = self.enter_tuple()?;
            self.out.begin_tuple(tuple.len())?;
            for element in tuple.iter_borrowed() {
                self.value(&element)?;
            }
            self.is_in_tuple = outer;
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.enter_container(value)?;
            self.elements(list)?;
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.enter_container(value)?;
            self.items(dict)?;
        } else if let Ok(set) = value.cast_exact::<PySet>() {
            self.enter_container(value)?;
            self.members(set)?;
        } else if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
            let outer = self.enter_tuple()?;
            self.out.begin_frozen_set(set.len())?;
            for element in set.iter() {
                self.value(&element)?;
            }
            self.is_in_tuple = outer;
        } else {
            self.leaf(value)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// What is neither scalar nor container.
    fn leaf(&mut self, value: &Bound<'py, PyAny>) -> Result<(), Stop> {
        let served = self.served.get_or_init(|| server::of(self.peer));
        let exposure = served.as_ref().and_then(|served| served.exposure());
        let (is_narrowed, is_guarded) = (exposure.is_some(), exposure.map_or(Ok(false), |it| it.guards(value))?);
        if is_guarded {
            self.offer(value)?;
        } else if !is_narrowed && self.instance(value)? {
            // written by that
        } else if let Ok(number) = value.cast_exact::<PyComplex>() {
            self.out.complex(number.real(), number.imag());
        } else if let Ok(array) = value.cast_exact::<PyByteArray>() {
            self.enter_container(value)?;
            self.byte_array(array)?;
        } else if let Ok(reference) = value.cast_exact::<Ref>() {
            self.offer(reference.get().object.bind(self.py))?;
        } else if let Some(import) = crate::stream::import_of(value) {
            self.import_root(&import, value)?;
        } else if goes_by_reference(self.py, value, self.is_argument)? {
            self.offer(value)?;
        } else if self.grid(value)? || self.view(value)? || self.array(value)? {
            // written by that
        } else {
            return Err(Stop::Pickle);
        }
        Ok(())
    }

    /// The elements of a list. Others may change it while one of them is written: then pickle takes over, whose rules these
    /// are for lists, dicts and sets.
    fn elements(&mut self, list: &Bound<'py, PyList>) -> Result<(), Stop> {
        let len = list.len();
        self.out.begin_list(len)?;
        for index in 0..len {
            let Ok(element) = list.get_item(index) else { return Err(Stop::Pickle) };
            self.value(&element)?;
        }
        Ok(())
    }

    fn items(&mut self, dict: &Bound<'py, PyDict>) -> Result<(), Stop> {
        let len = dict.len();
        self.out.begin_map(len)?;
        let mut items = dict.iter();
        for _ in 0..len {
            let (key, value) = next_of(&mut items, dict.len() == len)?;
            self.value(&key)?;
            self.value(&value)?;
        }
        Ok(())
    }

    fn members(&mut self, set: &Bound<'py, PySet>) -> Result<(), Stop> {
        let len = set.len();
        self.out.begin_set(len)?;
        let mut members = set.iter();
        for _ in 0..len {
            let member = next_of(&mut members, set.len() == len)?;
            self.value(&member)?;
        }
        Ok(())
    }

    /// Notes a mutable container; the same one twice, or too many of them, is a case for pickle.
    fn enter_container(&mut self, value: &Bound<'py, PyAny>) -> Result<(), Stop> {
        let pointer = value.as_ptr() as usize;
        let known = self.containers.get(..self.container_count).unwrap_or(&[]);
        if known.contains(&pointer) || self.container_count == CONTAINERS_MAX {
            return Err(Stop::Pickle);
        }
        if let Some(slot) = self.containers.get_mut(self.container_count) {
            *slot = pointer;
        }
        self.container_count += 1;
        Ok(())
    }

    /// Notes a tuple or a frozenset, of which many in each other are a case for pickle. Whether this one stands in another.
    fn enter_tuple(&mut self) -> Result<bool, Stop> {
        let outer = std::mem::replace(&mut self.is_in_tuple, true);
        self.nested += usize::from(outer);
        if self.nested > NESTED_MAX { Err(Stop::Pickle) } else { Ok(outer) }
    }

    /// Notes a text or bytes of `len` bytes; the same one twice is a case for pickle, where it is long.
    fn enter_long(&mut self, value: &Bound<'py, PyAny>, len: usize) -> Result<(), Stop> {
        if len < LARGE {
            return Ok(());
        }
        let address = value.as_ptr() as usize;
        if self.arrays.contains(&address) {
            return Err(Stop::Pickle);
        }
        self.arrays.push(address);
        Ok(())
    }

    fn proxy(&mut self, proxy: &Bound<'py, Proxy>) -> Result<(), Stop> {
        let inner = proxy.get();
        if let Some(future) = path::future(self.py, inner) {
            return self.future(future);
        }
        let import = path::root(inner);
        if Arc::ptr_eq(&import.peer, self.peer) {
            return self.coming_home(proxy);
        }
        if let Some(at_server) = through::at_server(import)
            && Arc::ptr_eq(&at_server.peer, self.peer)
            && matches!(inner.place, Place::Root(_))
        {
            self.out.reference(&ReferenceHead::Home { object: at_server.object });
            return Ok(());
        }
        if self.gives_by_owner && handing::is_of_owner(import) {
            if matches!(inner.place, Place::Root(_)) && Arc::ptr_eq(&import.target().peer, self.peer) {
                self.out.reference(&ReferenceHead::Home { object: import.target().object });
                return Ok(());
            }
            return Ok(self.give_by_owner(proxy.as_any(), false)?);
        }
        if matches!(inner.place, Place::Root(_)) {
            return Ok(self.offer(proxy.as_any())?);
        }
        let value = self.elsewhere(proxy)?;
        self.value(&value)
    }

    fn coming_home(&mut self, proxy: &Bound<'py, Proxy>) -> Result<(), Stop> {
        let inner = proxy.get();
        let object = path::root(inner).object;
        if matches!(inner.place, Place::Root(_)) {
            self.out.reference(&ReferenceHead::Home { object });
            return Ok(());
        }
        if !path::is_plain(inner) {
            return self.lazy_coming_home(inner, object);
        }
        let steps = inner.place.length();
        // Attribute and item steps are two values each: the op and its operand.
        self.out.reference(&ReferenceHead::Place { object, steps, values: u32::from(steps) * 2 });
        path::write(self, inner)?;
        Ok(())
    }

    /// A proxy-like object (a stream) of this or another peer.
    fn import_root(&mut self, import: &Arc<crate::peer::Import>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if Arc::ptr_eq(&import.peer, self.peer) {
            self.out.reference(&ReferenceHead::Home { object: import.object });
            return Ok(());
        }
        self.offer(value)
    }

    /// Writes `object` by reference.
    pub(crate) fn offer(&mut self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        self.offer_because(object, Reason::Asked)
    }

    /// Writes a stream whose items go by reference, too.
    pub(crate) fn offer_stream_of_references(&mut self, stream: &Bound<'py, PyAny>) -> PyResult<()> {
        if self.gives_by_owner {
            return self.give_by_owner(stream, true);
        }
        self.offer(stream)?;
        if let Some(object) = self.granted.last() {
            self.peer.give_references(*object);
        }
        Ok(())
    }

    /// Writes `object` by reference because it cannot be copied.
    pub(crate) fn offer_uncopyable(&mut self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        self.offer_because(object, Reason::Uncopyable)
    }

    fn offer_because(&mut self, object: &Bound<'py, PyAny>, reason: Reason) -> PyResult<()> {
        if self.gives_by_owner {
            return self.give_by_owner(object, false);
        }
        let offer = self.peer.export(object, reason)?;
        self.granted.push(offer.object);
        self.out.reference(&ReferenceHead::Offer {
            object: offer.object,
            class: offer.class,
            described: offer.described.is_some(),
        });
        let Some(info) = offer.described else { return Ok(()) };
        self.descriptor(&info).map_err(unwritable)
    }

    fn descriptor(&mut self, info: &crate::class_info::ClassInfo) -> Result<(), elsewhere_proto::codec::CodecError> {
        self.out.begin_list(4)?;
        self.out.str(&info.module)?;
        self.out.str(&info.qualname)?;
        self.out.int(info.flags);
        self.out.begin_list(info.coroutines.len())?;
        for name in &info.coroutines {
            self.out.str(name)?;
        }
        Ok(())
    }

    /// The very object that the call was made on.
    pub(crate) fn receiver(&mut self) {
        self.out.reference(&ReferenceHead::Receiver);
    }

    /// Writes `value` as a pickle, with the references in it beside it.
    /// Of arguments, `kept` is copied although it may be a bound method.
    pub(crate) fn pickle(&mut self, value: &Bound<'py, PyAny>, kept: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
        let frame = pickling::dumps(value, self.is_argument, kept, self.peer).inspect_err(|error| {
            if !self.is_argument {
                pickling::find_culprit(error, value, "result", self.peer);
            }
        })?;
        self.out.begin_pickle(frame.flavour, frame.references.len(), frame.buffers.len()).map_err(unwritable)?;
        for reference in &frame.references {
            self.reference(reference.bind(self.py))?;
        }
        for buffer in &frame.buffers {
            self.pickle_buffer(buffer.bind(self.py))?;
        }
        self.bytes(frame.data.bind(self.py))
    }

    /// One entry of a pickle's table of references.
    fn reference(&mut self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        let written = match object.cast_exact::<Proxy>() {
            Ok(proxy) if matches!(proxy.get().place, Place::Root(_)) => self.proxy(proxy),
            // The value may be none that a reference stands for, so it is a place.
            Ok(proxy) if path::future(self.py, proxy.get()).is_some() => {
                self.lazy_coming_home(proxy.get(), ObjectId::BOOTSTRAP)
            }
            Ok(proxy) if Arc::ptr_eq(&path::root(proxy.get()).peer, self.peer) => self.proxy(proxy),
            Ok(proxy) if self.gives_by_owner && handing::is_of_owner(path::root(proxy.get())) => self.proxy(proxy),
            Ok(proxy) => {
                let value = self.elsewhere(proxy)?;
                self.place(ObjectId::BOOTSTRAP, 1, |nested| {
                    nested.op(Op::Start);
                    nested.argument(&value)
                })
            }
            Err(_) => match object.cast_exact::<Ref>() {
                Ok(reference) => self.offer(reference.get().object.bind(self.py)).map_err(Stop::Failed),
                Err(_) => match crate::stream::import_of(object) {
                    Some(import) => self.import_root(&import, object).map_err(Stop::Failed),
                    None => self.offer(object).map_err(Stop::Failed),
                },
            },
        };
        match written {
            Ok(()) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Pickle) => unreachable!("a reference never asks to be pickled"),
        }
    }
}

/// What comes next in a container, which an iterator of these may be asked for as long as it `is_whole`.
fn next_of<T>(items: &mut impl Iterator<Item = T>, is_whole: bool) -> Result<T, Stop> {
    if is_whole { items.next().ok_or(Stop::Pickle) } else { Err(Stop::Pickle) }
}

/// A value that is larger than the format allows.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn unwritable(error: elsewhere_proto::codec::CodecError) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(error.to_string())
}

/// `None` as an object, for arguments that stand for nothing.
pub(crate) fn none(py: Python<'_>) -> Bound<'_, PyAny> {
    PyNone::get(py).to_owned().into_any()
}

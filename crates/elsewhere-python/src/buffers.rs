//! Memory that a peer passed, that is shared with peers or that a message lay in, as an object with Python's buffer protocol.
//!
//! Owns: the step from memory to that protocol, and from objects with it to their bytes. Must not know: messages, where
//! memory comes from.
//! All memory here may be written by another process, as that of any buffer may be by another thread.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;

use elsewhere_engine::{Borrowed, Frozen, Held, Holding, Link, SharedMemory, Shortage, pages};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use crate::pickling;

/// From this size on content goes in memory of its own.
pub(crate) const LARGE: usize = 64 * 1024;

/// From this size on others may use the interpreter while it is copied.
pub(crate) const SLOW: usize = 1 << 20;

/// From this size on a copy asks for large pages.
const HUGE: usize = pages::LARGE;

/// What content in a message is aligned to, if it is; enough for any item.
pub(crate) const ALIGNED: usize = 16;

/// Memory of another process, shared with some, or of a message: gives it back when the last view of it goes.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct Memory {
    place: Place,
    is_read_only: bool,
}

enum Place {
    Lent(Borrowed),
    Frozen { frozen: Arc<Frozen>, offset: usize, len: usize },
    Shared { holding: Holding, offset: usize, len: usize },
    Held { _held: Arc<Held>, start: Start, len: usize },
}

/// Where memory begins that lives as long as what is beside this.
struct Start(NonNull<u8>);

// SAFETY: it is only handed on, to whom the interpreter says that he may use it.
unsafe impl Send for Start {}
// SAFETY: as above.
unsafe impl Sync for Start {}

impl Memory {
    /// The part `data` of what `held` holds. None if it is to be copied: where it is the lesser part, all of which would be
    /// kept for it, or does not lie at a multiple of `aligned`, so that items could not be used.
    pub(crate) fn held(held: &Arc<Held>, data: &[u8], is_read_only: bool, aligned: usize) -> Option<Self> {
        let is_worth_it = data.len() >= LARGE && data.len() >= held.bytes().len() / 2;
        if !is_worth_it || !data.as_ptr().addr().is_multiple_of(aligned) {
            return None;
        }
        let start = Start(held.take(data)?);
        Some(Self { place: Place::Held { _held: Arc::clone(held), start, len: data.len() }, is_read_only })
    }

    pub(crate) fn lent(borrowed: Borrowed) -> Self {
        Self { place: Place::Lent(borrowed), is_read_only: false }
    }

    /// What was lent to be read only.
    pub(crate) fn frozen(borrowed: Borrowed, link: &Arc<Link>) -> Self {
        let len = borrowed.bytes();
        Self { place: Place::Frozen { frozen: link.freeze(borrowed), offset: 0, len }, is_read_only: true }
    }

    /// A part of memory that this process has: that `len` bytes from `address` on. None if there is none.
    fn at(address: usize, len: usize, is_read_only: bool) -> Option<Self> {
        if let Some((holding, offset)) = SharedMemory::find(address, len) {
            return Some(Self { place: Place::Shared { holding, offset, len }, is_read_only });
        }
        let (frozen, offset) = Frozen::find(address, len)?;
        Some(Self { place: Place::Frozen { frozen, offset, len }, is_read_only: true })
    }

    /// None if there are not so many bytes behind `offset`.
    pub(crate) fn shared(holding: Holding, offset: u64, len: u64, is_read_only: bool) -> Option<Self> {
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        let is_inside = offset.checked_add(len)? <= holding.bytes();
        let is_read_only = is_read_only || holding.is_frozen();
        is_inside.then_some(Self { place: Place::Shared { holding, offset, len }, is_read_only })
    }

    /// Whether nobody writes it any more.
    fn is_frozen(&self) -> bool {
        match &self.place {
            Place::Lent(_) | Place::Held { .. } => false,
            Place::Frozen { .. } => true,
            Place::Shared { holding, .. } => holding.is_frozen(),
        }
    }

    fn range(&self) -> (*mut u8, usize) {
        match &self.place {
            Place::Lent(borrowed) => (borrowed.start().as_ptr(), borrowed.bytes()),
            // The offset is inside, as was seen when this was made.
            Place::Frozen { frozen, offset, len } => (frozen.start().as_ptr().wrapping_add(*offset), *len),
            Place::Shared { holding, offset, len } => (holding.start().as_ptr().wrapping_add(*offset), *len),
            Place::Held { start, len, .. } => (start.0.as_ptr(), *len),
        }
    }

    /// A view of all of it, of bytes.
    pub(crate) fn view(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(PyMemoryView::from(Bound::new(py, self)?.as_any())?.into_any())
    }
}

#[pymethods]
impl Memory {
    /// # Safety
    /// `view` is what the interpreter passes: a buffer to be filled.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let (start, len) = slf.get().range();
        let len = ffi::Py_ssize_t::try_from(len)?;
        let read_only = c_int::from(slf.get().is_read_only);
        // SAFETY: the range is mapped as long as the object lives, and the view that is filled keeps it alive. Its bytes are
        // plain memory, whoever else writes them.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), len, read_only, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// The bytes of an object that lie in one piece.
pub(crate) struct Content<'py> {
    py: Python<'py>,
    buffer: PyUntypedBuffer,
}

impl<'py> Content<'py> {
    /// None if they do not lie in one piece.
    ///
    /// # Errors
    /// Those of a value without a buffer.
    pub(crate) fn of(value: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let buffer = PyUntypedBuffer::get(value)?;
        let is_whole = buffer.is_c_contiguous() || buffer.is_fortran_contiguous();
        Ok(is_whole.then_some(Self { py: value.py(), buffer }))
    }

    /// Whether the first index changes fastest, where that makes a difference.
    pub(crate) fn is_fortran(&self) -> bool {
        !self.buffer.is_c_contiguous()
    }

    /// What an item is, in the language of `struct`. None for what is no text.
    pub(crate) fn format(&self) -> Option<&str> {
        self.buffer.format().to_str().ok()
    }

    pub(crate) fn shape(&self) -> Vec<u64> {
        self.buffer.shape().iter().map(|len| *len as u64).collect()
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.buffer.readonly()
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len_bytes()
    }

    fn address(&self) -> usize {
        self.buffer.buf_ptr().addr()
    }

    /// The shared memory that it lies in, and where, if the other end of `link` is to have that and no copy.
    ///
    /// What nobody writes any more goes as a copy where it is short, so that it keeps no large memory alive, and where
    /// there is no other way.
    pub(crate) fn shared(&self, link: &Link) -> Option<(Holding, usize)> {
        if self.len() == 0 {
            return None;
        }
        let is_worth_it = || self.len() >= LARGE && link.can_share();
        if let Some(found) = SharedMemory::find(self.address(), self.len()) {
            return Some(found).filter(|(holding, _)| !holding.is_frozen() || is_worth_it());
        }
        if !is_worth_it() {
            return None;
        }
        let (frozen, offset) = Frozen::find(self.address(), self.len())?;
        Some((frozen.share()?, offset))
    }

    /// Gives the bytes to `read`, while others use the interpreter if that takes long.
    pub(crate) fn read<T: Send>(&self, read: impl FnOnce(&[u8]) -> T + Send) -> T {
        if self.len() == 0 {
            return read(&[]);
        }
        // SAFETY: the buffer is held, so the memory stays where it is, is of that length and not null. Other threads and
        // processes may write it meanwhile, as they may for every reader of a buffer: `read` only copies.
        let bytes = unsafe { std::slice::from_raw_parts(self.buffer.buf_ptr().cast::<u8>(), self.len()) };
        if self.len() < SLOW { read(bytes) } else { self.py.detach(|| read(bytes)) }
    }
}

/// To be asked before `len` bytes go into a message: they are copied a few times on their way, and where there is no memory
/// for that the process would end.
///
/// # Errors
/// MemoryError.
pub(crate) fn room_for(len: usize) -> PyResult<()> {
    const COPIES: usize = 3;
    if len < SLOW {
        return Ok(());
    }
    pages::check(len).map_err(|shortage| no_room(len, shortage))?;
    if Vec::<u8>::new().try_reserve_exact(len.saturating_mul(COPIES)).is_ok() {
        return Ok(());
    }
    Err(PyMemoryError::new_err(format!("there is no memory for a message of {len} bytes")))
}

/// To be asked before `len` bytes are copied.
///
/// # Errors
/// MemoryError.
pub(crate) fn room_for_copy(len: usize) -> PyResult<()> {
    if len < HUGE { Ok(()) } else { pages::check(len).map_err(|shortage| no_room(len, shortage)) }
}

/// That a value is not copied because there is less memory than it takes.
pub(crate) fn no_room(len: usize, shortage: Shortage) -> PyErr {
    PyMemoryError::new_err(format!("there is no memory for a copy of {len} bytes: {shortage}"))
}

/// Whether a buffer of a pickle goes beside it: if it is large, or lies in memory that is shared.
pub(crate) fn goes_beside(buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
    let content = match Content::of(buffer) {
        Ok(content) => content,
        Err(_) => Content::of(&buffer.call_method0("raw")?)?, // it has no dimension
    };
    let Some(content) = content else { return Ok(false) };
    let is_shared = || content.len() > 0 && SharedMemory::find(content.address(), content.len()).is_some();
    Ok(content.len() >= LARGE || is_shared())
}

/// Bytes that are to be copied into memory which nobody else knows yet.
struct Filling {
    target: *mut u8,
    source: *const u8,
    len: usize,
}

// SAFETY: it is only handed to the very thread that made it, which has let go of the interpreter.
unsafe impl Send for Filling {}

impl Filling {
    /// Copies, while others use the interpreter if that takes long.
    ///
    /// # Safety
    /// Both ranges have `len` bytes, and the source stays. What another process writes there meanwhile can change what is
    /// copied and nothing else.
    unsafe fn run(self, py: Python<'_>) {
        // SAFETY: as the caller says.
        let copy = move |filling: Self| unsafe { filling.copy() };
        if self.len < SLOW { copy(self) } else { py.detach(move || copy(self)) }
    }

    /// # Safety
    /// As for `run`.
    unsafe fn copy(self) {
        pages::wish(self.target, self.len); // fresh memory, handed out page by page, costs several times the copy
        // SAFETY: as the caller says; they do not overlap, since the target is new.
        unsafe { std::ptr::copy_nonoverlapping(self.source, self.target, self.len) };
    }
}

/// # Safety
/// There are `len` bytes at `source`, and they stay while this runs.
unsafe fn copy_as_bytes(py: Python<'_>, source: *const u8, len: usize) -> PyResult<Bound<'_, PyBytes>> {
    room_for_copy(len)?;
    // SAFETY: the length is not negative; without a source the content is left open, to be filled below.
    let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), ffi::Py_ssize_t::try_from(len)?) };
    // SAFETY: a new reference, or null with an exception set.
    let bytes = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: it is the bytes object that was just made.
    let target = unsafe { ffi::PyBytes_AsString(bytes.as_ptr()) };
    // SAFETY: the new object has `len` bytes; the source as the caller says.
    unsafe { Filling { target: target.cast(), source, len }.run(py) };
    Ok(bytes.cast_into()?)
}

/// # Safety
/// As for `copy_as_bytes`.
unsafe fn copy_as_byte_array(py: Python<'_>, source: *const u8, len: usize) -> PyResult<Bound<'_, PyByteArray>> {
    room_for_copy(len)?;
    // SAFETY: as in `copy_as_bytes`.
    let object = unsafe { ffi::PyByteArray_FromStringAndSize(std::ptr::null(), ffi::Py_ssize_t::try_from(len)?) };
    // SAFETY: as in `copy_as_bytes`.
    let bytes = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: as in `copy_as_bytes`.
    let target = unsafe { ffi::PyByteArray_AsString(bytes.as_ptr()) };
    // SAFETY: as in `copy_as_bytes`.
    unsafe { Filling { target: target.cast(), source, len }.run(py) };
    Ok(bytes.cast_into()?)
}

/// A copy of the whole as bytes. Gives the memory back.
pub(crate) fn bytes_of(py: Python<'_>, borrowed: &Borrowed) -> PyResult<Py<PyBytes>> {
    // SAFETY: it is mapped as long as `borrowed` lives.
    Ok(unsafe { copy_as_bytes(py, borrowed.start().as_ptr(), borrowed.bytes()) }?.unbind())
}

/// A copy of the whole as a bytearray.
pub(crate) fn byte_array_of(py: Python<'_>, borrowed: &Borrowed) -> PyResult<Py<PyByteArray>> {
    // SAFETY: as above.
    Ok(unsafe { copy_as_byte_array(py, borrowed.start().as_ptr(), borrowed.bytes()) }?.unbind())
}

/// A copy of what came in a message, which may be long.
///
/// # Errors
/// MemoryError.
pub(crate) fn to_bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    if data.len() < HUGE {
        return Ok(PyBytes::new(py, data));
    }
    // SAFETY: it is a slice.
    unsafe { copy_as_bytes(py, data.as_ptr(), data.len()) }
}

/// The same as a bytearray.
///
/// # Errors
/// MemoryError.
pub(crate) fn to_byte_array<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyByteArray>> {
    if data.len() < HUGE {
        return Ok(PyByteArray::new(py, data));
    }
    // SAFETY: it is a slice.
    unsafe { copy_as_byte_array(py, data.as_ptr(), data.len()) }
}

/// A text that came in a message, which may be long.
///
/// # Errors
/// MemoryError.
pub(crate) fn to_str<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyString>> {
    room_for_copy(text.len())?;
    Ok(PyString::new(py, text))
}

/// Make memory of zeros that is passed to hosts without a copy: a writable view of bytes.
///
/// Passed as an argument, in one or as a result it is the same memory there, and writes are seen on all sides. So are
/// views of it in one piece. Nobody locks it. The memory lives until no process has a view of it.
///
/// Raises MemoryError where there is not so much memory.
#[pyfunction]
#[pyo3(signature = (nbytes, /))]
pub(crate) fn shared_memory(py: Python<'_>, nbytes: usize) -> PyResult<Bound<'_, PyAny>> {
    if nbytes == 0 {
        return Ok(PyMemoryView::from(PyByteArray::new(py, &[]).as_any())?.into_any()); // there is nothing to share
    }
    let holding = match py.detach(|| SharedMemory::create(nbytes)) {
        Ok(holding) => holding,
        Err(error) => return Err(PyMemoryError::new_err(format!("cannot share {nbytes} bytes: {error}"))),
    };
    let memory = Memory::shared(holding, 0, nbytes as u64, false);
    memory.ok_or_else(|| PyValueError::new_err("too large"))?.view(py)
}

/// Whether this process has any memory that is passed on without a copy.
#[pyfunction]
pub(crate) fn _shares() -> bool {
    SharedMemory::is_any() || Frozen::is_any()
}

/// A view of the memory of `nbytes` bytes from `address` on, if it may be passed on without a copy, and an array of `needed`
/// bytes in it should be.
#[pyfunction]
pub(crate) fn _shared_span(
    py: Python<'_>,
    address: usize,
    nbytes: usize,
    needed: usize,
    is_read_only: bool,
) -> PyResult<Option<Bound<'_, PyAny>>> {
    let memory = Memory::at(address, nbytes, is_read_only);
    let memory = memory.filter(|memory| !memory.is_frozen() || (needed >= LARGE && pickling::_is_passing_memory()));
    memory.map(|memory| memory.view(py)).transpose()
}

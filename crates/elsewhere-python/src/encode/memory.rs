//! Large content and shared memory among what is written.
//!
//! Owns: what goes in memory of its own, and the names of it. Must not know: how memory gets to the peer.

use elsewhere_engine::{Enclosed, LendError, Named, Purpose, pages};
use elsewhere_proto::codec::{BufferForm, BufferHead, BufferPlace, ViewHead};
use pyo3::exceptions::{PyBufferError, PyOSError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyType};

use super::{Encoder, Stop, unwritable};
use crate::buffers::{Content, LARGE, SLOW, no_room, room_for};
use crate::looks::Looks;
use crate::submit::Apart;

/// Room for what stands around long content, which would otherwise have to be moved for it.
const MARGIN: usize = 64 * 1024;

/// From this size on content of a call may be sent from where it lies.
const STRAIGHT: usize = SLOW;

/// How many arrays are compared for being one and the same before pickle takes over, where they are short.
const ARRAYS_MAX: usize = 64;

impl<'py> Encoder<'_, 'py> {
    /// Large content may go beside the message.
    pub(crate) fn enclose(&mut self) {
        self.encloses = true;
    }

    /// What goes beside the message.
    pub(crate) fn take_enclosed(&mut self) -> Enclosed {
        std::mem::take(&mut self.enclosed)
    }

    /// The content that was left where it lies.
    pub(crate) fn take_apart(&mut self) -> Option<Apart<'py>> {
        let at = self.out.left_out()?;
        self.apart.take().map(|content| Apart { at, content })
    }

    /// Whether content of so many bytes is to be left where it lies: the first that is long.
    fn leaves_out(&self, len: usize) -> bool {
        len >= STRAIGHT && self.may_leave_out && self.apart.is_none() && self.peer.link.sends_straight()
    }

    /// Lends a copy of `content`; whether there was a way to.
    fn lend(&mut self, content: &Content<'py>, read_only: bool, form: BufferForm) -> PyResult<bool> {
        if !self.encloses || content.len() < LARGE {
            return Ok(false);
        }
        let link = &self.peer.link;
        let is_copied_out = matches!(form, BufferForm::Bytes | BufferForm::ByteArray | BufferForm::Array { .. });
        let purpose = if read_only && !is_copied_out { Purpose::Read } else { Purpose::Own };
        let mut looks = Looks::new();
        let lent = match content.read(|bytes| link.lend(bytes, purpose, &mut || looks.copy_goes_on())) {
            Ok(lent) => lent,
            Err(LendError::Memory(shortage)) => return Err(no_room(content.len(), shortage)),
            Err(LendError::GivenUp) => {
                return Err(looks.met().unwrap_or_else(|| unreachable!("only looks give it up")));
            }
        };
        let Some(lent) = lent else { return Ok(false) };
        let name = lent.name();
        let place = BufferPlace::Lent { slot: name.slot, generation: name.generation };
        self.enclosed.lend(lent);
        self.out.buffer(&BufferHead { place, len: content.len() as u64, read_only, form }).map_err(unwritable)?;
        Ok(true)
    }

    /// Writes the name of `content` if it lies in shared memory.
    fn share(&mut self, content: &Content<'py>, form: &BufferForm) -> PyResult<bool> {
        if !self.encloses {
            return Ok(false);
        }
        let Some((holding, offset)) = content.shared(&self.peer.link) else { return Ok(false) };
        let is_frozen = holding.is_frozen();
        let link = &self.peer.link;
        let mut shared = link.share(holding.clone());
        if !is_frozen
            && matches!(&shared, Err(error) if error.is_for_want_of_room())
            && self.py.detach(|| link.make_room_for_names())
        {
            shared = link.share(holding);
        }
        let named: Named = match shared {
            Ok(named) => named,
            Err(_) if is_frozen => return Ok(false), // a copy does as well
            Err(error) => {
                let text = format!("shared memory cannot be passed to {}: {error}", self.peer.label);
                return Err(PyOSError::new_err(text));
            }
        };
        let place = BufferPlace::Shared { number: named.number(), offset: offset as u64 };
        self.enclosed.share(named);
        let head =
            BufferHead { place, len: content.len() as u64, read_only: content.is_read_only(), form: form.clone() };
        self.out.buffer(&head).map_err(unwritable)?;
        Ok(true)
    }

    /// Room for long content.
    fn make_room(&mut self, len: usize) -> PyResult<()> {
        room_for(len)?;
        if len >= pages::LARGE {
            self.out.reserve(len.saturating_add(MARGIN), pages::make_room);
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self, bytes: &Bound<'py, PyBytes>) -> PyResult<()> {
        let data = bytes.as_bytes();
        if self.encloses
            && data.len() >= LARGE
            && let Some(content) = Content::of(bytes.as_any())?
            && self.lend(&content, true, BufferForm::Bytes)?
        {
            return Ok(());
        }
        if self.leaves_out(data.len())
            && let Some(content) = Content::of(bytes.as_any())?
        {
            room_for(data.len())?;
            self.out.bytes_around(data.len()).map_err(unwritable)?;
            self.apart = Some(content);
            return Ok(());
        }
        self.make_room(data.len())?;
        self.out.bytes(data).map_err(unwritable)
    }

    pub(super) fn byte_array(&mut self, array: &Bound<'py, PyByteArray>) -> PyResult<()> {
        let Some(content) = Content::of(array.as_any())? else { unreachable!("a bytearray lies in one piece") };
        if self.lend(&content, false, BufferForm::ByteArray)? {
            return Ok(());
        }
        if self.leaves_out(content.len()) {
            room_for(content.len())?;
            self.out.byte_array_around(content.len()).map_err(unwritable)?;
            self.apart = Some(content);
            return Ok(());
        }
        self.make_room(content.len())?;
        let out = &mut self.out;
        content.read(|bytes| out.byte_array(bytes)).map_err(unwritable)
    }

    /// Writes a memoryview: in one piece by its name, or else a copy. False for anything else.
    pub(super) fn view(&mut self, view: &Bound<'py, PyAny>) -> Result<bool, Stop> {
        if !view.is_exact_instance_of::<PyMemoryView>() {
            return Ok(false);
        }
        let content = Content::of(view)?.filter(|content| !content.is_fortran());
        let Some((content, format)) =
            content.as_ref().and_then(|content| Some((content, content.format()?.to_owned())))
        else {
            return self.view_in_pieces(view).map(|()| true);
        };
        let shape = content.shape();
        if self.encloses
            && self.share_or_lend(content, BufferForm::View { format: format.clone(), shape: shape.clone() })?
        {
            return Ok(true);
        }
        self.make_room(content.len())?;
        let (out, head) = (&mut self.out, ViewHead { read_only: content.is_read_only(), format, shape });
        content.read(|bytes| out.memory_view(&head, bytes))?;
        Ok(true)
    }

    /// Writes a memoryview whose bytes have to be collected first.
    fn view_in_pieces(&mut self, view: &Bound<'py, PyAny>) -> Result<(), Stop> {
        let head = ViewHead {
            read_only: view.getattr("readonly")?.extract()?,
            format: view.getattr("format")?.extract()?,
            shape: view.getattr("shape")?.extract()?,
        };
        room_for(view.getattr("nbytes")?.extract()?)?;
        let data = view.call_method0("tobytes")?;
        let data = data.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes();
        self.make_room(data.len())?;
        Ok(self.out.memory_view(&head, data)?)
    }

    fn share_or_lend(&mut self, content: &Content<'py>, form: BufferForm) -> PyResult<bool> {
        if self.share(content, &form)? {
            return Ok(true);
        }
        self.lend(content, content.is_read_only(), form)
    }

    /// Writes an array of numpy. False for anything else, and for what only pickle can tell.
    pub(super) fn grid(&mut self, value: &Bound<'py, PyAny>) -> Result<bool, Stop> {
        if !is_of(value, "ndarray", "numpy", &NUMPY_ARRAY)? {
            return Ok(false);
        }
        // Dates and the like have no buffer.
        let Ok(Some(content)) = Content::of(value) else { return Ok(false) };
        let Some(format) = content.format().filter(|format| is_plain(format)) else { return Ok(false) };
        let is_beside = self.encloses && (content.len() >= LARGE || content.shared(&self.peer.link).is_some());
        let is_inside = self.peer.abilities(self.py).takes_instances;
        if !is_beside && !is_inside {
            return Ok(false);
        }
        let address = value.as_ptr() as usize;
        if self.arrays.contains(&address) || (!is_beside && self.arrays.len() >= ARRAYS_MAX) {
            return Err(Stop::Pickle); // it stands in two places, and is to be one there; or nobody looked whether it does
        }
        let (fortran, format, shape) = (content.is_fortran(), format.to_owned(), content.shape());
        let form = BufferForm::Grid { fortran, format: format.clone(), shape: shape.clone() };
        let mut is_written = is_beside && self.share_or_lend(&content, form)?;
        if !is_written && is_inside {
            let head = ViewHead { read_only: content.is_read_only(), format, shape };
            if self.leaves_out(content.len()) {
                room_for(content.len())?;
                self.out.grid_around(&head, fortran, content.len())?;
                self.apart = Some(content);
            } else {
                self.make_room(content.len())?;
                let out = &mut self.out;
                content.read(|bytes| out.grid(&head, fortran, bytes))?;
            }
            is_written = true;
        }
        self.arrays.push(address);
        Ok(is_written)
    }

    /// Writes a large `array.array`, which a pickle would hold several times. False for a short one, and for anything else.
    pub(super) fn array(&mut self, value: &Bound<'py, PyAny>) -> Result<bool, Stop> {
        if !is_of(value, "array", "array", &MACHINE_ARRAY)? {
            return Ok(false);
        }
        let Some(content) = Content::of(value)?.filter(|content| content.len() >= LARGE) else { return Ok(false) };
        let code: char = value.getattr("typecode")?.extract()?;
        let Ok(typecode) = u8::try_from(code) else { return Ok(false) };
        self.enter_container(value)?;
        if !self.lend(&content, false, BufferForm::Array { typecode })? {
            self.make_room(content.len())?;
            let out = &mut self.out;
            content.read(|bytes| out.array(typecode, bytes))?;
        }
        Ok(true)
    }

    /// Writes an out-of-band buffer of a pickle.
    pub(super) fn pickle_buffer(&mut self, buffer: &Bound<'py, PyAny>) -> PyResult<()> {
        // Raw it has a shape, also where it has no dimension.
        let Some(content) = Content::of(&buffer.call_method0("raw")?)? else {
            return Err(PyBufferError::new_err("a buffer of a pickle does not lie in one piece"));
        };
        if !self.share_or_lend(&content, BufferForm::Raw)? {
            self.make_room(content.len())?;
            let (out, read_only) = (&mut self.out, content.is_read_only());
            let written = content.read(|bytes| if read_only { out.bytes(bytes) } else { out.byte_array(bytes) });
            written.map_err(unwritable)?;
        }
        drop(content);
        buffer.call_method0("release")?;
        Ok(())
    }
}

static NUMPY_ARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static MACHINE_ARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Whether `value` is exactly of a class that there is only once its module is loaded.
fn is_of(
    value: &Bound<'_, PyAny>,
    class: &str,
    module: &str,
    known: &'static PyOnceLock<Py<PyType>>,
) -> PyResult<bool> {
    let (py, kind) = (value.py(), value.get_type());
    if let Some(known) = known.get(py) {
        return Ok(kind.is(known));
    }
    if kind.name()? != class {
        return Ok(false);
    }
    let loaded = py.import("sys")?.getattr("modules")?.call_method1("get", (module,))?;
    if loaded.is_none() || !kind.is(&loaded.getattr(class)?) {
        return Ok(false);
    }
    let _ = known.set(py, kind.unbind()); // by another thread at the same time, to the same
    Ok(true)
}

/// Whether items of this format are told by it alone: those of this machine, without fields.
fn is_plain(format: &str) -> bool {
    matches!(format, "Zf" | "Zd") || (format.len() == 1 && "?bBhHiIlLqQefd".contains(format))
}

//! Writes values one part after another.
//! Owns: the smallest form of each. Must not know: where a value comes from; containers are walked by the caller.

use super::CodecError;
use super::big_int;
use super::format as f;
use super::token::{BufferForm, BufferHead, BufferPlace, ClassName, Flavour, ReferenceHead, ViewHead};

/// What stands before the payload of a long extension: its format, length and code.
const LONG_EXTENSION: usize = 6;

/// Appends values to a buffer. Each method writes one leaf, or the head of a container that its elements must follow.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Content that belongs into the buffer and is not there: where, and how much.
    left_out: Option<(usize, usize)>,
}

impl<'a> Writer<'a> {
    /// Writes at the end of `out`.
    #[must_use]
    #[inline]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, left_out: None }
    }

    /// The length of the buffer, to come back to by [`truncate`](Self::truncate).
    #[must_use]
    #[inline]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Has `grow` make room for so many bytes more: what follows is long.
    pub fn reserve(&mut self, more: usize, grow: fn(&mut Vec<u8>, usize)) {
        grow(self.out, more);
    }

    /// Takes back everything written since [`position`](Self::position) was this.
    #[inline]
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
        self.left_out = self.left_out.filter(|(at, _)| *at <= position);
    }

    /// Where content belongs that was left out.
    #[must_use]
    pub fn left_out(&self) -> Option<usize> {
        self.left_out.map(|(at, _)| at)
    }

    /// Content of `len` bytes belongs here and is put there by others. Once in a buffer.
    fn leave_out(&mut self, len: usize) {
        debug_assert!(self.left_out.is_none(), "content was left out before");
        self.left_out = Some((self.out.len(), len));
    }

    /// Appends values that are encoded already.
    #[inline]
    pub fn encoded(&mut self, values: &[u8]) {
        self.out.extend_from_slice(values);
    }

    /// Nothing.
    #[inline]
    pub fn nil(&mut self) {
        self.out.push(f::NIL);
    }

    /// A truth value.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { f::TRUE } else { f::FALSE });
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        if let Ok(value) = u64::try_from(value) {
            self.unsigned(value);
        } else if value >= -32 {
            let [low, ..] = value.to_le_bytes();
            self.out.push(low);
        } else if let Ok(value) = i8::try_from(value) {
            self.head(f::INT8, value.to_be_bytes());
        } else if let Ok(value) = i16::try_from(value) {
            self.head(f::INT16, value.to_be_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.head(f::INT32, value.to_be_bytes());
        } else {
            self.head(f::INT64, value.to_be_bytes());
        }
    }

    /// An integer without sign.
    #[inline]
    pub fn unsigned(&mut self, value: u64) {
        if let Ok(value) = u8::try_from(value) {
            if value < 0x80 {
                self.out.push(value);
            } else {
                self.head(f::UINT8, [value]);
            }
        } else if let Ok(value) = u16::try_from(value) {
            self.head(f::UINT16, value.to_be_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.head(f::UINT32, value.to_be_bytes());
        } else {
            self.head(f::UINT64, value.to_be_bytes());
        }
    }

    /// An integer of any size: two's complement, least significant byte first, at most 4 KiB. One that fits 64 bits is
    /// written as such.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if it is longer, or empty.
    pub fn big_int(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        if bytes.is_empty() {
            return Err(CodecError::TooLong { what: "an integer", len: 0 });
        }
        match big_int::token(bytes) {
            super::Token::Int(value) => self.int(value),
            super::Token::Unsigned(value) => self.unsigned(value),
            _ => {
                let bytes = big_int::shortest(bytes);
                if bytes.len() > f::BIG_INT_MAX {
                    return Err(CodecError::TooLong { what: "an integer", len: bytes.len() });
                }
                self.extension(f::BIG_INT, &[], bytes)?;
            }
        }
        Ok(())
    }

    /// A number with a fraction.
    #[inline]
    pub fn float(&mut self, value: f64) {
        self.head(f::FLOAT64, value.to_be_bytes());
    }

    /// A complex number.
    pub fn complex(&mut self, real: f64, imaginary: f64) {
        self.head(f::FIXEXT16, [f::COMPLEX]);
        self.out.extend_from_slice(&real.to_le_bytes());
        self.out.extend_from_slice(&imaginary.to_le_bytes());
    }

    /// Text.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 4 GiB.
    #[inline]
    pub fn str(&mut self, value: &str) -> Result<(), CodecError> {
        let len = value.len();
        match u8::try_from(len) {
            Ok(short @ 0..32) => self.out.push(f::FIXSTR | short),
            Ok(short) => self.head(f::STR8, [short]),
            Err(_) => self.long_head("text", f::STR16, f::STR32, len)?,
        }
        self.out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 4 GiB.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) -> Result<(), CodecError> {
        self.bytes_head(value.len())?;
        self.out.extend_from_slice(value);
        Ok(())
    }

    /// The same for `len` bytes that are left out.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn bytes_around(&mut self, len: usize) -> Result<(), CodecError> {
        self.bytes_head(len)?;
        self.leave_out(len);
        Ok(())
    }

    #[inline]
    fn bytes_head(&mut self, len: usize) -> Result<(), CodecError> {
        match u8::try_from(len) {
            Ok(short) => self.head(f::BIN8, [short]),
            Err(_) => self.long_head("bytes", f::BIN16, f::BIN32, len)?,
        }
        Ok(())
    }

    /// Bytes that may be changed.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 4 GiB.
    pub fn byte_array(&mut self, value: &[u8]) -> Result<(), CodecError> {
        self.extension(f::BYTE_ARRAY, &[], value)
    }

    /// The same for `len` bytes that are left out.
    ///
    /// # Errors
    /// As [`byte_array`](Self::byte_array).
    pub fn byte_array_around(&mut self, len: usize) -> Result<(), CodecError> {
        self.extension_head(f::BYTE_ARRAY, &[], len)?;
        self.leave_out(len);
        Ok(())
    }

    /// A view of memory. `data` is its content in C order without gaps.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 4 GiB, 64 dimensions or 255 bytes of format.
    pub fn memory_view(&mut self, head: &ViewHead, data: &[u8]) -> Result<(), CodecError> {
        let mut payload = vec![u8::from(head.read_only)];
        write_shape(&mut payload, &head.format, &head.shape)?;
        self.extension(f::MEMORY_VIEW, &payload, data)
    }

    /// An array of several dimensions. `data` is its content in its order, without gaps.
    ///
    /// # Errors
    /// As [`memory_view`](Self::memory_view).
    pub fn grid(&mut self, head: &ViewHead, fortran: bool, data: &[u8]) -> Result<(), CodecError> {
        self.grid_head(head, fortran, data.len())?;
        self.out.extend_from_slice(data);
        Ok(())
    }

    /// The same for `len` bytes of content that are left out.
    ///
    /// # Errors
    /// As [`grid`](Self::grid).
    pub fn grid_around(&mut self, head: &ViewHead, fortran: bool, len: usize) -> Result<(), CodecError> {
        self.grid_head(head, fortran, len)?;
        self.leave_out(len);
        Ok(())
    }

    fn grid_head(&mut self, head: &ViewHead, fortran: bool, len: usize) -> Result<(), CodecError> {
        let mut payload = Vec::with_capacity(64);
        payload.extend_from_slice(&[u8::from(fortran), 0, u8::from(head.read_only)]);
        write_shape(&mut payload, &head.format, &head.shape)?;
        if len >= f::LONG_GRID {
            let before = self.out.len().saturating_add(self.left_out.map_or(0, |(_, len)| len));
            let content = before.saturating_add(LONG_EXTENSION).saturating_add(payload.len());
            let zeros = content.wrapping_neg() % f::GRID_ALIGNMENT;
            payload.resize(payload.len().saturating_add(zeros), 0);
            if let (Some(told), [zeros, ..]) = (payload.get_mut(1), zeros.to_le_bytes()) {
                *told = zeros;
            }
        }
        self.extension_head(f::GRID, &payload, len)
    }

    /// An array of machine values.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 4 GiB.
    pub fn array(&mut self, typecode: u8, data: &[u8]) -> Result<(), CodecError> {
        self.extension(f::ARRAY, &[typecode], data)
    }

    /// Content in shared memory.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 64 dimensions or 255 bytes of format.
    pub fn buffer(&mut self, head: &BufferHead) -> Result<(), CodecError> {
        let mut payload = Vec::with_capacity(40);
        let (place, first, second) = match head.place {
            BufferPlace::Lent { slot, generation } => (f::LENT, u64::from(slot), u64::from(generation)),
            BufferPlace::Shared { number, offset } => (f::SHARED, number, offset),
        };
        let form = match &head.form {
            BufferForm::Raw => f::RAW,
            BufferForm::Bytes => f::AS_BYTES,
            BufferForm::ByteArray => f::AS_BYTE_ARRAY,
            BufferForm::View { .. } => f::AS_VIEW,
            BufferForm::Array { .. } => f::AS_ARRAY,
            BufferForm::Grid { .. } => f::AS_GRID,
        };
        payload.extend_from_slice(&[place, u8::from(head.read_only), form]);
        for word in [first, second, head.len] {
            payload.extend_from_slice(&word.to_le_bytes());
        }
        match &head.form {
            BufferForm::View { format, shape } => write_shape(&mut payload, format, shape)?,
            BufferForm::Array { typecode } => payload.push(*typecode),
            BufferForm::Grid { fortran, format, shape } => {
                payload.push(u8::from(*fortran));
                write_shape(&mut payload, format, shape)?;
            }
            BufferForm::Raw | BufferForm::Bytes | BufferForm::ByteArray => {}
        }
        self.extension(f::BUFFER, &payload, &[])
    }

    /// A list; `len` values must follow.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 2³² values.
    #[inline]
    pub fn begin_list(&mut self, len: usize) -> Result<(), CodecError> {
        match u8::try_from(len) {
            Ok(short @ 0..16) => self.out.push(f::FIXARRAY | short),
            _ => self.long_head("a list", f::ARRAY16, f::ARRAY32, len)?,
        }
        Ok(())
    }

    /// A map; `len` pairs of values must follow.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 2³² pairs.
    #[inline]
    pub fn begin_map(&mut self, len: usize) -> Result<(), CodecError> {
        match u8::try_from(len) {
            Ok(short @ 0..16) => self.out.push(f::FIXMAP | short),
            _ => self.long_head("a map", f::MAP16, f::MAP32, len)?,
        }
        Ok(())
    }

    /// A tuple; `len` values must follow.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 2³² values.
    #[inline]
    pub fn begin_tuple(&mut self, len: usize) -> Result<(), CodecError> {
        self.counted(f::TUPLE, len)
    }

    /// A set; `len` values must follow.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 2³² values.
    pub fn begin_set(&mut self, len: usize) -> Result<(), CodecError> {
        self.counted(f::SET, len)
    }

    /// A frozen set; `len` values must follow.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 2³² values.
    pub fn begin_frozen_set(&mut self, len: usize) -> Result<(), CodecError> {
        self.counted(f::FROZEN_SET, len)
    }

    /// A reference; as many values must follow as [`ReferenceHead::children`] says.
    pub fn reference(&mut self, head: &ReferenceHead) {
        match *head {
            ReferenceHead::Offer { object, class, described } => {
                self.reference_head(f::OFFER, 14, object.0);
                self.out.extend_from_slice(&class.to_le_bytes());
                self.out.push(u8::from(described));
            }
            ReferenceHead::Home { object } => self.reference_head(f::HOME, 9, object.0),
            ReferenceHead::Place { object, steps, values } => {
                self.reference_head(f::PLACE, 15, object.0);
                self.out.extend_from_slice(&steps.to_le_bytes());
                self.out.extend_from_slice(&values.to_le_bytes());
            }
            ReferenceHead::Receiver => self.head(f::FIXEXT1, [f::REFERENCE, f::RECEIVER]),
            ReferenceHead::Promise { call } => self.reference_head(f::PROMISE, 9, call.0),
        }
    }

    /// A pickle; `references` references, `buffers` buffers (`bytes` read-only, `byte_array` writable) and one `bytes`
    /// with the pickle must follow.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 65,535 of either.
    pub fn begin_pickle(&mut self, flavour: Flavour, references: usize, buffers: usize) -> Result<(), CodecError> {
        let (Ok(references), Ok(buffers)) = (u16::try_from(references), u16::try_from(buffers)) else {
            return Err(CodecError::TooLong { what: "the table of a pickle", len: references.max(buffers) });
        };
        self.head(f::EXT8, [5, f::PICKLE, flavour.code()]);
        self.out.extend_from_slice(&references.to_le_bytes());
        self.out.extend_from_slice(&buffers.to_le_bytes());
        Ok(())
    }

    /// A plain instance; its class must follow, see [`class`](Self::class), then `len` pairs of the name of an attribute, as
    /// text, and its value.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 2³² attributes.
    #[inline]
    pub fn begin_instance(&mut self, len: usize) -> Result<(), CodecError> {
        self.counted(f::INSTANCE, len)
    }

    /// The class of an instance.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] beyond 4 GiB.
    #[inline]
    pub fn class(&mut self, class: ClassName<'_>) -> Result<(), CodecError> {
        match class {
            ClassName::Imported { module, qualname } => {
                self.str(module)?;
                self.str(qualname)
            }
            ClassName::Defined { name, definition } => {
                self.str(name)?;
                self.bytes(definition)
            }
        }
    }

    #[inline]
    fn head<const N: usize>(&mut self, format: u8, rest: [u8; N]) {
        self.out.push(format);
        self.out.extend_from_slice(&rest);
    }

    fn long_head(&mut self, what: &'static str, short: u8, long: u8, len: usize) -> Result<(), CodecError> {
        if let Ok(len) = u16::try_from(len) {
            self.head(short, len.to_be_bytes());
        } else if let Ok(len) = u32::try_from(len) {
            self.head(long, len.to_be_bytes());
        } else {
            return Err(CodecError::TooLong { what, len });
        }
        Ok(())
    }

    #[inline]
    fn counted(&mut self, code: u8, len: usize) -> Result<(), CodecError> {
        if let Ok(len) = u8::try_from(len) {
            self.head(f::FIXEXT1, [code, len]);
        } else if let Ok(len) = u32::try_from(len) {
            self.head(f::FIXEXT4, [code]);
            self.out.extend_from_slice(&len.to_le_bytes());
        } else {
            return Err(CodecError::TooLong { what: "a container", len });
        }
        Ok(())
    }

    fn reference_head(&mut self, kind: u8, len: u8, id: u64) {
        self.head(f::EXT8, [len, f::REFERENCE, kind]);
        self.out.extend_from_slice(&id.to_le_bytes());
    }

    /// An extension whose payload is `first` and `second` together.
    fn extension(&mut self, code: u8, first: &[u8], second: &[u8]) -> Result<(), CodecError> {
        self.extension_head(code, first, second.len())?;
        self.out.extend_from_slice(second);
        Ok(())
    }

    /// All of an extension but the last `more` bytes of its payload.
    fn extension_head(&mut self, code: u8, first: &[u8], more: usize) -> Result<(), CodecError> {
        let len = first.len().saturating_add(more);
        let fixed = match len {
            1 => Some(f::FIXEXT1),
            2 => Some(f::FIXEXT2),
            4 => Some(f::FIXEXT4),
            8 => Some(f::FIXEXT8),
            16 => Some(f::FIXEXT16),
            _ => None,
        };
        match (fixed, u8::try_from(len)) {
            (Some(format), _) => self.out.push(format),
            (None, Ok(len)) => self.head(f::EXT8, [len]),
            (None, Err(_)) => self.long_head("a payload", f::EXT16, f::EXT32, len)?,
        }
        self.out.push(code);
        self.out.extend_from_slice(first);
        Ok(())
    }
}

/// Dimensions, length of the format, format, lengths.
fn write_shape(payload: &mut Vec<u8>, format: &str, shape: &[u64]) -> Result<(), CodecError> {
    let dimensions = shape.len();
    let (Ok(format_len), true) = (u8::try_from(format.len()), dimensions <= f::DIMENSIONS_MAX) else {
        return Err(CodecError::TooLong { what: "the form of a memory view", len: format.len().max(dimensions) });
    };
    let [ndim, ..] = dimensions.to_le_bytes();
    payload.extend_from_slice(&[ndim, format_len]);
    payload.extend_from_slice(format.as_bytes());
    for len in shape {
        payload.extend_from_slice(&len.to_le_bytes());
    }
    Ok(())
}

//! Reads values one part after another, borrowing from the bytes.
//! Owns: every check of what a peer may write. Must not know: what becomes of a value; containers are walked by the
//! caller. Nothing here allocates by an announced length.

use super::CodecError;
use super::big_int;
use super::format as f;
use super::token::{BufferForm, BufferHead, BufferPlace, ClassName, Flavour, ReferenceHead, Token, ViewHead};
use crate::ids::{CallId, ObjectId};

/// What a reader accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How deeply values may be nested.
    pub max_depth: usize,
    /// The longest message in bytes.
    pub max_message: usize,
}

impl Default for Limits {
    /// 64 levels, 1 GiB.
    fn default() -> Self {
        Self { max_depth: 64, max_message: 1 << 30 }
    }
}

/// Gives the parts of the values in a buffer, in order.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
    depth: usize,
    limits: Limits,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the beginning.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self { rest: bytes, total: bytes.len(), depth: 0, limits }
    }

    /// How many bytes were read.
    #[must_use]
    #[inline]
    pub fn position(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// How many bytes are left.
    #[must_use]
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was read.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// To be called before the elements of a container are read, with [`leave`](Self::leave) after them.
    ///
    /// # Errors
    /// [`CodecError::TooDeep`].
    #[inline]
    pub fn enter(&mut self) -> Result<(), CodecError> {
        if self.depth >= self.limits.max_depth {
            return Err(CodecError::TooDeep { max: self.limits.max_depth });
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    /// To be called after the elements of a container were read.
    #[inline]
    pub fn leave(&mut self) {
        debug_assert!(self.depth > 0, "left more containers than were entered");
        self.depth = self.depth.saturating_sub(1);
    }

    /// Reads the next part. The number of elements of a container is at most the number of bytes that are left.
    ///
    /// # Errors
    /// [`CodecError`]; the reader is of no use afterwards.
    #[inline]
    pub fn next_token(&mut self) -> Result<Token<'a>, CodecError> {
        let Some((&byte, rest)) = self.rest.split_first() else { return Err(self.truncated()) };
        let before = std::mem::replace(&mut self.rest, rest);
        match byte {
            0x00..=0x7f => Ok(Token::Int(i64::from(byte))),
            0xe0..=0xff => Ok(Token::Int(i64::from(byte.cast_signed()))),
            0xa0..=0xbf => self.str(usize::from(byte & 0x1f)),
            0x90..=0x9f => self.container(Token::List, usize::from(byte & 0x0f), 1),
            0x80..=0x8f => self.container(Token::Map, usize::from(byte & 0x0f), 2),
            f::NIL => Ok(Token::Nil),
            f::FALSE => Ok(Token::Bool(false)),
            f::TRUE => Ok(Token::Bool(true)),
            f::FLOAT64 => Ok(Token::Float(f64::from_be_bytes(self.array()?))),
            _ => self.longer(byte, before),
        }
    }

    fn longer(&mut self, byte: u8, before: &'a [u8]) -> Result<Token<'a>, CodecError> {
        match byte {
            f::UINT8 => Ok(Token::Int(i64::from(u8::from_be_bytes(self.array()?)))),
            f::UINT16 => Ok(Token::Int(i64::from(u16::from_be_bytes(self.array()?)))),
            f::UINT32 => Ok(Token::Int(i64::from(u32::from_be_bytes(self.array()?)))),
            f::UINT64 => {
                let value = u64::from_be_bytes(self.array()?);
                Ok(i64::try_from(value).map_or(Token::Unsigned(value), Token::Int))
            }
            f::INT8 => Ok(Token::Int(i64::from(i8::from_be_bytes(self.array()?)))),
            f::INT16 => Ok(Token::Int(i64::from(i16::from_be_bytes(self.array()?)))),
            f::INT32 => Ok(Token::Int(i64::from(i32::from_be_bytes(self.array()?)))),
            f::INT64 => Ok(Token::Int(i64::from_be_bytes(self.array()?))),
            f::STR8 | f::STR16 | f::STR32 => {
                let len = self.len(byte, f::STR8)?;
                self.str(len)
            }
            f::BIN8 | f::BIN16 | f::BIN32 => {
                let len = self.len(byte, f::BIN8)?;
                Ok(Token::Bytes(self.take(len)?))
            }
            f::ARRAY16 | f::ARRAY32 => {
                let len = self.len(byte, f::ARRAY16.wrapping_sub(1))?;
                self.container(Token::List, len, 1)
            }
            f::MAP16 | f::MAP32 => {
                let len = self.len(byte, f::MAP16.wrapping_sub(1))?;
                self.container(Token::Map, len, 2)
            }
            f::FIXEXT1 | f::FIXEXT2 | f::FIXEXT4 | f::FIXEXT8 | f::FIXEXT16 => {
                self.extension(1_usize << byte.wrapping_sub(f::FIXEXT1))
            }
            f::EXT8 | f::EXT16 | f::EXT32 => {
                let len = self.len(byte, f::EXT8)?;
                self.extension(len)
            }
            _ => Err(CodecError::UnknownFormat { byte, position: self.total.saturating_sub(before.len()) }),
        }
    }

    /// A length of 1, 2 or 4 bytes, by how far `byte` is from the format with 1.
    fn len(&mut self, byte: u8, one: u8) -> Result<usize, CodecError> {
        let len = match byte.wrapping_sub(one) {
            0 => u32::from(u8::from_be_bytes(self.array()?)),
            1 => u32::from(u16::from_be_bytes(self.array()?)),
            _ => u32::from_be_bytes(self.array()?),
        };
        Ok(usize::try_from(len).unwrap_or(usize::MAX))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let Some((array, rest)) = self.rest.split_first_chunk() else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn str(&mut self, len: usize) -> Result<Token<'a>, CodecError> {
        let position = self.position();
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map(Token::Str).map_err(|_| CodecError::NotText { position })
    }

    /// A container whose elements take `each` values; every value takes a byte at least.
    #[inline]
    fn container(
        &self,
        token: impl FnOnce(usize) -> Token<'a>,
        len: usize,
        each: usize,
    ) -> Result<Token<'a>, CodecError> {
        self.check_elements(len.saturating_mul(each))?;
        Ok(token(len))
    }

    #[inline]
    fn check_elements(&self, len: usize) -> Result<(), CodecError> {
        let remaining = self.rest.len();
        if len > remaining {
            return Err(CodecError::TooManyElements { len, position: self.position(), remaining });
        }
        Ok(())
    }

    fn extension(&mut self, len: usize) -> Result<Token<'a>, CodecError> {
        let position = self.position();
        let [code] = self.array()?;
        let payload = self.take(len)?;
        let malformed = |name| CodecError::Malformed { name, position };
        match code {
            f::TUPLE => self.counted(Token::Tuple, payload).ok_or(malformed("tuple"))?,
            f::SET => self.counted(Token::Set, payload).ok_or(malformed("set"))?,
            f::FROZEN_SET => self.counted(Token::FrozenSet, payload).ok_or(malformed("frozen set"))?,
            f::BIG_INT if matches!(len, 1..=f::BIG_INT_MAX) => Ok(big_int::token(payload)),
            f::BIG_INT => Err(malformed("integer")),
            f::COMPLEX => complex(payload).ok_or(malformed("complex")),
            f::BYTE_ARRAY => Ok(Token::ByteArray(payload)),
            f::GRID => grid(payload).ok_or(malformed("array of several dimensions")),
            f::MEMORY_VIEW => view(payload).ok_or(malformed("memory view")),
            f::REFERENCE => {
                let head = reference(payload).ok_or(malformed("reference"))?;
                self.check_elements(head.children())?;
                Ok(Token::Reference(head))
            }
            f::PICKLE => {
                let token = pickle(payload).ok_or(malformed("pickle"))?;
                self.check_elements(token.children())?;
                Ok(token)
            }
            f::INSTANCE => {
                let token = Token::Instance(count(payload).ok_or(malformed("instance"))?);
                self.check_elements(token.children())?;
                Ok(token)
            }
            f::BUFFER => buffer(payload).ok_or(malformed("buffer")),
            f::ARRAY => match payload {
                [typecode, data @ ..] => Ok(Token::Array { typecode: *typecode, data }),
                [] => Err(malformed("array")),
            },
            _ => Err(CodecError::UnknownExtension { code, position }),
        }
    }

    /// A container whose payload is its count. None if it is not.
    fn counted(&self, token: impl FnOnce(usize) -> Token<'a>, payload: &[u8]) -> Option<Result<Token<'a>, CodecError>> {
        Some(self.container(token, count(payload)?, 1))
    }

    #[cold]
    fn truncated(&self) -> CodecError {
        CodecError::Truncated { position: self.total }
    }

    /// Reads past one value, whatever it is.
    ///
    /// # Errors
    /// [`CodecError`], also where it is nested too deeply.
    pub fn skip_value(&mut self) -> Result<(), CodecError> {
        self.walk(|_| ())
    }

    /// Reads one value and shows each part of it, without recursion.
    pub(super) fn walk(&mut self, mut look: impl FnMut(&Token<'a>)) -> Result<(), CodecError> {
        let mut open: Vec<usize> = Vec::new();
        loop {
            let token = self.next_token()?;
            look(&token);
            let children = token.children();
            if children > 0 {
                if self.depth.saturating_add(open.len()) >= self.limits.max_depth {
                    return Err(CodecError::TooDeep { max: self.limits.max_depth });
                }
                open.push(children);
                continue;
            }
            while let Some(left) = open.last_mut() {
                *left = left.saturating_sub(1);
                if *left > 0 {
                    break;
                }
                open.pop();
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads one integer.
    ///
    /// # Errors
    /// [`CodecError::Unexpected`] if it is something else.
    #[inline]
    pub fn read_int(&mut self) -> Result<i64, CodecError> {
        match self.next_token()? {
            Token::Int(value) => Ok(value),
            _ => Err(CodecError::Unexpected("an integer")),
        }
    }

    /// Reads one text.
    ///
    /// # Errors
    /// [`CodecError::Unexpected`] if it is something else.
    #[inline]
    pub fn read_str(&mut self) -> Result<&'a str, CodecError> {
        match self.next_token()? {
            Token::Str(value) => Ok(value),
            _ => Err(CodecError::Unexpected("text")),
        }
    }

    /// Reads which class an instance is of.
    ///
    /// # Errors
    /// [`CodecError::Unexpected`] if that is not said.
    #[inline]
    pub fn read_class(&mut self) -> Result<ClassName<'a>, CodecError> {
        let first = self.read_str()?;
        match self.next_token()? {
            Token::Str(qualname) => Ok(ClassName::Imported { module: first, qualname }),
            Token::Bytes(definition) => Ok(ClassName::Defined { name: first, definition }),
            _ => Err(CodecError::Unexpected("the name or the definition of a class")),
        }
    }

    /// Reads the head of a list and gives its length.
    ///
    /// # Errors
    /// [`CodecError::Unexpected`] if it is something else.
    #[inline]
    pub fn read_list_len(&mut self) -> Result<usize, CodecError> {
        match self.next_token()? {
            Token::List(len) => Ok(len),
            _ => Err(CodecError::Unexpected("a list")),
        }
    }

    /// Reads the head of a map and gives the number of its pairs.
    ///
    /// # Errors
    /// [`CodecError::Unexpected`] if it is something else.
    #[inline]
    pub fn read_map_len(&mut self) -> Result<usize, CodecError> {
        match self.next_token()? {
            Token::Map(len) => Ok(len),
            _ => Err(CodecError::Unexpected("a map")),
        }
    }

    /// Reads past one value and gives its bytes.
    ///
    /// # Errors
    /// As [`skip_value`](Self::skip_value).
    pub fn read_encoded(&mut self) -> Result<&'a [u8], CodecError> {
        let before = self.rest;
        self.skip_value()?;
        Ok(before.get(..before.len().saturating_sub(self.rest.len())).unwrap_or_default())
    }
}

/// A payload that is a count.
fn count(payload: &[u8]) -> Option<usize> {
    match *payload {
        [len] => Some(usize::from(len)),
        [a, b, c, d] => usize::try_from(u32::from_le_bytes([a, b, c, d])).ok(),
        _ => None,
    }
}

fn complex<'a>(payload: &[u8]) -> Option<Token<'a>> {
    let (real, rest) = payload.split_first_chunk()?;
    let imaginary = rest.try_into().ok()?;
    Some(Token::Complex(f64::from_le_bytes(*real), f64::from_le_bytes(imaginary)))
}

fn view(payload: &[u8]) -> Option<Token<'_>> {
    let (&[read_only @ 0..=1], rest) = payload.split_first_chunk()? else { return None };
    let (format, shape, data) = read_shape(rest)?;
    is_filled(&shape, u64::try_from(data.len()).ok()?).then_some(())?;
    Some(Token::View { head: ViewHead { read_only: read_only != 0, format, shape }, data })
}

fn grid(payload: &[u8]) -> Option<Token<'_>> {
    let (&[fortran @ 0..=1, zeros, read_only @ 0..=1], rest) = payload.split_first_chunk()? else { return None };
    let zeros = usize::from(zeros);
    let (format, shape, behind) = read_shape(rest)?;
    let (_, data) = behind.split_at_checked(zeros).filter(|_| zeros < f::GRID_ALIGNMENT)?;
    is_filled(&shape, u64::try_from(data.len()).ok()?).then_some(())?;
    Some(Token::Grid { head: ViewHead { read_only: read_only != 0, format, shape }, fortran: fortran != 0, data })
}

/// Format and lengths, and what stands behind them.
fn read_shape(payload: &[u8]) -> Option<(String, Vec<u64>, &[u8])> {
    let (&[ndim, format_len], rest) = payload.split_first_chunk()?;
    let ndim = usize::from(ndim);
    if ndim > f::DIMENSIONS_MAX {
        return None;
    }
    let (format, rest) = rest.split_at_checked(usize::from(format_len))?;
    let (shape, data) = rest.split_at_checked(ndim.checked_mul(8)?)?;
    let (shape, _) = shape.as_chunks();
    let shape: Vec<u64> = shape.iter().map(|len| u64::from_le_bytes(*len)).collect();
    Some((std::str::from_utf8(format).ok()?.to_owned(), shape, data))
}

fn buffer(payload: &[u8]) -> Option<Token<'_>> {
    let (&[place, read_only @ 0..=1, form], rest) = payload.split_first_chunk()? else { return None };
    let (first, rest) = rest.split_first_chunk()?;
    let (second, rest) = rest.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (first, second, len) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second), u64::from_le_bytes(*len));
    let place = match place {
        f::LENT => BufferPlace::Lent { slot: first.try_into().ok()?, generation: second.try_into().ok()? },
        f::SHARED => BufferPlace::Shared { number: first, offset: second },
        _ => return None,
    };
    let form = match (form, rest) {
        (f::RAW, []) => BufferForm::Raw,
        (f::AS_BYTES, []) => BufferForm::Bytes,
        (f::AS_BYTE_ARRAY, []) => BufferForm::ByteArray,
        (f::AS_VIEW, rest) => {
            let (format, shape, behind) = read_shape(rest)?;
            (behind.is_empty() && is_filled(&shape, len)).then_some(BufferForm::View { format, shape })?
        }
        (f::AS_GRID, [fortran @ 0..=1, rest @ ..]) => {
            let (format, shape, behind) = read_shape(rest)?;
            let is_whole = behind.is_empty() && is_filled(&shape, len);
            is_whole.then_some(BufferForm::Grid { fortran: *fortran != 0, format, shape })?
        }
        (f::AS_ARRAY, [typecode]) => BufferForm::Array { typecode: *typecode },
        _ => return None,
    };
    Some(Token::Buffer(BufferHead { place, len, read_only: read_only != 0, form }))
}

/// Whether `len` bytes can be the content of a view of this shape, whatever the size of an item.
fn is_filled(shape: &[u64], len: u64) -> bool {
    if shape.contains(&0) {
        return len == 0;
    }
    let items = shape.iter().try_fold(1_u64, |items, len| items.checked_mul(*len));
    items.is_some_and(|items| len > 0 && len.is_multiple_of(items))
}

fn reference(payload: &[u8]) -> Option<ReferenceHead> {
    let (kind, rest) = payload.split_first()?;
    match *kind {
        f::OFFER => {
            let (id, rest) = rest.split_first_chunk()?;
            let &[a, b, c, d, described @ 0..=1] = rest else { return None };
            let object = ObjectId(u64::from_le_bytes(*id));
            // The bootstrap object is there anyway; an offer of it could not be counted.
            let is_offerable = object != ObjectId::BOOTSTRAP;
            let class = u32::from_le_bytes([a, b, c, d]);
            is_offerable.then_some(ReferenceHead::Offer { object, class, described: described != 0 })
        }
        f::HOME => Some(ReferenceHead::Home { object: ObjectId(u64::from_le_bytes(rest.try_into().ok()?)) }),
        f::PLACE => {
            let (id, rest) = rest.split_first_chunk()?;
            let &[s0, s1, a, b, c, d] = rest else { return None };
            let object = ObjectId(u64::from_le_bytes(*id));
            let values = u32::from_le_bytes([a, b, c, d]);
            Some(ReferenceHead::Place { object, steps: u16::from_le_bytes([s0, s1]), values })
        }
        f::RECEIVER => rest.is_empty().then_some(ReferenceHead::Receiver),
        f::PROMISE => Some(ReferenceHead::Promise { call: CallId(u64::from_le_bytes(rest.try_into().ok()?)) }),
        _ => None,
    }
}

fn pickle<'a>(payload: &[u8]) -> Option<Token<'a>> {
    let &[flavour, r0, r1, b0, b1] = payload else { return None };
    Some(Token::Pickle {
        flavour: Flavour::from_code(flavour)?,
        references: usize::from(u16::from_le_bytes([r0, r1])),
        buffers: usize::from(u16::from_le_bytes([b0, b1])),
    })
}

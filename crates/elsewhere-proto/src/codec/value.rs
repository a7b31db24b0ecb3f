//! Whole values as a tree, for programs without Python.
//! Owns: the tree and its way to bytes and back. Must not know: what a reference leads to.

use super::token::{BufferHead, ClassName, Flavour, ReferenceHead, Token, ViewHead};
use super::{CodecError, Limits, Reader, Writer};

/// One value. Sets and maps keep the order in which they were written and may hold equal elements.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 64 bits with sign.
    Int(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    /// Any integer: two's complement, least significant byte first.
    BigInt(Vec<u8>),
    /// A number with a fraction.
    Float(f64),
    /// Real and imaginary part.
    Complex(f64, f64),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Bytes that may be changed.
    ByteArray(Vec<u8>),
    /// A view of memory.
    View {
        /// Its form.
        head: ViewHead,
        /// Its content, in C order without gaps.
        data: Vec<u8>,
    },
    /// An array of machine values.
    Array {
        /// The letter that stands for the item type.
        typecode: u8,
        /// The items, little endian.
        data: Vec<u8>,
    },
    /// An array of several dimensions.
    Grid {
        /// Its form.
        head: ViewHead,
        /// Whether the first index changes fastest, not the last one.
        fortran: bool,
        /// Its content in this order, without gaps, little endian.
        data: Vec<u8>,
    },
    /// Content in memory that both sides share; only its name.
    Buffer(BufferHead),
    /// A list.
    List(Vec<Self>),
    /// A tuple.
    Tuple(Vec<Self>),
    /// A set.
    Set(Vec<Self>),
    /// A frozen set.
    FrozenSet(Vec<Self>),
    /// A map.
    Map(Vec<(Self, Self)>),
    /// A reference with what belongs to it: the descriptor of an offer, the steps of a place.
    Reference(ReferenceHead, Vec<Self>),
    /// A pickle.
    Pickle {
        /// Who made it.
        flavour: Flavour,
        /// References in it, by their number.
        references: Vec<Self>,
        /// Its buffers, by their number.
        buffers: Vec<Self>,
        /// The pickle itself: bytes, or a buffer.
        data: Box<Self>,
    },
    /// A plain instance of a class.
    Instance {
        /// The module of the class, or what is the same for all definitions of it.
        class: String,
        /// Its qualified name there as text, or its definition as bytes.
        of: Box<Self>,
        /// The attributes and their values, in the order of the sender.
        attributes: Vec<(String, Self)>,
    },
}

impl Value {
    /// Appends the value to `out`, in the smallest form. On failure `out` is as before.
    ///
    /// # Errors
    /// [`CodecError::TooDeep`], or [`CodecError::TooLong`] where a length does not fit.
    pub fn encode(&self, out: &mut Vec<u8>, limits: Limits) -> Result<(), CodecError> {
        let position = out.len();
        let written = self.write(&mut Writer::new(out), limits.max_depth, limits);
        if written.is_err() {
            out.truncate(position);
        }
        written
    }

    /// Reads the one value that `bytes` hold.
    ///
    /// # Errors
    /// [`CodecError`], also when bytes are left.
    pub fn decode(bytes: &[u8], limits: Limits) -> Result<Self, CodecError> {
        if bytes.len() > limits.max_message {
            return Err(CodecError::TooLarge { len: bytes.len(), max: limits.max_message });
        }
        let mut reader = Reader::new(bytes, limits);
        let value = Self::read(&mut reader)?;
        match reader.remaining() {
            0 => Ok(value),
            remaining => Err(CodecError::Trailing { remaining }),
        }
    }

    /// Reads one value.
    ///
    /// # Errors
    /// [`CodecError`]; the reader is of no use afterwards.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let token = reader.next_token()?;
        if token.children() == 0 {
            return Ok(Self::leaf(&token));
        }
        reader.enter()?;
        let value = Self::container(reader, &token)?;
        reader.leave();
        Ok(value)
    }

    /// The value of a token that nothing follows.
    fn leaf(token: &Token<'_>) -> Self {
        match token {
            Token::Nil => Self::Nil,
            Token::Bool(value) => Self::Bool(*value),
            Token::Int(value) => Self::Int(*value),
            Token::Unsigned(value) => Self::Unsigned(*value),
            Token::BigInt(bytes) => Self::BigInt(bytes.to_vec()),
            Token::Float(value) => Self::Float(*value),
            Token::Complex(real, imaginary) => Self::Complex(*real, *imaginary),
            Token::Str(text) => Self::Str((*text).to_owned()),
            Token::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Token::ByteArray(bytes) => Self::ByteArray(bytes.to_vec()),
            Token::View { head, data } => Self::View { head: head.clone(), data: data.to_vec() },
            Token::Grid { head, fortran, data } => {
                Self::Grid { head: head.clone(), fortran: *fortran, data: data.to_vec() }
            }
            Token::Array { typecode, data } => Self::Array { typecode: *typecode, data: data.to_vec() },
            Token::Buffer(head) => Self::Buffer(head.clone()),
            Token::List(_) => Self::List(Vec::new()),
            Token::Tuple(_) => Self::Tuple(Vec::new()),
            Token::Set(_) => Self::Set(Vec::new()),
            Token::FrozenSet(_) => Self::FrozenSet(Vec::new()),
            Token::Map(_) => Self::Map(Vec::new()),
            Token::Reference(head) => Self::Reference(*head, Vec::new()),
            Token::Pickle { flavour, .. } => Self::Pickle {
                flavour: *flavour,
                references: Vec::new(),
                buffers: Vec::new(),
                data: Box::new(Self::Nil),
            },
            Token::Instance(_) => {
                Self::Instance { class: String::new(), of: Box::new(Self::Nil), attributes: Vec::new() }
            }
        }
    }

    fn container(reader: &mut Reader<'_>, token: &Token<'_>) -> Result<Self, CodecError> {
        Ok(match *token {
            Token::List(len) => Self::List(Self::several(reader, len)?),
            Token::Tuple(len) => Self::Tuple(Self::several(reader, len)?),
            Token::Set(len) => Self::Set(Self::several(reader, len)?),
            Token::FrozenSet(len) => Self::FrozenSet(Self::several(reader, len)?),
            Token::Map(len) => {
                let mut pairs = Vec::new();
                for _ in 0..len {
                    pairs.push((Self::read(reader)?, Self::read(reader)?));
                }
                Self::Map(pairs)
            }
            Token::Reference(head) => Self::Reference(head, Self::several(reader, head.children())?),
            Token::Pickle { flavour, references, buffers } => {
                let references = Self::several(reader, references)?;
                let buffers = Self::several(reader, buffers)?;
                let data = match reader.next_token()? {
                    token @ (Token::Bytes(_) | Token::Buffer(_)) => Box::new(Self::leaf(&token)),
                    _ => return Err(CodecError::Unexpected("the bytes of a pickle")),
                };
                Self::Pickle { flavour, references, buffers, data }
            }
            Token::Instance(len) => {
                let (class, of) = match reader.read_class()? {
                    ClassName::Imported { module, qualname } => (module, qualname.into()),
                    ClassName::Defined { name, definition } => (name, definition.into()),
                };
                let mut attributes = Vec::new();
                for _ in 0..len {
                    attributes.push((reader.read_str()?.to_owned(), Self::read(reader)?));
                }
                Self::Instance { class: class.to_owned(), of: Box::new(of), attributes }
            }
            ref leaf => Self::leaf(leaf),
        })
    }

    /// The vector grows with what is there, not with what was announced.
    fn several(reader: &mut Reader<'_>, len: usize) -> Result<Vec<Self>, CodecError> {
        let mut values = Vec::new();
        for _ in 0..len {
            values.push(Self::read(reader)?);
        }
        Ok(values)
    }

    fn write(&self, out: &mut Writer<'_>, levels: usize, limits: Limits) -> Result<(), CodecError> {
        match self {
            Self::Nil => out.nil(),
            Self::Bool(value) => out.bool(*value),
            Self::Int(value) => out.int(*value),
            Self::Unsigned(value) => out.unsigned(*value),
            Self::BigInt(bytes) => out.big_int(bytes)?,
            Self::Float(value) => out.float(*value),
            Self::Complex(real, imaginary) => out.complex(*real, *imaginary),
            Self::Str(text) => out.str(text)?,
            Self::Bytes(bytes) => out.bytes(bytes)?,
            Self::ByteArray(bytes) => out.byte_array(bytes)?,
            Self::View { head, data } => out.memory_view(head, data)?,
            Self::Grid { head, fortran, data } => out.grid(head, *fortran, data)?,
            Self::Array { typecode, data } => out.array(*typecode, data)?,
            Self::Buffer(head) => out.buffer(head)?,
            Self::List(values) => {
                out.begin_list(values.len())?;
                Self::write_all(values, out, levels, limits)?;
            }
            Self::Tuple(values) => {
                out.begin_tuple(values.len())?;
                Self::write_all(values, out, levels, limits)?;
            }
            Self::Set(values) => {
                out.begin_set(values.len())?;
                Self::write_all(values, out, levels, limits)?;
            }
            Self::FrozenSet(values) => {
                out.begin_frozen_set(values.len())?;
                Self::write_all(values, out, levels, limits)?;
            }
            Self::Map(pairs) => {
                out.begin_map(pairs.len())?;
                for (key, value) in pairs {
                    Self::write_all([key, value], out, levels, limits)?;
                }
            }
            Self::Reference(head, values) => {
                if head.children() != values.len() {
                    return Err(CodecError::Unexpected("as many values as the reference announces"));
                }
                out.reference(head);
                Self::write_all(values, out, levels, limits)?;
            }
            Self::Pickle { flavour, references, buffers, data } => {
                out.begin_pickle(*flavour, references.len(), buffers.len())?;
                Self::write_all(references.iter().chain(buffers), out, levels, limits)?;
                if !matches!(**data, Self::Bytes(_) | Self::Buffer(_)) {
                    return Err(CodecError::Unexpected("the bytes of a pickle"));
                }
                Self::write_all([&**data], out, levels, limits)?;
            }
            Self::Instance { class, of, attributes } => {
                out.begin_instance(attributes.len())?;
                // Its texts are values inside of it, as those of a map are.
                levels.checked_sub(1).ok_or(CodecError::TooDeep { max: limits.max_depth })?;
                out.class(match &**of {
                    Self::Str(qualname) => ClassName::Imported { module: class, qualname },
                    Self::Bytes(definition) => ClassName::Defined { name: class, definition },
                    _ => return Err(CodecError::Unexpected("the name or the definition of a class")),
                })?;
                for (name, value) in attributes {
                    out.str(name)?;
                    Self::write_all([value], out, levels, limits)?;
                }
            }
        }
        Ok(())
    }

    fn write_all<'v>(
        values: impl IntoIterator<Item = &'v Self>,
        out: &mut Writer<'_>,
        levels: usize,
        limits: Limits,
    ) -> Result<(), CodecError> {
        for value in values {
            let levels = levels.checked_sub(1).ok_or(CodecError::TooDeep { max: limits.max_depth })?;
            value.write(out, levels, limits)?;
        }
        Ok(())
    }
}

macro_rules! from {
    ($($source:ty => |$value:ident| $made:expr;)*) => {
        $(
            impl From<$source> for Value {
                fn from($value: $source) -> Self {
                    $made
                }
            }
        )*
    };
}

from! {
    bool => |value| Self::Bool(value);
    i64 => |value| Self::Int(value);
    i32 => |value| Self::Int(i64::from(value));
    u32 => |value| Self::Int(i64::from(value));
    u64 => |value| i64::try_from(value).map_or(Self::Unsigned(value), Self::Int);
    f64 => |value| Self::Float(value);
    &str => |value| Self::Str(value.to_owned());
    String => |value| Self::Str(value);
    Vec<u8> => |value| Self::Bytes(value);
    &[u8] => |value| Self::Bytes(value.to_vec());
    Vec<Self> => |value| Self::List(value);
    Vec<(Self, Self)> => |value| Self::Map(value);
    ReferenceHead => |value| Self::Reference(value, Vec::new());
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

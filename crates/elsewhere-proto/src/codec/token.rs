//! The parts that a value consists of when it is read or written one after another.
//! Owns: their types. Must not know: their bytes.

use crate::ids::{CallId, ObjectId};

/// One step of reading. A token that is no leaf is followed by the values inside it, as many as
/// [`children`](Token::children) says.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    /// Nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 64 bits with sign.
    Int(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    /// Any larger integer: two's complement, least significant byte first, as short as possible.
    BigInt(&'a [u8]),
    /// A number of 64 bits with a fraction.
    Float(f64),
    /// Real and imaginary part.
    Complex(f64, f64),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Bytes that may be changed.
    ByteArray(&'a [u8]),
    /// A view of memory.
    View {
        /// Its form.
        head: ViewHead,
        /// Its content, in C order without gaps.
        data: &'a [u8],
    },
    /// An array of machine values.
    Array {
        /// The letter that stands for the item type.
        typecode: u8,
        /// The items in the machine's own form, little endian.
        data: &'a [u8],
    },
    /// An array of several dimensions, as numpy has it.
    Grid {
        /// Its form.
        head: ViewHead,
        /// Whether the first index changes fastest, not the last one.
        fortran: bool,
        /// Its content in this order, without gaps, little endian.
        data: &'a [u8],
    },
    /// Content that lies in memory that both sides share.
    Buffer(BufferHead),
    /// A list of this many values.
    List(usize),
    /// A tuple of this many values.
    Tuple(usize),
    /// A set of this many values.
    Set(usize),
    /// A frozen set of this many values.
    FrozenSet(usize),
    /// A map of this many pairs: key, value, key, value.
    Map(usize),
    /// A reference; an offer may be followed by a descriptor, a place by its steps.
    Reference(ReferenceHead),
    /// A pickle: references, then buffers, then one `Bytes` that holds the pickle itself.
    Pickle {
        /// Who made it.
        flavour: Flavour,
        /// How many references follow.
        references: usize,
        /// How many buffers follow after them.
        buffers: usize,
    },
    /// A plain instance of a class: two values that say which, see [`Reader::read_class`](super::Reader::read_class), then
    /// this many pairs: name of the attribute as text, value.
    Instance(usize),
}

/// Which class an instance is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassName<'a> {
    /// One that the receiver imports.
    Imported {
        /// Its module.
        module: &'a str,
        /// Its qualified name there.
        qualname: &'a str,
    },
    /// One that travels with its instance.
    Defined {
        /// The same for all definitions of the class.
        name: &'a str,
        /// Its definition: a pickle of the class by cloudpickle.
        definition: &'a [u8],
    },
}

impl Token<'_> {
    /// How many values follow that belong to this one.
    #[must_use]
    #[inline]
    pub fn children(&self) -> usize {
        match *self {
            Self::List(len) | Self::Tuple(len) | Self::Set(len) | Self::FrozenSet(len) => len,
            Self::Map(len) => len.saturating_mul(2),
            Self::Instance(len) => len.saturating_mul(2).saturating_add(2),
            Self::Reference(head) => head.children(),
            Self::Pickle { references, buffers, .. } => references.saturating_add(buffers).saturating_add(1),
            _ => 0,
        }
    }
}

/// The form of a memory view, or of an array of several dimensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewHead {
    /// Whether its content may not be changed.
    pub read_only: bool,
    /// The format of an item in the language of Python's `struct`; at most 255 bytes.
    pub format: String,
    /// The number of items in each dimension; at most 64 dimensions.
    pub shape: Vec<u64>,
}

/// What a value in shared memory is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferHead {
    /// Where its content begins.
    pub place: BufferPlace,
    /// Its length in bytes.
    pub len: u64,
    /// Whether its content may not be changed.
    pub read_only: bool,
    /// What is made of it.
    pub form: BufferForm,
}

/// Where the content of a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferPlace {
    /// At the beginning of memory that is lent: it is the receiver's until it is given back.
    Lent {
        /// Its slot.
        slot: u32,
        /// Which loan of the slot.
        generation: u32,
    },
    /// In memory that both sides go on using.
    Shared {
        /// Its number, chosen by the sender.
        number: u64,
        /// How far from its beginning, in bytes.
        offset: u64,
    },
}

/// What a buffer becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BufferForm {
    /// A buffer of a pickle.
    Raw,
    /// Bytes.
    Bytes,
    /// Bytes that may be changed.
    ByteArray,
    /// A view of memory.
    View {
        /// The format of an item in the language of Python's `struct`; at most 255 bytes.
        format: String,
        /// The number of items in each dimension; at most 64 dimensions.
        shape: Vec<u64>,
    },
    /// An array of machine values with this type letter.
    Array {
        /// The letter that stands for the item type.
        typecode: u8,
    },
    /// An array of several dimensions, as numpy has it.
    Grid {
        /// Whether the first index changes fastest, not the last one.
        fortran: bool,
        /// As of a view.
        format: String,
        /// As of a view.
        shape: Vec<u64>,
    },
}

/// What a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceHead {
    /// An object of the sender; the receiver now holds one reference more.
    Offer {
        /// The object.
        object: ObjectId,
        /// A number for its class, chosen by the sender for this connection.
        class: u32,
        /// Whether one value that describes the class follows.
        described: bool,
    },
    /// An object of the receiver.
    Home {
        /// The object.
        object: ObjectId,
    },
    /// A path from an object of the receiver, which evaluates it.
    Place {
        /// The object.
        object: ObjectId,
        /// How many steps the path has.
        steps: u16,
        /// How many values follow: the steps' codes and operands.
        values: u32,
    },
    /// The very object that the call was made on.
    Receiver,
    /// The result of an earlier call to the receiver. Reserved, unused until later.
    Promise {
        /// The call.
        call: CallId,
    },
}

impl ReferenceHead {
    /// How many values follow that belong to it.
    #[must_use]
    pub fn children(&self) -> usize {
        match *self {
            Self::Offer { described, .. } => usize::from(described),
            Self::Place { values, .. } => usize::try_from(values).unwrap_or(usize::MAX),
            Self::Home { .. } | Self::Receiver | Self::Promise { .. } => 0,
        }
    }
}

/// Who made a pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flavour {
    /// The standard library's pickle.
    Pickle = 0,
    /// cloudpickle: what it names may not be importable.
    Cloudpickle = 1,
}

impl Flavour {
    /// The flavour with this code on the wire.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Pickle),
            1 => Some(Self::Cloudpickle),
            _ => None,
        }
    }

    /// Its code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

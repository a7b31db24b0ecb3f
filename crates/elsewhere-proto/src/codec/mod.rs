//! Values as bytes.
//! Owns: the subset of MessagePack and its extension types, with all limits. Must not know: frames, tables, Python.

mod big_int;
mod format;
mod reader;
mod references;
mod token;
mod value;
mod writer;

// A namespace of its own: those who write walkers over values import from here.
pub use reader::{Limits, Reader};
pub use references::{home_references, lent_buffers, offered_references};
pub use token::{BufferForm, BufferHead, BufferPlace, ClassName, Flavour, ReferenceHead, Token, ViewHead};
pub use value::Value;
pub use writer::Writer;

/// A value cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end inside a value. Whoever sent them must be fixed.
    #[error("the value is cut short at byte {position}")]
    Truncated {
        /// Where.
        position: usize,
    },
    /// A byte that begins no value of the subset.
    #[error("byte {byte:#04x} at {position} begins no value")]
    UnknownFormat {
        /// The byte.
        byte: u8,
        /// Where.
        position: usize,
    },
    /// An extension type that is unknown or reserved.
    #[error("extension type {code} at byte {position} is unknown")]
    UnknownExtension {
        /// The type.
        code: u8,
        /// Where.
        position: usize,
    },
    /// An extension whose payload does not have the form of its type.
    #[error("malformed {name} at byte {position}")]
    Malformed {
        /// The type.
        name: &'static str,
        /// Where.
        position: usize,
    },
    /// Text that is not UTF-8.
    #[error("text at byte {position} is not utf-8")]
    NotText {
        /// Where.
        position: usize,
    },
    /// A container announces more elements than bytes are left.
    #[error("{len} elements announced at byte {position}, but only {remaining} bytes are left")]
    TooManyElements {
        /// How many.
        len: usize,
        /// Where.
        position: usize,
        /// How much is left.
        remaining: usize,
    },
    /// Values nested too deeply. Whoever writes pickles instead.
    #[error("values nested more than {max} deep")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// More bytes than one message may have.
    #[error("{len} bytes, allowed are {max}")]
    TooLarge {
        /// How many.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A length that does not fit its field.
    #[error("{what} of length {len} cannot be written")]
    TooLong {
        /// Of what.
        what: &'static str,
        /// The length.
        len: usize,
    },
    /// Bytes after the value.
    #[error("{remaining} bytes after the value")]
    Trailing {
        /// How many.
        remaining: usize,
    },
    /// A value of another type was expected here.
    #[error("expected {0}")]
    Unexpected(&'static str),
}

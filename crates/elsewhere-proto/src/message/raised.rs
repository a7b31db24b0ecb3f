//! What was raised, told by its parts.
//! Owns: their form, within an error record and within an error that hangs on it. Must not know: exceptions; the payload
//! is bytes here.

use crate::codec::{CodecError, Reader, Writer};

pub(super) const NIL: u8 = 0xc0;

/// An error by its parts. Each may be empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raised {
    /// The module of the exception's class.
    pub module: String,
    /// The qualified name of the exception's class.
    pub qualname: String,
    /// The names of its builtin base classes, nearest first.
    pub bases: Vec<String>,
    /// What it says.
    pub message: String,
    /// The frames that it passed, as text.
    pub traceback: String,
    /// One encoded value from which it can be rebuilt: a pickle, a list of arguments, or nil. An empty one is written as
    /// nil.
    pub payload: Vec<u8>,
    /// Notes that were added to it.
    pub notes: Vec<String>,
}

/// How many values they are.
pub(super) const PARTS: usize = 7;

impl Raised {
    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.str(&self.module)?;
        out.str(&self.qualname)?;
        write_texts(out, &self.bases)?;
        out.str(&self.message)?;
        out.str(&self.traceback)?;
        out.encoded(if self.payload.is_empty() { &[NIL] } else { &self.payload });
        write_texts(out, &self.notes)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            module: reader.read_str()?.to_owned(),
            qualname: reader.read_str()?.to_owned(),
            bases: read_texts(reader)?,
            message: reader.read_str()?.to_owned(),
            traceback: reader.read_str()?.to_owned(),
            payload: reader.read_encoded()?.to_vec(),
            notes: read_texts(reader)?,
        })
    }
}

fn write_texts(out: &mut Writer<'_>, texts: &[String]) -> Result<(), CodecError> {
    out.begin_list(texts.len())?;
    texts.iter().try_for_each(|text| out.str(text))
}

fn read_texts(reader: &mut Reader<'_>) -> Result<Vec<String>, CodecError> {
    let len = reader.read_list_len()?;
    (0..len).map(|_| reader.read_str().map(str::to_owned)).collect()
}

//! Errors that hang on the one that a call failed with: causes, contexts, members of groups.
//! Owns: their form within an error record. Must not know: exceptions.

use super::raised::{self, Raised};
use crate::codec::{CodecError, Reader, Token, Writer};

/// How one error hangs together with others, by their numbers: 0 is the error of the record, 1 the first related one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// What it was raised from.
    pub cause: Option<u32>,
    /// What was being handled when it was raised.
    pub context: Option<u32>,
    /// Whether the context is not to be shown.
    pub suppresses_context: bool,
    /// Of a group: what it holds.
    pub members: Vec<u32>,
}

/// An error that hangs on the one of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelatedError {
    /// The error.
    pub raised: Raised,
    /// What hangs on it in turn.
    pub links: Links,
}

const LINKS: usize = 4;
const PARTS: usize = raised::PARTS + 1;

impl Links {
    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.begin_list(LINKS)?;
        for link in [self.cause, self.context] {
            match link {
                Some(number) => out.int(i64::from(number)),
                None => out.nil(),
            }
        }
        out.bool(self.suppresses_context);
        out.begin_list(self.members.len())?;
        self.members.iter().for_each(|number| out.int(i64::from(*number)));
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        read_list(reader, LINKS)?;
        Ok(Self {
            cause: read_link(reader)?,
            context: read_link(reader)?,
            suppresses_context: match reader.next_token()? {
                Token::Bool(truth) => truth,
                _ => return Err(CodecError::Unexpected("true or false")),
            },
            members: {
                let len = reader.read_list_len()?;
                (0..len).map(|_| read_number(reader)).collect::<Result<_, _>>()?
            },
        })
    }
}

impl RelatedError {
    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.begin_list(PARTS)?;
        self.raised.write(out)?;
        self.links.write(out)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        read_list(reader, PARTS)?;
        Ok(Self { raised: Raised::read(reader)?, links: Links::read(reader)? })
    }
}

fn read_list(reader: &mut Reader<'_>, parts: usize) -> Result<(), CodecError> {
    if reader.read_list_len()? == parts { Ok(()) } else { Err(CodecError::Unexpected("a list of another length")) }
}

fn read_number(reader: &mut Reader<'_>) -> Result<u32, CodecError> {
    u32::try_from(reader.read_int()?).map_err(|_| CodecError::Unexpected("the number of an error"))
}

fn read_link(reader: &mut Reader<'_>) -> Result<Option<u32>, CodecError> {
    match reader.next_token()? {
        Token::Nil => Ok(None),
        Token::Int(number) => {
            u32::try_from(number).map(Some).map_err(|_| CodecError::Unexpected("the number of an error"))
        }
        _ => Err(CodecError::Unexpected("the number of an error, or nil")),
    }
}

//! What a failed call tells its caller.
//! Owns: the record's form. Must not know: exceptions; the payload is bytes here.

use super::raised::{self, NIL, Raised};
use super::related::{Links, RelatedError};
use crate::codec::{CodecError, Limits, Reader, Token, Writer};

/// What failed, as a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorKind {
    /// The method raised.
    Raised = 0,
    /// An argument could not be rebuilt.
    Argument = 1,
    /// The result could not be sent.
    Result = 2,
    /// The target object is not held any more.
    Gone = 3,
    /// The caller gave up.
    Cancelled = 4,
    /// The deadline had passed before the call was begun.
    Expired = 5,
    /// The receiver does not allow it.
    Refused = 6,
    /// The receiver has too much to do.
    Overloaded = 7,
    /// The last step of a path was missing.
    Missing = 8,
    /// The receiver accepts no more calls.
    Closed = 9,
    /// Running it would close a circle of waits.
    Deadlock = 10,
}

/// What is known of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// It did not begin and never will.
    NotStarted = 0,
    /// It may have run not at all, in part, or to its end.
    Unknown = 1,
    /// It ran to its end.
    Finished = 2,
}

impl ErrorKind {
    /// Every kind, in order of its code.
    pub const ALL: [Self; 11] = [
        Self::Raised,
        Self::Argument,
        Self::Result,
        Self::Gone,
        Self::Cancelled,
        Self::Expired,
        Self::Refused,
        Self::Overloaded,
        Self::Missing,
        Self::Closed,
        Self::Deadlock,
    ];

    /// The kind with this code, as it stands in a record.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// Its code.
    #[must_use]
    pub fn code(self) -> i64 {
        self as i64
    }
}

impl Outcome {
    /// The outcome with this code, as it stands in a record.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::NotStarted),
            1 => Some(Self::Unknown),
            2 => Some(Self::Finished),
            _ => None,
        }
    }

    /// Its code.
    #[must_use]
    pub fn code(self) -> i64 {
        self as i64
    }
}

/// The body of an ERROR. Each part may be empty where nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorRecord {
    /// What failed.
    pub kind: ErrorKind,
    /// What is known of the call.
    pub outcome: Outcome,
    /// What was raised; only the message is known where no exception is behind it.
    pub raised: Raised,
    /// The part of an argument or result that could not travel.
    pub culprit: Option<String>,
    /// Whether a coroutine raised it, which the receiver of the call ran.
    pub is_of_coroutine: bool,
    /// What hangs on it.
    pub links: Links,
    /// The errors that the links lead to, from number 1 on.
    pub related: Vec<RelatedError>,
}

/// How many values a record has at least.
const PARTS: usize = raised::PARTS + 3;
/// With the mark of a coroutine, and with what hangs on the exception; later versions may add more at the end.
const PARTS_OF_COROUTINE: usize = 11;
const PARTS_WITH_RELATED: usize = 13;

impl ErrorRecord {
    /// A record without an exception behind it.
    #[must_use]
    pub fn plain(kind: ErrorKind, outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            kind,
            outcome,
            raised: Raised { message: message.into(), payload: vec![NIL], ..Raised::default() },
            culprit: None,
            is_of_coroutine: false,
            links: Links::default(),
            related: Vec::new(),
        }
    }

    fn parts(&self) -> usize {
        match (self.related.is_empty() && self.links == Links::default(), self.is_of_coroutine) {
            (true, false) => PARTS,
            (true, true) => PARTS_OF_COROUTINE,
            (false, _) => PARTS_WITH_RELATED,
        }
    }

    /// Appends the record. An empty payload is written as nil. On failure `out` is as before.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] where a text exceeds 4 GiB.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let position = out.len();
        let written = self.write(&mut Writer::new(out));
        if written.is_err() {
            out.truncate(position);
        }
        written
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        let parts = self.parts();
        out.begin_list(parts)?;
        out.int(self.kind.code());
        out.int(self.outcome.code());
        self.raised.write(out)?;
        match &self.culprit {
            Some(culprit) => out.str(culprit)?,
            None => out.nil(),
        }
        if parts >= PARTS_OF_COROUTINE {
            out.bool(self.is_of_coroutine);
        }
        if parts >= PARTS_WITH_RELATED {
            self.links.write(out)?;
            out.begin_list(self.related.len())?;
            self.related.iter().try_for_each(|related| related.write(out))?;
        }
        Ok(())
    }

    /// Reads the record that `body` holds.
    ///
    /// # Errors
    /// [`CodecError`] if it has another form.
    pub fn decode(body: &[u8], limits: Limits) -> Result<Self, CodecError> {
        let mut reader = Reader::new(body, limits);
        let parts = reader.read_list_len()?;
        if parts < PARTS {
            return Err(CodecError::Unexpected("a record of ten parts"));
        }
        reader.enter()?;
        let mut record = Self::read(&mut reader)?;
        let mut read = PARTS;
        if parts >= PARTS_OF_COROUTINE {
            record.is_of_coroutine = matches!(reader.next_token()?, Token::Bool(true));
            read = PARTS_OF_COROUTINE;
        }
        if parts >= PARTS_WITH_RELATED {
            record.links = Links::read(&mut reader)?;
            let len = reader.read_list_len()?;
            record.related = (0..len).map(|_| RelatedError::read(&mut reader)).collect::<Result<_, _>>()?;
            read = PARTS_WITH_RELATED;
        }
        for _ in read..parts {
            reader.skip_value()?;
        }
        match reader.remaining() {
            0 => Ok(record),
            remaining => Err(CodecError::Trailing { remaining }),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (kind, outcome) = read_codes(reader)?;
        Ok(Self {
            kind,
            outcome,
            raised: Raised::read(reader)?,
            culprit: match reader.next_token()? {
                Token::Nil => None,
                Token::Str(culprit) => Some(culprit.to_owned()),
                _ => return Err(CodecError::Unexpected("text or nil")),
            },
            is_of_coroutine: false,
            links: Links::default(),
            related: Vec::new(),
        })
    }

    /// Reads only what failed and what is known of the call.
    ///
    /// # Errors
    /// [`CodecError`] if `body` begins no record.
    pub fn peek(body: &[u8]) -> Result<(ErrorKind, Outcome), CodecError> {
        let mut reader = Reader::new(body, Limits::default());
        reader.read_list_len()?;
        read_codes(&mut reader)
    }
}

fn read_codes(reader: &mut Reader<'_>) -> Result<(ErrorKind, Outcome), CodecError> {
    let kind = ErrorKind::from_code(reader.read_int()?).ok_or(CodecError::Unexpected("an error kind"))?;
    let outcome = Outcome::from_code(reader.read_int()?).ok_or(CodecError::Unexpected("an outcome"))?;
    Ok((kind, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ErrorRecord {
        ErrorRecord {
            raised: Raised {
                module: "kennel".to_owned(),
                qualname: "Dog.Bite".to_owned(),
                bases: vec!["ValueError".to_owned(), "Exception".to_owned()],
                message: "cannot pickle a lock".to_owned(),
                traceback: "Traceback".to_owned(),
                payload: vec![NIL],
                notes: vec!["a note".to_owned()],
            },
            culprit: Some("result[3].lock".to_owned()),
            ..ErrorRecord::plain(ErrorKind::Result, Outcome::Finished, "")
        }
    }

    #[test]
    fn record_survives_the_wire() {
        let mut body = vec![];
        record().encode(&mut body).unwrap();

        assert_eq!(ErrorRecord::decode(&body, Limits::default()), Ok(record()));
        assert_eq!(ErrorRecord::peek(&body), Ok((ErrorKind::Result, Outcome::Finished)));
    }

    fn linked() -> ErrorRecord {
        let raised = Raised { qualname: "KeyError".to_owned(), payload: vec![NIL], ..Raised::default() };
        let several = Raised { message: "several".to_owned(), ..raised.clone() };
        let cause = RelatedError { raised, links: Links::default() };
        let links = Links { context: Some(2), members: vec![1, 2], suppresses_context: true, ..Links::default() };
        let group = RelatedError { raised: several, links };
        let links = Links { cause: Some(1), context: Some(2), ..Links::default() };
        ErrorRecord { links, related: vec![cause, group], is_of_coroutine: true, ..record() }
    }

    #[test]
    fn what_hangs_on_an_error_survives_the_wire() {
        for record in [linked(), ErrorRecord { is_of_coroutine: true, ..record() }] {
            let mut body = vec![];
            record.encode(&mut body).unwrap();

            assert_eq!(ErrorRecord::decode(&body, Limits::default()), Ok(record));
        }
    }

    #[test]
    fn parts_that_a_later_version_adds_are_ignored() {
        let mut body = vec![];
        linked().encode(&mut body).unwrap();
        body[0] += 1;
        body.push(0xc3);

        assert_eq!(ErrorRecord::decode(&body, Limits::default()), Ok(linked()));
    }

    #[test]
    fn empty_payload_is_nil() {
        let mut body = vec![];
        let raised = Raised { payload: vec![], ..record().raised };
        ErrorRecord { raised, ..record() }.encode(&mut body).unwrap();

        assert_eq!(ErrorRecord::decode(&body, Limits::default()).unwrap().raised.payload, [NIL]);
    }

    #[test]
    fn cut_records_are_refused() {
        let mut body = vec![];
        linked().encode(&mut body).unwrap();

        for end in 0..body.len() {
            assert!(ErrorRecord::decode(&body[..end], Limits::default()).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn codes_have_one_meaning() {
        for code in -1..=12 {
            assert!(ErrorKind::from_code(code).is_none_or(|kind| kind.code() == code));
            assert!(Outcome::from_code(code).is_none_or(|outcome| outcome.code() == code));
        }
        assert_eq!(ErrorKind::from_code(11), None);
        assert_eq!(Outcome::from_code(3), None);
    }
}

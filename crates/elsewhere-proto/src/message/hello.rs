//! The first message each way.
//! Owns: its form, the version, the capability bits. Must not know: what follows it.

use super::frame::{HEADER_LEN, Header, Kind};
use crate::codec::{CodecError, Limits, Reader, Token, Writer};
use crate::violation::Violation;

/// What every connection begins with, in the id field.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ELSEWHER");
/// The version of the protocol that this crate speaks.
pub const VERSION: u32 = 1;
/// The longest body of a HELLO in bytes.
pub const HELLO_MAX: usize = 480;
/// The longest text in a HELLO in bytes; longer ones are cut by the sender.
const TEXT_MAX: usize = 96;

/// What a peer can do beyond the least, one bit each. Unknown bits are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Takes messages in several frames. Required by version 1.
    pub const CHUNKS: Self = Self(1);
    /// Runs one call at a time, in the order in which they arrived completely, and sends each answer before it begins
    /// the next call; only calls of a chain that it waits in come in between.
    pub const SERIAL: Self = Self(1 << 1);
    /// Takes memory that is lent and shared.
    pub const BUFFERS: Self = Self(1 << 2);
    /// Started and finished calls are recorded in shared memory. Reserved, unused until later.
    pub const RECORDER: Self = Self(1 << 3);
    /// References may be handed on to third peers. Reserved, unused until later.
    pub const GRANTS: Self = Self(1 << 4);
    /// Expects a PING now and then. Reserved, unused until later.
    pub const HEARTBEAT: Self = Self(1 << 5);
    /// Accepts pickles. Reserved, unused until later.
    pub const PICKLE: Self = Self(1 << 6);

    /// Runs the calls of each lane one at a time, in their order, and sends each answer before it begins the next call of
    /// the lane; only calls of a chain that it waits in come in between. Wants to be told when a lane has ended.
    pub const LANES: Self = Self(1 << 7);

    /// Takes plain instances of classes and arrays in messages, whose classes it imports.
    pub const INSTANCES: Self = Self(1 << 8);

    /// Wants to be told when a lane has ended.
    pub const LANE_ENDS: Self = Self(1 << 9);

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Who a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the protocol.
    pub version: u32,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its process id; 0 where there is none.
    pub pid: u32,
    /// The version of its interpreter, such as "3.11.7"; empty without one.
    pub python: String,
    /// Its name and version, such as "elsewhere 0.1.0".
    pub implementation: String,
    /// The longest message it takes, in bytes.
    pub max_message: usize,
}

impl Default for Hello {
    /// This version, no process, no interpreter, messages of up to 1 GiB.
    fn default() -> Self {
        Self {
            version: VERSION,
            capabilities: Capabilities::CHUNKS,
            pid: 0,
            python: String::new(),
            implementation: concat!("elsewhere ", env!("CARGO_PKG_VERSION")).to_owned(),
            max_message: Limits::default().max_message,
        }
    }
}

impl Hello {
    /// Appends the whole frame.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        self.write_body(&mut Writer::new(&mut body)).expect("texts of a hello are cut to 96 bytes");
        debug_assert!(body.len() <= HELLO_MAX, "a hello of {} bytes", body.len());
        let mut header = Header::bare(Kind::Hello, MAGIC);
        header.len = body.len();
        header.chain = self.capabilities.0;
        header.number = self.version;
        out.reserve(HEADER_LEN.saturating_add(body.len()));
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(&body);
    }

    fn write_body(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.begin_map(4)?;
        out.str("pid")?;
        out.unsigned(u64::from(self.pid));
        out.str("python")?;
        out.str(cut(&self.python))?;
        out.str("implementation")?;
        out.str(cut(&self.implementation))?;
        out.str("max_message")?;
        out.unsigned(u64::try_from(self.max_message).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Reads a HELLO and checks that this side can go on with it.
    ///
    /// # Errors
    /// [`Violation::NotOurs`], [`Violation::Version`], [`Violation::MissingCapability`], [`Violation::BadHello`].
    pub(crate) fn read(header: &Header, body: &[u8]) -> Result<Self, Violation> {
        if header.id != MAGIC {
            return Err(Violation::NotOurs);
        }
        if header.number != VERSION {
            return Err(Violation::Version { theirs: header.number, ours: VERSION });
        }
        let capabilities = Capabilities(header.chain);
        if !capabilities.has(Capabilities::CHUNKS) {
            return Err(Violation::MissingCapability { name: "CHUNKS" });
        }
        let mut hello = Self { version: header.number, capabilities, implementation: String::new(), ..Self::default() };
        hello.read_body(body).map_err(|_| Violation::BadHello)?;
        Ok(hello)
    }

    fn read_body(&mut self, body: &[u8]) -> Result<(), CodecError> {
        let mut reader = Reader::new(body, Limits::default());
        let pairs = reader.read_map_len()?;
        reader.enter()?;
        for _ in 0..pairs {
            match reader.next_token()? {
                Token::Str("pid") => {
                    self.pid = u32::try_from(reader.read_int()?).map_err(|_| CodecError::Unexpected("a process id"))?;
                }
                Token::Str("python") => reader.read_str()?.clone_into(&mut self.python),
                Token::Str("implementation") => reader.read_str()?.clone_into(&mut self.implementation),
                Token::Str("max_message") => {
                    let max = usize::try_from(reader.read_int()?);
                    self.max_message = max.map_err(|_| CodecError::Unexpected("a length"))?;
                }
                Token::Str(_) => reader.skip_value()?,
                _ => return Err(CodecError::Unexpected("a text as key")),
            }
        }
        match reader.remaining() {
            0 => Ok(()),
            remaining => Err(CodecError::Trailing { remaining }),
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello { pid: 4711, python: "3.11.7".to_owned(), max_message: 1 << 20, ..Hello::default() }
    }

    fn read(frame: &[u8]) -> Result<Hello, Violation> {
        let (header, body) = frame.split_first_chunk().unwrap();
        Hello::read(&Header::from_bytes(header)?, body)
    }

    #[test]
    fn hello_survives_the_wire() {
        let mut frame = vec![];
        hello().write(&mut frame);

        assert_eq!(read(&frame), Ok(hello()));
    }

    #[test]
    fn hello_of_any_content_fits_its_frame() {
        let long = "\u{1F415}".repeat(1000);
        let mut frame = vec![];
        Hello { python: long.clone(), implementation: long, pid: u32::MAX, max_message: usize::MAX >> 1, ..hello() }
            .write(&mut frame);

        assert!(frame.len() <= HEADER_LEN + HELLO_MAX);
        assert_eq!(read(&frame).unwrap().python.chars().count(), TEXT_MAX / 4);
    }

    #[test]
    fn keys_that_are_unknown_are_ignored() {
        let mut body = vec![];
        let mut out = Writer::new(&mut body);
        out.begin_map(2).unwrap();
        out.str("colour").unwrap();
        out.begin_list(1).unwrap();
        out.int(7);
        out.str("pid").unwrap();
        out.int(3);
        let header = Header { chain: 1, number: VERSION, ..Header::bare(Kind::Hello, MAGIC) };

        assert_eq!(Hello::read(&header, &body).unwrap().pid, 3);
    }

    #[test]
    fn strangers_and_other_versions_are_told_apart() {
        let good = Header { chain: 1, number: VERSION, ..Header::bare(Kind::Hello, MAGIC) };

        assert_eq!(Hello::read(&Header { id: 5, ..good }, &[]), Err(Violation::NotOurs));
        assert_eq!(Hello::read(&Header { number: 9, ..good }, &[]), Err(Violation::Version { theirs: 9, ours: 1 }));
        assert_eq!(
            Hello::read(&Header { chain: 2, ..good }, &[]),
            Err(Violation::MissingCapability { name: "CHUNKS" })
        );
        assert_eq!(Hello::read(&good, &[0x91]), Err(Violation::BadHello));
    }
}

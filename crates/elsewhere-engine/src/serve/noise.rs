//! How two processes on two machines prove to each other that they have the same key, and get keys for what follows.
//! Owns: the handshake Noise_NNpsk0_25519_AESGCM_SHA256, for both sides. Must not know: sockets, clocks, records.
//!
//! ```text
//! client  magic (8)  kind (1)  zeros (7)  id (16)  Noise's first message (48)
//! server  Noise's second message (48)
//! client  an empty message under the new keys (16)
//! ```
//!
//! All that comes before Noise's messages is bound to them as their prologue. The first message is already refused without
//! the key, before any work is done for it; one that was recorded gets an answer and no further, since only who made it can
//! send the third. Whoever fails is told nothing.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use snow::resolvers::{DefaultResolver, FallbackResolver, RingResolver};
use snow::{Builder, HandshakeState, StatelessTransportState};

use super::proof::{Key, Ticket, Unproven};

const MAGIC: &[u8; 8] = b"ELSENOI1";
const PROTOCOL: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
const PROLOGUE: &[u8] = b"elsewhere/1";
const OPENING: usize = 32;
const MESSAGE: usize = 48;
const CONFIRMATION: usize = 16;

enum Stage {
    /// The server waits for the first message.
    Open,
    /// The server waits for the third.
    Answered(Box<StatelessTransportState>),
    /// The client waits for the second.
    Asked(Box<HandshakeState>),
    Done(Box<StatelessTransportState>),
    Failed,
}

/// One side of a handshake between two machines: give it what comes, send what it gives.
pub struct NoiseProof {
    key: Key,
    stage: Stage,
    output: Vec<u8>,
}

impl std::fmt::Debug for NoiseProof {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("NoiseProof(…)")
    }
}

impl NoiseProof {
    /// The side that is connected to.
    #[must_use]
    pub fn server(key: Key) -> Self {
        Self { key, stage: Stage::Open, output: Vec::new() }
    }

    /// The side that connects and shows `ticket`.
    #[must_use]
    pub fn client(key: Key, ticket: Ticket) -> Self {
        let mut opening = Vec::with_capacity(OPENING + MESSAGE);
        opening.extend_from_slice(MAGIC);
        opening.push(ticket.kind);
        opening.extend_from_slice(&[0; 7]);
        opening.extend_from_slice(&ticket.id);
        let mut proof = Self { key, stage: Stage::Failed, output: Vec::new() };
        let begun = proof.begin(&opening, |builder| builder.build_initiator()).and_then(|mut state| {
            let mut message = [0; MESSAGE];
            let len = state.write_message(&[], &mut message).map_err(|_| Unproven::Wrong)?;
            opening.extend_from_slice(&message[..len]);
            Ok(state)
        });
        // It fails on no input of anybody's; if it did, nothing would be sent, and the server would end it.
        if let Ok(state) = begun {
            proof.stage = Stage::Asked(Box::new(state));
            proof.output = opening;
        }
        proof
    }

    fn begin(
        &self,
        opening: &[u8],
        build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
    ) -> Result<HandshakeState, Unproven> {
        let resolver = FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver));
        let parameters = PROTOCOL.parse().expect("the name of the protocol is one");
        let prologue = [PROLOGUE, opening].concat();
        let shared: [u8; 32] = {
            let mut mac = Hmac::<Sha256>::new_from_slice(self.key.bytes()).expect("any length is a key");
            mac.update(b"elsewhere-psk-1");
            mac.finalize().into_bytes().into()
        };
        let builder = Builder::with_resolver(parameters, Box::new(resolver));
        let builder = builder.psk(0, &shared).and_then(|builder| builder.prologue(&prologue));
        builder.and_then(build).map_err(|_| Unproven::Wrong)
    }

    /// How many bytes are to be read before [`receive`](Self::receive), and not one more. 0 when it is over.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        match self.stage {
            Stage::Open => OPENING + MESSAGE,
            Stage::Answered(_) => CONFIRMATION,
            Stage::Asked(_) => MESSAGE,
            Stage::Done(_) | Stage::Failed => 0,
        }
    }

    /// Whether the other side is proven. What there is to send has still to be sent.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_))
    }

    /// What is to be sent, taken once.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Looks at the beginning of a message: who speaks another language need not be waited for.
    ///
    /// # Errors
    /// [`Unproven::Stranger`].
    pub fn look(&self, beginning: &[u8]) -> Result<(), Unproven> {
        let known = beginning.len().min(MAGIC.len());
        let is_ours = !matches!(self.stage, Stage::Open) || beginning[..known] == MAGIC[..known];
        if is_ours && !matches!(self.stage, Stage::Failed) { Ok(()) } else { Err(Unproven::Stranger) }
    }

    /// Takes in a message of [`wanted`](Self::wanted) bytes.
    ///
    /// # Errors
    /// [`Unproven`]: end the stream, and say nothing.
    pub fn receive(&mut self, message: &[u8]) -> Result<(), Unproven> {
        if message.len() != self.wanted() {
            self.stage = Stage::Failed;
            return Err(Unproven::Stranger);
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Open => self.on_opening(message)?,
            Stage::Answered(keys) => {
                keys.read_message(0, message, &mut [0; CONFIRMATION]).map_err(|_| Unproven::Wrong)?;
                Stage::Done(keys)
            }
            Stage::Asked(mut state) => {
                state.read_message(message, &mut [0; MESSAGE]).map_err(|_| Unproven::Wrong)?;
                let keys = state.into_stateless_transport_mode().map_err(|_| Unproven::Wrong)?;
                let mut confirmation = [0; CONFIRMATION];
                keys.write_message(0, &[], &mut confirmation).map_err(|_| Unproven::Wrong)?;
                self.output.extend_from_slice(&confirmation);
                Stage::Done(Box::new(keys))
            }
            Stage::Done(_) | Stage::Failed => return Err(Unproven::Stranger),
        };
        Ok(())
    }

    fn on_opening(&mut self, message: &[u8]) -> Result<Stage, Unproven> {
        let (opening, message) = message.split_at(OPENING);
        if !opening.starts_with(MAGIC) || opening[MAGIC.len()..].iter().any(|byte| *byte != 0) {
            return Err(Unproven::Stranger);
        }
        let mut state = self.begin(opening, |builder| builder.build_responder())?;
        state.read_message(message, &mut [0; MESSAGE]).map_err(|_| Unproven::Wrong)?;
        let mut answer = [0; MESSAGE];
        let len = state.write_message(&[], &mut answer).map_err(|_| Unproven::Wrong)?;
        self.output.extend_from_slice(&answer[..len]);
        let keys = state.into_stateless_transport_mode().map_err(|_| Unproven::Wrong)?;
        Ok(Stage::Answered(Box::new(keys)))
    }

    /// The keys of what follows. None before it is done.
    #[must_use]
    pub fn into_keys(self) -> Option<StatelessTransportState> {
        match self.stage {
            Stage::Done(keys) => Some(*keys),
            _ => None,
        }
    }
}

/// The keys of two sides that have proven themselves to each other.
#[cfg(test)]
pub(crate) fn noise_pair() -> (StatelessTransportState, StatelessTransportState) {
    let mut server = NoiseProof::server(Key::new(b"secret"));
    let mut client = NoiseProof::client(Key::new(b"secret"), Ticket::default());
    server.receive(&client.take_output()).unwrap();
    client.receive(&server.take_output()).unwrap();
    server.receive(&client.take_output()).unwrap();
    (client.into_keys().unwrap(), server.into_keys().unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_is_told_nothing() {
        let mut server = NoiseProof::server(Key::new(b"secret"));
        let mut client = NoiseProof::client(Key::new(b"Secret"), Ticket::default());

        assert_eq!(server.receive(&client.take_output()), Err(Unproven::Wrong));

        assert!(server.take_output().is_empty() && !server.is_done());
    }

    #[test]
    fn recorded_opening_gets_no_further() {
        let mut client = NoiseProof::client(Key::new(b"secret"), Ticket::default());
        let mut server = NoiseProof::server(Key::new(b"secret"));
        let opening = client.take_output();
        server.receive(&opening).unwrap();
        client.receive(&server.take_output()).unwrap();
        let confirmation = client.take_output();

        let mut later = NoiseProof::server(Key::new(b"secret"));
        later.receive(&opening).unwrap();

        assert_eq!(later.receive(&confirmation), Err(Unproven::Wrong));
        assert!(!later.is_done());
    }

    #[test]
    fn reflected_messages_are_refused() {
        let mut client = NoiseProof::client(Key::new(b"secret"), Ticket::default());
        let opening = client.take_output();

        assert_eq!(client.receive(&opening[OPENING..]), Err(Unproven::Wrong));
    }

    #[test]
    fn server_that_lacks_the_key_is_no_server() {
        let mut client = NoiseProof::client(Key::new(b"secret"), Ticket::default());
        let _ = client.take_output();

        assert_eq!(client.receive(&[7; MESSAGE]), Err(Unproven::Wrong));
    }

    #[test]
    fn each_changed_byte_of_the_opening_is_refused() {
        let opening = NoiseProof::client(Key::new(b"secret"), Ticket::default()).take_output();
        for at in 0..opening.len() {
            let mut changed = opening.clone();
            changed[at] ^= 1;
            let mut server = NoiseProof::server(Key::new(b"secret"));
            assert!(server.receive(&changed).is_err(), "byte {at} was changed");
        }
    }

    #[test]
    fn message_of_another_length_is_the_end_of_it() {
        let mut server = NoiseProof::server(Key::new(b"secret"));
        let mut client = NoiseProof::client(Key::new(b"secret"), Ticket::default());
        let message = client.take_output();

        assert_eq!(server.receive(&message[1..]), Err(Unproven::Stranger));

        assert_eq!(server.receive(&message), Err(Unproven::Stranger), "who failed tried again");
    }
}

//! How two processes of one machine prove to each other that they have the same key.
//! Owns: the messages of the proof and their order, for both sides. Must not know: sockets, clocks, who the other one is.
//!
//! Four messages of fixed size, none with a length in it, so that nothing is allocated on a stranger's word:
//!
//! ```text
//! client  magic (8)  kind (1)  zeros (7)  id (16)  nonce (32)
//! server  magic (8)  nonce (32)
//! client  HMAC-SHA256(key, "elsewhere-auth-1" role C, both nonces, kind, id, name of the server)
//! server  the same with role S
//! ```
//!
//! The client proves first. The role keeps a proof from being reflected, the nonces keep it from being replayed, the name
//! keeps it from being used at another server with the same key. There is nothing to negotiate, so nothing to be talked
//! down to. Whoever fails is told nothing: the stream ends.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What the first bytes of each side are: version 1 of what follows.
const MAGIC: &[u8; 8] = b"ELSEAUT1";
const LABEL: &[u8] = b"elsewhere-auth-1";
/// The longest message of the proof.
const GREETING: usize = 64;
const ANSWER: usize = 40;
const MAC: usize = 32;

/// Random bytes that are used once.
pub type Nonce = [u8; 32];

/// A secret that both sides know. Its bytes are never shown, and are wiped when it goes.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of these bytes. None at all stands for what the kernel proves alone: the same user of the same machine.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&mut self.0); // or the compiler would leave out what nobody reads
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Key(…)")
    }
}

/// What the client shows beside its key. Kind 0 is the object that is served, and its id is zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// What it asks for.
    pub kind: u8,
    /// Which of these.
    pub id: [u8; 16],
}

/// The other side did not prove itself, or does not speak this language at all. Nothing more is known, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// What came first is not the beginning of a proof.
    #[error("it does not speak this protocol")]
    Stranger,
    /// The proof is wrong.
    #[error("authentication failed")]
    Wrong,
}

/// Where one side stands.
#[derive(Debug)]
enum Stage {
    ServerGreeted,
    ServerProved {
        ours: Nonce,
        theirs: Nonce,
    },
    ClientGreeted {
        ours: Nonce,
    },
    ClientProved {
        ours: Nonce,
        theirs: Nonce,
    },
    Done,
    /// It stays so: who has failed is not proven by anything that comes later.
    Failed,
}

/// One side of a proof: give it what comes, send what it gives.
#[derive(Debug)]
pub struct Proof {
    key: Key,
    name: Vec<u8>,
    ticket: Ticket,
    nonce: Nonce,
    stage: Stage,
    output: Vec<u8>,
}

impl Proof {
    /// The side that is connected to, under `name`. `nonce` must be random and used once.
    #[must_use]
    pub fn server(key: Key, name: &[u8], nonce: Nonce) -> Self {
        let stage = Stage::ServerGreeted;
        Self { key, name: name.to_vec(), ticket: Ticket::default(), nonce, stage, output: Vec::new() }
    }

    /// The side that connects and shows `ticket`. `nonce` must be random and used once.
    #[must_use]
    pub fn client(key: Key, name: &[u8], ticket: Ticket, nonce: Nonce) -> Self {
        let mut output = Vec::with_capacity(GREETING);
        output.extend_from_slice(MAGIC);
        output.push(ticket.kind);
        output.extend_from_slice(&[0; 7]);
        output.extend_from_slice(&ticket.id);
        output.extend_from_slice(&nonce);
        Self { key, name: name.to_vec(), ticket, nonce, stage: Stage::ClientGreeted { ours: nonce }, output }
    }

    /// How many bytes are to be read before [`receive`](Self::receive), and not one more: what follows is not its own. 0 when
    /// the other side is proven.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        match self.stage {
            Stage::ServerGreeted => GREETING,
            Stage::ServerProved { .. } | Stage::ClientProved { .. } => MAC,
            Stage::ClientGreeted { .. } => ANSWER,
            Stage::Done | Stage::Failed => 0,
        }
    }

    /// Whether the other side is proven. What there is to send has still to be sent.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Whether the other side has what this one proves itself by, if it has read that.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        !matches!(self.stage, Stage::ServerGreeted | Stage::ClientGreeted { .. })
    }

    /// What the client has shown.
    #[must_use]
    pub const fn ticket(&self) -> Ticket {
        self.ticket
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
        let has_magic = matches!(self.stage, Stage::ServerGreeted | Stage::ClientGreeted { .. });
        let known = beginning.len().min(MAGIC.len());
        if has_magic && beginning[..known] != MAGIC[..known] { Err(Unproven::Stranger) } else { Ok(()) }
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
            Stage::ServerGreeted => self.on_greeting(message)?,
            Stage::ServerProved { ours, theirs } => {
                self.check(b'C', &ours, &theirs, message)?;
                let proof = self.mac(b'S', &ours, &theirs).finalize().into_bytes();
                self.output.extend_from_slice(&proof);
                Stage::Done
            }
            Stage::ClientGreeted { ours } => {
                let theirs = nonce_behind(message, MAGIC.len())?;
                let proof = self.mac(b'C', &theirs, &ours).finalize().into_bytes();
                self.output.extend_from_slice(&proof);
                Stage::ClientProved { ours, theirs }
            }
            Stage::ClientProved { ours, theirs } => {
                self.check(b'S', &theirs, &ours, message)?;
                Stage::Done
            }
            Stage::Done | Stage::Failed => return Err(Unproven::Stranger),
        };
        Ok(())
    }

    fn on_greeting(&mut self, message: &[u8]) -> Result<Stage, Unproven> {
        let theirs = nonce_behind(message, GREETING - 32)?;
        let (kind, zeros, id) = (message[8], &message[9..16], &message[16..32]);
        if kind != 0 || zeros.iter().chain(id).any(|byte| *byte != 0) {
            return Err(Unproven::Stranger);
        }
        self.output.extend_from_slice(MAGIC);
        self.output.extend_from_slice(&self.nonce);
        Ok(Stage::ServerProved { ours: self.nonce, theirs })
    }

    fn check(&self, role: u8, of_server: &Nonce, of_client: &Nonce, proof: &[u8]) -> Result<(), Unproven> {
        // In constant time.
        self.mac(role, of_server, of_client).verify_slice(proof).map_err(|_| Unproven::Wrong)
    }

    fn mac(&self, role: u8, of_server: &Nonce, of_client: &Nonce) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.bytes()).expect("any length is a key");
        for part in [LABEL, &[role], of_server, of_client, &[self.ticket.kind], &self.ticket.id, &self.name] {
            mac.update(part);
        }
        mac
    }
}

/// The nonce at `at`, behind the magic that each side begins with.
fn nonce_behind(message: &[u8], at: usize) -> Result<Nonce, Unproven> {
    if !message.starts_with(MAGIC) {
        return Err(Unproven::Stranger);
    }
    message.get(at..).and_then(|nonce| nonce.try_into().ok()).ok_or(Unproven::Stranger)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(of_server: &[u8], of_client: &[u8]) -> (Proof, Proof) {
        let server = Proof::server(Key::new(of_server), b"name", [1; 32]);
        let client = Proof::client(Key::new(of_client), b"name", Ticket::default(), [2; 32]);
        (server, client)
    }

    /// Passes messages to and fro until nothing moves.
    fn talk(server: &mut Proof, client: &mut Proof) -> Result<(), Unproven> {
        for _ in 0..2 {
            server.receive(&client.take_output())?;
            client.receive(&server.take_output())?;
        }
        Ok(())
    }

    #[test]
    fn both_are_proven_with_the_same_key() {
        let (mut server, mut client) = pair(b"secret", b"secret");

        talk(&mut server, &mut client).unwrap();

        assert!(server.is_done() && client.is_done());
    }

    #[test]
    fn another_key_is_told_nothing() {
        let (mut server, mut client) = pair(b"secret", b"Secret");

        assert_eq!(talk(&mut server, &mut client), Err(Unproven::Wrong));

        assert!(server.take_output().is_empty(), "the server has said more than its nonce");
        assert!(!server.is_done() && !client.is_done(), "who failed counts as proven");
    }

    #[test]
    fn another_server_with_the_same_key_is_no_substitute() {
        let mut server = Proof::server(Key::new(b"secret"), b"other", [1; 32]);
        let (_, mut client) = pair(b"secret", b"secret");

        assert_eq!(talk(&mut server, &mut client), Err(Unproven::Wrong));
    }

    #[test]
    fn replayed_session_is_refused() {
        let (mut server, mut client) = pair(b"secret", b"secret");
        let greeting = client.take_output();
        server.receive(&greeting).unwrap();
        client.receive(&server.take_output()).unwrap();
        let proof = client.take_output();

        let mut later = Proof::server(Key::new(b"secret"), b"name", [3; 32]);
        later.receive(&greeting).unwrap();

        assert_eq!(later.receive(&proof), Err(Unproven::Wrong));
    }

    #[test]
    fn reflected_proof_is_refused() {
        let (mut server, mut client) = pair(b"secret", b"secret");
        server.receive(&client.take_output()).unwrap();
        client.receive(&server.take_output()).unwrap();

        let reflected = client.take_output();

        assert_eq!(client.receive(&reflected), Err(Unproven::Wrong));
    }

    #[test]
    fn garbage_is_a_stranger_at_every_stage() {
        for stage in 0..4 {
            let (mut server, mut client) = pair(b"secret", b"secret");
            let is_refused = (0..4).any(|step| {
                let (from, to) = if step % 2 == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
                let mut message = from.take_output();
                if step == stage {
                    message.iter_mut().for_each(|byte| *byte ^= 0x55);
                }
                to.receive(&message).is_err()
            });
            assert!(is_refused, "garbage in message {stage} was accepted");
        }
    }

    #[test]
    fn key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::new(b"secret")), "Key(…)");
    }

    #[test]
    fn message_of_another_length_is_the_end_of_it() {
        let mut server = Proof::server(Key::new(b"secret"), b"name", [1; 32]);
        let mut client = Proof::client(Key::new(b"secret"), b"name", Ticket::default(), [2; 32]);
        let message = client.take_output();

        assert_eq!(server.receive(&message[1..]), Err(Unproven::Stranger));

        assert_eq!(server.receive(&message), Err(Unproven::Stranger), "who failed tried again");
    }
}

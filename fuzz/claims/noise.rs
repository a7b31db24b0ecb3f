//! Any messages into both sides of the handshake between two machines.
//! Owns: the claim that a message is taken only if the other side wrote it, with the same key, in this handshake and as
//! its next, and that who fails is told nothing. Must not know: what the messages look like.
//!
//! Input: one byte for the keys, then for each of the three messages one that says what is done to it, and what with.

use elsewhere_engine::{Key, NoiseProof, Ticket};

/// What each side wrote in an earlier handshake with the same key.
fn recorded() -> [Vec<u8>; 3] {
    let mut server = NoiseProof::server(Key::new(b"the key of both"));
    let mut client = NoiseProof::client(Key::new(b"the key of both"), Ticket::default());
    let opening = client.take_output();
    server.receive(&opening).expect("an opening with the key is taken");
    let answer = server.take_output();
    client.receive(&answer).expect("an answer with the key is taken");
    [opening, answer, client.take_output()]
}

/// Gives `proof` one message, piece by piece as far as looking goes. Whether it took it.
fn pass(proof: &mut NoiseProof, message: &[u8]) -> bool {
    let looked = (0..=message.len()).all(|length| proof.look(&message[..length]).is_ok());
    let is_taken = proof.receive(message).is_ok();
    assert!(!is_taken || looked, "a message that began wrongly was taken");
    assert!(is_taken || proof.take_output().is_empty(), "who failed was told something");
    assert!(is_taken || (proof.wanted() == 0 && !proof.is_done()), "who failed may try again");
    is_taken
}

pub(crate) fn check(bytes: &[u8]) {
    let [first, rest @ ..] = bytes else { return };
    let has_key = first & 1 == 0;
    let key = Key::new(if has_key { b"the key of both" } else { b"another one ..." });
    let mut server = NoiseProof::server(Key::new(b"the key of both"));
    let mut client = NoiseProof::client(key, Ticket::default());
    let earlier = recorded();
    let mut own = [vec![], vec![]];
    let mut chunks = rest.chunks(82);
    for step in 0..3 {
        let is_to_server = step % 2 == 0;
        let (from, to) = if is_to_server { (&mut client, &mut server) } else { (&mut server, &mut client) };
        let written = from.take_output();
        own[usize::from(is_to_server)].clone_from(&written);
        let [what, with @ ..] = chunks.next().unwrap_or(&[0]) else { return };
        let mut message = match what % 6 {
            0 => written.clone(),
            1 => {
                written.iter().zip(with.iter().chain(std::iter::repeat(&0))).map(|(byte, noise)| byte ^ noise).collect()
            }
            2 => with.to_vec(),
            3 => earlier[step].clone(),
            4 => own[usize::from(!is_to_server)].clone(),
            _ => earlier[(step + 1) % 3].clone(),
        };
        if what & 0x80 == 0 {
            message.resize(to.wanted(), 0);
        }
        let is_taken = pass(to, &message);
        // An opening that was recorded is answered, but the answer is worth nothing to who cannot read it.
        let is_recorded = step == 0 && message == earlier[0];
        assert!(
            !is_taken || is_recorded || (has_key && message == written),
            "message {step} was taken from a stranger"
        );
        if !is_taken {
            break;
        }
    }
    assert!(!server.is_done() || has_key, "a client without the key was let in");
    assert!(!client.is_done() || has_key, "a server without the key was believed");
}

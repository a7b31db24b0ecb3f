//! Any messages into both sides of a proof.
//! Owns: the claim that nobody is proven by anything but what the other side wrote with the same key, and that who fails is
//! told nothing. Must not know: what the messages of a proof look like.

use elsewhere_engine::{Endpoint, Key, Proof, Ticket};

/// Gives `proof` one message: what the other side wrote, changed by `noise`. Whether it was as written.
fn pass(proof: &mut Proof, written: &[u8], noise: &[u8]) -> (bool, bool) {
    let mut message = written.to_vec();
    message.resize(proof.wanted(), 0);
    for (byte, change) in message.iter_mut().zip(noise) {
        *byte ^= change;
    }
    let is_as_written = message == written;
    let (mut looked, wanted) = (true, proof.wanted());
    for length in 0..=message.len() {
        looked &= proof.look(&message[..length]).is_ok();
    }
    let is_taken = proof.receive(&message).is_ok();
    assert!(!is_taken || looked, "a message that began wrongly was taken");
    assert!(is_taken || proof.take_output().is_empty(), "who failed was told something after {wanted} bytes");
    (is_taken, is_as_written)
}

pub(crate) fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(endpoint) = Endpoint::parse(text)
    {
        assert_eq!(Endpoint::parse(&endpoint.to_string()), Some(endpoint));
    }
    let Some((&first, rest)) = bytes.split_first() else { return };
    let has_key = first & 1 == 0;
    let key = Key::new(if has_key { b"server" } else { b"other!" });
    let mut server = Proof::server(Key::new(b"server"), b"name", [1; 32]);
    let mut client = Proof::client(key, b"name", Ticket::default(), [2; 32]);
    let mut noises = rest.chunks(64);
    let mut is_clean = true;
    for step in 0..4 {
        let (from, to) = if step % 2 == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
        let written = from.take_output();
        let (is_taken, is_as_written) = pass(to, &written, noises.next().unwrap_or_default());
        is_clean &= is_as_written;
        if !is_taken {
            break;
        }
    }
    assert!(!server.is_done() || has_key, "a client without the key was let in");
    assert!(!client.is_done() || (has_key && is_clean), "a server was believed that did not write what came");
}

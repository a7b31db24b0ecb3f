//! Encrypted records that somebody between two machines changes, leaves out, repeats, reorders and cuts.
//! Owns: the claim that what arrives is what was sent, up to some point, and that nothing arrives behind the first record
//! that is not as it was. Must not know: what a record looks like.
//!
//! Input: the sizes of what is sent, each by two factors; a zero ends them. Then the size of the pieces in which it arrives,
//! and a program over the bytes on their way, three
//! bytes a step.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use elsewhere_engine::transport::Transport;
use elsewhere_engine::{Key, NoiseProof, Ticket};

/// More is not sent: it would not fit into the socket.
const SENT_MAX: usize = 40_000;
const PIECES_MAX: usize = 60;

/// Both ends after a handshake, and what lies between them.
fn proven() -> ((Transport, UnixStream), (Transport, UnixStream)) {
    let mut server = NoiseProof::server(Key::new(b"the key of both"));
    let mut client = NoiseProof::client(Key::new(b"the key of both"), Ticket::default());
    server.receive(&client.take_output()).expect("an opening with the key is taken");
    client.receive(&server.take_output()).expect("an answer with the key is taken");
    server.receive(&client.take_output()).expect("a confirmation is taken");
    let end = |proof: NoiseProof| {
        let (inside, outside) = UnixStream::pair().expect("there are descriptors");
        outside.set_nonblocking(true).expect("a socket can be");
        let keys = proof.into_keys().expect("it is done");
        (Transport::encrypted(OwnedFd::from(inside), keys), outside)
    };
    (end(client), end(server))
}

/// All that is there.
fn taken(outside: &mut UnixStream) -> Vec<u8> {
    let mut all = vec![];
    let _ = outside.read_to_end(&mut all); // it would wait for more
    all
}

/// Does one step of the program to what is on its way.
fn spoil(stream: &mut Vec<u8>, [what, at, with]: [u8; 3]) {
    if stream.is_empty() {
        return;
    }
    let at = usize::from(at) * stream.len() / 256;
    let end = (at + usize::from(with) + 1).min(stream.len());
    match what % 6 {
        0 => stream[at] ^= with | 1,
        1 => stream.truncate(at),
        2 => drop(stream.drain(at..end)),
        3 => {
            let piece = stream[at..end].to_vec();
            stream.splice(end..end, piece);
        }
        4 => stream.insert(at, with),
        _ => stream[at..end].reverse(),
    }
}

pub(crate) fn check(bytes: &[u8]) {
    let ((here, mut above), (there, mut below)) = proven();
    let mut sent = vec![];
    let mut rest = bytes;
    for _ in 0..PIECES_MAX {
        let [size, times, more @ ..] = rest else { return };
        rest = more;
        let piece = vec![*size; usize::from(*size) * usize::from(*times)];
        if piece.is_empty() || sent.len() + piece.len() > SENT_MAX {
            break;
        }
        let mut left = &piece[..];
        while let Ok(count @ 1..) = here.send(left) {
            left = &left[count..];
        }
        sent.extend_from_slice(&piece);
    }
    let written = taken(&mut above);
    let mut stream = written.clone();
    let [cut, program @ ..] = rest else { return };
    program.as_chunks().0.iter().for_each(|step| spoil(&mut stream, *step));

    let mut got = vec![];
    let mut buffer = vec![0; 70_000];
    let mut is_over = false;
    for piece in stream.chunks(usize::from(*cut) * 16 + 1) {
        if below.write_all(piece).is_err() {
            assert!(is_over, "what arrives is not read");
            break;
        }
        loop {
            match there.receive(&mut buffer) {
                Ok(0) => {
                    is_over = true;
                    break;
                }
                Ok(count) => {
                    assert!(!is_over, "something came behind the end");
                    got.extend_from_slice(&buffer[..count]);
                }
                Err(error) => {
                    is_over |= io::Error::from(error).kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
    }
    let _ = below.shutdown(Shutdown::Both);

    assert!(sent.starts_with(&got), "what arrived is not what was sent");
    if stream == written {
        assert_eq!(got.len(), sent.len(), "something was lost of what nobody changed");
    }
}

//! How fast one core encrypts and proves what goes over a network, for `make bench`.
//!
//! Owns: that limit. Must not know: sockets, links. `cargo run --release -p elsewhere-engine --example cipher`, then a line
//! `BYTES REPEATS` for each figure: it answers with the median time of encrypting so many bytes, in microseconds. They are
//! encrypted record by record, as on a connection, into memory that stays in the cache.
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::io::BufRead;
use std::time::Instant;

const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
const TAG: usize = 16;
const PLAIN_MAX: usize = 65_535 - TAG;

fn main() {
    let keys = keys();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let numbers: Vec<usize> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [bytes, repeats] = numbers[..] else { panic!("two numbers are wanted") };
        let plain = vec![7; bytes];
        let mut sealed = vec![0; PLAIN_MAX + TAG];
        let mut number = 0;
        let mut taken: Vec<f64> = (0..repeats)
            .map(|_| {
                let began = Instant::now();
                for record in plain.chunks(PLAIN_MAX) {
                    keys.write_message(number, record, &mut sealed).unwrap();
                    number += 1;
                }
                began.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        taken.sort_by(f64::total_cmp);
        println!("{}", taken[taken.len() / 2]);
    }
}

/// Those of a connection whose handshake was made.
fn keys() -> snow::StatelessTransportState {
    let side = || snow::Builder::new(PATTERN.parse().unwrap()).psk(0, &[1; 32]).unwrap();
    let (mut client, mut server) = (side().build_initiator().unwrap(), side().build_responder().unwrap());
    let (mut message, mut nothing) = ([0; 512], [0; 512]);
    let count = client.write_message(&[], &mut message).unwrap();
    server.read_message(&message[..count], &mut nothing).unwrap();
    let count = server.write_message(&[], &mut message).unwrap();
    client.read_message(&message[..count], &mut nothing).unwrap();
    client.into_stateless_transport_mode().unwrap()
}

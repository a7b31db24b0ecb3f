//! Must trip clippy::indexing_slicing: panics on what a peer sent. Never compiled with the crate.

pub fn second(bytes: &[u8]) -> u8 {
    bytes[1]
}

//! Must trip clippy::unwrap_used: panics on what a peer sent. Never compiled with the crate.

pub fn first(bytes: &[u8]) -> u8 {
    *bytes.first().unwrap()
}

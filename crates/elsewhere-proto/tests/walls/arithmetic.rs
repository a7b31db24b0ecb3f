//! Must trip clippy::arithmetic_side_effects: overflows with what a peer sent. Never compiled with the crate.

pub fn sum(left: u32, right: u32) -> u32 {
    left + right
}

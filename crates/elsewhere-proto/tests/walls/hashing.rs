//! Must trip clippy::disallowed_types: depends on random order. Never compiled with the crate.

pub type Imports = std::collections::HashMap<u64, u32>;

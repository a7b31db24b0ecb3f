//! Must trip clippy::disallowed_types: holds a lock. Never compiled with the crate.

pub struct Table {
    pub calls: std::sync::Mutex<Vec<u8>>,
}

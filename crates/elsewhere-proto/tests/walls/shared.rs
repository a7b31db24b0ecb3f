//! Must trip clippy::disallowed_types: shares ownership. Never compiled with the crate.

pub struct Entry {
    pub body: std::sync::Arc<[u8]>,
}

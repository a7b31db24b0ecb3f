//! Must trip clippy::disallowed_methods: reads a file. Never compiled with the crate.

pub fn settings() -> Vec<u8> {
    std::fs::read("settings").unwrap_or_default()
}

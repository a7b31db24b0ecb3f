//! Must trip clippy::disallowed_methods: reads the environment. Never compiled with the crate.

pub fn seed() -> Option<std::ffi::OsString> {
    std::env::var_os("SEED")
}

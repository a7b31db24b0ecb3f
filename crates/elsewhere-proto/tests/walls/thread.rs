//! Must trip clippy::disallowed_methods: starts a thread. Never compiled with the crate.

pub fn start() {
    std::thread::spawn(|| ());
}

//! Must trip clippy::disallowed_types: holds a socket. Never compiled with the crate.

pub struct Connection {
    pub stream: std::net::TcpStream,
}

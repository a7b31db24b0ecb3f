//! Sockets of TCP.
//! Owns: their options. Must not know: what is said on them.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// How often a quiet peer is asked for a sign of life, by the system.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// After so many without an answer it is taken for gone.
const MISSED_MAX: u32 = 2;
/// How long what was sent may stay without an acknowledgement.
const UNACKNOWLEDGED_MAX: u32 = 15_000;

/// The way to deal with congestion that does least. Within a machine there is none, and others measure and pace for nothing.
const UNPACED: &str = "reno";

/// Listens at a port of `host`; 0 is one that is free. Tells which.
pub(super) fn listen(host: &str, port: u16) -> io::Result<(OwnedFd, u16)> {
    let listener = TcpListener::bind((host, port))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((listener.into(), port))
}

/// The addresses of `host`.
pub(super) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

pub(super) fn socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}

/// Has small messages to `peer` leave at once, and its death noticed.
pub(super) fn prepare(socket: impl AsFd, peer: &SocketAddr) -> io::Result<()> {
    sockopt::set_tcp_nodelay(&socket, true)?;
    if peer.ip().is_loopback() {
        let _ = sockopt::set_tcp_congestion(&socket, UNPACED); // a wish: it is as right without
    }
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, HEARTBEAT)?;
    sockopt::set_tcp_keepintvl(&socket, HEARTBEAT)?;
    sockopt::set_tcp_keepcnt(&socket, MISSED_MAX)?;
    Ok(sockopt::set_tcp_user_timeout(&socket, UNACKNOWLEDGED_MAX)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn congestion_after_prepare(peer: &str) -> (String, String) {
        let peer: SocketAddr = peer.parse().unwrap();
        let new = socket(&peer).unwrap();
        let before = sockopt::tcp_congestion(&new).unwrap();
        prepare(&new, &peer).unwrap();
        (before, sockopt::tcp_congestion(&new).unwrap())
    }

    #[test]
    fn nothing_is_paced_on_this_machine() {
        assert_eq!(congestion_after_prepare("127.0.0.1:1").1, UNPACED);
        assert_eq!(congestion_after_prepare("[::1]:1").1, UNPACED);
    }

    #[test]
    fn network_is_dealt_with_as_the_machine_has_it() {
        let (before, after) = congestion_after_prepare("192.0.2.1:1");

        assert_eq!(before, after);
    }
}

//! Where a server is: a socket in the file system, or a port of a machine.
//! Owns: how such a place is written. Must not know: what is there.

use std::fmt;
use std::path::PathBuf;

/// The place of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket, by its path.
    Unix(PathBuf),
    /// A port of a machine, by name or number, as `tcp://host:port`.
    Tcp(String, u16),
}

const SCHEME: &str = "tcp://";

impl Endpoint {
    /// Reads what [`fmt::Display`] writes. None where it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return (!text.is_empty() && !text.contains('\0')).then(|| Self::Unix(text.into()));
        };
        let (host, port) = rest.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        let is_host = !host.is_empty() && host.len() <= 255 && host.bytes().all(is_name);
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if is_host && is_port { Some(Self::Tcp(host.to_owned(), port.parse().ok()?)) } else { None }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "{}", path.display()),
            Self::Tcp(host, port) if host.contains(':') => write!(out, "{SCHEME}[{host}]:{port}"),
            Self::Tcp(host, port) => write!(out, "{SCHEME}{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["tcp://127.0.0.1:80", "tcp://[::1]:8080", "tcp://box.example:1", "/run/user/dog.socket", "dog"] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "tcp://",
            "tcp://:80",
            "tcp://box",
            "tcp://box:",
            "tcp://box:65536",
            "tcp://b x:1",
            "tcp://box:+1",
            "a\0b",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }
}

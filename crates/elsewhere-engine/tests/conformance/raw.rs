//! A peer without the engine.

use std::sync::Arc;

use elsewhere_engine::Link;
use elsewhere_engine::transport::Transport;
use elsewhere_proto::{Connection, Event, Timestamp};

use crate::support::*;

/// A peer that is a bare protocol over a bare stream, so that the test decides about each byte.
pub(crate) struct Raw {
    pub(crate) stream: Transport,
    pub(crate) protocol: Connection<()>,
}

impl Raw {
    fn new(stream: Transport) -> Self {
        Self { stream, protocol: Connection::new(config()) }
    }

    /// Reads byte by byte until a call is complete.
    pub(crate) fn next_call(&mut self) -> elsewhere_proto::IncomingCall {
        let mut byte = [0];
        loop {
            match self.stream.receive(&mut byte) {
                Ok(0) => panic!("the stream ended"),
                Ok(_) => self.protocol.receive(&byte, Timestamp::default()).expect("the other side is ours"),
                Err(rustix::io::Errno::AGAIN) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
            while let Some(event) = self.protocol.poll_event() {
                if let Event::Call(call) = event {
                    return call;
                }
            }
        }
    }

    pub(crate) fn output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        while let Some(bytes) = self.protocol.poll_transmit() {
            output.extend_from_slice(bytes);
            let count = bytes.len();
            self.protocol.transmitted(count);
        }
        output
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        for byte in bytes {
            while self.stream.send(&[*byte]).is_err() {
                std::thread::yield_now();
            }
        }
    }
}

pub(crate) fn raw_peer(mechanism: Mechanism) -> (Arc<Link>, Raw) {
    let (here, there) = mechanism().unwrap();
    (link(here), Raw::new(there))
}

//! What a link promises over every transport.

#[path = "../support/mod.rs"]
mod support;

/// Each of these functions becomes a test for each transport.
macro_rules! conformance {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(elsewhere_engine::transport::Transport::memory_pair); })*
        }
        mod ring {
            $(#[test] fn $name() { super::$name(elsewhere_engine::transport::Transport::ring_pair); })*
        }
        mod unix {
            $(#[test] fn $name() { super::$name(elsewhere_engine::transport::Transport::unix_pair); })*
        }
    };
}

mod calls;
mod ends;
mod raw;
mod waits;

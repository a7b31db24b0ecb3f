//! What the bytes of a frame say, apart from values.
//! Owns: header, kinds, the fixed parts of bodies. Must not know: tables, order, time.

pub(crate) mod call;
pub(crate) mod error_record;
pub(crate) mod forget;
pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod operation;
pub(crate) mod raised;
pub(crate) mod related;

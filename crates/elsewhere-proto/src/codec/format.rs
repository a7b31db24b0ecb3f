//! The bytes that begin values.
//! Owns: the first bytes and the extension types in use. Must not know: what they mean together.

pub(super) const NIL: u8 = 0xc0;
pub(super) const FALSE: u8 = 0xc2;
pub(super) const TRUE: u8 = 0xc3;
pub(super) const BIN8: u8 = 0xc4;
pub(super) const BIN16: u8 = 0xc5;
pub(super) const BIN32: u8 = 0xc6;
pub(super) const EXT8: u8 = 0xc7;
pub(super) const EXT16: u8 = 0xc8;
pub(super) const EXT32: u8 = 0xc9;
pub(super) const FLOAT64: u8 = 0xcb;
pub(super) const UINT8: u8 = 0xcc;
pub(super) const UINT16: u8 = 0xcd;
pub(super) const UINT32: u8 = 0xce;
pub(super) const UINT64: u8 = 0xcf;
pub(super) const INT8: u8 = 0xd0;
pub(super) const INT16: u8 = 0xd1;
pub(super) const INT32: u8 = 0xd2;
pub(super) const INT64: u8 = 0xd3;
pub(super) const FIXEXT1: u8 = 0xd4;
pub(super) const FIXEXT2: u8 = 0xd5;
pub(super) const FIXEXT4: u8 = 0xd6;
pub(super) const FIXEXT8: u8 = 0xd7;
pub(super) const FIXEXT16: u8 = 0xd8;
pub(super) const STR8: u8 = 0xd9;
pub(super) const STR16: u8 = 0xda;
pub(super) const STR32: u8 = 0xdb;
pub(super) const ARRAY16: u8 = 0xdc;
pub(super) const ARRAY32: u8 = 0xdd;
pub(super) const MAP16: u8 = 0xde;
pub(super) const MAP32: u8 = 0xdf;
pub(super) const FIXMAP: u8 = 0x80;
pub(super) const FIXARRAY: u8 = 0x90;
pub(super) const FIXSTR: u8 = 0xa0;

pub(super) const TUPLE: u8 = 1;
pub(super) const SET: u8 = 2;
pub(super) const FROZEN_SET: u8 = 3;
pub(super) const BIG_INT: u8 = 4;
pub(super) const COMPLEX: u8 = 5;
pub(super) const BYTE_ARRAY: u8 = 6;
pub(super) const MEMORY_VIEW: u8 = 7;
pub(super) const REFERENCE: u8 = 8;
pub(super) const PICKLE: u8 = 9;
pub(super) const BUFFER: u8 = 10;
pub(super) const ARRAY: u8 = 11;
pub(super) const INSTANCE: u8 = 12;
pub(super) const GRID: u8 = 13;
/// The content of a long grid begins at a multiple of this in the message, behind so many zeros as that takes.
pub(super) const GRID_ALIGNMENT: usize = 16;
/// That of a shorter one follows at once.
pub(super) const LONG_GRID: usize = 64 * 1024;

pub(super) const OFFER: u8 = 0;
pub(super) const HOME: u8 = 1;
pub(super) const PLACE: u8 = 2;
pub(super) const RECEIVER: u8 = 3;
pub(super) const PROMISE: u8 = 4;

pub(super) const LENT: u8 = 0;
pub(super) const SHARED: u8 = 1;

pub(super) const RAW: u8 = 0;
pub(super) const AS_BYTES: u8 = 1;
pub(super) const AS_BYTE_ARRAY: u8 = 2;
pub(super) const AS_VIEW: u8 = 3;
pub(super) const AS_ARRAY: u8 = 4;
pub(super) const AS_GRID: u8 = 5;

/// The longest big integer, in bytes.
pub(super) const BIG_INT_MAX: usize = 4096;
/// The most dimensions of a memory view.
pub(super) const DIMENSIONS_MAX: usize = 64;

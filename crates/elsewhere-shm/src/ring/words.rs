//! Bytes in and out of a ring, by whole words.
//! Owns: the arithmetic of positions. Must not know: indices of others, waiting.
//!
//! All accesses are atomic and of the same size, eight bytes, so whatever the peer does meanwhile, each yields some value.
//! A word may hold bytes of which some are read, some not yet and some not even written: the producer, which alone writes,
//! merges what it adds into the word; the consumer only loads. Relaxed, because the indices order what matters.

use crate::sync::{AtomicU64, Ordering};

const WORD: usize = size_of::<u64>();
/// What processors take from each other at a time.
const LINE: usize = 64;

/// What bytes are asked for.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Read,
    Write,
}

/// Writes `bytes` from position `at` on, around the end. There is room for them.
pub(super) fn store(words: &[AtomicU64], at: u32, mut bytes: &[u8]) {
    let mut position = index(words, at);
    while !bytes.is_empty() {
        let (word, offset) = (position / WORD, position % WORD);
        let Some(run) = words.get(word..).filter(|run| !run.is_empty()) else { return };
        let taken = if offset == 0 && bytes.len() >= WORD {
            let (chunks, _) = bytes.as_chunks::<WORD>();
            for (word, chunk) in run.iter().zip(chunks) {
                word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
            }
            run.len().min(chunks.len()) * WORD
        } else {
            merge(run, offset, bytes)
        };
        bytes = bytes.get(taken..).unwrap_or_default();
        position = (position + taken) & (words.len() * WORD - 1);
    }
}

/// Writes a part of the first word and tells how many bytes that were.
fn merge(run: &[AtomicU64], offset: usize, bytes: &[u8]) -> usize {
    let Some(word) = run.first() else { return 0 };
    let mut held = word.load(Ordering::Relaxed).to_ne_bytes();
    let mut taken = 0;
    for (place, byte) in held.iter_mut().skip(offset).zip(bytes) {
        *place = *byte;
        taken += 1;
    }
    word.store(u64::from_ne_bytes(held), Ordering::Relaxed);
    taken
}

/// Fills `target` from position `at` on, around the end.
pub(super) fn load(words: &[AtomicU64], at: u32, mut target: &mut [u8]) {
    let mut position = index(words, at);
    while !target.is_empty() {
        let (word, offset) = (position / WORD, position % WORD);
        let Some(run) = words.get(word..).filter(|run| !run.is_empty()) else { return };
        let taken = if offset == 0 && target.len() >= WORD {
            let (chunks, _) = target.as_chunks_mut::<WORD>();
            let count = run.len().min(chunks.len());
            for (word, chunk) in run.iter().zip(chunks) {
                *chunk = word.load(Ordering::Relaxed).to_ne_bytes();
            }
            count * WORD
        } else {
            split(run, offset, target)
        };
        target = target.get_mut(taken..).unwrap_or_default();
        position = (position + taken) & (words.len() * WORD - 1);
    }
}

/// Reads a part of the first word and tells how many bytes that were.
fn split(run: &[AtomicU64], offset: usize, target: &mut [u8]) -> usize {
    let Some(word) = run.first() else { return 0 };
    let held = word.load(Ordering::Relaxed).to_ne_bytes();
    let mut taken = 0;
    for (place, byte) in target.iter_mut().zip(held.iter().skip(offset)) {
        *place = *byte;
        taken += 1;
    }
    taken
}

/// Has the processor fetch what lies at position `at`, and the line behind it: a short message lies in no more. It goes on
/// meanwhile, so that what is done until they are used costs nothing.
pub(super) fn fetch(words: &[AtomicU64], at: u32, what: Use) {
    for at in [at, at.wrapping_add(LINE as u32)] {
        if let Some(word) = words.get(index(words, at) / WORD) {
            fetch_line(word, what);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn fetch_line(word: &AtomicU64, what: Use) {
    let word = std::ptr::from_ref(word);
    // SAFETY: neither instruction changes or reads anything, whatever lies there; processors that lack the second pass it over.
    unsafe {
        match what {
            Use::Read => std::arch::asm!("prefetcht0 [{}]", in(reg) word, options(nostack, preserves_flags)),
            Use::Write => std::arch::asm!("prefetchw [{}]", in(reg) word, options(nostack, preserves_flags)),
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fetch_line(_word: &AtomicU64, _what: Use) {}

fn index(words: &[AtomicU64], at: u32) -> usize {
    at as usize & (words.len() * WORD - 1)
}

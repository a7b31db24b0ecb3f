//! Whose work of several links is next.
//! Owns: when each link had its last turn. Must not know: the queue, threads.

use std::collections::HashMap;

use crate::inbox::Work;

/// When each link had its last turn, so that one which asks for much does not keep the others waiting.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    last: HashMap<u64, u64>,
    count: u64,
}

impl Turns {
    /// Which of the queue is next: what is first of the link that has waited longest for its turn. None of it is what
    /// must not be taken now. What belongs to no link's calls has its turn when it is first.
    pub(crate) fn next<'a>(&mut self, queue: impl Iterator<Item = Option<&'a Work>>) -> Option<usize> {
        let mut best: Option<(u64, usize, u64)> = None;
        let mut seen = Vec::new();
        for (at, work) in queue.enumerate() {
            let Some(work) = work else { continue };
            let Some(link) = work.link_in_turn() else {
                if best.is_none() {
                    return Some(at);
                }
                continue;
            };
            if seen.contains(&link) {
                continue;
            }
            seen.push(link);
            let last = self.last.get(&link).copied().unwrap_or(0);
            if best.is_none_or(|(oldest, ..)| last < oldest) {
                best = Some((last, at, link));
            }
        }
        let (_, at, link) = best?;
        self.count += 1;
        self.last.insert(link, self.count);
        Some(at)
    }

    /// `link` is gone.
    pub(crate) fn forget(&mut self, link: u64) {
        self.last.remove(&link);
    }
}

impl Work {
    /// The link whose turn this is, if it is one.
    fn link_in_turn(&self) -> Option<u64> {
        match self {
            Self::Call(incoming) => Some(incoming.link.id()),
            Self::Turn { link, .. } => Some(link.id()),
            _ => None,
        }
    }
}

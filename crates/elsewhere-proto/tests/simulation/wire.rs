//! One direction of a stream between two simulated peers.
//! Owns: bytes on their way. Must not know: what they mean. Keeps their order; splits, merges and delays them at will.

use std::collections::VecDeque;

use crate::random::Random;

pub(crate) struct Wire {
    pieces: VecDeque<(u64, Vec<u8>)>,
    in_flight: usize,
    capacity: usize,
    last_due: u64,
}

impl Wire {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { pieces: VecDeque::new(), in_flight: 0, capacity, last_due: 0 }
    }

    /// Takes what it has room for; gives how much that was.
    pub(crate) fn accept(&mut self, bytes: &[u8], now: u64, random: &mut Random) -> usize {
        let room = self.capacity.saturating_sub(self.in_flight).min(bytes.len());
        let count = if random.chance(80) { room } else { room.min(1 + random.below(64)) };
        if count > 0 {
            self.last_due = self.last_due.max(now + random.next() % 4);
            self.pieces.push_back((self.last_due, bytes[..count].to_vec()));
            self.in_flight += count;
        }
        count
    }

    /// What has arrived, cut anew.
    pub(crate) fn arrived(&mut self, now: u64, random: &mut Random) -> Vec<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some((_, piece)) = self.pieces.pop_front_if(|(due, _)| *due <= now) {
            whole.extend_from_slice(&piece);
        }
        self.in_flight -= whole.len();
        let mut parts = Vec::new();
        let mut rest = &whole[..];
        while !rest.is_empty() {
            let most = if random.chance(60) { rest.len() } else { rest.len().min(1 + random.below(100)) };
            let (part, more) = rest.split_at(most);
            parts.push(part.to_vec());
            rest = more;
        }
        parts
    }

    /// Loses everything behind some byte of what is on its way.
    pub(crate) fn cut(&mut self, random: &mut Random) {
        let mut keep = random.below(self.in_flight + 1);
        for (_, piece) in &mut self.pieces {
            piece.truncate(keep);
            keep -= piece.len();
        }
        self.in_flight = self.pieces.iter().map(|(_, piece)| piece.len()).sum();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight == 0
    }
}

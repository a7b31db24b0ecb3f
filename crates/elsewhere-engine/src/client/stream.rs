//! The items of an iterator in a host.
//! Owns: how many items may be under way. Must not know: what is iterated.

use std::collections::VecDeque;
use std::sync::Arc;

use elsewhere_proto::Want;
use elsewhere_proto::codec::{CodecError, Limits, Reader, Value};

use super::Error;
use super::call::{Connected, Path, body_of};
use crate::pending::{Items, Pending};

/// Items under way at most.
const CREDIT: u32 = 64;

/// The items of an iterator in a host, in order. Its drop ends the iteration there.
#[derive(Debug)]
pub struct Stream {
    connected: Arc<Connected>,
    pending: Arc<Pending>,
    arrived: VecDeque<Value>,
    /// Items taken and not yet granted anew.
    taken: u32,
    is_over: bool,
}

impl Stream {
    pub(super) fn open(connected: &Arc<Connected>, path: &Path) -> Result<Self, Error> {
        let pending = connected.submit(path, Want::Stream)?;
        connected.link().credit(&pending, CREDIT);
        let connected = Arc::clone(connected);
        Ok(Self { connected, pending, arrived: VecDeque::new(), taken: 0, is_over: false })
    }

    fn take_in(&mut self, items: &Items) -> Result<(), CodecError> {
        let mut reader = Reader::new(&items.body, Limits::default());
        for _ in 0..items.count {
            self.arrived.push_back(Value::read(&mut reader)?);
        }
        self.connected.link().discard(&items.body); // references in it would be nobody's
        Ok(())
    }

    fn take(&mut self) -> Option<Value> {
        let value = self.arrived.pop_front()?;
        self.taken += 1;
        // Half at a time: fewer messages, and the other half keeps the host busy.
        if self.taken == CREDIT / 2 {
            self.connected.link().credit(&self.pending, std::mem::take(&mut self.taken));
        }
        Some(value)
    }

    fn end(&mut self) -> Option<Result<Value, Error>> {
        self.is_over = true;
        let arrival = self.pending.take()?;
        body_of(arrival).err().map(Err)
    }
}

impl Iterator for Stream {
    type Item = Result<Value, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(value) = self.take() {
                return Some(Ok(value));
            }
            if self.is_over {
                return None;
            }
            // Asked first: no items come after the end.
            let is_done = self.pending.is_done();
            match self.pending.take_items() {
                Some(items) => {
                    if let Err(error) = self.take_in(&items) {
                        self.is_over = true;
                        return Some(Err(error.into()));
                    }
                }
                None if is_done => return self.end(),
                None => self.connected.wait(&self.pending),
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connected.link().cancel(&self.pending, false);
        self.connected.link().forget(&self.pending);
    }
}

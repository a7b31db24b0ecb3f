//! What really happened to every call, seen from outside both peers.
//! Owns: the history and the claims that are checked against it. Must not know: bytes.

use std::collections::BTreeMap;

use elsewhere_proto::{Outcome, Want};

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Replied,
    Failed(Outcome),
    TimedOut,
    Cancelled,
    Lost(Outcome),
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) want: Want,
    pub(crate) is_started: bool,
    pub(crate) is_finished: bool,
    pub(crate) end: Option<End>,
    pub(crate) granted: u64,
    pub(crate) items: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: Vec<Record>,
    /// References by (exporter, object): offered and not yet looked at, held by the other side.
    pub(crate) travelling: BTreeMap<(usize, u64), i64>,
    pub(crate) held: BTreeMap<(usize, u64), i64>,
}

impl Ledger {
    pub(crate) fn make(&mut self, want: Want) -> u64 {
        let record = Record { want, is_started: false, is_finished: false, end: None, granted: 0, items: 0 };
        self.records.push(record);
        self.records.len() as u64 - 1
    }

    pub(crate) fn record(&mut self, serial: u64) -> &mut Record {
        &mut self.records[serial as usize]
    }

    /// The call that was just noted was refused.
    pub(crate) fn unmake(&mut self) {
        self.records.pop();
    }

    pub(crate) fn start(&mut self, serial: u64) {
        let record = self.record(serial);
        assert!(!record.is_started, "call {serial} was started twice");
        assert!(record.end != Some(End::Lost(Outcome::NotStarted)), "call {serial} was said to be not started");
        record.is_started = true;
    }

    pub(crate) fn finish(&mut self, serial: u64) {
        let record = self.record(serial);
        assert!(record.is_started && !record.is_finished, "call {serial} finished out of turn");
        record.is_finished = true;
    }

    pub(crate) fn end(&mut self, serial: u64, end: End) {
        let record = self.record(serial);
        assert_eq!(record.end, None, "call {serial} ended twice, now with {end:?}");
        assert!(record.want != Want::Nothing, "post {serial} ended with {end:?}");
        record.end = Some(end);
        match end {
            End::Replied => assert!(record.is_finished, "call {serial} was answered before it finished"),
            End::Failed(Outcome::Finished) => assert!(record.is_finished, "call {serial} failed before it ran"),
            End::Failed(Outcome::NotStarted) | End::Lost(Outcome::NotStarted) => {
                assert!(!record.is_started, "call {serial} was started, but {end:?}");
            }
            _ => {}
        }
    }

    /// At the end of everything.
    pub(crate) fn check_all_ended(&self) {
        for (serial, record) in self.records.iter().enumerate() {
            let is_post = record.want == Want::Nothing;
            assert!(record.end.is_some() != is_post, "call {serial} never ended: {record:?}");
        }
    }

    /// Without losses every post has run.
    pub(crate) fn check_posts_ran(&self) {
        for (serial, record) in self.records.iter().enumerate().filter(|(_, record)| record.want == Want::Nothing) {
            assert!(record.is_finished, "post {serial} never ran");
        }
    }

    pub(crate) fn change(counts: &mut BTreeMap<(usize, u64), i64>, key: (usize, u64), by: i64) {
        let count = counts.entry(key).or_default();
        *count += by;
        assert!(*count >= 0, "references of {key:?} fell below zero");
        if *count == 0 {
            counts.remove(&key);
        }
    }

    pub(crate) fn is_referenced(&self, key: (usize, u64)) -> bool {
        self.travelling.contains_key(&key) || self.held.contains_key(&key)
    }
}

//! One call, from a path to the body of its answer.
//! Owns: how a path is written, lanes and their numbers. Must not know: what an answer means.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use elsewhere_proto::codec::{CodecError, Limits, Value, Writer};
use elsewhere_proto::{CallHead, ChainId, ErrorRecord, LaneId, ObjectId, Op, Want};

use super::Error;
use crate::chains::ChainSeat;
use crate::error::{Arrival, SubmitError};
use crate::inbox::Work;
use crate::link::{Expect, Link, Request, Wake};
use crate::lock::lock;
use crate::pending::Pending;
use crate::process::HostProcess;
use crate::refusal;

thread_local! {
    static LANE: LaneId = {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        LaneId(NEXT.fetch_add(1, Ordering::Relaxed)) // only distinct numbers are wanted
    };
}

/// A host and what its calls are numbered by.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) process: HostProcess,
    numbers: Mutex<BTreeMap<u32, u32>>,
}

/// Steps from an object, written as they are added.
pub(super) struct Path {
    target: ObjectId,
    steps: u16,
    body: Result<Vec<u8>, CodecError>,
}

/// A map with text keys.
pub(super) fn map(pairs: &[(&str, Value)]) -> Value {
    Value::Map(pairs.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

impl Path {
    pub(super) fn new(target: ObjectId) -> Self {
        Self { target, steps: 0, body: Ok(Vec::new()) }
    }

    pub(super) fn attribute(self, name: &str) -> Self {
        self.step(Op::Attribute, |body| Writer::new(body).str(name))
    }

    pub(super) fn call(self, arguments: &[Value], keywords: &[(&str, Value)]) -> Self {
        let limits = Limits::default();
        self.step(Op::Call, |body| {
            Value::List(arguments.to_vec()).encode(body, limits)?;
            map(keywords).encode(body, limits)
        })
    }

    fn step(mut self, op: Op, operands: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>) -> Self {
        self.steps += 1;
        self.body = self.body.and_then(|mut body| {
            Writer::new(&mut body).int(op.code());
            operands(&mut body)?;
            Ok(body)
        });
        self
    }

    fn write(&self, want: Want) -> Result<Vec<u8>, Error> {
        let steps = self.body.as_ref().map_err(Clone::clone)?;
        let mut body = Vec::with_capacity(CallHead::LEN + steps.len());
        CallHead { target: self.target, deadline: None, want, steps: self.steps }.write(&mut body);
        body.extend_from_slice(steps);
        Ok(body)
    }
}

impl Connected {
    pub(super) fn new(process: HostProcess) -> Self {
        Self { process, numbers: Mutex::default() }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        self.process.link()
    }

    /// Makes a call and waits for the body of its reply.
    pub(super) fn answer(&self, path: &Path, want: Want) -> Result<Vec<u8>, Error> {
        let pending = self.submit(path, want)?;
        loop {
            if let Some(arrival) = pending.take() {
                return body_of(arrival);
            }
            self.wait(&pending);
        }
    }

    /// Makes a call; waits only for room in the window.
    pub(super) fn submit(&self, path: &Path, want: Want) -> Result<Arc<Pending>, Error> {
        let mut body = path.write(want)?;
        let lane = LANE.with(|lane| *lane);
        let number = {
            let mut numbers = lock(&self.numbers);
            let number = numbers.entry(lane.0).or_default();
            *number = number.wrapping_add(1);
            *number
        };
        loop {
            let request = Request {
                lane,
                number,
                chain: ChainId(0),
                nested: false,
                deadline: None,
                weight: 0,
                body: &mut body,
                expect: if want == Want::Stream { Expect::Items } else { Expect::Answer },
            };
            match self.link().submit(request) {
                Ok(pending) => return Ok(pending.expect("a call that wants an answer has a place for it")),
                Err(SubmitError::WindowFull) => drop(self.link().wait_window(body.len(), None, &ChainSeat::NONE)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for news of a call. Meanwhile calls of the host are turned away: nothing here could be called.
    pub(super) fn wait(&self, pending: &Arc<Pending>) {
        if let Wake::Call(incoming) = self.link().wait(pending, None, None, &ChainSeat::NONE) {
            turn_away(Work::Call(incoming));
        }
        while let Some(work) = self.link().inbox().try_pop() {
            turn_away(work);
        }
    }
}

/// The body of the reply, or why there is none.
pub(super) fn body_of(arrival: Arrival) -> Result<Vec<u8>, Error> {
    match arrival {
        Arrival::Reply(body) => Ok(body),
        Arrival::Error(body) => Err(Error::Raised(Box::new(ErrorRecord::decode(&body, Limits::default())?))),
        Arrival::Lost { loss, outcome } => Err(Error::Lost { loss, outcome }),
        Arrival::TimedOut | Arrival::Cancelled => unreachable!("calls here have no deadline and are not cancelled"),
    }
}

fn turn_away(work: Work) {
    let Work::Call(incoming) = work else { return };
    let (link, call) = incoming.into_parts();
    if call.head.want == Want::Nothing {
        link.finish(call.call);
    } else {
        // Refused only after the end, when nobody waits for it.
        let _ = link.fail(call.call, call.lane, &mut refusal::refused());
    }
}

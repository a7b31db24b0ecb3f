//! Calls around long content, which is sent from where it lies as long as that is no longer than it takes.
//! Owns: how long a caller waits for that, and that nobody has the content after it. Must not know: how a message is cut.
//!
//! The message waits in its line like any other, whoever sends its parts. Its caller stays until all of the content has gone,
//! and copies the rest when the peer is slow, when the call is over already, or when somebody wants the caller. So what was
//! begun of a message always goes on. The caller holds the lock for short turns, between which others have theirs; he
//! therefore sends what they leave, too.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use elsewhere_proto::{CallId, Content, Inset};
use elsewhere_shm::{Lease, pages};

use super::{Link, Request};
use crate::error::SubmitError;
use crate::exit;
use crate::lock::lock;
use crate::parker::{self, Parker, Watched};
use crate::pending::Pending;
use crate::transport::Transport;

/// How long a peer may take nothing. Then it may take its time, if there is memory for that.
const STALL: Duration = Duration::from_millis(20);
/// How often the caller is asked whether he has the time.
const ASKED_EVERY: Duration = Duration::from_millis(50);
/// How long another thread is given to take the lock that it waits for: it may have to wake up first.
const GIVEN: Duration = Duration::from_micros(200);

impl Link {
    /// Whether content may go from where it lies, with nothing before it: see [`submit_straight`](Self::submit_straight).
    #[must_use]
    pub fn sends_straight(&self) -> bool {
        let takes = |transport: &Arc<Transport>| transport.takes_from_anywhere();
        !self.is_inherited() && !self.attention.is_blocked() && lock(&self.roles).transport().is_some_and(takes)
    }

    /// Sends a call as [`submit_numbered`](Self::submit_numbered) does, with `content` put in `at` this place of its body.
    /// Nobody reads the content after this: what the peer did not take by then is a copy.
    ///
    /// With `patience` it may take as long as the peer takes bytes and `patience`, asked again and again, is true; to be
    /// called detached from Python then. Without it never waits for the peer.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_straight(
        self: &Arc<Self>,
        request: Request<'_>,
        (at, content): (usize, &[u8]),
        patience: Option<&mut dyn FnMut() -> bool>,
    ) -> Result<(CallId, Option<Arc<Pending>>), SubmitError> {
        let until = request.deadline;
        Lease::with(content, |lease| {
            let inset = Inset { at, content: Content::new(lease.clone()) };
            let (call, pending) = self.submit_around(request, Some(inset))?;
            let sending = Sending { link: self, call, lease };
            if let Some(patience) = patience {
                sending.send_while(patience, || {
                    let is_late = until.is_some_and(|until| until <= Instant::now());
                    is_late || pending.as_ref().is_some_and(|pending| pending.is_done())
                });
            }
            drop(sending);
            exit::gate();
            Ok((call, pending))
        })
    }

    /// Lets others take the lock of the wire who wait for it.
    fn give_way(&self) {
        let begin = Instant::now();
        while self.wire_wanted.load(Ordering::Relaxed) > 0 && begin.elapsed() < GIVEN {
            std::thread::yield_now(); // Relaxed: a hint
        }
    }
}

/// Content that is being sent from where it lies.
struct Sending<'a> {
    link: &'a Arc<Link>,
    call: CallId,
    lease: &'a Lease,
}

impl Sending<'_> {
    /// Sends until all of it has gone, or until it is better to go on without the caller.
    fn send_while(&self, patience: &mut dyn FnMut() -> bool, is_over: impl Fn() -> bool) {
        let link = self.link;
        let parker = parker::current();
        let mut now = Instant::now();
        let (mut last, mut moved, mut asked) = (usize::MAX, now, now);
        while let Some(sent) = link.with_wire(|wire| wire.protocol.sent_of(self.call)) {
            link.attention.add_activity(); // or the watch thread would take over
            if is_over() {
                return;
            }
            now = Instant::now();
            if now.duration_since(asked) >= ASKED_EVERY {
                asked = now;
                exit::gate(); // he may need an interpreter for that
                if !patience() {
                    return;
                }
            }
            if sent != last {
                (last, moved) = (sent, now);
            }
            if link.attention.is_blocked() {
                if now.duration_since(moved) >= STALL {
                    if self.may_copy(sent) {
                        return;
                    }
                    moved = now;
                }
                let left = STALL.saturating_sub(now.duration_since(moved));
                if link.is_input_over() || !self.sleep(&parker, left) {
                    return;
                }
            }
            link.give_way();
        }
    }

    /// Waits for room, at most so long. False if there is no stream any more.
    fn sleep(&self, parker: &Parker, left: Duration) -> bool {
        let transport = lock(&self.link.roles).transport().cloned();
        let Some(transport) = transport else { return false };
        let woken = parker.sleep(Some(Watched { transport: &transport, want_write: true }), None, Some(left));
        if woken.readable {
            self.link.try_read(); // the peer may be waiting for the same
        }
        true
    }

    /// Whether there is memory for a copy of what comes after `sent` bytes. Where there is none, the caller has all the time.
    fn may_copy(&self, sent: usize) -> bool {
        let content: &[u8] = self.lease.as_ref();
        pages::check(content.len().saturating_sub(sent)).is_ok()
    }

    /// A copy of what was not sent yet, without the lock, and how much that leaves out.
    fn rest(&self) -> (usize, Vec<u8>) {
        let content: &[u8] = self.lease.as_ref();
        let sent = lock(&self.link.wire).protocol.sent_of(self.call);
        let sent = sent.unwrap_or(content.len());
        let left = content.get(sent..).unwrap_or_default();
        let mut rest = Vec::new();
        if !left.is_empty() {
            pages::make_room(&mut rest, left.len());
            rest.extend_from_slice(left);
        }
        (sent, rest)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let (sent, rest) = self.rest();
        self.link.with_wire(|wire| {
            wire.protocol.keep(self.call, sent, rest);
            wire.straight -= 1;
        });
    }
}

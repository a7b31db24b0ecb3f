//! The way of what has arrived, to whom it concerns.
//! Owns: that each call ends once and each reference is given back. Must not know: sockets, who reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use elsewhere_proto::{CallId, Event, IncomingCall, Want};

use super::Link;
use crate::chains;
use crate::error::Arrival;
use crate::home::Home;
use crate::inbox::{Incoming, Work};
use crate::interrupts::{self, Interrupt};
use crate::pending::{Items, Pending, Told};
use crate::refusal;

impl Link {
    pub(super) fn route(self: &Arc<Self>, event: Event<Arc<Pending>>) {
        match event {
            Event::Established(hello) => {
                let _ = self.hello.set(hello);
                self.wake_all();
            }
            Event::Reply { token, body, .. } => {
                self.complete(&token, Arrival::Reply(body));
            }
            Event::Failed { token, body, .. } => {
                self.complete(&token, Arrival::Error(body));
            }
            Event::TimedOut { call, token } => {
                self.expect_later();
                if token.is_broken_off() {
                    // Behind the cancel that every deadline sends.
                    let _ = self.answer_quietly(|protocol| {
                        protocol.cancel(call, true);
                        Ok(())
                    });
                }
                self.complete(&token, Arrival::TimedOut);
            }
            Event::Lost { call, token, outcome } => {
                let outcome = if self.is_peer_dead() { self.recorded(call, outcome) } else { outcome };
                // Before the end the peer has said that it will not begin this one.
                let loss = self.loss().unwrap_or_else(|| Arc::new(self.plain_loss()));
                self.complete(&token, Arrival::Lost { loss, outcome });
            }
            Event::Items { token, count, body, .. } => {
                let mark = self.begin_mark(&body);
                self.add_items(&token, Items { count, body, mark });
            }
            Event::Late { token, outcome, body, .. } => {
                if let (Some(pending), Some(outcome)) = (token, outcome)
                    && pending.set_fate(outcome)
                {
                    self.wake_waiters_of(&pending);
                }
                self.discard(&body);
            }
            Event::Call(call) => self.on_call(call),
            Event::Cancelled { call, interrupt } => self.on_cancelled(call, interrupt),
            Event::Credit { call, n } => self.inbox.push(Work::Credit { link: Arc::clone(self), call, count: n }),
            Event::Awaited { call, chain } => {
                self.inbox.push(Work::Awaited { link: Arc::clone(self), call, chain });
            }
            Event::Released { object } => self.on_released(object),
            Event::Forgotten(what) => self.on_forgotten(what),
            Event::Pong { token } => self.note_life(token),
            Event::GoAway { text, .. } => self.end.note_refusal(text),
            Event::Closing => {
                self.end.note_peer_closing();
                self.wake_all();
                self.wake_servers();
            }
        }
    }

    /// Ends a call and tells everybody who wants to know. Returns whether this arrival is its end.
    pub(super) fn complete(self: &Arc<Self>, pending: &Arc<Pending>, arrival: Arrival) -> bool {
        let mark = match &arrival {
            Arrival::Reply(body) | Arrival::Error(body) => self.begin_mark(body),
            _ => None,
        };
        let refused = match pending.complete(arrival, mark) {
            Ok(told) => {
                self.tell(pending, told);
                return true;
            }
            Err(refused) => refused,
        };
        self.end_mark(mark);
        if let Arrival::Reply(body) | Arrival::Error(body) = refused {
            self.discard(&body);
        }
        false
    }

    fn add_items(self: &Arc<Self>, pending: &Arc<Pending>, items: Items) {
        match pending.add_items(items) {
            Ok(told) => self.tell(pending, told),
            Err(items) => {
                self.end_mark(items.mark);
                self.discard(&items.body);
            }
        }
    }

    fn tell(&self, pending: &Arc<Pending>, told: Told) {
        if told.is_awaited {
            self.wake_waiters_of(pending);
        }
        self.attention_lost(&told.observers);
        self.note_told(&told.observers);
        for observer in told.observers {
            observer.completed();
        }
    }

    fn on_call(self: &Arc<Self>, call: IncomingCall) {
        self.attention.add_activity();
        if let Some(home) = self.home.get().filter(|_| Home::is_for_us(&call)) {
            home.add_told(call.steps());
            home.tell();
            let _ = self.answer_quietly(|protocol| {
                protocol.finish(call.call);
                Ok(())
            });
            return;
        }
        chains::deliver(Incoming::new(Arc::clone(self), call), &self.inbox);
    }

    /// A call that nobody has begun never runs; for one that runs, whoever runs it is told.
    fn on_cancelled(self: &Arc<Self>, call: CallId, interrupt: bool) {
        let Some(incoming) = chains::remove_call(self, &self.inbox, call) else {
            if interrupt {
                interrupts::ask(Interrupt { link: self.id, call });
            }
            self.inbox.push(Work::Cancelled { link: Arc::clone(self), call, interrupt });
            return;
        };
        self.discard(incoming.steps());
        if incoming.call.head.want != Want::Nothing {
            let mut body = refusal::cancelled();
            // Refused only for a call that is not open, and this one is.
            let _ = self.answer_quietly(|protocol| protocol.fail(call, incoming.call.lane, &mut body));
        }
    }

    /// The room in the window may have grown.
    pub(super) fn wake_for_room(&self) {
        // SeqCst: pairs with the count in `sit`, raised before the waiter looks whether there is room.
        if self.attention.room_waiters.load(Ordering::SeqCst) > 0 {
            self.wake_all();
        }
    }
}

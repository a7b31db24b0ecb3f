//! What a host prints and tells, on its way to whoever shows it in this process.
//! Owns: the bounded queue of it and who is told of news. Must not know: what the texts and messages say.
//!
//! Whoever waits drives: news wake a thread that waits on the host's link, and only where none does the observer is told.
//! What comes before an answer is in the queue before that answer is taken (messages come by the same stream; of what was
//! printed, whoever takes the answer first reads the pipes), so a program that shows the queue when it takes an answer
//! shows everything in its place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use elsewhere_proto::{IncomingCall, ObjectId, Want};

use crate::link::Link;
use crate::lock::lock;
use crate::observer::Observer;

/// Bytes that wait to be shown. Beyond that the oldest go.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// What one piece takes beside its bytes.
const PIECE_COST: usize = 64;

/// Which of a process's streams something was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its standard output.
    Output,
    /// Its standard error.
    Error,
}

/// One thing to show.
#[derive(Debug)]
pub enum Piece {
    /// Bytes that were written, in their order, cut anywhere.
    Printed(Stream, Vec<u8>),
    /// The steps of a call that the host made on our object number 0 without wanting an answer.
    Told(Vec<u8>),
    /// So many bytes and messages older than what follows were dropped, because nobody took them.
    Dropped {
        /// Bytes of output.
        bytes: u64,
        /// Messages.
        messages: u64,
    },
}

/// The queue of one host.
#[derive(Debug)]
pub struct Home {
    observer: Observer,
    link: OnceLock<Weak<Link>>,
    state: Mutex<State>,
    /// How many pieces there are: a look without the lock.
    count: AtomicUsize,
    /// Whether the last piece that was taken may not be shown yet: whoever takes comes back until nothing is left.
    is_taking: AtomicBool,
    /// Whether there are pieces that no thread was told of.
    is_fresh: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Piece>,
    bytes: usize,
    dropped_bytes: u64,
    dropped_messages: u64,
    is_observer_told: bool,
}

impl Home {
    /// An empty queue. `observer` is told of news that no waiting thread takes; one telling stands for all news until the
    /// queue was empty.
    #[must_use]
    pub fn new(observer: Observer) -> Arc<Self> {
        Arc::new(Self {
            observer,
            link: OnceLock::new(),
            state: Mutex::default(),
            count: AtomicUsize::new(0),
            is_taking: AtomicBool::new(false),
            is_fresh: AtomicBool::new(false),
        })
    }

    /// Names the link that the host's messages come by. Once.
    pub(crate) fn set_link(&self, link: &Arc<Link>) {
        self.link.set(Arc::downgrade(link)).expect("a home belongs to one host");
    }

    /// Whether there is something to show, or something is just being shown.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.is_taking.load(Ordering::SeqCst) || self.count.load(Ordering::SeqCst) > 0
    }

    /// Takes the oldest piece. To be called by one thread at a time, again and again until it gives None.
    #[must_use]
    pub fn take(&self) -> Option<Piece> {
        let mut state = lock(&self.state);
        let piece = state.take();
        self.is_taking.store(piece.is_some(), Ordering::SeqCst); // before the count: a look finds one of them
        self.count.store(state.len(), Ordering::SeqCst);
        piece
    }

    /// Adds what was printed. Follow with [`tell`](Self::tell), holding no lock.
    pub(crate) fn add_printed(&self, stream: Stream, bytes: &[u8]) {
        let mut state = lock(&self.state);
        match state.pieces.back_mut() {
            Some(Piece::Printed(last, text)) if *last == stream => {
                text.extend_from_slice(bytes);
                state.bytes += bytes.len();
            }
            _ => state.push(Piece::Printed(stream, bytes.to_vec())),
        }
        self.settle(&mut state);
    }

    /// Whether a call is a message for this queue.
    pub(crate) fn is_for_us(call: &IncomingCall) -> bool {
        call.head.target == ObjectId::BOOTSTRAP && call.head.want == Want::Nothing
    }

    /// Adds a message. Follow with [`tell`](Self::tell).
    pub(crate) fn add_told(&self, steps: &[u8]) {
        let mut state = lock(&self.state);
        state.push(Piece::Told(steps.to_vec()));
        self.settle(&mut state);
    }

    fn settle(&self, state: &mut State) {
        while state.bytes > BYTES_MAX && state.drop_oldest() {}
        self.count.store(state.len(), Ordering::SeqCst);
        self.is_fresh.store(true, Ordering::SeqCst);
    }

    /// Tells whoever waits on the link, else the observer, that there are news.
    pub(crate) fn tell(&self) {
        let link = self.link.get().and_then(Weak::upgrade);
        // The waiter looks at `is_fresh` before each sleep, after it was registered; so either it is found here, or sees it.
        if !link.is_some_and(|link| link.wake_for_news()) {
            self.tell_observer();
        }
    }

    /// Tells the observer, where there are news that no thread was told of.
    pub(crate) fn tell_observer(&self) {
        {
            let mut state = lock(&self.state);
            if state.len() == 0 || state.is_observer_told {
                return;
            }
            state.is_observer_told = true;
        }
        self.is_fresh.store(false, Ordering::SeqCst);
        self.observer.clone().completed();
    }

    /// Whether there are news that no thread was told of; the caller is, with this.
    pub(crate) fn claim(&self) -> bool {
        self.is_fresh.load(Ordering::SeqCst) && self.is_fresh.swap(false, Ordering::SeqCst) && self.has_news()
    }

    /// Whether there are news that no thread was told of.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_fresh.load(Ordering::SeqCst)
    }
}

impl State {
    fn len(&self) -> usize {
        self.pieces.len() + usize::from(self.dropped_bytes + self.dropped_messages > 0)
    }

    fn push(&mut self, piece: Piece) {
        self.bytes += piece.cost();
        self.pieces.push_back(piece);
    }

    fn take(&mut self) -> Option<Piece> {
        let (bytes, messages) = (std::mem::take(&mut self.dropped_bytes), std::mem::take(&mut self.dropped_messages));
        if bytes + messages > 0 {
            return Some(Piece::Dropped { bytes, messages });
        }
        let piece = self.pieces.pop_front();
        self.bytes -= piece.as_ref().map_or(0, Piece::cost);
        self.is_observer_told &= !self.pieces.is_empty();
        piece
    }

    /// Drops the oldest piece, of a long text its older half. False where there is none.
    fn drop_oldest(&mut self) -> bool {
        if self.pieces.len() == 1
            && let Some(Piece::Printed(_, text)) = self.pieces.front_mut()
        {
            let half = text.len() / 2;
            text.drain(..half);
            self.bytes -= half;
            self.dropped_bytes += half as u64;
            return half > 0;
        }
        let Some(piece) = self.pieces.pop_front() else { return false };
        self.bytes -= piece.cost();
        match piece {
            Piece::Printed(_, text) => self.dropped_bytes += text.len() as u64,
            Piece::Told(_) => self.dropped_messages += 1,
            Piece::Dropped { .. } => {}
        }
        true
    }
}

impl Piece {
    fn cost(&self) -> usize {
        PIECE_COST
            + match self {
                Self::Printed(_, bytes) | Self::Told(bytes) => bytes.len(),
                Self::Dropped { .. } => 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::{Inbox, Work};

    fn home() -> (Arc<Home>, Arc<Inbox>) {
        let inbox = Inbox::new();
        (Home::new(Observer::Inbox(Arc::clone(&inbox), 7)), inbox)
    }

    fn texts(home: &Home) -> Vec<String> {
        std::iter::from_fn(|| home.take()).map(|piece| format!("{piece:?}")).collect()
    }

    #[test]
    fn pieces_come_out_in_their_order() {
        let (home, _inbox) = home();

        home.add_printed(Stream::Output, b"a");
        home.add_printed(Stream::Output, b"b");
        home.add_told(b"m");
        home.add_printed(Stream::Error, b"c");

        assert_eq!(texts(&home), ["Printed(Output, [97, 98])", "Told([109])", "Printed(Error, [99])"]);
        assert!(!home.has_news());
    }

    #[test]
    fn oldest_go_first_and_are_counted() {
        let (home, _inbox) = home();

        home.add_told(b"m");
        home.add_printed(Stream::Output, &vec![0; BYTES_MAX / 2]);
        home.add_printed(Stream::Error, &vec![1; BYTES_MAX / 2]);

        let Some(Piece::Dropped { bytes, messages }) = home.take() else { panic!("nothing was dropped") };
        assert_eq!((bytes as usize, messages), (BYTES_MAX / 2, 1));
        let Some(Piece::Printed(Stream::Error, text)) = home.take() else { panic!("the newest is lost") };
        assert_eq!(text.len(), BYTES_MAX / 2);
        assert!(home.take().is_none());
    }

    #[test]
    fn long_text_loses_its_beginning() {
        let (home, _inbox) = home();

        for _ in 0..64 {
            home.add_printed(Stream::Output, &vec![0; BYTES_MAX / 16]);
        }
        home.add_printed(Stream::Output, b"last words");

        let Some(Piece::Dropped { bytes, .. }) = home.take() else { panic!("nothing was dropped") };
        let Some(Piece::Printed(_, text)) = home.take() else { panic!("nothing is left") };
        assert_eq!(bytes as usize + text.len(), 4 * BYTES_MAX + 10);
        assert!(text.ends_with(b"last words") && text.len() <= BYTES_MAX);
    }

    #[test]
    fn observer_is_told_once_until_the_queue_is_empty() {
        let (home, inbox) = home();

        home.add_printed(Stream::Output, b"a");
        home.tell();
        home.add_told(b"b");
        home.tell();
        assert!(matches!(inbox.try_pop(), Some(Work::Completed(7))));
        assert!(inbox.is_empty());

        while home.take().is_some() {}
        home.add_told(b"c");
        home.tell();
        assert!(matches!(inbox.try_pop(), Some(Work::Completed(7))));
    }
}

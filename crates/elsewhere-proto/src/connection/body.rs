//! The body of a message that waits to be sent.
//! Owns: its pieces. Must not know: frames, who lent what is lent.
//!
//! Long content may be lent for it: it lies elsewhere, and is there only until whoever lent it takes it back. What was not sent
//! by then he puts here.

use std::fmt;

use crate::ids::CallId;

/// Long content that a message is sent with from where it lies.
pub struct Content(Box<dyn AsRef<[u8]> + Send + Sync>);

impl Content {
    /// Content that is the same whenever it is asked for.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Box::new(bytes))
    }

    fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.bytes().len())
    }
}

/// What a message is written around.
#[derive(Debug)]
pub struct Inset {
    /// Where in the message it belongs.
    pub at: usize,
    /// What it is.
    pub content: Content,
}

impl Inset {
    pub(super) fn len(&self) -> usize {
        self.content.bytes().len()
    }
}

/// What a message consists of.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// All but the inset.
    own: Vec<u8>,
    inset: Option<Placed>,
}

#[derive(Debug)]
struct Placed {
    of: CallId,
    at: usize,
    len: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Lent(Content),
    /// A copy of what follows the first `from` bytes, which were sent.
    Kept {
        from: usize,
        bytes: Vec<u8>,
    },
}

impl From<Vec<u8>> for Body {
    fn from(own: Vec<u8>) -> Self {
        Self { own, inset: None }
    }
}

impl Body {
    /// The body of `call` around an inset.
    pub(super) fn around(own: Vec<u8>, call: CallId, Inset { at, content }: Inset) -> Self {
        let (at, len) = (at.min(own.len()), content.bytes().len());
        Self { own, inset: Some(Placed { of: call, at, len, place: Place::Lent(content) }) }
    }

    pub(super) fn len(&self) -> usize {
        self.own.len().saturating_add(self.inset.as_ref().map_or(0, |inset| inset.len))
    }

    /// What lies in one piece from `from` on. Empty only behind the end.
    pub(super) fn piece(&self, from: usize) -> &[u8] {
        let Some(Placed { at, len, place, .. }) = &self.inset else { return self.own.get(from..).unwrap_or_default() };
        if from < *at {
            return self.own.get(from..*at).unwrap_or_default();
        }
        let inside = from.saturating_sub(*at);
        if inside >= *len {
            return self.own.get(from.saturating_sub(*len)..).unwrap_or_default();
        }
        match place {
            Place::Lent(content) => content.bytes().get(inside..),
            Place::Kept { from, bytes } => inside.checked_sub(*from).and_then(|begin| bytes.get(begin..)),
        }
        .unwrap_or_default()
    }

    /// Whether it is that of `call`, around content that is lent.
    pub(super) fn is_lent_to(&self, call: CallId) -> bool {
        matches!(&self.inset, Some(Placed { of, place: Place::Lent(_), .. }) if *of == call)
    }

    /// How much of what is lent lies before `from`.
    pub(super) fn lent_before(&self, from: usize) -> usize {
        self.inset.as_ref().map_or(0, |inset| from.saturating_sub(inset.at).min(inset.len))
    }

    /// Puts a copy in place of what was lent, without its first `from` bytes.
    pub(super) fn keep(&mut self, from: usize, bytes: Vec<u8>) {
        if let Some(inset) = &mut self.inset {
            inset.place = Place::Kept { from, bytes };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallId = CallId(7);

    fn around(at: usize) -> Body {
        Body::around(b"<>".to_vec(), CALL, Inset { at, content: Content::new(b"content") })
    }

    fn all(body: &Body, mut from: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !body.piece(from).is_empty() {
            all.extend_from_slice(body.piece(from));
            from += body.piece(from).len();
        }
        all
    }

    #[test]
    fn pieces_are_the_whole_wherever_the_inset_stands() {
        for (at, whole) in [(0, b"content<>"), (1, b"<content>"), (2, b"<>content"), (9, b"<>content")] {
            let body = around(at);

            assert_eq!(body.len(), 9);
            assert_eq!(all(&body, 0), whole);
            assert_eq!(all(&body, 4), &whole[4..]);
        }
    }

    #[test]
    fn rest_that_is_kept_stands_where_the_content_stood() {
        let mut body = around(1);
        assert!(body.is_lent_to(CALL) && !body.is_lent_to(CallId(8)));
        assert_eq!([0, 1, 4, 8, 9].map(|from| body.lent_before(from)), [0, 0, 3, 7, 7]);

        body.keep(3, b"tent".to_vec());

        assert!(!body.is_lent_to(CALL));
        assert_eq!((body.len(), &all(&body, 4)[..]), (9, &b"tent>"[..]));
    }
}

//! How a request body is sent a second time.

/// Keeps what is needed to send a body again.
///
/// The first attempt gets the body itself, undelayed. A body of which nothing is kept is sent once.
pub trait Replay<B> {
    /// What is kept of a body.
    type Kept;

    /// Splits a body into the one to send now and what is needed to send it again.
    fn keep(&self, body: B) -> (B, Option<Self::Kept>);

    /// The body once more; `None` if it cannot be had.
    fn again(&self, kept: &mut Self::Kept) -> Option<B>;
}

/// Clones the body: for bodies such as `Full<Bytes>`, whose clone is the same bytes.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct CloneBody;

impl<B: Clone> Replay<B> for CloneBody {
    type Kept = B;

    fn keep(&self, body: B) -> (B, Option<B>) {
        (body.clone(), Some(body))
    }

    fn again(&self, kept: &mut B) -> Option<B> {
        Some(kept.clone())
    }
}

/// Asks a function for a copy: for bodies with a `try_clone` of their own.
#[derive(Clone, Copy, Debug)]
pub struct TryClone<F>(F);

impl<F> TryClone<F> {
    /// A replay that copies by this function.
    pub const fn new(copy: F) -> Self {
        Self(copy)
    }
}

impl<B, F: Fn(&B) -> Option<B>> Replay<B> for TryClone<F> {
    type Kept = B;

    fn keep(&self, body: B) -> (B, Option<B>) {
        let copy = (self.0)(&body);
        (body, copy)
    }

    fn again(&self, kept: &mut B) -> Option<B> {
        (self.0)(kept)
    }
}

/// Keeps nothing: every request is sent once, whatever becomes of it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SendOnce;

impl<B> Replay<B> for SendOnce {
    type Kept = core::convert::Infallible;

    fn keep(&self, body: B) -> (B, Option<Self::Kept>) {
        (body, None)
    }

    fn again(&self, kept: &mut Self::Kept) -> Option<B> {
        match *kept {}
    }
}

//! Keeps a body while its first sending streams.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::Replay;
use crate::BoxError;

/// Keeps a body while its first sending streams, up to a number of bytes.
///
/// Nothing is delayed, and a body of `Bytes` is not copied. Frames and trailers come again as they came. A
/// body above the limit is sent once; if nothing of it was read yet, it can still be sent again, whatever its
/// size. If a server answers before it has read the whole body, the next sending goes on where the
/// first has stopped, and the first gets nothing more.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
/// use retry_layer::{BoxError, RetryLayer, policy::Policy, replay::Captured};
///
/// type Body = UnsyncBoxBody<Bytes, BoxError>;
///
/// // For axum: `axum::body::Body::new`; for tonic: `tonic::body::Body::new`.
/// let replay = Captured::new(64 * 1024, Body::new);
/// let layer = RetryLayer::new(Policy::default()).replay(replay);
/// ```
pub struct Captured<B> {
    limit: usize,
    wrap: fn(Capture<B>) -> B,
}

impl<B> Captured<B> {
    /// Keeps up to `limit` bytes of data and trailers, a frame of nothing counted as one. `wrap` makes a body of the client's own type, which has
    /// to be a boxed one: it is to hold any.
    pub const fn new(limit: usize, wrap: fn(Capture<B>) -> B) -> Self {
        Self { limit, wrap }
    }
}

impl<B> Clone for Captured<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Captured<B> {}

impl<B> fmt::Debug for Captured<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<B: Body> Replay<B> for Captured<B> {
    type Kept = Kept<B>;

    fn keep(&self, body: B) -> (B, Option<Kept<B>>) {
        let hint = body.size_hint();
        let shared = Arc::new(Mutex::new(Shared {
            body: Box::pin(body),
            frames: Vec::new(),
            room: self.limit,
            sending: 0,
            is_over: false,
            is_lost: false,
            waker: None,
        }));
        let kept = Kept { shared: Arc::clone(&shared), hint, sendings: 0 };
        ((self.wrap)(Capture { shared, hint, sending: 0, next: 0 }), Some(kept))
    }

    fn again(&self, kept: &mut Kept<B>) -> Option<B> {
        let mut shared = lock(&kept.shared);
        if shared.is_lost {
            return None;
        }
        kept.sendings = kept.sendings.wrapping_add(1);
        shared.sending = kept.sendings;
        let earlier = shared.waker.take();
        drop(shared);
        // Whoever still sends the body hears that it is over.
        if let Some(earlier) = earlier {
            earlier.wake();
        }
        let shared = Arc::clone(&kept.shared);
        let hint = kept.hint;
        Some((self.wrap)(Capture { shared, hint, sending: kept.sendings, next: 0 }))
    }
}

/// What [`Captured`] keeps of a body.
pub struct Kept<B> {
    shared: Arc<Mutex<Shared<B>>>,
    hint: SizeHint,
    sendings: u64,
}

impl<B> fmt::Debug for Kept<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("sendings", &self.sendings).finish_non_exhaustive()
    }
}

/// A body that remembers what was read of it.
pub struct Capture<B> {
    shared: Arc<Mutex<Shared<B>>>,
    /// What the body said of its size, less what was read: a second sending is framed as the first.
    hint: SizeHint,
    /// Which sending it is for: only the newest may read.
    sending: u64,
    /// The next frame of those that are remembered.
    next: usize,
}

struct Shared<B> {
    /// What was not read yet.
    body: Pin<Box<B>>,
    /// What was.
    frames: Vec<Piece>,
    /// How many bytes more are remembered.
    room: usize,
    sending: u64,
    /// Whether the body has come to its end.
    is_over: bool,
    /// Whether something of it cannot be had again.
    is_lost: bool,
    waker: Option<Waker>,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => {
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
            }
        }
    }
}

impl<B> Shared<B> {
    fn remember(&mut self, piece: &Piece) {
        // A frame of nothing takes a place as well: there may be endlessly many.
        match self.room.checked_sub(piece.len().max(1)) {
            Some(room) if !self.is_lost => {
                self.room = room;
                self.frames.push(piece.clone());
            }
            _ => {
                self.is_lost = true;
                self.frames = Vec::new();
            }
        }
    }
}

impl<B> Body for Capture<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let shared = &mut *lock(&this.shared);
        if shared.sending != this.sending {
            return Poll::Ready(Some(Err(SentAgain.into())));
        }
        let piece = match shared.frames.get(this.next) {
            Some(piece) => piece.clone(),
            None if shared.is_over => return Poll::Ready(None),
            None => {
                let fits = shared.body.size_hint().lower() <= shared.room as u64;
                shared.waker = Some(cx.waker().clone());
                match ready!(shared.body.as_mut().poll_frame(cx)) {
                    None => {
                        shared.is_over = true;
                        return Poll::Ready(None);
                    }
                    Some(Err(error)) => {
                        shared.is_lost = true;
                        return Poll::Ready(Some(Err(error.into())));
                    }
                    Some(Ok(frame)) => {
                        let piece = match frame.into_data() {
                            Ok(mut data) => Piece::Data(data.copy_to_bytes(data.remaining())),
                            Err(frame) => match frame.into_trailers() {
                                Ok(trailers) => Piece::Trailers(trailers),
                                // No other kind of frame exists.
                                Err(_) => Piece::Data(Bytes::new()),
                            },
                        };
                        // What will not fit is not even begun to be remembered.
                        shared.is_lost |= !fits;
                        shared.remember(&piece);
                        piece
                    }
                }
            }
        };
        this.next = this.next.saturating_add(1);
        if let Piece::Data(data) = &piece {
            this.hint = less(&this.hint, data.len() as u64);
        }
        Poll::Ready(Some(Ok(piece.into_frame())))
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        shared.sending == self.sending
            && self.next >= shared.frames.len()
            && (shared.is_over || shared.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// What is left of a size once so many bytes were read.
fn less(hint: &SizeHint, read: u64) -> SizeHint {
    let mut left = SizeHint::new();
    left.set_lower(hint.lower().saturating_sub(read));
    if let Some(upper) = hint.upper() {
        left.set_upper(upper.saturating_sub(read).max(left.lower()));
    }
    left
}

fn lock<B>(shared: &Mutex<Shared<B>>) -> MutexGuard<'_, Shared<B>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> fmt::Debug for Capture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("sending", &self.sending).finish_non_exhaustive()
    }
}

/// What an earlier sending of the body hears.
#[derive(Debug)]
struct SentAgain;

impl fmt::Display for SentAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request is being sent again")
    }
}

impl std::error::Error for SentAgain {}

#[cfg(test)]
mod tests;

//! The body of an answer, which may be cut, reset, stalled or slow.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};

/// Long enough that what was written before has left the socket.
const FLUSHED: Duration = Duration::from_millis(10);

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The body of an answer. Its size is announced as a whole, whatever comes of it.
#[derive(Debug)]
pub struct AnswerBody {
    announced: u64,
    first: Option<Bytes>,
    then: Then,
}

#[derive(Debug)]
enum Then {
    End,
    Trailers,
    Wait { sleep: Pin<Box<tokio::time::Sleep>>, rest: Rest },
    Never,
}

#[derive(Debug)]
enum Rest {
    Bytes(Bytes),
    Cut { reset: Option<Arc<AtomicBool>> },
}

impl AnswerBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let announced = bytes.len() as u64;
        // An answer without a body ends with its head: gRPC's "trailers-only".
        Self { announced, first: Some(bytes).filter(|bytes| !bytes.is_empty()), then: Then::End }
    }

    /// All of it, then the trailers of a call that succeeded.
    pub(crate) fn message(bytes: Bytes) -> Self {
        Self { then: Then::Trailers, ..Self::whole(bytes) }
    }

    fn half(bytes: &Bytes, then: Then) -> Self {
        let first = bytes.slice(..bytes.len() / 2);
        Self { announced: bytes.len() as u64, first: Some(first), then }
    }

    /// Half of it, then the end of the connection; a reset one if there is a switch for it.
    pub(crate) fn cut(bytes: &Bytes, reset: Option<Arc<AtomicBool>>) -> Self {
        let sleep = Box::pin(tokio::time::sleep(FLUSHED));
        Self::half(bytes, Then::Wait { sleep, rest: Rest::Cut { reset } })
    }

    /// Half of it, the rest after some time.
    pub(crate) fn slow(bytes: &Bytes, after: Duration) -> Self {
        let rest = Rest::Bytes(bytes.slice(bytes.len() / 2..));
        Self::half(bytes, Then::Wait { sleep: Box::pin(tokio::time::sleep(after)), rest })
    }

    /// Half of it, and no more.
    pub(crate) fn stalled(bytes: &Bytes) -> Self {
        Self::half(bytes, Then::Never)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.then {
            Then::End => return Poll::Ready(None),
            Then::Trailers => {
                let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
                self.then = Then::End;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            Then::Never => return Poll::Pending,
            Then::Wait { sleep, .. } => ready!(sleep.as_mut().poll(cx)),
        }
        match std::mem::replace(&mut self.then, Then::End) {
            Then::Wait { rest: Rest::Bytes(bytes), .. } => {
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Then::Wait { rest: Rest::Cut { reset }, .. } => {
                if let Some(reset) = reset {
                    reset.store(true, Ordering::Relaxed);
                }
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
            }
            Then::End | Then::Trailers | Then::Never => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && matches!(self.then, Then::End)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}

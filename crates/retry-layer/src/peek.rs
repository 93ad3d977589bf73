//! Looks at the beginning of an error's body, which then still streams as it came.
//!
//! Some vendors say only there that an error is final. Where bodies are [collected](crate::collect) anyway this
//! is not needed; where they stream, it is the way to let a profile read them. It never fails and takes
//! nothing away: what it read is the beginning of the body that the caller gets, errors included. It does not
//! look at successes, nor into a body with a `Content-Encoding`.
//!
//! It waits for the bytes that it looks at, so it belongs under an attempt timeout.
//!
//! ```
//! use core::num::NonZeroUsize;
//! use retry_layer::PeekLayer;
//! use tower::ServiceBuilder;
//!
//! let limit = NonZeroUsize::new(4096).unwrap();
//! let service = ServiceBuilder::new().layer(PeekLayer::new(limit));
//! ```

use core::fmt;
use core::future::Future;
use core::num::NonZeroUsize;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_ENCODING;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::collect::{ErrorBody, is_last_call};

/// Makes a service of whose errors the layers above can see the beginning.
#[derive(Clone, Copy, Debug)]
pub struct PeekLayer {
    limit: NonZeroUsize,
}

impl PeekLayer {
    /// Looks at up to `limit` bytes.
    #[must_use]
    pub const fn new(limit: NonZeroUsize) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for PeekLayer {
    type Service = Peek<S>;

    fn layer(&self, inner: S) -> Peek<S> {
        Peek { inner, limit: self.limit.get() }
    }
}

/// A service of whose errors the layers above can see the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Peek<S> {
    inner: S,
    limit: usize,
}

impl<S, B, RB> Service<Request<B>> for Peek<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: Body + Unpin,
{
    type Response = Response<Peeked<RB>>;
    type Error = S::Error;
    type Future = PeekFuture<S::Future, RB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        PeekFuture { call: self.inner.call(request), limit: self.limit, peeked: None }
    }
}

pin_project! {
    /// The answer, once the beginning of its body is there if it is an error.
    #[derive(Debug)]
    pub struct PeekFuture<F, RB: Body> {
        #[pin]
        call: F,
        limit: usize,
        peeked: Option<(http::response::Parts, Peeked<RB>)>,
    }
}

impl<F, E, RB> Future for PeekFuture<F, RB>
where
    F: Future<Output = Result<Response<RB>, E>>,
    RB: Body + Unpin,
{
    type Output = Result<Response<Peeked<RB>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.peeked.is_none() {
            let (head, body) = ready!(this.call.poll(cx))?.into_parts();
            let peeked = Peeked::new(body);
            if head.status.as_u16() < 400 || head.headers.contains_key(CONTENT_ENCODING) {
                return Poll::Ready(Ok(Response::from_parts(head, peeked)));
            }
            *this.peeked = Some((head, peeked));
        }
        if let Some((_, peeked)) = this.peeked {
            if peeked.poll_beginning(*this.limit, cx).is_pending() && !is_last_call() {
                return Poll::Pending;
            }
        }
        let (mut head, peeked) = this.peeked.take().expect("it is being looked at");
        head.extensions.insert(ErrorBody::new(peeked.first_bytes(*this.limit)));
        Poll::Ready(Ok(Response::from_parts(head, peeked)))
    }
}

/// A body of which the beginning was looked at.
pub struct Peeked<RB: Body> {
    /// What was read, as it came; a failure is the last of it.
    beginning: VecDeque<Result<Frame<Bytes>, RB::Error>>,
    rest: RB,
    /// The bytes of data that were read, each frame being one at least.
    read: usize,
    is_over: bool,
}

/// What was read is in no place of its own.
impl<RB: Body + Unpin> Unpin for Peeked<RB> {}

impl<RB: Body> Peeked<RB> {
    pub(crate) const fn new(rest: RB) -> Self {
        Self { beginning: VecDeque::new(), rest, read: 0, is_over: false }
    }

    /// Reads up to `limit` bytes, or to the end.
    pub(crate) fn poll_beginning(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<()>
    where
        RB: Unpin,
    {
        // Frames of nothing count as well: they would never end.
        while self.read < limit && !self.is_over {
            let frame = ready!(Pin::new(&mut self.rest).poll_frame(cx));
            self.read(frame);
        }
        Poll::Ready(())
    }

    /// The failure in which what was read ended.
    #[cfg(feature = "reqwest")]
    pub(crate) fn failure(&mut self) -> Option<RB::Error> {
        let is_error = self.beginning.back()?.is_err();
        if is_error { self.beginning.pop_back()?.err() } else { None }
    }

    fn read(&mut self, frame: Option<Result<Frame<RB::Data>, RB::Error>>) {
        match frame {
            None => self.is_over = true,
            Some(frame) => {
                let data = frame.as_ref().ok().and_then(Frame::data_ref);
                self.is_over = data.is_none();
                self.read = self.read.saturating_add(data.map_or(0, Buf::remaining).max(1));
                self.beginning.push_back(frame.map(in_bytes));
            }
        }
    }

    /// The bytes of data that are not handed out yet.
    fn len(&self) -> usize {
        self.data().map(Bytes::len).sum()
    }

    fn data(&self) -> impl Iterator<Item = &Bytes> {
        self.beginning.iter().flatten().filter_map(Frame::data_ref)
    }

    pub(crate) fn first_bytes(&self, limit: usize) -> Bytes {
        let mut data = self.data();
        let (first, second) = (data.next().cloned().unwrap_or_default(), data.next());
        let mut bytes = if second.is_none() {
            first
        } else {
            let mut all = BytesMut::with_capacity(self.len());
            self.data().for_each(|data| all.extend_from_slice(data));
            all.freeze()
        };
        bytes.truncate(limit);
        bytes
    }
}

fn in_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

impl<RB: Body + Unpin> Body for Peeked<RB> {
    type Data = Bytes;
    type Error = RB::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RB::Error>>> {
        if let Some(frame) = self.beginning.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.rest).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(in_bytes)))
    }

    fn is_end_stream(&self) -> bool {
        self.beginning.is_empty() && (self.is_over || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.len() as u64;
        let rest = if self.is_over { SizeHint::with_exact(0) } else { self.rest.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint
    }
}

impl<RB: Body + fmt::Debug> fmt::Debug for Peeked<RB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeked").field("rest", &self.rest).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::BoxError;

    type Frames = Vec<Result<Frame<Bytes>, &'static str>>;

    fn frames(texts: &[&'static str], ends: Option<Result<Frame<Bytes>, &'static str>>) -> Frames {
        let data = texts.iter().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
        data.chain(ends).collect()
    }

    /// A body of these frames, counting how many are read.
    struct Counted(VecDeque<Result<Frame<Bytes>, &'static str>>, std::rc::Rc<std::cell::Cell<u32>>);

    impl Body for Counted {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            self.1.set(self.1.get() + 1);
            Poll::Ready(self.0.pop_front())
        }
    }

    /// What the layers above see, how many frames were read for it, and the body as the caller reads it.
    async fn peeked(
        head: http::response::Builder,
        frames: Frames,
    ) -> (Option<Bytes>, u32, Vec<Result<String, &'static str>>) {
        let count = std::rc::Rc::new(std::cell::Cell::new(0));
        let body = Counted(frames.into(), std::rc::Rc::clone(&count));
        let answer = std::cell::RefCell::new(Some(head.body(body).unwrap()));
        let service = service_fn(|_: Request<()>| {
            let answer = answer.borrow_mut().take().unwrap();
            async { Ok::<_, BoxError>(answer) }
        });
        let layer = PeekLayer::new(NonZeroUsize::new(4).unwrap());
        let response = layer.layer(service).oneshot(Request::new(())).await.unwrap();
        let seen = response.extensions().get().map(|body: &ErrorBody| body.bytes().clone());
        let read = count.get();
        let mut body = response.into_body();
        let mut all = Vec::new();
        while let Some(frame) = body.frame().await {
            all.push(frame.map(|frame| match frame.into_data() {
                Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
                Err(_) => "trailers".to_owned(),
            }));
        }
        (seen, read, all)
    }

    #[tokio::test]
    async fn sees_the_beginning_of_an_error_and_leaves_the_body_as_it_came() {
        let trailers = || Some(Ok(Frame::trailers(http::HeaderMap::new())));
        for (texts, ends, seen, read) in [
            (&["ab", "cdef", "gh"][..], None, "abcd", 2),
            (&["ab"], None, "ab", 2),
            (&["ab"], trailers(), "ab", 2),
            (&["abcdefgh", "i"], None, "abcd", 1),
            (&["a"], Some(Err("cut")), "a", 2),
            (&[], None, "", 1),
        ] {
            let mut expected: Vec<_> = texts.iter().map(|text| Ok((*text).to_owned())).collect();
            expected.extend(ends.as_ref().map(|end| match end {
                Ok(_) => Ok("trailers".to_owned()),
                Err(error) => Err(*error),
            }));
            let answer = peeked(Response::builder().status(500), frames(texts, ends)).await;
            assert_eq!(answer, (Some(Bytes::from(seen)), read, expected), "{texts:?}");
        }
    }

    #[tokio::test]
    async fn looks_neither_at_a_success_nor_into_an_encoding() {
        let encoded = Response::builder().status(500).header("content-encoding", "gzip");
        for head in [Response::builder(), encoded] {
            let answer = peeked(head, frames(&["ab"], None)).await;
            assert_eq!(answer, (None, 0, vec![Ok("ab".to_owned())]));
        }
    }

    #[test]
    fn is_sync_if_the_body_is() {
        fn is_sync<T: Sync>() {}
        is_sync::<Peeked<http_body_util::Full<Bytes>>>();
    }
}

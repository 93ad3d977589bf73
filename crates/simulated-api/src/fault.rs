//! What goes wrong with a request.

use std::time::Duration;

/// What goes wrong with a request. The connection faults need a socket; in process they are errors of
/// the service or of the body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The body ends in the middle, although the head announced all of it.
    CutBody,
    /// A page without rows, although there are some.
    EmptyPage,
    /// The cursor is too old: 410, to a request that has one. Kubernetes' answer holds another that leads on.
    Expired,
    /// No answer, ever.
    Hang,
    /// The offset or the cursor is ignored: always the first page.
    IgnorePosition,
    /// The direction of the sort is ignored: always ascending.
    IgnoreReverse,
    /// The rows of the page come in another order.
    IgnoreSort,
    /// A 200 whose body ends in the middle of the JSON, but is as long as announced.
    Malformed,
    /// The stream is refused, unprocessed (`REFUSED_STREAM`, RFC 9113 §8.7). Over HTTP/1 the connection is reset
    /// before anything is answered.
    Refused,
    /// The connection is reset in the middle of the body.
    ResetAfterHead,
    /// The connection is reset before anything is answered.
    ResetBeforeHead,
    /// The page has at most this many rows, whatever was asked for.
    ShortPage(usize),
    /// Half of the body comes at once, the rest after this time.
    SlowBody(Duration),
    /// Half of the body comes, the rest never.
    StallBody,
    /// Another answer instead of the page.
    #[non_exhaustive]
    Status {
        /// The status code.
        status: u16,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The total is this number.
    WrongTotal(u64),
}

impl Fault {
    /// This status code, with an error body as the API writes it.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Status { status, headers: Vec::new(), body: String::new() }
    }

    /// This status of gRPC, in an answer without a body ("trailers-only").
    #[must_use]
    pub fn grpc(code: u8) -> Self {
        Self::status(200).header("grpc-status", &code.to_string())
    }

    /// With this header, if the fault is a status.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// With this body, if the fault is a status.
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Self::Status { body, .. } = &mut self {
            *body = text.into();
        }
        self
    }

    /// The kinds that a reader survives, once each in every 128 requests, at places drawn by seed.
    pub(crate) fn by_seed(seed: u64) -> impl FnMut(u64) -> Option<Self> + Send {
        /// Our choice: rare enough that most pages arrive at once.
        const EVERY: u64 = 128;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut places: Vec<(u64, Self)> = Vec::new();
        move |number| {
            if number % EVERY == 1 {
                let kinds = [
                    Self::status(503),
                    Self::status(429).header("retry-after", "1"),
                    Self::status(502),
                    Self::ResetBeforeHead,
                    Self::ResetAfterHead,
                    Self::CutBody,
                    Self::SlowBody(Duration::from_millis(200)),
                ];
                places =
                    kinds.into_iter().map(|kind| (number + random.u64(1..EVERY), kind)).collect();
            }
            let at = places.iter().position(|(place, _)| *place == number)?;
            Some(places.swap_remove(at).1)
        }
    }
}

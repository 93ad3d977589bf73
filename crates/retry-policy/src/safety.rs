//! What a second sending of a request could break.
//!
//! The words are RFC 9110's (§9.2): *safe* methods only read, *idempotent* ones may be repeated
//! because the second sending changes nothing more.

use core::time::Duration;

use crate::Attempts;

/// How safe it is to send a request again when nobody knows whether it was already processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the rows of the truth table: complete by definition")]
pub enum Safety {
    /// The method is idempotent: RFC 9110 §9.2.2, and QUERY (RFC 10008).
    Idempotent,
    /// The request carries the caller's own `Idempotency-Key`.
    Keyed,
    /// The caller vouches that repeating it does no harm ([`Vouched`]).
    Vouched,
    /// Everything else: a second sending might create a second thing.
    Unsafe,
}

impl Safety {
    /// The safety of a method by its name alone, in RFC 9110's case-sensitive spelling.
    #[must_use]
    pub fn of_method(name: &str) -> Self {
        match name {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" | "QUERY" => Self::Idempotent,
            _ => Self::Unsafe,
        }
    }

    /// The safety of a request: its method, its `Idempotency-Key`, or its [`Vouched`] mark.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn of<B>(request: &http::Request<B>) -> Self {
        match Self::of_method(request.method().as_str()) {
            Self::Unsafe if request.extensions().get::<Vouched>().is_some() => Self::Vouched,
            Self::Unsafe if request.headers().contains_key("idempotency-key") => Self::Keyed,
            safety => safety,
        }
    }

    /// Whether a request whose fate is unknown may be sent again.
    #[must_use]
    pub const fn is_repeatable(self) -> bool {
        !matches!(self, Self::Unsafe)
    }
}

/// A request extension: the caller vouches that sending the request again does no harm.
///
/// For a `POST` that only reads, such as `POST /search/systemusers` of JumpCloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vouched;

impl Vouched {
    /// The mark.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// A request extension: the caller can ask for less, so a heavy answer is not asked for again.
///
/// After a 413, a 502, a 504 or a timeout the layer waits as it would before a retry and then hands
/// that answer back, with [`StopReason::Shrink`](crate::StopReason::Shrink), so that the caller
/// sends a smaller request instead. What the earlier, larger requests have used up is carried along:
/// waits go on growing and one deadline covers them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shrinkable {
    waited: Duration,
    elapsed: Duration,
    is_smallest: bool,
}

impl Shrinkable {
    /// The mark on a first request.
    #[must_use]
    pub const fn new() -> Self {
        Self { waited: Duration::ZERO, elapsed: Duration::ZERO, is_smallest: false }
    }

    /// The mark on the smaller request that follows one with these attempts.
    #[must_use]
    pub const fn following(attempts: &Attempts) -> Self {
        Self { waited: attempts.last_wait(), elapsed: attempts.elapsed(), is_smallest: false }
    }

    /// The mark on a request that cannot be made smaller: it is retried as any other, but goes on with
    /// the waits and the time of the larger ones before it.
    #[must_use]
    pub const fn at_its_smallest(self) -> Self {
        Self { is_smallest: true, ..self }
    }

    /// Whether the caller can still ask for less.
    #[must_use]
    pub const fn can_shrink(self) -> bool {
        !self.is_smallest
    }

    /// The last wait before this request; the next one is longer.
    #[must_use]
    pub const fn waited(self) -> Duration {
        self.waited
    }

    /// The time that the earlier requests took, waits included.
    #[must_use]
    pub const fn elapsed(self) -> Duration {
        self.elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_methods_of_the_rfcs_are_idempotent() {
        for (method, safety) in [
            ("GET", Safety::Idempotent),
            ("HEAD", Safety::Idempotent),
            ("OPTIONS", Safety::Idempotent),
            ("TRACE", Safety::Idempotent),
            ("PUT", Safety::Idempotent),
            ("DELETE", Safety::Idempotent),
            ("QUERY", Safety::Idempotent),
            ("POST", Safety::Unsafe),
            ("PATCH", Safety::Unsafe),
            ("CONNECT", Safety::Unsafe),
            ("get", Safety::Unsafe),
            ("PURGE", Safety::Unsafe),
        ] {
            assert_eq!(Safety::of_method(method), safety, "{method}");
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn a_post_becomes_repeatable_by_its_key_or_by_the_callers_word() {
        let post = || http::Request::post("/");
        let plain = post().body(()).unwrap();
        let keyed = post().header("Idempotency-Key", "\"k\"").body(()).unwrap();
        let vouched = post().extension(Vouched::new()).body(()).unwrap();
        assert_eq!(Safety::of(&plain), Safety::Unsafe);
        assert_eq!(Safety::of(&keyed), Safety::Keyed);
        assert_eq!(Safety::of(&vouched), Safety::Vouched);
    }
}

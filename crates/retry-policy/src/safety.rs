//! What a second sending of a request could break.
//!
//! The words are RFC 9110's (§9.2): *safe* methods only read, *idempotent* ones may be repeated
//! because the second sending changes nothing more.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::{Attempts, Policy};

/// draft-ietf-httpapi-idempotency-key-header-07 §2.1.
#[cfg(feature = "http")]
static IDEMPOTENCY_KEY: http::HeaderName = http::HeaderName::from_static("idempotency-key");

/// How safe it is to send a request again when nobody knows whether it was already processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the columns of the truth table: complete by definition"
)]
pub enum Safety {
    /// The caller forbids a second sending, whatever became of the first ([`Forbidden`]).
    Forbidden,
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

    /// The safety of a request: by its [`Forbidden`] mark, its method, its `Idempotency-Key` or its
    /// [`Vouched`] mark, in this order.
    ///
    /// An empty key is none. The key of an idempotent method changes nothing: the draft defines it for
    /// the others.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn of<B>(request: &http::Request<B>) -> Self {
        let marks = request.extensions();
        if marks.get::<Forbidden>().is_some() {
            return Self::Forbidden;
        }
        let has_key = || {
            if marks.get::<KeyNotHonoured>().is_some() {
                return false;
            }
            let key = request.headers().get(&IDEMPOTENCY_KEY);
            key.is_some_and(|key| !key.as_bytes().trim_ascii().is_empty())
        };
        match Self::of_method(request.method().as_str()) {
            Self::Unsafe if has_key() => Self::Keyed,
            Self::Unsafe if marks.get::<Vouched>().is_some() => Self::Vouched,
            safety => safety,
        }
    }
}

/// A request extension: nobody promises that the server honours the request's `Idempotency-Key`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyNotHonoured;

impl KeyNotHonoured {
    /// The mark.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// A request extension: the request is sent once, whatever becomes of it.
///
/// Not even a refused connection or a refused credential leads to a second sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forbidden;

impl Forbidden {
    /// The mark.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// A request extension: what one request does differently from its client's policy.
///
/// ```
/// use core::{num::NonZeroU32, time::Duration};
/// use retry_policy::safety::Override;
///
/// let patient = Override::new()
///     .max_attempts(NonZeroU32::new(10).unwrap())
///     .deadline(Duration::from_secs(600));
/// let request = http::Request::get("/report").extension(patient).body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Override {
    max_attempts: Option<NonZeroU32>,
    deadline: Option<Duration>,
    policy: Option<Policy>,
}

impl Override {
    /// Nothing is different yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_attempts: None, deadline: None, policy: None }
    }

    /// How many times the request is sent at most. More attempts than a rising schedule has steps end
    /// with [`StopReason::ScheduleEnded`](crate::StopReason::ScheduleEnded).
    #[must_use]
    pub const fn max_attempts(self, attempts: NonZeroU32) -> Self {
        Self { max_attempts: Some(attempts), ..self }
    }

    /// The time that all its attempts and waits may take together.
    #[must_use]
    pub const fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Another policy; the other settings refine it.
    #[must_use]
    pub const fn policy(self, policy: Policy) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// The policy of a request with this mark whose client has `policy`.
    #[must_use]
    pub const fn applied_to(self, policy: Policy) -> Policy {
        let mut policy = match self.policy {
            Some(policy) => policy,
            None => policy,
        };
        if let Some(attempts) = self.max_attempts {
            policy.max_attempts = attempts;
        }
        if self.deadline.is_some() {
            policy.deadline = self.deadline;
        }
        policy
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
        let empty = post().header("Idempotency-Key", "").body(()).unwrap();
        let vouched = post().extension(Vouched::new()).body(()).unwrap();
        let both =
            post().header("Idempotency-Key", "k").extension(Vouched::new()).body(()).unwrap();
        let get = http::Request::get("/").header("Idempotency-Key", "k").body(()).unwrap();
        assert_eq!(Safety::of(&plain), Safety::Unsafe);
        assert_eq!(Safety::of(&keyed), Safety::Keyed);
        assert_eq!(Safety::of(&empty), Safety::Unsafe);
        assert_eq!(Safety::of(&vouched), Safety::Vouched);
        assert_eq!(Safety::of(&both), Safety::Keyed, "a 409 then means: still running");
        assert_eq!(Safety::of(&get), Safety::Idempotent);
    }

    #[cfg(feature = "http")]
    #[test]
    fn a_forbidden_request_stays_forbidden_whatever_else_it_carries() {
        let request = http::Request::get("/")
            .header("Idempotency-Key", "k")
            .extension(Vouched::new())
            .extension(Forbidden::new())
            .body(())
            .unwrap();
        assert_eq!(Safety::of(&request), Safety::Forbidden);
    }

    #[test]
    fn an_override_changes_what_it_names_and_nothing_else() {
        let two = NonZeroU32::new(2).unwrap();
        let policy = Override::new().max_attempts(two).applied_to(Policy::default());
        assert_eq!((policy.max_attempts(), policy.deadline()), (two, None));
        let other =
            Policy::builder().max_attempts(two).deadline(Duration::from_secs(9)).build().unwrap();
        let policy = Override::new().policy(other).applied_to(Policy::default());
        assert_eq!((policy.max_attempts(), policy.deadline()), (two, other.deadline()));
        let deadline = Duration::from_secs(1);
        let policy = Override::new().policy(other).deadline(deadline).applied_to(Policy::default());
        assert_eq!((policy.max_attempts(), policy.deadline()), (two, Some(deadline)));
    }
}

//! The credential that goes with every attempt, and a fresh one after a 401.
//!
//! A rotated key is picked up without a restart: when the API refuses the key, its source is asked again.
//! However many requests met the same stale key, it is asked once, and all wait for the answer. A key that did
//! not change is not sent a second time: the same request would be refused again. A token with a known
//! lifetime is made fresh ahead of its end, by one request, while the others go on with the old one.
//!
//! A refresh is given as long as an attempt has, and what is left of a deadline; without either, as long as the
//! source takes.
//!
//! A credential belongs to one origin: the one it is [said to](Credential::for_origin) belong to, or else the
//! first it is sent to. Requests to any other origin go without it.
//!
//! ```
//! use core::time::Duration;
//! use retry_layer::{BoxError, Credential, credential::Secret};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # async fn ask_the_identity_provider() -> Result<String, BoxError> { Ok("token".into()) }
//! let token = Credential::bearer_from(|| async {
//!     let text = ask_the_identity_provider().await?;
//!     Ok(Secret::new(text).expires_in(Duration::from_secs(3600)))
//! })
//! .await?;
//! assert_eq!(format!("{token:?}"), "Credential { header: \"authorization\", .. }");
//! # Ok(())
//! # }
//! ```
//!
//! # Cancellation
//!
//! A refresh is driven by the requests that wait for it and dropped with the last of them.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | ahead of the end | a tenth of the lifetime, 60 s at most | our choice: "reuse access tokens until they expire" |
//! | after a refresh that failed, the next | 1 s later, then 2, 4, … 60 s | our choice: the source may be down |

mod flight;
mod key;

use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Request, Uri};

use crate::BoxError;
use crate::origin::Origin;
use crate::timer::Timer;
use flight::Flight;
pub(crate) use flight::Passenger;
pub use key::{Fetch, InvalidKey, Key, Secret, Source};

/// Our choice, as a source that is down is not to be asked by every request.
const FAILED: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// Our choice: at most so long ahead of a token's end.
const AHEAD: Duration = Duration::from_secs(60);

/// A key or a token and the header that carries it. Clones share it.
#[derive(Clone)]
pub struct Credential(Arc<Shared>);

type Clock = dyn Fn() -> Duration + Send + Sync;

struct Shared {
    header: HeaderName,
    scheme: &'static str,
    source: Box<dyn Source>,
    clock: Option<Box<Clock>>,
    origin: OnceLock<Option<Origin>>,
    current: RwLock<Current>,
    flight: Flight,
}

struct Current {
    value: HeaderValue,
    generation: u64,
    /// When it should be made fresh, and when it is of no use any more.
    due: Option<(Duration, Duration)>,
    /// The source failed: not before then, and how long after.
    failed: Option<(Duration, Duration)>,
}

/// Whether a request can be sent with the credential as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Good,
    /// Good for now; this request may make it fresh.
    Due,
    Expired,
}

impl Credential {
    /// A key in the header `x-api-key`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the key cannot be read now or cannot stand in a header.
    pub fn api_key(key: Key) -> Result<Self, InvalidKey> {
        Self::of_key(HeaderName::from_static("x-api-key"), "", key)
    }

    /// A token in the header `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the token cannot be read now or cannot stand in a header.
    pub fn bearer(key: Key) -> Result<Self, InvalidKey> {
        Self::of_key(AUTHORIZATION, "Bearer ", key)
    }

    /// A token in the header `Authorization: Bearer` that this source hands out. It is asked at once.
    ///
    /// # Errors
    ///
    /// The source's own, or [`InvalidKey`] if the token cannot stand in a header.
    #[cfg(feature = "tokio")]
    pub async fn bearer_from(source: impl Source + 'static) -> Result<Self, BoxError> {
        Self::bearer_on(crate::timer::TokioTimer::new(), source).await
    }

    /// As [`bearer_from`](Self::bearer_from), by another clock than tokio's.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn bearer_on<T>(timer: T, source: impl Source + 'static) -> Result<Self, BoxError>
    where
        T: Timer<Instant: Send + Sync> + Send + Sync + 'static,
    {
        Self::fetched(timer, AUTHORIZATION, "Bearer ", source).await
    }

    /// A key in the header `x-api-key` that this source hands out. It is asked at once.
    ///
    /// # Errors
    ///
    /// The source's own, or [`InvalidKey`] if the key cannot stand in a header.
    #[cfg(feature = "tokio")]
    pub async fn api_key_from(source: impl Source + 'static) -> Result<Self, BoxError> {
        let header = HeaderName::from_static("x-api-key");
        Self::fetched(crate::timer::TokioTimer::new(), header, "", source).await
    }

    async fn fetched<T>(
        timer: T,
        header: HeaderName,
        scheme: &'static str,
        source: impl Source + 'static,
    ) -> Result<Self, BoxError>
    where
        T: Timer<Instant: Send + Sync> + Send + Sync + 'static,
    {
        let epoch = timer.now();
        let clock: Box<Clock> = Box::new(move || timer.since(epoch));
        let secret = source.fetch().await?;
        let current = Current::new(&secret, scheme, clock())?;
        Ok(Self::new(header, scheme, Box::new(source), Some(clock), current))
    }

    fn of_key(header: HeaderName, scheme: &'static str, key: Key) -> Result<Self, InvalidKey> {
        let current = Current::new(&Secret::new(key.read()?), scheme, Duration::ZERO)?;
        Ok(Self::new(header, scheme, Box::new(key), None, current))
    }

    fn new(
        header: HeaderName,
        scheme: &'static str,
        source: Box<dyn Source>,
        clock: Option<Box<Clock>>,
        current: Current,
    ) -> Self {
        let (origin, flight) = (OnceLock::new(), Flight::default());
        let current = RwLock::new(current);
        Self(Arc::new(Shared { header, scheme, source, clock, origin, current, flight }))
    }

    /// Belongs to the origin of this URI, in place of the first it is sent to. A URI without an
    /// authority stands for requests that have none.
    ///
    /// It has no effect once the credential was sent.
    #[must_use]
    pub fn for_origin(self, uri: &Uri) -> Self {
        self.0.origin.get_or_init(|| Origin::of(uri));
        self
    }

    fn belongs_to(&self, uri: &Uri) -> bool {
        match self.0.origin.get() {
            // The target of a tunnel is no origin to begin with.
            None => uri.authority().is_none() || uri.scheme().is_some(),
            Some(None) => uri.authority().is_none(),
            Some(Some(origin)) => origin.is_of(uri),
        }
    }

    /// Sends it along; which one it was, if the request is to its origin.
    pub(crate) fn attach<B>(&self, request: &mut Request<B>) -> Option<u64> {
        if !self.belongs_to(request.uri()) {
            return None;
        }
        self.0.origin.get_or_init(|| Origin::of(request.uri()));
        if !self.belongs_to(request.uri()) {
            return None; // Another thread was first, with another origin.
        }
        let current = self.current();
        request.headers_mut().insert(&self.0.header, current.value.clone());
        Some(current.generation)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.current().generation
    }

    pub(crate) fn age(&self, uri: &Uri) -> Age {
        let Some(clock) = &self.0.clock else { return Age::Good };
        let Some((due, end)) = self.current().due else { return Age::Good };
        let now = clock();
        if now < due || self.has_just_failed() || !self.belongs_to(uri) {
            Age::Good
        } else if now >= end {
            Age::Expired
        } else if self.0.flight.is_under_way() {
            Age::Good // Another request makes it fresh.
        } else {
            Age::Due
        }
    }

    fn has_just_failed(&self) -> bool {
        let failed = self.current().failed;
        matches!((&self.0.clock, failed), (Some(clock), Some((until, _))) if clock() < until)
    }

    /// Makes it fresh, together with all who ask meanwhile: is ready with whether there is another than
    /// the one that was refused, or than the one that is due.
    pub(crate) fn poll_refresh(
        &self,
        refused: u64,
        passenger: &mut Option<Passenger>,
        cx: &Context<'_>,
    ) -> Poll<bool> {
        if passenger.is_none() {
            if self.generation() != refused {
                return Poll::Ready(true); // Another request has made it fresh meanwhile.
            }
            if self.has_just_failed() {
                return Poll::Ready(false);
            }
        }
        if passenger.is_none() {
            let is_stale = || self.generation() == refused;
            *passenger = self.0.flight.join(is_stale, || self.0.source.fetch());
        }
        let Some(aboard) = passenger else { return Poll::Ready(true) };
        let landed = self.0.flight.poll(aboard, cx, |secret| self.store(secret));
        landed.map(|()| {
            *passenger = None;
            self.generation() != refused
        })
    }

    /// Gives up waiting for it.
    pub(crate) fn leave(&self, passenger: &Passenger) {
        self.0.flight.leave(passenger);
    }

    /// Its source takes longer than anybody waits: it is left alone for a while, as one that fails.
    pub(crate) fn is_slow(&self) {
        if !self.0.flight.is_under_way() {
            self.store(Err("no answer in time".into()));
        }
    }

    fn store(&self, secret: Result<Secret, BoxError>) {
        let now = self.0.clock.as_ref().map_or(Duration::ZERO, |clock| clock());
        let fresh = secret.and_then(|secret| Ok(Current::new(&secret, self.0.scheme, now)?));
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(fresh) = fresh {
            let step = u64::from(fresh.value != current.value);
            let generation = current.generation.wrapping_add(step);
            *current = Current { generation, ..fresh };
        } else {
            let after = current.failed.map_or(FAILED[0], |(_, after)| after.saturating_mul(2));
            let after = after.min(FAILED[1]);
            current.failed = Some((now.saturating_add(after), after));
        }
    }

    fn current(&self) -> RwLockReadGuard<'_, Current> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn new(secret: &Secret, scheme: &str, now: Duration) -> Result<Self, InvalidKey> {
        if secret.text.trim().is_empty() {
            return Err(InvalidKey::Empty);
        }
        let value = HeaderValue::try_from(format!("{scheme}{}", secret.text));
        let mut value = value.map_err(|_| InvalidKey::NotAHeader)?;
        value.set_sensitive(true);
        let due = secret.lifetime.map(|lifetime| {
            let end = now.saturating_add(lifetime);
            (end.saturating_sub((lifetime / 10).min(AHEAD)), end)
        });
        Ok(Self { value, generation: 0, due, failed: None })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("header", &self.0.header).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! What happened to a request, and why it stopped.

use core::fmt;
use core::time::Duration;

use crate::classify::Meaning;
use crate::hint::Source;
use crate::{Class, Delivery};

/// Why a request is not sent again although it did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The server asks not to retry.
    AskedToStop,
    /// As many attempts as allowed were made.
    Attempts,
    /// The request's body was not kept, so it cannot be sent a second time.
    BodyNotKept,
    /// The retry budget is empty.
    Budget,
    /// The caller gave up: the future was dropped.
    Cancelled,
    /// All requests of this origin are held back, for a reason that waiting does not mend.
    Closed {
        /// What had happened.
        why: Closing,
    },
    /// The credential was refused, and no fresh one is to be had or it was refused as well.
    CredentialRefused,
    /// The next wait would pass the deadline, or the deadline has passed.
    Deadline {
        /// The wait that would have come next.
        wait: Duration,
    },
    /// The caller forbids a second sending ([`Forbidden`](crate::safety::Forbidden)).
    Forbidden,
    /// The server asks for a longer wait than is allowed.
    HintTooLong {
        /// The wait that the server asked for.
        asked: Duration,
        /// The longest wait that was still allowed.
        allowed: Duration,
    },
    /// The service did not become ready for another attempt.
    NotReady,
    /// Nobody knows whether the request was processed, and a second sending could do harm.
    NotRepeatable,
    /// All requests of this origin wait because the server said so, and this one was not to wait.
    Paused {
        /// The wait that was left.
        wait: Duration,
    },
    /// The request itself, or the right to make it, must change first.
    Permanent,
    /// The waits must grow and the schedule has no longer one.
    ScheduleEnded,
    /// The caller asks for less instead ([`Shrinkable`](crate::safety::Shrinkable)).
    Shrink,
    /// The request pages through a list without a unique sort, which loses rows. It was not sent.
    Unsorted,
}

/// Why no request is sent to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Closing {
    /// The API says that it blocks this client.
    Blocked,
    /// So many requests in a row were refused for their credential (401, 403).
    Refused {
        /// How many.
        streak: u32,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskedToStop => f.write_str("the server asks not to retry"),
            Self::Attempts => f.write_str("all attempts are used"),
            Self::BodyNotKept => f.write_str("the body was not kept for a second sending"),
            Self::Budget => f.write_str("the retry budget is empty"),
            Self::Cancelled => f.write_str("cancelled by the caller"),
            Self::Closed { why: Closing::Blocked } => {
                f.write_str("no request is sent: the API blocks this client")
            }
            Self::Closed { why: Closing::Refused { streak } } => {
                write!(f, "no request is sent: {streak} in a row were refused")
            }
            Self::CredentialRefused => f.write_str("the credential was refused"),
            Self::Deadline { wait } if wait.is_zero() => f.write_str("the deadline has passed"),
            Self::Deadline { wait } => {
                write!(f, "the deadline leaves no room for a wait of {}", Seconds(*wait))
            }
            Self::Forbidden => f.write_str("the caller forbids a second sending"),
            Self::HintTooLong { asked, allowed } => write!(
                f,
                "the server asks to wait {}, longer than the {} that are allowed",
                Seconds(*asked),
                Seconds(*allowed)
            ),
            Self::NotReady => f.write_str("the service did not become ready again"),
            Self::NotRepeatable => {
                f.write_str("it may have been processed and is not safe to repeat")
            }
            Self::Paused { wait } => {
                write!(f, "the server asks all requests to wait {} more", Seconds(*wait))
            }
            Self::Permanent => f.write_str("a permanent error"),
            Self::ScheduleEnded => f.write_str("the schedule has no longer wait"),
            Self::Shrink => f.write_str("a smaller request is made instead"),
            Self::Unsorted => f.write_str("a list is paged without a unique sort"),
        }
    }
}

/// A duration in seconds, to the millisecond: `0.5 s`, `30 s`.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs())?;
        let millis = self.0.subsec_millis();
        if millis > 0 {
            let digits = alloc_free_fraction(millis);
            f.write_str(".")?;
            for digit in digits.into_iter().flatten() {
                write!(f, "{digit}")?;
            }
        }
        f.write_str(" s")
    }
}

/// The digits of a fraction of a thousandth, without trailing zeros.
fn alloc_free_fraction(millis: u32) -> [Option<u32>; 3] {
    let digits = [millis / 100, millis / 10 % 10, millis % 10];
    let last = digits.iter().rposition(|&digit| digit != 0).unwrap_or(0);
    core::array::from_fn(|at| (at <= last).then(|| digits[at]))
}

/// One attempt and the wait that followed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    delivery: Delivery,
    timed_out: bool,
    class: Option<Class>,
    waited: Duration,
    source: Source,
}

impl Attempt {
    /// What became of it.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Whether it was cut off because its time was up.
    #[must_use]
    pub const fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// The kind of failure it was; `None` for a success.
    #[must_use]
    pub const fn class(&self) -> Option<Class> {
        self.class
    }

    /// The wait that followed it; zero after the last one.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// Who decided how long that wait was.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }
}

/// How many of the newest attempts are remembered one by one. Our choice: more than twice the
/// default number of attempts, and the whole record stays below 450 bytes.
const REMEMBERED: usize = 8;

/// What happened to a request: its attempts, their waits and why it stopped.
///
/// The newest eight attempts are remembered one by one; the counts cover all.
///
/// A layer puts it into the extensions of a response that took more than one attempt or whose
/// retries were stopped. A response without it took one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    count: u32,
    newest: [Option<Attempt>; REMEMBERED],
    total_wait: Duration,
    last_wait: Duration,
    /// The one before, while the last has not begun.
    wait_before: Duration,
    elapsed: Duration,
    may_have_been_applied: bool,
    newest_may_have_been_applied: bool,
    stop: Option<StopReason>,
}

impl Attempts {
    /// No attempt yet.
    pub(crate) const NONE: Self = Self {
        count: 0,
        newest: [None; REMEMBERED],
        total_wait: Duration::ZERO,
        last_wait: Duration::ZERO,
        wait_before: Duration::ZERO,
        elapsed: Duration::ZERO,
        may_have_been_applied: false,
        newest_may_have_been_applied: false,
        stop: None,
    };

    /// The attempts behind a response, as the layer recorded them; one if it recorded nothing.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn of<B>(response: &http::Response<B>) -> Self {
        response.extensions().get().copied().unwrap_or_else(|| {
            let mut once = Self::NONE;
            let delivery = Delivery::Answered(response.status().as_u16());
            once.push(delivery, Class::of(delivery), Duration::ZERO);
            once
        })
    }

    pub(crate) fn push(&mut self, delivery: Delivery, class: Option<Class>, elapsed: Duration) {
        self.may_have_been_applied |= self.newest_may_have_been_applied;
        self.newest_may_have_been_applied = delivery.may_have_been_applied();
        let (waited, source) = (Duration::ZERO, Source::Backoff);
        let attempt = Attempt { delivery, timed_out: false, class, waited, source };
        if self.count as usize >= REMEMBERED {
            self.newest.rotate_left(1);
        }
        self.count = self.count.saturating_add(1);
        if let Some(slot) = self.newest_slot().and_then(|at| self.newest.get_mut(at)) {
            *slot = Some(attempt);
        }
        self.elapsed = elapsed;
    }

    /// Where the newest attempt is.
    const fn newest_slot(&self) -> Option<usize> {
        let count = self.count as usize;
        (if count < REMEMBERED { count } else { REMEMBERED }).checked_sub(1)
    }

    fn newest_mut(&mut self) -> Option<&mut Attempt> {
        self.newest_slot().and_then(|at| self.newest.get_mut(at))?.as_mut()
    }

    pub(crate) fn newest_timed_out(&mut self) {
        if let Some(last) = self.newest_mut() {
            last.timed_out = true;
        }
    }

    /// What the newest attempt means to its vendor: gRPC's failures are answers of 200.
    pub(crate) const fn newest_means(&mut self, meaning: Meaning) {
        if matches!(meaning, Meaning::Unknown) {
            self.newest_may_have_been_applied = true;
        }
    }

    pub(crate) fn wait(&mut self, wait: Duration, source: Source) {
        if let Some(last) = self.newest_mut() {
            last.waited = wait;
            last.source = source;
        }
        self.wait_before = core::mem::replace(&mut self.last_wait, wait);
        self.total_wait = self.total_wait.saturating_add(wait);
        self.elapsed = self.elapsed.saturating_add(wait);
    }

    /// Adds to the wait after the newest attempt.
    pub(crate) fn wait_longer(&mut self, wait: Duration) {
        if let Some(last) = self.newest_mut() {
            last.waited = last.waited.saturating_add(wait);
        }
        self.last_wait = self.last_wait.saturating_add(wait);
        self.total_wait = self.total_wait.saturating_add(wait);
        self.elapsed = self.elapsed.saturating_add(wait);
    }

    /// The wait after the newest attempt does not come to pass.
    pub(crate) fn unwait(&mut self) {
        if let Some(last) = self.newest_mut() {
            let waited = core::mem::take(&mut last.waited);
            if waited.is_zero() {
                return;
            }
            self.total_wait = self.total_wait.saturating_sub(waited);
            self.elapsed = self.elapsed.saturating_sub(waited);
            self.last_wait = self.wait_before;
        }
    }

    pub(crate) const fn begin_at(&mut self, waited: Duration, elapsed: Duration) {
        self.last_wait = waited;
        self.elapsed = elapsed;
    }

    pub(crate) const fn stop(&mut self, reason: StopReason) {
        self.stop = Some(reason);
    }

    /// How many times the request was sent.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The newest attempts, oldest first, eight at most.
    pub fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.newest.iter().flatten()
    }

    /// The newest attempt.
    #[must_use]
    pub fn newest(&self) -> Option<&Attempt> {
        self.newest_slot().and_then(|at| self.newest.get(at))?.as_ref()
    }

    /// All planned waits between the attempts.
    #[must_use]
    pub const fn total_wait(&self) -> Duration {
        self.total_wait
    }

    /// The last wait, or the one that a smaller request carried along.
    #[must_use]
    pub const fn last_wait(&self) -> Duration {
        self.last_wait
    }

    /// The time from the first sending to the end of the last attempt or wait.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Whether an earlier attempt may have had its effect although no good answer came.
    ///
    /// A 404 to a repeated `DELETE` or a 412 to a conditional `PUT` may then be a late success.
    #[must_use]
    pub const fn may_have_been_applied(&self) -> bool {
        self.may_have_been_applied
    }

    /// Why the request was not sent again; `None` if there was no reason to.
    #[must_use]
    pub const fn stop_reason(&self) -> Option<StopReason> {
        self.stop
    }
}

impl fmt::Display for Attempts {
    /// `3 attempts: 503 (waited 0.5 s), 429 (server asked for 2 s), 200`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 { "" } else { "s" };
        write!(f, "{} attempt{plural}", self.count)?;
        if self.count > 0 {
            f.write_str(": ")?;
        }
        if self.count as usize > REMEMBERED {
            f.write_str("…, ")?;
        }
        for (at, attempt) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match attempt.delivery {
                Delivery::NotSent => f.write_str("not sent")?,
                Delivery::Refused => f.write_str("refused")?,
                Delivery::Unknown if attempt.timed_out => f.write_str("timed out")?,
                Delivery::Unknown => f.write_str("no answer")?,
                Delivery::Answered(status @ ..400) if attempt.class.is_some() => {
                    write!(f, "{status} that failed")?;
                }
                Delivery::Answered(status) => write!(f, "{status}")?,
            }
            if !attempt.waited.is_zero() {
                let how = match attempt.source {
                    Source::Backoff => "waited",
                    Source::Header(_) => "server asked for",
                };
                write!(f, " ({how} {})", Seconds(attempt.waited))?;
            }
        }
        if let Some(reason) = self.stop {
            write!(f, "; {reason}")?;
        }
        if self.may_have_been_applied {
            f.write_str("; an earlier attempt may have been applied")?;
        }
        Ok(())
    }
}

/// The layer's own error, for the cases in which it has no answer of the service to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    attempts: Attempts,
}

impl Stopped {
    /// The error that ends a request with these attempts.
    #[must_use]
    pub const fn new(attempts: Attempts) -> Self {
        Self { attempts }
    }

    /// The error that ends a request before it was sent at all.
    #[must_use]
    pub const fn before(reason: StopReason) -> Self {
        let mut attempts = Attempts::NONE;
        attempts.stop(reason);
        Self { attempts }
    }

    /// What happened before, and why it stopped.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer: {}", self.attempts)
    }
}

#[cfg(feature = "std")]
impl std::error::Error for Stopped {}

/// A cell that a caller puts into a request's extensions to learn about the attempts in every case:
/// an answer, an error, or a future that was dropped.
///
/// ```
/// use retry_policy::attempts::Record;
///
/// let record = Record::new();
/// let request = http::Request::get("/").extension(record.clone()).body(())?;
/// // … send it …
/// assert!(record.attempts().is_none(), "no layer has seen the request");
/// # Ok::<(), http::Error>(())
/// ```
#[cfg(feature = "std")]
#[derive(Clone, Debug, Default)]
pub struct Record(std::sync::Arc<std::sync::Mutex<Option<Attempts>>>);

#[cfg(feature = "std")]
impl Record {
    /// An empty cell.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a layer wrote last; `None` if none has.
    #[must_use]
    pub fn attempts(&self) -> Option<Attempts> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Writes what has happened so far.
    pub fn set(&self, attempts: Attempts) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(attempts);
    }
}

#[cfg(test)]
mod tests;

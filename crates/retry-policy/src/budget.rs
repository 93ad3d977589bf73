//! How much extra load the retries of all requests together may add.
//!
//! A token bucket: a retry takes tokens, a success earns some. While everything fails, nothing is earned
//! and the retries end with the reserve. One bucket is shared by all clones of a client. Amounts are
//! kept in thousandths of a token, in one atomic number of 32 bits.
//!
//! # The guarantee
//!
//! For [`shed`](Budget::shed), [`pace`](Budget::pace) and [`strict`](Budget::strict), whatever the threads do:
//!
//! > retries ≤ reserve + ratio × successes + given back + probes
//!
//! *Given back* are the retries that were never sent and those that ended well, probes included; a probe
//! is a retry while the bucket is empty, of which there are at most 8 + t / 120 s in a time t without
//! a success. So at total failure the load of any number of requests tends to 1.
//!
//! # Presets
//!
//! | | reserve | a retry costs | a success earns | else |
//! | --- | --- | --- | --- | --- |
//! | [`shed`](Budget::shed) | 10 | 1 | 10 %, and a retry that succeeds gets its token back | probes |
//! | [`pace`](Budget::pace) | 10 | 1 | 6 %, and a retry that succeeds gets its token back besides | probes |
//! | [`strict`](Budget::strict) | 10, starting with none | 1 | 10 %, as `shed` | probes |
//! | [`aws`](Budget::aws) | 500 | 14, throttled 5 | 1, or the cost of the last retry | |
//! | [`grpc`](Budget::grpc) | as stated | 1, each failure | as stated | retries only above half |
//! | [`finagle`](Budget::finagle) | 100 | 1 | nothing; each request 20 % | all expires in 10 s |
//!
//! # Numbers
//!
//! | what | value | bounds | source |
//! | --- | --- | --- | --- |
//! | reserve | 10 tokens | 1 to 4,000,000 | gRPC's `maxTokens` (proposal A6) |
//! | a success earns, shedding | 10 % of a token | 0 to 100 % | the retry ratio of the SRE book, chapter 21 |
//! | a success earns, pacing | 6 % of a token | 0 to 100 % | our choice: of those that keep up no overload in a model of metastable collapse, the one that saves most (`cargo run --release -p storm -- pace`) |
//! | probe while empty | after 1 s, then 2, 4, … 64, 120 s | | our choice: a breaker's half-open probe |
//!
//! # Time, randomness
//!
//! `now` is read from any monotonic clock that all callers share. A success asks for no time; a retry's time is
//! only looked at when it takes the last token or finds none, and by Finagle's preset.

mod probe;
mod window;

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::time::Duration;

use crate::ratio::Ratio;
use crate::{Class, Decision, StopReason};
use probe::Probe;
use window::Window;

/// One token, in thousandths.
const TOKEN: u32 = 1000;
/// The most tokens of a bucket: their thousandths still fit into 32 bits.
const MOST_TOKENS: u32 = 4_000_000;
/// Where Finagle's preset has its zero, because what expires may have been spent.
const FINAGLE_ZERO: u32 = 1 << 31;

/// What a request does when the bucket is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenEmpty {
    /// Wait for a token, up to the request's deadline.
    Pace,
    /// Do not retry: the last answer is returned.
    Shed,
}

/// A bound on the retries of many requests, shared between them.
///
/// ```
/// use core::time::Duration;
/// use retry_policy::{Budget, Class};
///
/// let budget = Budget::shed();
/// let now = Duration::ZERO;
/// assert_eq!((0..20).filter(|_| budget.take(Class::Server, now).is_ok()).count(), 10);
/// ```
///
/// # Never starves
///
/// A caller that sends one request at a time has no other requests to earn from. So an empty bucket
/// also grants one retry a second after it became empty, then after 2, 4, … 120 s. A success
/// begins that anew.
pub struct Budget {
    tokens: AtomicU32,
    probe: Probe,
    window: Option<Window>,
    terms: Terms,
}

/// What is paid and earned, in thousandths of a token. A bucket holds `zero` to `capacity`.
#[derive(Clone, Copy)]
struct Terms {
    capacity: u32,
    zero: u32,
    /// What a new bucket holds.
    start: u32,
    cost: u32,
    throttled_cost: u32,
    /// What every request earns when it begins.
    request: u32,
    success: u32,
    /// What a retry that succeeds gets.
    retried: Retried,
    /// Whether every failure pays, and retries are made above half the capacity only.
    charges_failures: bool,
    probes: bool,
    when_empty: WhenEmpty,
}

/// What a retry that succeeds gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retried {
    /// What any success earns.
    Earns,
    /// What it took.
    GetsBack,
    /// What it took, and what any success earns: while retries succeed there may be ever more of them.
    GetsBackAndEarns,
}

impl Budget {
    /// The budget of a caller who waits for the answer: an empty bucket ends the retries.
    #[must_use]
    pub const fn shed() -> Self {
        Self::on(SHED)
    }

    /// The budget of a job that must finish: an empty bucket is waited for. Retries that succeed make room for others,
    /// those that fail take it away.
    #[must_use]
    pub const fn pace() -> Self {
        Self::on(Terms {
            success: TOKEN.saturating_mul(6) / 100,
            retried: Retried::GetsBackAndEarns,
            when_empty: WhenEmpty::Pace,
            ..SHED
        })
    }

    /// As [`shed`](Self::shed), but starting empty: what a client may add it has earned before, so that
    /// many short-lived clients add no more than one long-lived one.
    #[must_use]
    pub const fn strict() -> Self {
        Self::on(Terms { start: 0, ..SHED })
    }

    /// As the standard mode of AWS's clients (2026).
    #[must_use]
    pub const fn aws() -> Self {
        Self::on(Terms {
            capacity: TOKEN.saturating_mul(500),
            start: TOKEN.saturating_mul(500),
            cost: TOKEN.saturating_mul(14),
            throttled_cost: TOKEN.saturating_mul(5),
            success: TOKEN,
            probes: false,
            ..SHED
        })
    }

    /// As gRPC's retry throttling (proposal A6): `maxTokens` up to 1,000, and `tokenRatio`.
    ///
    /// # Errors
    ///
    /// [`InvalidBudget`] if there are no tokens or more than 1,000.
    pub const fn grpc(max_tokens: u16, ratio: Ratio) -> Result<Self, InvalidBudget> {
        if max_tokens == 0 || max_tokens > 1_000 {
            return Err(InvalidBudget { tokens: max_tokens as u32, most: 1_000 });
        }
        Ok(Self::on(Terms {
            capacity: TOKEN.saturating_mul(max_tokens as u32),
            start: TOKEN.saturating_mul(max_tokens as u32),
            success: ratio.thousandths() as u32,
            retried: Retried::Earns,
            charges_failures: true,
            probes: false,
            ..SHED
        }))
    }

    /// As Finagle's default retry budget: 20 % of the requests of the last 10 s and 10 retries a second,
    /// in seconds that are counted as a whole.
    #[must_use]
    pub const fn finagle() -> Self {
        let budget = Self::on(Terms {
            capacity: u32::MAX,
            zero: FINAGLE_ZERO,
            start: FINAGLE_ZERO.saturating_add(TOKEN.saturating_mul(100)),
            request: TOKEN / 5,
            success: 0,
            retried: Retried::Earns,
            probes: false,
            ..SHED
        });
        Self { window: Some(Window::new()), ..budget }
    }

    const fn on(terms: Terms) -> Self {
        Self { tokens: AtomicU32::new(terms.start), probe: Probe::new(), window: None, terms }
    }

    /// Another budget on the same terms, as it was when it began.
    #[must_use]
    pub const fn fresh(&self) -> Self {
        let window = if self.window.is_some() { Some(Window::new()) } else { None };
        Self { window, ..Self::on(self.terms) }
    }

    /// This budget, new, with room for so many tokens; it starts with as many, or with none if strict.
    ///
    /// # Errors
    ///
    /// [`InvalidBudget`] if there are no tokens or more than 4,000,000 (gRPC's preset: 1,000, Finagle's:
    /// 2,000,000).
    pub const fn with_reserve(self, tokens: u32) -> Result<Self, InvalidBudget> {
        let most = if self.terms.charges_failures {
            1_000
        } else if self.window.is_some() {
            MOST_TOKENS / 2
        } else {
            MOST_TOKENS
        };
        if tokens == 0 || tokens > most {
            return Err(InvalidBudget { tokens, most });
        }
        let amount = tokens.saturating_mul(TOKEN);
        let Terms { zero, start, .. } = self.terms;
        let terms = if self.window.is_some() {
            Terms { start: zero.saturating_add(amount), ..self.terms }
        } else {
            Terms {
                capacity: amount,
                start: if start == zero { zero } else { amount },
                ..self.terms
            }
        };
        let window = if self.window.is_some() { Some(Window::new()) } else { None };
        Ok(Self { window, ..Self::on(terms) })
    }

    /// This budget, new, where a success (with Finagle's preset a request) earns this share of a token.
    #[must_use]
    pub const fn with_ratio(self, ratio: Ratio) -> Self {
        let earned = ratio.thousandths() as u32;
        let mut budget = self;
        if budget.window.is_some() {
            budget.terms.request = earned;
        } else {
            budget.terms.success = earned;
        }
        budget
    }

    /// A request begins. Only Finagle's preset asks for the time.
    pub fn begin(&self, now: impl FnOnce() -> Duration) {
        if let Some(window) = &self.window {
            window.move_to(now(), &self.tokens);
            window.earned(self.terms.request);
            self.add(self.terms.request);
        }
    }

    /// Takes the tokens of one retry after a failure of this class.
    ///
    /// # Errors
    ///
    /// [`Empty`] if there are too few.
    pub fn take(&self, class: Class, now: Duration) -> Result<Token, Empty> {
        let Terms { capacity, zero, cost, throttled_cost, .. } = self.terms;
        let cost = if matches!(class, Class::Throttled) { throttled_cost } else { cost };
        if self.terms.charges_failures {
            let before = self.change(|tokens| Some(tokens.saturating_sub(cost)));
            let left = before.unwrap_or(0).saturating_sub(cost);
            return if left > capacity / 2 { Ok(Token(0)) } else { Err(Empty { until: None }) };
        }
        if let Some(window) = &self.window {
            window.move_to(now, &self.tokens);
        }
        let before = self.change(|tokens| tokens.checked_sub(cost).filter(|&left| left >= zero));
        if let Some(before) = before {
            if self.terms.probes && before < cost.saturating_mul(2) {
                self.probe.arm(now);
            }
            if let Some(window) = &self.window {
                window.taken(cost);
            }
            return Ok(Token(cost));
        }
        if !self.terms.probes {
            return Err(Empty { until: None });
        }
        match self.probe.take(now) {
            Ok(()) => Ok(Token(0)),
            Err(until) => Err(Empty { until: Some(until) }),
        }
    }

    /// Gives back the tokens of a retry that was never sent.
    #[allow(clippy::needless_pass_by_value, reason = "a token is given back once")]
    pub fn refund(&self, token: Token) {
        if let Some(window) = &self.window {
            window.earned(token.0);
        }
        self.add(token.0);
        if self.tokens.load(Relaxed) >= self.terms.capacity {
            self.probe.reset(); // A full bucket is not empty any more.
        }
    }

    /// A request has ended like this; `last` is what its last retry took, if it had one.
    ///
    /// A success earns, and a retry that ends with a final answer gets its token back where a probe would be granted;
    /// other ends pay nothing, except that with gRPC's preset every temporary failure does. A [`Decision`] to go on is no end: nothing happens.
    ///
    /// Says whether the bucket holds more than before: only then has one who waits to be told.
    #[inline]
    pub fn end(&self, decision: Decision, last: Option<Token>) -> bool {
        match decision {
            Decision::Return => return self.succeed(last),
            Decision::Stop { reason: StopReason::Permanent } if self.terms.probes => {
                return self.answered(last);
            }
            Decision::Stop { reason }
                if self.terms.charges_failures && reason.is_of_the_moment() =>
            {
                self.change(|tokens| Some(tokens.saturating_sub(self.terms.cost)));
            }
            _ => {}
        }
        false
    }

    #[inline]
    #[allow(clippy::needless_pass_by_value, reason = "a token is given back once")]
    fn succeed(&self, last: Option<Token>) -> bool {
        // The common case: nothing failed, nothing is written.
        if self.tokens.load(Relaxed) >= self.terms.capacity {
            return false;
        }
        self.probe.reset();
        let Terms { cost, success, retried, .. } = self.terms;
        // A probe took nothing, and has shown as much.
        let taken = last.map(|Token(taken)| if taken > 0 { taken } else { cost });
        self.add(match (retried, taken) {
            (Retried::Earns, _) | (_, None) => success,
            (Retried::GetsBack, Some(taken)) => taken,
            (Retried::GetsBackAndEarns, Some(taken)) => taken.saturating_add(success),
        });
        true
    }

    /// A retry has ended with a final answer, as a repeated `DELETE` does with 404: there was room for it.
    #[allow(clippy::needless_pass_by_value, reason = "a token is given back once")]
    fn answered(&self, last: Option<Token>) -> bool {
        let Some(Token(taken)) = last else { return false };
        self.probe.reset();
        self.add(if taken > 0 { taken } else { self.terms.cost });
        true
    }

    fn add(&self, amount: u32) {
        if amount > 0 {
            self.change(|tokens| Some(tokens.saturating_add(amount).min(self.terms.capacity)));
        }
    }

    /// One atomic step; what was there before, unless the step refuses.
    fn change(&self, step: impl FnMut(u32) -> Option<u32>) -> Option<u32> {
        self.tokens.fetch_update(Relaxed, Relaxed, step).ok()
    }

    /// What a request does when the bucket is empty.
    #[must_use]
    pub const fn when_empty(&self) -> WhenEmpty {
        self.terms.when_empty
    }

    /// The whole tokens that are left.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.thousandths() / TOKEN
    }

    /// What is left, in thousandths of a token.
    #[must_use]
    pub fn thousandths(&self) -> u32 {
        self.tokens.load(Relaxed).saturating_sub(self.terms.zero)
    }
}

const SHED: Terms = Terms {
    capacity: TOKEN.saturating_mul(10),
    zero: 0,
    start: TOKEN.saturating_mul(10),
    cost: TOKEN,
    throttled_cost: TOKEN,
    request: 0,
    success: TOKEN / 10,
    retried: Retried::GetsBack,
    charges_failures: false,
    probes: true,
    when_empty: WhenEmpty::Shed,
};

impl StopReason {
    /// Whether the request might have succeeded at another moment.
    const fn is_of_the_moment(self) -> bool {
        matches!(
            self,
            Self::AskedToStop
                | Self::Attempts
                | Self::Deadline { .. }
                | Self::BodyNotKept
                | Self::HintTooLong { .. }
                | Self::NotRepeatable
                | Self::ScheduleEnded
        )
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("tokens", &self.tokens())
            .field("when_empty", &self.terms.when_empty)
            .finish_non_exhaustive()
    }
}

/// What one retry took. It is given back at most once, and never more than it was.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a retry that is not sent gives its tokens back"]
pub struct Token(u32);

/// A bucket without the tokens of one retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empty {
    until: Option<Duration>,
}

impl Empty {
    /// When it grants a probe, on the clock that `now` is read from; `None` if it grants none.
    #[must_use]
    pub const fn until(&self) -> Option<Duration> {
        self.until
    }
}

/// A [`Budget`] of no tokens, or of more than it can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBudget {
    tokens: u32,
    most: u32,
}

impl fmt::Display for InvalidBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a budget holds 1 to {} tokens, not {}", self.most, self.tokens)
    }
}

#[cfg(feature = "std")]
impl std::error::Error for InvalidBudget {}

#[cfg(test)]
mod tests;

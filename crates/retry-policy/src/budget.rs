//! How much extra load the retries of all requests together may add.
//!
//! A token bucket: a retry takes a token, a success earns a part of one. While everything fails,
//! nothing is earned and the retries end with the reserve. One bucket is shared by all clones of a
//! client. Amounts are kept in thousandths of a token, in one atomic number.
//!
//! # Numbers
//!
//! | what | value | bounds | source |
//! | --- | --- | --- | --- |
//! | reserve | 10 tokens | 1 to 4,000,000 | gRPC's `maxTokens` (proposal A6) |
//! | a success earns, shedding | 10 % of a token | 0 to 100 % | the retry ratio of the SRE book, chapter 21 |
//! | a success earns, pacing | 30 % of a token | 0 to 100 % | our choice: the best of a model of metastable collapse |
//! | probe while empty | after 1 s, then 2, 4, … 120 s | | our choice: a breaker's half-open probe |

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

/// One token, in thousandths.
const TOKEN: u32 = 1000;
/// The first probe of an empty bucket.
const FIRST_PROBE_MS: u64 = 1_000;
/// The longest time between two probes.
const LAST_PROBE_MS: u64 = 120_000;

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
/// use retry_policy::Budget;
///
/// let budget = Budget::shed();
/// let now = Duration::ZERO;
/// assert_eq!((0..20).filter(|_| budget.take(now).is_ok()).count(), 10);
/// ```
///
/// # Never starves
///
/// A caller that sends one request at a time has no other requests to earn from. So an empty bucket
/// also grants one token a second after it was found empty, then after 2, 4, … 120 s. A success
/// begins that anew.
pub struct Budget {
    tokens: AtomicU32,
    /// When the next probe is granted, in ms of the caller's clock, plus one; zero when unset.
    probe_at: AtomicU64,
    /// The time from the last probe to the next.
    probe_after: AtomicU64,
    capacity: u32,
    earns: u32,
    when_empty: WhenEmpty,
}

impl Budget {
    /// The budget of a caller who waits for the answer: an empty bucket ends the retries.
    #[must_use]
    pub const fn shed() -> Self {
        Self::holding(10, 10, WhenEmpty::Shed)
    }

    /// The budget of a job that must finish: an empty bucket is waited for.
    #[must_use]
    pub const fn pace() -> Self {
        Self::holding(10, 30, WhenEmpty::Pace)
    }

    const fn holding(reserve: u16, percent: u16, when_empty: WhenEmpty) -> Self {
        let capacity = (reserve as u32).saturating_mul(TOKEN);
        Self {
            tokens: AtomicU32::new(capacity),
            probe_at: AtomicU64::new(0),
            probe_after: AtomicU64::new(FIRST_PROBE_MS),
            capacity,
            earns: (percent as u32).saturating_mul(TOKEN / 100),
            when_empty,
        }
    }

    /// Takes the token of one retry.
    ///
    /// # Errors
    ///
    /// The time at which an empty bucket will grant a probe, on the clock that `now` is read from.
    pub fn take(&self, now: Duration) -> Result<(), Duration> {
        let step = |tokens: u32| tokens.checked_sub(TOKEN);
        if self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok() {
            return Ok(());
        }
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let probe_at = self.probe_at.load(Ordering::Relaxed);
        if probe_at == 0 || probe_at > now_ms {
            let first = now_ms.saturating_add(FIRST_PROBE_MS);
            let at = if probe_at == 0 {
                match self.swap_probe(0, first) {
                    Ok(()) => first,
                    Err(already) => already,
                }
            } else {
                probe_at
            };
            return Err(Duration::from_millis(at.saturating_sub(1)));
        }
        let after = self.probe_after.load(Ordering::Relaxed).saturating_mul(2).min(LAST_PROBE_MS);
        // Whoever moves the time on has the probe.
        match self.swap_probe(probe_at, now_ms.saturating_add(after)) {
            Ok(()) => {
                self.probe_after.store(after, Ordering::Relaxed);
                Ok(())
            }
            Err(at) => Err(Duration::from_millis(at.saturating_sub(1))),
        }
    }

    fn swap_probe(&self, from: u64, to: u64) -> Result<(), u64> {
        let order = Ordering::Relaxed;
        self.probe_at.compare_exchange(from, to, order, order).map(|_| ())
    }

    /// Gives back the token of a retry that was never sent.
    pub fn refund(&self) {
        self.add(TOKEN);
    }

    /// A request succeeded: it earns a part of a token; with [`WhenEmpty::Shed`] a success on a
    /// retry that took a token gets it back.
    pub fn succeeded(&self, took_token: bool) {
        if self.tokens.load(Ordering::Relaxed) >= self.capacity {
            return; // The common case: nothing failed, nothing is written.
        }
        self.probe_at.store(0, Ordering::Relaxed);
        self.probe_after.store(FIRST_PROBE_MS, Ordering::Relaxed);
        let refund = took_token && matches!(self.when_empty, WhenEmpty::Shed);
        self.add(if refund { TOKEN } else { self.earns });
    }

    fn add(&self, amount: u32) {
        let step = |tokens: u32| Some(tokens.saturating_add(amount).min(self.capacity));
        // The closure never refuses.
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    /// What a request does when the bucket is empty.
    #[must_use]
    pub const fn when_empty(&self) -> WhenEmpty {
        self.when_empty
    }

    /// The whole tokens that are left.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.tokens.load(Ordering::Relaxed) / TOKEN
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("tokens", &self.tokens())
            .field("when_empty", &self.when_empty)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn emptied(budget: Budget) -> Budget {
        while budget.tokens() > 0 {
            budget.take(Duration::ZERO).unwrap();
        }
        budget
    }

    #[test]
    fn ten_successes_earn_one_retry_when_shedding() {
        let budget = emptied(Budget::shed());
        for _ in 0..9 {
            budget.succeeded(false);
        }
        assert_eq!(budget.tokens(), 0);
        budget.succeeded(false);
        assert_eq!(budget.tokens(), 1);
    }

    #[test]
    fn a_retry_that_succeeds_gets_its_token_back_only_when_shedding() {
        for (budget, left) in [(Budget::shed(), 10), (Budget::pace(), 9)] {
            budget.take(Duration::ZERO).unwrap();
            budget.succeeded(true);
            assert_eq!(budget.tokens(), left, "{budget:?}");
        }
    }

    #[test]
    fn never_holds_more_than_its_reserve() {
        let budget = Budget::pace();
        budget.refund();
        budget.succeeded(true);
        assert_eq!(budget.tokens(), 10);
    }

    #[test]
    fn an_empty_bucket_grants_one_probe_at_growing_intervals_until_a_success() {
        let budget = emptied(Budget::pace());
        let start = secs(100);
        assert_eq!(budget.take(start), Err(secs(101)));
        assert_eq!(budget.take(secs(101)), Ok(()));
        assert_eq!(budget.take(secs(101)), Err(secs(103)));
        assert_eq!(budget.take(secs(103)), Ok(()));
        assert_eq!(budget.take(secs(104)), Err(secs(107)));
        budget.succeeded(true); // 0.3 of a token: still empty
        assert_eq!(budget.take(secs(104)), Err(secs(105)));
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let budget = Budget::shed();
        let taken: usize = std::thread::scope(|scope| {
            let takes = || (0..1000).filter(|_| budget.take(Duration::ZERO).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(takes)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 10);
    }
}

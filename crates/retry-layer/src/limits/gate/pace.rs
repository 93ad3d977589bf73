//! The rate at which a server lets requests pass, learnt from what it refuses.
//!
//! ```text
//! rate          refused                    refused
//!  too much ┄┄┄┄┄┄┄╱┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╱
//!           ─────╱│      ______──────────╱│
//!                 │_────╱                 │_───
//!                  └ 3 % less              └ …  time
//! ```
//!
//! After a refusal the rate is a little less than the one that was too much. It rises slowly at first, reaches
//! that rate after [`PROBING`], and goes beyond it faster and faster, until the next refusal or twice that rate,
//! where it is lifted. That is the curve of TCP CUBIC (RFC 9438), which stays longest where the limit was last. A
//! refusal that comes soon cuts twice as deep as the one before it, as the limit must be well below: down to what
//! was served, if that is less than the rate by the 3 % of any cut. While nothing is served it is no question of a
//! rate, and the one to come back to stays what it was.

use core::time::Duration;

use super::{FIRST_CUT, LEAST_RATE, PROBING, SMALL_CUT, SOON};

/// What passed and what was served since the server was asked too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) began: Duration,
    /// When requests could pass again.
    pub(super) since: Duration,
    pub(super) passed: u64,
    pub(super) served: u64,
}

/// Requests per 1,000 s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rate: u64,
    /// The rate right after it was cut, by so many thousandths, from one that was too much.
    from: u64,
    cut: u64,
    too_much: u64,
}

impl Watch {
    pub(super) const fn new(now: Duration) -> Self {
        Self { began: now, since: now, passed: 0, served: 0 }
    }

    /// The server was asked too much again.
    pub(super) fn cut(self, pace: Option<Pace>, between: Duration, now: Duration) -> Pace {
        let passing = now.saturating_sub(self.since);
        let (before, cut) = match pace {
            // It was as much as passed, or those who left one by one.
            None => (rate(self.passed, passing).max(per_1000_s(between)), FIRST_CUT),
            Some(Pace { rate, .. }) if passing >= SOON => (rate, SMALL_CUT),
            Some(Pace { rate, cut, .. }) => (rate, cut.saturating_mul(2).min(FIRST_CUT)),
        };
        // While nothing at all is served, the rate that was too much is still the one before.
        let known = pace.filter(|_| self.served == 0).map_or(0, |pace| pace.too_much);
        let too_much = before.max(LEAST_RATE);
        let less = |cut: u64| too_much.saturating_sub(too_much.saturating_mul(cut) / 1000);
        let served = rate(self.served, now.saturating_sub(self.began));
        let from = less(cut).max(served).min(less(SMALL_CUT)).max(LEAST_RATE);
        Pace { rate: from, from, cut, too_much: too_much.max(known) }
    }
}

impl Pace {
    /// The pace after so much time without a refusal; none once it is twice what was too much.
    pub(super) fn after(self, passing: Duration) -> Option<Self> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // In thousandths of the time after which it is as before. It is long lifted after ten times that.
        let turn = (millis(passing).saturating_mul(1000) / millis(PROBING)).min(10_000);
        let cube = u128::from(turn).pow(3) / 1_000_000;
        let least = self.too_much.saturating_mul(SMALL_CUT) / 1000;
        let lost = self.too_much.saturating_sub(self.from).max(least).max(1);
        let more = u128::from(lost).saturating_mul(cube);
        let more = u64::try_from(more / 1000).unwrap_or(u64::MAX);
        let pace = Self { rate: self.from.saturating_add(more), ..self };
        (pace.rate < self.too_much.saturating_mul(2)).then_some(pace)
    }

    /// The time from one request to the next.
    pub(super) fn between(self) -> Duration {
        Duration::from_nanos(1_000_000_000_000 / self.rate.max(1))
    }
}

fn per_1000_s(between: Duration) -> u64 {
    let rate = 1_000_000_000_000_u128.checked_div(between.as_nanos()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// So many in this time, per 1,000 s. What passed in less than a tenth of a second says little.
fn rate(count: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(100);
    count.saturating_mul(1_000_000) / millis
}

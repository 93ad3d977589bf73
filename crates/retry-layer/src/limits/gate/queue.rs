//! Places behind a pause, as numbers.
//!
//! Which moment a number stands for moves with the rate and with pauses, for all numbers at once: who holds one asks again
//! when its moment has come. So nobody is overtaken, and no two leave closer together than they should.

use core::time::Duration;
use std::collections::BTreeSet;

/// Numbers in the order in which they are given out. Times are nanoseconds of the clock.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The first number that was not given to anybody.
    next: u64,
    /// Numbers before it that were given up.
    free: BTreeSet<u64>,
    /// A number, and its moment; all before it were due when they met.
    base: u64,
    at: i128,
    /// The time from one number to the next.
    step: i128,
}

impl Queue {
    /// The moment of a number.
    pub(super) fn moment(&self, number: u64) -> Duration {
        duration(self.nanos_of(number))
    }

    fn nanos_of(&self, number: u64) -> i128 {
        let ahead = i128::from(number).saturating_sub(i128::from(self.base));
        self.at.saturating_add(ahead.saturating_mul(self.step))
    }

    /// The number that is to be had, at this moment or later.
    pub(super) fn offer(&mut self, earliest: Duration) -> u64 {
        let earliest = nanos(earliest);
        while let Some(&number) = self.free.first() {
            if self.nanos_of(number) >= earliest {
                return number;
            }
            self.free.pop_first();
        }
        if self.nanos_of(self.next) < earliest {
            // Nobody waits for a later one.
            (self.base, self.at) = (self.next, earliest);
        }
        self.next
    }

    /// Gives out the number that was offered.
    pub(super) fn take(&mut self, number: u64) {
        if !self.free.remove(&number) {
            self.next = number.saturating_add(1);
        }
    }

    /// A number is given up.
    pub(super) fn give_up(&mut self, number: u64) {
        self.free.insert(number);
    }

    /// From now on this is the time between two. What is ahead of the earliest moment moves in proportion.
    pub(super) fn set_step(&mut self, step: Duration, earliest: Duration) {
        let (step, earliest) = (nanos(step), nanos(earliest));
        if self.step > 0 && self.step != step {
            let ahead = self.at.saturating_sub(earliest);
            self.at = earliest.saturating_add(ahead.saturating_mul(step) / self.step);
        }
        self.step = step;
    }

    /// Nobody leaves before this: all who wait move back together.
    pub(super) fn pause(&mut self, until: Duration, now: Duration) {
        let now = nanos(now);
        if self.at < now && self.step > 0 {
            // Who was due by now passes right after the pause.
            let due = now.saturating_sub(self.at).saturating_add(self.step - 1) / self.step;
            let front = self.base.saturating_add(u64::try_from(due).unwrap_or(u64::MAX));
            let front = front.min(self.next);
            (self.base, self.at) = (front, self.nanos_of(front));
        }
        self.at = self.at.max(nanos(until));
    }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

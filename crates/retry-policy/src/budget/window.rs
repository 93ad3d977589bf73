//! What a bucket's tokens are worth only for ten seconds.

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};
use core::time::Duration;

/// What came and went in each of the last ten seconds: after that it counts no more.
pub(super) struct Window {
    second: AtomicU32,
    changes: [AtomicI32; Self::SECONDS as usize],
}

impl Window {
    const SECONDS: u32 = 10;

    pub(super) const fn new() -> Self {
        Self { second: AtomicU32::new(0), changes: [const { AtomicI32::new(0) }; 10] }
    }

    fn slot(&self, second: u32) -> Option<&AtomicI32> {
        self.changes.get((second % Self::SECONDS) as usize)
    }

    pub(super) fn earned(&self, amount: u32) {
        self.count(i32::try_from(amount).unwrap_or(i32::MAX));
    }

    pub(super) fn taken(&self, amount: u32) {
        self.count(i32::try_from(amount).unwrap_or(i32::MAX).saturating_neg());
    }

    fn count(&self, change: i32) {
        if let Some(slot) = self.slot(self.second.load(Relaxed)) {
            slot.fetch_add(change, Relaxed);
        }
    }

    /// Undoes what is older than the window: ten turns at most.
    pub(super) fn move_to(&self, now: Duration, tokens: &AtomicU32) {
        let second = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let last = self.second.load(Relaxed);
        // Whoever moves the time on clears the slots.
        if second <= last || self.second.compare_exchange(last, second, Relaxed, Relaxed).is_err() {
            return;
        }
        for back in 0..second.saturating_sub(last).min(Self::SECONDS) {
            if let Some(slot) = self.slot(second.saturating_sub(back)) {
                let change = slot.swap(0, Relaxed);
                let undo =
                    |tokens: u32| Some(tokens.saturating_add_signed(change.saturating_neg()));
                let _ = tokens.fetch_update(Relaxed, Relaxed, undo);
            }
        }
    }
}

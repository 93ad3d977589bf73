//! How a scan ended, with its counts.

use core::fmt;
use core::time::Duration;

use crate::Key;

/// How a scan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Every row that was there was read, but some pages could not be joined for certain, because the
    /// API hides rows after it has counted them.
    BestEffort,
    /// Every owed row was delivered exactly once.
    Complete,
    /// What the API answers contradicts itself; nothing can be said about completeness.
    Inconsistent(Inconsistency),
}

/// A contradiction in an API's paging.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inconsistency {
    /// A cursor came back that was followed already.
    CursorRepeats {
        /// The cursor.
        cursor: String,
    },
    /// The rows that the reverse order shows are never shown in the order of the scan.
    HiddenEnd {
        /// The last key in the order of the scan.
        fence: Key,
    },
    /// The keys of a page do not follow one another: the sort is ignored, or the key is not unique.
    KeysNotIncreasing {
        /// A key.
        key: Key,
        /// The key that follows it.
        next: Key,
    },
    /// Page after page brings no new row.
    NoProgress {
        /// The pages in a row without a new one.
        pages: u32,
    },
    /// Answer after answer has no row, in both orders or in the reverse one, although there are rows.
    NothingShown {
        /// The answers in a row without one.
        answers: u32,
    },
    /// A page came back that was delivered already.
    PageRepeats {
        /// The cursor that it was asked by.
        cursor: String,
    },
    /// Both directions of the sort are answered in the same order.
    ReverseIgnored,
}

impl Inconsistency {
    /// The cursor at which the pages go round in a circle.
    pub(crate) fn cursor(&self) -> Option<&str> {
        match self {
            Self::CursorRepeats { cursor } | Self::PageRepeats { cursor } => Some(cursor),
            _ => None,
        }
    }
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CursorRepeats { cursor } => {
                write!(f, "the cursor `{cursor}` repeats: the pages go round in a circle")
            }
            Self::HiddenEnd { fence } => {
                write!(f, "row `{fence}` is there in reverse order but never in the scan's")
            }
            Self::KeysNotIncreasing { key, next } => {
                write!(f, "keys are not increasing: `{next}` follows `{key}`")
            }
            Self::NoProgress { pages } => {
                write!(f, "no progress: {pages} pages in a row brought no new row")
            }
            Self::NothingShown { answers } => {
                write!(f, "{answers} answers in a row show no row although there are some")
            }
            Self::PageRepeats { cursor } => {
                write!(f, "the page behind cursor `{cursor}` repeats an earlier one")
            }
            Self::ReverseIgnored => f.write_str("the direction of the sort is ignored"),
        }
    }
}

/// How a scan went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) rows: u64,
    pub(crate) pages: u64,
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) waited: Duration,
    pub(crate) shifts_repaired: u64,
    pub(crate) duplicates_dropped: u64,
    pub(crate) null_rows: u64,
    pub(crate) first_total: Option<u64>,
    pub(crate) last_total: Option<u64>,
}

impl Report {
    /// How it ended; `None` while it is not at its end.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The rows delivered, those before a checkpoint included.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The pages that were accepted.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// The requests that were sent, as the layers below recorded them.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// The requests that repeated an earlier one, smaller ones included.
    #[must_use]
    pub const fn retries(&self) -> u64 {
        self.retries
    }

    /// The planned waits between requests.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// The page boundaries at which rows had been written or deleted since the page before.
    #[must_use]
    pub const fn shifts_repaired(&self) -> u64 {
        self.shifts_repaired
    }

    /// The rows that came a second time and were not delivered again.
    #[must_use]
    pub const fn duplicates_dropped(&self) -> u64 {
        self.duplicates_dropped
    }

    /// The nulls that stood where a row should have been.
    #[must_use]
    pub const fn null_rows(&self) -> u64 {
        self.null_rows
    }

    /// The first and the last total that the API told. A total is a hint: nothing depends on it.
    #[must_use]
    pub const fn totals(&self) -> (Option<u64>, Option<u64>) {
        (self.first_total, self.last_total)
    }

    pub(crate) fn total(&mut self, total: Option<u64>) {
        if total.is_some() {
            self.first_total = self.first_total.or(total);
            self.last_total = total;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            None => f.write_str("not at its end")?,
            Some(Outcome::BestEffort) => f.write_str("best effort: the API hides rows")?,
            Some(Outcome::Complete) => f.write_str("complete")?,
            Some(Outcome::Inconsistent(why)) => write!(f, "inconsistent: {why}")?,
        }
        write!(
            f,
            ": {} rows in {} pages, {} requests, {} of them repeated, {} shifts repaired",
            self.rows, self.pages, self.requests, self.retries, self.shifts_repaired
        )
    }
}

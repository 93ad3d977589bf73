//! How a scan ended, with its counts.

use core::fmt;
use core::time::Duration;

use crate::Key;
use crate::link::ForeignLink;

/// How a scan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Every row that was shown was delivered, but that these were all cannot be said for certain.
    BestEffort {
        /// Why not.
        why: Doubt,
    },
    /// The caller ended it.
    Cancelled,
    /// Every owed row was delivered exactly once; of a scan by cursors, every row that they led to.
    Complete,
    /// A page could not be had; the scan goes on there when it is resumed.
    Failed {
        /// The rows that were delivered before it.
        at: u64,
    },
    /// What the API answers contradicts itself; nothing can be said about completeness.
    Inconsistent {
        /// The contradiction.
        why: Inconsistency,
    },
    /// As many rows as were asked for were delivered.
    LimitReached {
        /// Whether there are more; `None` if the API has not told.
        more: Option<bool>,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BestEffort { why } => write!(f, "best effort: {why}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Complete => f.write_str("complete"),
            Self::Failed { at } => write!(f, "failed behind row {at}"),
            Self::Inconsistent { why } => write!(f, "inconsistent: {why}"),
            Self::LimitReached { more: Some(true) } => f.write_str("limit reached, there are more"),
            Self::LimitReached { more: Some(false) } => f.write_str("limit reached, and the end"),
            Self::LimitReached { more: None } => f.write_str("limit reached"),
        }
    }
}

/// Why it cannot be said for certain that these were all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// Rows without a usable key cannot be told apart.
    BadRows {
        /// How many there were.
        rows: u64,
    },
    /// The API told another number of rows than it showed.
    CountDiffers {
        /// The rows that it showed.
        seen: u64,
        /// The last total that it told.
        total: u64,
    },
    /// More rows than can be remembered, or rows before a checkpoint: some may have come twice.
    Forgotten,
    /// The API counts rows that it does not show, so that some pages could not be joined.
    HiddenRows,
    /// The rows were sorted by a field that may change.
    MutableSort,
    /// The API's links hold page numbers or offsets, which lose rows while rows are deleted.
    PlainOffset,
    /// Neither a reverse order nor a total shows the end: it was looked for, again and again.
    ProbedEnd,
    /// The list cannot be sorted: rows may have changed places between two pages. All that the API counted
    /// was seen, or it did not count.
    Unsorted,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRows { rows } => write!(f, "{rows} rows have no usable key"),
            Self::CountDiffers { seen, total } => {
                write!(f, "the API counts {total} rows and showed {seen}")
            }
            Self::Forgotten => f.write_str("not all rows that came before are remembered"),
            Self::HiddenRows => f.write_str("the API hides rows"),
            Self::MutableSort => f.write_str("the sort has a field that may change"),
            Self::PlainOffset => f.write_str("the API's links hold plain offsets"),
            Self::ProbedEnd => f.write_str("the API does not show where the end is"),
            Self::Unsorted => f.write_str("the list cannot be sorted"),
        }
    }
}

/// A contradiction in an API's paging.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inconsistency {
    /// A cursor came back that was followed already.
    CursorRepeats {
        /// The cursor.
        cursor: String,
    },
    /// A row came that the filter for its key excludes: the filter is ignored.
    FilterIgnored {
        /// The row's key.
        key: Key,
    },
    /// The next page's address leads to another origin. It was not followed.
    ForeignLink(ForeignLink),
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
    /// No row of a page has a key.
    NoKeys,
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

/// As it is displayed: a cursor may be an address with a secret.
impl fmt::Debug for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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
            // Neither says the cursor: it may be an address with a secret.
            Self::CursorRepeats { .. } => {
                f.write_str("a cursor repeats: the pages go round in a circle")
            }
            Self::FilterIgnored { key } => {
                write!(f, "row `{key}` is there although the filter excludes it")
            }
            Self::ForeignLink(link) => link.fmt(f),
            Self::HiddenEnd { fence } => {
                write!(f, "row `{fence}` is there in reverse order but never in the scan's")
            }
            Self::KeysNotIncreasing { key, next } => {
                write!(f, "keys are not increasing: `{next}` follows `{key}`")
            }
            Self::NoKeys => f.write_str("no row of a page has a key"),
            Self::NoProgress { pages } => {
                write!(f, "no progress: {pages} pages in a row brought no new row")
            }
            Self::NothingShown { answers } => {
                write!(f, "{answers} answers in a row show no row although there are some")
            }
            Self::PageRepeats { .. } => f.write_str("a page repeats an earlier one"),
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
    pub(crate) bad_rows: u64,
    pub(crate) shrinks: u64,
    pub(crate) totals: Option<Totals>,
    pub(crate) elapsed: Duration,
}

/// The totals that an API told. A total is a hint: no row depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// The first one.
    pub first: u64,
    /// The newest one.
    pub last: u64,
    /// The lowest one.
    pub lowest: u64,
    /// The highest one.
    pub highest: u64,
    /// How often one differed from the one before.
    pub moves: u64,
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

    /// The rows that had no usable key.
    #[must_use]
    pub const fn bad_rows(&self) -> u64 {
        self.bad_rows
    }

    /// How often the pages were made smaller.
    #[must_use]
    pub const fn shrinks(&self) -> u64 {
        self.shrinks
    }

    /// The totals that the API told, and how they moved; `None` if it told none.
    #[must_use]
    pub const fn totals(&self) -> Option<Totals> {
        self.totals
    }

    /// The time from the first request to the newest answer by the caller's clock; without one, what the pages took by
    /// the layers' record, added up; zero without either.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How a list of which this part was read by another scan went in all: the counts are added up, and the
    /// outcome is the worse one.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        self.rows = self.rows.saturating_add(other.rows);
        self.pages = self.pages.saturating_add(other.pages);
        self.requests = self.requests.saturating_add(other.requests);
        self.retries = self.retries.saturating_add(other.retries);
        self.waited = self.waited.saturating_add(other.waited);
        self.shifts_repaired = self.shifts_repaired.saturating_add(other.shifts_repaired);
        self.duplicates_dropped = self.duplicates_dropped.saturating_add(other.duplicates_dropped);
        self.null_rows = self.null_rows.saturating_add(other.null_rows);
        self.bad_rows = self.bad_rows.saturating_add(other.bad_rows);
        self.shrinks = self.shrinks.saturating_add(other.shrinks);
        self.elapsed = self.elapsed.max(other.elapsed);
        self.totals = match (self.totals, other.totals) {
            (Some(a), Some(b)) => Some(Totals {
                first: a.first.saturating_add(b.first),
                last: a.last.saturating_add(b.last),
                lowest: a.lowest.saturating_add(b.lowest),
                highest: a.highest.saturating_add(b.highest),
                moves: a.moves.saturating_add(b.moves),
            }),
            _ => None,
        };
        let rank = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Complete) => 0,
            Some(Outcome::BestEffort { .. }) => 1,
            Some(Outcome::LimitReached { .. }) => 2,
            None => 3,
            Some(Outcome::Cancelled) => 4,
            Some(Outcome::Failed { .. }) => 5,
            Some(Outcome::Inconsistent { .. }) => 6,
        };
        if rank(&other.outcome) > rank(&self.outcome) {
            self.outcome.clone_from(&other.outcome);
        }
        self
    }

    pub(crate) fn total(&mut self, total: Option<u64>) {
        let Some(now) = total else { return };
        let totals = self.totals.get_or_insert(Totals {
            first: now,
            last: now,
            lowest: now,
            highest: now,
            moves: 0,
        });
        totals.moves += u64::from(totals.last != now);
        totals.last = now;
        totals.lowest = totals.lowest.min(now);
        totals.highest = totals.highest.max(now);
    }

    pub(crate) fn last_total(&self) -> Option<u64> {
        self.totals.map(|totals| totals.last)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            None => f.write_str("not at its end")?,
            Some(outcome) => outcome.fmt(f)?,
        }
        write!(f, ": {} rows in {} pages, {} requests", self.rows, self.pages, self.requests)?;
        // Who asks through an SDK is not told.
        if self.retries > 0 {
            write!(f, ", {} of them repeated", self.retries)?;
        }
        write!(f, ", {} shifts repaired", self.shifts_repaired)?;
        match self.last_total().filter(|total| *total != self.rows) {
            Some(total) => write!(f, "; the API counts {total}"),
            None => Ok(()),
        }
    }
}

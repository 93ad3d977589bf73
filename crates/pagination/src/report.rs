//! How a scan ended, with its proof, its doubts and its counts.

use core::fmt;
use core::time::Duration;

mod doubt;

pub use doubt::Doubt;
pub(crate) use doubt::Doubts;

use crate::Key;
use crate::link::ForeignLink;

/// How a scan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The scan delivered every row that it could join, and [`Report::doubts`] says why these may not be all.
    BestEffort,
    /// The caller ended the scan.
    Cancelled,
    /// The scan delivered every row present throughout it exactly once, as far as the proof reaches.
    Complete {
        /// What shows it.
        proof: Proof,
    },
    /// A page failed. The scan continues there after it is resumed.
    Failed {
        /// The rows that were delivered before the page.
        at: u64,
    },
    /// The API's answers contradict each other; nothing can be stated about completeness.
    Inconsistent {
        /// The contradiction.
        why: Inconsistency,
    },
    /// The scan delivered as many rows as the query's limit allows.
    LimitReached {
        /// Whether there are more; `None` if no answer shows it. A list that ends at the limit is complete.
        more: Option<bool>,
    },
    /// The API deleted every row that the scan remembers, so the scan cannot tell which rows it has read. Rows
    /// may be missing; a new scan reads them.
    LostPlace,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BestEffort => f.write_str("best effort"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Complete { proof } => write!(f, "complete ({proof})"),
            Self::Failed { at } => write!(f, "failed after {}", counted(*at, "row")),
            Self::Inconsistent { why } => write!(f, "inconsistent: {why}"),
            Self::LimitReached { more: Some(true) } => f.write_str("limit reached, there are more"),
            Self::LimitReached { more: Some(false) } => f.write_str("limit reached, and the end"),
            Self::LimitReached { more: None } => f.write_str("limit reached"),
            Self::LostPlace => {
                f.write_str("lost its place: every row that it remembers was deleted")
            }
        }
    }
}

/// The evidence that a scan delivered every row present throughout it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Proof {
    /// One answer held the whole list, and says so.
    SingleAnswer,
    /// Every page overlapped the rows already read, and so did an answer in the reverse order, which shows where
    /// the list ends.
    Fenced,
    /// The API's own cursor, link or end ended the scan, which cannot check what it led past.
    ApiSaysSo,
}

impl Proof {
    /// Every proof.
    const ALL: [Self; 3] = [Self::SingleAnswer, Self::Fenced, Self::ApiSaysSo];

    /// A stable name for reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiSaysSo => "api_says_so",
            Self::Fenced => "fenced",
            Self::SingleAnswer => "single_answer",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|proof| proof.name() == name)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiSaysSo => "by the API's own word",
            Self::Fenced => "fenced",
            Self::SingleAnswer => "single answer",
        })
    }
}

/// `1 row`, `2 rows`.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
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
    /// Rows stand in another order than in an earlier answer: the sort is ignored.
    OrderChanges,
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
            Self::NoKeys => f.write_str("no row of a page has a key"),
            Self::NoProgress { pages } => {
                write!(f, "no progress: {pages} pages in a row brought no new row")
            }
            Self::NothingShown { answers } => {
                write!(f, "{answers} answers in a row show no row although there are some")
            }
            Self::OrderChanges => {
                f.write_str("rows stand in another order than in an earlier answer")
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
    pub(crate) doubts: Vec<Doubt>,
    pub(crate) order_contradicted: bool,
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

/// The totals that an API stated. A total is a hint: no row depends on it.
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

    /// Everything that speaks against completeness, in alphabetical order.
    #[must_use]
    pub fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    /// Whether an answer contradicted the [order of keys](crate::dialect::Dialect::keys_in_order) that the dialect
    /// declares. The scan then joins its pages by equality alone, which proves as much.
    #[must_use]
    pub const fn order_contradicted(&self) -> bool {
        self.order_contradicted
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

    /// The totals that the API stated, and how they moved; `None` if it stated none.
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
        for doubt in &other.doubts {
            self.doubt(*doubt);
        }
        self.order_contradicted |= other.order_contradicted;
        let rank = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Complete { proof }) => (0, Some(*proof)),
            Some(Outcome::BestEffort) => (1, None),
            Some(Outcome::LimitReached { .. }) => (2, None),
            None => (3, None),
            Some(Outcome::Cancelled) => (4, None),
            Some(Outcome::Failed { .. }) => (5, None),
            Some(Outcome::LostPlace) => (6, None),
            Some(Outcome::Inconsistent { .. }) => (7, None),
        };
        if rank(&other.outcome) > rank(&self.outcome) {
            self.outcome.clone_from(&other.outcome);
        }
        self
    }

    pub(crate) fn doubt(&mut self, doubt: Doubt) {
        if let Err(at) = self.doubts.binary_search(&doubt) {
            self.doubts.insert(at, doubt);
        }
    }

    /// How a scan ends that has this proof.
    pub(crate) fn concluded(&self, proof: Proof) -> Outcome {
        if self.doubts.is_empty() { Outcome::Complete { proof } } else { Outcome::BestEffort }
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
        for (at, doubt) in self.doubts.iter().enumerate() {
            write!(f, "{}{doubt}", if at == 0 { " (" } else { "; " })?;
        }
        f.write_str(if self.doubts.is_empty() { "" } else { ")" })?;
        let rows = counted(self.rows, "row");
        let pages = counted(self.pages, "page");
        write!(f, ": {rows} in {pages}, {}", counted(self.requests, "request"))?;
        // A scan over an SDK's own calls knows of no retries.
        if self.retries > 0 {
            write!(f, ", {} of them repeated", self.retries)?;
        }
        write!(f, ", {} repaired", counted(self.shifts_repaired, "shift"))?;
        if self.order_contradicted {
            f.write_str("; the keys are not in the order that the dialect declares")?;
        }
        match self.last_total().filter(|total| *total != self.rows) {
            Some(total) => write!(f, "; the API counts {total}"),
            None => Ok(()),
        }
    }
}

//! Lists whose pages do not overlap: the API cannot sort them, or counts its pages in a fixed size.
//!
//! Such a list is read page after page until nothing comes any more, so rows may be missing wherever rows were
//! written or changed places meanwhile. It is complete only if one answer held all of it, and the next was empty.

use super::cycle::CycleDetector;
use super::offset::Offset;
use super::requests::Request;
use super::rows::Origin;
use super::{WalkStep, keyless};
use crate::Keyed;
use crate::dialect::Method;
use crate::page::Page;
use crate::query::Terms;
use crate::report::{Doubt, Inconsistency, Outcome, Proof, Report};

/// Pages of one pass, since the last new row, that showed the same rows as an earlier one: this many, and this many
/// rows. Our choice: a write before every request pushes small pages back and forth.
const REPEATED_PAGES: u32 = 8;
const REPEATED_ROWS: u32 = 256;
/// Pages in a row that show no row, whatever the total says. Our choice.
const ROWLESS_PAGES: u32 = 200;
/// Pages without any row, one after the other, before the list counts as read to its end: the first may be a fault.
const EMPTY_PAGES: u32 = 2;

#[derive(Debug)]
pub(super) struct Plain {
    why: Doubt,
    /// Whether a second pass is still to come, and whether this is it.
    has_second_pass: bool,
    is_second_pass: bool,
    /// Whether the caller or the dialect states that keys are unique.
    is_unique: bool,
    /// The distinct rows of all passes.
    distinct: u64,
    /// The rows of the first answer, if it states that these are all.
    whole: Option<u64>,
    pages: CycleDetector,
    repeated: u32,
    empty: u32,
    rowless: u32,
}

impl Plain {
    pub(super) fn of(query: &Terms) -> Option<Self> {
        let why = match query.spec.method {
            _ if query.is_unstable => Doubt::Unsorted,
            Method::PageIndex { .. } if query.spec.has_fixed_pages => Doubt::NoOverlap,
            _ => return None,
        };
        let (has_second_pass, is_unique) = (query.second_pass, query.key.is_unique);
        Some(Self { why, has_second_pass, is_unique, ..Self::after_hidden_rows() })
    }

    /// The rest of a list whose pages overlapped so far.
    pub(super) fn after_hidden_rows() -> Self {
        Self {
            why: Doubt::HiddenRows,
            has_second_pass: false,
            is_second_pass: false,
            is_unique: true,
            distinct: 0,
            whole: None,
            pages: CycleDetector::default(),
            repeated: 0,
            empty: 0,
            rowless: 0,
        }
    }

    pub(super) const fn resume(&mut self, rows: u64) {
        self.distinct = rows;
    }

    pub(super) const fn distinct(&self) -> u64 {
        self.distinct
    }
}

impl<R: Keyed> Offset<R> {
    /// Takes a page of a list whose pages do not overlap.
    pub(super) fn accept_plain(
        &mut self,
        request: &Request<R>,
        page: Page<R>,
        report: &mut Report,
    ) -> Option<WalkStep<R>> {
        self.totaled(page.total, report);
        let (place, begins_at) = (self.place(), self.rank);
        let (places, asked) = (page.places(), request.rows);
        let shown = self.memory.shown(&page.rows, &[]);
        let marks = self.memory.marks();
        let plain = self.plain.as_mut()?;
        plain.rowless = if page.rows.is_empty() { plain.rowless + 1 } else { 0 };
        if plain.rowless > ROWLESS_PAGES {
            let why = Inconsistency::NothingShown { answers: plain.rowless };
            return self.over(Outcome::Inconsistent { why });
        }
        if places == 0 && begins_at > 0 && plain.whole == Some(begins_at) {
            return self.finish_plain(Proof::SingleAnswer, 0, report);
        }
        let is_again = marks.of_page(&page.rows).is_some_and(|mark| plain.pages.closes_at(mark));
        plain.repeated += u32::from(is_again);
        report.pages += 1;
        report.null_rows += page.null_rows;
        if begins_at == 0 && plain.distinct == 0 && page.total == Some(places) {
            plain.whole = Some(places).filter(|_| places < u64::from(asked));
        }
        let mut rows = page.rows;
        let is_read: Vec<bool> = shown.iter().map(|mark| self.memory.has_read(*mark)).collect();
        let mut at = is_read.iter().zip(&shown);
        rows.retain(|row| {
            let (is_read, mark) = at.next().unwrap_or((&false, &None));
            let is_new = !(*is_read && plain.is_unique && row.key().is_some());
            report.duplicates_dropped += u64::from(!is_new && !plain.is_second_pass);
            if mark.is_some_and(|mark| is_new && !self.memory.insert(mark)) {
                report.doubt(Doubt::KeyNotUnique);
            }
            is_new
        });
        plain.distinct += rows.len() as u64;
        let is_more = report.last_total().is_some_and(|total| total > begins_at);
        self.rank = begins_at.saturating_add(match places {
            // Rows that are filtered out after they were counted leave an empty page in the middle. It is asked for
            // twice, as it may be a fault.
            0 if is_more && plain.empty % 2 == 1 => u64::from(asked),
            0 => 0,
            _ if self.counted.is_some() => u64::from(asked) - begins_at % u64::from(asked),
            places => places,
        });
        plain.empty = if places == 0 { plain.empty + 1 } else { 0 };
        if rows.is_empty() {
            return self.nothing_plain(asked, report);
        }
        plain.repeated = 0;
        if keyless(&rows) > 0 {
            report.doubt(Doubt::BadRows);
        }
        self.size.succeeded();
        self.read.push(&rows, &[]);
        if self.fence.is_reached(&self.memory) {
            self.finish_plain(Proof::ApiSaysSo, rows.len() as u64, report);
        }
        let origin = Origin::Plain { page: begins_at, next: self.rank, place };
        Some(WalkStep::Rows { rows, origin })
    }

    /// A page without a new row.
    fn nothing_plain(&mut self, asked: u32, report: &mut Report) -> Option<WalkStep<R>> {
        let plain = self.plain.as_mut()?;
        let is_past = report.last_total().is_none_or(|total| self.rank >= total);
        if plain.empty >= EMPTY_PAGES && is_past {
            if std::mem::take(&mut plain.has_second_pass) {
                (plain.is_second_pass, plain.empty, plain.repeated) = (true, 0, 0);
                (plain.pages, self.rank) = (CycleDetector::default(), 0);
                return None;
            }
            let says_none = plain.distinct == 0 && report.last_total() == Some(0);
            let proof = if says_none { Proof::SingleAnswer } else { Proof::ApiSaysSo };
            return self.finish_plain(proof, 0, report);
        }
        if plain.repeated > REPEATED_PAGES + REPEATED_ROWS / asked.saturating_sub(1).max(1) {
            let why = Inconsistency::NoProgress { pages: plain.repeated };
            return self.over(Outcome::Inconsistent { why });
        }
        None
    }

    fn finish_plain(&mut self, proof: Proof, new: u64, report: &mut Report) -> Option<WalkStep<R>> {
        let plain = self.plain.as_ref()?;
        if proof != Proof::SingleAnswer {
            let is_hidden = plain.why == Doubt::HiddenRows;
            let found_none = is_hidden && plain.distinct == 0;
            report.doubt(if found_none { Doubt::FenceNotMet } else { plain.why });
            let seen = report.rows.saturating_add(report.null_rows).saturating_add(new);
            if report.last_total().is_some_and(|total| total > seen) {
                report.doubt(Doubt::CountDiffers);
            }
            if self.memory.has_forgotten() && !is_hidden {
                report.doubt(Doubt::Forgotten);
            }
        }
        let end = report.concluded(proof);
        self.over(end)
    }
}

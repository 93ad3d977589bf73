//! Lists whose pages do not overlap: the API cannot sort them, or counts its pages in a fixed size.
//!
//! Such a list is read page after page until nothing comes any more, so rows may be missing wherever rows were
//! written or changed places meanwhile. It is complete only if one answer held all of it, and the next was empty.

use super::context::Context;
use super::cycle::Repeats;
use super::offset::{Offset, Phase};
use super::requests::Request;
use super::rows::Origin;
use super::{Accepted, keyless};
use crate::dialect::Method;
use crate::page::Page;
use crate::query::Terms;
use crate::report::{Doubt, Inconsistency, Outcome, Proof};
use crate::{Key, KeyRef, Keyed};

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
    repeats: Repeats,
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
            repeats: Repeats::default(),
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
        cx: &mut Context<R>,
    ) -> Accepted<R> {
        cx.total(page.total);
        let (place, begins_at) = (self.place(), self.rank);
        let (places, asked) = (page.places(), request.rows);
        let Phase::Plain(plain) = &mut self.phase else { return None };
        plain.rowless = if page.rows.is_empty() { plain.rowless + 1 } else { 0 };
        if plain.rowless > ROWLESS_PAGES {
            let why = Inconsistency::NothingShown { answers: plain.rowless };
            cx.end(Outcome::Inconsistent { why });
            return None;
        }
        if places == 0 && begins_at > 0 && plain.whole == Some(begins_at) {
            self.finish_plain(Proof::SingleAnswer, 0, cx);
            return None;
        }
        let mark = self.memory.marks().of_page(&page.rows);
        let is_stuck = plain.repeats.are_too_many(mark, asked, 1);
        cx.accepted(&page);
        if begins_at == 0 && plain.distinct == 0 && page.total == Some(places) {
            plain.whole = Some(places).filter(|_| places < u64::from(asked));
        }
        let mut rows = page.rows;
        let marks = self.memory.marks().clone();
        let mark = |row: &R| marks.of_row(row, &[]);
        let (is_read, has_equal) = self.memory.read(rows.iter().map(mark));
        let (shown, mut at) = (rows.len(), is_read.iter());
        rows.retain(|row| at.next() != Some(&true) || !plain.is_unique || row.key().is_none());
        if plain.why == Doubt::HiddenRows && self.memory.has_forgotten() {
            // A row after the greatest key read is unread in any order; others may be forgotten ones.
            let greatest = self.greatest.as_ref();
            let is_after =
                |(it, key): (&Key, KeyRef<'_>)| self.order.compare(key, it.borrow()).is_gt();
            rows.retain(|row| greatest.zip(row.key()).is_some_and(is_after));
        }
        let dropped = shown - rows.len();
        if has_equal {
            cx.report.doubt(Doubt::KeyNotUnique);
        }
        if is_read.iter().filter(|is_read| **is_read).count() > dropped {
            cx.report.doubt(Doubt::Duplicates);
        }
        if !plain.is_second_pass {
            cx.report.duplicates_dropped += dropped as u64;
        }
        plain.distinct += rows.len() as u64;
        let is_more = cx.report.last_total().is_some_and(|total| total > begins_at);
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
            self.on_no_new_plain_row(is_stuck, cx);
            return None;
        }
        plain.repeats.forgive();
        if plain.why == Doubt::HiddenRows {
            cx.report.doubt(Doubt::HiddenRows); // A scan that resumes after these rows overlaps them again.
        }
        if keyless(&rows) > 0 {
            cx.report.doubt(Doubt::BadRows);
        }
        cx.size.succeeded();
        self.note_greatest(&rows);
        self.read.push(&rows, &vec![true; rows.len()], &[]);
        if self.fence.is_reached(&self.memory) {
            self.finish_plain(Proof::ApiSaysSo, rows.len(), cx);
        }
        Some((rows, Origin::Plain { page: begins_at, next: self.rank, place }))
    }

    /// A page without a new row.
    fn on_no_new_plain_row(&mut self, is_stuck: bool, cx: &mut Context<R>) {
        let Phase::Plain(plain) = &mut self.phase else { return };
        let is_past = cx.report.last_total().is_none_or(|total| self.rank >= total);
        if plain.empty >= EMPTY_PAGES && is_past {
            if std::mem::take(&mut plain.has_second_pass) {
                (plain.is_second_pass, plain.empty, plain.repeats) = (true, 0, Repeats::default());
                self.rank = 0;
                return;
            }
            let says_none = plain.distinct == 0 && cx.report.last_total() == Some(0);
            let proof = if says_none { Proof::SingleAnswer } else { Proof::ApiSaysSo };
            self.finish_plain(proof, 0, cx);
        } else if is_stuck {
            let why = Inconsistency::NoProgress { pages: plain.repeats.count() };
            cx.end(Outcome::Inconsistent { why });
        }
    }

    fn finish_plain(&self, proof: Proof, new: usize, cx: &mut Context<R>) {
        let Phase::Plain(plain) = &self.phase else { return };
        if proof != Proof::SingleAnswer {
            let is_hidden = plain.why == Doubt::HiddenRows;
            let found_none = is_hidden && plain.distinct == 0;
            cx.report.doubt(if found_none { Doubt::FenceNotMet } else { plain.why });
            if cx.report.last_total().is_some_and(|total| total > cx.seen(new)) {
                cx.report.doubt(Doubt::CountDiffers);
            }
            if self.memory.has_forgotten() && !is_hidden {
                cx.report.doubt(Doubt::Forgotten);
            }
        }
        cx.conclude(proof);
    }
}

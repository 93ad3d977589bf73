//! The cursor walk: the API states where the next page is, and the walk watches what the API does not state.
//!
//! A cursor is followed as long as it leads on. The walk notices cycles of any length, rows that come again, cursors
//! that are offsets, and ends that no answer states. An empty page that would end the list is asked for once more.

use std::sync::Arc;

use super::Accepted;
use super::context::Context;
use super::cycle::CycleDetector;
use super::memory::Memory;
use super::requests::{Purpose, Request};
use super::rows::Origin;
use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::hidden_offset::{Finding, OffsetDetector};
use crate::marks::Anchor;
use crate::page::{Next, Page};
use crate::query::{PagePosition, PageRequest, Terms};
use crate::report::{Doubt, Inconsistency, Outcome, Proof, Report};
use crate::{Keyed, link};

/// Pages in a row without a new row. Our choice: far more than any list that is filtered afterwards.
const PAGES_WITHOUT_NEW: u32 = 1_000;
/// The newest rows that are remembered, against pages that overlap. Our choice: 16 MiB at most.
const REMEMBERED_ROWS: usize = 262_144;

#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The address that links are followed from; `None` for cursors.
    origin: Option<http::Uri>,
    /// The cursor of the next page.
    next: Option<Arc<str>>,
    cursors: CycleDetector,
    pages: CycleDetector,
    memory: Memory,
    offsets: OffsetDetector,
    /// Whether only the first cursor looks like an offset.
    is_suspect: bool,
    /// The rows of the first page that were taken before the checkpoint.
    taken: Vec<Anchor>,
    is_resumed: bool,
    /// The most places of a page that led to another one.
    fullest: Option<u64>,
    /// Whether the page at hand was empty once already.
    was_empty: bool,
    pages_without_new: u32,
}

impl Cursor {
    pub(super) fn new(query: &Terms) -> Self {
        let is_link = query.spec.method == Method::Link;
        let mut offsets = OffsetDetector::default();
        if is_link {
            offsets.asked(&query.first_target(query.rows_per_page()));
        }
        let (origin, memory) =
            (is_link.then(|| query.uri.clone()), Memory::of_newest(REMEMBERED_ROWS));
        Self { origin, memory, offsets, ..Self::default() }
    }

    pub(super) fn resume<R: Keyed>(&mut self, place: Resume, cx: &mut Context<R>) -> bool {
        match place {
            Resume::Cursor { cursor, taken } => {
                if let Some(cursor) = &cursor {
                    let finding = self.offsets.resume(cursor);
                    self.found(finding, &mut cx.report);
                }
                self.is_resumed = cursor.is_some() || !taken.is_empty();
                (self.next, self.taken) = (cursor.map(Into::into), taken);
            }
            // The scan had ended because this cursor repeats; it has no other.
            Resume::Cycle { cursor } => {
                let why = Inconsistency::CursorRepeats { cursor };
                cx.end(Outcome::Inconsistent { why });
            }
            _ => return false,
        }
        true
    }

    pub(super) fn here<R: Keyed>(&self, cx: &Context<R>) -> Resume {
        // A scan that resumes has forgotten what it saw, and would not see the cycle.
        if let Some(cursor) = cx.repeated_cursor() {
            return Resume::Cycle { cursor: cursor.to_owned() };
        }
        let cursor = self.next.as_deref().map(str::to_owned);
        Resume::Cursor { cursor, taken: self.taken.clone() }
    }

    /// Whether an answer shows more rows; a cursor alone does not promise any.
    pub(super) fn has_more<R: Keyed>(cx: &Context<R>) -> bool {
        cx.report.last_total().is_some_and(|total| total > cx.seen(0))
    }

    pub(super) fn ask<R: Keyed>(&self, cx: &mut Context<R>) -> Option<PageRequest> {
        // The rows that were taken before the checkpoint come again.
        let rows = cx.rows_for(1 + self.taken.len() as u64);
        if cx.requests.list().is_empty() {
            cx.requests.plan(Request::planned(Purpose::Cursor, 0));
        }
        let request = cx.requests.get_mut(0).filter(|request| request.is_wanted())?;
        request.rows = rows;
        let position = PagePosition::Cursor(self.next.clone());
        let mut request = cx.requests.send(0, position, &cx.size);
        if self.is_linked() {
            request.mark = request.mark.at_its_smallest();
        }
        Some(request)
    }

    /// Whether the next page is at a link, which holds its own size.
    pub(super) const fn is_linked(&self) -> bool {
        self.origin.is_some() && self.next.is_some()
    }

    pub(super) fn accept<R: Keyed>(
        &mut self,
        request: &Request<R>,
        page: Page<R>,
        cx: &mut Context<R>,
    ) -> Accepted<R> {
        let leads_on = matches!(page.next, Next::Cursor(_));
        if page.places() == 0 && !leads_on && !std::mem::replace(&mut self.was_empty, true) {
            return None; // It may be a fault; asked for once more, it counts.
        }
        self.was_empty = false;
        if self.memory.marks().of_page(&page.rows).is_some_and(|mark| self.pages.closes_at(mark)) {
            let cursor = self.next.as_deref().unwrap_or_default().to_owned();
            cx.end(Outcome::Inconsistent { why: Inconsistency::PageRepeats { cursor } });
            return None;
        }
        cx.accepted(&page);
        cx.total(page.total);
        // A page with as many rows as one that had a next page.
        let asked = u64::from(request.rows);
        let is_full = page.places() >= self.fullest.map_or(asked, |fullest| fullest.min(asked));
        let asked_by = self.next.take();
        if let (Next::Cursor(cursor), true) = (&page.next, self.offsets.is_watching()) {
            let finding = self.offsets.see(cursor, page.places(), page.rows.last());
            self.found(finding, &mut cx.report);
        }
        let is_stated = page.next != Next::Unsaid;
        if leads_on {
            self.fullest = self.fullest.max(Some(page.places()).filter(|places| *places > 0));
        }
        self.next = self.follow(page.next, asked_by.as_ref(), cx);
        let (rows, skipped) = self.new_rows(page.rows, cx);
        if cx.end == Some(Outcome::BestEffort) {
            let is_single = asked_by.is_none() && !self.is_resumed;
            let is_silent = !is_stated || (self.origin.is_some() && is_full);
            Self::conclude(is_single, is_silent, cx.seen(rows.len()), cx);
        }
        if rows.is_empty() {
            self.pages_without_new += 1;
            if self.pages_without_new > PAGES_WITHOUT_NEW && cx.end.is_none() {
                let why = Inconsistency::NoProgress { pages: self.pages_without_new };
                cx.end(Outcome::Inconsistent { why });
            }
            return None;
        }
        self.pages_without_new = 0;
        cx.size.succeeded();
        let (next, repeats) = (self.next.clone(), cx.repeated_cursor().is_some());
        let to_come = self.taken.clone();
        Some((rows, Origin::Cursor { page: asked_by, next, repeats, taken: skipped, to_come }))
    }

    /// The rows that were neither taken before a checkpoint nor shown before, and those that were taken.
    fn new_rows<R: Keyed>(
        &mut self,
        mut rows: Vec<R>,
        cx: &mut Context<R>,
    ) -> (Vec<R>, Vec<Anchor>) {
        let marks = self.memory.marks().clone();
        let mark = |row: &R| row.key().map(|key| marks.of_key(key));
        let (is_read, has_equal) = self.memory.read(rows.iter().map(mark));
        if has_equal {
            cx.report.doubt(Doubt::KeyNotUnique);
        }
        let mut skipped = Vec::new();
        if self.taken.is_empty() && !is_read.contains(&true) {
            return (rows, skipped);
        }
        let mut to_skip = std::mem::take(&mut self.taken);
        let (mut duplicates, mut is_read) = (0, is_read.into_iter());
        let is_unique = cx.terms().key.is_unique;
        rows.retain(|row| {
            let again = is_read.next() == Some(true);
            if !to_skip.is_empty() {
                let anchor = Anchor::of_taken(row);
                if let Some(at) = to_skip.iter().position(|taken| *taken == anchor) {
                    skipped.push(to_skip.swap_remove(at));
                    return false;
                }
            }
            duplicates += u64::from(again);
            !(again && is_unique)
        });
        if duplicates > 0 {
            cx.report.doubt(Doubt::Duplicates);
            cx.report.duplicates_dropped += if is_unique { duplicates } else { 0 };
        }
        // A row without a key that is not found was changed or deleted, or cannot be recognized.
        let is_lost = |taken: &Anchor| taken.key.is_none();
        if to_skip.iter().any(is_lost) || skipped.iter().any(|it| is_lost(it) && it.digest == 0) {
            cx.report.doubt(Doubt::KeylessResume);
        }
        // A row with a key that is not in this page may be in the next: pages may be smaller now.
        to_skip.retain(|taken| !is_lost(taken));
        self.taken = to_skip;
        (rows, skipped)
    }

    fn found(&mut self, finding: Finding, report: &mut Report) {
        match finding {
            Finding::Clear if std::mem::take(&mut self.is_suspect) => {
                report.doubts.retain(|doubt| *doubt != Doubt::OffsetCursor);
            }
            Finding::Offset => {
                report.doubt(Doubt::OffsetCursor);
                self.is_suspect = false;
            }
            Finding::Suspect if !report.doubts.contains(&Doubt::OffsetCursor) => {
                report.doubt(Doubt::OffsetCursor);
                self.is_suspect = true;
            }
            Finding::Clear | Finding::Suspect => {}
        }
    }

    /// Where the next page is, or how the scan ends with this one, whose rows are good in any case.
    fn follow<R: Keyed>(
        &mut self,
        next: Next,
        asked_by: Option<&Arc<str>>,
        cx: &mut Context<R>,
    ) -> Option<Arc<str>> {
        let Next::Cursor(mut cursor) = next else {
            cx.end(Outcome::BestEffort); // What is stated about the end is weighed when the rows are counted.
            return None;
        };
        if let Some(origin) = &self.origin {
            let here = asked_by.and_then(|link| at(origin, link));
            match link::same_origin(here.as_ref().unwrap_or(origin), &cursor) {
                Ok(target) => cursor = target.into(),
                Err(foreign) => {
                    let why = Inconsistency::ForeignLink(foreign);
                    cx.end(Outcome::Inconsistent { why });
                    return None;
                }
            }
        }
        if asked_by == Some(&cursor) || self.cursors.closes_at(self.memory.marks().of(&*cursor)) {
            // For some APIs a cursor that comes again is the end; a page never is.
            let why = Inconsistency::CursorRepeats { cursor: cursor.to_string() };
            let is_end = cx.terms().spec.repeat_is_end;
            cx.end(if is_end { Outcome::BestEffort } else { Outcome::Inconsistent { why } });
        }
        Some(cursor)
    }

    /// The list ends with a page after which so many places were seen.
    fn conclude<R: Keyed>(is_single: bool, is_silent: bool, seen: u64, cx: &mut Context<R>) {
        let totals = cx.report.totals;
        if totals.is_some_and(|totals| totals.lowest > seen) {
            cx.report.doubt(Doubt::CountDiffers);
        }
        // A total that is reached states the end as well.
        if is_silent && totals.is_none_or(|totals| totals.last != seen) {
            cx.report.doubt(Doubt::EndNotStated);
        }
        cx.conclude(if is_single { Proof::SingleAnswer } else { Proof::ApiSaysSo });
    }
}

/// The address of this path and query in an origin.
fn at(origin: &http::Uri, target: &str) -> Option<http::Uri> {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    http::Uri::from_parts(parts).ok()
}

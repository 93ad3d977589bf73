//! The cursor walk: the API states where the next page is, and the walk watches what the API does not state.
//!
//! A cursor is followed as long as it leads on. The walk notices cycles of any length, rows that come again, cursors
//! that are offsets, and ends that no answer states. An empty page that would end the list is asked for once more.

use std::sync::Arc;

use super::cycle::CycleDetector;
use super::memory::Memory;
use super::requests::{Prefetch, Purpose, Request, Requests};
use super::rows::Origin;
use super::size::PageSize;
use super::{PageRequest, WalkStep, rows_for};
use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::hidden_offset::{Finding, OffsetDetector};
use crate::marks::{Anchor, Mark};
use crate::page::{Next, Page};
use crate::query::{PagePosition, Terms};
use crate::report::{Doubt, Inconsistency, Outcome, Proof, Report};
use crate::{Keyed, link};

/// Pages in a row without a new row. Our choice: far more than any list that is filtered afterwards.
const PAGES_WITHOUT_NEW: u32 = 1_000;
/// The newest rows that are remembered, against pages that overlap. Our choice: 16 MiB at most.
const REMEMBERED_ROWS: usize = 262_144;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "two are the query's, two are what was seen")]
pub(super) struct Cursor<R> {
    pub(super) size: PageSize,
    pub(super) prefetch: Prefetch,
    pub(super) left: Option<u64>,
    pub(super) requests: Requests<R>,
    /// The address that links are followed from; `None` for cursors.
    origin: Option<http::Uri>,
    repeat_is_end: bool,
    /// Whether the caller or the dialect states that keys are unique.
    is_unique: bool,
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
    /// Whether the page at hand was empty once already.
    was_empty: bool,
    pages_without_new: u32,
    /// What shows the end, doubts aside.
    proof: Option<Proof>,
    end: Option<Outcome>,
}

impl<R: Keyed> Cursor<R> {
    pub(super) fn new(query: &Terms) -> Self {
        let is_link = query.spec.method == Method::Link;
        let size = PageSize::new(query.rows_per_page(), query.spec.time_limit);
        let mut offsets = OffsetDetector::default();
        if is_link {
            offsets.asked(&query.first_target(size.current()));
        }
        Self {
            size,
            prefetch: Prefetch::new(query.ahead().min(1)),
            left: None,
            requests: Requests::default(),
            origin: is_link.then(|| query.uri.clone()),
            repeat_is_end: query.spec.repeat_is_end,
            is_unique: query.key.is_unique,
            next: None,
            cursors: CycleDetector::default(),
            pages: CycleDetector::default(),
            memory: Memory::of_newest(REMEMBERED_ROWS),
            offsets,
            is_suspect: false,
            taken: Vec::new(),
            is_resumed: false,
            was_empty: false,
            pages_without_new: 0,
            proof: None,
            end: None,
        }
    }

    pub(super) fn resume(&mut self, place: Resume, report: &mut Report) -> bool {
        match place {
            Resume::Cursor { cursor, taken } => {
                if let Some(cursor) = &cursor {
                    let finding = self.offsets.resume(cursor);
                    self.found(finding, report);
                }
                self.is_resumed = cursor.is_some() || !taken.is_empty();
                (self.next, self.taken) = (cursor.map(Into::into), taken);
            }
            // The scan had ended because this cursor repeats; it has no other.
            Resume::Cycle { cursor } => {
                let why = Inconsistency::CursorRepeats { cursor };
                self.end = Some(Outcome::Inconsistent { why });
            }
            _ => return false,
        }
        true
    }

    pub(super) fn here(&self) -> Resume {
        // A scan that resumes has forgotten what it saw, and would not see the cycle.
        if let Some(Outcome::Inconsistent { why }) = &self.end {
            if let Some(cursor) = why.cursor() {
                return Resume::Cycle { cursor: cursor.to_owned() };
            }
        }
        match self.proof {
            Some(proof) => Resume::End { proof },
            None => Resume::Cursor {
                cursor: self.next.as_deref().map(str::to_owned),
                taken: self.taken.clone(),
            },
        }
    }

    /// Whether there are more rows; a cursor alone does not promise any.
    pub(super) fn has_more(&self, report: &Report) -> Option<bool> {
        match &self.end {
            Some(Outcome::Complete { .. }) => Some(false),
            _ => report.last_total().is_some_and(|total| total > seen(report)).then_some(true),
        }
    }

    pub(super) fn step(&mut self, report: &mut Report) -> WalkStep<R> {
        loop {
            if let Some(id) = self.requests.failed() {
                return WalkStep::Failed(id);
            }
            if let Some((request, page)) = self.requests.take() {
                if let Some(step) = self.accept(&request, page, report) {
                    return step;
                }
                continue;
            }
            if let Some(end) = &self.end {
                return WalkStep::Done(end.clone());
            }
            return self.send().map_or(WalkStep::Wait, WalkStep::Fetch);
        }
    }

    pub(super) fn ask(&mut self) -> Option<PageRequest> {
        if self.prefetch.now() == 0 { None } else { self.send() }
    }

    fn send(&mut self) -> Option<PageRequest> {
        if self.end.is_some() {
            return None;
        }
        if self.requests.list().is_empty() {
            self.requests.plan(Request::planned(Purpose::Cursor, 0));
        }
        // The rows that were taken before the checkpoint come again.
        let rows = rows_for(self.size.current(), self.left, 1 + self.taken.len() as u64);
        let request = self.requests.get_mut(0).filter(|request| request.is_wanted())?;
        request.rows = rows;
        let position = PagePosition::Cursor(self.next.clone());
        let mut request = self.requests.send(0, position, &self.size);
        if self.is_linked() {
            request.mark = request.mark.at_its_smallest();
        }
        Some(request)
    }

    /// Whether the next page is at a link, which holds its own size.
    pub(super) const fn is_linked(&self) -> bool {
        self.origin.is_some() && self.next.is_some()
    }

    fn accept(
        &mut self,
        request: &Request<R>,
        page: Page<R>,
        report: &mut Report,
    ) -> Option<WalkStep<R>> {
        let leads_on = matches!(page.next, Next::Cursor(_));
        if page.places() == 0 && !leads_on && !std::mem::replace(&mut self.was_empty, true) {
            return None; // It may be a fault; asked for once more, it counts.
        }
        self.was_empty = false;
        if self.memory.marks().of_page(&page.rows).is_some_and(|mark| self.pages.closes_at(mark)) {
            let cursor = self.next.as_deref().unwrap_or_default().to_owned();
            self.repeats(Inconsistency::PageRepeats { cursor });
            return None;
        }
        report.pages += 1;
        report.null_rows += page.null_rows;
        report.total(page.total);
        if page.partial.is_some() {
            report.doubt(Doubt::Partial);
        }
        self.prefetch.arrived();
        let is_full = page.places() >= u64::from(request.rows);
        let asked_by = self.next.take();
        if let (Next::Cursor(cursor), true) = (&page.next, self.offsets.is_watching()) {
            let finding = self.offsets.see(cursor, page.places(), page.rows.last());
            self.found(finding, report);
        }
        let is_stated = page.next != Next::Unsaid;
        self.next = self.follow(page.next, asked_by.as_ref());
        let next = self.next.clone();
        let ends = self.end == Some(Outcome::BestEffort);
        let (rows, skipped) = self.new_rows(page.rows, report);
        if ends {
            let is_single = asked_by.is_none() && !self.is_resumed;
            let is_silent = !is_stated || (self.origin.is_some() && is_full);
            self.conclude(is_single, is_silent, rows.len() as u64, report);
        }
        if rows.is_empty() {
            self.pages_without_new += 1;
            if self.pages_without_new > PAGES_WITHOUT_NEW && self.end.is_none() {
                let why = Inconsistency::NoProgress { pages: self.pages_without_new };
                self.end = Some(Outcome::Inconsistent { why });
            }
            return None;
        }
        self.pages_without_new = 0;
        self.size.succeeded();
        let repeats =
            matches!(&self.end, Some(Outcome::Inconsistent { why }) if why.cursor().is_some());
        let origin = Origin::Cursor { page: asked_by, next, repeats, taken: skipped };
        let origin = match self.proof {
            Some(proof) => Origin::Last(proof, Box::new(origin)),
            None => origin,
        };
        Some(WalkStep::Rows { rows, origin })
    }

    /// The rows that were neither taken before a checkpoint nor shown before, and those that were taken.
    fn new_rows(&mut self, mut rows: Vec<R>, report: &mut Report) -> (Vec<R>, Vec<Anchor>) {
        let memory = &self.memory;
        let is_read = |row: &R| {
            row.key().is_some_and(|key| memory.has_read(Some(memory.marks().of_key(key))))
        };
        if self.taken.is_empty() && !rows.iter().any(is_read) {
            for key in rows.iter().filter_map(Keyed::key) {
                if !self.memory.insert(self.memory.marks().of_key(key)) {
                    report.doubt(Doubt::KeyNotUnique); // It came in this answer already.
                }
            }
            return (rows, Vec::new());
        }
        let mut to_skip = std::mem::take(&mut self.taken);
        let mut skipped = Vec::new();
        let mark = |row: &R| row.key().map(|key| self.memory.marks().of_key(key));
        let marks: Vec<Option<Mark>> = rows.iter().map(mark).collect();
        let is_read: Vec<bool> = marks.iter().map(|mark| self.memory.has_read(*mark)).collect();
        for (mark, is_read) in marks.into_iter().zip(&is_read) {
            if mark.is_some_and(|mark| !self.memory.insert(mark) && !is_read) {
                report.doubt(Doubt::KeyNotUnique);
            }
        }
        let mut duplicates = 0;
        let mut is_read = is_read.into_iter();
        rows.retain(|row| {
            let mut is_taken = false;
            if !to_skip.is_empty() {
                let anchor = Anchor::of_taken(row);
                if let Some(at) = to_skip.iter().position(|taken| *taken == anchor) {
                    skipped.push(to_skip.swap_remove(at));
                    is_taken = true;
                }
            }
            let again = is_read.next() == Some(true) && !is_taken;
            duplicates += u64::from(again);
            !(is_taken || again && self.is_unique)
        });
        if duplicates > 0 {
            report.doubt(Doubt::Duplicates);
            report.duplicates_dropped += if self.is_unique { duplicates } else { 0 };
        }
        // A row without a key that is not found was changed or deleted, or cannot be recognized.
        let is_lost = |taken: &Anchor| taken.key.is_none();
        if to_skip.iter().any(is_lost) || skipped.iter().any(|it| is_lost(it) && it.digest == 0) {
            report.doubt(Doubt::KeylessResume);
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
    fn follow(&mut self, next: Next, asked_by: Option<&Arc<str>>) -> Option<Arc<str>> {
        let mut cursor = match next {
            Next::Cursor(cursor) => cursor,
            Next::End | Next::Unsaid => {
                // What is stated about the end is weighed when the rows are counted.
                self.end = Some(Outcome::BestEffort);
                return None;
            }
        };
        if let Some(origin) = &self.origin {
            let here = asked_by.and_then(|link| at(origin, link));
            match link::same_origin(here.as_ref().unwrap_or(origin), &cursor) {
                Ok(target) => cursor = target.into(),
                Err(foreign) => {
                    let why = Inconsistency::ForeignLink(foreign);
                    self.end = Some(Outcome::Inconsistent { why });
                    return None;
                }
            }
        }
        if asked_by == Some(&cursor) || self.cursors.closes_at(self.memory.marks().of(&*cursor)) {
            self.repeats(Inconsistency::CursorRepeats { cursor: cursor.to_string() });
        }
        Some(cursor)
    }

    /// The list ends with a page that has this many new rows.
    fn conclude(&mut self, is_single: bool, is_silent: bool, new: u64, report: &mut Report) {
        let seen = seen(report).saturating_add(new);
        let totals = report.totals;
        if totals.is_some_and(|totals| totals.lowest > seen) {
            report.doubt(Doubt::CountDiffers);
        }
        // A total that is reached states the end as well.
        if is_silent && totals.is_none_or(|totals| totals.last != seen) {
            report.doubt(Doubt::EndNotStated);
        }
        let proof = if is_single { Proof::SingleAnswer } else { Proof::ApiSaysSo };
        (self.proof, self.end) = (Some(proof), Some(report.concluded(proof)));
    }

    /// The pages go round in a cycle. A cursor that comes back is the end for some APIs; a page never is.
    fn repeats(&mut self, why: Inconsistency) {
        let is_end = self.repeat_is_end && matches!(why, Inconsistency::CursorRepeats { .. });
        self.end = Some(if is_end { Outcome::BestEffort } else { Outcome::Inconsistent { why } });
    }
}

/// The places of all lists so far, those before a checkpoint included.
const fn seen(report: &Report) -> u64 {
    report.rows.saturating_add(report.null_rows)
}

/// The address of this path and query in an origin.
fn at(origin: &http::Uri, target: &str) -> Option<http::Uri> {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    http::Uri::from_parts(parts).ok()
}

//! Cursor paging: the API says where the next page is, and the scan sees that it does not go in circles.

use std::sync::Arc;

use retry_policy::safety::Shrinkable;

use super::circle::{Circle, Marks, Recent};
use super::single::Single;
use super::size::PageSize;
use super::window::Ahead;
use super::{Origin, PageRequest, State, WalkStep, rows_for};
use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::page::{Next, Page};
use crate::query::{PagePosition, Terms};
use crate::report::{Doubt, Inconsistency, Outcome, Report};
use crate::{Key, KeyRef, Keyed, link};

/// Pages in a row without a new row. Our choice: far more than any list that is filtered afterwards.
const BARREN_PAGES: u32 = 1_000;

#[derive(Debug)]
pub(super) struct Cursored<R> {
    size: PageSize,
    ahead: Ahead,
    left: Option<u64>,
    /// The address that links are followed from; `None` for cursors.
    origin: Option<http::Uri>,
    repeat_is_end: bool,
    /// Whether links hold page numbers or offsets.
    is_plain: bool,
    /// The cursor of the next page.
    cursor: Option<Arc<str>>,
    single: Single<R>,
    marks: Marks,
    cursors: Circle,
    pages: Circle,
    recent: Recent,
    /// The rows of the first page that were taken before the checkpoint.
    taken: Vec<Option<Key>>,
    /// The last page and its rows, of a scan that ends there and is not complete: it ends so again when it goes on.
    last: Option<LastPage>,
    barren: u32,
    end: Option<Outcome>,
}

#[derive(Debug)]
struct LastPage {
    cursor: Option<Arc<str>>,
    taken: Vec<Option<Key>>,
}

impl<R: Keyed> Cursored<R> {
    pub(super) fn new(query: &Terms) -> Self {
        let is_link = query.spec.method == Method::Link;
        Self {
            size: PageSize::new(query.rows_per_page(), query.spec.time_limit),
            ahead: Ahead::new(query.ahead().min(1)),
            left: None,
            origin: is_link.then(|| query.uri.clone()),
            repeat_is_end: query.spec.repeat_is_end,
            is_plain: false,
            cursor: None,
            single: Single::default(),
            marks: Marks::default(),
            cursors: Circle::default(),
            pages: Circle::default(),
            recent: Recent::default(),
            taken: Vec::new(),
            last: None,
            barren: 0,
            end: None,
        }
    }

    pub(super) fn resume(&mut self, place: Resume) -> bool {
        match place {
            Resume::Cursor { cursor, taken } => {
                let is_link = self.origin.is_some();
                self.is_plain = is_link && cursor.as_deref().is_some_and(link::is_plain_offset);
                (self.cursor, self.taken) = (cursor.map(Into::into), taken);
            }
            // The scan had ended because this cursor repeats; it has no other.
            Resume::Circle { cursor } => {
                let why = Inconsistency::CursorRepeats { cursor };
                self.end = Some(Outcome::Inconsistent { why });
            }
            _ => return false,
        }
        true
    }

    pub(super) fn here(&self) -> Resume {
        // A scan that goes on has forgotten what it saw, and would not see the circle.
        if let Some(Outcome::Inconsistent { why }) = &self.end {
            if let Some(cursor) = why.cursor() {
                return Resume::Circle { cursor: cursor.to_owned() };
            }
        }
        match (&self.end, &self.last) {
            (Some(Outcome::Complete), _) => Resume::End,
            (_, Some(LastPage { cursor, taken })) => Resume::Cursor {
                cursor: cursor.as_deref().map(str::to_owned),
                taken: taken.clone(),
            },
            _ => Resume::Cursor {
                cursor: self.cursor.as_deref().map(str::to_owned),
                taken: self.taken.clone(),
            },
        }
    }

    pub(super) const fn needs(&mut self, left: Option<u64>) {
        self.left = left;
    }

    pub(super) const fn size(&mut self) -> &mut PageSize {
        &mut self.size
    }

    pub(super) const fn ahead(&mut self) -> &mut Ahead {
        &mut self.ahead
    }

    /// Whether there are more rows; a cursor alone does not promise any.
    pub(super) fn has_more(&self, report: &Report) -> Option<bool> {
        match &self.end {
            Some(Outcome::Complete) => Some(false),
            _ => report.last_total().is_some_and(|total| total > seen(report)).then_some(true),
        }
    }

    pub(super) fn step(&mut self, report: &mut Report) -> WalkStep<R> {
        loop {
            match self.single.state() {
                Some((id, State::Failed)) => return WalkStep::Failed(id),
                Some((_, State::Arrived(_))) => {
                    if let Some(step) = self.accept(report) {
                        return step;
                    }
                    continue;
                }
                _ => {}
            }
            if let Some(end) = &self.end {
                return WalkStep::Done(end.clone());
            }
            return self.next_ask().map_or(WalkStep::Wait, WalkStep::Fetch);
        }
    }

    pub(super) fn ask(&mut self, _: &Report) -> Option<PageRequest> {
        if self.ahead.now() == 0 { None } else { self.next_ask() }
    }

    fn next_ask(&mut self) -> Option<PageRequest> {
        if self.end.is_some() || !self.single.is_free() {
            return None;
        }
        // The rows that were taken before the checkpoint come again.
        let rows = rows_for(self.size.current(), self.left, 1 + self.taken.len() as u64);
        let carried = self.single.wanted().map_or_else(Shrinkable::new, |(carried, _)| carried);
        let id = self.single.ask(rows, false, carried);
        // A link holds its own size.
        let mark = match &self.cursor {
            Some(_) if self.origin.is_some() => carried.at_its_smallest(),
            _ => self.size.mark(rows, carried),
        };
        Some(PageRequest { id, at: PagePosition::Cursor(self.cursor.clone()), rows, mark })
    }

    fn accept(&mut self, report: &mut Report) -> Option<WalkStep<R>> {
        let (page, ..) = self.single.take()?;
        if self.marks.of_page(&page.rows).is_some_and(|mark| self.pages.closes_at(mark)) {
            let cursor = self.cursor.as_deref().unwrap_or_default().to_owned();
            self.repeats(Inconsistency::PageRepeats { cursor });
            return None;
        }
        report.pages += 1;
        report.null_rows += page.null_rows;
        report.total(page.total);
        self.ahead.arrived();
        let asked_by = self.cursor.take();
        let is_said = page.next != Next::Unsaid;
        self.cursor = self.follow(page.next, asked_by.as_ref());
        let next = self.cursor.clone();

        let mut to_skip = std::mem::take(&mut self.taken);
        let mut skipped = Vec::new();
        let recent = &mut self.recent;
        let mut rows = page.rows;
        rows.retain(|row| {
            let key = row.key();
            if !to_skip.is_empty() {
                let is_taken = |taken: &Option<Key>| taken.as_ref().map(Key::borrow) == key;
                if let Some(at) = to_skip.iter().position(is_taken) {
                    skipped.push(to_skip.swap_remove(at));
                    key.map(|key| recent.insert(key));
                    return false;
                }
            }
            let is_new = key.is_none_or(|key| recent.insert(key));
            report.duplicates_dropped += u64::from(!is_new);
            is_new
        });
        if self.end == Some(Outcome::Complete) {
            self.end = Some(self.weighed(is_said, rows.len() as u64, report));
        }
        // What was taken and is not in this page may be in the next: pages may be smaller now.
        self.taken = to_skip;
        if rows.is_empty() {
            self.barren += 1;
            if self.barren > BARREN_PAGES && self.end.is_none() {
                let why = Inconsistency::NoProgress { pages: self.barren };
                self.end = Some(Outcome::Inconsistent { why });
            }
            return None;
        }
        self.barren = 0;
        self.size.succeeded();
        let repeats =
            matches!(&self.end, Some(Outcome::Inconsistent { why }) if why.cursor().is_some());
        let is_complete = self.end == Some(Outcome::Complete);
        if self.end.is_some() && self.cursor.is_none() && !is_complete {
            let keys = rows.iter().map(|row| row.key().map(KeyRef::to_key));
            let taken = skipped.iter().cloned().chain(keys).collect();
            self.last = Some(LastPage { cursor: asked_by.clone(), taken });
        }
        let origin = Origin::Cursor { page: asked_by, next, repeats, taken: skipped };
        Some(WalkStep::Rows { rows, origin, is_last: is_complete })
    }

    /// Where the next page is, or how the scan ends with this one, whose rows are good in any case.
    fn follow(&mut self, next: Next, asked_by: Option<&Arc<str>>) -> Option<Arc<str>> {
        let mut cursor = match next {
            Next::Cursor(cursor) => cursor,
            // What is said about the end is weighed when the rows are counted.
            Next::End | Next::Unsaid => {
                self.end = Some(Outcome::Complete);
                return None;
            }
        };
        if let Some(origin) = &self.origin {
            let here = asked_by.and_then(|link| at(origin, link));
            match link::same_origin(here.as_ref().unwrap_or(origin), &cursor) {
                Ok(target) => {
                    self.is_plain |= link::is_plain_offset(&target);
                    cursor = target.into();
                }
                Err(foreign) => {
                    let why = Inconsistency::ForeignLink(foreign);
                    self.end = Some(Outcome::Inconsistent { why });
                    return None;
                }
            }
        }
        if asked_by == Some(&cursor) || self.cursors.closes_at(self.marks.of(&*cursor)) {
            self.repeats(Inconsistency::CursorRepeats { cursor: cursor.to_string() });
        }
        Some(cursor)
    }

    /// How a scan ends whose last page has this many new rows.
    fn weighed(&self, is_said: bool, new: u64, report: &Report) -> Outcome {
        let seen = seen(report).saturating_add(new);
        match report.last_total().filter(|total| !is_said && *total > seen) {
            Some(total) => Outcome::BestEffort { why: Doubt::CountDiffers { seen, total } },
            None if self.is_plain => Outcome::BestEffort { why: Doubt::PlainOffset },
            None => Outcome::Complete,
        }
    }

    /// The pages go round in a circle. A cursor that comes back is the end for some APIs; a page never is.
    fn repeats(&mut self, why: Inconsistency) {
        let is_end = self.repeat_is_end && matches!(why, Inconsistency::CursorRepeats { .. });
        self.end = Some(if is_end { Outcome::Complete } else { Outcome::Inconsistent { why } });
    }

    pub(super) fn answer(&mut self, id: u64, page: Page<R>, _: &mut Report) {
        self.single.answer(id, page);
    }

    pub(super) fn too_heavy(&mut self, id: u64, carried: Shrinkable) -> bool {
        // A link holds its own size.
        let is_linked = self.origin.is_some() && self.cursor.is_some();
        !is_linked && self.single.too_heavy(id, carried, &mut self.size)
    }

    pub(super) fn at_most(&mut self, id: u64, ceiling: u32) -> bool {
        let is_linked = self.origin.is_some() && self.cursor.is_some();
        !is_linked && self.single.at_most(id, ceiling, &mut self.size)
    }

    pub(super) fn failed(&mut self, id: u64) {
        self.single.failed(id);
    }

    pub(super) fn retry_failed(&mut self) {
        self.single.retry_failed();
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

//! Offset paging without an order by key: rows are told from those that were seen before.
//!
//! A list sorted by other fields is anchored: every page begins one row early, and is covered if its first row
//! was seen. Its end is the row that the reverse order shows first. A list without any order is walked until
//! nothing comes any more, and its count compared with the total.

use retry_policy::safety::Shrinkable;

use super::circle::{Circle, Marks, Recent};
use super::single::Single;
use super::size::PageSize;
use super::window::Ahead;
use super::{Origin, PageRequest, State, WalkStep, keyless, rows_for};
use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::page::Page;
use crate::query::{PagePosition, Terms};
use crate::report::{Doubt, Inconsistency, Outcome, Report};
use crate::{Key, KeyRef, Keyed, Order};

/// The newest keys that a checkpoint holds. Our choice: as many rows may be gone when the scan goes on.
const KEYS_OF_A_CHECKPOINT: u32 = 200;
/// The first keys of all that are remembered, to tell the reverse order by. Our choice: more than a write or two
/// take away.
const KEYS_OF_THE_HEAD: usize = 16;
/// Pages of one pass, since the last new row, that showed the same rows as an earlier one: this many, and this many
/// rows. Our choice: a write before every request pushes small pages back and forth.
const REPEATED_PAGES: u32 = 8;
const REPEATED_ROWS: u32 = 256;
/// Answers without any row, in both orders, before a list that has never shown one counts as empty.
const EMPTY_ANSWERS: u32 = 4;
/// Pages in a row that show no row, whatever the total says. Our choice.
const EMPTY_AT_MOST: u32 = 200;
/// How often the fence is read again because the scan does not meet it. Our choice: each honest time needs a
/// write.
const ROUNDS: u32 = 8;
/// Steps back in a row. Doubling, 64 reach the beginning from anywhere.
const STEPS_BACK: u32 = 64;
/// Pages without any row, one behind the other, before the list counts as walked to its end.
const EMPTY_PAGES: u32 = 2;

#[derive(Debug)]
pub(super) struct Seen<R> {
    order: Order,
    /// How a list that is sorted is anchored.
    anchor: Option<Anchor>,
    /// How a list without an order is walked.
    walked: Walked,
    size: PageSize,
    ahead: Ahead,
    left: Option<u64>,
    single: Single<R>,
    known: Recent,
    /// The newest keys, for a checkpoint.
    newest: Vec<Key>,
    /// The distinct rows of all passes, and the places of this one.
    distinct: u64,
    skip: u64,
    pass: u32,
    /// The pages of this pass, and how many of them came again.
    marks: Marks,
    pages: Circle,
    repeated: u32,
    /// The first rows of all.
    head: Vec<Key>,
    /// The row that is the last in the order of the scan, and how often it was asked for.
    fence: Option<Key>,
    fences: u32,
    rounds: u32,
    back: u64,
    steps_back: u32,
    barren: u32,
    empty: u32,
    /// The pages in a row that showed no row, nulls or not.
    rowless: u32,
    bad_rows: u64,
    /// Whether one answer has held the whole list.
    whole: bool,
    /// Whether no page was joined since the scan went on from a checkpoint.
    is_resumed: bool,
    end: Option<Outcome>,
}

/// An order by fields that are not the key.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    /// Whether one of them may change.
    is_mutable: bool,
    has_reverse: bool,
}

/// How a list without an order is walked.
#[derive(Clone, Copy, Debug)]
struct Walked {
    twice: bool,
    /// Pages are counted, so that each begins at a multiple of its size.
    counted: bool,
}

impl<R: Keyed> Seen<R> {
    pub(super) fn new(query: &Terms) -> Self {
        Self {
            order: query.order(),
            anchor: (!query.sorted.is_empty()).then(|| Anchor {
                is_mutable: query.is_mutable(),
                has_reverse: query.spec.has_reverse,
            }),
            walked: Walked {
                twice: query.second_pass,
                counted: matches!(query.spec.method, Method::PageIndex { .. }),
            },
            size: PageSize::new(query.rows_per_page(), query.spec.time_limit),
            ahead: Ahead::new(0),
            left: None,
            single: Single::default(),
            known: Recent::default(),
            newest: Vec::new(),
            distinct: 0,
            skip: 0,
            pass: 1,
            marks: Marks::default(),
            pages: Circle::default(),
            repeated: 0,
            head: Vec::new(),
            fence: None,
            fences: 0,
            rounds: 0,
            back: 0,
            steps_back: 0,
            barren: 0,
            empty: 0,
            rowless: 0,
            bad_rows: 0,
            whole: false,
            is_resumed: false,
            end: None,
        }
    }

    pub(super) fn resume(&mut self, place: Resume) -> bool {
        let Resume::Seen { skip, pass, known } = place else { return false };
        (self.skip, self.pass) = (skip, pass);
        for key in &known {
            self.known.insert(key.borrow());
        }
        // What came before these is forgotten, so the count cannot be compared any more.
        self.known.forget();
        self.is_resumed = !known.is_empty();
        self.newest = known;
        true
    }

    pub(super) fn here(&self) -> Resume {
        Resume::Seen { skip: self.skip, pass: self.pass, known: self.newest.clone() }
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

    pub(super) fn has_more(&self, report: &Report) -> Option<bool> {
        let is_more = |total| total > self.distinct && !self.known.has_forgotten();
        report.last_total().is_some_and(is_more).then_some(true)
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

    /// Nothing is asked for ahead: where the next page begins is known only when this one was looked at.
    #[allow(clippy::unused_self, reason = "every walk answers it")]
    pub(super) const fn ask(&mut self, _: &Report) -> Option<PageRequest> {
        None
    }

    fn next_ask(&mut self) -> Option<PageRequest> {
        if self.end.is_some() || !self.single.is_free() {
            return None;
        }
        let (carried, wants_fence) =
            self.single.wanted().unwrap_or_else(|| (Shrinkable::new(), self.wants_fence()));
        let rows = if wants_fence { 2 } else { rows_for(self.size.current(), self.left, 2) };
        let (skip, order) =
            if wants_fence { (0, self.order.reversed()) } else { (self.skip, self.order) };
        let id = self.single.ask(rows, wants_fence, carried);
        let mark = self.size.mark(rows, carried);
        Some(PageRequest { id, at: PagePosition::Rank { skip, order, above: None }, rows, mark })
    }

    /// The fence is read when there are rows, and again when it was not met.
    fn wants_fence(&self) -> bool {
        // A row that moves to the end after it was read would look like the end.
        self.has_fence() && ((self.fences == 0 && self.distinct > 0) || self.barren == 1)
    }

    fn has_fence(&self) -> bool {
        self.anchor.is_some_and(|anchor| !anchor.is_mutable && anchor.has_reverse)
    }

    fn accept(&mut self, report: &mut Report) -> Option<WalkStep<R>> {
        let (page, asked, is_fence) = self.single.take()?;
        report.total(page.total);
        if is_fence {
            self.fence_arrived(&page);
            return None;
        }
        self.rowless = if page.rows.is_empty() { self.rowless + 1 } else { 0 };
        if self.rowless > EMPTY_AT_MOST {
            let why = Inconsistency::NothingShown { answers: self.rowless };
            self.end = Some(Outcome::Inconsistent { why });
            return None;
        }
        let places = page.places();
        let is_known = |row: &R| row.key().is_some_and(|key| self.known.contains(key));
        let is_immutable = self.anchor.is_some_and(|anchor| !anchor.is_mutable);
        // In an order that never changes all that stands before a known row was there to be read, or came later.
        let known = match page.rows.iter().rposition(is_known) {
            Some(last) if is_immutable => last + 1,
            _ => 0,
        };
        let begins_known = page.rows.first().is_some_and(is_known);
        let is_first = self.skip == 0 && !self.is_resumed;
        if self.anchor.is_some() && !is_first && !begins_known && known == 0 {
            report.shifts_repaired += u64::from(self.steps_back == 0);
            self.step_back(asked);
            return None;
        }
        if self.marks.of_page(&page.rows).is_some_and(|mark| self.pages.closes_at(mark)) {
            self.repeated += 1;
        }
        report.pages += 1;
        report.null_rows += page.null_rows;
        let begins_at = self.skip;
        let is_short = places < u64::from(asked);
        self.whole = begins_at == 0 && is_short && !is_immutable && page.total == Some(places);
        let (mut rows, seen) = (page.rows, &mut self.known);
        if self.head.is_empty() && begins_at == 0 {
            let keys = rows.iter().filter_map(Keyed::key).take(KEYS_OF_THE_HEAD);
            self.head = keys.map(KeyRef::to_key).collect();
        }
        let overlap = u64::from(self.anchor.is_some() && begins_at > 0);
        let mut again = 0_u64;
        let mut at = 0;
        rows.retain(|row| {
            at += 1;
            let is_new = seen.insert_row(row) && at > known;
            again += u64::from(!is_new);
            is_new
        });
        if self.pass == 1 {
            report.duplicates_dropped += again.saturating_sub(overlap);
        }
        (self.back, self.steps_back) = (0, 0);
        self.distinct += rows.len() as u64;
        self.bad_rows += keyless(&rows);
        self.move_on(places, asked, report);
        if rows.is_empty() {
            self.barren(places, asked, report);
            return None;
        }
        (self.barren, self.empty, self.rounds, self.repeated) = (0, 0, 0, 0);
        self.is_resumed = false;
        self.size.succeeded();
        let known = std::mem::take(&mut self.newest);
        let keys = rows.iter().filter_map(|row| row.key().map(KeyRef::to_key));
        self.newest = known.iter().cloned().chain(keys).collect();
        let surplus = self.newest.len().saturating_sub(KEYS_OF_A_CHECKPOINT as usize);
        self.newest.drain(..surplus);
        if self.whole {
            self.finish(report);
        }
        self.end_at_fence();
        let origin = Origin::Seen { page: begins_at, next: self.skip, pass: self.pass, known };
        let is_last = self.end == Some(Outcome::Complete);
        Some(WalkStep::Rows { rows, origin, is_last })
    }

    /// The rows that the reverse order shows first.
    fn fence_arrived(&mut self, page: &Page<R>) {
        let keys: Vec<Key> = page.rows.iter().filter_map(Keyed::key).map(KeyRef::to_key).collect();
        self.fences += 1;
        self.barren += u32::from(self.barren == 1);
        // Later rows may have come out of turn, after a step back to the beginning.
        let has_more = page.total.is_none_or(|total| total > page.places());
        let is_first = keys.len() > 1 && has_more && keys.first() == self.head.first();
        if self.fence.is_none() && (is_first || self.is_forwards(&keys)) {
            let why = Inconsistency::ReverseIgnored;
            self.end = Some(Outcome::Inconsistent { why });
        }
        // A single row of several could be the first as well as the last.
        let is_one_of_more = keys.len() == 1 && page.total > Some(page.places());
        self.fence = keys.into_iter().next().filter(|_| !is_one_of_more);
        self.end_at_fence();
    }

    /// Whether the first two of these keys came in this order before, so that the direction is ignored.
    fn is_forwards(&self, keys: &[Key]) -> bool {
        let [first, second, ..] = keys else { return false };
        let came = |key: &Key| self.head.iter().chain(&self.newest).position(|known| known == key);
        came(first).zip(came(second)).is_some_and(|(first, second)| first < second)
    }

    /// The next page begins behind this one, or at its last row where pages are anchored.
    fn move_on(&mut self, places: u64, asked: u32, report: &Report) {
        let is_owed = report.last_total().is_some_and(|total| total > self.skip);
        let by = match places {
            // Rows that are filtered out after they were counted leave an empty page in the middle. It is asked
            // for twice, as it may be a fault.
            0 if is_owed && self.empty % 2 == 1 => u64::from(asked),
            0 => 0,
            _ if self.walked.counted => u64::from(asked) - self.skip % u64::from(asked),
            places => places - u64::from(self.anchor.is_some()),
        };
        self.skip = self.skip.saturating_add(by);
    }

    fn step_back(&mut self, asked: u32) {
        self.steps_back += 1;
        let most = if self.is_resumed { KEYS_OF_A_CHECKPOINT } else { STEPS_BACK };
        if self.steps_back > most {
            let why = Inconsistency::NoProgress { pages: self.steps_back };
            self.end = Some(Outcome::Inconsistent { why });
            return;
        }
        let mut back = self.back.max(u64::from(asked.saturating_sub(1))).max(1);
        if self.is_resumed {
            // Page by page, so that no row that is remembered is passed over.
            back = u64::from(asked.saturating_sub(1)).max(1);
        }
        if self.skip == 0 {
            // None of the remembered rows is left, and nobody knows which of these were read.
            let why = Inconsistency::NoProgress { pages: self.steps_back };
            self.end = Some(Outcome::Inconsistent { why });
        }
        (self.skip, self.back) = (self.skip.saturating_sub(back), back.saturating_mul(2));
    }

    /// A page without a new row.
    fn barren(&mut self, places: u64, asked: u32, report: &Report) {
        self.barren += 1;
        self.empty = if places == 0 { self.empty + 1 } else { 0 };
        let is_past = report.last_total().is_none_or(|total| self.skip >= total);
        let is_at_end = if self.anchor.is_some() {
            let never_any = self.distinct == 0 && !self.known.has_forgotten();
            places <= 1 && self.barren >= if never_any { EMPTY_ANSWERS } else { EMPTY_PAGES + 1 }
        } else {
            self.empty >= EMPTY_PAGES && is_past
        };
        if is_at_end && self.has_fence() && self.distinct > 0 && !self.has_met_fence() {
            // The fence may be gone, or its row may be hidden.
            self.barren = 0;
            self.rounds += 1;
            if let Some(fence) = self.fence.clone().filter(|_| self.rounds > ROUNDS) {
                let why = Inconsistency::HiddenEnd { fence };
                self.end = Some(Outcome::Inconsistent { why });
            } else if self.rounds > ROUNDS {
                self.finish(report);
            }
        } else if is_at_end && self.pass == 1 && self.walked.twice {
            (self.pass, self.skip, self.barren, self.empty) = (2, 0, 0, 0);
            (self.pages, self.repeated) = (Circle::default(), 0);
        } else if is_at_end {
            self.finish(report);
        } else if self.repeated > REPEATED_PAGES + REPEATED_ROWS / asked.saturating_sub(1).max(1) {
            let why = Inconsistency::NoProgress { pages: self.repeated };
            self.end = Some(Outcome::Inconsistent { why });
        }
    }

    /// The scan is over when the row that the reverse order shows first was seen.
    fn end_at_fence(&mut self) {
        if self.has_met_fence() && self.end.is_none() {
            self.end = Some(self.outcome(None));
        }
    }

    fn has_met_fence(&self) -> bool {
        self.fence.as_ref().is_some_and(|fence| self.known.contains(fence.borrow()))
    }

    fn finish(&mut self, report: &Report) {
        if self.end.is_none() {
            self.end = Some(self.outcome(report.last_total()));
        }
    }

    /// How a walk ends that found no more rows.
    fn outcome(&self, total: Option<u64>) -> Outcome {
        let seen = self.distinct;
        let why = match total {
            _ if self.bad_rows > 0 => Doubt::BadRows { rows: self.bad_rows },
            // In an order that never changes one known row tells of all before it.
            _ if self.known.has_forgotten() && !self.has_fence() => Doubt::Forgotten,
            _ if self.whole => return Outcome::Complete,
            Some(0) if seen == 0 && self.empty + self.fences >= EMPTY_ANSWERS => {
                return Outcome::Complete;
            }
            _ if self.anchor.is_some_and(|anchor| anchor.is_mutable) => Doubt::MutableSort,
            _ if self.has_met_fence() => return Outcome::Complete,
            _ if self.anchor.is_some() => Doubt::ProbedEnd,
            Some(total) if total != seen => Doubt::CountDiffers { seen, total },
            _ => Doubt::Unsorted,
        };
        Outcome::BestEffort { why }
    }

    pub(super) fn answer(&mut self, id: u64, page: Page<R>, _: &mut Report) {
        self.single.answer(id, page);
    }

    pub(super) fn too_heavy(&mut self, id: u64, carried: Shrinkable) -> bool {
        self.single.too_heavy(id, carried, &mut self.size)
    }

    pub(super) fn at_most(&mut self, id: u64, ceiling: u32) -> bool {
        self.single.at_most(id, ceiling, &mut self.size)
    }

    pub(super) fn failed(&mut self, id: u64) {
        self.single.failed(id);
    }

    pub(super) fn retry_failed(&mut self) {
        self.single.retry_failed();
    }
}

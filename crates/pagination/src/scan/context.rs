//! What both walks need: the query, the requests, the size of the next page, the report, and how the scan ends.

use std::sync::Arc;

use super::requests::{Prefetch, Requests};
use super::size::PageSize;
use crate::page::Page;
use crate::query::Terms;
use crate::report::{Doubt, Proof, Report};
use crate::{Keyed, Outcome, Query};

/// The most that a total is believed to have grown between two answers, in rows. Our choice: no rank that is
/// counted with it leaves its range.
const GREATEST_GROWTH: u64 = 1 << 40;

#[derive(Debug)]
pub(super) struct Context<R> {
    pub(super) query: Arc<Query>,
    pub(super) requests: Requests<R>,
    pub(super) size: PageSize,
    pub(super) prefetch: Prefetch,
    /// The rows that the query's limit leaves.
    pub(super) left: Option<u64>,
    /// By how many rows the newest total has grown since the one before, and all totals have moved so far.
    pub(super) growth: u64,
    moved: u64,
    pub(super) report: Report,
    /// How the scan ends, once the rows at hand are delivered, and what shows the end, doubts aside.
    pub(super) end: Option<Outcome>,
    pub(super) proof: Option<Proof>,
}

impl<R: Keyed> Context<R> {
    pub(super) fn new(query: Arc<Query>) -> Self {
        let left = query.terms.limit;
        Self {
            requests: Requests::default(),
            size: PageSize::of(&query.terms),
            prefetch: Prefetch::new(query.terms.ahead()),
            left,
            growth: 0,
            moved: 0,
            report: Report::default(),
            proof: None,
            end: (left == Some(0)).then_some(Outcome::LimitReached { more: None }),
            query,
        }
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.query.terms
    }

    /// As many rows as the size allows, and no more than the limit leaves, with so many besides.
    pub(super) fn rows_for(&self, besides: u64) -> u32 {
        let needed = self.left.map_or(u64::MAX, |left| left.saturating_add(besides));
        u32::try_from(needed).map_or(self.size.current(), |needed| self.size.current().min(needed))
    }

    /// Counts a page that the walk takes.
    pub(super) fn accepted(&mut self, page: &Page<R>) {
        self.report.pages += 1;
        self.report.null_rows += page.null_rows;
        self.prefetch.arrived();
    }

    pub(super) fn total(&mut self, total: Option<u64>) {
        if let (Some(before), Some(now)) = (self.report.last_total(), total) {
            self.growth = now.saturating_sub(before).min(GREATEST_GROWTH);
            self.moved = self.moved.saturating_add(now.abs_diff(before));
        }
        self.report.total(total);
    }

    /// The places of the list so far, with so many rows that are not delivered yet.
    pub(super) const fn seen(&self, new: usize) -> u64 {
        self.report.rows.saturating_add(self.report.null_rows).saturating_add(new as u64)
    }

    /// Doubts the count if the least total is beyond the rows, these that are not delivered yet included, by more than
    /// the writes explain: those that moved the totals, and so many others that the walk has seen.
    pub(super) fn check_count(&mut self, new: usize, writes: u64) {
        let explained = self.seen(new).saturating_add(self.moved).saturating_add(writes);
        if self.report.totals.is_some_and(|totals| totals.lowest > explained) {
            self.report.doubt(Doubt::CountDiffers);
        }
    }

    pub(super) fn end(&mut self, end: Outcome) {
        self.end = Some(end);
    }

    /// The cursor at which the pages go round, if the scan ends by that.
    pub(super) fn repeated_cursor(&self) -> Option<&str> {
        match &self.end {
            Some(Outcome::Inconsistent { why }) => why.cursor(),
            _ => None,
        }
    }

    /// The list ends, and this proves it unless there are doubts.
    pub(super) fn conclude(&mut self, proof: Proof) {
        self.proof = Some(proof);
        self.end(self.report.concluded(proof));
    }
}

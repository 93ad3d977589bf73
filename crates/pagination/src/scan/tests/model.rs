//! A collection that is written to between any two requests, and the truth about it.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::super::*;
use crate::page::Next;
use crate::query::PagePosition;
use crate::{Key, KeyRef, Order};

/// Keys are far apart, so that there is always room between two of them.
pub(super) const APART: i128 = 1 << 40;

/// What is written, by rank in the collection of the moment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write {
    Delete {
        rank: usize,
        burst: usize,
    },
    Insert {
        rank: usize,
        burst: usize,
    },
    /// Rows that have left come back with their old keys, as when a filter matches again.
    Return {
        burst: usize,
    },
}

/// What the keys of a collection look like. The collection keeps its own order, which only some of them show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Letters of any case, which the API compares without regard to case.
    AnyCase,
    /// Numbers in the order of the collection.
    Number,
    /// The digits of these numbers, which compare by their bytes in another order.
    Digits,
    /// Texts in no order at all.
    Shuffled,
}

pub(super) const SPELLINGS: [Spelling; 4] =
    [Spelling::AnyCase, Spelling::Digits, Spelling::Number, Spelling::Shuffled];

impl Spelling {
    pub(super) fn key(self, row: i128) -> Key {
        match self {
            Self::Number => Key::Number(row),
            // Seven rows have 13 digits or 14.
            Self::Digits => Key::Text((row + 5_000_000_000_000).to_string()),
            Self::Shuffled => {
                let mixed =
                    row.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                Key::Text(format!("{:032x}", mixed.swap_bytes()))
            }
            Self::AnyCase => {
                let letter = |at: u32| {
                    let digit = u8::try_from((row >> (4 * at)) & 15).unwrap();
                    let is_upper = (row >> (at % 7 + 36)) & 1 == 1;
                    char::from(if is_upper { b'A' } else { b'a' } + digit)
                };
                Key::Text((0..14).rev().map(letter).collect())
            }
        }
    }
}

/// A collection and the truth about it.
pub(super) struct Model {
    pub(super) rows: Vec<i128>,
    /// The rows present throughout the scan.
    pub(super) present: BTreeSet<i128>,
    left: Vec<i128>,
    pub(super) spelling: Spelling,
    /// Whether the API ignores the direction of the sort.
    pub(super) is_one_way: bool,
    /// Whether the API sorts by another field than the key.
    pub(super) by_field: bool,
    /// Rows that are counted and not shown.
    pub(super) hidden: BTreeSet<i128>,
    /// Only the rows from the first, and before the second.
    pub(super) range: std::ops::Range<i128>,
    /// The answers so far, if they may be short at their end: two rows at least, so that their direction shows.
    pub(super) short: Option<Cell<usize>>,
    /// Whether the filter for keys is ignored, or reads its bound as another type.
    pub(super) filter: Filter,
}

/// What an API makes of a filter for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Ignored,
    NotCast,
    Works,
}

/// The field that rows are sorted by where it is not the key: any fixed shuffle.
pub(super) const fn field(key: i128) -> i128 {
    (key / APART).wrapping_mul(0x9e37_79b9) % 1_009
}

impl Model {
    pub(super) fn new(rows: i128) -> Self {
        let rows: Vec<_> = (1..=rows).map(|row| row * APART).collect();
        Self {
            present: rows.iter().copied().collect(),
            rows,
            left: Vec::new(),
            spelling: Spelling::Number,
            is_one_way: false,
            by_field: false,
            hidden: BTreeSet::new(),
            range: i128::MIN..i128::MAX,
            short: None,
            filter: Filter::Works,
        }
    }

    pub(super) fn write(&mut self, write: Write) {
        match write {
            Write::Delete { rank, burst } => {
                let end = (rank + burst).min(self.rows.len());
                for gone in self.rows.drain(rank.min(end)..end) {
                    self.present.remove(&gone);
                    self.left.push(gone);
                }
            }
            Write::Insert { rank, burst } => {
                let rank = rank.min(self.rows.len());
                let before = rank.checked_sub(1).map(|before| self.rows[before]);
                let after = self.rows.get(rank).copied();
                let after = after.unwrap_or_else(|| before.unwrap_or(0) + APART);
                let before = before.unwrap_or(after - APART);
                let step = (after - before) / (burst as i128 + 1);
                let fresh = (1..=burst as i128).map(|row| before + row * step);
                self.rows.splice(rank..rank, fresh);
            }
            Write::Return { burst } => {
                let back = self.left.len().saturating_sub(burst);
                self.rows.extend(self.left.drain(back..));
                self.rows.sort_unstable();
                self.rows.dedup();
            }
        }
    }

    pub(super) fn page(&self, place: &PagePosition, limit: usize) -> Page {
        let (keys, next): (Vec<i128>, _) = match place {
            PagePosition::Rank { skip, order, above } => {
                let skip = usize::try_from(*skip).unwrap();
                let above = above.as_ref().map(|above| self.row_of(above));
                let mut rows: Vec<i128> = match (above, self.filter) {
                    (None, _) | (_, Filter::Ignored) => self.rows.clone(),
                    (_, Filter::NotCast) => Vec::new(),
                    (Some(above), Filter::Works) => {
                        let follows = |row: &&i128| match order {
                            Order::Ascending => **row > above,
                            Order::Descending => **row < above,
                        };
                        self.rows.iter().filter(follows).copied().collect()
                    }
                };
                if self.by_field {
                    rows.sort_by_key(|key| (field(*key), *key));
                }
                if *order == Order::Descending && !self.is_one_way {
                    rows.reverse();
                }
                rows.retain(|row| self.range.contains(row));
                let limit = self.short.as_ref().map_or(limit, |answers| {
                    answers.set(answers.get() + 1);
                    limit.min(2 + answers.get() * 7 % limit)
                });
                let page = rows.into_iter().skip(skip).take(limit);
                (page.filter(|row| !self.hidden.contains(row)).collect(), Next::Unsaid)
            }
            PagePosition::Cursor(cursor) => {
                let after =
                    cursor.as_ref().map_or(i128::MIN, |cursor| cursor.trim().parse().unwrap());
                let rows = self.rows.iter().filter(|row| **row > after).copied();
                let keys: Vec<i128> = rows.take(limit).collect();
                let next = match keys.last() {
                    Some(last) if self.rows.last() > Some(last) => {
                        Next::Cursor(last.to_string().into())
                    }
                    _ => Next::End,
                };
                (keys, next)
            }
        };
        let row = |row: i128| {
            let json = format!("{{\"row\":{row},\"created\":{}}}", field(row));
            Row::with_key(json, self.spelling.key(row))
        };
        let rows = keys.into_iter().map(row).collect();
        let total = self.rows.iter().filter(|row| self.range.contains(row)).count();
        Page::of(rows).with_total(total as u64).with_next(next)
    }

    /// The row with this key, there or gone.
    fn row_of(&self, key: &Key) -> i128 {
        let all = self.rows.iter().chain(&self.left);
        *all.into_iter().find(|row| self.spelling.key(**row) == *key).expect("the key was shown")
    }
}

/// The rows, as the collection orders them.
pub(super) fn numbers(rows: &Rows) -> Vec<i128> {
    let number = |row: &Row| match row.decode::<serde_json::Value>().unwrap().get("row") {
        Some(row) => row.to_string().parse().unwrap(),
        None => match row.key() {
            Some(KeyRef::Number(number)) => number,
            other => panic!("{other:?}"),
        },
    };
    rows.rows().iter().map(number).collect()
}

/// What a scan delivered, and how it ended.
pub(super) struct Run {
    pub(super) delivered: Vec<i128>,
    pub(super) report: Report,
}

/// Scans the model to the end. `before` writes, given how many requests were made.
pub(super) fn scan(
    query: Query,
    model: &mut Model,
    mut before: impl FnMut(&mut Model, usize),
    newest_first: bool,
) -> Run {
    let mut scan = Scan::new(query);
    let mut flights: Vec<PageRequest> = Vec::new();
    let mut delivered = Vec::new();
    let mut requests = 0;
    loop {
        match scan.step() {
            Step::Fetch(ask) => flights.push(ask),
            Step::Rows(rows) => delivered.extend(numbers(&rows)),
            Step::Wait => {
                let at = if newest_first { flights.len() - 1 } else { 0 };
                let ask = flights.remove(at);
                before(model, requests);
                requests += 1;
                assert!(requests < 10_000, "the scan does not end: {}", scan.report());
                scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize));
            }
            Step::Done => {
                return Run { delivered, report: scan.report().clone() };
            }
            Step::Failed { .. } => panic!("nothing has failed"),
        }
    }
}

/// The rows that are missing and the rows that came twice.
pub(super) fn wrong(model: &Model, delivered: &[i128]) -> (usize, usize) {
    let once: BTreeSet<_> = delivered.iter().copied().collect();
    let missing = model.present.difference(&once).filter(|row| model.range.contains(row));
    (missing.count(), delivered.len() - once.len())
}

/// Walks until so many rows are delivered; they, and the place after the last of them.
pub(super) fn take(scan: &mut Scan, model: &Model, most: usize) -> (Vec<i128>, Checkpoint) {
    let mut delivered = Vec::new();
    loop {
        match scan.step() {
            Step::Fetch(ask) => scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize)),
            Step::Rows(rows) => {
                let count = rows.rows().len().min(most - delivered.len());
                delivered.extend(&numbers(&rows)[..count]);
                if delivered.len() == most {
                    return (delivered, rows.checkpoint_after(count));
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Walks to the end; the rows.
pub(super) fn finish(scan: &mut Scan, model: &Model) -> Vec<i128> {
    let mut delivered = Vec::new();
    loop {
        match scan.step() {
            Step::Fetch(ask) => scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize)),
            Step::Rows(rows) => delivered.extend(numbers(&rows)),
            Step::Done => return delivered,
            other => panic!("{other:?}"),
        }
    }
}

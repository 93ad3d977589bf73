//! The scan against a model of a collection that is written to between any two requests.

mod limits;
mod mended;
mod methods;
mod misbehaving;
mod model;
mod orders;
mod seen;

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::dialect::{IXON, JUMPCLOUD_V1};
use crate::query::PagePosition;
use crate::{Doubt, KeyRef, Order, Outcome, Proof};
use model::{APART, Model, Run, Write, finish, numbers, scan, take, wrong};

const FENCED: Outcome = Outcome::Complete { proof: Proof::Fenced };

/// Whether the fence proves a scan, or only the count speaks against that: rows were written before the scan after its
/// last page, which no answer shows. After a key that nobody promises, the proof is the API's word, and rows that the
/// filter may have left out are doubted.
fn is_fenced(way: &str, report: &Report) -> bool {
    let is_keyset = way.starts_with("keyset");
    match report.outcome() {
        Some(&FENCED) => true,
        Some(Outcome::Complete { proof: Proof::ApiSaysSo }) => is_keyset,
        Some(Outcome::BestEffort) => report.doubts().iter().all(|doubt| match doubt {
            Doubt::CountDiffers => true,
            Doubt::OrderContradicted => is_keyset,
            _ => false,
        }),
        _ => false,
    }
}

fn is_complete(report: &Report) -> bool {
    matches!(report.outcome(), Some(Outcome::Complete { .. }))
}

fn offset(page: u32, ahead: usize) -> Query {
    let query = Query::new(JUMPCLOUD_V1, "http://h/".parse().unwrap()).unwrap();
    query.page_size(page).unwrap().prefetch(ahead).untyped()
}

/// Every write of 1 to 3 rows at every place of a collection of seven.
fn all_writes() -> Vec<Write> {
    let bursts = 1..=3;
    bursts
        .flat_map(|burst| {
            let deletes = (0..7).map(move |rank| Write::Delete { rank, burst });
            let inserts = (0..=7).map(move |rank| Write::Insert { rank, burst });
            let back = std::iter::once(Write::Return { burst });
            deletes.chain(inserts).chain(back)
        })
        .collect()
}

/// Runs `check` for every placement of up to two writes in the first `gaps` gaps between requests.
fn every_placement(gaps: usize, mut check: impl FnMut(&[(usize, Write)])) {
    let writes = all_writes();
    check(&[]);
    for first_gap in 1..=gaps {
        for &first in &writes {
            check(&[(first_gap, first)]);
            for second_gap in first_gap..=gaps {
                for &second in &writes {
                    check(&[(first_gap, first), (second_gap, second)]);
                }
            }
        }
    }
}

/// Scans seven rows with these writes, and says what is wrong with what it delivered.
fn scan_seven(query: Query, writes: &[(usize, Write)], newest_first: bool) -> (usize, usize, Run) {
    let mut model = Model::new(7);
    let apply = |model: &mut Model, request| {
        for (_, write) in writes.iter().filter(|(gap, _)| *gap == request) {
            model.write(*write);
        }
    };
    let run = scan(query, &mut model, apply, newest_first);
    let (missing, twice) = wrong(&model, &run.delivered);
    (missing, twice, run)
}

/// The requests that a quiet scan of seven rows makes at most, and a few more.
const GAPS: usize = 9;

#[test]
fn no_placement_of_two_writes_hides_or_repeats_a_row() {
    for page in [2, 3] {
        for descending in [false, true] {
            let query = offset(page, 0);
            let query = if descending { query.sort("-_id").unwrap() } else { query };
            every_placement(GAPS, |writes| {
                let (missing, twice, run) = scan_seven(query.clone(), writes, false);
                assert_eq!((missing, twice), (0, 0), "pages of {page}: {writes:?}");
                assert!(is_fenced("", &run.report), "{writes:?}: {}", run.report);
            });
        }
    }
}

#[test]
fn nor_when_pages_are_fetched_ahead_and_arrive_in_reverse() {
    for page in [2, 3] {
        every_placement(GAPS, |writes| {
            let (missing, twice, run) = scan_seven(offset(page, 2), writes, true);
            assert_eq!((missing, twice), (0, 0), "pages of {page}: {writes:?} {}", run.report);
            assert!(is_fenced("", &run.report), "{writes:?}: {}", run.report);
        });
    }
}

/// The textbook loop: rank plus what came, until a page is short.
fn plain_offset(model: &mut Model, page: usize, writes: &[(usize, Write)]) -> Vec<i128> {
    let mut delivered = Vec::new();
    for request in 0.. {
        for (_, write) in writes.iter().filter(|(gap, _)| *gap == request) {
            model.write(*write);
        }
        let rows = model.rows.iter().skip(delivered.len()).take(page);
        let before = delivered.len();
        delivered.extend(rows);
        if delivered.len() - before < page {
            break;
        }
    }
    delivered
}

/// Anchored pages that end at a covering page without new rows, as if that were the end.
fn ends_at_a_barren_page(model: &mut Model, page: usize, writes: &[(usize, Write)]) -> Vec<i128> {
    let mut delivered: Vec<i128> = Vec::new();
    let (mut skip, mut back) = (0, page - 1);
    for request in 0..1_000 {
        for (_, write) in writes.iter().filter(|(gap, _)| *gap == request) {
            model.write(*write);
        }
        let rows: Vec<i128> = model.rows.iter().skip(skip).take(page).copied().collect();
        let last = delivered.last().copied().unwrap_or(i128::MIN);
        if skip > 0 && rows.first().is_none_or(|first| *first > last) {
            skip = skip.saturating_sub(back);
            back *= 2;
            continue;
        }
        let new = rows.iter().filter(|row| **row > last).copied();
        let before = delivered.len();
        delivered.extend(new);
        if delivered.len() == before {
            break;
        }
        (skip, back) = (skip + rows.len() - 1, page - 1);
    }
    delivered
}

/// The controls: the same judge finds fault with what is known to be wrong.
#[test]
fn plain_offset_and_the_barren_page_rule_lose_rows_in_the_same_model() {
    type Control = fn(&mut Model, usize, &[(usize, Write)]) -> Vec<i128>;
    let judge = |control: Control| {
        let (mut missed, mut repeated) = (0, 0);
        every_placement(4, |writes| {
            let mut model = Model::new(7);
            let delivered = control(&mut model, 3, writes);
            let (missing, twice) = wrong(&model, &delivered);
            missed += usize::from(missing > 0);
            repeated += usize::from(twice > 0);
        });
        (missed, repeated)
    };
    assert_eq!(judge(plain_offset), (4_676, 5_468));
    assert_eq!(judge(ends_at_a_barren_page), (4_145, 0));
}

#[test]
fn a_quiet_scan_costs_one_row_a_page_and_one_fence() {
    for (rows, page, requests) in
        [(0, 100, 2), (1, 100, 2), (100, 100, 2), (101, 100, 2), (10_000, 100, 102), (7, 2, 5)]
    {
        let mut model = Model::new(rows);
        let mut made = 0;
        let run = scan(offset(page, 0), &mut model, |_, _| made += 1, false);
        assert_eq!(run.delivered.len() as i128, rows);
        assert_eq!(made, requests, "{rows} rows in pages of {page}");
        assert_eq!(run.report.shifts_repaired(), 0);
        assert_eq!(run.report.duplicates_dropped(), 0);
    }
}

#[test]
fn a_quiet_scan_makes_at_most_two_requests_more_than_its_overlapping_pages() {
    for page in 2..=12 {
        for rows in 0..=60 {
            let mut model = Model::new(rows);
            let mut made = 0;
            let run = scan(offset(page, 0), &mut model, |_, _| made += 1, false);
            assert_eq!(run.report.outcome(), Some(&FENCED));
            let pages = (rows - 1).max(0).unsigned_abs().div_ceil(u128::from(page - 1));
            assert!(made <= pages + 2, "{rows} rows in pages of {page}: {made}");
        }
    }
}

#[test]
fn a_tail_that_keeps_growing_does_not_keep_the_scan_alive() {
    for growth in [1, 50, 100, 1_000] {
        let mut model = Model::new(2_000);
        let mut made = 0;
        let grow = |model: &mut Model, request| {
            made = request + 1;
            let rank = model.rows.len();
            let burst = if request == 0 { 0 } else { growth };
            model.write(Write::Insert { rank, burst });
        };
        let run = scan(offset(100, 0), &mut model, grow, false);
        assert_eq!(wrong(&model, &run.delivered), (0, 0));
        assert!(made < 22 + 20, "{made} requests while {growth} rows were added before each");
    }
}

#[test]
fn bursts_before_the_scan_push_it_back_again_and_again_and_hide_nothing() {
    // The same burst in front of every request, or of some: more rows than a page has.
    for (page, burst, descending) in
        [(10, 200, false), (2, 50, false), (100, 99, true), (100, 200, true), (100, 1_000, true)]
    {
        for every in [1, 2, 3] {
            let query = offset(page, 0);
            let query = if descending { query.sort("-_id").unwrap() } else { query };
            let mut model = Model::new(1_000);
            let write = |model: &mut Model, request: usize| {
                if (1..25).contains(&request) && request % every == 0 {
                    let rank = if descending { model.rows.len() } else { 0 };
                    model.write(Write::Insert { rank, burst });
                }
            };
            let run = scan(query, &mut model, write, false);
            assert_eq!(
                wrong(&model, &run.delivered),
                (0, 0),
                "{page} {burst} {descending} {every} {}",
                run.report
            );
            assert_eq!(run.report.outcome(), Some(&FENCED), "{page} {burst} {every}");
        }
    }
}

fn cursored(page: u32) -> Query {
    Query::new(IXON, "http://h/".parse().unwrap()).unwrap().page_size(page).unwrap().untyped()
}

#[test]
fn pages_that_are_too_heavy_shrink_and_lose_nothing() {
    for (query, heavier_than) in [(offset(100, 0), 10), (offset(100, 3), 3), (cursored(100), 2)] {
        let mut model = Model::new(300);
        let mut scan = Scan::new(query);
        let mut flights = VecDeque::new();
        let mut delivered = Vec::new();
        loop {
            match scan.step() {
                Step::Fetch(ask) => flights.push_back(ask),
                Step::Rows(rows) => {
                    delivered.extend(numbers(&rows));
                    model.write(Write::Delete { rank: delivered.len() / 2, burst: 1 });
                }
                Step::Wait => {
                    let ask: PageRequest = flights.pop_front().unwrap();
                    if ask.rows > heavier_than {
                        scan.too_heavy(ask.id(), None);
                    } else {
                        scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize));
                    }
                }
                Step::Done => break,
                Step::Failed { .. } => panic!("nothing has failed"),
            }
        }
        assert_eq!(wrong(&model, &delivered), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_writes_neither_hide_nor_repeat_a_row(
        page in 2..12_u32,
        ahead in 0..5_usize,
        newest_first: bool,
        descending: bool,
        script in proptest::collection::vec((0..5_u8, 0..70_usize, 1..6_usize), 60),
    ) {
        let query = offset(page, ahead);
        let query = if descending { query.sort("-_id").unwrap() } else { query };
        let mut model = Model::new(60);
        let write = |model: &mut Model, request: usize| {
            if request == 0 {
                return;
            }
            match script.get(request) {
                Some(&(0, rank, burst)) => model.write(Write::Delete { rank, burst }),
                Some(&(1, rank, burst)) => model.write(Write::Insert { rank, burst }),
                Some(&(2, _, burst)) => {
                    let rank = model.rows.len();
                    model.write(Write::Insert { rank, burst });
                }
                _ => {}
            }
        };
        let run = scan(query, &mut model, write, newest_first);
        prop_assert_eq!(wrong(&model, &run.delivered), (0, 0));
        prop_assert!(is_fenced("", &run.report), "{}", run.report);
    }
}

//! No more rows than asked for, and what the report states about the rest.

use super::*;
use crate::Key;

/// The requests, the rows they asked for, and how it ended.
fn limited(query: Query, rows: i128) -> (Vec<u32>, Vec<i128>, Outcome) {
    let model = Model::new(rows);
    let (mut asked, mut delivered) = (Vec::new(), Vec::new());
    let mut scan = Scan::new(query);
    loop {
        match scan.step() {
            Step::Fetch(ask) => {
                asked.push(ask.rows);
                scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize));
            }
            Step::Rows(rows) => delivered.extend(numbers(&rows)),
            Step::Done => break,
            other => panic!("{other:?}"),
        }
    }
    (asked, delivered, scan.report().outcome().cloned().unwrap())
}

#[test]
fn a_limit_asks_for_the_rest_and_one_row_that_tells_whether_there_is_more() {
    let more = |more| Outcome::LimitReached { more };
    let full = offset(100, 0);
    for (limit, rows, asked, outcome) in [
        (0, 500, vec![], more(None)),
        (5, 500, vec![6], more(Some(true))),
        (5, 6, vec![6], more(Some(true))),
        (5, 5, vec![6], more(None)),
        (5, 4, vec![6, 4], FENCED),
        (99, 500, vec![100], more(Some(true))),
        (100, 500, vec![100], more(Some(true))),
        (150, 500, vec![100, 4, 52], more(Some(true))),
        (150, 150, vec![100, 4, 52], FENCED),
    ] {
        let found = limited(full.clone().limit(limit), rows);
        let delivered = usize::try_from(i128::from(limit).min(rows)).unwrap();
        assert_eq!(
            (found.0, found.1.len(), found.2),
            (asked, delivered, outcome),
            "{limit} of {rows}"
        );
    }
}

#[test]
fn a_limit_of_a_cursor_scan_says_what_the_api_has_told() {
    let more = |more| Outcome::LimitReached { more };
    for (limit, rows, asked, outcome) in [
        (5, 500, vec![6], more(Some(true))),
        (10, 500, vec![10], more(Some(true))),
        (15, 500, vec![10, 6], more(Some(true))),
        (15, 15, vec![10, 6], Outcome::Complete { proof: Proof::ApiSaysSo }),
        (15, 12, vec![10, 6], Outcome::Complete { proof: Proof::ApiSaysSo }),
    ] {
        let found = limited(cursored(10).limit(limit), rows);
        let delivered = usize::try_from(i128::from(limit).min(rows)).unwrap();
        assert_eq!(
            (found.0, found.1.len(), found.2),
            (asked, delivered, outcome),
            "{limit} of {rows}"
        );
    }
}

#[test]
fn a_scan_that_was_limited_goes_on_after_its_last_row() {
    for query in [offset(10, 0), offset(10, 3), cursored(10)] {
        for limit in 1..34 {
            let model = Model::new(33);
            let mut first = Scan::new(query.clone().limit(limit));
            let mut delivered = finish(&mut first, &model);
            let mut second = Scan::resume(query.clone(), first.checkpoint()).unwrap();
            delivered.extend(finish(&mut second, &model));
            assert_eq!(wrong(&model, &delivered), (0, 0), "limit {limit}");
        }
    }
}

#[test]
fn a_bad_row_is_delivered_once_and_makes_the_scan_best_effort() {
    // A row without a key after every row of the model, at every place of the page.
    for page in [3, 4, 10] {
        let mut scan = Scan::new(offset(page, 0));
        let bad = 5;
        let (mut keyed, mut keyless) = (0, 0);
        loop {
            match scan.step() {
                Step::Fetch(ask) => {
                    let mut all: Vec<Row> = (0..12)
                        .map(|at| match at {
                            at if at == bad => Row::with_key("{}", Key::Number(i128::MAX)),
                            at => Row::with_key("{}", Key::Number(at)),
                        })
                        .collect();
                    let (skip, order) = ask.rank().unwrap();
                    if order == Order::Descending {
                        all.reverse();
                    }
                    let rows = all
                        .into_iter()
                        .skip(usize::try_from(skip).unwrap())
                        .take(ask.rows() as usize);
                    scan.answer(ask.id(), Page::of(rows.collect()).with_total(12));
                }
                Step::Rows(rows) => {
                    keyed += rows.rows().iter().filter(|row| row.key().is_some()).count();
                    keyless += rows.rows().iter().filter(|row| row.key().is_none()).count();
                }
                Step::Done => break,
                other => panic!("{other:?}"),
            }
        }
        let outcome = Outcome::BestEffort;
        let found = (keyed, keyless, scan.report().outcome(), scan.report().bad_rows());
        assert_eq!(found, (11, 1, Some(&outcome), 1), "pages of {page}");
    }
}

#[test]
fn a_ceiling_that_cannot_be_met_and_pages_that_stay_too_heavy_are_failures_not_loops() {
    let counted = Query::new(crate::dialect::OPERATIONS1, "http://h/".parse().unwrap()).unwrap();
    for query in [offset(100, 0), cursored(100), counted.untyped()] {
        for refuse in [
            |scan: &mut Scan, id| scan.at_most(id, 1),
            |scan: &mut Scan, id| scan.too_heavy(id, None),
        ] {
            let model = Model::new(900);
            let mut scan = Scan::new(query.clone());
            let mut asked = 0;
            loop {
                match scan.step() {
                    // The first page comes, so that a counted one must overlap.
                    Step::Fetch(ask) if ask.id() == 1 => {
                        scan.answer(1, model.page(&ask.at, ask.rows as usize));
                    }
                    Step::Fetch(ask) => {
                        asked += 1;
                        assert!(asked < 40, "asked for again and again");
                        if !refuse(&mut scan, ask.id()) {
                            scan.failed(ask.id());
                        }
                    }
                    Step::Rows(_) | Step::Wait => {}
                    Step::Failed { .. } => break,
                    Step::Done => panic!("a failure is no end"),
                }
            }
        }
    }
}

#[test]
fn cancelling_ends_with_a_place_to_go_on() {
    let model = Model::new(25);
    let mut scan = Scan::new(offset(10, 0));
    let mut delivered = Vec::new();
    while delivered.is_empty() {
        match scan.step() {
            Step::Fetch(ask) => scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize)),
            Step::Rows(rows) => delivered.extend(numbers(&rows)),
            other => panic!("{other:?}"),
        }
    }
    scan.cancel();
    assert!(matches!(scan.step(), Step::Done));
    assert_eq!(scan.report().outcome(), Some(&Outcome::Cancelled));
    assert_eq!(scan.checkpoint().rows(), 10);
}

#[test]
fn totals_are_told_with_how_they_moved() {
    let mut model = Model::new(25);
    let grow = |model: &mut Model, request: usize| {
        let rank = model.rows.len();
        match request {
            1 => model.write(Write::Insert { rank, burst: 3 }),
            2 => model.write(Write::Delete { rank: 20, burst: 2 }),
            _ => {}
        }
    };
    let run = scan(offset(10, 0), &mut model, grow, false);
    let totals = run.report.totals().unwrap();
    let found = (totals.first, totals.last, totals.lowest, totals.highest, totals.moves);
    assert_eq!(found, (25, 26, 25, 28, 2));
}

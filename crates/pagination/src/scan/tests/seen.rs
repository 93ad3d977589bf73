//! Lists without an order by key: sorted by other fields, or not at all.

use super::*;
use crate::Inconsistency;
use crate::dialect::JUMPCLOUD_V2;

fn by_field(page: u32, is_immutable: bool) -> Query {
    let query = Query::new(JUMPCLOUD_V1, "http://h/".parse().unwrap()).unwrap();
    let query = query.sort_by(["created"]).unwrap().page_size(page).unwrap();
    if is_immutable { query.immutable("created").untyped() } else { query.untyped() }
}

fn members(page: u32) -> Query {
    let uri = "http://h/api/v2/usergroups/1/members".parse().unwrap();
    Query::unstable(JUMPCLOUD_V2, uri).unwrap().page_size(page).unwrap().untyped()
}

fn model(rows: i128) -> Model {
    let mut model = Model::new(rows);
    model.by_field = true;
    model
}

#[test]
fn a_sort_that_never_changes_is_anchored_and_complete_under_any_two_writes() {
    for page in [2, 3] {
        every_placement(GAPS, |writes| {
            let mut model = model(7);
            let apply = |model: &mut Model, request| {
                for (_, write) in writes.iter().filter(|(gap, _)| *gap == request) {
                    model.write(*write);
                }
            };
            let run = scan(by_field(page, true), &mut model, apply, false);
            assert_eq!(wrong(&model, &run.delivered), (0, 0), "pages of {page}: {writes:?}");
            assert!(is_fenced("", &run.report), "pages of {page}: {writes:?}: {}", run.report);
        });
    }
}

#[test]
fn a_sort_that_may_change_is_best_effort() {
    let mut model = model(40);
    let run = scan(by_field(10, false), &mut model, |_, _| (), false);
    assert_eq!(wrong(&model, &run.delivered), (0, 0));
    assert_eq!(run.report.outcome(), Some(&Outcome::BestEffort));
    assert_eq!(run.report.doubts(), [Doubt::MutableSort]);
}

#[test]
fn a_key_at_two_places_of_one_answer_is_a_doubt_although_the_sort_never_changes() {
    let row = |created: i128| {
        let json = format!("{{\"row\":{created},\"created\":{created}}}");
        Row::with_key(json, crate::Key::Number(created / 2))
    };
    let mut scan: Scan = Scan::new(by_field(10, true));
    while let Step::Fetch(request) = scan.step() {
        let rows = [2, 3, 4].map(row);
        let is_reversed = request.rank().unwrap().1 == Order::Descending;
        let rows = if is_reversed { rows.into_iter().rev().collect() } else { rows.to_vec() };
        scan.answer(request.id(), Page::of(rows));
        if let Step::Rows(rows) = scan.step() {
            assert_eq!(rows.rows().len(), 3);
        }
    }
    assert_eq!(scan.report().doubts(), [Doubt::KeyNotUnique], "{}", scan.report());
}

#[test]
fn an_unsorted_list_is_complete_only_if_one_answer_held_it() {
    for (rows, page, is_complete) in
        [(0, 10, true), (7, 10, true), (10, 10, false), (11, 10, false), (35, 10, false)]
    {
        let mut model = model(rows);
        let run = scan(members(page), &mut model, |_, _| (), false);
        assert_eq!(wrong(&model, &run.delivered), (0, 0));
        let complete = Outcome::Complete { proof: Proof::SingleAnswer };
        let outcome = if is_complete { complete } else { Outcome::BestEffort };
        assert_eq!(run.report.outcome(), Some(&outcome), "{rows} rows");
        assert_eq!(run.report.doubts(), if is_complete { &[][..] } else { &[Doubt::Unsorted] });
    }
}

#[test]
fn a_row_that_slipped_by_is_found_by_a_second_pass_or_shown_by_the_count() {
    // A read row goes and one comes at the end: the total is as before, and one row has slipped by.
    let swap = |model: &mut Model, request: usize| {
        if request == 2 {
            model.write(Write::Delete { rank: 0, burst: 1 });
            let rank = model.rows.len();
            model.write(Write::Insert { rank, burst: 1 });
        }
    };
    let mut once = Model::new(30);
    let run = scan(members(10), &mut once, swap, false);
    assert_eq!(wrong(&once, &run.delivered), (1, 0));
    assert_eq!(run.report.doubts(), [Doubt::Unsorted], "30 rows seen, 30 counted: not complete");

    let mut twice = Model::new(30);
    let query = members(10).second_pass();
    let run = scan(query, &mut twice, swap, false);
    assert_eq!(wrong(&twice, &run.delivered), (0, 0));
    assert_eq!(run.report.doubts(), [Doubt::Unsorted]);

    let mut shrinking = Model::new(30);
    let delete = |model: &mut Model, request: usize| {
        if request == 2 {
            model.write(Write::Delete { rank: 0, burst: 3 });
        }
    };
    let run = scan(members(10), &mut shrinking, delete, false);
    assert_eq!(wrong(&shrinking, &run.delivered), (3, 0));
    assert!(matches!(run.report.outcome(), Some(Outcome::BestEffort)), "{}", run.report);
}

#[test]
fn an_unsorted_list_of_counted_pages_is_walked_page_by_page_at_any_size() {
    let query = Query::unstable(crate::dialect::OPERATIONS1, "http://h/".parse().unwrap()).unwrap();
    let query = query.page_size(10).unwrap().untyped();
    for (too_heavy, short) in [(99, 99), (2, 99), (99, 1), (1, 2)] {
        let model = Model::new(57);
        let mut scan = Scan::new(query.clone());
        let (mut requests, mut delivered) = (0, Vec::new());
        loop {
            match scan.step() {
                Step::Fetch(ask) => {
                    let (skip, _) = ask.rank().unwrap();
                    let rows = u64::from(ask.rows);
                    // What such an API answers: the page with this number.
                    let skip = skip / rows * rows;
                    let at = PagePosition::Rank { skip, order: Order::Ascending, above: None };
                    if requests == too_heavy {
                        assert!(scan.too_heavy(ask.id(), None));
                    } else {
                        let mut page = model.page(&at, ask.rows as usize);
                        if requests == short {
                            // Two of its rows are counted and not shown.
                            page.rows.truncate(ask.rows as usize - 2);
                        }
                        scan.answer(ask.id(), page);
                    }
                    requests += 1;
                }
                Step::Rows(rows) => delivered.extend(numbers(&rows)),
                Step::Done => break,
                other => panic!("{other:?}"),
            }
        }
        let hidden = if short == 99 { 0 } else { 2 };
        assert_eq!(wrong(&model, &delivered), (hidden, 0), "{too_heavy} {short}");
        assert!(matches!(scan.report().outcome(), Some(Outcome::BestEffort)));
    }
}

#[test]
fn an_unsorted_list_that_ignores_the_offset_ends_as_inconsistent() {
    let model = Model::new(30);
    let mut scan = Scan::new(members(10));
    let mut requests = 0;
    let mut delivered = Vec::new();
    loop {
        match scan.step() {
            Step::Fetch(ask) => {
                requests += 1;
                let at = PagePosition::Rank { skip: 0, order: Order::Ascending, above: None };
                scan.answer(ask.id(), model.page(&at, 10));
            }
            Step::Rows(rows) => delivered.extend(numbers(&rows)),
            Step::Done => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((delivered.len(), requests), (10, 38));
    let why = Inconsistency::NoProgress { pages: 37 };
    assert_eq!(scan.report().outcome(), Some(&Outcome::Inconsistent { why }));
}

#[test]
fn an_empty_page_in_the_middle_is_asked_for_again() {
    for fault in 0..5 {
        let model = Model::new(35);
        let mut scan = Scan::new(members(10));
        let (mut requests, mut delivered) = (0, Vec::new());
        loop {
            match scan.step() {
                Step::Fetch(ask) if requests == fault => {
                    requests += 1;
                    scan.answer(ask.id(), Page::of(Vec::new()).with_total(35));
                }
                Step::Fetch(ask) => {
                    requests += 1;
                    scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize));
                }
                Step::Rows(rows) => delivered.extend(numbers(&rows)),
                Step::Done => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(wrong(&model, &delivered), (0, 0), "request {fault}");
    }
}

#[test]
fn a_kill_after_any_row_repeats_and_loses_nothing() {
    for (query, by_field) in [(by_field(3, true), true), (members(4), false)] {
        for kill in 1..=20 {
            let mut model = Model::new(20);
            model.by_field = by_field;
            let (mut delivered, here) = take(&mut Scan::new(query.clone()), &model, kill);
            let text = serde_json::to_string(&here).unwrap();
            let here: Checkpoint = serde_json::from_str(&text).unwrap();
            let mut second = Scan::resume(query.clone(), here).unwrap();
            delivered.extend(finish(&mut second, &model));
            assert_eq!(wrong(&model, &delivered), (0, 0), "killed after row {kill}");
        }
    }
}

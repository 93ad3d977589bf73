//! Answers that once kept a scan alive, ended it too early, or let it forget a doubt.

use super::*;
use crate::Key;
use crate::dialect::{Dialect, JUMPCLOUD_V2, JUMPCLOUD_V2_LINK, LINK, Method, OPERATIONS1};
use crate::filter::Comparison;
use crate::page::Next;

/// Walks with these answers, at most so many requests; the rows and how it ended.
fn walk(
    mut scan: Scan,
    answer: impl Fn(&PageRequest, usize) -> Page,
    most: usize,
) -> (usize, Scan) {
    let (mut rows, mut requests) = (0, 0);
    loop {
        match scan.step() {
            Step::Fetch(ask) => {
                assert!(requests < most, "{}", scan.report());
                let page = answer(&ask, requests);
                requests += 1;
                scan.answer(ask.id(), page);
            }
            Step::Rows(page) => rows += page.rows().len(),
            Step::Done => return (rows, scan),
            other => panic!("{other:?}"),
        }
    }
}

fn row(key: i128) -> Row {
    Row::with_key("{}", Key::Number(key))
}

fn outcome(scan: &Scan) -> String {
    let report = scan.report().to_string();
    let (ending, _) = report.split_once(" in ").unwrap();
    ending.rsplit_once(": ").unwrap().0.to_owned()
}

fn members() -> Query {
    let uri = "http://h/api/v2/usergroups/1/members".parse().unwrap();
    Query::unstable(JUMPCLOUD_V2, uri).unwrap().page_size(10).unwrap().untyped()
}

#[test]
fn a_huge_total_does_not_keep_a_scan_alive_that_shows_nothing() {
    let nothing = |_: &PageRequest, _| Page::of(Vec::new()).with_total(u64::MAX);
    let (_, scan) = walk(Scan::new(members()), nothing, 500);
    assert!(matches!(scan.report().outcome(), Some(Outcome::Inconsistent { .. })));
    for total in [1_000_000, u64::MAX] {
        let (rows, scan) = walk(
            Scan::new(offset(100, 0)),
            |ask, _| {
                let page = match ask.rank().unwrap() {
                    (_, Order::Descending) => Page::of(vec![row(5_000), row(4_999)]),
                    (0, _) => Page::of((0..100).map(row).collect()),
                    (99, _) => Page::of(vec![row(99)]),
                    _ => Page::of(Vec::new()),
                };
                page.with_total(total)
            },
            3_000,
        );
        assert_eq!(rows, 100);
        assert!(matches!(scan.report().outcome(), Some(Outcome::Inconsistent { .. })));
    }
}

#[test]
fn a_total_at_the_end_of_its_range_is_no_overflow() {
    let counted = Query::new(OPERATIONS1, "http://h/".parse().unwrap()).unwrap();
    let counted = counted.page_size(10).unwrap().prefetch(2).untyped();
    for query in [counted, offset(10, 2)] {
        let (rows, scan) = walk(
            Scan::new(query),
            |ask, request| {
                let model = Model::new(12);
                let total = if request > 0 { u64::MAX } else { 12 };
                let at = match ask.rank().unwrap() {
                    (_, order) if request > 1 => PagePosition::Rank { skip: 0, order, above: None },
                    (skip, order) => PagePosition::Rank { skip, order, above: None },
                };
                model.page(&at, ask.rows() as usize).with_total(total)
            },
            20_000,
        );
        assert_eq!((rows, scan.report().outcome()), (12, Some(&FENCED)));
        let merged = scan.report().clone().merged(scan.report());
        assert_eq!(merged.totals().unwrap().last, u64::MAX);
    }
}

#[test]
fn an_empty_answer_with_total_zero_does_not_make_a_list_whole() {
    let model = Model::new(100);
    let (rows, scan) = walk(
        Scan::new(members()),
        |ask, request| match request {
            0 => Page::of(Vec::new()).with_total(0),
            _ => model.page(&ask.at, ask.rows() as usize),
        },
        50,
    );
    assert_eq!(
        (rows, outcome(&scan).as_str()),
        (100, "best effort (the API cannot sort the list)")
    );
}

#[test]
fn what_a_scan_doubted_it_doubts_after_a_kill() {
    let bad = |ask: &PageRequest, _| {
        let mut rows: Vec<Row> =
            (0..6).map(|at| if at == 3 { row(i128::MAX) } else { row(at) }).collect();
        let (skip, order) = ask.rank().unwrap();
        if order == Order::Descending {
            rows.reverse();
        }
        let skip = usize::try_from(skip).unwrap();
        Page::of(rows.into_iter().skip(skip).take(ask.rows() as usize).collect()).with_total(6)
    };
    let (_, scan) = walk(Scan::new(offset(3, 0)), bad, 50);
    assert_eq!(outcome(&scan), "best effort (rows have no usable key)");
    let resumed = Scan::resume(offset(3, 0), scan.checkpoint()).unwrap();
    let (rows, scan) = walk(resumed, bad, 50);
    assert_eq!((rows, outcome(&scan).as_str()), (0, "best effort (rows have no usable key)"));

    let linked = || Query::new(JUMPCLOUD_V2_LINK, "http://h/".parse().unwrap()).unwrap();
    let answer = |_: &PageRequest, _| Page::of((0..10).map(row).collect()).with_total(13);
    let mut first: Scan = Scan::new(linked());
    let here = loop {
        match first.step() {
            Step::Fetch(ask) => first.answer(ask.id(), answer(&ask, 0)),
            Step::Rows(rows) => break rows.checkpoint_after(3),
            other => panic!("{other:?}"),
        }
    };
    let (rows, scan) = walk(Scan::resume(linked(), here).unwrap(), answer, 5);
    let stated = "best effort (the API counts more rows than it showed; no answer states where the list ends)";
    assert_eq!((rows, outcome(&scan).as_str()), (7, stated));
    let (rows, scan) = walk(Scan::resume(linked(), scan.checkpoint()).unwrap(), answer, 5);
    assert_eq!((rows, outcome(&scan).as_str()), (0, stated), "and again");
}

#[test]
fn links_with_page_numbers_are_best_effort_and_others_are_taken_at_their_word() {
    for (link, stated) in [
        ("/list?page=2", "best effort (the API's cursors or links hold offsets)"),
        ("/list?after=xyz", "complete (by the API's own word)"),
    ] {
        let query = Query::new(LINK, "http://h/list".parse().unwrap()).unwrap();
        let answer = |ask: &PageRequest, _| match ask.cursor() {
            None => Page::of(vec![row(1), row(2)]).with_next(Next::Cursor(link.into())),
            Some(_) => Page::of(vec![row(3)]).with_next(Next::End),
        };
        let (rows, scan) = walk(Scan::new(query.clone()), answer, 5);
        assert_eq!((rows, outcome(&scan).as_str()), (3, stated));
        // Also if only the last page is read by the scan that ends.
        let mut first: Scan = Scan::new(query.clone());
        let here = loop {
            match first.step() {
                Step::Fetch(ask) => first.answer(ask.id(), answer(&ask, 0)),
                Step::Rows(rows) => break rows.checkpoint(),
                other => panic!("{other:?}"),
            }
        };
        let (rows, scan) = walk(Scan::resume(query, here).unwrap(), answer, 5);
        assert_eq!((rows, outcome(&scan).as_str()), (1, stated));
    }
}

#[test]
fn a_row_without_a_key_comes_once_after_a_key_as_well() {
    const KEYED: Dialect = Dialect::new("keyed", Method::Offset)
        .key(&["id"])
        .sorted_by(&["id"])
        .bounded_by(|_, _: Comparison, _| "".into(), true);
    let query = Query::new(KEYED, "http://h/".parse().unwrap()).unwrap().page_size(5).unwrap();
    let all = || [row(0), row(2), row(4), row(6), row(i128::MAX), row(8), row(10)].into_iter();
    let (rows, scan) = walk(
        Scan::new(query),
        |ask, _| match (ask.above(), ask.rank().unwrap().1) {
            (_, Order::Descending) => Page::of(vec![row(10), row(8)]),
            (None, _) => Page::of(all().take(5).collect()),
            (Some(_), _) => Page::of(all().skip(4).collect()),
        },
        9,
    );
    assert_eq!((rows, outcome(&scan).as_str()), (7, "best effort (rows have no usable key)"));
}

#[test]
fn an_api_that_gives_one_row_and_ignores_the_direction_is_never_complete() {
    let model = Model::new(30);
    let (_, scan) = walk(
        Scan::new(offset(10, 0)),
        |ask, _| {
            let (skip, _) = ask.rank().unwrap();
            model.page(&PagePosition::Rank { skip, order: Order::Ascending, above: None }, 1)
        },
        3_000,
    );
    assert_ne!(scan.report().outcome(), Some(&FENCED));
}

/// Rows of somebody else's type, without a key.
#[derive(Debug)]
struct Own(u64);

impl Keyed for Own {
    fn key(&self) -> Option<KeyRef<'_>> {
        None
    }
}

#[test]
fn rows_that_nothing_tells_from_others_are_all_delivered() {
    let mut scan: Scan<Own> = Scan::new(cursored(2));
    let mut sum = 0;
    loop {
        match scan.step() {
            Step::Fetch(ask) => {
                let at: u64 = ask.cursor().map_or(0, |cursor| cursor[1..].parse().unwrap());
                let next =
                    if at < 8 { Next::Cursor(format!("x{}", at + 2).into()) } else { Next::End };
                scan.answer(ask.id(), Page::of(vec![Own(at), Own(at + 1)]).with_next(next));
            }
            Step::Rows(rows) => sum += rows.rows().iter().map(|row| row.0).sum::<u64>(),
            Step::Done => break,
            other => panic!("{other:?}"),
        }
    }
    let by_word = Outcome::Complete { proof: Proof::ApiSaysSo };
    assert_eq!((sum, scan.report().outcome()), (45, Some(&by_word)));
}

#[test]
fn nothing_that_is_printed_holds_a_cursor() {
    let query = Query::new(LINK, "http://h/list".parse().unwrap()).unwrap();
    let (_, scan) = walk(
        Scan::new(query),
        |_, _| Page::of(vec![row(1)]).with_next(Next::Cursor("/list?key=s3cret".into())),
        9,
    );
    let said = format!("{:?} {} {:?}", scan.report(), scan.report(), scan.checkpoint());
    assert!(said.contains("a page repeats") || said.contains("a cursor repeats"), "{said}");
    let mut next: Scan = Scan::new(Query::new(LINK, "http://h/list".parse().unwrap()).unwrap());
    let Step::Fetch(ask) = next.step() else { panic!("a page is asked for") };
    next.answer(ask.id(), Page::of(vec![row(1)]).with_next(Next::Cursor("/l?key=s3cret".into())));
    assert!(matches!(next.step(), Step::Rows(_)));
    let Step::Fetch(ask) = next.step() else { panic!("the next page is asked for") };
    let said = format!("{said} {ask:?} {:?}", next.checkpoint());
    assert!(!said.contains("s3cret"), "{said}");
    // The walk itself must remember it.
    assert_eq!(ask.cursor(), Some("/l?key=s3cret"));
}

fn by_created(page: u32) -> Query {
    let query = Query::new(JUMPCLOUD_V1, "http://h/".parse().unwrap()).unwrap();
    query.sort_by(["created"]).unwrap().immutable("created").page_size(page).unwrap().untyped()
}

#[test]
fn another_sort_whose_direction_is_ignored_or_whose_total_is_the_pages_own_is_never_complete_too_early()
 {
    let model = Model::new(10);
    let (_, scan) = walk(
        Scan::new(by_created(3)),
        |ask, _| {
            let (skip, _) = ask.rank().unwrap();
            let at = PagePosition::Rank { skip, order: Order::Ascending, above: None };
            model.page(&at, ask.rows() as usize)
        },
        50,
    );
    assert_eq!(outcome(&scan), "inconsistent: the direction of the sort is ignored");
    let (rows, scan) = walk(
        Scan::new(by_created(3)),
        |ask, _| model.page(&ask.at, ask.rows() as usize).with_total(3),
        50,
    );
    assert_eq!((rows, outcome(&scan).as_str()), (10, "complete (fenced)"));
}

#[test]
fn another_sort_that_shows_one_row_first_or_nulls_only_is_not_complete() {
    // A short first page, and the direction ignored: what comes first in reverse came first.
    let model = Model::new(10);
    let (_, scan) = walk(
        Scan::new(by_created(3)),
        |ask, request| {
            let (skip, _) = ask.rank().unwrap();
            let at = PagePosition::Rank { skip, order: Order::Ascending, above: None };
            model.page(&at, if request == 0 { 1 } else { ask.rows() as usize })
        },
        50,
    );
    assert_eq!(outcome(&scan), "inconsistent: the direction of the sort is ignored");
    let (_, scan) = walk(
        Scan::new(by_created(3)),
        |_, _| {
            let mut page = Page::of(Vec::new()).with_total(0);
            page.null_rows = 2;
            page
        },
        500,
    );
    assert_ne!(scan.report().outcome(), Some(&FENCED));
    let nothing = |_: &PageRequest, _| Page::of(Vec::new()).with_total(0);
    let (rows, scan) = walk(Scan::new(by_created(3)), nothing, 9);
    assert_eq!((rows, outcome(&scan).as_str()), (0, "complete (fenced)"));
}

#[test]
fn another_sort_goes_on_after_a_kill_and_a_delete_without_repeating_a_row() {
    for page in [3, 50, 400] {
        for deleted in [1, 2, 30, 150] {
            let mut model = Model::new(1_000);
            model.by_field = true;
            let (mut delivered, here) = take(&mut Scan::new(by_created(page)), &model, 617);
            // The last rows that were read, in the order of the scan.
            for gone in &delivered[617 - deleted..] {
                let rank = model.rows.iter().position(|row| row == gone).unwrap();
                model.write(Write::Delete { rank, burst: 1 });
            }
            let mut second = Scan::resume(by_created(page), here).unwrap();
            delivered.extend(finish(&mut second, &model));
            let run = second.report().outcome().cloned();
            let found = (wrong(&model, &delivered), run);
            assert_eq!(found, ((0, 0), Some(FENCED)), "pages of {page}, {deleted} deleted");
        }
    }
}

#[test]
fn another_sort_survives_a_write_before_every_third_request() {
    for page in [2, 3] {
        let mut model = Model::new(400);
        model.by_field = true;
        let write = |model: &mut Model, request: usize| {
            if request % 3 == 1 {
                let rank = request * 7 % model.rows.len();
                model.write(Write::Delete { rank, burst: 1 });
                model.write(Write::Insert { rank: request * 5 % model.rows.len(), burst: 1 });
            }
        };
        let run = scan(by_created(page), &mut model, write, false);
        assert_eq!(wrong(&model, &run.delivered), (0, 0));
        assert_eq!(run.report.outcome(), Some(&FENCED), "{}", run.report);
    }
}

#[test]
fn one_row_among_nulls_in_the_reverse_order_proves_nothing() {
    let model = Model::new(10);
    let (rows, scan) = walk(
        Scan::new(offset(4, 0)),
        |ask, _| match ask.rank().unwrap().1 {
            Order::Ascending => model.page(&ask.at, ask.rows() as usize),
            Order::Descending => {
                let at = PagePosition::Rank { skip: 0, order: Order::Ascending, above: None };
                let mut page = model.page(&at, 1);
                page.null_rows = 3;
                page
            }
        },
        200,
    );
    let stated = "best effort (the reverse order never overlapped the rows read)";
    assert_eq!((rows, outcome(&scan).as_str()), (10, stated));
}

#[test]
fn a_row_without_a_key_after_all_others_makes_the_scan_best_effort() {
    let all = [row(1), row(2), row(i128::MAX)];
    let (_, scan) = walk(
        Scan::new(offset(2, 0)),
        |ask, _| {
            let (skip, order) = ask.rank().unwrap();
            let mut rows = all.to_vec();
            if order == Order::Descending {
                rows.reverse();
            }
            let skip = usize::try_from(skip).unwrap();
            let rows = rows.into_iter().skip(skip).take(ask.rows() as usize);
            Page::of(rows.collect()).with_total(3)
        },
        50,
    );
    assert!(outcome(&scan).starts_with("best effort"), "{}", scan.report());
}

#[test]
fn a_collection_that_is_emptied_after_a_key_is_complete() {
    const KEYED: Dialect = Dialect::new("keyed", Method::Offset)
        .key(&["id"])
        .sorted_by(&["id"])
        .bounded_by(|_, _: Comparison, _| "".into(), true);
    let query = Query::new(KEYED, "http://h/".parse().unwrap()).unwrap().page_size(4).unwrap();
    let model = Model::new(10);
    let (rows, scan) = walk(
        Scan::new(query),
        |ask, request| match request {
            0 | 1 => model.page(&ask.at, ask.rows() as usize),
            _ => Page::of(Vec::new()).with_total(0),
        },
        60,
    );
    assert_eq!((rows, outcome(&scan).as_str()), (4, "complete (fenced)"));
}

#[test]
fn a_counted_api_that_gives_fewer_rows_than_asked_for_is_read_at_its_own_size() {
    let counted = Query::new(OPERATIONS1, "http://h/".parse().unwrap()).unwrap().untyped();
    let model = Model::new(379);
    let (rows, scan) = walk(
        Scan::new(counted),
        |ask, _| {
            let (skip, order) = ask.rank().unwrap();
            // It counts its pages by no more than 20 rows.
            let size = u64::from(ask.rows()).min(20);
            let skip = skip / u64::from(ask.rows()) * size;
            let at = PagePosition::Rank { skip, order, above: None };
            model.page(&at, usize::try_from(size).unwrap())
        },
        100,
    );
    assert_eq!((rows, outcome(&scan).as_str()), (379, "complete (fenced)"));
}

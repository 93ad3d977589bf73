//! The scan against APIs that ignore what they are asked, go round in circles, or hide rows.

use super::*;
use crate::Inconsistency;
use crate::page::Next;

/// Answers by a function of the place and the limit instead of a model.
fn scan_of(
    query: Query,
    answer: impl Fn(&PagePosition, usize, usize) -> Page,
) -> (Vec<i128>, Report) {
    let mut scan = Scan::new(query);
    let mut delivered = Vec::new();
    for request in 0..20_000 {
        match scan.step() {
            Step::Fetch(ask) => scan.answer(ask.id(), answer(&ask.at, ask.rows as usize, request)),
            Step::Rows(rows) => delivered.extend(numbers(&rows)),
            Step::Done => return (delivered, scan.report().clone()),
            other => panic!("{other:?}"),
        }
    }
    panic!("the scan does not end")
}

fn inconsistency(report: &Report) -> &Inconsistency {
    match report.outcome() {
        Some(Outcome::Inconsistent { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_api_that_ignores_offset_sort_or_direction_is_inconsistent() {
    let model = Model::new(300);
    let first_page = |_: &PagePosition, limit, _| {
        model.page(&PagePosition::Rank { skip: 0, order: Order::Ascending, above: None }, limit)
    };
    let (delivered, report) = scan_of(offset(100, 0), |place, limit, request| match place {
        PagePosition::Rank { order: Order::Descending, .. } => model.page(place, limit),
        _ => first_page(place, limit, request),
    });
    assert_eq!(delivered.len(), 100);
    assert!(matches!(inconsistency(&report), Inconsistency::NoProgress { .. }));

    let (_, report) = scan_of(offset(100, 0), first_page);
    assert_eq!(inconsistency(&report), &Inconsistency::ReverseIgnored);
}

#[test]
fn pages_that_go_round_in_a_circle_of_any_length_end_the_scan() {
    for circle in [2, 3, 7, 40] {
        let model = Model::new(10_000);
        let (delivered, report) = scan_of(offset(100, 0), |place, limit, _| match place {
            PagePosition::Rank { skip, order: Order::Ascending, .. } => {
                let skip = skip % (99 * circle);
                model
                    .page(&PagePosition::Rank { skip, order: Order::Ascending, above: None }, limit)
            }
            _ => model.page(place, limit),
        });
        assert_eq!(wrong(&model, &delivered).1, 0, "no row twice");
        let end = report.outcome().unwrap();
        assert!(matches!(end, Outcome::Inconsistent { .. } | Outcome::LostPlace), "{report}");
    }
}

#[test]
fn a_cursor_or_a_page_that_repeats_is_inconsistent_and_delivered_once() {
    for circle in [2, 3, 500] {
        let model = Model::new(10_000);
        let turn = circle as i128 * 10;
        let (delivered, report) = scan_of(cursored(10), |place, limit, _| {
            let mut page = model.page(place, limit);
            if let Next::Cursor(cursor) = &page.next {
                if cursor.parse::<i128>().unwrap() == turn * APART {
                    page.next = Next::Cursor((10 * APART).to_string().into());
                }
            }
            page
        });
        assert_eq!(delivered.len(), circle * 10);
        assert_eq!(wrong(&model, &delivered).1, 0, "no row twice");
        assert!(matches!(
            inconsistency(&report),
            Inconsistency::CursorRepeats { .. } | Inconsistency::PageRepeats { .. }
        ));
    }
    // The position is ignored, but every cursor is a fresh one.
    let model = Model::new(100);
    let (delivered, report) = scan_of(cursored(10), |_, limit, request| {
        let page = model.page(&PagePosition::Cursor(None), limit);
        Page { next: Next::Cursor(format!("fresh {request}").into()), ..page }
    });
    assert_eq!(delivered.len(), 10);
    assert!(matches!(inconsistency(&report), Inconsistency::PageRepeats { .. }));
}

#[test]
fn empty_and_short_pages_never_end_a_scan() {
    let empty = Page { total: Some(0), ..Page::default() };
    // Every single request answered with an empty page and a wrong total, once each.
    for fault in 0..12 {
        let model = Model::new(500);
        let (delivered, report) = scan_of(offset(100, 0), |place, limit, request| {
            if request == fault { empty.clone() } else { model.page(place, limit) }
        });
        assert_eq!(wrong(&model, &delivered), (0, 0), "request {fault}");
        assert_eq!(report.outcome(), Some(&FENCED), "request {fault}");
    }
    // Any number in a row, after an odd number of rows, with any total.
    for total in [Some(0), Some(500), None] {
        for (start, length) in (0..9).flat_map(|start| (1..30).map(move |length| (start, length))) {
            let model = Model::new(500);
            let empty = Page { total, ..Page::default() };
            let (delivered, report) = scan_of(offset(100, 0), |place, limit, request| {
                if (start..start + length).contains(&request) {
                    return empty.clone();
                }
                model.page(place, if request == 0 { 37 } else { limit })
            });
            let case = format!("{length} requests from {start}, total {total:?}: {report}");
            let (missing, twice) = wrong(&model, &delivered);
            assert_eq!(twice, 0, "{case}");
            let is_complete = report.outcome() == Some(&FENCED);
            // From the first request on, or by its own word often enough, it is what it looks like.
            let looks_empty = (start == 0 && length > 1 && total != Some(500))
                || (length >= 12 && total == Some(0));
            assert!(missing == 0 || !is_complete || looks_empty, "{case}");
            let is_short = length < 2 || (length < 4 && start > 0);
            assert!(!is_short || (missing == 0 && is_complete), "{case}");
        }
    }
    // All rows are deleted on the way.
    for deleted_before in 1..5 {
        let model = Model::new(500);
        let gone = Page { total: Some(0), ..Page::default() };
        let (_, report) = scan_of(offset(100, 0), |place, limit, request| {
            if request < deleted_before { model.page(place, limit) } else { gone.clone() }
        });
        assert_eq!(report.outcome(), Some(&FENCED), "{deleted_before}");
    }
    // The reverse order never shows a row.
    let model = Model::new(500);
    let (delivered, report) = scan_of(offset(100, 0), |place, limit, _| match place {
        PagePosition::Rank { order: Order::Descending, .. } => empty.clone(),
        _ => model.page(place, limit),
    });
    assert_eq!(wrong(&model, &delivered), (0, 0), "all that is shown is delivered");
    assert_eq!(report.doubts(), [Doubt::FenceNotMet]);
    // It counts its last ten rows and does not show them.
    let model = Model::new(1_000);
    let (delivered, report) = scan_of(offset(100, 0), |place, limit, _| {
        let mut page = model.page(place, limit);
        page.rows.retain(|row| row.key() <= Some(KeyRef::Number(990 * APART)));
        page
    });
    assert_eq!((delivered.len(), report.doubts()), (990, &[Doubt::CountDiffers][..]));
    // A server that gives one row at a time: all of them, and no proof.
    let model = Model::new(30);
    let (delivered, report) =
        scan_of(offset(50, 0), |place, limit, _| model.page(place, limit.min(1)));
    assert_eq!((wrong(&model, &delivered), report.outcome()), ((0, 0), Some(&Outcome::BestEffort)));
    // Every page is cut to three rows.
    let model = Model::new(50);
    let (delivered, report) =
        scan_of(offset(100, 0), |place, limit, _| model.page(place, limit.min(3)));
    assert_eq!(wrong(&model, &delivered), (0, 0));
    assert_eq!(report.outcome(), Some(&FENCED));
    // A cursor list may have empty pages in the middle.
    let model = Model::new(50);
    let (delivered, _) = scan_of(cursored(10), |place, limit, request| {
        let page = model.page(place, limit);
        match (request % 3, place) {
            (1, PagePosition::Cursor(cursor)) => Page {
                next: Next::Cursor(format!("{:>40}", cursor.as_deref().unwrap_or("0")).into()),
                ..Page::default()
            },
            _ => page,
        }
    });
    assert_eq!(delivered.len(), 50);
}

#[test]
fn rows_that_the_api_counts_and_hides_are_passed_and_doubted_beyond_what_writes_explain() {
    let model = Model::new(300);
    let hide = |from: i128, to: i128| {
        move |page: &mut Page| {
            page.rows.retain(|row| {
                !matches!(row.key(), Some(KeyRef::Number(key)) if (from..to).contains(&(key / APART)))
            });
        }
    };
    // Ten rows fewer, and a page that joins ten rows further: as many writes would show the same.
    let counted = &[Doubt::CountDiffers][..];
    for (from, to, doubts) in [
        (50, 60, &[][..]),
        (50, 140, counted),
        (50, 190, &[Doubt::CountDiffers, Doubt::HiddenRows]),
    ] {
        let hide = hide(from, to);
        let (delivered, report) = scan_of(offset(100, 0), |place, limit, _| {
            let mut page = model.page(place, limit);
            hide(&mut page);
            page
        });
        assert_eq!(delivered.len() as i128, 300 - (to - from), "hidden: {from}..{to}");
        assert_eq!(report.doubts(), doubts, "hidden: {from}..{to}");
    }
}

/// A server over a list of keys and numbers of rows.
fn list_of(list: &[(String, usize)]) -> impl Fn(&PagePosition, usize) -> Page {
    |place, limit| {
        let PagePosition::Rank { skip, order, .. } = place else { panic!("an offset is asked") };
        let mut list: Vec<_> = list.iter().collect();
        if *order == Order::Descending {
            list.reverse();
        }
        let rows = list.iter().skip(usize::try_from(*skip).unwrap()).take(limit);
        let row = |(key, row): &&(String, usize)| {
            Row::with_key(row.to_string(), crate::Key::Text(key.clone()))
        };
        Page::of(rows.map(row).collect()).with_total(list.len() as u64)
    }
}

/// The numbers of the rows delivered, how many of them came once, and the report.
fn rows_of(
    query: Query,
    mut answer: impl FnMut(&PagePosition, usize) -> Page,
) -> (usize, usize, Report) {
    let mut scan: Scan = Scan::new(query);
    let mut delivered = Vec::new();
    for _ in 0..20_000 {
        match scan.step() {
            Step::Fetch(ask) => scan.answer(ask.id(), answer(&ask.at, ask.rows as usize)),
            Step::Rows(rows) => delivered.extend(rows.rows().iter().map(|row| row.json().to_vec())),
            Step::Done => {
                let distinct: std::collections::BTreeSet<_> = delivered.iter().collect();
                return (delivered.len(), distinct.len(), scan.report().clone());
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the scan does not end")
}

#[test]
fn equal_keys_at_any_place_are_both_delivered_and_doubted() {
    for page in 2..=10 {
        for at in 0..29 {
            let key = |row: usize| format!("{:02}", if row > at { row - 1 } else { row });
            let list: Vec<_> = (0..30).map(|row| (key(row), row)).collect();
            let (rows, distinct, report) = rows_of(offset(page, 0), list_of(&list));
            assert_eq!((rows, distinct), (30, 30), "pages of {page}, {at}: {report}");
            assert_eq!(report.doubts(), [Doubt::KeyNotUnique], "pages of {page}, {at}");
        }
    }
}

#[test]
fn a_declared_order_that_is_wrong_repeats_no_row_where_all_rows_read_are_deleted() {
    let numbered = |numbers: &mut dyn Iterator<Item = usize>| -> Vec<(String, usize)> {
        numbers.map(|number| (number.to_string(), number)).collect()
    };
    for page in [3, 5, 9] {
        for (first, last) in [(5, 0), (20, 50), (99, 1), (150, 300)] {
            let mut list = numbered(&mut (101..=999));
            let (rows, distinct, report) = rows_of(offset(page, 0), |place, limit| {
                if matches!(place, PagePosition::Rank { skip: 600.., .. }) && list[0].1 == 101 {
                    list = numbered(&mut (91..101 + first).chain(1_000 - last..=999));
                }
                list_of(&list)(place, limit)
            });
            assert_eq!(rows, distinct, "pages of {page}, {first}, {last}: {report}");
        }
    }
}

#[test]
fn a_total_that_moves_explains_as_many_rows_as_it_moved() {
    let model = Model::new(200);
    for (first, then, is_doubted) in [(5_001, 5_000, true), (201, 200, false), (220, 205, false)] {
        let (delivered, report) = scan_of(offset(100, 0), |place, limit, request| {
            let total = if request == 0 { first } else { then };
            model.page(place, limit).with_total(total)
        });
        assert_eq!(delivered.len(), 200);
        let doubts = if is_doubted { &[Doubt::CountDiffers][..] } else { &[] };
        assert_eq!(report.doubts(), doubts, "{first}, {then}: {report}");
    }
}

#[test]
fn rows_beyond_hidden_ones_are_delivered_although_the_reverse_order_shows_none() {
    let model = Model::new(300);
    let (delivered, report) = scan_of(offset(100, 0), |place, limit, _| {
        if let PagePosition::Rank { order: Order::Descending, .. } = place {
            return Page { total: Some(300), ..Page::default() };
        }
        let mut page = model.page(place, limit);
        let is_shown = |key| !(50..190).contains(&(key / APART));
        page.rows.retain(|row| matches!(row.key(), Some(KeyRef::Number(key)) if is_shown(key)));
        page
    });
    assert_eq!(delivered.len(), 160);
    assert_eq!(report.outcome(), Some(&Outcome::BestEffort), "{report}");
}

#[test]
fn a_first_row_alone_in_both_directions_proves_nothing_while_a_total_states_more() {
    let model = Model::new(5);
    let first = PagePosition::Rank { skip: 0, order: Order::Ascending, above: None };
    let (delivered, report) = scan_of(offset(50, 0), |_, _, request| {
        let page = model.page(&first, 1);
        Page { total: Some(5 + request as u64), ..page }
    });
    assert_eq!(delivered.len(), 1);
    assert!(!is_complete(&report), "{report}");
}

#[test]
fn a_first_page_of_one_row_and_a_fence_of_more_prove_no_list_of_one_row() {
    let model = Model::new(5);
    let first = PagePosition::Rank { skip: 0, order: Order::Ascending, above: None };
    for total in [None, Some(1)] {
        // The direction is ignored, and the first page is cut.
        let (_, report) = scan_of(offset(50, 0), |place, limit, request| {
            let is_fence = matches!(place, PagePosition::Rank { order: Order::Descending, .. });
            let page = model.page(&first, if request == 0 && !is_fence { 1 } else { limit });
            Page { total, ..page }
        });
        assert_eq!(inconsistency(&report), &Inconsistency::ReverseIgnored, "{total:?}");
    }
}

#[test]
fn a_list_that_is_emptied_is_complete_only_if_its_answers_state_that() {
    let model = Model::new(10);
    for (total, doubts) in [(Some(0), &[][..]), (None, &[Doubt::FenceNotMet])] {
        let (delivered, report) = scan_of(offset(4, 0), |place, limit, request| match request {
            0 => Page { total: None, ..model.page(place, limit) },
            _ => Page { total, ..Page::default() },
        });
        assert_eq!((delivered.len(), report.doubts()), (4, doubts), "{total:?}");
    }
}

#[test]
fn an_empty_range_needs_an_answer_in_both_directions() {
    let key = |key| Some(crate::Key::Number(key));
    let range = crate::query::Range { from: key(5), to: key(6) };
    let mut scan: Scan = Scan::new(offset(4, 0).within(range));
    let (Step::Fetch(fence), Some(page)) = (scan.step(), scan.ask()) else {
        panic!("a range asks for its page and its fence at once")
    };
    scan.answer(fence.id(), Page::default().with_total(0));
    assert!(matches!(scan.step(), Step::Wait), "the page is not here");
    scan.answer(page.id(), Page::default().with_total(0));
    assert!(matches!(scan.step(), Step::Done));
    assert_eq!(scan.report().outcome(), Some(&FENCED));
}

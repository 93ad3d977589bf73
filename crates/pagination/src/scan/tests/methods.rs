//! Every way to find the next page, against every placement of writes.

use super::model::{Filter, SPELLINGS};
use super::*;
use crate::dialect::{Dialect, Method, OPERATIONS1};
use crate::filter::Comparison;
use serde_json::{Value, json};

fn bound(key: &str, comparison: Comparison, bound: KeyRef<'_>) -> Value {
    json!([key, format!("{comparison:?}"), bound.to_json()])
}

/// An API whose documents promise the filter for keys.
const DECLARED: Dialect = Dialect::new("declared", Method::Offset)
    .key(&["id"])
    .sorted_by(&["id"])
    .bounded_by(bound, true);

fn uri() -> http::Uri {
    "http://h/".parse().unwrap()
}

/// The ways to find the next page that promise every row present throughout.
pub(super) fn ways(page: u32) -> Vec<(&'static str, Query)> {
    let sized = |query: Query| query.page_size(page).unwrap();
    let counted = Query::new(OPERATIONS1, uri()).unwrap().untyped();
    let probed = Query::new(JUMPCLOUD_V1, uri()).unwrap().keyset().unwrap().untyped();
    let newest = Query::new(JUMPCLOUD_V1, uri()).unwrap().sort("-_id").unwrap();
    let newest = newest.keyset().unwrap().untyped();
    vec![
        ("anchored", offset(page, 0)),
        ("stitched", offset(page, 3)),
        ("keyset, declared", sized(Query::new(DECLARED, uri()).unwrap())),
        ("keyset, probed", sized(probed)),
        ("keyset, newest first", sized(newest)),
        ("counted", sized(counted.clone())),
        ("counted and stitched", sized(counted.prefetch(2))),
    ]
}

#[test]
fn no_placement_of_two_writes_hides_or_repeats_a_row_in_any_way() {
    for page in [2, 3] {
        for (way, query) in ways(page).into_iter().skip(2) {
            let gaps = if way.starts_with("counted and") { 6 } else { GAPS };
            every_placement(gaps, |writes| {
                let (missing, twice, run) = scan_seven(query.clone(), writes, false);
                assert_eq!((missing, twice), (0, 0), "{way}, pages of {page}: {writes:?}");
                assert!(is_fenced(way, &run.report), "{way}: {writes:?}: {}", run.report);
            });
        }
    }
}

#[test]
fn a_keyset_scan_needs_one_request_more_than_its_pages() {
    for (way, query) in ways(10).into_iter().skip(2).take(3) {
        let mut asked = Vec::new();
        let mut scan = Scan::new(query);
        let model = Model::new(35);
        loop {
            match scan.step() {
                Step::Fetch(ask) => {
                    scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize));
                    asked.push(ask);
                }
                Step::Done => break,
                _ => {}
            }
        }
        // The first page, the fence, and three more pages after a key.
        assert_eq!(asked.len(), 5, "{way}");
        let by_key =
            asked.iter().filter(|ask| matches!(ask.at, PagePosition::Rank { above: Some(_), .. }));
        assert_eq!(by_key.count(), 3, "{way}");
    }
}

#[test]
fn a_filter_that_is_ignored_or_not_cast_is_done_without_and_loses_nothing() {
    for filter in [Filter::Ignored, Filter::NotCast] {
        for at in [2, 3, 4] {
            let (way, query) = ways(10).remove(at);
            let mut model = Model::new(95);
            model.filter = filter;
            let mut requests = 0;
            let run = scan(query, &mut model, |_, _| requests += 1, false);
            assert_eq!(wrong(&model, &run.delivered), (0, 0), "{way}");
            assert_eq!(run.report.outcome(), Some(&FENCED), "{way}, {filter:?}");
            assert!(requests <= 11 + 1 + 6, "{way}, {filter:?}: {requests}");
        }
    }
}

/// Sixty rows, and before every request a write with a chance of three in ten: 4,000 scans for each kind of
/// writes.
#[test]
fn four_thousand_random_scans_of_each_kind_miss_and_repeat_nothing() {
    for kind in KINDS {
        for (at, way) in ways(2).into_iter().map(|(way, _)| way).enumerate() {
            let mut wrongs = 0;
            for seed in 0..4_000 {
                let mut random = Random::of(seed);
                let page = [4, 5, 6, 7, 8, 9, 10][random.below(7)];
                let (_, query) = ways(page).swap_remove(at);
                let mut model = Model::new(60);
                let run = scan(
                    query,
                    &mut model,
                    |model, at| kind.write(model, at, &mut random),
                    seed % 2 == 0,
                );
                let is_wrong = wrong(&model, &run.delivered) != (0, 0);
                wrongs += usize::from(is_wrong || !is_fenced(way, &run.report));
            }
            assert_eq!(wrongs, 0, "{way}, {kind:?}");
        }
    }
}

/// The control: the same writes, and the textbook loop.
#[test]
fn the_same_random_writes_break_plain_offset() {
    let share = |kind: Kind| {
        let (mut missed, mut repeated) = (0, 0);
        for seed in 0..4_000 {
            let mut random = Random::of(seed);
            let page = 4 + random.below(7);
            let mut model = Model::new(60);
            let (mut delivered, mut request): (Vec<i128>, _) = (Vec::new(), 0);
            loop {
                kind.write(&mut model, request, &mut random);
                request += 1;
                let rows: Vec<i128> =
                    model.rows.iter().skip(delivered.len()).take(page).copied().collect();
                delivered.extend(&rows);
                if rows.len() < page {
                    break;
                }
            }
            let (missing, twice) = wrong(&model, &delivered);
            missed += usize::from(missing > 0);
            repeated += usize::from(twice > 0);
        }
        (missed, repeated)
    };
    // Of 4,000 scans: those that missed a row, and those that delivered one twice.
    let found = KINDS.map(share);
    assert_eq!(found, [(2_959, 0), (1_894, 0), (1_917, 1_020), (1_126, 1_523)]);
}

/// Answers land in any order, some fail, some pages are too heavy, and the list is written to before every request.
#[test]
fn a_scan_ends_whatever_order_its_answers_land_in() {
    let mut complete = 0;
    for seed in 0..2_000 {
        let mut random = Random::of(seed);
        let ahead = random.below(5);
        let mut model = Model::new(400);
        model.spelling = SPELLINGS[random.below(4)];
        let mut scan = Scan::new(offset(20, ahead));
        let (mut flights, mut requests, mut delivered) = (Vec::new(), 0, Vec::new());
        loop {
            match scan.step() {
                Step::Fetch(ask) => flights.push(ask),
                Step::Rows(rows) => {
                    delivered.extend(numbers(&rows));
                    while let Some(ask) = scan.ask() {
                        flights.push(ask);
                    }
                }
                Step::Wait => {
                    let ask: PageRequest = flights.swap_remove(random.below(flights.len()));
                    requests += 1;
                    assert!(requests < 2_000, "seed {seed} does not end: {}", scan.report());
                    let middle = requests * 10;
                    if requests > 1 {
                        model.write(Write::Delete { rank: 0, burst: 1 });
                        model.write(Write::Delete { rank: middle, burst: 1 });
                        model.write(Write::Insert { rank: middle / 2, burst: 1 });
                        model.write(Write::Insert { rank: middle + 7, burst: 1 });
                        let rank = model.rows.len();
                        model.write(Write::Insert { rank, burst: 1 });
                    }
                    match random.below(20) {
                        0 => scan.failed(ask.id()),
                        1 if ask.rows > 10 => {
                            if !scan.too_heavy(ask.id(), None) {
                                scan.failed(ask.id());
                            }
                        }
                        2 => scan.answer(ask.id(), model.page(&ask.at, 1)),
                        _ => scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize)),
                    }
                }
                Step::Failed { .. } => scan.retry_failed(),
                Step::Done => break,
            }
        }
        let (missing, twice) = wrong(&model, &delivered);
        complete += usize::from(is_complete(scan.report()));
        let is_honest = missing == 0 || !is_complete(scan.report());
        assert!(twice == 0 && is_honest, "seed {seed}: {missing} {}", scan.report());
    }
    assert!(complete > 1_950, "{complete} of 2,000 complete");
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Deletes,
    DeletesAndTail,
    Flips,
    All,
}

const KINDS: [Kind; 4] = [Kind::Deletes, Kind::DeletesAndTail, Kind::Flips, Kind::All];

impl Kind {
    fn write(self, model: &mut Model, request: usize, random: &mut Random) {
        if request == 0 || random.below(10) >= 3 {
            return;
        }
        let burst = 1 + random.below(3);
        let rank = random.below(model.rows.len() + 1);
        let delete = Write::Delete { rank, burst };
        let tail = Write::Insert { rank: model.rows.len(), burst };
        let back = Write::Return { burst };
        let choice = random.below(4);
        model.write(match (self, choice) {
            (Self::Deletes, _) | (Self::DeletesAndTail | Self::Flips, 0 | 1) | (Self::All, 0) => {
                delete
            }
            (Self::DeletesAndTail, _) | (Self::All, 1) => tail,
            (Self::Flips, _) | (Self::All, 2) => back,
            (Self::All, _) => Write::Insert { rank, burst },
        });
    }
}

/// A sequence that is the same on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end.max(1) as u64) as usize
    }
}

/// Rows that are counted and not shown, in runs up to the whole collection, with a write in every gap.
#[test]
fn with_hidden_rows_a_scan_is_never_complete_if_one_that_is_shown_is_missing() {
    for page in [2, 3] {
        for (way, query) in ways(page) {
            let keyset = way.starts_with("keyset");
            for (from, length) in (0..7).flat_map(|from| (1..=7 - from).map(move |l| (from, l))) {
                let check = |writes: &[(usize, Write)]| {
                    let mut model = Model::new(7);
                    model.hidden = (from..from + length).map(|row| (row + 1) * APART).collect();
                    let hidden = model.hidden.clone();
                    model.present.retain(|row| !hidden.contains(row));
                    let apply = |model: &mut Model, request| {
                        for (_, write) in writes.iter().filter(|(gap, _)| *gap == request) {
                            model.write(*write);
                        }
                    };
                    let run = scan(query.clone(), &mut model, apply, false);
                    let (missing, twice) = wrong(&model, &run.delivered);
                    let case =
                        format!("{way}, pages of {page}, {length} hidden from {from}: {writes:?}");
                    assert_eq!(twice, 0, "{case}");
                    let is_complete = run.report.outcome() == Some(&FENCED);
                    assert!(missing == 0 || !is_complete, "{case}: {}", run.report);
                    // Without writes they are walked past; after a key there is no rank to look at.
                    let is_quiet = writes.is_empty() && !keyset;
                    assert!(missing == 0 || !is_quiet, "{case}: {}", run.report);
                };
                check(&[]);
                for gap in 1..=GAPS {
                    for write in all_writes() {
                        check(&[(gap, write)]);
                    }
                }
            }
        }
    }
}

#[test]
fn every_request_of_every_way_killed_once_loses_nothing() {
    for (way, query) in ways(10).into_iter().chain([("cursor", cursored(10))]) {
        let mut fails = 0;
        loop {
            let model = Model::new(95);
            let mut scan = Scan::new(query.clone());
            let mut flights = VecDeque::new();
            let (mut delivered, mut requests, mut failed) = (Vec::new(), 0, 0);
            loop {
                match scan.step() {
                    Step::Fetch(ask) => flights.push_back(ask),
                    Step::Rows(rows) => delivered.extend(numbers(&rows)),
                    Step::Wait => {
                        let ask: PageRequest = flights.pop_front().unwrap();
                        if requests == fails {
                            scan.failed(ask.id());
                        } else {
                            scan.answer(ask.id(), model.page(&ask.at, ask.rows as usize));
                        }
                        requests += 1;
                    }
                    Step::Failed { .. } => {
                        failed += 1;
                        let at = Some(Outcome::Failed { at: delivered.len() as u64 });
                        assert_eq!(scan.report().outcome(), at.as_ref(), "{way}");
                        scan.retry_failed();
                        assert_eq!(scan.report().outcome(), None);
                    }
                    Step::Done => break,
                }
            }
            assert_eq!(wrong(&model, &delivered), (0, 0), "{way}: request {fails} failed");
            assert!(is_complete(scan.report()), "{way}: {}", scan.report());
            if failed == 0 {
                break;
            }
            fails += 1;
        }
        assert!(fails >= 10, "{way}: {fails} requests");
    }
}

#[test]
fn a_kill_after_any_row_resumes_with_the_next_in_every_way() {
    for (way, query) in ways(3).into_iter().chain([("cursor", cursored(3))]) {
        for kill in 1..=20 {
            let mut model = Model::new(20);
            let (mut delivered, here) = take(&mut Scan::new(query.clone()), &model, kill);
            // A row after the scan vanishes while it is down, and the second run asks for other sizes.
            model.write(Write::Delete { rank: kill / 2, burst: 1 });
            let size = [2, 3, 7][kill % 3];
            let mut second = Scan::resume(query.clone().page_size(size).unwrap(), here).unwrap();
            delivered.extend(finish(&mut second, &model));
            assert_eq!(wrong(&model, &delivered), (0, 0), "{way}: killed after row {kill}");
            assert!(is_complete(second.report()), "{way}: {}", second.report());
            assert_eq!(second.report().rows(), delivered.len() as u64);
            assert!(second.checkpoint().is_complete());
        }
    }
}

/// An API that answers no reverse order: its statement ends the scan, or nothing does.
#[test]
fn rows_that_were_written_before_a_kill_are_no_doubt_after_it() {
    let mut model = Model::new(600);
    let mut scan = Scan::new(offset(50, 0));
    let (first, here) = take(&mut scan, &model, 300);
    model.write(Write::Insert { rank: 0, burst: 20 });
    let mut scan = Scan::resume(offset(50, 0), here).unwrap();
    let (second, here) = take(&mut scan, &model, 200);
    let mut scan = Scan::resume(offset(50, 0), here).unwrap();
    let rest = finish(&mut scan, &model);
    assert_eq!(wrong(&model, &[first, second, rest].concat()), (0, 0));
    assert_eq!(scan.report().outcome(), Some(&FENCED), "{}", scan.report());
}

#[test]
fn without_a_reverse_order_the_end_is_the_apis_word_or_best_effort() {
    const ONE_WAY: Dialect =
        Dialect::new("one way", Method::Offset).key(&["id"]).sorted_by(&["id"]).without_reverse();
    let query = || Query::new(ONE_WAY, uri()).unwrap().page_size(3).unwrap();
    every_placement(6, |writes| {
        let (missing, twice, run) = scan_seven(query(), writes, false);
        assert_eq!((missing, twice), (0, 0), "{writes:?}");
        assert!(run.report.doubts().contains(&Doubt::EndNotStated), "{writes:?}");
    });
    let mut scan = Scan::new(query());
    let model = Model::new(7);
    let mut delivered = Vec::new();
    loop {
        match scan.step() {
            Step::Fetch(ask) => {
                let page = model.page(&ask.at, ask.rows as usize);
                let is_last = ask.rank().unwrap().0 + page.rows.len() as u64 == 7;
                let next = if is_last { crate::page::Next::End } else { crate::page::Next::Unsaid };
                scan.answer(ask.id(), page.with_next(next));
            }
            Step::Rows(rows) => delivered.extend(numbers(&rows)),
            Step::Done => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(wrong(&model, &delivered), (0, 0));
    let by_word = Outcome::Complete { proof: Proof::ApiSaysSo };
    assert_eq!(scan.report().outcome(), Some(&by_word), "{}", scan.report());
}

const SHUFFLED: Dialect = Dialect::new("shuffled", Method::Offset)
    .key(&["id"])
    .sorted_by(&["id"])
    .bounded_by(bound, false);

/// The same ways over dialects that declare no order of keys, and over one that declares an order which is wrong.
fn ways_in_any_order(page: u32) -> Vec<(&'static str, Query)> {
    let sized = |query: Query| query.page_size(page).unwrap();
    let plain = || sized(Query::new(SHUFFLED, uri()).unwrap());
    vec![
        ("declared", offset(page, 0)),
        ("declared, descending", offset_descending(page)),
        ("declared, stitched", offset(page, 3)),
        ("not declared", plain()),
        ("not declared, stitched", plain().prefetch(3)),
        ("not declared, descending", plain().sort("-id").unwrap()),
        ("keyset", plain().keyset().unwrap()),
        ("counted", sized(Query::new(OPERATIONS1, uri()).unwrap().untyped())),
    ]
}

fn offset_descending(page: u32) -> Query {
    let query = Query::new(JUMPCLOUD_V1, uri()).unwrap().sort("-_id").unwrap();
    query.page_size(page).unwrap().untyped()
}

#[test]
fn no_placement_of_two_writes_hides_a_row_of_an_order_that_cannot_be_compared_in_pages_of_two() {
    assert_no_placement_hides_or_repeats(2);
}

#[test]
fn no_placement_of_two_writes_hides_a_row_of_an_order_that_cannot_be_compared_in_pages_of_three() {
    assert_no_placement_hides_or_repeats(3);
}

fn assert_no_placement_hides_or_repeats(page: u32) {
    for spelling in SPELLINGS {
        for (way, query) in ways_in_any_order(page) {
            let gaps = if way.ends_with("stitched") { 6 } else { GAPS };
            let (mut all, mut fenced) = (0, 0);
            every_placement(gaps, |writes| {
                let mut model = Model::new(7);
                model.spelling = spelling;
                let apply = |model: &mut Model, request| {
                    for (_, write) in writes.iter().filter(|(gap, _)| *gap == request) {
                        model.write(*write);
                    }
                };
                let run = scan(query.clone(), &mut model, apply, false);
                let case = || format!("{spelling:?}, {way}, pages of {page}: {writes:?}");
                assert_eq!(wrong(&model, &run.delivered), (0, 0), "{}: {}", case(), run.report);
                assert!(is_fenced(way, &run.report), "{}: {}", case(), run.report);
                (all, fenced) =
                    (all + 1, fenced + u32::from(run.report.outcome() == Some(&FENCED)));
            });
            let is_proved = fenced * 1_000 > all * 997;
            assert!(is_proved || way == "keyset", "{spelling:?}, {way}: {fenced} of {all}");
        }
    }
}

#[test]
fn four_thousand_random_scans_in_an_order_that_cannot_be_compared_miss_and_repeat_nothing() {
    for spelling in SPELLINGS {
        for kind in KINDS {
            let count = ways_in_any_order(2).len();
            for at in 0..count {
                for seed in 0..4_000 / count as u64 {
                    let mut random = Random::of(seed);
                    let page = [4, 5, 6, 7, 8, 9, 10][random.below(7)];
                    let (way, query) = ways_in_any_order(page).swap_remove(at);
                    let mut model = Model::new(60);
                    model.spelling = spelling;
                    model.short = (seed % 3 == 0).then(Default::default);
                    let write = |model: &mut Model, at: usize| kind.write(model, at, &mut random);
                    let run = scan(query, &mut model, write, seed % 2 == 0);
                    let case = format!("{spelling:?}, {way}, {kind:?}, seed {seed}");
                    assert_eq!(wrong(&model, &run.delivered), (0, 0), "{case}: {}", run.report);
                    assert!(is_fenced(way, &run.report), "{case}: {}", run.report);
                }
            }
        }
    }
}

/// Three ranges of one list, read one after the other while it is written to.
#[test]
fn four_thousand_random_scans_of_ranges_miss_and_repeat_nothing() {
    for kind in KINDS {
        for seed in 0..1_000 {
            let mut random = Random::of(seed);
            let mut bound = || random.below(61) as i128 * APART + random.below(2) as i128;
            let (first, second) = (bound(), bound());
            let bounds = [i128::MIN, first.min(second), first.max(second), i128::MAX];
            let mut model = Model::new(60);
            let mut delivered = Vec::new();
            for bounds in bounds.windows(2) {
                let key = |bound: i128| {
                    (i128::MIN < bound && bound < i128::MAX).then_some(crate::Key::Number(bound))
                };
                let range = crate::query::Range { from: key(bounds[0]), to: key(bounds[1]) };
                let page = [4, 5, 6, 7, 8, 9, 10][random.below(7)];
                let query = offset(page, [0, 3][random.below(2)]).within(range);
                model.range = bounds[0]..bounds[1];
                let write = |model: &mut Model, at: usize| kind.write(model, at, &mut random);
                let run = scan(query, &mut model, write, seed % 2 == 0);
                delivered.extend(run.delivered);
                assert_eq!(run.report.outcome(), Some(&FENCED), "seed {seed}: {}", run.report);
            }
            model.range = i128::MIN..i128::MAX;
            assert_eq!(wrong(&model, &delivered), (0, 0), "{kind:?}, seed {seed}");
        }
    }
}

/// A scan that is limited delivers the first rows, and that there are no more is proved.
#[test]
fn four_thousand_random_scans_with_a_limit_miss_none_of_the_first_rows() {
    let mut ends = [0; 3];
    for kind in KINDS {
        for seed in 0..1_000 {
            let mut random = Random::of(seed);
            let limit = 1 + random.below(80);
            let mut model = Model::new(60);
            model.spelling = SPELLINGS[random.below(4)];
            let page = [4, 5, 6, 7, 8, 9, 10][random.below(7)];
            let query = offset(page, [0, 3][random.below(2)]);
            let write = |model: &mut Model, at: usize| kind.write(model, at, &mut random);
            let run = scan(query.limit(limit as u64), &mut model, write, seed % 2 == 0);
            let last = run.delivered.last().copied().unwrap_or(i128::MIN);
            let (missing, twice) = wrong(&model, &run.delivered);
            let missing_before = model.present.iter().filter(|row| **row < last);
            let missing_before = missing_before.filter(|row| !run.delivered.contains(row)).count();
            assert_eq!((missing_before, twice), (0, 0), "{kind:?}, seed {seed}: {}", run.report);
            assert!(run.delivered.len() <= limit);
            ends[match run.report.outcome() {
                Some(Outcome::Complete { proof: Proof::Fenced }) => {
                    assert_eq!(missing, 0, "{kind:?}, seed {seed}");
                    0
                }
                Some(Outcome::LimitReached { more: Some(true) }) => 1,
                Some(Outcome::LimitReached { more: None }) => 2,
                other => panic!("{kind:?}, seed {seed}: {other:?}"),
            }] += 1;
        }
    }
    assert!(ends[0] > 500 && ends[1] > 1_000, "{ends:?}");
}

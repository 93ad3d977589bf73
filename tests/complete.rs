//! Servers on which a scan once ended as complete with rows missing, each with what has to come out.
//!
//! Every server is a function from an address to an answer and shares no code with the crate under test. The faults stay
//! in one file, because they share these servers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use pagination::dialect::{Dialect, JUMPCLOUD_V1, JUMPCLOUD_V2_LINK, LINK, Method, PAGE_TOKEN};
use pagination::{Checkpoint, Doubt, Error, Inconsistency, Outcome, Pages, Proof, Query, Report};
use serde_json::{Value, json};
use tower::service_fn;

/// What a server answers: headers and a body.
type Answer = (Vec<(&'static str, String)>, Value);

/// An address, taken apart.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn of(request: &Request<Full<Bytes>>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let plain = |text: &str| text.replace("%5B", "[").replace("%5D", "]").replace("%24", "$");
        Self(pairs.map(|(name, value)| (plain(name), plain(value).replace("%3A", ":"))).collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> usize {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Reads a list to its end: its rows, its report, and the number of requests.
fn read<G>(query: Query<G>, server: impl FnMut(Asked) -> Answer) -> (Vec<Value>, Report, usize) {
    let read = read_from(query, None, server, usize::MAX);
    (read.rows, read.report, read.requests)
}

struct Read {
    rows: Vec<Value>,
    report: Report,
    requests: usize,
    here: Checkpoint,
}

/// The same from a checkpoint, and no more than so many rows.
fn read_from<G>(
    query: Query<G>,
    from: Option<Checkpoint>,
    server: impl FnMut(Asked) -> Answer,
    most: usize,
) -> Read {
    let state = Arc::new(Mutex::new((server, 0)));
    let asked = state.clone();
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let mut state = asked.lock().unwrap();
        state.1 += 1;
        assert!(state.1 < 3_000, "the scan does not end");
        let (headers, body) = (state.0)(Asked::of(&request));
        let mut response = Response::builder();
        for (name, value) in headers {
            response = response.header(name, value);
        }
        let response = response.body(Full::<Bytes>::from(body.to_string())).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    let pages = match from {
        Some(from) => Pages::from_checkpoint(service, query, from).unwrap(),
        None => Pages::new(service, query),
    };
    let mut items = pages.items::<Value>();
    let mut rows = Vec::new();
    while rows.len() < most {
        match items.next().now_or_never().expect("nothing waits") {
            Some(row) => rows.push(row.unwrap()),
            None => break,
        }
    }
    let (report, here) = (items.report().clone(), items.checkpoint());
    let requests = state.lock().unwrap().1;
    Read { rows, report, requests, here }
}

fn uri() -> http::Uri {
    "https://api.example.com/list".parse().unwrap()
}

const FENCED: Option<&Outcome> = Some(&Outcome::Complete { proof: Proof::Fenced });

/// The rows of a list from a rank on, in either direction.
fn window(keys: &[String], skip: usize, limit: usize, is_reversed: bool) -> Vec<String> {
    let at = |rank: usize| if is_reversed { keys.len() - 1 - rank } else { rank };
    (skip.min(keys.len())..(skip + limit).min(keys.len()))
        .map(|rank| keys[at(rank)].clone())
        .collect()
}

/// JumpCloud's v1 form over texts in an order of the server's own, by which its filter compares as well.
fn v1(keys: &[String], asked: &Asked) -> Answer {
    let is_reversed = asked.text("sort").is_some_and(|sort| sort.starts_with('-'));
    let after = asked.text("filter").and_then(|filter| filter.strip_prefix("_id:$gt:"));
    let from = after.map_or(0, |key| keys.iter().position(|it| it == key).unwrap() + 1);
    let rows = window(&keys[from..], asked.number("skip"), asked.number("limit"), is_reversed);
    let rows: Vec<_> = rows.into_iter().map(|key| json!({ "_id": key })).collect();
    (vec![], json!({ "totalCount": keys.len() - from, "results": rows }))
}

fn v1_query(page: u32) -> Query<pagination::dialect::JumpCloudV1> {
    Query::new(JUMPCLOUD_V1, uri()).unwrap().page_size(page).unwrap()
}

/// P1, P2, P29: numeric ids as texts, in the order of the numbers.
#[test]
fn ids_in_another_order_than_that_of_their_bytes_are_read_whole() {
    for (from, to, page) in [(101, 1_100, 100), (95, 10_005, 5), (1, 250, 100)] {
        let mut keys: Vec<String> = (from..=to).map(|id: u32| id.to_string()).collect();
        let ascending = || v1_query(page);
        let descending = v1_query(page).sort("-_id").unwrap();
        for (way, query) in [
            ("page after page", ascending()),
            ("prefetch 3", ascending().prefetch(3)),
            ("keyset", ascending().keyset().unwrap()),
        ] {
            let (rows, report, _) = read(query, |asked| v1(&keys, &asked));
            let by_word = Outcome::Complete { proof: Proof::ApiSaysSo };
            let end = if way == "keyset" { Some(&by_word) } else { FENCED };
            assert_eq!((rows.len(), report.outcome()), (keys.len(), end), "{way}: {report}");
        }
        keys.reverse();
        let (rows, report, _) = read(descending, |mut asked| {
            // The same list, told the other way round.
            for (name, value) in &mut asked.0 {
                if name == "sort" {
                    *value = if value.starts_with('-') { "_id".into() } else { "-_id".into() };
                }
            }
            v1(&keys, &asked)
        });
        assert_eq!((rows.len(), report.outcome()), (keys.len(), FENCED), "descending: {report}");
    }
}

/// P3: the key is a number below the row.
#[test]
fn a_number_below_the_row_is_a_key_like_any_other() {
    const NESTED: Dialect = Dialect::new("nested", Method::Offset)
        .key(&["meta.id"])
        .sorted_by(&["id"])
        .own_parameters(&["skip", "limit", "sort"])
        .call(|call| {
            call.parameter("skip", call.skip());
            call.parameter("limit", call.rows());
            call.parameter("sort", call.sort());
        });
    let keys: Vec<String> = (1..=12).map(|id: u32| id.to_string()).collect();
    let query = Query::new(NESTED, uri()).unwrap().page_size(5).unwrap();
    let (rows, report, _) = read(query, |asked| {
        let is_reversed = asked.text("sort") == Some("-id");
        let rows = window(&keys, asked.number("skip"), asked.number("limit"), is_reversed);
        let row = |key: String| json!({ "meta": { "id": key.parse::<u32>().unwrap() } });
        (vec![], rows.into_iter().map(row).collect())
    });
    assert_eq!((rows.len(), report.outcome()), (12, FENCED), "{report}");
}

/// P4: two files of one name.
#[test]
fn equal_keys_in_one_answer_are_delivered_and_doubted() {
    let query = Query::new(PAGE_TOKEN, uri()).unwrap();
    let files = json!({ "files": [
        { "name": "a", "size": 1 }, { "name": "b", "size": 2 }, { "name": "a", "size": 3 },
    ] });
    let (rows, report, _) = read(query, |_| (vec![], files.clone()));
    assert_eq!((rows.len(), report.doubts()), (3, &[Doubt::KeyNotUnique][..]));
    assert_eq!(report.outcome(), Some(&Outcome::BestEffort));
}

/// P5, P12: what is called a link or a token counts pages or rows, whatever its name.
#[test]
fn a_cursor_that_counts_is_an_offset_whatever_its_name() {
    let cursors: [fn(usize) -> String; 6] = [
        |rank| format!("/list?page[number]={}", rank / 10 + 1),
        |rank| format!("/list?%24skip={rank}"),
        |rank| format!("/list?after={}", base64(&format!("{{\"o\":{rank},\"v\":1}}"))),
        |rank| rank.to_string(),
        |rank| (rank / 10 + 1).to_string(),
        |rank| base64(&format!("offset:{rank}")),
    ];
    for (at, cursor) in cursors.into_iter().enumerate() {
        let is_link = at < 3;
        for pages in [2, 3, 5] {
            let mut left: Vec<usize> = (1_000..1_000 + pages * 10).collect();
            let mut rank = 0;
            let server = |_: Asked| {
                let rows: Vec<_> = left.iter().skip(rank).take(10).collect();
                let rows: Vec<_> =
                    rows.iter().map(|it| json!({ "name": format!("n{it}x") })).collect();
                rank += 10;
                let next = (rank < left.len()).then(|| cursor(rank));
                left.remove(0); // A row that was read is deleted, so one slips by.
                match next {
                    Some(next) if is_link => {
                        (vec![("link", format!("<{next}>; rel=\"next\""))], json!(rows))
                    }
                    next if is_link => (vec![], {
                        assert!(next.is_none());
                        json!(rows)
                    }),
                    next => (vec![], json!({ "files": rows, "nextPageToken": next })),
                }
            };
            let dialect = if is_link { LINK } else { PAGE_TOKEN };
            let query = Query::new(dialect, uri()).unwrap().page_size(20).unwrap();
            let (rows, report, _) = read(query, server);
            assert!(rows.len() < pages * 10, "a row slips by");
            let case = format!("cursor {at}, {pages} pages: {report}");
            assert_eq!(report.outcome(), Some(&Outcome::BestEffort), "{case}");
            assert!(report.doubts().contains(&Doubt::OffsetCursor), "{case}");
        }
    }
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = (bits << 8) | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..=chunk.len() {
            encoded.push(char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]));
        }
    }
    encoded
}

/// A cursor that names the last row is none.
#[test]
fn a_cursor_that_names_the_last_row_is_taken_at_its_word() {
    let server = |asked: Asked| {
        let from = asked.number("pageToken");
        let rows: Vec<_> =
            (from + 1..=from + 10).map(|id| json!({ "id": id, "name": id.to_string() })).collect();
        let next = if from < 40 { json!((from + 10).to_string()) } else { json!("") };
        (vec![], json!({ "users": rows, "nextPageToken": next }))
    };
    let query = Query::new(PAGE_TOKEN, uri()).unwrap().page_size(20).unwrap();
    let (rows, report, _) = read(query, server);
    let by_word = Outcome::Complete { proof: Proof::ApiSaysSo };
    assert_eq!((rows.len(), report.outcome()), (50, Some(&by_word)), "{report}");
}

/// Offsets that equal the key of the last row as long as nothing is deleted, and offsets that count from one.
#[test]
fn an_offset_beside_dense_keys_or_from_one_is_an_offset() {
    for (first_id, from) in [(1, 0), (1_001, 1)] {
        let mut left: Vec<usize> = (first_id..first_id + 30).collect();
        let (rows, report, _) = read(Query::new(PAGE_TOKEN, uri()).unwrap(), |asked| {
            let rank =
                asked.text("pageToken").map_or(0, |token| token.parse::<usize>().unwrap() - from);
            let rows: Vec<_> =
                left.iter().skip(rank).take(10).map(|id| json!({ "id": id })).collect();
            let next = (rank + 10 < left.len()).then(|| (rank + 10 + from).to_string());
            if rank == 0 {
                left.remove(0); // Of the rows after it, one slips by.
            }
            (vec![], json!({ "users": rows, "nextPageToken": next }))
        });
        assert_eq!((rows.len(), report.doubts()), (29, &[Doubt::OffsetCursor][..]), "{report}");
    }
}

/// An answer that is no page may be a fault of the moment.
#[test]
fn an_answer_that_is_no_page_is_asked_for_once_more() {
    for (odd, ends_in_error) in [(1, false), (2, true)] {
        let mut answers = 0;
        let service = service_fn(|request: Request<Full<Bytes>>| {
            let page = Asked::of(&request).text("pageToken").map_or(0, str::len);
            answers += 1;
            let is_odd = (2..2 + odd).contains(&answers);
            let body = match page {
                _ if is_odd => json!({ "message": "a moment, please" }),
                0 => json!({ "users": [{ "id": 1 }], "nextPageToken": "x" }),
                _ => json!({ "users": [{ "id": 2 }] }),
            };
            let response = Response::new(Full::<Bytes>::from(body.to_string()));
            async move { Ok::<_, Infallible>(response) }
        });
        let mut pages = Pages::new(service, Query::new(PAGE_TOKEN, uri()).unwrap());
        let mut next = || pages.next().now_or_never().unwrap();
        assert_eq!(next().unwrap().unwrap().rows().len(), 1);
        match next().unwrap() {
            Ok(rows) => assert!(!ends_in_error && rows.rows().len() == 1 && next().is_none()),
            Err(error) => {
                assert!(ends_in_error && matches!(error, Error::NotAPage { .. }), "{error}")
            }
        }
        drop(pages);
        assert_eq!(answers, 3);
    }
}

/// P6: a token that is spelled otherwise is read, and one of another name is no end.
#[test]
fn a_token_of_another_name_is_followed_or_an_error() {
    let server = |name: &'static str| {
        move |asked: Asked| {
            let page = asked.text("pageToken").map_or(0, |token| token.len());
            let rows = json!([{ "name": format!("row {page}") }]);
            let mut body = json!({ "rows": rows });
            if page < 2 {
                body[name] = json!("x".repeat(page + 1));
            }
            (vec![], body)
        }
    };
    let query = || Query::new(PAGE_TOKEN, uri()).unwrap();
    let (rows, report, _) = read(query(), server("next_page_token"));
    assert_eq!(rows.len(), 3, "{report}");
    for name in ["nextToken", "cursor", "next_cursor", "NextMarkerToken"] {
        let page = server(name);
        let service = service_fn(|request: Request<Full<Bytes>>| {
            let (_, body) = page(Asked::of(&request));
            let response = Response::new(Full::<Bytes>::from(body.to_string()));
            async move { Ok::<_, Infallible>(response) }
        });
        let mut pages = Pages::new(service, query());
        let error = pages.next().now_or_never().unwrap().unwrap().unwrap_err();
        assert!(matches!(error, Error::NotAPage { .. }), "{name}: {error}");
    }
}

/// P7: no reverse order, and a total that is capped.
#[test]
fn without_a_reverse_order_a_total_is_no_end() {
    const ONE_WAY: Dialect = Dialect::new("one way", Method::Offset)
        .key(&["id"])
        .sorted_by(&["id"])
        .without_reverse()
        .call(|call| {
            call.parameter("skip", call.skip());
            call.parameter("limit", call.rows());
        })
        .page(|answer| {
            let [rows, total] = answer.object(["rows", "total"])?;
            Ok(answer.rows_in(rows)?.with_total(total.count()))
        });
    let keys: Vec<String> = (100..200).map(|id: u32| id.to_string()).collect();
    let query = Query::new(ONE_WAY, uri()).unwrap().page_size(4).unwrap();
    let (rows, report, _) = read(query, |asked| {
        let rows = window(&keys, asked.number("skip"), asked.number("limit"), false);
        let rows: Vec<_> = rows.into_iter().map(|key| json!({ "id": key })).collect();
        (vec![], json!({ "rows": rows, "total": 10 }))
    });
    assert_eq!((rows.len(), report.doubts()), (100, &[Doubt::EndNotStated][..]), "{report}");
}

/// P8: a cursor over a sort with ties shows some rows twice and others never.
#[test]
fn a_cursor_walk_with_duplicates_and_a_larger_count_is_best_effort() {
    const CURSOR: Dialect = Dialect::new("cursor", Method::Cursor)
        .key(&["id"])
        .call(|call| call.parameter("next", call.cursor()))
        .page(|answer| {
            let [rows, next, total] = answer.object(["rows", "next", "total"])?;
            Ok(answer.rows_in(rows)?.with_next(next.cursor()?).with_total(total.count()))
        });
    let pages = [("a", vec![1, 2, 3]), ("b", vec![3, 4, 6]), ("", vec![7, 8])];
    let (rows, report, _) = read(Query::new(CURSOR, uri()).unwrap(), |asked| {
        let at = asked.text("next").map_or(0, |next| if next == "a" { 1 } else { 2 });
        let rows: Vec<_> = pages[at].1.iter().map(|id| json!({ "id": id })).collect();
        (vec![], json!({ "rows": rows, "next": pages[at].0, "total": 8 }))
    });
    assert_eq!(rows.len(), 7);
    assert_eq!(report.doubts(), [Doubt::CountDiffers, Doubt::Duplicates], "{report}");
}

/// P9: the API states that zones were not reached.
#[test]
fn an_answer_that_states_what_it_could_not_reach_is_partial() {
    for (body, count, is_partial) in [
        (json!({ "instances": [{ "name": "a" }], "unreachable": ["zone-a"] }), 1, true),
        (json!({ "unreachable": ["zone-a"] }), 0, true),
        (json!({ "instances": [{ "name": "a" }], "unreachable": [] }), 1, false),
        (json!({ "files": [{ "name": "a" }], "incompleteSearch": true }), 1, true),
        (json!({ "files": [{ "name": "a" }], "incompleteSearch": false }), 1, false),
    ] {
        let (rows, report, _) =
            read(Query::new(PAGE_TOKEN, uri()).unwrap(), |_| (vec![], body.clone()));
        let doubts: &[Doubt] = if is_partial { &[Doubt::Partial] } else { &[] };
        assert_eq!((rows.len(), report.doubts()), (count, doubts), "{body}");
    }
    const SEARCH: Dialect = Dialect::new("search", Method::Link).page(|answer| {
        let [items, incomplete] = answer.object(["items", "incomplete_results"])?;
        let page = answer.rows_in(items)?.with_partial(incomplete);
        Ok(page.with_next(pagination::page::Next::End))
    });
    let body = json!({ "items": [{ "id": 1 }], "incomplete_results": true });
    let (_, report, _) = read(Query::new(SEARCH, uri()).unwrap(), |_| (vec![], body.clone()));
    assert_eq!(report.doubts(), [Doubt::Partial]);
}

/// P9 for offsets: the page, the fence, or the answer of an empty list.
#[test]
fn one_partial_answer_of_an_offset_walk_is_a_doubt() {
    const ZONES: Dialect = Dialect::new("zones", Method::Offset)
        .key(&["id"])
        .sorted_by(&["id"])
        .own_parameters(&["skip", "limit", "sort"])
        .call(|call| {
            call.parameter("skip", call.skip());
            call.parameter("limit", call.rows());
            call.parameter("sort", call.sort());
        })
        .page(|answer| {
            let [rows, unreachable] = answer.object(["rows", "unreachable"])?;
            Ok(answer.rows_in(rows)?.with_partial(unreachable))
        });
    for (count, partial) in
        [(0, "first"), (0, "fence"), (12, "first"), (12, "later"), (12, "fence"), (12, "none")]
    {
        let keys: Vec<String> = (0..count).map(|id: usize| format!("{id:02}")).collect();
        let query = Query::new(ZONES, uri()).unwrap().page_size(5).unwrap();
        let (rows, report, _) = read(query, |asked| {
            let (skip, is_reversed) = (asked.number("skip"), asked.text("sort") == Some("-id"));
            let rows = window(&keys, skip, asked.number("limit"), is_reversed);
            let rows: Vec<_> = rows.into_iter().map(|key| json!({ "id": key })).collect();
            let answer = match (is_reversed, skip) {
                (true, _) => "fence",
                (false, 0) => "first",
                (false, _) => "later",
            };
            let unreachable = if answer == partial { json!(["zone-a"]) } else { json!([]) };
            (vec![], json!({ "rows": rows, "unreachable": unreachable }))
        });
        let doubts: &[Doubt] = if partial == "none" { &[] } else { &[Doubt::Partial] };
        assert_eq!((rows.len(), report.doubts()), (count, doubts), "{partial}: {report}");
    }
}

/// P10: a resume among rows without a key, one of which was deleted.
#[test]
fn rows_without_a_key_are_recognized_by_what_they_are() {
    let server = |rows: &'static [u32]| {
        move |_: Asked| {
            let rows: Vec<_> = rows.iter().map(|n| json!({ "n": n })).collect();
            (vec![], json!({ "rows": rows }))
        }
    };
    let query = || Query::new(PAGE_TOKEN, uri()).unwrap();
    let first = read_from(query(), None, server(&[1, 2, 3]), 1);
    let here = || Some(first.here.clone());
    let rest = read_from(query(), here(), server(&[1, 2, 3]), usize::MAX);
    assert_eq!((rest.rows.len(), rest.report.doubts()), (2, &[][..]));
    let rest = read_from(query(), here(), server(&[2, 3]), usize::MAX);
    assert_eq!((rest.rows.len(), rest.report.doubts()), (2, &[Doubt::KeylessResume][..]));
}

/// P11: a full page, no link, no total.
#[test]
fn a_full_page_without_a_link_states_no_end() {
    let server = |count: usize| {
        move |_: Asked| (vec![], (0..count).map(|id| json!({ "id": format!("{id:03}") })).collect())
    };
    let (rows, report, _) = read(Query::new(JUMPCLOUD_V2_LINK, uri()).unwrap(), server(100));
    assert_eq!((rows.len(), report.doubts()), (100, &[Doubt::EndNotStated][..]));
    let (rows, report, _) = read(Query::new(LINK, uri()).unwrap(), server(100));
    assert_eq!((rows.len(), report.doubts()), (100, &[Doubt::EndNotStated][..]));
    // A page is full as well if it has as many rows as one that had a link.
    let pages = |rows_of_last: usize| {
        move |asked: Asked| {
            let page = asked.text("after").map_or(0, str::len);
            let count = if page == 2 { rows_of_last } else { 30 };
            let rows = (0..count).map(|row| json!({ "id": format!("{page}-{row}") })).collect();
            let next = format!("</list?after={}>; rel=\"next\"", "x".repeat(page + 1));
            (if page < 2 { vec![("link", next)] } else { vec![] }, rows)
        }
    };
    for (rows_of_last, doubts) in [(30, &[Doubt::EndNotStated][..]), (29, &[])] {
        let (rows, report, _) = read(Query::new(LINK, uri()).unwrap(), pages(rows_of_last));
        assert_eq!((rows.len(), report.doubts()), (60 + rows_of_last, doubts));
    }
    let (_, report, _) = read(Query::new(LINK, uri()).unwrap(), server(99));
    let single = Outcome::Complete { proof: Proof::SingleAnswer };
    assert_eq!(report.outcome(), Some(&single), "{report}");
}

/// P15: the direction is ignored while the first rows are deleted.
#[test]
fn a_server_that_ignores_the_direction_is_never_complete() {
    for deleted in [0, 1, 3, 10] {
        let mut keys: Vec<String> = (1_000..1_200).map(|id: u32| id.to_string()).collect();
        let (_, report, requests) = read(v1_query(10), |mut asked| {
            asked.0.retain(|(name, _)| name != "sort");
            let answer = v1(&keys, &asked);
            keys.drain(..deleted.min(keys.len() - 60));
            answer
        });
        let ignored = Outcome::Inconsistent { why: Inconsistency::ReverseIgnored };
        assert_eq!(report.outcome(), Some(&ignored), "{deleted} deleted, {requests}: {report}");
    }
}

/// P16: the last row is deleted before every answer.
#[test]
fn a_tail_that_is_deleted_again_and_again_ends() {
    let mut keys: Vec<String> = (1_000..2_000).map(|id: u32| id.to_string()).collect();
    let (_, report, requests) = read(v1_query(100), |asked| {
        keys.pop();
        v1(&keys, &asked)
    });
    assert_eq!(report.outcome(), FENCED, "{report}");
    assert!(requests <= 11 + 2, "{requests}, and a quiet scan makes 12");
    // A new last row takes its place each time.
    let mut keys: Vec<String> = (1_000..2_000).map(|id: u32| id.to_string()).collect();
    let mut next = 5_000;
    let (_, report, requests) = read(v1_query(100), |asked| {
        keys.pop();
        keys.push(next.to_string());
        next += 1;
        v1(&keys, &asked)
    });
    assert_eq!(report.outcome(), FENCED, "{report}");
    assert!(requests <= 11 + 4, "{requests}");
}

/// P17: a key comes back at another place of a list that is sorted by its time of creation.
#[test]
fn a_key_that_comes_back_at_another_place_is_not_the_row_that_was_read() {
    for seed in 0..200_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = move |end: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % end.max(1)
        };
        let mut list: Vec<(u32, u32)> = (0..60).map(|at| (at, at)).collect();
        let mut throughout = list.clone();
        let mut gone: Vec<u32> = Vec::new();
        let mut clock = 60;
        let query = v1_query(5).sort_by(["created"]).unwrap().immutable("created");
        let (rows, report, _) = read(query, |asked| {
            for _ in 0..below(3) {
                if below(3) < 2 || gone.is_empty() {
                    let (key, created) = list.remove(below(list.len()));
                    throughout.retain(|it| *it != (key, created));
                    gone.push(key);
                } else {
                    list.push((gone.remove(below(gone.len())), clock));
                    clock += 1;
                }
            }
            let is_reversed = asked.text("sort").is_some_and(|sort| sort.starts_with('-'));
            let mut rows = list.clone();
            if is_reversed {
                rows.reverse();
            }
            let rows = rows.into_iter().skip(asked.number("skip")).take(asked.number("limit"));
            let rows: Vec<_> = rows.map(|(key, at)| json!({ "_id": key, "created": at })).collect();
            (vec![], json!({ "totalCount": list.len(), "results": rows }))
        });
        let mut keys: Vec<u64> = rows.iter().map(|row| row["_id"].as_u64().unwrap()).collect();
        let has = |key: u32| keys.contains(&u64::from(key));
        let missing = throughout.iter().filter(|(key, _)| !has(*key)).count();
        let is_complete = matches!(report.outcome(), Some(Outcome::Complete { .. }));
        assert!(missing == 0 || !is_complete, "seed {seed}: {missing} missing, {report}");
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "seed {seed}: a row twice");
    }
}

/// P18: the rows read last are deleted before the scan resumes.
#[test]
fn a_resume_after_deletes_repeats_and_loses_nothing_or_says_that_it_is_lost() {
    let all: Vec<String> = (1_000..2_000).map(|id: u32| id.to_string()).collect();
    // The ids are in the declared order, or only the server knows it.
    for is_shuffled in [false, true] {
        let mix =
            |key: &String| format!("{:08x}", key.parse::<u32>().unwrap().wrapping_mul(0x9e37_79b9));
        let all: Vec<String> =
            if is_shuffled { all.iter().map(mix).collect() } else { all.clone() };
        for deleted in [0, 1, 50, 199, 200, 250, 400, 617] {
            let first = read_from(v1_query(100), None, |asked| v1(&all, &asked), 617);
            let mut keys = all.clone();
            keys.drain(617 - deleted..617);
            let rest =
                read_from(v1_query(100), Some(first.here), |asked| v1(&keys, &asked), usize::MAX);
            let is_lost = rest.report.outcome() == Some(&Outcome::LostPlace);
            let case = format!("{deleted} deleted, shuffled {is_shuffled}: {}", rest.report);
            assert_eq!(rest.rows.len(), if is_lost { 0 } else { 383 }, "{case}");
            assert!(!is_lost || deleted >= 200, "{case}");
            assert!(is_lost || rest.report.outcome() == FENCED, "{case}");
        }
    }
}

/// P36: both orders show nothing, and the API counts nothing.
#[test]
fn an_empty_list_takes_two_requests() {
    let (rows, report, requests) = read(v1_query(100), |asked| v1(&[], &asked));
    assert_eq!((rows.len(), report.outcome(), requests), (0, FENCED, 2));
    let (rows, _, requests) =
        read(Query::new(PAGE_TOKEN, uri()).unwrap(), |_| (vec![], json!({ "rows": [] })));
    assert_eq!((rows.len(), requests), (0, 2), "an empty answer is asked for once more");
}

#[test]
fn an_empty_answer_that_is_a_fault_is_no_end() {
    let mut requests = 0;
    let query = Query::new(PAGE_TOKEN, uri()).unwrap();
    let (rows, report, _) = read(query, |asked| {
        requests += 1;
        let at = asked.text("pageToken").map_or(0, str::len);
        match requests {
            3 => (vec![], json!({ "rows": [] })),
            _ if at < 3 => (
                vec![],
                json!({ "rows": [{ "name": at.to_string() }], "nextPageToken": "x".repeat(at + 1) }),
            ),
            _ => (vec![], json!({ "rows": [{ "name": "last" }] })),
        }
    });
    let by_word = Outcome::Complete { proof: Proof::ApiSaysSo };
    assert_eq!((rows.len(), report.outcome()), (4, Some(&by_word)), "{report}");
}

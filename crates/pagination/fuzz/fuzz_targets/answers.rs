//! Whatever an API answers: no panic, no endless loop, no row twice, and no end without a reason.
//!
//! The first byte of the input chooses a dialect, the second the size of pages and the pages ahead. The rest are
//! answers, parted by a line with `---`: a status, lines of `name: value`, an empty line and a body. When they are
//! used up they begin again, so that circles come about.
#![no_main]

use std::cell::Cell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use pagination::dialect::{
    DIRECTORY_INSIGHTS, IXON, JUMPCLOUD_SEARCH, JUMPCLOUD_V1, JUMPCLOUD_V2, JUMPCLOUD_V2_LINK,
    LINK, OPERATIONS1, PAGE_TOKEN,
};
use pagination::{Doubt, Pages, Query};
use tower::service_fn;

/// More requests than any scan of these answers may take: the longest walk past hidden rows.
const MOST: usize = 60_000;

fuzz_target!(|data: &[u8]| {
    let [dialect, size, answers @ ..] = data else { return };
    let uri = || "https://api.example.com/api/v2/list".parse().unwrap();
    let query = match dialect % 11 {
        0 => Query::new(JUMPCLOUD_V1, uri()).unwrap().untyped(),
        1 => Query::new(JUMPCLOUD_V1, uri()).unwrap().keyset().unwrap().untyped(),
        2 => Query::new(JUMPCLOUD_V2, uri()).unwrap().sort("-id").unwrap().untyped(),
        3 => Query::unstable(JUMPCLOUD_V2, uri()).unwrap().second_pass().untyped(),
        4 => Query::new(JUMPCLOUD_V1, uri())
            .unwrap()
            .sort_by(["a"])
            .unwrap()
            .immutable("a")
            .untyped(),
        5 => Query::new(JUMPCLOUD_SEARCH, uri()).unwrap().untyped(),
        6 => Query::new(JUMPCLOUD_V2_LINK, uri()).unwrap().untyped(),
        7 => Query::new(DIRECTORY_INSIGHTS, uri()).unwrap().untyped(),
        8 => Query::new(IXON, uri()).unwrap().untyped(),
        9 => Query::new(OPERATIONS1, uri()).unwrap().untyped(),
        _ if size & 1 == 0 => Query::new(PAGE_TOKEN, uri()).unwrap(),
        _ => Query::new(LINK, uri()).unwrap(),
    };
    let query = query.page_size(u32::from(size % 32) + 1).unwrap().prefetch(usize::from(size / 64));
    let text = String::from_utf8_lossy(answers).into_owned();
    let answers: Vec<Response<Full<Bytes>>> = text.split("\n---\n").take(64).map(answer).collect();
    let count = Rc::new(Cell::new(0));
    let api = service_fn(move |_: Request<Full<Bytes>>| {
        let at = count.get();
        assert!(at < MOST, "{at} requests");
        count.set(at + 1);
        ready(Ok::<_, Infallible>(answers[at % answers.len()].clone()))
    });
    let mut pages = Pages::new(api, query).keep_going(3);
    let (mut seen, mut is_over) = (HashSet::new(), false);
    let walk = async {
        while let Some(rows) = pages.next().await {
            match rows {
                Ok(rows) => {
                    // A key twice in one answer, or one that nobody states to be unique, is delivered and doubted.
                    let doubts = pages.report().doubts();
                    let is_doubted = doubts
                        .iter()
                        .any(|it| matches!(it, Doubt::Duplicates | Doubt::KeyNotUnique));
                    for key in rows.rows().iter().filter_map(|row| row.key()) {
                        let is_new = seen.insert(key.to_key());
                        assert!(is_new || is_doubted, "row {key} twice: {}", pages.report());
                    }
                }
                Err(_) => {
                    is_over = true;
                    break;
                }
            }
        }
        assert!(is_over || pages.report().outcome().is_some(), "an end without a reason");
    };
    let walk = pin!(walk);
    assert!(matches!(walk.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(())));
});

fn answer(text: &str) -> Response<Full<Bytes>> {
    let (head, body) = text.split_once("\n\n").unwrap_or(("200", text));
    let mut lines = head.lines();
    let mut response = Response::new(Full::from(body.to_owned()));
    let status = lines.next().and_then(|line| StatusCode::from_bytes(line.as_bytes()).ok());
    *response.status_mut() = status.unwrap_or(StatusCode::OK);
    for line in lines.take(8) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), value.trim().parse::<HeaderValue>())
        else {
            continue;
        };
        response.headers_mut().append(name, value);
    }
    response
}

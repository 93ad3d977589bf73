//! A dialect of your own in twenty lines, for an API that no dialect here speaks, and a walk through it.
//!
//! Run: `cargo run --example own_dialect`

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use pagination::dialect::{Dialect, Method};
use pagination::{Pages, Query};
use tower::service_fn;

/// `GET /books?count=50&from=<cursor>` answers `{"books": [{"isbn": …}, …], "more": "<cursor>"}`.
const LIBRARY: Dialect = Dialect::new("library", Method::Cursor)
    .key(&["isbn"])
    .rows_at_most(|_| 50)
    .own_parameters(&["count", "from"])
    .call(|call| {
        call.parameter("count", call.rows());
        if let Some(cursor) = call.cursor() {
            call.parameter("from", cursor);
        }
    })
    .page(|answer| {
        let [books, more] = answer.object(["books", "more"])?;
        Ok(answer.rows_in(books)?.with_next(more.cursor()?))
    });

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let api = service_fn(|request: Request<Full<Bytes>>| async move {
        Ok::<_, Infallible>(library(&request))
    });
    let query = Query::new(LIBRARY, "http://library.example/books".parse()?)?;
    let mut pages = Pages::new(api, query);
    while let Some(rows) = pages.next().await {
        let rows = rows?;
        let (first, last) = (rows.rows().first(), rows.rows().last());
        let key = |row: Option<&pagination::Row>| row.and_then(|row| Some(row.key()?.to_string()));
        println!("{} books, {:?} to {:?}", rows.rows().len(), key(first), key(last));
    }
    println!("{}", pages.report());
    Ok(())
}

/// The made-up API: 120 books.
fn library(request: &Request<Full<Bytes>>) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    let value =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let count = value("count").and_then(|count| count.parse().ok()).unwrap_or(10);
    // The cursor names the last book of the page before.
    let last = value("from").and_then(|isbn| isbn.strip_prefix("978-")?.parse::<usize>().ok());
    let from = last.map_or(0, |last| last + 1);
    let to = (from + count).min(120);
    let books: Vec<String> = (from..to).map(|n| format!("{{\"isbn\":\"978-{n:04}\"}}")).collect();
    let more = if to < 120 { format!("\"978-{:04}\"", to - 1) } else { "null".to_owned() };
    let body = format!("{{\"books\":[{}],\"more\":{more}}}", books.join(","));
    Response::new(Full::from(body))
}

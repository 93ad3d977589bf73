//! Sweeps of servers that other people wrote, while three rows are deleted and three inserted after
//! each answer. `tests/real/install.sh` installs the servers; without them the tests fail.

mod dialects;
mod server;
mod writer;

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;
use pagination::dialect::{Dialect, LINK};
use pagination::{Outcome, Pages, Proof, Query, Report};
use tokio::time::timeout;
use tower::service_fn;

use dialects::{
    DATASETTE_CURSOR, DATASETTE_LINK, DATASETTE_VIEW, FEATHERS, JSON_SERVER, JSON_SERVER_PAGES,
};
use server::Server;
use writer::{List, Writer};

const SEEDS: [u64; 3] = [7, 8, 9];

/// The longest sweep. Our choice: an average one takes a quarter of a second.
const MAX_SWEEP: Duration = Duration::from_secs(30);

/// One way to read one list.
struct Sweep {
    name: &'static str,
    list: List,
    query: Query,
    promise: Promise,
}

/// What the report of a sweep must promise.
#[derive(Clone, Copy, Debug)]
enum Promise {
    /// At most that the API says so, and the cursor or filter follows the key: no row is missing.
    AtMostApiSaysSo,
    /// Nothing, because rows can be missing.
    BestEffort,
    /// A fence proves the end, and no row is missing.
    Fenced,
    /// Anything that is true: the filter contradicts the sort, which the scan may notice late.
    NothingFalse,
}

/// How a sweep ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    ApiSaysSo,
    BestEffort,
    Fenced,
    /// The answers contradict each other, or the scan lost its place.
    GivenUp,
    Other,
    SingleAnswer,
}

fn ending(report: &Report) -> Ending {
    match report.outcome() {
        Some(Outcome::BestEffort) => Ending::BestEffort,
        Some(Outcome::Complete { proof: Proof::ApiSaysSo }) => Ending::ApiSaysSo,
        Some(Outcome::Complete { proof: Proof::Fenced }) => Ending::Fenced,
        Some(Outcome::Complete { proof: Proof::SingleAnswer }) => Ending::SingleAnswer,
        Some(Outcome::Inconsistent { .. } | Outcome::LostPlace) => Ending::GivenUp,
        _ => Ending::Other,
    }
}

/// Whether the report promises as much as it must, and the sweep keeps that promise.
fn is_expected(promise: Promise, ending: Ending, missed: usize, twice: usize) -> bool {
    let is_whole = missed == 0 && twice == 0;
    match promise {
        Promise::AtMostApiSaysSo => {
            is_whole && matches!(ending, Ending::ApiSaysSo | Ending::BestEffort)
        }
        Promise::BestEffort => ending == Ending::BestEffort,
        Promise::Fenced => is_whole && ending == Ending::Fenced,
        Promise::NothingFalse => match ending {
            Ending::BestEffort | Ending::GivenUp => true,
            Ending::Other => false,
            _ => is_whole,
        },
    }
}

#[tokio::test]
async fn feathers_misses_no_row_of_a_fenced_sweep() {
    let server = Server::node("feathers.cjs").await;
    let mut sweeps = Vec::new();
    for (list, sort) in [(List::Numbers, "id"), (List::Texts, "number"), (List::NoCase, "number")] {
        sweeps.extend(sorted(FEATHERS, &server, list.name(), list, sort));
    }
    sweeps.push(unsorted(FEATHERS, &server, "numbers"));
    run("feathers", &server, sweeps).await;
}

#[tokio::test]
async fn json_server_misses_no_row_of_a_fenced_sweep() {
    let server = Server::node("json_server.cjs").await;
    let mut sweeps = Vec::new();
    for (list, sort) in [(List::Numbers, "id"), (List::Texts, "number"), (List::NoCase, "number")] {
        sweeps.extend(sorted(JSON_SERVER, &server, list.name(), list, sort));
        let uri = uri(&server, list.name());
        let query = Query::new(JSON_SERVER_PAGES, uri).unwrap().sort(sort).unwrap();
        sweeps.push(Sweep { name: "page number", list, query, promise: Promise::Fenced });
    }
    let uri = uri(&server, "numbers?_page=1&_limit=100&_sort=id");
    let query = Query::new(LINK, uri).unwrap();
    sweeps.push(Sweep { name: "link", list: List::Numbers, query, promise: Promise::BestEffort });
    sweeps.push(unsorted(JSON_SERVER, &server, "numbers"));
    run("json-server", &server, sweeps).await;
}

#[tokio::test]
async fn datasette_misses_no_row_of_a_fenced_sweep() {
    let server = Server::datasette().await;
    let mut sweeps = Vec::new();
    for list in [List::Numbers, List::Texts, List::NoCase] {
        let path = format!("rows/{}_view.json", list.name());
        sweeps.extend(sorted(DATASETTE_VIEW, &server, &path, list, "id"));
    }
    sweeps.push(unsorted(DATASETTE_VIEW, &server, "rows/numbers_view.json"));
    for (name, dialect, path, promise) in [
        ("cursor", DATASETTE_CURSOR, "texts.json", Promise::AtMostApiSaysSo),
        ("link", DATASETTE_LINK, "texts.json", Promise::AtMostApiSaysSo),
        // The first page orders equal rows as the table stores them, the cursor by their key.
        ("cursor, equal sort", DATASETTE_CURSOR, "texts.json?_sort=grp", Promise::BestEffort),
        // The cursor of a view is a plain offset.
        ("cursor, view", DATASETTE_CURSOR, "texts_view.json?_sort=id", Promise::BestEffort),
    ] {
        let uri = uri(&server, &format!("rows/{path}"));
        let query = Query::new(dialect, uri).unwrap();
        sweeps.push(Sweep { name, list: List::Texts, query, promise });
    }
    run("datasette", &server, sweeps).await;
}

/// The sweeps of a list that the server sorts by a unique field. The filter for a keyset compares
/// ids, so it contradicts the sort by another field.
fn sorted(dialect: Dialect, server: &Server, path: &str, list: List, sort: &str) -> [Sweep; 5] {
    let all = Query::new(dialect, uri(server, path)).unwrap();
    let ascending = all.clone().sort(sort).unwrap();
    let descending = all.sort(&format!("-{sort}")).unwrap();
    let by_key = if sort == "id" { Promise::AtMostApiSaysSo } else { Promise::NothingFalse };
    [
        ("offset", ascending.clone(), Promise::Fenced),
        ("offset, descending", descending.clone(), Promise::Fenced),
        ("offset, prefetch 3", ascending.clone().prefetch(3), Promise::Fenced),
        ("keyset", ascending.keyset().unwrap(), by_key),
        ("keyset, descending", descending.keyset().unwrap(), by_key),
    ]
    .map(|(name, query, promise)| Sweep { name, list, query, promise })
}

fn unsorted(dialect: Dialect, server: &Server, path: &str) -> Sweep {
    let query = Query::unstable(dialect, uri(server, path)).unwrap();
    Sweep { name: "unsorted", list: List::Numbers, query, promise: Promise::BestEffort }
}

fn uri(server: &Server, path: &str) -> Uri {
    format!("{}/{path}", server.address()).parse().expect("the path is part of an address")
}

/// Runs each sweep with each seed, prints a line of the table for it, and fails at the end.
async fn run(software: &str, server: &Server, sweeps: Vec<Sweep>) {
    let mut failures = 0;
    for Sweep { name, list, query, promise } in sweeps {
        for seed in SEEDS {
            let writer = timeout(MAX_SWEEP, Writer::new(server.address(), list, seed)).await;
            let writer = writer.expect("the server takes the rows in time");
            let (delivered, ending, text) = read(&writer, query.clone()).await;
            let (throughout, requests) = writer.truth().await;
            let missed = throughout.iter().filter(|id| !delivered.contains_key(*id)).count();
            let twice = delivered.values().filter(|count| **count > 1).count();
            let is_expected = is_expected(promise, ending, missed, twice);
            println!(
                "{} {software:11}  {:7}  {name:18}  seed {seed}  {missed:4} missed  {twice:2} \
                 twice  {requests:3} requests  {text}",
                if is_expected { "ok   " } else { "FAILS" },
                list.name(),
            );
            failures += u32::from(!is_expected);
        }
    }
    assert_eq!(failures, 0, "{software}: the table above names the sweeps that fail");
}

/// How often a sweep delivers each id, how it ends, and the words for that.
async fn read(writer: &Writer, query: Query) -> (BTreeMap<String, u32>, Ending, String) {
    let service = service_fn(|request| writer.clone().answer(request));
    let mut pages = Pages::new(service, query);
    let mut delivered = BTreeMap::new();
    let all = async {
        while let Some(rows) = pages.next().await {
            let rows = rows.map_err(|error| error.to_string())?;
            for key in rows.rows().iter().filter_map(pagination::Row::key) {
                *delivered.entry(key.to_string()).or_default() += 1;
            }
        }
        Ok(())
    };
    let error = match timeout(MAX_SWEEP, all).await {
        Ok(Ok(())) => return (delivered, ending(pages.report()), pages.report().to_string()),
        Ok(Err(error)) => error,
        Err(_) => format!("no end within {MAX_SWEEP:?}"),
    };
    (delivered, Ending::Other, error)
}

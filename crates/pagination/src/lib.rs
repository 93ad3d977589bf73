//! Every row of a paged REST API exactly once, while the collection changes and the API fails.
//!
//! [`Query`] says what is read; its order is always that of the unique key. [`Pages`] and [`Items`]
//! read it through any `tower` service of `http` requests, a retry stack for example. The [`Report`]
//! says how it ended: no failure and no short page is ever taken for the end.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use pagination::{Outcome, Pages, Proof, Query, dialect::JUMPCLOUD_V1};
//! use tower::service_fn;
//!
//! # futures_executor(async {
//! let api = service_fn(|request: Request<Full<Bytes>>| async move {
//!     let query = request.uri().query().unwrap_or_default();
//!     let rows = match query {
//!         _ if query.contains("sort=-_id") => r#"[{"_id":"b"},{"_id":"a"}]"#,
//!         _ if query.contains("skip=0") => r#"[{"_id":"a"},{"_id":"b"}]"#,
//!         _ => r#"[{"_id":"b"}]"#,
//!     };
//!     let body = format!(r#"{{"totalCount":2,"results":{rows}}}"#);
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(body)))
//! });
//!
//! let query = Query::new(JUMPCLOUD_V1, "http://localhost/api/systemusers".parse()?)?;
//! let mut pages = Pages::new(api, query);
//! let mut keys = Vec::new();
//! while let Some(rows) = pages.next().await {
//!     keys.extend(rows?.into_iter().filter_map(|row| Some(row.key()?.to_string())));
//! }
//! assert_eq!(keys, ["a", "b"]);
//! assert_eq!(pages.report().outcome(), Some(&Outcome::Complete { proof: Proof::Fenced }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # });
//! # fn futures_executor<F: std::future::Future<Output = Result<(), Box<dyn std::error::Error>>>>(f: F) {
//! #     use futures_util::FutureExt;
//! #     f.now_or_never().expect("nothing waits").unwrap();
//! # }
//! ```
//!
//! # Owed
//!
//! A row is *owed* if it is there, and matches, at the first request and at every later one. A scan
//! that ends as [`Outcome::Complete`] has delivered every owed row, and no row twice. What a cursor, a token or an
//! opaque link leads to is taken at the API's word: that its rows are all rows cannot be checked from outside.
//!
//! # Map
//!
//! | module | what it does |
//! | --- | --- |
//! | [`dialect`] | the wire formats of real APIs, and how to describe another |
//! | [`filter`] | conditions that only an API's own operators can make |
//! | [`scan`] | the pure state machine |
//! | [`page`] | rows out of an answer's body |
//! | [`fetch`] | how a page is had, over a tower service or by a function of your own |
//! | [`partition`] | one collection as several scans side by side |
//! | [`stable_sort`] | the unique sort as a tower layer, for SDKs |
//! | [`report`] | how it ended, with its counts |
//! | the crate root | [`Query`], the streams, [`Checkpoint`] |
//!
//! # Ways to find the next page
//!
//! | way | for | a row can be missed |
//! | --- | --- | --- |
//! | anchored, with a fence | `skip` and `limit`, page numbers | no |
//! | keyset ([`Query::keyset`]) | the same, where a filter on the key is promised or proved | no |
//! | cursor, token, `search_after` | as the API says | if the API misses it |
//! | link | `Link: <…>; rel="next"` | if the API misses it: most hold a plain offset |
//! | by other fields ([`Query::sort_by`]) | fields that never change | no |
//! | by other fields that may change | the same | yes: best effort |
//! | unsorted ([`Query::unstable`]) | lists without a sort | yes: best effort |
//!
//! A scan in descending order ([`Query::sort`] with `-`) promises the same. New rows come in front of it there, so it
//! reads nothing that was added, and steps forward past what was.
//!
//! Rows may be deleted while they are read, by the reader as well: an anchored scan visits all that are left.
//!
//! # What is not done
//!
//! Retries: put a retry layer below. A failed page ends the stream with its error, and
//! [`Pages::resume`] goes on at the same row.
#![doc = include_str!("../DESIGN.md")]

mod checkpoint;
pub mod dialect;
mod error;
pub mod fetch;
pub mod filter;
mod hidden_offset;
mod key;
mod link;
mod marks;
pub mod page;
pub mod partition;
mod query;
pub mod report;
mod row;
pub mod scan;
pub mod stable_sort;
mod stream;
mod trace;

pub use checkpoint::{Checkpoint, InvalidCheckpoint};
pub use error::Error;
pub use fetch::{Failure, Fetch, Http};
pub use filter::{Field, Filter};
pub use key::{Key, KeyRef, Order};
pub use link::ForeignLink;
pub use page::{NotAPage, Page};
pub use query::{InvalidQuery, Query};
pub use report::{Doubt, Inconsistency, Outcome, Proof, Report};
pub use row::{FromRow, Keyed, Row};
pub use scan::Scan;
pub use stable_sort::StableSortLayer;
pub use stream::{Items, Pages};

//! Every row of a paged REST API exactly once, while the collection changes and the API fails.
//!
//! [`Query`] states what is read, in the order of the unique key. [`Pages`] and [`Items`] read it through any `tower`
//! service of `http` requests, a retry stack for example. The [`Report`] states how the scan ended.
//!
//! # What *complete* means
//!
//! A scan that ends as [`Outcome::Complete`] delivered every row present throughout the scan (it existed, and matched,
//! at every request) exactly once, as far as its [`Proof`] reaches: one answer held the whole list, or every page and
//! one answer in the reverse order overlapped the rows read, or the API's own cursor led to the end, which no client can
//! check. Anything that speaks against completeness is a [`Doubt`], and a scan with a doubt is best effort.
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
//! # What a fence rests on
//!
//! [`Proof::Fenced`] holds for every order of rows, also one that the client cannot compare. It rests on three
//! statements about the API, and on nothing else:
//!
//! 1. An answer shows a contiguous run of the list at one moment between request and answer. Offset 0 begins with the
//!    first row. The run may be short at its end.
//! 2. The order is total, so no two rows are equal in it, and a row keeps its place while it exists. (Two equal keys
//!    in one answer are a doubt.)
//! 3. The reverse order is the exact reverse.
//!
//! Answers that are stale, have gaps or are wrongly empty break the first. A scan after a key
//! ([`Query::keyset`]) also rests on the filter, which has to keep every row after the key: where the API's documents
//! do not promise it, the scan is complete by the API's own word.
//!
//! # Map
//!
//! | module | what it does |
//! | --- | --- |
//! | [`dialect`] | the wire formats of real APIs, and how to describe another |
//! | [`filter`] | conditions that only an API's own operators can make |
//! | [`scan`] | the pure state machine |
//! | [`page`] | rows out of an answer's body |
//! | [`fetch`] | fetches a page, over a tower service or by a function of your own |
//! | [`partition`] | one collection as several scans side by side |
//! | [`stable_sort`] | the unique sort as a tower layer, for SDKs |
//! | [`report`] | how it ended, with its counts |
//! | the crate root | [`Query`], the streams, [`Checkpoint`] |
//!
//! # Ways to find the next page
//!
//! | way | for | a complete scan has the proof |
//! | --- | --- | --- |
//! | by offset or page number | `skip` and `limit`, page numbers of any size | `Fenced` |
//! | after a key ([`Query::keyset`]) | the same, with a filter for the key | `Fenced` if promised, else `ApiSaysSo` |
//! | by other fields ([`Query::sort_by`]) | fields that never change ([`Query::immutable`]) | `Fenced` |
//! | by offset, without a reverse order | lists whose pages state the end | `ApiSaysSo` |
//! | by cursor, token or link | what the API gives | `ApiSaysSo`, or `SingleAnswer` on one page |
//! | unsorted ([`Query::unstable`]) | lists without a sort | `SingleAnswer` on one page, else none |
//!
//! A cursor or link that counts pages or rows is an offset, whatever it is called; the scan finds it by its values and is
//! best effort. So are lists that are sorted by a field that may change, and page numbers of a fixed size.
//!
//! A scan in descending order ([`Query::sort`] with `-`) promises the same.
//!
//! Rows may be deleted while they are read, by the reader as well: a scan by offset visits all that are left. Where the
//! API deletes every row that the scan remembers, it ends as [`Outcome::LostPlace`] and repeats none.
//!
//! # Numbers
//!
//! A scan by offset remembers 1,000,000 rows by marks of 128 bits (about 50 MiB, and twice that where other fields sort the
//! rows), or four pages where the dialect declares the [order of its keys](dialect::Dialect::keys_in_order). Rows that lost
//! their place to writes take as much again at most. A scan by cursor remembers 262,144 rows (16 MiB). A
//! checkpoint stores the last 200 keys, and up to 200 of rows that lost their place.
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

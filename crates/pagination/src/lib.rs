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
//! use pagination::{Outcome, Pages, Query, dialect::JUMPCLOUD_V1};
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
//! assert_eq!(pages.report().outcome(), Some(&Outcome::Complete));
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
//! that ends as [`Outcome::Complete`] has delivered every owed row, and no row twice.
//!
//! # Map
//!
//! | module | what it does |
//! | --- | --- |
//! | [`dialect`] | the wire formats of real APIs |
//! | [`scan`] | the pure state machine |
//! | [`page`] | rows out of an answer's body |
//! | the crate root | [`Query`], the streams, [`Report`], [`Checkpoint`] |
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
mod key;
mod link;
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
pub use report::{Doubt, Inconsistency, Outcome, Report};
pub use row::{FromRow, Keyed, Row};
pub use scan::Scan;
pub use stable_sort::StableSortLayer;
pub use stream::{Items, Pages};

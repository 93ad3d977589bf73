//! Paged REST APIs that fail, throttle and change while they are read, for tests.
//!
//! A [`SimulatedApi`] speaks one of the wire formats of [`Api`], holds a sorted [`Collection`], and is
//! told by script or by seed when to fail ([`Fault`]) and what to write between two requests. It knows
//! the truth: which rows were *owed* to a reader, there from the first request to the last. It depends
//! on no reader, so that it can judge any.
//!
//! ```
//! use simulated_api::{Api, Fault, SimulatedApi};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let api = SimulatedApi::builder(Api::JumpCloudV1)
//!     .rows(250)
//!     .script([(2, Fault::status(503).header("retry-after", "1"))])
//!     .writes(|request, rows| if request == 3 { rows.delete_at(0); })
//!     .build();
//! let server = api.serve().await?;
//! assert!(server.url().starts_with("http://127.0.0.1:"));
//! // … read it with any client, then ask whether the keys it delivered are right:
//! let proof = api.proof(std::iter::empty::<&str>());
//! assert_eq!((proof.owed, proof.missing), (0, 0), "nothing was asked for, nothing is owed");
//! # Ok(())
//! # }
//! ```
//!
//! In one process it takes requests with any body. A reader that is generic over the body must be told one:
//! `Pages::<Http<_, Full<Bytes>, _>>::new(api, query)`, with the key of [`Builder::key`] put into each request.
//!
//! With the feature `http2` the server speaks HTTP/2 as well, in the clear, as gRPC needs it.
//!
//! # What is not done
//!
//! Kubernetes' lists at one resource version: a page shows what is there now. gRPC over anything but unary calls.
//! Sorting by anything but the key, lists without a sort, operators that no document lists (they are refused
//! with 400), and writing over the wire.

mod api;
mod body;
mod builder;
mod collection;
mod fault;
mod query;
mod server;
mod wire;

pub use api::{Asked, LogEntry, Proof, SimulatedApi};
pub use body::AnswerBody;
pub use builder::Builder;
pub use collection::{Collection, Row};
pub use fault::Fault;
pub use server::Server;
pub use wire::Api;

//! May this request be sent again, and when? Facts in, decision out, with a reason for every answer.
//!
//! The crate decides and does nothing else: it has no clock, no randomness, no I/O, no async and no
//! logging. The caller says what became of an attempt, how much time has passed and what the dice
//! show; [`Run`] answers what to do next. `retry-layer` drives it inside a tower stack; a plain loop
//! drives it just as well.
//!
//! ```
//! use core::time::Duration;
//! use retry_policy::{Decision, Delivery, Outcome, Policy, Run, Safety};
//!
//! let mut run = Run::new(Policy::default(), Safety::Idempotent);
//!
//! // The first attempt met a 503. The draw is the highest: the whole first delay is waited.
//! let unavailable = Outcome::new(Delivery::Answered(503));
//! let decision = run.after(&unavailable, Duration::from_millis(20), u32::MAX);
//! assert!(matches!(decision, Decision::Retry { after, .. } if after < Duration::from_millis(50)));
//!
//! let decision = run.after(&Outcome::new(Delivery::Answered(200)), Duration::from_millis(90), 0);
//! assert_eq!(decision, Decision::Return);
//! assert_eq!(run.attempts().count(), 2);
//! ```
//!
//! A plain loop, without any layer:
//!
//! ```
//! # use core::time::Duration;
//! # use retry_policy::{Decision, Delivery, Outcome, Policy, Run, Safety};
//! # let mut answers = [Err("refused"), Ok(7)].into_iter();
//! # let mut call = move || answers.next().unwrap_or(Err("no more"));
//! # fn random() -> u32 { 1 << 31 }
//! # fn elapsed() -> Duration { Duration::ZERO }
//! # fn sleep(_: Duration) {}
//! let mut run = Run::new(Policy::default(), Safety::Idempotent);
//! let answer = loop {
//!     let answer = call();
//!     let delivery = if answer.is_ok() { Delivery::Answered(200) } else { Delivery::Unknown };
//!     match run.after(&Outcome::new(delivery), elapsed(), random()) {
//!         Decision::Retry { after, .. } => sleep(after),
//!         _ => break answer, // a success, or a reason to stop: `run.attempts()` tells
//!     }
//! };
//! assert_eq!((answer, run.attempts().count()), (Ok(7), 2));
//! ```
//!
//! # May it be sent again?
//!
#![doc = include_str!("../truth-table.md")]
//!
//! A 401 is refreshed once and a 421 repeated once; then both are final. [`safety`] says how a request gets
//! its column, and a [`profile`] may read another row from an answer's head and body.
//!
//! # Map
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`safety`] | what a second sending of the request could break |
//! | [`delivery`] | what is known about an attempt's fate |
//! | [`classify`] | the truth table of the two |
//! | [`hint`] | how long the server asks to wait |
//! | [`error_body`] | what the API says is wrong |
//! | [`backoff`], [`jitter`] | how long we wait without being asked |
//! | [`budget`] | how much extra load all requests together may add |
//! | [`policy`], [`profile`] | the parts assembled, and what one vendor's API refines |
//! | [`health`] | a few failures, or an incident |
//! | [`run`] | one request's life |
//! | [`attempts`] | what happened, and why it stopped |
//!
//! # Time, randomness
//!
//! Time is a [`Duration`](core::time::Duration) since the request began, a draw is a `u32`
//! uniformly spread over its range. Tests pass fixed ones.
#![doc = include_str!("../DESIGN.md")]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod attempts;
pub mod backoff;
pub mod budget;
pub mod classify;
pub mod delivery;
pub mod error_body;
pub mod health;
pub mod hint;
pub mod jitter;
mod json;
pub mod policy;
pub mod profile;
pub mod ratio;
pub mod run;
pub mod safety;

pub use attempts::{Attempts, StopReason, Stopped};
pub use budget::Budget;
pub use classify::Class;
pub use delivery::Delivery;
pub use policy::Policy;
pub use profile::Profile;
pub use run::{Decision, Outcome, Run};
pub use safety::Safety;

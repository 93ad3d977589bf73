//! An API with google.rpc errors: "Troubleshooting API errors" of its documentation.
//!
//! # Numbers
//!
//! Those of the [default](super::DEFAULT): the document names the article behind them, "Timeouts, retries
//! and backoff with jitter", as "a good starting point", and says of timeouts only "choose what best fits".
//! That under 1 % of failures in 30 minutes is normal is the default of [`Health`](crate::health::Health).

use super::{Advice, Profile, default};
use crate::hint::Rules;

/// An API whose errors are `google.rpc.Status`.
pub const GOOGLE_RPC: &Profile = &Profile {
    name: "google_rpc",
    numbers: default::NUMBERS,
    hints: Rules::new(),
    refine: |_| None,
    reads_successes: false,
    pauses_all: false,
    advice: Advice {
        authorization: "fix the service account's roles, or its credential",
        content: "something is wrong with the request: see the message",
        network: "usually the latency between client and server: choose a timeout that fits it",
        server: "under 1 % of failures in 30 minutes is normal while the API scales up; else report it",
        throttled: "reuse access tokens until they expire, and send requests less often",
    },
};

//! What all requests of an origin share: one budget, one line of waiting retries, one gate.
//!
//! The terms of a gate and its numbers are in [`gate`].
//!
//! Requests find theirs without a lock, in a list that only grows.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | origins with limits of their own | 64; all others share one | our choice: a client speaks to a handful |

pub mod gate;
mod line;

use std::sync::OnceLock;

use http::{HeaderMap, Uri};
use retry_policy::Budget;

use crate::origin::Origin;

pub(crate) use gate::{Entry, OriginGate, Ticket};
pub use gate::{Gate, GateState};
pub(crate) use line::{Line, LineTerms, Place, Turn};

/// Our choice: a client speaks to a handful of origins; one that speaks to any is bounded.
const ORIGINS: usize = 64;
const _: () =
    assert!(ORIGINS < u8::MAX as usize, "a scope is a byte, and its last value is the overflow");

/// What the requests of one origin share.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) budget: Option<Budget>,
    pub(crate) line: Line,
    pub(crate) gate: Option<OriginGate>,
}

/// Where a request's limits stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope(u8);

/// The limits of all origins. The first are those of requests without an origin, the last those of all
/// that found no room.
#[derive(Debug)]
pub(crate) struct Origins {
    own: Limits,
    overflow: Limits,
    named: [OnceLock<Box<(Name, Limits)>>; ORIGINS],
}

#[derive(Debug)]
enum Name {
    Of(Origin),
    Key(u64),
}

/// A key that the caller takes from a request, in place of its origin.
pub(crate) type ScopeOf = dyn Fn(&Uri, &HeaderMap) -> u64 + Send + Sync;

impl Origins {
    pub(crate) fn new(limits: impl Fn() -> Limits) -> Self {
        Self { own: limits(), overflow: limits(), named: [const { OnceLock::new() }; ORIGINS] }
    }

    /// The limits of this scope.
    pub(crate) fn get(&self, Scope(at): Scope) -> &Limits {
        match at {
            0 => &self.own,
            at => {
                let named = self.named.get(usize::from(at) - 1);
                named.and_then(OnceLock::get).map_or(&self.overflow, |it| &it.1)
            }
        }
    }

    /// The scope of a request by its origin, or of requests without one.
    pub(crate) fn of_uri(&self, uri: &Uri, limits: impl Fn() -> Limits) -> Scope {
        self.find(
            |name| matches!(name, Name::Of(origin) if origin.is_of(uri)),
            || Origin::of(uri).map(Name::Of),
            limits,
        )
    }

    /// The scope of a key of the caller's.
    pub(crate) fn of_key(&self, key: u64, limits: impl Fn() -> Limits) -> Scope {
        self.find(
            |name| matches!(name, Name::Key(it) if *it == key),
            || Some(Name::Key(key)),
            limits,
        )
    }

    fn find(
        &self,
        is_it: impl Fn(&Name) -> bool,
        name: impl Fn() -> Option<Name>,
        limits: impl Fn() -> Limits,
    ) -> Scope {
        for (at, slot) in (1..).zip(&self.named) {
            let found = match slot.get() {
                Some(found) => found,
                None => match name() {
                    // Another thread may fill the slot meanwhile, with any name.
                    Some(name) => slot.get_or_init(|| Box::new((name, limits()))),
                    None => return Scope(0),
                },
            };
            if is_it(&found.0) {
                return Scope(at);
            }
        }
        Scope(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let line = Line::new(LineTerms { most: 1, newest_first: false });
        Limits { budget: Some(Budget::shed()), line, gate: None }
    }

    fn scope(origins: &Origins, uri: &str) -> Scope {
        origins.of_uri(&uri.parse().unwrap(), limits)
    }

    #[test]
    fn requests_without_an_origin_share_the_layers_own() {
        let origins = Origins::new(limits);
        let one = scope(&origins, "https://one.example/a?b");
        assert_eq!(one, scope(&origins, "https://ONE.example:443/other"));
        assert_ne!(one, scope(&origins, "/a"));
        assert_eq!(scope(&origins, "/a"), scope(&origins, "/b"));
        assert_eq!(origins.of_key(7, limits), origins.of_key(7, limits));
        assert_ne!(origins.of_key(7, limits), origins.of_key(8, limits));
    }

    #[test]
    fn the_sixty_fifth_origin_shares_its_limits_with_all_later_ones() {
        let origins = Origins::new(limits);
        let scopes: Vec<_> =
            (0..70).map(|at| scope(&origins, &format!("http://{at}.example/"))).collect();
        let budget = |at: usize| std::ptr::from_ref(&origins.get(scopes[at]).budget);
        assert!((0..64).all(|at| (0..at).all(|other| budget(other) != budget(at))));
        assert!((64..70).all(|at| budget(at) == budget(64) && budget(at) != budget(63)));
        assert_eq!(scopes[3], scope(&origins, "http://3.example/"));
    }
}

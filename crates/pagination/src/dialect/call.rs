//! A request for a page, while it is written.

use core::cell::Cell;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::Order;
use crate::filter::plain;

/// Everything but RFC 3986's unreserved characters is encoded.
pub(crate) const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place<'a> {
    /// After a cursor, or at the beginning.
    Cursor(Option<&'a str>),
    /// At this page.
    Page {
        /// The page's number.
        index: u64,
    },
    /// At this rank, counted from zero.
    Rank {
        /// The rows before it.
        skip: u64,
    },
}

/// A request for a page, while it is written: what is asked for, and what carries it.
#[derive(Debug)]
pub struct Call<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) rows: u32,
    pub(crate) order: Order,
    pub(crate) sort: &'a str,
    pub(crate) all: Vec<Value>,
    pub(crate) any: &'a [Value],
    /// Whether the dialect has looked at the filters.
    pub(crate) filters_read: Cell<bool>,
    pub(crate) address: String,
    pub(crate) members: Map<String, Value>,
}

impl<'a> Call<'a> {
    /// Where the page begins.
    #[must_use]
    pub const fn place(&self) -> Place<'a> {
        self.place
    }

    /// The rows to ask for.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// The rank at which the page begins; zero where it begins after a cursor or a key.
    #[must_use]
    pub const fn skip(&self) -> u64 {
        match self.place {
            Place::Rank { skip } => skip,
            Place::Cursor(_) | Place::Page { .. } => 0,
        }
    }

    /// The cursor after which it begins, if there is one.
    #[must_use]
    pub const fn cursor(&self) -> Option<&'a str> {
        match self.place {
            Place::Cursor(cursor) => cursor,
            Place::Page { .. } | Place::Rank { .. } => None,
        }
    }

    /// The order to ask for.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// The sort to ask for: field names, `-` in front for descending order.
    #[must_use]
    pub const fn sort(&self) -> &'a str {
        self.sort
    }

    /// The filters that all rows match. A dialect that does not look at them refuses queries that have some.
    #[must_use]
    pub fn filters(&self) -> Vec<Value> {
        self.filters_read.set(true);
        self.all.clone()
    }

    /// The filters of which rows match one at least; none of them is no condition.
    #[must_use]
    pub const fn any_of(&self) -> &'a [Value] {
        self.any
    }

    /// Adds a parameter to the address; the value is percent-encoded. `None` and null add nothing.
    pub fn parameter(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        if value.is_null() {
            return;
        }
        if !self.address.is_empty() {
            self.address.push('&');
        }
        self.address.extend(utf8_percent_encode(name, ENCODED));
        self.address.push('=');
        self.address.extend(utf8_percent_encode(&plain(&value), ENCODED));
    }

    /// Adds a member to the JSON body of a dialect that asks [in the body](super::Dialect::in_body).
    pub fn member(&mut self, name: &str, value: impl Into<Value>) {
        self.members.insert(name.to_owned(), value.into());
    }
}

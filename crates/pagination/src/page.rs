//! One page, taken out of an answer's body without building a tree.

mod answer;
mod json;

use core::fmt;
use std::sync::Arc;

use crate::Row;

pub(crate) use answer::KeyField;
pub use answer::{Answer, Part};
pub(crate) use json::{at_path, members};

/// Rows and what the server says about the rest.
#[derive(Clone, Debug)]
pub struct Page<R = Row> {
    pub(crate) rows: Vec<R>,
    pub(crate) null_rows: u64,
    pub(crate) total: Option<u64>,
    pub(crate) next: Next,
    /// The API's word for an answer that lacks rows.
    pub(crate) partial: Option<&'static str>,
    /// What it occupies while it waits for the rows before it.
    pub(crate) bytes: usize,
}

/// What the server says comes next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a dialect's author makes one")]
pub enum Next {
    /// The page at this cursor, or at this address.
    Cursor(Arc<str>),
    /// Nothing: this was the last page.
    End,
    /// The answer states neither.
    #[default]
    Unsaid,
}

impl<R> Default for Page<R> {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl<R> Page<R> {
    /// A page of these rows, without a total and without a statement about the next page.
    #[must_use]
    pub const fn of(rows: Vec<R>) -> Self {
        Self { rows, null_rows: 0, total: None, next: Next::Unsaid, partial: None, bytes: 0 }
    }

    /// The API says that the whole collection has this many rows.
    #[must_use]
    pub fn with_total(mut self, total: impl Into<Option<u64>>) -> Self {
        self.total = total.into();
        self
    }

    /// What the API says comes next.
    #[must_use]
    pub fn with_next(mut self, next: Next) -> Self {
        self.next = next;
        self
    }

    /// The API states in this part that rows are missing, if the part is there and neither false nor empty:
    /// `"unreachable": ["zone-a"]`, `"incomplete_results": true`. The scan is then best effort.
    #[must_use]
    pub fn with_partial(mut self, part: Part<'_>) -> Self {
        self.partial = self.partial.or(part.is_set().then_some(part.name()));
        self
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[R] {
        &self.rows
    }

    /// The places in the list that a row or a null takes.
    pub(crate) fn places(&self) -> u64 {
        self.rows.len() as u64 + self.null_rows
    }
}

/// Why a successful answer is not a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAPage {
    /// A row is no object, or has no usable key.
    BadRow {
        /// The row's place in the page, counted from zero.
        index: usize,
        /// The field that should hold the key.
        key_field: &'static str,
    },
    /// What should be a cursor is something else.
    NoCursor {
        /// The part's name.
        part: &'static str,
    },
    /// What should be a list is something else.
    NoList {
        /// The part's name.
        part: &'static str,
    },
    /// A part that every page has is not there.
    Lacks {
        /// The part's name.
        part: &'static str,
    },
    /// The body is not JSON.
    NotJson {
        /// Where and why.
        cause: String,
    },
    /// The body is JSON of another shape.
    OtherShape {
        /// What was found and what was expected.
        cause: String,
    },
    /// The body says that it is an error.
    SaysError,
}

impl fmt::Display for NotAPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRow { index, key_field } => {
                write!(f, "row {index} of the page has no usable `{key_field}`")
            }
            Self::NoCursor { part } => write!(f, "`{part}` holds no cursor"),
            Self::NoList { part } => write!(f, "`{part}` holds no list"),
            Self::Lacks { part } => write!(f, "the body has no `{part}`"),
            Self::NotJson { cause } => write!(f, "the body is not JSON: {cause}"),
            Self::OtherShape { cause } => write!(f, "the body has another shape: {cause}"),
            Self::SaysError => f.write_str("the body says that it is an error"),
        }
    }
}

impl std::error::Error for NotAPage {}

impl From<serde_json::Error> for NotAPage {
    fn from(error: serde_json::Error) -> Self {
        let cause = error.to_string();
        if error.is_data() { Self::OtherShape { cause } } else { Self::NotJson { cause } }
    }
}

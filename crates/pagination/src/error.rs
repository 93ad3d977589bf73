//! Why a request for a page failed.

use core::fmt;

use http::StatusCode;
use retry_policy::Attempts;

use crate::InvalidQuery;
use crate::dialect::ApiWords;
use crate::page::NotAPage;

/// Why a request for a page failed. The stream is over until `resume` is called.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E> {
    /// The answer's body could not be read.
    #[non_exhaustive]
    Body {
        /// The body's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What was tried.
        attempts: Option<Box<Attempts>>,
    },
    /// The request for the page cannot be made.
    Query(InvalidQuery),
    /// The service failed.
    #[non_exhaustive]
    Fetch {
        /// The service's own error.
        source: E,
        /// What was tried.
        attempts: Option<Box<Attempts>>,
    },
    /// The answer was a success and is no page.
    #[non_exhaustive]
    NotAPage {
        /// What is wrong with it.
        why: NotAPage,
        /// What the API says.
        words: Option<ApiWords>,
    },
    /// A row does not have the shape that was asked for. The stream goes on after it.
    #[non_exhaustive]
    Row {
        /// The row.
        row: crate::Row,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer was no success.
    #[non_exhaustive]
    Status {
        /// The status.
        status: StatusCode,
        /// What the API says.
        words: Option<ApiWords>,
        /// The body, or its beginning.
        body: bytes::Bytes,
        /// Where a redirect leads; it is not followed.
        location: Option<String>,
        /// What was tried.
        attempts: Option<Box<Attempts>>,
    },
}

impl<E> Error<E> {
    /// The service, or whatever fetches a page, failed.
    pub const fn fetch(source: E) -> Self {
        Self::Fetch { source, attempts: None }
    }

    /// What was tried, if a layer recorded it.
    #[must_use]
    pub fn attempts(&self) -> Option<&Attempts> {
        match self {
            Self::Body { attempts, .. }
            | Self::Fetch { attempts, .. }
            | Self::Status { attempts, .. } => attempts.as_deref(),
            Self::Query(_) | Self::NotAPage { .. } | Self::Row { .. } => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Query(error) => return error.fmt(f),
            Self::Body { .. } => return f.write_str("the page could not be read"),
            Self::Row { row, .. } => {
                return match row.key() {
                    Some(key) => write!(f, "row `{key}` has another shape"),
                    None => f.write_str("a row has another shape"),
                };
            }
            Self::Fetch { source, .. } => {
                return write!(f, "the page could not be fetched: {source}");
            }
            Self::NotAPage { why, words } => {
                write!(f, "the answer is not a page: {why}")?;
                words
            }
            Self::Status { status, words, location, .. } => {
                write!(f, "the API answered {status}")?;
                if let Some(location) = location {
                    // Its query may hold a signature.
                    let to = location.split(['?', '#']).next().unwrap_or_default();
                    write!(f, ", a redirect to {to} that is not followed")?;
                }
                words
            }
        };
        if let Some(words) = words {
            write!(f, ": {}", words.message())?;
            if let Some(field) = words.field() {
                write!(f, " ({field})")?;
            }
        }
        Ok(())
    }
}

/// A boxed error is no [`std::error::Error`] itself, so the service's error is printed, not a source.
impl<E: fmt::Debug + fmt::Display> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Body { source, .. } => Some(&**source),
            Self::Row { source, .. } => Some(source),
            Self::Query(_) | Self::Fetch { .. } | Self::NotAPage { .. } | Self::Status { .. } => {
                None
            }
        }
    }
}

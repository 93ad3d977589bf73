//! The wire formats of real APIs: which request asks for a position, and what page an answer is.
//!
//! | dialect | position | key | end |
//! | --- | --- | --- | --- |
//! | [`JUMPCLOUD_V1`] | `skip`, `limit`, `sort` | `_id` | the fence |
//! | [`JUMPCLOUD_V2`] | `skip`, `limit`, `sort` | `id` | the fence |
//! | [`IXON`] | `page-after`, `page-size` | `publicId`, where rows have it | `moreAfter` is null |

mod ixon;
mod jumpcloud;

use bytes::Bytes;
use http::HeaderMap;

pub use ixon::IXON;
pub use jumpcloud::{JUMPCLOUD_V1, JUMPCLOUD_V2};

use crate::page::{NotAPage, Page};

/// A wire format, as data and pure functions.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    /// The largest page that the API's documents allow, in rows.
    pub(crate) ceiling: u32,
    pub(crate) filter_parameter: &'static str,
    /// The parameters that the scan writes itself.
    pub(crate) own_parameters: &'static [&'static str],
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) page: fn(&HeaderMap, &Bytes) -> Result<Page, NotAPage>,
    pub(crate) words: fn(&[u8]) -> Option<ApiWords>,
}

/// How the API finds the next page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    /// By a cursor that the page before brought.
    Cursor { position: &'static str, size: &'static str },
    /// By the rank of its first row, in the order of the key.
    Offset {
        /// The names by which the API may sort by its key; the first is sent by default.
        sort_fields: &'static [&'static str],
    },
}

impl Dialect {
    /// The dialect's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The largest page, in rows.
    #[must_use]
    pub const fn ceiling(&self) -> u32 {
        self.ceiling
    }
}

/// What an API says about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiWords {
    pub(crate) message: String,
    pub(crate) field: Option<String>,
}

impl ApiWords {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The part of the request that it is about.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

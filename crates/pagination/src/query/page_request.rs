//! What a scan asks for: one page, by where it begins and how many rows it has.

use http::Request;
use retry_policy::safety::Shrinkable;

use super::{InvalidQuery, PagePosition, Query};
use crate::{Key, Order};

/// A page to ask for.
#[derive(Clone, Debug)]
pub struct PageRequest {
    pub(crate) id: u64,
    pub(crate) at: PagePosition,
    pub(crate) rows: u32,
    pub(crate) mark: Shrinkable,
}

impl PageRequest {
    /// Its number, by which the answer is handed in.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The rows to ask for.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// The cursor after which the page begins, if there is one.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        match &self.at {
            PagePosition::Cursor(cursor) => cursor.as_deref(),
            PagePosition::Rank { .. } => None,
        }
    }

    /// The rank at which the page begins and its order, unless it begins after a cursor.
    #[must_use]
    pub const fn rank(&self) -> Option<(u64, Order)> {
        match self.at {
            PagePosition::Rank { skip, order, .. } => Some((skip, order)),
            PagePosition::Cursor(_) => None,
        }
    }

    /// The key that all its rows follow in the order of the scan, if it begins after one.
    #[must_use]
    pub const fn above(&self) -> Option<&Key> {
        match &self.at {
            PagePosition::Rank { above, .. } => above.as_ref(),
            PagePosition::Cursor(_) => None,
        }
    }

    /// Whether the scan can ask for fewer rows instead.
    #[must_use]
    pub const fn is_shrinkable(&self) -> bool {
        self.mark.can_shrink()
    }
}

impl Query {
    /// The request for a page.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::TooLong`] if filters and cursor make an address that no request can carry,
    /// [`InvalidQuery::FiltersNotSent`] if the dialect has not written the filters.
    pub fn request<B: From<bytes::Bytes>>(
        &self,
        ask: &PageRequest,
    ) -> Result<Request<B>, InvalidQuery> {
        let mut request = self.terms.request(&ask.at, ask.rows)?;
        request.extensions_mut().insert(ask.mark);
        Ok(request)
    }
}

//! The wire formats of real APIs, and how to describe another one.
//!
//! | dialect | position | key | end |
//! | --- | --- | --- | --- |
//! | [`JUMPCLOUD_V1`] | `skip`, `limit`, `sort` | `_id` | the fence |
//! | [`JUMPCLOUD_SEARCH`] | the same, in a POST's body | `_id` | the fence |
//! | [`JUMPCLOUD_V2`] | `skip`, `limit`, `sort` | `id` | the fence |
//! | [`JUMPCLOUD_V2_LINK`] | `Link: <…>; rel="next"` | `id` | no such link, and the total reached |
//! | [`DIRECTORY_INSIGHTS`] | `search_after` | `id` | `X-Result-Count` below `X-Limit` |
//! | [`IXON`] | `page-after`, `page-size` | `publicId`, where rows have it | `moreAfter` is null |
//! | [`OPERATIONS1`] | `pageIndex`, `pageSize`, `orderBy=id` | `id` | the fence |
//! | [`PAGE_TOKEN`] | `pageToken`, `pageSize` | `name`, where rows have it | no `nextPageToken` |
//! | [`LINK`] | `Link: <…>; rel="next"` | `id`, where rows have it | no such link |
//!
//! A [`Dialect`] of your own is data and two functions: what to ask, and what an answer is.
//!
//! ```
//! use pagination::dialect::{Dialect, Method};
//!
//! /// `GET /books?count=50&from=<cursor>` answers `{"books": [{"isbn": …}, …], "more": "<cursor>"}`.
//! const LIBRARY: Dialect = Dialect::new("library", Method::Cursor)
//!     .key(&["isbn"])
//!     .rows_at_most(|_| 50)
//!     .own_parameters(&["count", "from"])
//!     .call(|call| {
//!         call.parameter("count", call.rows());
//!         if let Some(cursor) = call.cursor() {
//!             call.parameter("from", cursor);
//!         }
//!     })
//!     .page(|answer| {
//!         let [books, more] = answer.object(["books", "more"])?;
//!         Ok(answer.rows_in(books)?.with_next(more.cursor()?))
//!     });
//! # let _ = LIBRARY;
//! ```

mod call;
mod directory_insights;
mod ixon;
mod jumpcloud;
mod jumpcloud_search;
mod link;
mod operations1;
mod page_token;
#[cfg(test)]
mod tests;

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use serde_json::Value;

pub(crate) use call::ENCODED;
pub use call::{Call, Place};
pub use directory_insights::{DIRECTORY_INSIGHTS, DirectoryInsights};
pub use ixon::{IXON, Ixon};
pub use jumpcloud::{JUMPCLOUD_V1, JUMPCLOUD_V2, JUMPCLOUD_V2_LINK, JumpCloudV1, JumpCloudV2};
pub use jumpcloud_search::{JUMPCLOUD_SEARCH, JumpCloudSearch};
pub use link::LINK;
pub use operations1::{OPERATIONS1, Operations1};
pub use page_token::PAGE_TOKEN;

use crate::KeyRef;
use crate::filter::{Comparison, Field};
use crate::page::{Answer, KeyField, NotAPage, Page};

/// No filter language: [`Filter::raw`](crate::Filter::raw) only.
#[derive(Debug)]
pub struct Any(());

/// A wire format, as data and pure functions, with `G` for the language of its filters.
pub struct Dialect<G = Any> {
    pub(crate) spec: Spec,
    grammar: PhantomData<fn() -> G>,
}

/// How the API finds the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// By a cursor or a token that the page before brought.
    Cursor,
    /// By an address that the page before brought.
    Link,
    /// By the rank of its first row.
    Offset,
    /// By its number, counted from `first`, times the rows of a page.
    PageIndex {
        /// The number of the first page.
        first: u64,
    },
}

/// Where a request carries what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// In the query of its address: a GET.
    Address,
    /// In a JSON object: a POST that only reads.
    Body,
}

/// The data and functions of a dialect.
#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each states a fact about an API")]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    pub(crate) carrier: Carrier,
    /// The largest page that the API's documents allow, in rows.
    pub(crate) ceiling: fn(&str) -> u32,
    pub(crate) key: KeyField,
    /// The names by which the API may sort by its key; the first is sent by default.
    pub(crate) sort_fields: &'static [&'static str],
    /// What stands between several sort fields; `None` if there can only be one.
    pub(crate) sort_separator: Option<u8>,
    /// How a list is recognised by a request that somebody else has made.
    pub(crate) lists: Option<&'static Lists>,
    /// Whether this path's list can be sorted.
    pub(crate) is_sortable: fn(&str) -> bool,
    /// Whether the API answers the reverse order.
    pub(crate) has_reverse: bool,
    /// Whether the API's sort puts keys in the order of [`Key`](crate::Key).
    pub(crate) keys_in_order: bool,
    /// Whether the API counts its pages in a size that no request can change.
    pub(crate) has_fixed_pages: bool,
    /// The parameter that selects fields, and what stands between them; a JSON list if nothing does.
    pub(crate) fields: Option<(&'static str, &'static str)>,
    /// The parameters that the scan writes itself.
    pub(crate) own_parameters: &'static [&'static str],
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// The header for an organisation, and the paths that must not have it.
    pub(crate) organization: Option<(&'static str, &'static [&'static str])>,
    pub(crate) call: fn(&mut Call<'_>),
    pub(crate) page: fn(&Answer<'_>) -> Result<Page, NotAPage>,
    pub(crate) words: fn(&[u8]) -> Option<ApiWords>,
    /// The filter that bounds the key.
    pub(crate) bound: Option<Bound>,
    /// A cursor that repeats is the end, and no contradiction.
    pub(crate) repeat_is_end: bool,
    /// How long one request may take.
    pub(crate) time_limit: Option<Duration>,
}

impl Spec {
    /// Pages of 100 rows at most, in a GET and as a bare list; rows without a key, in any order.
    pub(crate) const PLAIN: Self = Self {
        name: "",
        method: Method::Offset,
        carrier: Carrier::Address,
        ceiling: |_| 100,
        key: KeyField { paths: &[], is_required: false, is_unique: true },
        sort_fields: &[],
        sort_separator: None,
        lists: None,
        is_sortable: |_| true,
        has_reverse: true,
        keys_in_order: false,
        has_fixed_pages: false,
        fields: None,
        own_parameters: &[],
        headers: &[("accept", "application/json")],
        organization: None,
        call: |_| (),
        page: |answer| answer.list(),
        words: message_of,
        bound: None,
        repeat_is_end: false,
        time_limit: None,
    };
}

/// How a list is recognised by a request that somebody else has made.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a dialect's author makes one, in a constant")]
pub struct Lists {
    /// Whether there is a list at this path.
    pub is_list: fn(&str) -> bool,
    /// The parameters that page or filter it.
    pub pages_by: &'static [&'static str],
    /// The parameter that sorts it.
    pub parameter: &'static str,
}

/// A filter that bounds the key.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) filter: fn(&str, Comparison, KeyRef<'_>) -> Value,
    /// Whether the API's documents promise it, so that no probe is needed.
    pub(crate) is_declared: bool,
    /// Whether it may stand beside a choice between filters.
    pub(crate) beside_any: bool,
}

impl<G> Dialect<G> {
    pub(crate) const fn of(spec: Spec) -> Self {
        Self { spec, grammar: PhantomData }
    }

    /// The dialect's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.spec.name
    }

    /// How it finds the next page.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.spec.method
    }

    /// The largest page of the list at this path, in rows.
    #[must_use]
    pub fn ceiling(&self, path: &str) -> u32 {
        (self.spec.ceiling)(path)
    }

    /// A field to filter by.
    #[must_use]
    pub fn field(&self, name: impl Into<String>) -> Field<G> {
        Field::new(name)
    }

    /// The same without its filter language, for a dialect that is chosen at run time.
    #[must_use]
    pub const fn untyped(self) -> Dialect {
        Dialect::of(self.spec)
    }
}

impl Dialect {
    /// A dialect of your own. It asks by [`call`](Self::call) and reads by [`page`](Self::page); pages have
    /// 100 rows at most, rows have no key, and nothing is sorted, unless the dialect states otherwise.
    ///
    /// An API of ranks names its key twice: where it is in a row, and how it is sorted by.
    ///
    /// ```
    /// use pagination::dialect::{Dialect, Method};
    /// use pagination::{Filter, Query};
    ///
    /// /// `GET /cars?offset=0&max=50&order=-plate` answers `{"cars": [{"plate": …}, …], "count": 9}`.
    /// const CARS: Dialect = Dialect::new("cars", Method::Offset)
    ///     .key(&["plate"])
    ///     .sorted_by(&["plate"])
    ///     .own_parameters(&["offset", "max", "order"])
    ///     .call(|call| {
    ///         for filter in call.filters() {
    ///             call.parameter("where", filter);
    ///         }
    ///         call.parameter("offset", call.skip());
    ///         call.parameter("max", call.rows());
    ///         call.parameter("order", call.sort()); // `plate`, or `-plate` for the other direction
    ///     })
    ///     .page(|answer| {
    ///         let [cars, count] = answer.object(["cars", "count"])?;
    ///         Ok(answer.rows_in(cars)?.with_total(count.count()))
    ///     });
    ///
    /// let red = Query::new(CARS, "https://cars.example/cars".parse()?)?.filter(Filter::raw("colour:red"));
    /// assert!(red.parameter("offset", 3).is_err(), "the scan writes it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn new(name: &'static str, method: Method) -> Self {
        Self::of(Spec { name, method, ..Spec::PLAIN })
    }

    /// What a request for a page carries.
    #[must_use]
    pub const fn call(mut self, call: fn(&mut Call<'_>)) -> Self {
        self.spec.call = call;
        self
    }

    /// What page an answer with status 200 is; by default the body is the list of rows.
    #[must_use]
    pub const fn page(mut self, page: fn(&Answer<'_>) -> Result<Page, NotAPage>) -> Self {
        self.spec.page = page;
        self
    }

    /// No two rows share the value of this field, or of these together, given from the row down as in `to.id`.
    #[must_use]
    pub const fn key(mut self, paths: &'static [&'static str]) -> Self {
        self.spec.key.paths = paths;
        self
    }

    /// The API sorts by its unique, immutable key when asked to by this name. The list is then read in this
    /// order, and every row must have the key.
    #[must_use]
    pub const fn sorted_by(mut self, names: &'static [&'static str]) -> Self {
        self.spec.sort_fields = names;
        self.spec.key.is_required = true;
        self
    }

    /// The API sorts its keys as [`Key`](crate::Key) compares: whole numbers by value, texts by their bytes. A scan then
    /// remembers a few pages in place of a million rows, and can be read in [ranges](crate::partition). No proof rests
    /// on it: where an answer contradicts it, the scan continues by equality and the report says so.
    #[must_use]
    pub const fn keys_in_order(mut self) -> Self {
        self.spec.keys_in_order = true;
        self
    }

    /// The API counts its pages in a size of its own, so no two pages overlap and the scan is best effort.
    #[must_use]
    pub const fn fixed_pages(mut self) -> Self {
        self.spec.has_fixed_pages = true;
        self
    }

    /// The API cannot answer the reverse order. The scan is complete by the API's own word where a page states the end
    /// with [`Next::End`](crate::page::Next::End), else best effort.
    #[must_use]
    pub const fn without_reverse(mut self) -> Self {
        self.spec.has_reverse = false;
        self
    }

    /// The largest page of the list at a path, in rows: 1 at least.
    #[must_use]
    pub const fn rows_at_most(mut self, ceiling: fn(&str) -> u32) -> Self {
        self.spec.ceiling = ceiling;
        self
    }

    /// The parameters that [`call`](Self::call) writes, which an address must not hold already.
    #[must_use]
    pub const fn own_parameters(mut self, names: &'static [&'static str]) -> Self {
        self.spec.own_parameters = names;
        self
    }

    /// How a request of somebody else is recognised that pages one of the API's lists, for
    /// [`StableSortLayer`](crate::StableSortLayer).
    #[must_use]
    pub const fn lists(mut self, lists: &'static Lists) -> Self {
        self.spec.lists = Some(lists);
        self
    }

    /// Headers that every request carries.
    #[must_use]
    pub const fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.spec.headers = headers;
        self
    }

    /// Asks with POST and a JSON body, and vouches that it only reads.
    #[must_use]
    pub const fn in_body(mut self) -> Self {
        self.spec.carrier = Carrier::Body;
        self
    }

    /// What the API says about an error, from its body; by default the text in `message` or `error`.
    #[must_use]
    pub const fn words(mut self, words: fn(&[u8]) -> Option<ApiWords>) -> Self {
        self.spec.words = words;
        self
    }

    /// The filter that bounds the key, for keyset paging and, with [`keys_in_order`](Self::keys_in_order), for key ranges. Where the API's documents promise it
    /// (`is_declared`) every scan pages by key; else [`Query::keyset`](crate::Query::keyset) asks for it. Where it shows no
    /// row that was read, pages begin at ranks again. It comes with the [filters](Call::filters).
    #[must_use]
    pub const fn bounded_by(
        mut self,
        filter: fn(&str, Comparison, KeyRef<'_>) -> Value,
        is_declared: bool,
    ) -> Self {
        self.spec.bound = Some(Bound { filter, is_declared, beside_any: true });
        self
    }

    /// A cursor that repeats means the end. Only for an API that promises it: elsewhere it is how rows
    /// are lost.
    #[must_use]
    pub const fn repeat_is_end(mut self) -> Self {
        self.spec.repeat_is_end = true;
        self
    }

    /// No request may take longer: pages shrink before they do.
    #[must_use]
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.spec.time_limit = Some(limit);
        self
    }
}

impl<G> Clone for Dialect<G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G> Copy for Dialect<G> {}

impl<G> fmt::Debug for Dialect<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialect").field(&self.spec.name).finish()
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What an API says about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiWords {
    pub(crate) message: String,
    pub(crate) field: Option<String>,
}

impl ApiWords {
    /// These words, about this part of the request if any.
    #[must_use]
    pub fn new(message: impl Into<String>, field: Option<String>) -> Self {
        Self { message: message.into(), field }
    }

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

/// `{"message": "…"}`, `{"error": "…"}` or `{"error": {"message": "…"}}`.
pub(crate) fn message_of(body: &[u8]) -> Option<ApiWords> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let message = json.get("message").or_else(|| json.get("error"))?;
    let message = message.get("message").unwrap_or(message);
    Some(ApiWords::new(message.as_str()?, None))
}

//! What is read: a collection, its filters, and an order that no write can disturb.

mod invalid;
mod page_request;
mod request;
#[cfg(test)]
mod tests;

use core::fmt;
use core::marker::PhantomData;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::dialect::{Any, Dialect, Method, Spec};
use crate::filter::Filter;
use crate::page::KeyField;
use crate::{Key, KeyRef, Order};

pub use invalid::InvalidQuery;
pub use page_request::PageRequest;
pub(crate) use request::PagePosition;

/// The bytes of pages that are held ahead of the reader, by default: 32 MiB. Our choice: some hundred
/// usual pages.
const BYTES_AHEAD: usize = 32 * 1024 * 1024;

/// A collection to read, and how; `G` is the language of the dialect's filters.
///
/// ```
/// use pagination::{Query, dialect::JUMPCLOUD_V1};
///
/// let users = Query::new(JUMPCLOUD_V1, "https://console.jumpcloud.com/api/systemusers".parse()?)?
///     .filter(JUMPCLOUD_V1.field("department").eq("IT"))
///     .sort("-_id")?;
/// assert!(users.sort("username").is_err(), "two users could have the same name");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Query<G = Any> {
    pub(crate) terms: Terms,
    grammar: PhantomData<fn() -> G>,
}

/// What a query says, whatever its language.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) spec: Spec,
    pub(crate) uri: Uri,
    pub(crate) all: Vec<Value>,
    pub(crate) any: Vec<Value>,
    pub(crate) members: Vec<(String, Value)>,
    pub(crate) headers: HeaderMap,
    pub(crate) key: KeyField,
    /// The name by which the API sorts by the key; empty for a list that is not sorted.
    pub(crate) sort_field: &'static str,
    pub(crate) order: Order,
    /// Fields that rows are sorted by before the key.
    pub(crate) sorted: Vec<(String, Order)>,
    /// Those of them that never change.
    immutable: Vec<String>,
    pub(crate) is_unstable: bool,
    pub(crate) second_pass: bool,
    pub(crate) keyset: bool,
    pub(crate) range: Range,
    pub(crate) span: Option<(SystemTime, SystemTime)>,
    /// Rows whose time in this field is not before this one are left to another query.
    pub(crate) before: Option<(&'static str, SystemTime)>,
    page_size: u32,
    prefetch: usize,
    prefetch_bytes: usize,
    pub(crate) limit: Option<u64>,
}

/// The keys that are read: from one, and less than another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Option<Key>,
    pub(crate) to: Option<Key>,
}

impl Range {
    pub(crate) fn excludes(&self, key: KeyRef<'_>) -> bool {
        self.from.as_ref().is_some_and(|from| key < from.borrow())
            || self.to.as_ref().is_some_and(|to| key >= to.borrow())
    }
}

impl<G> Query<G> {
    /// All rows of the collection at `uri`, in ascending order of its key where the API sorts.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NotAbsolute`] without scheme and host, [`InvalidQuery::UserInfo`] with a
    /// password in the address, [`InvalidQuery::OwnParameter`] if the address already holds a
    /// parameter that the scan writes, [`InvalidQuery::NoKey`] for a dialect that is sorted and names no key,
    /// [`InvalidQuery::Unsortable`] if the API cannot sort this list, so
    /// that it needs [`unstable`](Self::unstable).
    pub fn new(dialect: Dialect<G>, uri: Uri) -> Result<Self, InvalidQuery> {
        let query = Self::of(dialect, uri)?;
        let needs_sort =
            matches!(query.terms.spec.method, Method::Offset | Method::PageIndex { .. });
        if needs_sort && query.terms.sort_field.is_empty() {
            return Err(InvalidQuery::Unsortable { dialect: query.terms.spec.name });
        }
        Ok(query)
    }

    /// All rows of a collection that the API cannot sort, in whatever order it answers.
    ///
    /// The scan recognizes rows by their key and compares their number with the API's total. That cannot prove
    /// that no row is missing: the report ends as [`Outcome::BestEffort`](crate::Outcome::BestEffort), unless one answer held
    /// the whole list.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), but for [`InvalidQuery::Unsortable`].
    pub fn unstable(dialect: Dialect<G>, uri: Uri) -> Result<Self, InvalidQuery> {
        let mut query = Self::of(dialect, uri)?;
        (query.terms.is_unstable, query.terms.sort_field) = (true, "");
        Ok(query)
    }

    fn of(dialect: Dialect<G>, uri: Uri) -> Result<Self, InvalidQuery> {
        let spec = dialect.spec;
        let authority = uri.authority().ok_or(InvalidQuery::NotAbsolute)?;
        if uri.scheme().is_none() {
            return Err(InvalidQuery::NotAbsolute);
        }
        if authority.as_str().contains('@') {
            return Err(InvalidQuery::UserInfo);
        }
        for pair in uri.query().unwrap_or_default().split('&') {
            let name = pair.split('=').next().unwrap_or_default();
            let name = percent_decode_str(name).decode_utf8_lossy();
            if let Some(own) = spec.own_parameters.iter().find(|own| **own == name) {
                return Err(InvalidQuery::OwnParameter { parameter: own });
            }
        }
        let is_sortable = (spec.is_sortable)(uri.path());
        let sort_field = spec.sort_fields.first().filter(|_| is_sortable).copied();
        let terms = Terms {
            spec,
            page_size: (spec.ceiling)(uri.path()).max(1),
            uri,
            all: Vec::new(),
            any: Vec::new(),
            members: Vec::new(),
            headers: HeaderMap::new(),
            key: spec.key,
            sort_field: sort_field.unwrap_or_default(),
            order: Order::Ascending,
            sorted: Vec::new(),
            immutable: Vec::new(),
            is_unstable: false,
            second_pass: false,
            keyset: spec.bound.is_some_and(|bound| bound.is_declared),
            range: Range::default(),
            span: None,
            before: None,
            prefetch: 0,
            prefetch_bytes: BYTES_AHEAD,
            limit: None,
        };
        Ok(Self { terms, grammar: PhantomData })
    }

    /// Only the rows that match, and match every other filter.
    #[must_use]
    pub fn filter(mut self, filter: Filter<G>) -> Self {
        self.terms.all.push(filter.expression);
        self
    }

    pub(crate) fn or(mut self, filters: impl IntoIterator<Item = Filter<G>>) -> Self {
        self.terms.any.extend(filters.into_iter().map(|filter| filter.expression));
        self
    }

    /// Only these fields of each row, and its key.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NoFields`] if the dialect cannot select fields.
    pub fn fields<'a>(
        self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidQuery> {
        let dialect = self.terms.spec.name;
        let (parameter, separator) =
            self.terms.spec.fields.ok_or(InvalidQuery::NoFields { dialect })?;
        let mut names: Vec<_> = names.into_iter().collect();
        let sorted = self.terms.sorted.iter().map(|(name, _)| name.as_str());
        for path in self.terms.key.paths.iter().copied().chain(sorted) {
            if !names.contains(&path) {
                names.push(path);
            }
        }
        let value = match separator {
            "" => Value::from(names),
            _ => Value::from(names.join(separator)),
        };
        Ok(self.with(parameter, value))
    }

    /// Another parameter of the request: in the address, or in the body if the dialect asks there.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::OwnParameter`] for one that the scan writes itself.
    pub fn parameter(self, name: &str, value: impl Into<Value>) -> Result<Self, InvalidQuery> {
        match self.terms.spec.own_parameters.iter().find(|own| **own == name) {
            Some(parameter) => Err(InvalidQuery::OwnParameter { parameter }),
            None => Ok(self.with(name, value)),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let is_list = name.ends_with("[]");
        self.terms.members.retain(|(other, _)| is_list || other != name);
        self.terms.members.push((name.to_owned(), value.into()));
        self
    }

    /// A header of every request. A credential belongs into the service instead, which knows how to refresh it.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NoHeader`] if this is no name or no value of a header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidQuery> {
        let invalid = || InvalidQuery::NoHeader { name: name.to_owned() };
        let name = HeaderName::try_from(name).map_err(|_| invalid())?;
        let value = HeaderValue::try_from(value).map_err(|_| invalid())?;
        self.terms.headers.insert(name, value);
        Ok(self)
    }

    /// The rows of this organisation: the dialect's header, which is left out on the paths that must not
    /// have it.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NoHeader`] if the dialect has none, or this is no value for it.
    pub fn organization(self, id: &str) -> Result<Self, InvalidQuery> {
        let (name, without) = self
            .terms
            .spec
            .organization
            .ok_or_else(|| InvalidQuery::NoHeader { name: "organization".to_owned() })?;
        let path = self.terms.uri.path();
        let is_below = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if without.iter().any(is_below) { Ok(self) } else { self.header(name, id) }
    }

    /// No two rows share the value of this field, or of these together, given from the row down as in `to.id`. For
    /// lists whose rows have another key than the dialect's others.
    #[must_use]
    pub const fn key(mut self, paths: &'static [&'static str]) -> Self {
        (self.terms.key.paths, self.terms.key.is_unique) = (paths, true);
        self
    }

    /// Sorted by this name of the unique key, `-` in front for descending order.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NotUnique`] for any field but the dialect's unique key,
    /// [`InvalidQuery::Unsortable`] where the API cannot sort.
    pub fn sort(mut self, field: &str) -> Result<Self, InvalidQuery> {
        let (name, order) = direction(field);
        if self.terms.sort_field.is_empty() {
            return Err(InvalidQuery::Unsortable { dialect: self.terms.spec.name });
        }
        let unique = self.terms.spec.sort_fields.iter().find(|key| **key == name);
        self.terms.sort_field = unique.ok_or_else(|| InvalidQuery::NotUnique {
            field: name.to_owned(),
            key: self.terms.sort_field,
        })?;
        self.terms.order = order;
        Ok(self)
    }

    /// Sorted by these fields, and by the key among rows that are equal in them.
    ///
    /// A row whose field changes can jump over the scan, so the report ends as
    /// [`Outcome::BestEffort`](crate::Outcome::BestEffort) at best, unless every field is
    /// [`immutable`](Self::immutable).
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::Unsortable`] where the API cannot sort by several fields.
    pub fn sort_by<'a>(
        mut self,
        fields: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidQuery> {
        let is_offset = matches!(self.terms.spec.method, Method::Offset);
        if self.terms.sort_field.is_empty()
            || self.terms.spec.sort_separator.is_none()
            || !is_offset
        {
            return Err(InvalidQuery::Unsortable { dialect: self.terms.spec.name });
        }
        for field in fields {
            let (name, order) = direction(field);
            if self.terms.spec.sort_fields.contains(&name) {
                // What comes after a unique field orders nothing.
                self.terms.order = order;
                break;
            }
            self.terms.sorted.push((name.to_owned(), order));
        }
        Ok(self)
    }

    /// This field never changes: the caller vouches for it.
    #[must_use]
    pub fn immutable(mut self, field: &str) -> Self {
        self.terms.immutable.push(field.to_owned());
        self
    }

    /// Pages of this many rows; the dialect's ceiling by default. An anchored page has at least
    /// two rows, so there 1 is asked as 2, and where pages are counted a few more may be needed so that one
    /// page shows both the last row read and the next.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NoRows`] for pages of no rows.
    pub fn page_size(mut self, rows: u32) -> Result<Self, InvalidQuery> {
        if rows == 0 {
            return Err(InvalidQuery::NoRows);
        }
        self.terms.page_size = rows;
        Ok(self)
    }

    /// This many pages are asked for ahead of the one that is read, and held in memory; 0 by default.
    /// A cursor dialect can only ask for one, because it must have seen the page before, and an
    /// offset dialect for none while the API tells no total. Fewer are asked for while the API throttles.
    #[must_use]
    pub const fn prefetch(mut self, pages: usize) -> Self {
        self.terms.prefetch = pages;
        self
    }

    /// No page is asked for ahead while those at hand and on their way have this many bytes; 32 MiB by
    /// default.
    #[must_use]
    pub const fn prefetch_bytes(mut self, bytes: usize) -> Self {
        self.terms.prefetch_bytes = bytes;
        self
    }

    /// No more than this many rows, those before a checkpoint included; no page is larger or asked for beyond what they need, but for one row
    /// that tells whether there are more.
    #[must_use]
    pub const fn limit(mut self, rows: u64) -> Self {
        self.terms.limit = Some(rows);
        self
    }

    /// Every page begins after a key in place of a rank, that of the row before the last, so that it shows the last row
    /// again. Where the API's filter shows no row that was read, pages begin at ranks.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NoBound`] if the dialect has no such filter, or it cannot stand beside this query's
    /// filters or sort.
    pub fn keyset(mut self) -> Result<Self, InvalidQuery> {
        self.terms.bound()?;
        self.terms.keyset = true;
        Ok(self)
    }

    /// A list that cannot be sorted is walked twice; the second walk delivers what the first has missed.
    #[must_use]
    pub const fn second_pass(mut self) -> Self {
        self.terms.second_pass = true;
        self
    }

    pub(crate) fn within(mut self, range: Range) -> Self {
        self.terms.range = range;
        self
    }

    /// The list's address.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.terms.uri
    }

    /// The keys that are read, if it is a range of them: from the first, and less than the second.
    #[must_use]
    pub const fn range(&self) -> (Option<&Key>, Option<&Key>) {
        (self.terms.range.from.as_ref(), self.terms.range.to.as_ref())
    }

    /// The same without its filter language.
    #[must_use]
    pub fn untyped(self) -> Query {
        Query { terms: self.terms, grammar: PhantomData }
    }

    /// A stable number for what is read: the dialect's name, the address, filters, parameters, headers, sort, key fields
    /// and range of keys. How it is read does not count (page size, limit, prefetch, keyset), and neither do headers that
    /// are marked as sensitive or whose name says that they hold a credential (`auth`, `cookie`, `key`, `secret`, `token`).
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.terms.fingerprint()
    }
}

impl Terms {
    /// The filter that bounds the key.
    pub(crate) fn bound(&self) -> Result<crate::dialect::Bound, InvalidQuery> {
        let is_free = self.sorted.is_empty() && !self.sort_field.is_empty();
        self.spec
            .bound
            .filter(|bound| is_free && (bound.beside_any || self.any.is_empty()))
            .ok_or(InvalidQuery::NoBound { dialect: self.spec.name })
    }

    /// Whether a range of keys is read.
    pub(crate) fn has_range(&self) -> bool {
        self.range != Range::default()
    }

    pub(crate) const fn order(&self) -> Order {
        self.order
    }

    /// The same, for ranges of keys, which only a declared order of keys can bound.
    pub(crate) fn range_bound(&self) -> Result<crate::dialect::Bound, InvalidQuery> {
        let dialect = self.spec.name;
        if self.spec.keys_in_order { self.bound() } else { Err(InvalidQuery::NoBound { dialect }) }
    }

    /// Whether the sort has a field that may change.
    pub(crate) fn is_mutable(&self) -> bool {
        self.sorted.iter().any(|(name, _)| !self.immutable.contains(name))
    }

    pub(crate) fn rows_per_page(&self) -> u32 {
        match self.spec.method {
            Method::Offset | Method::PageIndex { .. } if !self.is_unstable => self.page_size.max(2),
            _ => self.page_size,
        }
    }

    /// The pages that are asked for ahead; a cursor leads to one.
    pub(crate) fn ahead(&self) -> usize {
        match self.spec.method {
            Method::Cursor | Method::Link => self.prefetch.min(1),
            Method::Offset | Method::PageIndex { .. } => self.prefetch,
        }
    }

    pub(crate) const fn bytes_ahead(&self) -> usize {
        self.prefetch_bytes
    }
}

/// A field and its direction.
fn direction(field: &str) -> (&str, Order) {
    match field.strip_prefix('-') {
        Some(name) => (name, Order::Descending),
        None => (field, Order::Ascending),
    }
}

impl<G> Clone for Query<G> {
    fn clone(&self) -> Self {
        Self { terms: self.terms.clone(), grammar: PhantomData }
    }
}

impl<G> fmt::Debug for Query<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.terms.fmt(f)
    }
}

/// Neither headers nor parameters: they may hold what is nobody's business.
impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("dialect", &self.spec.name)
            .field("path", &self.uri.path())
            .field("order", &self.order)
            .field("page_size", &self.page_size)
            .finish_non_exhaustive()
    }
}

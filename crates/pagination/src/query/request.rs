//! The request for a page, and the mark of what is read.

use core::cell::Cell;
use core::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Uri};
use retry_policy::safety::Vouched;
use serde_json::{Map, Value};

use super::{InvalidQuery, Terms};
use crate::dialect::{Call, Carrier, Method, Place};
use crate::filter::Comparison;
use crate::{Key, Order};

/// Where a page begins, by itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PagePosition {
    /// After a cursor, or at the beginning.
    Cursor(Option<std::sync::Arc<str>>),
    /// At a rank in this order, among the rows above a key if there is one. Of an API that counts pages the
    /// rank is that of a page's first row.
    Rank { skip: u64, order: Order, above: Option<Key> },
}

/// A cursor may be an address with a secret.
impl fmt::Debug for PagePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor(None) => f.write_str("the beginning"),
            Self::Cursor(Some(_)) => f.write_str("after a cursor"),
            Self::Rank { skip, order, above } => {
                write!(f, "rank {skip} {order:?}")?;
                above.as_ref().map_or(Ok(()), |above| write!(f, " above {above}"))
            }
        }
    }
}

impl Terms {
    /// The request for a page.
    pub(crate) fn request<B: From<Bytes>>(
        &self,
        at: &PagePosition,
        rows: u32,
    ) -> Result<Request<B>, InvalidQuery> {
        let mut call = Call {
            place: Place::Cursor(None),
            rows,
            order: self.order,
            sort: "",
            all: self.all.clone(),
            any: &self.any,
            filters_read: Cell::new(false),
            address: self.uri.query().unwrap_or_default().to_owned(),
            members: Map::new(),
        };
        for (name, value) in &self.members {
            match self.spec.carrier {
                Carrier::Address => call.parameter(name, value.clone()),
                Carrier::Body => call.member(name, value.clone()),
            }
        }
        let sort;
        match at {
            PagePosition::Cursor(Some(link)) if self.spec.method == Method::Link => {
                return self.finish(link, None);
            }
            PagePosition::Cursor(cursor) => {
                call.place = Place::Cursor(cursor.as_deref());
                sort = self.sort_text(self.order);
                call.sort = &sort;
            }
            PagePosition::Rank { skip, order, above } => {
                call.place = match self.spec.method {
                    Method::PageIndex { first } => {
                        Place::Page { index: first + skip / u64::from(rows.max(1)) }
                    }
                    _ => Place::Rank { skip: *skip },
                };
                (call.order, sort) = (*order, self.sort_text(*order));
                call.sort = &sort;
                self.bound_keys(above.as_ref(), &mut call);
            }
        }
        (self.spec.call)(&mut call);
        let has_filters = !call.all.is_empty() || !call.any.is_empty();
        if has_filters && !call.filters_read.get() {
            // Without them every row would come, and look like one that matches.
            return Err(InvalidQuery::FiltersNotSent { dialect: self.spec.name });
        }
        let path = self.uri.path();
        let target = match call.address.as_str() {
            "" => path.to_owned(),
            address => format!("{path}?{address}"),
        };
        let body = match self.spec.carrier {
            Carrier::Address => None,
            Carrier::Body => Some(Value::Object(call.members).to_string()),
        };
        self.finish(&target, body)
    }

    /// The path and query of a walk's first request; empty if it cannot be made.
    pub(crate) fn first_target(&self, rows: u32) -> String {
        let request = self.request::<Bytes>(&PagePosition::Cursor(None), rows);
        request.map(|request| request.uri().to_string()).unwrap_or_default()
    }

    /// Adds the filters for the keys of the range, and above the last one read.
    fn bound_keys(&self, above: Option<&Key>, call: &mut Call<'_>) {
        let Some(bound) = self.spec.bound else { return };
        let is_descending = self.order == Order::Descending;
        let mut push = |comparison, key: &Key| {
            let field = self.key.paths.first().copied().unwrap_or_default();
            call.all.push((bound.filter)(field, comparison, key.borrow()));
        };
        // The last key read stands in for the end of the range that it lies beyond.
        if let Some(from) = self.range.from.as_ref().filter(|_| above.is_none() || is_descending) {
            push(Comparison::GreaterOrEqual, from);
        }
        if let Some(to) = self.range.to.as_ref().filter(|_| above.is_none() || !is_descending) {
            push(Comparison::Less, to);
        }
        if let Some(above) = above {
            push(if is_descending { Comparison::Less } else { Comparison::Greater }, above);
        }
    }

    /// The sort in the API's own words, in the order of the scan or the reverse one.
    fn sort_text(&self, order: Order) -> String {
        if self.sort_field.is_empty() {
            return String::new();
        }
        let is_reverse = order != self.order;
        let key = [(self.sort_field.to_owned(), self.order)];
        let fields = self.sorted.iter().chain(&key).map(|(name, order)| {
            let order = if is_reverse { order.reversed() } else { *order };
            match order {
                Order::Ascending => name.clone(),
                Order::Descending => format!("-{name}"),
            }
        });
        let separator = char::from(self.spec.sort_separator.unwrap_or(b' ')).to_string();
        fields.collect::<Vec<_>>().join(&separator)
    }

    /// The request for this path and query, with this JSON body if any.
    fn finish<B: From<Bytes>>(
        &self,
        target: &str,
        body: Option<String>,
    ) -> Result<Request<B>, InvalidQuery> {
        let bytes = target.len();
        let too_long = || InvalidQuery::TooLong { bytes };
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(target.parse().map_err(|_| too_long())?);
        let uri = Uri::from_parts(parts).map_err(|_| too_long())?;
        let mut request = match body {
            None => Request::new(B::from(Bytes::new())),
            Some(body) => {
                let mut request = Request::new(B::from(Bytes::from(body)));
                *request.method_mut() = http::Method::POST;
                let json = HeaderValue::from_static("application/json");
                request.headers_mut().insert(CONTENT_TYPE, json);
                request.extensions_mut().insert(Vouched::new());
                request
            }
        };
        *request.uri_mut() = uri;
        for &(name, value) in self.spec.headers {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = Fnv::new();
        hash.part(self.spec.name);
        hash.part(&self.uri.to_string());
        hash.part(&self.sort_text(self.order));
        hash.part(if self.is_unstable { "unstable" } else { "" });
        hash.list("all", self.all.iter().map(Value::to_string));
        hash.list("any", self.any.iter().map(Value::to_string));
        hash.list("members", self.members.iter().map(|(name, value)| format!("{name}={value}")));
        hash.list("key", self.key.paths.iter().map(|path| (*path).to_owned()));
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, value)| {
                let name = name.as_str();
                let is_secret = ["auth", "cookie", "key", "secret", "token"]
                    .iter()
                    .any(|part| name.contains(part));
                !is_secret && !value.is_sensitive()
            })
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        headers.sort();
        hash.list("headers", headers);
        let bound = |key: &Option<Key>| key.as_ref().map(|key| key.to_json().to_string());
        hash.list("from", bound(&self.range.from));
        hash.list("to", bound(&self.range.to));
        hash.0
    }
}

/// FNV-1a with 64 bits: stable across versions, and no secret depends on it.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn part(&mut self, text: &str) {
        // A byte that no text holds keeps the parts apart.
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn list(&mut self, name: &str, parts: impl IntoIterator<Item = String>) {
        self.part(name);
        for part in parts {
            self.part(&part);
        }
    }
}

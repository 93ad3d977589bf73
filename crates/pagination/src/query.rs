//! What is read: a collection, its filters, and an order that no write can disturb.

use core::fmt;

use http::{Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::Order;
use crate::dialect::{Dialect, Method};

/// Everything but RFC 3986's unreserved characters is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A collection to read, and how.
///
/// ```
/// use pagination::{Query, dialect::JUMPCLOUD_V1};
///
/// let users = Query::new(JUMPCLOUD_V1, "https://console.jumpcloud.com/api/systemusers".parse()?)?
///     .filter("department:$eq:IT")
///     .sort("-_id")?;
/// assert!(users.sort("username").is_err(), "two users could have the same name");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) dialect: Dialect,
    uri: Uri,
    filters: Vec<String>,
    sort_field: &'static str,
    order: Order,
    page_size: u32,
    prefetch: usize,
}

impl Query {
    /// All rows of the collection at `uri`, in ascending order of its key where the API sorts.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NotAbsolute`] without scheme and host, [`InvalidQuery::UserInfo`] with a
    /// password in the address, [`InvalidQuery::OwnParameter`] if the address already holds a
    /// parameter that the scan writes.
    pub fn new(dialect: Dialect, uri: Uri) -> Result<Self, InvalidQuery> {
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
            if let Some(own) = dialect.own_parameters.iter().find(|own| **own == name) {
                return Err(InvalidQuery::OwnParameter { parameter: own });
            }
        }
        let sort_field = match dialect.method {
            Method::Offset { sort_fields: [first, ..] } => first,
            _ => "",
        };
        Ok(Self {
            dialect,
            uri,
            filters: Vec::new(),
            sort_field,
            order: Order::Ascending,
            page_size: dialect.ceiling,
            prefetch: 0,
        })
    }

    /// Only the rows that match, in the API's own syntax; the value is percent-encoded.
    #[must_use]
    pub fn filter(mut self, expression: impl Into<String>) -> Self {
        self.filters.push(expression.into());
        self
    }

    /// Sorted by this field, `-` in front for descending order.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NotUnique`] for any field but the dialect's unique key,
    /// [`InvalidQuery::Unsortable`] where the API cannot sort.
    pub fn sort(mut self, field: &str) -> Result<Self, InvalidQuery> {
        let (name, order) = match field.strip_prefix('-') {
            Some(name) => (name, Order::Descending),
            None => (field, Order::Ascending),
        };
        let Method::Offset { sort_fields } = self.dialect.method else {
            return Err(InvalidQuery::Unsortable { dialect: self.dialect.name });
        };
        self.sort_field = sort_fields.iter().find(|key| **key == name).ok_or_else(|| {
            InvalidQuery::NotUnique {
                field: name.to_owned(),
                key: sort_fields.first().copied().unwrap_or_default(),
            }
        })?;
        self.order = order;
        Ok(self)
    }

    /// Pages of this many rows; the dialect's ceiling by default. An anchored page has at least
    /// two rows, so there 1 is asked as 2.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NoRows`] for pages of no rows.
    pub fn page_size(mut self, rows: u32) -> Result<Self, InvalidQuery> {
        if rows == 0 {
            return Err(InvalidQuery::NoRows);
        }
        self.page_size = rows;
        Ok(self)
    }

    /// This many pages are asked for ahead of the one that is read, and held in memory; 0 by default.
    /// A cursor dialect can only ask for one, because it must have seen the page before, and an
    /// offset dialect for none while the API tells no total.
    #[must_use]
    pub const fn prefetch(mut self, pages: usize) -> Self {
        self.prefetch = pages;
        self
    }

    pub(crate) const fn order(&self) -> Order {
        self.order
    }

    pub(crate) fn rows_per_page(&self) -> u32 {
        match self.dialect.method {
            Method::Offset { .. } => self.page_size.max(2),
            Method::Cursor { .. } => self.page_size,
        }
    }

    pub(crate) const fn ahead(&self) -> usize {
        self.prefetch
    }

    /// A stable number for what is read: dialect, address, filters and sort, not how fast.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let order = match self.order {
            Order::Ascending => "",
            Order::Descending => "-",
        };
        let mut hash = Fnv::new();
        hash.part(self.dialect.name);
        hash.part(&self.uri.to_string());
        hash.part(order);
        hash.part(self.sort_field);
        for filter in &self.filters {
            hash.part(filter);
        }
        format!("{:016x}", hash.0)
    }

    /// The request for a page.
    pub(crate) fn request<B: From<bytes::Bytes>>(
        &self,
        place: &Place,
        rows: u32,
    ) -> Result<Request<B>, InvalidQuery> {
        let mut target = self.uri.path().to_owned();
        let mut separator = '?';
        let mut push = |text: &str| {
            target.push(separator);
            target.push_str(text);
            separator = '&';
        };
        if let Some(query) = self.uri.query().filter(|query| !query.is_empty()) {
            push(query);
        }
        let encoded = |value: &str| utf8_percent_encode(value, ENCODED).to_string();
        for filter in &self.filters {
            push(&format!("{}={}", self.dialect.filter_parameter, encoded(filter)));
        }
        match (self.dialect.method, place) {
            (Method::Offset { .. }, Place::Rank { skip, order }) => {
                let minus = if *order == Order::Descending { "-" } else { "" };
                push(&format!("limit={rows}&skip={skip}&sort={minus}{}", self.sort_field));
            }
            (Method::Cursor { position, size }, Place::After(cursor)) => {
                push(&format!("{size}={rows}"));
                if let Some(cursor) = cursor {
                    push(&format!("{position}={}", encoded(cursor)));
                }
            }
            (Method::Offset { .. }, Place::After(_))
            | (Method::Cursor { .. }, Place::Rank { .. }) => {
                debug_assert!(false, "the scan asks by its dialect's own method");
            }
        }
        let mut parts = self.uri.clone().into_parts();
        let too_long = |_| InvalidQuery::TooLong { bytes: target.len() };
        parts.path_and_query = Some(target.parse().map_err(too_long)?);
        let mut request = Request::new(B::from(bytes::Bytes::new()));
        *request.uri_mut() =
            Uri::from_parts(parts).map_err(|_| InvalidQuery::TooLong { bytes: target.len() })?;
        for &(name, value) in self.dialect.headers {
            request.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        Ok(request)
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind a cursor, or at the beginning.
    After(Option<String>),
    /// At a rank in this order.
    Rank { skip: u64, order: Order },
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
}

/// Why a [`Query`] cannot exist.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidQuery {
    /// A page of no rows would never end.
    NoRows,
    /// The address has no scheme or no host.
    NotAbsolute,
    /// Rows could have equal values in this field, or change it, and be missed or repeated.
    NotUnique {
        /// The field that was asked for.
        field: String,
        /// The field that is unique.
        key: &'static str,
    },
    /// The address holds a parameter that the scan writes itself.
    OwnParameter {
        /// The parameter.
        parameter: &'static str,
    },
    /// The filters or the API's cursor make an address that no request can carry: above 65,534 bytes.
    TooLong {
        /// The length of its path and query.
        bytes: usize,
    },
    /// The API cannot sort this list.
    Unsortable {
        /// The dialect.
        dialect: &'static str,
    },
    /// The address holds a user name or a password.
    UserInfo,
}

impl fmt::Display for InvalidQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRows => f.write_str("a page must have at least one row"),
            Self::NotAbsolute => f.write_str("the URL needs a scheme and a host"),
            Self::NotUnique { field, key } => write!(
                f,
                "cannot sort by `{field}`: rows with equal or changing values would be missed or \
                 repeated; sort by the unique key `{key}` or `-{key}`"
            ),
            Self::OwnParameter { parameter } => {
                write!(f, "the URL already holds `{parameter}`, which the scan sets itself")
            }
            Self::TooLong { bytes } => {
                write!(f, "the address of the next page is too long: {bytes} bytes")
            }
            Self::Unsortable { dialect } => write!(f, "{dialect} lists cannot be sorted"),
            Self::UserInfo => f.write_str("the URL must not hold a user name or a password"),
        }
    }
}

impl std::error::Error for InvalidQuery {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{IXON, JUMPCLOUD_V1, JUMPCLOUD_V2};
    use bytes::Bytes;

    fn query(dialect: Dialect, uri: &str) -> Query {
        Query::new(dialect, uri.parse().unwrap()).unwrap()
    }

    fn target(query: &Query, place: &Place) -> String {
        query.request::<Bytes>(place, 50).unwrap().uri().to_string()
    }

    #[test]
    fn an_offset_request_is_sorted_and_its_filters_are_encoded() {
        let users = query(JUMPCLOUD_V1, "http://h/api/systemusers?fields=username")
            .filter("username:$eq:ann & bob");
        let place = |order| Place::Rank { skip: 99, order };
        assert_eq!(
            target(&users, &place(Order::Ascending)),
            "http://h/api/systemusers?fields=username&filter=username%3A%24eq%3Aann%20%26%20bob\
             &limit=50&skip=99&sort=_id"
        );
        assert!(target(&users, &place(Order::Descending)).ends_with("&sort=-_id"));
    }

    #[test]
    fn a_cursor_request_carries_its_cursor_encoded() {
        let agents = query(IXON, "http://h/api/agents");
        assert_eq!(target(&agents, &Place::After(None)), "http://h/api/agents?page-size=50");
        assert_eq!(
            target(&agents, &Place::After(Some("a+/=".into()))),
            "http://h/api/agents?page-size=50&page-after=a%2B%2F%3D"
        );
        let request = agents.request::<Bytes>(&Place::After(None), 1).unwrap();
        assert_eq!(request.headers()["api-version"], "2");
        let error = agents.request::<Bytes>(&Place::After(Some("x".repeat(70_000))), 1);
        assert!(matches!(error, Err(InvalidQuery::TooLong { bytes: 70_000.. })));
    }

    #[test]
    fn only_the_unique_key_sorts() {
        let users = || query(JUMPCLOUD_V1, "http://h/u");
        assert_eq!(users().sort("-_id").unwrap().order(), Order::Descending);
        assert_eq!(query(JUMPCLOUD_V2, "http://h/u").sort("id").unwrap().sort_field, "id");
        let error = users().sort("-username").unwrap_err();
        assert_eq!(error, InvalidQuery::NotUnique { field: "username".into(), key: "_id" });
        let error = query(IXON, "http://h/u").sort("publicId").unwrap_err();
        assert_eq!(error, InvalidQuery::Unsortable { dialect: "ixon" });
    }

    #[test]
    fn an_address_that_would_break_the_scan_is_refused() {
        for (uri, error) in [
            ("/api/systemusers", InvalidQuery::NotAbsolute),
            ("http://me:pass@h/", InvalidQuery::UserInfo),
            ("http://h/?sort=name", InvalidQuery::OwnParameter { parameter: "sort" }),
            ("http://h/?a=b&ski%70=3", InvalidQuery::OwnParameter { parameter: "skip" }),
        ] {
            let query = Query::new(JUMPCLOUD_V1, uri.parse().unwrap());
            assert_eq!(query.unwrap_err(), error, "{uri}");
        }
    }

    #[test]
    fn a_fingerprint_tells_queries_apart_and_not_how_they_are_read() {
        let users = query(JUMPCLOUD_V1, "http://h/u");
        let same = users.clone().prefetch(4).page_size(7).unwrap();
        assert_eq!(users.fingerprint(), same.fingerprint());
        for other in [
            users.clone().filter("a"),
            users.clone().filter("a").filter("b"),
            users.clone().filter("ab"),
            users.clone().sort("-_id").unwrap(),
            query(JUMPCLOUD_V1, "http://h/v"),
            query(JUMPCLOUD_V1, "https://h/u"),
            query(JUMPCLOUD_V2, "http://h/u"),
        ] {
            assert_ne!(users.fingerprint(), other.fingerprint(), "{other:?}");
        }
    }
}

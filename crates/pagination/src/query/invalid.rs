//! Why a query cannot exist.

use core::fmt;

/// Why a [`Query`](crate::Query) cannot exist.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidQuery {
    /// The dialect's `call` has not written the filters, so that every row would come.
    FiltersNotSent {
        /// The dialect.
        dialect: &'static str,
    },
    /// The dialect has no filter that bounds the key, or it cannot stand beside this query's filters or sort.
    NoBound {
        /// The dialect.
        dialect: &'static str,
    },
    /// The dialect cannot select fields.
    NoFields {
        /// The dialect.
        dialect: &'static str,
    },
    /// This is no header.
    NoHeader {
        /// Its name.
        name: String,
    },
    /// The dialect is sorted by a key and names no field that holds it.
    NoKey {
        /// The dialect.
        dialect: &'static str,
    },
    /// There is no range to be cut into slices.
    NoRange,
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
    /// The value holds what separates values in this filter.
    Separator {
        /// The value.
        value: String,
    },
    /// The filters or the API's cursor make an address that no request can carry: above 65,534 bytes.
    TooLong {
        /// The length of its path and query.
        bytes: usize,
    },
    /// The API cannot sort this list, or not by this.
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
            Self::FiltersNotSent { dialect } => {
                write!(f, "{dialect} does not send filters")
            }
            Self::NoKey { dialect } => {
                write!(f, "{dialect} is sorted by a key and names no field for it")
            }
            Self::Separator { value } => {
                write!(f, "`{value}` holds what separates values in this filter")
            }
            Self::NoBound { dialect } => {
                write!(f, "{dialect} has no filter that bounds the key of this query")
            }
            Self::NoFields { dialect } => write!(f, "{dialect} lists cannot select fields"),
            Self::NoHeader { name } => write!(f, "`{name}` is no header for this query"),
            Self::NoRange => f.write_str("there is no range to be cut into slices"),
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
            Self::Unsortable { dialect } => write!(
                f,
                "{dialect} cannot sort this list by a unique key, so no page can be trusted to follow another"
            ),
            Self::UserInfo => f.write_str("the URL must not hold a user name or a password"),
        }
    }
}

impl std::error::Error for InvalidQuery {}

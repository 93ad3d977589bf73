//! Conditions on rows, in the language of one API: what the API lacks cannot be written.

use core::fmt;
use core::marker::PhantomData;

use serde_json::Value;

use crate::dialect::Any;

/// A condition in the language `G` of one API.
///
/// ```
/// use pagination::{Query, dialect::{JUMPCLOUD_V1, JUMPCLOUD_V2}};
///
/// let query = Query::new(JUMPCLOUD_V1, "https://console.jumpcloud.com/api/systemusers".parse()?)?
///     .filter(JUMPCLOUD_V1.field("department").eq("IT"))
///     .filter(JUMPCLOUD_V1.field("created").gte("2026-01-01T00:00:00Z"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The operators of another version are not there:
///
/// ```compile_fail,E0599
/// # use pagination::dialect::JUMPCLOUD_V2;
/// JUMPCLOUD_V2.field("created").gte("2026-01-01T00:00:00Z"); // v2 says `ge`
/// ```
///
/// ```compile_fail,E0308
/// # use pagination::{Query, dialect::{JUMPCLOUD_V1, JUMPCLOUD_V2}};
/// # let query = Query::new(JUMPCLOUD_V2, "http://h/".parse().unwrap()).unwrap();
/// query.filter(JUMPCLOUD_V1.field("department").eq("IT"));
/// ```
pub struct Filter<G = Any> {
    pub(crate) expression: Value,
    grammar: PhantomData<fn() -> G>,
}

impl<G> Filter<G> {
    pub(crate) fn of(expression: impl Into<Value>) -> Self {
        Self { expression: expression.into(), grammar: PhantomData }
    }

    /// In the API's own syntax, unchecked; percent-encoded where it is part of an address.
    #[must_use]
    pub fn raw(expression: impl Into<Value>) -> Self {
        Self::of(expression)
    }
}

/// A field of a row in the language `G`; its methods are the operators that the API has.
pub struct Field<G> {
    name: String,
    grammar: PhantomData<fn() -> G>,
}

impl<G> Field<G> {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), grammar: PhantomData }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `name:operator:value`
    pub(crate) fn colons(&self, operator: &str, value: &Value) -> Filter<G> {
        Filter::of(format!("{}:{operator}:{}", self.name, plain(value)))
    }
}

/// A value as it stands in an address: a text without quotes, anything else as JSON.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl<G> Clone for Filter<G> {
    fn clone(&self) -> Self {
        Self::of(self.expression.clone())
    }
}

impl<G> fmt::Debug for Filter<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.expression).finish()
    }
}

impl<G> fmt::Debug for Field<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.name).finish()
    }
}

/// How a key is compared with a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "what keyset paging and key ranges need")]
pub enum Comparison {
    /// Greater than the bound.
    Greater,
    /// Greater than the bound, or equal to it.
    GreaterOrEqual,
    /// Less than the bound.
    Less,
}

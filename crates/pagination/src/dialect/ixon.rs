//! IXON's APIv2 lists: an opaque cursor.
//!
//! Sources: "Common errors" and the OpenAPI document; `page-size` and `page-after` are documented on
//! the developer pages only.

use core::time::Duration;

use serde_json::Value;

use super::{ApiWords, Call, Dialect, Method, Spec};
use crate::filter::{Field, Filter};
use crate::page::{Answer, KeyField, NotAPage, Page};

/// The filters of IXON's lists: `operator(field,"value")`.
#[derive(Debug)]
pub struct Ixon(());

/// `{"type": …, "data": [{"publicId": …}, …], "moreAfter": null, "status": "success"}`.
///
/// `Api-Application` and `Api-Company` are given by [`Query::header`](crate::Query::header).
pub const IXON: Dialect<Ixon> = Dialect::of(Spec {
    name: "ixon",
    method: Method::Cursor,
    // No ceiling is documented; the vendor's own code asks for 250 to 4000 rows. Our choice.
    ceiling: |_| 1000,
    key: KeyField { paths: &["publicId"], is_required: false, is_unique: true },
    has_reverse: false,
    fields: Some(("fields", ",")),
    own_parameters: &["page-after", "page-size"],
    headers: &[("accept", "application/json"), ("api-version", "2")],
    call,
    page,
    words,
    // "Common errors": 504 when a request takes longer. The document says 50 s on one page, 60 s on another.
    time_limit: Some(Duration::from_secs(50)),
    ..Spec::PLAIN
});

fn call(call: &mut Call<'_>) {
    for filter in call.filters() {
        call.parameter("filters", filter);
    }
    call.parameter("page-size", call.rows());
    if let Some(cursor) = call.cursor() {
        call.parameter("page-after", cursor);
    }
}

fn page(answer: &Answer<'_>) -> Result<Page, NotAPage> {
    let [data, more_after, status] = answer.object(["data", "moreAfter", "status"])?;
    if status.json() == Some("\"error\"") {
        return Err(NotAPage::SaysError);
    }
    // "data" is an object when one value is returned. Without `moreAfter` nobody says that this is the end.
    Ok(answer.rows_in(data)?.with_next(more_after.cursor()?))
}

/// `{"data": [{"message": "Invalid value", "propertyName": "Api-Company"}], …}`
fn words(body: &[u8]) -> Option<ApiWords> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let first = json.get("data")?.get(0)?;
    let text = |name| first.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(ApiWords { message: text("message")?, field: text("propertyName") })
}

impl Field<Ixon> {
    fn function(&self, operator: &str, values: impl IntoIterator<Item = Value>) -> Filter<Ixon> {
        let mut text = format!("{operator}({}", self.name());
        for value in values {
            text.push(',');
            // JSON's quotes and escapes are the ones that the API reads.
            text.push_str(&value.to_string());
        }
        text.push(')');
        Filter::of(text)
    }

    /// Equal.
    #[must_use]
    pub fn eq(&self, value: impl Into<Value>) -> Filter<Ixon> {
        self.function("eq", [value.into()])
    }

    /// Not equal.
    #[must_use]
    pub fn ne(&self, value: impl Into<Value>) -> Filter<Ixon> {
        self.function("ne", [value.into()])
    }

    /// Less.
    #[must_use]
    pub fn lt(&self, value: impl Into<Value>) -> Filter<Ixon> {
        self.function("lt", [value.into()])
    }

    /// Less or equal.
    #[must_use]
    pub fn lte(&self, value: impl Into<Value>) -> Filter<Ixon> {
        self.function("lte", [value.into()])
    }

    /// Greater.
    #[must_use]
    pub fn gt(&self, value: impl Into<Value>) -> Filter<Ixon> {
        self.function("gt", [value.into()])
    }

    /// Greater or equal.
    #[must_use]
    pub fn gte(&self, value: impl Into<Value>) -> Filter<Ixon> {
        self.function("gte", [value.into()])
    }

    /// One of these values.
    #[must_use]
    pub fn is_in<V: Into<Value>>(&self, values: impl IntoIterator<Item = V>) -> Filter<Ixon> {
        self.function("in", values.into_iter().map(Into::into))
    }

    /// None of these values.
    #[must_use]
    pub fn not_in<V: Into<Value>>(&self, values: impl IntoIterator<Item = V>) -> Filter<Ixon> {
        self.function("ni", values.into_iter().map(Into::into))
    }

    /// Without a value.
    #[must_use]
    pub fn is_null(&self) -> Filter<Ixon> {
        self.function("isnull", [])
    }

    /// With a value.
    #[must_use]
    pub fn is_not_null(&self) -> Filter<Ixon> {
        self.function("isnotnull", [])
    }

    /// From the first value to the second.
    #[must_use]
    pub fn between(&self, from: impl Into<Value>, to: impl Into<Value>) -> Filter<Ixon> {
        self.function("between", [from.into(), to.into()])
    }

    /// With this text in it.
    #[must_use]
    pub fn contains(&self, text: impl Into<String>) -> Filter<Ixon> {
        self.function("contains", [Value::String(text.into())])
    }
}

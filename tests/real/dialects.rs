//! The wire formats of the three servers.

use pagination::dialect::{Call, Dialect, Method, Place};
use pagination::filter::Comparison;
use pagination::page::Answer;
use pagination::{NotAPage, Page};
use serde_json::json;

/// The names by which a server sorts. A row's number has the order of its id, also where the client
/// cannot compare ids.
const SORTS: &[&str] = &["id", "number"];

/// Feathers: `$skip`, `$limit`, `$sort[id]=-1` and `id[$gt]=7`.
pub const FEATHERS: Dialect = Dialect::new("feathers", Method::Offset)
    .key(&["id"])
    .sorted_by(SORTS)
    .own_parameters(&["$skip", "$limit", "$sort[id]", "$sort[number]"])
    .bounded_by(
        |field, comparison, bound| {
            let operator = operator(comparison, ["$gt", "$gte", "$lt"]);
            json!({ format!("{field}[{operator}]"): bound.to_string() })
        },
        false,
    )
    .call(|call| {
        filters(call);
        call.parameter("$skip", call.skip());
        call.parameter("$limit", call.rows());
        if let Some((field, is_descending)) = sort(call) {
            call.parameter(&format!("$sort[{field}]"), if is_descending { -1 } else { 1 });
        }
    })
    .page(|answer| {
        let [data, total] = answer.object(["data", "total"])?;
        Ok(answer.rows_in(data)?.with_total(total.count()))
    });

/// json-server: `_start`, `_limit`, `_sort=id`, `_order=desc`, and `id_gte=7&id_ne=7` for ids
/// greater than 7.
pub const JSON_SERVER: Dialect = json_server("json-server", Method::Offset);

/// json-server by `_page`, counted from one.
pub const JSON_SERVER_PAGES: Dialect =
    json_server("json-server-pages", Method::PageIndex { first: 1 });

const fn json_server(name: &'static str, method: Method) -> Dialect {
    Dialect::new(name, method)
        .key(&["id"])
        .sorted_by(SORTS)
        .own_parameters(&["_start", "_page", "_limit", "_sort", "_order"])
        .bounded_by(
            |field, comparison, bound| {
                let operator = operator(comparison, ["gte", "gte", "lte"]);
                let mut filter = json!({ format!("{field}_{operator}"): bound.to_string() });
                if comparison != Comparison::GreaterOrEqual {
                    filter[format!("{field}_ne")] = bound.to_string().into();
                }
                filter
            },
            false,
        )
        .call(|call| {
            filters(call);
            match call.place() {
                Place::Page { index } => call.parameter("_page", index),
                _ => call.parameter("_start", call.skip()),
            }
            call.parameter("_limit", call.rows());
            if let Some((field, is_descending)) = sort(call) {
                call.parameter("_sort", field);
                call.parameter("_order", if is_descending { "desc" } else { "asc" });
            }
        })
        .page(|answer| Ok(answer.list()?.with_total(answer.count_of("x-total-count"))))
}

/// A view of Datasette: `_next` is the offset of the page.
pub const DATASETTE_VIEW: Dialect = datasette("datasette-view", Method::Offset)
    .sorted_by(SORTS)
    .call(|call| {
        call.parameter("_next", call.skip());
        datasette_call(call);
    })
    .page(|answer| {
        let [rows, total] = answer.object(["rows", "filtered_table_rows_count"])?;
        Ok(answer.rows_in(rows)?.with_total(total.count()))
    });

/// A table of Datasette: `next` is a cursor, the value of the sort and the key of the last row.
pub const DATASETTE_CURSOR: Dialect = datasette("datasette-cursor", Method::Cursor)
    .call(|call| {
        call.parameter("_next", call.cursor());
        datasette_call(call);
    })
    .page(|answer| datasette_page(answer, "next"));

/// A table of Datasette by `next_url`, an address.
pub const DATASETTE_LINK: Dialect = datasette("datasette-link", Method::Link)
    .call(datasette_call)
    .page(|answer| datasette_page(answer, "next_url"));

const fn datasette(name: &'static str, method: Method) -> Dialect {
    Dialect::new(name, method)
        .key(&["id"])
        .own_parameters(&["_next", "_size", "_shape", "_nofacet"])
        .bounded_by(
            |field, comparison, bound| {
                let operator = operator(comparison, ["gt", "gte", "lt"]);
                json!({ format!("{field}__{operator}"): bound.to_string() })
            },
            false,
        )
}

fn datasette_call(call: &mut Call<'_>) {
    filters(call);
    call.parameter("_shape", "objects");
    call.parameter("_nofacet", 1);
    call.parameter("_size", call.rows());
    if let Some((field, is_descending)) = sort(call) {
        call.parameter(if is_descending { "_sort_desc" } else { "_sort" }, field);
    }
}

fn datasette_page(answer: &Answer<'_>, next: &'static str) -> Result<Page, NotAPage> {
    let [rows, next, total] = answer.object(["rows", next, "filtered_table_rows_count"])?;
    Ok(answer.rows_in(rows)?.with_next(next.cursor()?).with_total(total.count()))
}

/// The field to sort by, and whether the order is descending; `None` for a list without a sort.
fn sort<'a>(call: &Call<'a>) -> Option<(&'a str, bool)> {
    match call.sort().strip_prefix('-') {
        Some(field) => Some((field, true)),
        None => Some((call.sort(), false)).filter(|(field, _)| !field.is_empty()),
    }
}

/// The API's word for greater, greater or equal, or less.
fn operator(comparison: Comparison, [gt, gte, lt]: [&'static str; 3]) -> &'static str {
    match comparison {
        Comparison::Greater => gt,
        Comparison::GreaterOrEqual => gte,
        Comparison::Less => lt,
    }
}

/// Adds the filters. Each is an object of parameters, because the operator is part of their names.
fn filters(call: &mut Call<'_>) {
    for filter in call.filters() {
        for (name, value) in filter.as_object().into_iter().flatten() {
            call.parameter(name, value.clone());
        }
    }
}

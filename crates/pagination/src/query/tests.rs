//! What a query asks for, and what it refuses.

use super::*;
use crate::Order;
use crate::dialect::{IXON, JUMPCLOUD_V1, JUMPCLOUD_V2};
use bytes::Bytes;

fn query<G>(dialect: Dialect<G>, uri: &str) -> Query<G> {
    Query::new(dialect, uri.parse().unwrap()).unwrap()
}

fn target<G>(query: &Query<G>, at: &PagePosition) -> String {
    query.terms.request::<Bytes>(at, 50).unwrap().uri().to_string()
}

#[test]
fn an_offset_request_is_sorted_and_its_filters_are_encoded() {
    let users = query(JUMPCLOUD_V1, "http://h/api/systemusers?fields=username")
        .filter(JUMPCLOUD_V1.field("username").eq("ann & bob"));
    let place = |order| PagePosition::Rank { skip: 99, order, above: None };
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
    assert_eq!(target(&agents, &PagePosition::Cursor(None)), "http://h/api/agents?page-size=50");
    assert_eq!(
        target(&agents, &PagePosition::Cursor(Some("a+/=".into()))),
        "http://h/api/agents?page-size=50&page-after=a%2B%2F%3D"
    );
    let request = agents.terms.request::<Bytes>(&PagePosition::Cursor(None), 1).unwrap();
    assert_eq!(request.headers()["api-version"], "2");
    let error =
        agents.terms.request::<Bytes>(&PagePosition::Cursor(Some("x".repeat(70_000).into())), 1);
    assert!(matches!(error, Err(InvalidQuery::TooLong { bytes: 70_000.. })));
}

#[test]
fn only_the_unique_key_sorts() {
    let users = || query(JUMPCLOUD_V1, "http://h/u");
    assert_eq!(users().sort("-_id").unwrap().terms.order(), Order::Descending);
    assert_eq!(query(JUMPCLOUD_V2, "http://h/u").sort("id").unwrap().terms.sort_field, "id");
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
    let users = query(JUMPCLOUD_V1.untyped(), "http://h/u");
    let same = users.clone().prefetch(4).page_size(7).unwrap();
    assert_eq!(users.fingerprint(), same.fingerprint());
    for other in [
        users.clone().filter(Filter::raw("a")),
        users.clone().filter(Filter::raw("a")).filter(Filter::raw("b")),
        users.clone().filter(Filter::raw("ab")),
        users.clone().sort("-_id").unwrap(),
        query(JUMPCLOUD_V1.untyped(), "http://h/v"),
        query(JUMPCLOUD_V1.untyped(), "https://h/u"),
        query(JUMPCLOUD_V2.untyped(), "http://h/u"),
    ] {
        assert_ne!(users.fingerprint(), other.fingerprint(), "{other:?}");
    }
}

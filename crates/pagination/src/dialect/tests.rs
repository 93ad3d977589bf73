//! What each dialect sends and what it reads, as the documents of its API have it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::page::Next;
use crate::query::PagePosition;
use crate::{Filter, InvalidQuery, Key, Order, Query};

fn query<G>(dialect: Dialect<G>, uri: &str) -> Query<G> {
    Query::new(dialect, uri.parse().unwrap()).unwrap()
}

fn request<G>(query: &Query<G>, at: &PagePosition) -> Request<Bytes> {
    query.terms.request(at, 50).unwrap()
}

fn rank(skip: u64) -> PagePosition {
    PagePosition::Rank { skip, order: Order::Ascending, above: None }
}

fn cursor(cursor: &str) -> PagePosition {
    PagePosition::Cursor(Some(cursor.into()))
}

/// Path and query, and the body.
fn sent<G>(query: &Query<G>, at: &PagePosition) -> (String, String) {
    let request = request(query, at);
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    (request.uri().path_and_query().unwrap().to_string(), body)
}

fn read<G>(
    dialect: Dialect<G>,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
) -> Result<Page, NotAPage> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let body = Bytes::from_static(body.as_bytes());
    let key = dialect.spec.key;
    (dialect.spec.page)(&Answer { headers: &headers, body: &body, key })
}

/// The keys of a page, its total, and what comes next.
fn found(page: Result<Page, NotAPage>) -> (Vec<String>, Option<u64>, Next) {
    let page = page.unwrap();
    let keys = page.rows.iter().filter_map(|row| Some(row.key()?.to_string())).collect();
    (keys, page.total, page.next)
}

fn keys<const N: usize>(keys: [&str; N]) -> Vec<String> {
    keys.map(str::to_owned).to_vec()
}

#[test]
fn jumpcloud_v1() {
    let users = || query(JUMPCLOUD_V1, "https://console.jumpcloud.com/api/systemusers");
    let path = "/api/systemusers";
    let [it, bob] = [("department", "IT"), ("username", "ann & bob:x")]
        .map(|(field, value)| JUMPCLOUD_V1.field(field).eq(value));
    let ordered = "limit=50&skip=99&sort=_id";
    for (query, expected) in [
        (users(), format!("{path}?{ordered}")),
        (users().filter(it.clone()), format!("{path}?filter=department%3A%24eq%3AIT&{ordered}")),
        (
            users().filter(it.clone()).filter(bob.clone()),
            format!(
                "{path}?filter%5B0%5D=department%3A%24eq%3AIT\
                 &filter%5B1%5D=username%3A%24eq%3Aann%20%26%20bob%3Ax&{ordered}"
            ),
        ),
        (
            users().any_of([it, bob]),
            format!(
                "{path}?filter%5Bor%5D%5B0%5D=department%3A%24eq%3AIT\
                 &filter%5Bor%5D%5B1%5D=username%3A%24eq%3Aann%20%26%20bob%3Ax&{ordered}"
            ),
        ),
        (users().fields(["username"]).unwrap(), format!("{path}?fields=username%20_id&{ordered}")),
        (
            users().sort_by(["-created"]).unwrap(),
            format!("{path}?limit=50&skip=99&sort=-created%20_id"),
        ),
    ] {
        assert_eq!(sent(&query, &rank(99)), (expected, String::new()));
    }
    let operators = {
        let field = JUMPCLOUD_V1.field("n");
        [field.ne(1), field.gt(1), field.gte(1), field.lt(1), field.lte(true)]
    };
    let texts = operators.map(|filter: Filter<_>| filter.expression.as_str().unwrap().to_owned());
    assert_eq!(texts, ["n:$ne:1", "n:$gt:1", "n:$gte:1", "n:$lt:1", "n:$lte:true"]);
    let above = PagePosition::Rank {
        skip: 0,
        order: Order::Ascending,
        above: Some(Key::Text("5f".into())),
    };
    let expected = format!("{path}?filter=_id%3A%24gt%3A5f&limit=50&skip=0&sort=_id");
    assert_eq!(sent(&users().keyset().unwrap(), &above).0, expected);

    for (body, expected) in [
        (
            r#"{"totalCount":2,"results":[{"_id":"a"},{"_id":"b"}]}"#,
            (keys(["a", "b"]), Some(2), Next::Unsaid),
        ),
        (
            r#"{ "results" : [ ] , "other": {} , "totalCount" : null }"#,
            (keys([]), None, Next::Unsaid),
        ),
        (r#"{"results":[{"_id":"a"},null]}"#, (keys(["a"]), None, Next::Unsaid)),
    ] {
        assert_eq!(found(read(JUMPCLOUD_V1, &[], body)), expected, "{body}");
    }
    for (body, error) in [
        ("{}", NotAPage::Lacks { part: "results" }),
        (r#"{"results":null}"#, NotAPage::NoList { part: "results" }),
        (r#"{"results":{}}"#, NotAPage::NoList { part: "results" }),
    ] {
        assert_eq!(read(JUMPCLOUD_V1, &[], body).unwrap_err(), error, "{body}");
    }
    let words = (V1_WORDS)(br#"{"message":"Bad Request: x"}"#).unwrap();
    assert_eq!(words.message(), "Bad Request: x");
}

const V1_WORDS: fn(&[u8]) -> Option<ApiWords> = JUMPCLOUD_V1.spec.words;

#[test]
fn jumpcloud_search_asks_in_the_body_and_vouches_that_it_only_reads() {
    let users = query(JUMPCLOUD_SEARCH, "https://console.jumpcloud.com/api/search/systemusers");
    let field = |name: &str| JUMPCLOUD_SEARCH.field(name);
    let path = "/api/search/systemusers".to_owned();
    let plain = r#"{"limit":50,"skip":99,"sort":"_id"}"#.to_owned();
    assert_eq!(sent(&users, &rank(99)), (path.clone(), plain));
    let filtered = users
        .clone()
        .filter(field("created").gt("2026"))
        .any_of([field("department").eq("IT"), field("username").regex("(?i)^a")])
        .search("ann", ["username", "email"])
        .fields(["username"])
        .unwrap();
    let body = concat!(
        r#"{"fields":"username _id","filter":{"and":[{"created":{"$gt":"2026"}},"#,
        r#"{"or":[{"department":"IT"},{"username":{"$regex":"(?i)^a"}}]}]},"limit":50,"#,
        r#""searchFilter":{"fields":["username","email"],"searchTerm":"ann"},"skip":0,"sort":"_id"}"#,
    );
    assert_eq!(sent(&filtered, &rank(0)), (path, body.to_owned()));
    let request = request(&users, &rank(0));
    assert_eq!(request.method(), "POST");
    assert_eq!(request.headers()["content-type"], "application/json");
    assert!(request.extensions().get::<retry_policy::safety::Vouched>().is_some());
    assert_eq!(JUMPCLOUD_SEARCH.ceiling("/api/search/systemusers"), 1_000);
    assert_eq!(JUMPCLOUD_SEARCH.ceiling("/api/search/commandresults"), 100);
}

#[test]
fn jumpcloud_v2() {
    let groups = query(JUMPCLOUD_V2, "https://console.jumpcloud.com/api/v2/usergroups");
    let field = JUMPCLOUD_V2.field("n");
    let filtered = groups.clone().filter(field.ge(7)).filter(field.is_in(["a", "b"]).unwrap());
    let expected =
        "/api/v2/usergroups?filter=n%3Age%3A7&filter=n%3Ain%3Aa%7Cb&limit=50&skip=7&sort=_id";
    assert_eq!(sent(&filtered, &rank(7)).0, expected);
    let by_name = groups.sort_by(["name"]).unwrap().sort("id").unwrap();
    assert!(sent(&by_name, &rank(0)).0.ends_with("&sort=name%2Cid"));
    let texts = [
        field.eq(1),
        field.ne(1),
        field.gt(1),
        field.lt(1),
        field.le(1),
        field.between(1, 2).unwrap(),
    ]
    .map(|filter| filter.expression.as_str().unwrap().to_owned());
    assert_eq!(texts, ["n:eq:1", "n:ne:1", "n:gt:1", "n:lt:1", "n:le:1", "n:between:1,2"]);

    let separator = |value: &str| InvalidQuery::Separator { value: value.into() };
    assert_eq!(field.is_in(["a|b"]).unwrap_err(), separator("a|b"));
    assert_eq!(field.between("a", "b,c").unwrap_err(), separator("b,c"));

    for (total, expected) in [("7", Some(7)), (" 7 ", Some(7)), ("many", None)] {
        let page = read(JUMPCLOUD_V2, &[("x-total-count", total)], r#" [{"id":"a"}]"#);
        assert_eq!(found(page), (keys(["a"]), expected, Next::Unsaid));
    }
    let object = read(JUMPCLOUD_V2, &[], r#"{"message":"x"}"#).unwrap_err();
    assert_eq!(object, NotAPage::NoList { part: "body" });

    for (path, ceiling, is_sortable) in [
        ("/api/v2/usergroups", 100, true),
        ("/api/v2/systeminsights/apps", 10_000, false),
        ("/api/v2/policies/1/policyresults", 100, true),
        ("/api/v2/usergroups/1/members", 100, false),
        ("/api/v2/usergroups/1/associations", 100, false),
        ("/api/v2/usergroups/1/systems", 100, false),
        ("/api/v2/users/1/memberof/", 100, false),
        ("/api/v2/systemgroups/1/users", 100, false),
    ] {
        let uri: http::Uri = format!("https://console.jumpcloud.com{path}").parse().unwrap();
        assert_eq!(JUMPCLOUD_V2.ceiling(path), ceiling, "{path}");
        let refusal = Query::new(JUMPCLOUD_V2, uri.clone()).err();
        let unsortable = InvalidQuery::Unsortable { dialect: "jumpcloud-v2" };
        assert_eq!(refusal, (!is_sortable).then_some(unsortable), "{path}");
        let unstable = Query::unstable(JUMPCLOUD_V2, uri).unwrap();
        assert_eq!(sent(&unstable, &rank(0)).0, format!("{path}?limit=50&skip=0"));
    }
}

#[test]
fn jumpcloud_v2_by_link() {
    let groups = query(JUMPCLOUD_V2_LINK, "https://console.jumpcloud.com/api/v2/systemgroups");
    let first = sent(&groups, &PagePosition::Cursor(None)).0;
    assert_eq!(first, "/api/v2/systemgroups?limit=50&sort=_id");
    let next = "/api/v2/systemgroups?limit=50&skip=50";
    assert_eq!(sent(&groups, &cursor(next)).0, next, "a link is followed as it is");
    let link = ("link", "</api/v2/systemgroups?skip=50>; rel=\"next\"");
    let page = read(JUMPCLOUD_V2_LINK, &[link, ("x-total-count", "2")], r#"[{"id":"a"}]"#);
    let next = Next::Cursor("/api/v2/systemgroups?skip=50".into());
    assert_eq!(found(page), (keys(["a"]), Some(2), next));
    let page = read(JUMPCLOUD_V2_LINK, &[], r#"[{"id":"a"}]"#);
    assert_eq!(found(page).2, Next::Unsaid, "the list may page by `skip` alone");
}

#[test]
fn organisations_are_named_where_their_header_may_stand() {
    for (path, is_named) in [
        ("/api/systemusers", true),
        ("/api/v2/usergroups", true),
        ("/api/userstates", true),
        ("/api/organizations", false),
        ("/api/search/organizations", false),
        ("/api/users", false),
        ("/api/users/1", false),
        ("/api/v2/organizations/1/cases", false),
        ("/api/v2/administrators", false),
        ("/api/v2/providers/1/invoices", false),
        ("/api/v2/integrations/autotask", false),
    ] {
        let uri = format!("https://console.jumpcloud.com{path}").parse().unwrap();
        let query = Query::new(JUMPCLOUD_V1, uri).unwrap().organization("5ebec").unwrap();
        let header = request(&query, &rank(0)).headers().get("x-org-id").cloned();
        assert_eq!(header, is_named.then(|| HeaderValue::from_static("5ebec")), "{path}");
    }
    let error = query(IXON, "https://portal.ixon.cloud/api/agents").organization("x").unwrap_err();
    assert_eq!(error, InvalidQuery::NoHeader { name: "organization".into() });
}

#[test]
fn directory_insights_goes_on_after_the_last_event_within_a_closed_range() {
    let from = UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    let events =
        query(DIRECTORY_INSIGHTS, "https://api.jumpcloud.com/insights/directory/v1/events")
            .events(["all"], from, from + Duration::from_secs(10))
            .filter(DIRECTORY_INSIGHTS.field("success").eq(false));
    let path = "/insights/directory/v1/events".to_owned();
    let body = |after: &str| {
        format!(
            "{{\"end_time\":\"2020-01-01T00:00:10.000Z\",\"limit\":50,{after}\
             \"search_term\":{{\"and\":[{{\"success\":false}}]}},\"service\":[\"all\"],\
             \"sort\":\"ASC\",\"start_time\":\"2020-01-01T00:00:00.000Z\"}}"
        )
    };
    assert_eq!(sent(&events, &PagePosition::Cursor(None)), (path.clone(), body("")));
    let after = "\"search_after\":[1576181718000,\"DZrPyW8B\"],";
    assert_eq!(sent(&events, &cursor("[1576181718000,\"DZrPyW8B\"]")), (path, body(after)));

    let stated = |count, limit| {
        [("x-result-count", count), ("x-limit", limit), ("x-search_after", "[1,\"b\"]")]
    };
    let rows = r#"[{"id":"a"},{"id":"b"}]"#;
    let more = Next::Cursor("[1,\"b\"]".into());
    for (count, limit, next) in [
        ("2", "2", more.clone()),
        ("2", "10", Next::End),
        // As numbers: as texts "9" would be more than "10".
        ("9", "10", Next::End),
        ("10", "9", more),
        ("0", "10", Next::End),
    ] {
        let next_found = found(read(DIRECTORY_INSIGHTS, &stated(count, limit), rows)).2;
        assert_eq!(next_found, next, "{count} of {limit}");
    }
    let lacks = read(DIRECTORY_INSIGHTS, &[("x-result-count", "2"), ("x-limit", "2")], rows);
    assert_eq!(lacks.unwrap_err(), NotAPage::Lacks { part: "X-Search_after" });

    let slices = events.slices(4).unwrap();
    let ends: Vec<_> = slices.iter().map(|slice| slice.terms.span.unwrap().1).collect();
    let at = |millis| from + Duration::from_millis(millis);
    assert_eq!(ends, [at(2_500), at(5_000), at(7_500), at(10_000)]);
    assert_eq!(slices[3].terms.before, None, "the last slice delivers its end");
    assert_eq!(events.slices(0).unwrap_err(), InvalidQuery::NoRange);
}

#[test]
fn ixon() {
    let agents = query(IXON, "https://portal.ixon.cloud/api/agents");
    let field = IXON.field("name");
    let filtered = agents
        .clone()
        .filter(field.is_in(["x", "a \"b\""]))
        .filter(field.is_not_null())
        .header("api-company", "1111-2222-3333-4444-5555")
        .unwrap();
    let expected = "/api/agents?filters=in%28name%2C%22x%22%2C%22a%20%5C%22b%5C%22%22%29\
                    &filters=isnotnull%28name%29&page-size=50&page-after=a%2B%2F%3D";
    assert_eq!(sent(&filtered, &cursor("a+/=")).0, expected);
    let request = request(&filtered, &PagePosition::Cursor(None));
    assert_eq!(request.headers()["api-version"], "2");
    assert_eq!(request.headers()["api-company"], "1111-2222-3333-4444-5555");
    let texts = [
        field.eq("a"),
        field.ne("a"),
        field.lt(1),
        field.lte(1),
        field.gt(1),
        field.gte(1),
        field.not_in([1, 2]),
        field.is_null(),
        field.between(1, 2),
        field.contains("x"),
    ]
    .map(|filter| filter.expression.as_str().unwrap().to_owned());
    let expected = [
        "eq(name,\"a\")",
        "ne(name,\"a\")",
        "lt(name,1)",
        "lte(name,1)",
        "gt(name,1)",
        "gte(name,1)",
        "ni(name,1,2)",
        "isnull(name)",
        "between(name,1,2)",
        "contains(name,\"x\")",
    ];
    assert_eq!(texts, expected);

    for body in [
        r#"{"data":[{"publicId":"a"}],"moreAfter":null,"status":"success"}"#,
        r#"{"data":{"publicId":"a"},"moreAfter":null,"status":"success"}"#,
    ] {
        let page = read(IXON, &[], body).unwrap();
        assert_eq!(page.rows[0].json(), r#"{"publicId":"a"}"#);
        assert_eq!((page.rows.len(), page.next), (1, Next::End));
    }
    for (body, next) in [
        (r#"{"data":[],"moreAfter":null}"#, Ok(Next::End)),
        (r#"{"data":[],"moreAfter":""}"#, Ok(Next::End)),
        (r#"{"data":[],"moreAfter":"x"}"#, Ok(Next::Cursor("x".into()))),
        (r#"{"data":[],"moreAfter":7}"#, Ok(Next::Cursor("7".into()))),
        (r#"{"data":[],"moreAfter":{}}"#, Err(NotAPage::NoCursor { part: "moreAfter" })),
        (r#"{"data":[]}"#, Err(NotAPage::Lacks { part: "moreAfter" })),
        (r#"{"moreAfter":null}"#, Err(NotAPage::Lacks { part: "data" })),
        (
            r#"{"type":"Error","data":[{"message":"m"}],"moreAfter":null,"status":"error"}"#,
            Err(NotAPage::SaysError),
        ),
    ] {
        assert_eq!(read(IXON, &[], body).map(|page| page.next), next, "{body}");
    }
    let words = (IXON.spec.words)(
        br#"{"data":[{"message":"Required header","propertyName":"Api-Company"}]}"#,
    );
    let words = words.unwrap();
    assert_eq!((words.message(), words.field()), ("Required header", Some("Api-Company")));
}

#[test]
fn operations1_counts_pages() {
    let orders = query(OPERATIONS1, "https://api.operations1.app/tenants/demo/orders")
        .updated_since("2026-01-01T00:00:00Z")
        .states(["open", "done"])
        .archived(false);
    let descending = PagePosition::Rank { skip: 150, order: Order::Descending, above: None };
    let expected = "/tenants/demo/orders?updatedAtMin=2026-01-01T00%3A00%3A00Z\
                    &states%5B%5D=open&states%5B%5D=done&archived=false\
                    &pageIndex=3&pageSize=50&orderBy=id&direction=DESC";
    assert_eq!(sent(&orders, &descending).0, expected);
    let error = orders.sort_by(["updatedAt"]).unwrap_err();
    assert_eq!(error, InvalidQuery::Unsortable { dialect: "operations1" }, "no tie-breaker");
    let page = read(
        OPERATIONS1,
        &[],
        r#"{"totalItemCount":30,"pageIndex":1,"pageSize":30,"items":[{"id":7},{"id":9}]}"#,
    );
    assert_eq!(found(page), (keys(["7", "9"]), Some(30), Next::Unsaid));
    let words = (OPERATIONS1.spec.words)(br#"{"message":"Include it.","errorCode":"PG3"}"#);
    assert_eq!(words.unwrap().message(), "Include it.");
}

#[test]
fn page_tokens_end_with_an_empty_one_or_none() {
    let users = query(PAGE_TOKEN, "https://api.example.com/v1/users");
    assert_eq!(sent(&users, &PagePosition::Cursor(None)).0, "/v1/users?pageSize=50");
    assert_eq!(sent(&users, &cursor("a=")).0, "/v1/users?pageSize=50&pageToken=a%3D");
    for (body, expected) in [
        (
            r#"{"users":[{"name":"users/1"}],"nextPageToken":"t","totalSize":9}"#,
            Ok((keys(["users/1"]), Some(9), Next::Cursor("t".into()))),
        ),
        (r#"{"nextPageToken":"t"}"#, Ok((keys([]), None, Next::Cursor("t".into())))),
        (r#"{"users":[],"nextPageToken":""}"#, Ok((keys([]), None, Next::End))),
        ("{}", Ok((keys([]), None, Next::End))),
        (r#"{"message":"Maintenance"}"#, Err(NotAPage::NoList { part: "body" })),
        (r#"{"users":[]}"#, Ok((keys([]), None, Next::End))),
        (r#"{"a":[],"b":[]}"#, Err(NotAPage::NoList { part: "body" })),
        (r#"{"error":{"code":13,"message":"m"}}"#, Err(NotAPage::SaysError)),
        (r#"{"code":13,"message":"m","details":[]}"#, Err(NotAPage::SaysError)),
    ] {
        let page = read(PAGE_TOKEN, &[], body).map(|page| found(Ok(page)));
        assert_eq!(page, expected, "{body}");
    }
}

#[test]
fn link_pages_end_where_no_next_one_is_named() {
    let issues = query(LINK, "https://api.example.com/repos/o/r/issues?state=all");
    assert_eq!(
        sent(&issues, &PagePosition::Cursor(None)).0,
        "/repos/o/r/issues?state=all&per_page=50"
    );
    let headers =
        [("link", "<https://api.example.com/x?page=2>; rel=\"next\", </x>; rel=\"last\"")];
    let page = read(LINK, &headers, r#"[{"id":1},{"n":2}]"#);
    let next = Next::Cursor("https://api.example.com/x?page=2".into());
    assert_eq!(found(page), (keys(["1"]), None, next));
    assert_eq!(found(read(LINK, &[("link", "</x>; rel=\"prev\"")], "[]")).2, Next::End);
}

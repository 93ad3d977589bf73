use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../vectors/ratelimit-headers.json")).unwrap()
}

/// The draft's own examples, `vectors/ratelimit-headers.json`, all rows of `ratelimit` and `policy`.
#[test]
fn agrees_with_the_examples_of_the_draft() {
    // The vectors give keys decoded; the draft's text has them in base64.
    let decoded = |key: &str| match key {
        "dHJpYWwxMjEzMjM=" => "trial121323".to_owned(),
        "QXBwLTk5OQ==" => "App-999".to_owned(),
        other => other.to_owned(),
    };
    let vectors = vectors();
    for case in vectors["ratelimit"].as_array().unwrap() {
        let items: Vec<Value> = limits(case["value"].as_str().unwrap())
            .map(|limit| {
                let mut item = json!({ "policy": limit.policy, "r": limit.remaining });
                if let Some(secs) = limit.reset_secs {
                    item["t"] = secs.into();
                }
                if let Some(key) = limit.partition_key {
                    item["pk"] = decoded(key).into();
                }
                item
            })
            .collect();
        assert_eq!(Value::from(items), case["items"], "{case}");
    }
    for case in vectors["policy"].as_array().unwrap() {
        let items: Vec<Value> = quotas(case["value"].as_str().unwrap())
            .map(|quota| {
                let mut item = json!({ "policy": quota.policy, "q": quota.quota });
                if let Some(secs) = quota.window_secs {
                    item["w"] = secs.into();
                }
                if let Some(unit) = quota.unit {
                    item["qu"] = unit.into();
                }
                item
            })
            .collect();
        assert_eq!(Value::from(items), case["items"], "{case}");
    }
}

#[test]
fn a_malformed_field_is_ignored_as_a_whole() {
    for field in [
        "",
        " ",
        "default;r=0;t=5",
        "\"default\"",
        "\"default\";t=5",
        "\"default\";r=-1",
        "\"default\";r=1.0",
        "\"default\";r=\"1\"",
        "\"default\";r",
        "\"default\";r=0;t=x",
        "\"default\";r=0;t=-5",
        "\"default\";r=0;pk=\"key\"",
        "\"default\";r=0;pk=:!:",
        "\"default\";r=0;pk=:YQ",
        "\"default\";r=0,",
        "\"default\";r=0,,\"b\";r=0",
        "\"default\";r=0 \"b\";r=0",
        "\"default\";r=0;",
        "\"default\";r=0;R=1",
        "\"default;r=0",
        "\"de\\fault\";r=0",
        "\"def\u{e4}ult\";r=0",
        "(\"default\");r=0",
        "\"a\";r=0;t=5, b",
        "\"a\";r=1000000000000000",
        "\"a\" ;r=0",
        "\"a\";r=0;x=?2",
        "\"a\";r=0;x=@1.5",
    ] {
        assert_eq!(limits(field).count(), 0, "{field:?}");
    }
    for field in ["\"a\"", "\"a\";q=1;w=0", "\"a\";q=1;qu=requests", "\"a\";q=1;w=x", "\"a\";q=-1"]
    {
        assert_eq!(quotas(field).count(), 0, "{field:?}");
    }
    let many = vec!["\"a\";r=0"; MOST_ITEMS + 1].join(",");
    assert_eq!(limits(&many).count(), 0);
    assert_eq!(limits(&many[.."\"a\";r=0,".len() * MOST_ITEMS - 1]).count(), MOST_ITEMS);
    let long = format!("\"{}\";r=0", "a".repeat(LONGEST_FIELD));
    assert_eq!(limits(&long).count(), 0);
}

#[test]
fn what_the_draft_does_not_name_is_ignored_and_the_last_of_several_counts() {
    let field =
        "  \"a\";x=?1;r=5;u=tok/en:1;*o=1.25;r=0;d=@16;s=%\"f%c3\";t=7;pk=:YQ==: ,\t\"b\\\"\";r=3";
    let items: Vec<_> = limits(field).map(|l| (l.policy, l.remaining, l.reset_secs)).collect();
    assert_eq!(items, [("a", 0, Some(7)), ("b\\\"", 3, None)]);
}

#[test]
fn waits_for_the_longest_of_the_quotas_that_are_used_up() {
    for (fields, secs) in [
        (&["\"a\";r=0;t=5, \"b\";r=0;t=9, \"c\";r=1;t=99"][..], Some(9)),
        (&["\"a\";r=0;t=5", "\"b\";r=0;t=9"], Some(9)),
        (&["\"a\";r=0;t=5", "b;r=0;t=9"], None),
        (&["\"a\";r=0;t=5", ""], Some(5)),
        (&["\"a\";r=1;t=5"], None),
        (&["\"a\";r=0"], None),
        (&[], None),
    ] {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("ratelimit", HeaderValue::from_static(field));
        }
        assert_eq!(wait(&headers), secs.map(Duration::from_secs), "{fields:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_ignored(field in "[\"a-z;=,:0-9?@%. \\\\-]{0,60}", any: String) {
        for field in [field, any] {
            prop_assert!(limits(&field).count() <= MOST_ITEMS);
            prop_assert!(quotas(&field).count() <= MOST_ITEMS);
        }
    }

    /// Print and parse back.
    #[test]
    fn a_printed_item_is_read_back(
        name in "[a-z ]{0,9}", r in 0..1_000_000_000_000_000_u64, t in proptest::option::of(0..9_000_u64),
    ) {
        let after = t.map_or_else(String::new, |t| format!(";t={t}"));
        let field = format!("\"{name}\";r={r}{after}");
        let items: Vec<_> = limits(&field).map(|l| (l.policy, l.remaining, l.reset_secs)).collect();
        prop_assert_eq!(items, [(name.as_str(), r, t)]);
    }
}

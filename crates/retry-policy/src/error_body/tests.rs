use proptest::prelude::*;

use super::*;

fn read(body: &str) -> String {
    ApiError::read(body.as_bytes()).map_or_else(|| "nothing".into(), |error| error.to_string())
}

/// The bodies of the APIs' own documents, and of RFC 9457 §3.
#[test]
fn reads_the_envelopes_of_real_apis() {
    for (body, says) in [
        (r#"{"message": "Unauthorized"}"#, "Unauthorized"),
        (r#"{"code": 5, "message": "Not found", "details": []}"#, "Not found (5)"),
        (
            r#"{"error": {"code": 404, "message": "No such user", "status": "NOT_FOUND"}}"#,
            "No such user (404)",
        ),
        (
            r#"{"message": "User is locked", "errorCode": "USER_LOCKED"}"#,
            "User is locked (USER_LOCKED)",
        ),
        (r#"{"errorCode": 4711, "message": "Tenant unknown"}"#, "Tenant unknown (4711)"),
        (
            r#"{"data": [{"message": "Required header", "propertyName": "Api-Company"}], "moreAfter": null, "status": "error", "type": "Error"}"#,
            "Api-Company: Required header",
        ),
        (
            r#"{"type": "Error", "data": [{"message": "2FA is required"}], "moreAfter": null, "status": "error"}"#,
            "2FA is required",
        ),
        (
            r#"{"type": "https://example.com/probs/out-of-credit", "title": "You do not have enough credit.", "detail": "Your balance is 30.", "status": 403}"#,
            "Your balance is 30. (https://example.com/probs/out-of-credit)",
        ),
        (
            r#"{"type": "about:blank", "title": "Your request is not valid.", "status": 422, "errors": [{"detail": "must be positive", "pointer": "/age"}, {"detail": "unknown", "pointer": "/colour"}]}"#,
            "Your request is not valid. (422); /age: must be positive; /colour: unknown",
        ),
        (
            r#"{"code": 3, "message": "Invalid", "details": [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "user.mail", "description": "is no address"}]}]}"#,
            "Invalid (3); user.mail: is no address",
        ),
        (
            r#"{"error": "invalid_grant", "error_description": "The token has expired"}"#,
            "The token has expired (invalid_grant)",
        ),
        (r#"{"error": "slow_down"}"#, "slow_down"),
        (r#"[{"message": "in a list"}]"#, "in a list"),
        ("403 Forbidden. Your IP has been blocked", "403 Forbidden. Your IP has been blocked"),
    ] {
        assert_eq!(read(body), says, "{body}");
    }
}

#[test]
fn what_says_nothing_is_nothing() {
    for body in [
        "",
        "   ",
        "{}",
        "[]",
        "[1, 2]",
        r#"{"message": 7}"#,
        r#"{"message": ""}"#,
        r#"{"message": null, "data": null}"#,
        "<html><body>502 Bad Gateway</body></html>",
        "{",
        r#"{"message"#,
        "\u{0}\u{1}binary",
    ] {
        assert_eq!(read(body), "nothing", "{body}");
    }
    assert_eq!(ApiError::read(b"\xff\xfe\xfd\xfc\xfb"), None);
}

#[test]
fn finds_what_stands_before_the_end_of_a_prefix() {
    let body =
        r#"{"code": 8, "message": "Quota", "data": [{"message": "a", "propertyName": "b"}, {"mess"#;
    assert_eq!(read(body), "Quota (8); b: a");
    assert_eq!(read(r#"{"message": "cut o"#), "cut o");
    assert_eq!(read(r#"{"message": "cut o\u00"#), "cut o");
    let long = format!(r#"{{"message": "first", "padding": "{}"}}"#, "x".repeat(20_000));
    assert_eq!(read(&long), "first");
    let late = format!(r#"{{"padding": "{}", "message": "late"}}"#, "x".repeat(20_000));
    assert_eq!(read(&late), "nothing");
}

#[test]
fn members_are_found_in_any_order_and_behind_any_depth() {
    let deep = "[".repeat(60) + &"]".repeat(60);
    let body = format!(
        r#"{{"trace": {deep}, "meta": {{"a": [true, null, -1.5e3, "}}\""]}}, "message": "m"}}"#
    );
    assert_eq!(read(&body), "m");
    let deeper = format!(r#"{{"message": "m", "trace": {}"#, "[".repeat(10_000));
    assert_eq!(read(&deeper), "m");
    let nested = r#"{"error":"#.repeat(1_800);
    assert_eq!(read(&nested), "nothing", "one error within an error is looked at");
}

#[test]
fn a_text_is_one_harmless_line() {
    for (raw, shown) in [
        (r"a\nb\tc", "a b c"),
        (r#"\"quoted\" \\ \/"#, "\"quoted\" \\ /"),
        (r"\u0041\u00e4\ud83d\ude00", "Aä😀"),
        (r"\ud83d alone", "\u{fffd} alone"),
        (r"\ud83dA", "\u{fffd}A"),
        (r"\u001b[31mred", " [31mred"),
        ("a\u{202e}b", "a b"),
        (r"a\u202eb", "a b"),
        (r"cut \u00", "cut "),
    ] {
        assert_eq!(read(&format!(r#"{{"message": "{raw}"}}"#)), shown, "{raw}");
    }
    assert_eq!(read("two\nlines \\n"), "two lines \\n", "no JSON, so no escapes");
    let long = read(&format!(r#"{{"message": "{}"}}"#, "ä".repeat(1000)));
    assert_eq!(long.chars().count(), LONGEST_TEXT + 1);
    assert!(long.ends_with("ä…"));
}

#[test]
fn keeps_four_fields() {
    let fields = [r#"{"message": "m", "propertyName": "p"}"#; 9].join(",");
    let body = format!(r#"{{"data": [{fields}]}}"#);
    assert_eq!(ApiError::read(body.as_bytes()).unwrap().fields().count(), MOST_FIELDS);
    assert_eq!(read(r#"{"data": {"message": "one", "propertyName": "p"}}"#), "p: one");
    assert_eq!(read(r#"{"errors": ["too short", "too long"]}"#), "too short; too long");
    assert_eq!(read(r#"{"data": [{"publicId": "x", "name": "not an error"}]}"#), "nothing");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_ignored(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        text in "[\\[\\]{}:,\"\\\\u0-9a-e \n]{0,120}",
        cut in 0..200_usize,
    ) {
        for body in [&bytes[..], text.as_bytes()] {
            let _ = ApiError::read(body).map(|error| error.to_string());
        }
        let known = r#"{"error": {"code": 3, "message": "a\ud83d\ude00", "details": [{"fieldViolations": [{"field": "f", "description": "d"}]}]}}"#;
        let cut = cut.min(known.len());
        let _ = ApiError::read(&known.as_bytes()[..cut]).map(|error| error.to_string());
    }

    /// Print and parse back: what another writer of JSON puts in comes out.
    #[test]
    fn a_message_is_read_as_it_was_written(message in "[^\\p{C}\\p{Z}\u{2028}-\u{202e}]{1,40}", code: u32) {
        let body = serde_json::json!({ "code": code, "message": message }).to_string();
        prop_assert_eq!(read(&body), format!("{} ({})", message, code));
    }
}

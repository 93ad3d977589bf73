use super::super::{Reset, TooLong};
use super::*;
use proptest::prelude::*;
use serde_json::Value;

const RULES: Rules = Rules::new();

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

fn read(rules: Rules, fields: &[(&'static str, &str)], now_secs: u64) -> Hint {
    rules.read(&headers(fields), at(now_secs))
}

const fn wait(millis: u64, source: &'static str) -> Hint {
    Hint::Wait { after: Duration::from_millis(millis), source }
}

/// The seconds that one `Retry-After` asks for.
fn asked(rules: Rules, value: &str, now_secs: u64) -> Option<u64> {
    match read(rules, &[("retry-after", value)], now_secs) {
        Hint::Wait { after, .. } => Some(after.as_secs()),
        _ => None,
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../vectors/retry-after.json")).unwrap()
}

fn rfc3339(text: &Value) -> u64 {
    let when = humantime::parse_rfc3339(text.as_str().unwrap()).unwrap();
    when.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// `vectors/retry-after.json`, group `rfc_core`: RFC 9110 §5.6.7 and §10.2.3.
#[test]
fn agrees_with_the_vectors_of_the_rfc() {
    let core = &vectors()["rfc_core"];
    let now = core["now_epoch"].as_u64().unwrap();
    for case in core["cases"].as_array().unwrap() {
        let value = case["value"].as_str().unwrap();
        assert_eq!(asked(RULES, value, now), case["delay_s"].as_u64(), "{value:?}");
    }
}

/// urllib3 takes odd dates and clamps to its ceiling.
#[test]
fn agrees_with_urllib3s_vectors_in_its_mode() {
    let group = &vectors()["groups"][0];
    assert_eq!(group["source"]["repo"], "urllib3/urllib3");
    let rules = RULES.dates(Dates::Lenient).too_long(TooLong::Clamped);
    let now = rfc3339(&group["now"]);
    for case in group["cases"].as_array().unwrap() {
        let value = case["value"].as_str().unwrap();
        let longest = case["max_s"].as_u64().or(group["max_s"].as_u64()).unwrap();
        let hint = read(rules, &[("retry-after", value)], now);
        let delay = match hint.within(Duration::from_secs(longest), rules.when_too_long()) {
            Hint::Wait { after, .. } => Some(after.as_secs()),
            _ => None,
        };
        assert_eq!(delay, case["delay_s"].as_u64(), "{case}");
        if case["clamped"] == true {
            // Ours, on the other hand, would not wait less than the server asks.
            let stops = hint.within(Duration::from_secs(longest), RULES.when_too_long());
            assert!(matches!(stops, Hint::TooLong { .. }), "{case}");
        }
    }
}

/// Stainless takes fractions, ignores what is not after now, and does not retry above two minutes.
#[test]
fn agrees_with_stainlesss_vectors_in_its_mode() {
    let group = &vectors()["groups"][1];
    assert_eq!(group["source"]["repo"], "openai/openai-python");
    let rules = RULES
        .past_date(PastDate::Ignored)
        .fraction(Fraction::RoundedUp)
        .units(Units::MillisecondsFirst);
    let longest = Duration::from_secs(120);
    let now = group["now_epoch"].as_u64().unwrap();
    for case in group["cases"].as_array().unwrap() {
        let hint = read(rules, &[("retry-after", case["value"].as_str().unwrap())], now)
            .within(longest, TooLong::Ignored);
        // Its fallback is the computed backoff: no hint, or one of nothing.
        let delay = match hint {
            Hint::Wait { after, .. } if !after.is_zero() => Some(after.as_secs()),
            _ => None,
        };
        assert_eq!(delay, case["delay_s"].as_u64(), "{case}");
        assert_eq!(delay.is_none(), case["fallback"] == true, "{case}");
    }
    for case in group["should_retry_429"].as_array().unwrap() {
        let fields: Vec<(&'static str, &str)> = case["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                let name = ["retry-after", "retry-after-ms"].into_iter().find(|n| n == name);
                (name.unwrap(), value.as_str().unwrap())
            })
            .collect();
        let hint = read(rules, &fields, now).within(longest, TooLong::Stops);
        let retries = !matches!(hint, Hint::TooLong { .. });
        assert_eq!(Value::from(retries), case["retry"], "{case}");
    }
}

/// Go's clients read the first field only.
#[test]
fn agrees_with_go_retryablehttps_vectors_in_its_mode() {
    let group = &vectors()["groups"][2];
    assert_eq!(group["source"]["repo"], "hashicorp/go-retryablehttp");
    let rules = RULES.several(Several::First);
    let now = rfc3339(&group["now"]);
    for case in group["cases"].as_array().unwrap() {
        let values = match &case["value"] {
            Value::Array(values) => values.clone(),
            Value::Null => vec![],
            value => vec![value.clone()],
        };
        let fields: Vec<_> =
            values.iter().map(|value| ("retry-after", value.as_str().unwrap())).collect();
        let delay = match read(rules, &fields, now) {
            Hint::Wait { after, .. } => Some(after.as_secs()),
            _ => None,
        };
        assert_eq!(delay, case["delay_s"].as_u64(), "{case}");
    }
}

/// `vectors/ratelimit-headers.json`: `precedence`, and `legacy` by rule.
#[test]
fn agrees_with_the_drafts_precedence() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../vectors/ratelimit-headers.json")).unwrap();
    let reset = Reset::new("ratelimit-remaining", "ratelimit-reset", ResetUnit::DeltaSeconds);
    for (group, rules) in [("precedence", RULES), ("legacy", RULES.reset(reset))] {
        for case in vectors[group].as_array().unwrap() {
            let mut headers = HeaderMap::new();
            for (name, value) in case["headers"].as_object().unwrap() {
                let name: http::HeaderName = name.parse().unwrap();
                headers.append(name, value.as_str().unwrap().parse().unwrap());
            }
            let secs = match rules.read(&headers, at(0)) {
                Hint::Wait { after, .. } => after.as_secs(),
                Hint::None => 0,
                other => panic!("{other:?} {case}"),
            };
            assert_eq!(Value::from(secs), case["wait_s"], "{case}");
        }
    }
}

#[test]
fn garbage_is_no_hint_and_a_huge_number_is_a_huge_wait() {
    for (value, wait) in [
        ("120", Some(120)),
        (" \t42 ", Some(42)),
        ("0", Some(0)),
        ("007", Some(7)),
        ("99999999999999999999999999999999999", Some(u64::MAX)),
        ("+1", None),
        ("-1", None),
        ("1.5", None),
        ("1,2", None),
        ("1 2", None),
        ("0x10", None),
        ("1e3", None),
        ("²", None),
        ("inf", None),
        ("soon", None),
        ("Thu, 32 Jan 1970 00:02:00 GMT", None),
        ("Thu, 01 Jan 1970 00:02:00 PST", None),
        ("1970-01-01T00:02:00Z", None),
    ] {
        assert_eq!(asked(RULES, value, 0), wait, "{value:?}");
    }
}

#[test]
fn a_date_is_judged_by_the_answers_own_date_and_else_by_now() {
    let date = "Thu, 01 Jan 1970 00:02:00 GMT";
    for (sent, now, secs) in [
        (None, 60, 60),
        (Some("Thu, 01 Jan 1970 00:01:50 GMT"), 0, 10),
        (Some("Thu, 01 Jan 1970 00:01:50 GMT"), 999, 10),
        (Some("not a date"), 60, 60),
        (None, 999, 0), // past
    ] {
        let mut fields = vec![("retry-after", date)];
        fields.extend(sent.map(|sent| ("date", sent)));
        let expected = wait(secs * 1000, "retry-after");
        assert_eq!(read(RULES, &fields, now), expected, "{sent:?} at {now}");
    }
    let ignoring = RULES.past_date(PastDate::Ignored);
    assert_eq!(read(ignoring, &[("retry-after", date)], 120), wait(0, "retry-after"), "just now");
    assert_eq!(read(ignoring, &[("retry-after", date)], 121), Hint::None);
}

#[test]
fn each_question_has_its_modes() {
    let ms = ("retry-after-ms", "1500");
    let secs = ("retry-after", "2");
    let first = RULES.several(Several::First);
    let milliseconds = RULES.units(Units::MillisecondsFirst);
    let up = RULES.fraction(Fraction::RoundedUp);
    for (rules, fields, hint) in [
        (RULES, &[ms, secs][..], wait(2000, "retry-after")),
        (RULES, &[("retry-after-ms", "2500"), secs], wait(2500, "retry-after-ms")),
        (RULES, &[("retry-after-ms", "2000"), secs], wait(2000, "retry-after")),
        (milliseconds, &[ms, secs], wait(1500, "retry-after-ms")),
        (milliseconds, &[("retry-after-ms", "x"), secs], wait(2000, "retry-after")),
        (
            RULES.units(Units::SecondsFirst),
            &[("x-ms-retry-after-ms", "9000"), secs],
            wait(2000, "retry-after"),
        ),
        (RULES, &[("x-amz-retry-after", "1500")], wait(1500, "x-amz-retry-after")),
        (
            RULES,
            &[secs, ("retry-after", "30"), ("retry-after", "soon")],
            wait(30_000, "retry-after"),
        ),
        (first, &[secs, ("retry-after", "30")], wait(2000, "retry-after")),
        (first, &[("retry-after", "soon"), secs], Hint::None),
        (up, &[("retry-after", "2.5")], wait(2500, "retry-after")),
        (up, &[("retry-after", "0.0001")], wait(1, "retry-after")),
        (up, &[("retry-after", "1.0000")], wait(1000, "retry-after")),
        (up, &[("retry-after-ms", "1.01")], wait(2, "retry-after-ms")),
        (up, &[("retry-after", "1.")], Hint::None),
        (up, &[("retry-after", ".5")], Hint::None),
        (up, &[("retry-after", "1.2.3")], Hint::None),
        (RULES, &[("retry-after-ms", "1.5")], Hint::None),
        (RULES, &[("retry-after-ms", "-5")], Hint::None),
        (RULES, &[("ratelimit", "\"a\";r=0;t=7")], wait(7000, "ratelimit")),
        (RULES, &[("ratelimit", "\"a\";r=0;t=70"), secs], wait(2000, "retry-after")),
        (RULES, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")], Hint::None),
    ] {
        assert_eq!(read(rules, fields, 0), hint, "{rules:?} {fields:?}");
    }
}

#[test]
fn a_pushback_is_a_wait_or_a_no() {
    let pushback = |value| ("grpc-retry-pushback-ms", value);
    let strict = RULES.pushback(Pushback::Strict);
    let stop = Hint::Stop { source: "grpc-retry-pushback-ms" };
    let ms = |millis| wait(millis, "grpc-retry-pushback-ms");
    for (fields, lenient, hint) in [
        (&[pushback("250")][..], ms(250), ms(250)),
        (&[pushback("0")], ms(0), ms(0)),
        (&[pushback("-1")], stop, stop),
        (&[pushback("-0")], stop, stop),
        (
            &[pushback("250"), ("retry-after", "1")],
            wait(1000, "retry-after"),
            wait(1000, "retry-after"),
        ),
        (&[pushback("-1"), ("retry-after", "1")], stop, stop),
        (&[pushback("soon")], Hint::None, stop),
        (&[pushback("-")], Hint::None, stop),
        (&[pushback("")], Hint::None, stop),
        (&[pushback("1"), pushback("2")], ms(2), stop),
        (&[pushback("1"), pushback("-2")], stop, stop),
    ] {
        assert_eq!(read(RULES, fields, 0), lenient, "{fields:?}");
        assert_eq!(read(strict, fields, 0), hint, "strict: {fields:?}");
    }
}

#[test]
fn an_apis_own_reset_counts_in_the_unit_that_was_stated() {
    let pair = |unit| RULES.reset(Reset::new("x-ratelimit-remaining", "x-ratelimit-reset", unit));
    let remaining = |value| ("x-ratelimit-remaining", value);
    let reset = ("x-ratelimit-reset", "1060");
    for (unit, fields, hint) in [
        (ResetUnit::EpochSeconds, &[remaining("0"), reset][..], wait(60_000, "x-ratelimit-reset")),
        (ResetUnit::DeltaSeconds, &[remaining("0"), reset], wait(1_060_000, "x-ratelimit-reset")),
        (ResetUnit::EpochSeconds, &[reset], wait(60_000, "x-ratelimit-reset")),
        (ResetUnit::EpochSeconds, &[remaining("1"), reset], Hint::None),
        (ResetUnit::EpochSeconds, &[remaining("?"), reset], Hint::None),
        (ResetUnit::EpochSeconds, &[remaining("0")], Hint::None),
        (ResetUnit::EpochSeconds, &[reset, ("retry-after", "1")], wait(1000, "retry-after")),
        (
            ResetUnit::EpochSeconds,
            &[reset, ("date", "Thu, 01 Jan 1970 00:17:30 GMT")],
            wait(10_000, "x-ratelimit-reset"),
        ),
        (ResetUnit::EpochSeconds, &[("x-ratelimit-reset", "900")], wait(0, "x-ratelimit-reset")),
    ] {
        assert_eq!(read(pair(unit), fields, 1000), hint, "{unit:?} {fields:?}");
    }
}

#[test]
fn a_hint_within_its_bounds_stays_as_it_is() {
    let (asked, allowed) = (Duration::from_secs(90), Duration::from_secs(60));
    let long = Hint::Wait { after: asked, source: "retry-after" };
    assert_eq!(long.within(asked, TooLong::Stops), long);
    assert_eq!(long.within(allowed, TooLong::Stops), Hint::TooLong { asked, allowed });
    assert_eq!(long.within(allowed, TooLong::Clamped), wait(60_000, "retry-after"));
    assert_eq!(long.within(allowed, TooLong::Ignored), Hint::None);
    let stop = Hint::Stop { source: "grpc-retry-pushback-ms" };
    assert_eq!(stop.within(Duration::ZERO, TooLong::Ignored), stop);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_ignored(
        value in proptest::collection::vec(any::<u8>(), 0..60), text in "[0-9.:, GMTJanSu+-]{0,40}", now: u32,
    ) {
        let rules = RULES
            .fraction(Fraction::RoundedUp)
            .dates(Dates::Lenient)
            .reset(Reset::new("x-a", "x-b", ResetUnit::EpochSeconds));
        for value in [&value[..], text.as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            let mut headers = HeaderMap::new();
            for name in ["retry-after", "retry-after-ms", PUSHBACK, "ratelimit", "x-a", "x-b", "date"] {
                headers.append(name, value.clone());
                let _ = rules.read(&headers, at(now.into()));
                let _ = RULES.read(&headers, at(now.into()));
            }
        }
    }

    #[test]
    fn seconds_are_never_shortened(secs: u64, other: u64) {
        let (one, two) = (secs.to_string(), other.to_string());
        let hint = read(RULES, &[("retry-after", &one), ("retry-after", &two)], 0);
        let after = Duration::from_secs(secs.max(other));
        prop_assert_eq!(hint, Hint::Wait { after, source: "retry-after" });
    }
}

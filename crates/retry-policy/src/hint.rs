//! The server's own word on how long to wait.
//!
//! A hint is never shortened, and what cannot be read is no hint: neither zero nor an error.

use core::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// The wait that `Retry-After` asks for (RFC 9110 §10.2.3); `None` without a readable one.
///
/// Seconds, or a date in any of the three forms that a receiver must take (RFC 9110 §5.6.7). A date
/// is judged by the answer's own `Date`, so that a wrong clock on this side does no harm, and by
/// `now` only where there is none. A date that is past asks for no wait at all. More seconds than a
/// number can hold are the longest wait there is. Of several readable fields the longest wait
/// counts, because waiting less than asked is never an option.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let sent_at = headers
        .get(DATE)
        .and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok())
        .unwrap_or(now);
    let until = |text: &str| {
        let at = httpdate::parse_http_date(text).ok()?;
        Some(at.duration_since(sent_at).unwrap_or(Duration::ZERO))
    };
    let wait = |text: &str| seconds(text).or_else(|| until(text));
    headers
        .get_all(RETRY_AFTER)
        .iter()
        .filter_map(|value| wait(value.to_str().ok()?.trim_matches([' ', '\t'])))
        .max()
}

/// `1*DIGIT`, saturating; `None` for anything else, a sign or a fraction included.
fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    text.bytes()
        .try_fold(0_u64, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte & 0x0f))?;
            Some(sum.saturating_mul(10).saturating_add(digit))
        })
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::Value;

    fn asked(values: &[&str], date: Option<&str>, now_secs: u64) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RETRY_AFTER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now_secs);
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    /// `vectors/retry-after.json`, group `rfc_core`: RFC 9110 §5.6.7 and §10.2.3.
    #[test]
    fn agrees_with_the_vectors_of_the_rfc() {
        let vectors: Value =
            serde_json::from_str(include_str!("../vectors/retry-after.json")).unwrap();
        let core = &vectors["rfc_core"];
        let now = core["now_epoch"].as_u64().unwrap();
        for case in core["cases"].as_array().unwrap() {
            let value = case["value"].as_str().unwrap();
            assert_eq!(asked(&[value], None, now), case["delay_s"].as_u64(), "{value:?}");
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
            ("²", None),
            ("inf", None),
            ("soon", None),
            ("Thu, 32 Jan 1970 00:02:00 GMT", None),
            ("Thu, 01 Jan 1970 00:02:00 PST", None),
        ] {
            assert_eq!(asked(&[value], None, 0), wait, "{value:?}");
        }
    }

    #[test]
    fn a_date_is_judged_by_the_answers_own_date_and_else_by_now() {
        let at = "Thu, 01 Jan 1970 00:02:00 GMT";
        for (date, now, wait) in [
            (None, 60, 60),
            (Some("Thu, 01 Jan 1970 00:01:50 GMT"), 0, 10),
            (Some("Thu, 01 Jan 1970 00:01:50 GMT"), 999, 10),
            (Some("not a date"), 60, 60),
            (None, 999, 0), // past
        ] {
            assert_eq!(asked(&[at], date, now), Some(wait), "{date:?} at {now}");
        }
    }

    #[test]
    fn of_several_fields_the_longest_wait_counts() {
        assert_eq!(asked(&["2", "30", "soon"], None, 0), Some(30));
    }
}

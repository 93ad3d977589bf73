//! Any headers are read or ignored, in every mode; a readable number of seconds is never shortened.
//!
//! The input is lines of `name: value`.
#![no_main]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use retry_policy::hint::{
    Dates, Fraction, Hint, PastDate, Pushback, Reset, ResetUnit, Rules, Several, Units,
};
use retry_policy::profile::{self, Answer};

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n').take(100) {
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        else {
            continue;
        };
        headers.append(name, value);
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_717);
    let asked = headers
        .get_all("retry-after")
        .iter()
        .filter_map(|value| value.to_str().ok()?.parse::<u64>().ok())
        .max();
    let strict = Rules::new();
    if let (Some(asked), Hint::Wait { after, .. }) = (asked, strict.read(&headers, now)) {
        assert!(after >= Duration::from_secs(asked));
    }
    let reset = |unit| Reset::new("x-ratelimit-remaining", "x-ratelimit-reset", unit);
    for rules in [
        strict
            .fraction(Fraction::RoundedUp)
            .dates(Dates::Lenient)
            .units(Units::MillisecondsFirst)
            .reset(reset(ResetUnit::EpochSeconds)),
        strict
            .past_date(PastDate::Ignored)
            .several(Several::First)
            .units(Units::SecondsFirst)
            .pushback(Pushback::Strict)
            .reset(reset(ResetUnit::DeltaSeconds)),
    ] {
        let _ = rules.read(&headers, now);
    }
    for status in [200, 429] {
        let _ = profile::GRPC.outcome(&Answer::new(status).headers(&headers, now));
    }
});

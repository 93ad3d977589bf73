//! Any text is a list of limits or quotas, or nothing; what is read is there in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retry_policy::hint::rate_limit::{limits, quotas};

fuzz_target!(|field: &str| {
    for limit in limits(field) {
        assert!(field.contains(limit.policy));
        assert!(limit.partition_key.is_none_or(|key| field.contains(key)));
        // Print and parse back.
        let printed = match limit.reset_secs {
            Some(secs) => format!("\"{}\";r={};t={secs}", limit.policy, limit.remaining),
            None => format!("\"{}\";r={}", limit.policy, limit.remaining),
        };
        let again: Vec<_> = limits(&printed).collect();
        assert!(matches!(&again[..], [one] if one.remaining == limit.remaining
            && one.reset_secs == limit.reset_secs && one.policy == limit.policy));
    }
    for quota in quotas(field) {
        assert!(quota.window_secs != Some(0));
    }
});

//! Any body says something harmless on one line, or nothing; every profile reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retry_policy::error_body::ApiError;
use retry_policy::profile::{self, Answer};

fuzz_target!(|body: &[u8]| {
    if let Some(error) = ApiError::read(body) {
        let text = error.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(text.chars().count() <= 4_000);
    }
    for profile in [profile::JUMPCLOUD, profile::IXON, profile::GOOGLE_RPC] {
        for status in [400, 401, 403, 500] {
            let _ = profile.outcome(&Answer::new(status).body(body));
        }
    }
});

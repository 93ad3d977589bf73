//! The headers that the layer adds when it is asked to.

use core::fmt::Write as _;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use retry_policy::Safety;
use retry_policy::safety::KeyNotHonoured;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ATTEMPT: HeaderName = HeaderName::from_static("x-attempt");

/// An `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) for each request that is not idempotent by
/// its method: a random UUID, made once, the same on all attempts. It never takes the place of the caller's.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdempotencyKey {
    is_honoured: bool,
}

impl IdempotencyKey {
    /// A key that the server may ignore: it does not make a request safe to repeat.
    #[must_use]
    pub const fn new() -> Self {
        Self { is_honoured: false }
    }

    /// The server processes requests of one key once, so a request is safe to repeat with it.
    #[must_use]
    pub const fn honoured_by_server(self) -> Self {
        Self { is_honoured: true }
    }

    /// Adds a key where one is wanted and there is none.
    pub(crate) fn add_to<B>(self, request: &mut Request<B>) {
        let is_wanted = Safety::of_method(request.method().as_str()) == Safety::Unsafe;
        if !is_wanted || request.headers().contains_key(IDEMPOTENCY_KEY) {
            return;
        }
        // Not by the draws of the waits: a test may fix those.
        let Ok(key) = HeaderValue::try_from(uuid([(); 4].map(|()| fastrand::u32(..)))) else {
            return;
        };
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        if !self.is_honoured {
            request.extensions_mut().insert(KeyNotHonoured::new());
        }
    }
}

/// A UUID of version 4 (RFC 9562 §5.4) of these random bits.
fn uuid(bits: [u32; 4]) -> String {
    let [a, b, c, d] = bits;
    let (b_high, b_low) = (b >> 16, b & 0x0fff | 0x4000);
    let (c_high, c_low) = (c >> 16 & 0x3fff | 0x8000, c & 0xffff);
    let mut text = String::with_capacity(38);
    // The draft has a string of structured fields: quoted.
    let _ = write!(text, "\"{a:08x}-{b_high:04x}-{b_low:04x}-{c_high:04x}-{c_low:04x}{d:08x}\"");
    text
}

/// Numbers an attempt.
pub(crate) fn number(headers: &mut HeaderMap, attempt: u32) {
    headers.insert(ATTEMPT, HeaderValue::from(attempt));
}

/// Whether an outer layer has numbered it.
pub(crate) fn is_numbered(headers: &HeaderMap) -> bool {
    headers.contains_key(ATTEMPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_random_uuid() {
        assert_eq!(uuid([0; 4]), "\"00000000-0000-4000-8000-000000000000\"");
        assert_eq!(uuid([u32::MAX; 4]), "\"ffffffff-ffff-4fff-bfff-ffffffffffff\"");
    }

    #[test]
    fn a_key_is_added_only_where_one_is_wanted_and_there_is_none() {
        for (method, theirs, is_added) in [
            ("POST", None, true),
            ("PATCH", None, true),
            ("POST", Some("mine"), false),
            ("GET", None, false),
            ("PUT", None, false),
        ] {
            for (key, safety) in [
                (IdempotencyKey::new(), Safety::Unsafe),
                (IdempotencyKey::new().honoured_by_server(), Safety::Keyed),
            ] {
                let mut request = Request::builder().method(method).body(()).unwrap();
                if let Some(theirs) = theirs {
                    request.headers_mut().insert(IDEMPOTENCY_KEY, theirs.parse().unwrap());
                }
                key.add_to(&mut request);
                let value = request.headers().get(IDEMPOTENCY_KEY).map(|key| key.to_str().unwrap());
                assert_eq!(value.is_some_and(|value| value.len() == 38), is_added, "{method}");
                if is_added {
                    assert_eq!(Safety::of(&request), safety);
                } else {
                    assert_eq!(value, theirs);
                }
            }
        }
    }
}

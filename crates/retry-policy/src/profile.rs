//! What one vendor's API refines, and what its documents advise.

use crate::{Class, Delivery};

/// A vendor's own rules on top of the truth table.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    name: &'static str,
    is_final: fn(status: u16, body: &[u8]) -> Option<&'static str>,
    advice: Advice,
}

/// What to do, one line for each class of failure.
#[derive(Clone, Copy, Debug)]
struct Advice {
    authorization: &'static str,
    content: &'static str,
    network: &'static str,
    server: &'static str,
    throttled: &'static str,
}

impl Profile {
    /// The API's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether this answer is final although the truth table might try again; `body` may be a prefix.
    #[must_use]
    pub fn is_final(&self, status: u16, body: &[u8]) -> bool {
        (self.is_final)(status, body).is_some()
    }

    /// One line on what to do about a failure.
    #[must_use]
    pub fn advice(&self, delivery: Delivery, body: &[u8]) -> &'static str {
        if let Delivery::Answered(status) = delivery {
            if let Some(advice) = (self.is_final)(status, body) {
                return advice;
            }
        }
        match Class::of(delivery) {
            Some(Class::Authorization) => self.advice.authorization,
            Some(Class::Network) => self.advice.network,
            Some(Class::Server) => self.advice.server,
            Some(Class::Throttled) => self.advice.throttled,
            Some(Class::Content) | None => self.advice.content,
        }
    }
}

/// An API without rules of its own.
pub const DEFAULT: Profile = Profile {
    name: "default",
    is_final: |_, _| None,
    advice: Advice {
        authorization: "check the credential and its rights",
        content: "correct the request",
        network: "check the address, the network and whether the service runs",
        server: "try again later; see the service's status page",
        throttled: "send requests less often",
    },
};

/// JumpCloud: "Retry API requests" and "Troubleshooting" of its support pages.
pub const JUMPCLOUD: Profile = Profile {
    name: "jumpcloud",
    // "403 Forbidden. Your IP has been blocked due to suspected abuse".
    is_final: |status, body| {
        (status == 403 && contains(body, b"IP has been blocked"))
            .then_some("stop sending and contact JumpCloud Support to have the address unblocked")
    },
    advice: Advice {
        authorization: "check the API key (a rotated key makes the older one invalid) and its role",
        content: "the issue lies within the request itself: correct it",
        network: "check the address and the network; see status.jumpcloud.com",
        server: "see status.jumpcloud.com for a maintenance window or an incident",
        throttled: "send requests considerably less often",
    },
};

/// IXON's APIv2: "Common errors" of its developer documentation.
pub const IXON: Profile = Profile {
    name: "ixon",
    // Every other authorization message asks for a new token; this one asks for a person.
    is_final: |status, body| {
        (status == 401 && contains(body, b"2FA is required"))
            .then_some("generate a bearer token with an OTP added to the credentials")
    },
    advice: Advice {
        authorization: "generate a new bearer token, with attention to the credentials",
        content: "correct the header or the parameter that the message names",
        network: "intermittent network trouble; when it follows a pattern it is a chronic problem",
        server: "a production incident, or a request of more than 60 s: minimise its scope",
        throttled: "send requests less often: the address stays limited for minutes",
    },
};

/// At most this much of a body is searched: an error message stands at its beginning. Our choice.
const SEARCHED_BYTES: usize = 16 * 1024;

fn contains(body: &[u8], words: &[u8]) -> bool {
    let body = body.get(..SEARCHED_BYTES).unwrap_or(body);
    body.windows(words.len()).any(|window| window == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_of_each_vendor_is_final() {
        let blocked = b"{\"message\":\"Your IP has been blocked due to suspected abuse\"}";
        let second_factor = b"{\"data\":[{\"message\":\"2FA is required\"}]}";
        for (profile, status, body, is_final) in [
            (JUMPCLOUD, 403, &blocked[..], true),
            (JUMPCLOUD, 403, b"{}", false),
            (JUMPCLOUD, 401, blocked, false),
            (IXON, 401, second_factor, true),
            (IXON, 401, b"{\"data\":[{\"message\":\"Invalid value\"}]}", false),
            (DEFAULT, 401, second_factor, false),
        ] {
            assert_eq!(profile.is_final(status, body), is_final, "{} {status}", profile.name());
        }
    }

    #[test]
    fn advice_follows_the_message_before_the_class() {
        let blocked = b"IP has been blocked";
        let status = Delivery::Answered(403);
        assert!(JUMPCLOUD.advice(status, blocked).contains("JumpCloud Support"));
        assert!(JUMPCLOUD.advice(status, b"").contains("API key"));
        assert!(IXON.advice(Delivery::Answered(504), b"").contains("minimise its scope"));
    }
}

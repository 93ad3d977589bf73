use super::*;

fn meaning(profile: &Profile, status: u16, body: &str) -> (Meaning, Option<Class>) {
    let outcome = profile.outcome(&Answer::new(status).body(body.as_bytes()));
    (outcome.meaning(), outcome.class())
}

const ALL: [&Profile; 7] = [DEFAULT, GITHUB, JUMPCLOUD, IXON, GOOGLE_RPC, OPERATIONS1, GRPC];

#[test]
fn the_messages_that_decide() {
    let blocked = "403 Forbidden. Your IP has been blocked due to suspected abuse";
    let second_factor = r#"{"type": "Error", "data": [{"message": "2FA is required"}]}"#;
    let token = r#"{"data": [{"message": "Invalid value", "propertyName": "Authorization"}]}"#;
    let company = r#"{"data": [{"message": "Required header", "propertyName": "Api-Company"}]}"#;
    let authorization = Some(Class::Authorization);
    for (profile, status, body, expected) in [
        (JUMPCLOUD, 403, blocked, (Meaning::Permanent, authorization)),
        (JUMPCLOUD, 403, "{}", (Meaning::Permanent, authorization)),
        (JUMPCLOUD, 401, blocked, (Meaning::Unauthorized, authorization)),
        (IXON, 401, second_factor, (Meaning::Permanent, authorization)),
        (IXON, 403, second_factor, (Meaning::Permanent, authorization)),
        (IXON, 401, token, (Meaning::Unauthorized, authorization)),
        (IXON, 400, token, (Meaning::Unauthorized, authorization)),
        (IXON, 422, token, (Meaning::Unauthorized, authorization)),
        (IXON, 401, company, (Meaning::Permanent, Some(Class::Content))),
        (IXON, 401, "{}", (Meaning::Unauthorized, authorization)),
        (IXON, 400, company, (Meaning::Permanent, Some(Class::Content))),
        (IXON, 429, token, (Meaning::NotProcessed, Some(Class::Throttled))),
        (IXON, 500, token, (Meaning::Unknown, Some(Class::Server))),
        (DEFAULT, 401, second_factor, (Meaning::Unauthorized, authorization)),
        (DEFAULT, 400, token, (Meaning::Permanent, Some(Class::Content))),
    ] {
        assert_eq!(meaning(profile, status, body), expected, "{} {status} {body}", profile.name());
    }
}

#[test]
fn advice_follows_the_message_before_the_class() {
    let advice = |profile: &Profile, status, body: &str| {
        profile.advice(&profile.outcome(&Answer::new(status).body(body.as_bytes())))
    };
    assert!(advice(JUMPCLOUD, 403, "IP has been blocked").contains("JumpCloud Support"));
    assert!(advice(JUMPCLOUD, 403, "").contains("API key"));
    assert!(advice(IXON, 504, "").contains("minimise its scope"));
    assert!(advice(GOOGLE_RPC, 403, "").contains("service account"));
    assert!(advice(OPERATIONS1, 401, "").contains("tenant"));
}

#[test]
fn every_profiles_numbers_make_a_policy() {
    for profile in ALL {
        assert!(Policy::of(profile).build().is_ok(), "{}", profile.name());
    }
}

#[test]
fn ixon_is_not_asked_again_within_a_minute_of_a_429() {
    let mut run = crate::Run::new(IXON.policy(), crate::Safety::Idempotent);
    let decision = run.after(&IXON.outcome(&Answer::new(429)), Duration::ZERO, 0);
    let (after, source) = (Duration::from_secs(60), crate::hint::Source::Backoff);
    assert_eq!(decision, crate::Decision::Retry { after, source });
}

#[test]
fn the_documents_schedules() {
    let waits = |backoff: Backoff| {
        [1, 2, 3, 4].map(|retry| backoff.ceiling(NonZeroU32::new(retry).unwrap()).as_secs())
    };
    let jumpcloud = JUMPCLOUD.policy();
    assert_eq!(waits(jumpcloud.backoff()), [30, 60, 120, 240]);
    assert_eq!(waits(jumpcloud.throttled()), [60, 120, 240, 480]);
    let operations1 = OPERATIONS1.policy();
    assert_eq!(waits(operations1.backoff()), [1, 2, 4, 8]);
    assert_eq!((operations1.max_attempts().get(), operations1.jitter()), (5, Jitter::None));
    assert_eq!(OPERATIONS1.attempt_timeout(), Some(Duration::from_secs(5)));
}

#[cfg(feature = "http")]
#[test]
fn a_status_in_the_head_of_a_200_is_read_for_grpc_only() {
    let now = std::time::SystemTime::UNIX_EPOCH;
    for (code, expected) in [
        ("0", (Meaning::Success, None)),
        ("8", (Meaning::Unknown, Some(Class::Throttled))),
        ("13", (Meaning::Permanent, Some(Class::Server))),
        ("14", (Meaning::Unknown, Some(Class::Server))),
        ("16", (Meaning::Unauthorized, Some(Class::Authorization))),
        ("x", (Meaning::Permanent, Some(Class::Server))),
    ] {
        let mut headers = http::HeaderMap::new();
        headers.insert("grpc-status", code.parse().unwrap());
        let answer = Answer::new(200).headers(&headers, now);
        let outcome = GRPC.outcome(&answer);
        assert_eq!((outcome.meaning(), outcome.class()), expected, "{code}");
        assert_eq!(DEFAULT.outcome(&answer).class(), None);
    }
}

#[cfg(feature = "http")]
#[test]
fn a_403_of_github_is_a_rate_limit_where_it_says_so() {
    use crate::hint::{Hint, Source};

    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_000);
    let until = |seconds| Hint::Wait { after: Duration::from_secs(seconds), source: RESET };
    let seven = Hint::Wait { after: Duration::from_secs(7), source: "retry-after" };
    let limit = (Meaning::NotProcessed, Some(Class::Throttled));
    let rights = (Meaning::Permanent, Some(Class::Authorization));
    for (status, fields, body, meaning, hint) in [
        (403, &[("x-ratelimit-remaining", "0"), (RESET, "1060")][..], "", limit, until(60)),
        (429, &[("x-ratelimit-remaining", "0"), (RESET, "1060")], "", limit, until(60)),
        (403, &[("x-ratelimit-remaining", "0"), (RESET, "900")], "", limit, until(0)),
        (403, &[("x-ratelimit-remaining", "0"), (RESET, "soon")], "", limit, Hint::None),
        (403, &[("x-ratelimit-remaining", "17"), (RESET, "1060")], "", rights, Hint::None),
        (403, &[("x-ratelimit-remaining", "-1")], "", rights, Hint::None),
        (403, &[("retry-after", "7")], "", limit, seven),
        (
            403,
            &[("x-ratelimit-remaining", "0"), (RESET, "1060"), ("retry-after", "7")],
            "",
            limit,
            until(60),
        ),
        (
            403,
            &[("x-ratelimit-remaining", "0"), (RESET, "1003"), ("retry-after", "7")],
            "",
            limit,
            seven,
        ),
        (
            403,
            &[("x-ratelimit-remaining", "9"), (RESET, "1060"), ("retry-after", "7")],
            "",
            limit,
            seven,
        ),
        (403, &[], "You have exceeded a secondary rate limit", limit, Hint::None),
        (403, &[], "Must have admin rights", rights, Hint::None),
    ] {
        let mut headers = http::HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        let answer = Answer::new(status).headers(&headers, now).body(body.as_bytes());
        let outcome = GITHUB.outcome(&answer);
        let read = ((outcome.meaning(), outcome.class()), outcome.asked());
        assert_eq!(read, (meaning, hint), "{status} {fields:?} {body}");
    }
    // What is asked for, and without a word at least a minute, whatever is drawn.
    let limit = GITHUB.outcome(&Answer::new(403).body(b"secondary rate limit"));
    let asked = |seconds| Hint::Wait { after: Duration::from_secs(seconds), source: "retry-after" };
    for (hint, seconds, source) in [
        (Hint::None, 60, Source::Backoff),
        (asked(7), 7, Source::Header("retry-after")),
        (asked(3600), 3600, Source::Header("retry-after")),
        (asked(0), 60, Source::Backoff),
    ] {
        let mut run = crate::Run::new(GITHUB.policy(), crate::Safety::Unsafe);
        let decision = run.after(&limit.hint(hint), Duration::ZERO, 0);
        let after = Duration::from_secs(seconds);
        assert_eq!(decision, crate::Decision::Retry { after, source });
    }
}

#[cfg(feature = "http")]
const RESET: &str = "x-ratelimit-reset";

#[test]
fn a_429_speaks_for_all_requests_and_a_503_only_where_that_is_said() {
    const LOUD: Profile = Profile::new("loud").with_pause_on_503();
    for (status, plain, loud) in
        [(429, true, true), (503, false, true), (500, false, false), (200, false, false)]
    {
        let outcome = Outcome::new(Delivery::Answered(status));
        assert_eq!(DEFAULT.pauses_all(&outcome), plain, "{status}");
        assert_eq!(LOUD.pauses_all(&outcome), loud, "{status}");
    }
}

#[test]
fn only_a_blocked_client_is_blocked() {
    for (body, blocked) in
        [("Your IP has been blocked due to suspected abuse", true), ("no", false)]
    {
        let outcome = JUMPCLOUD.outcome(&Answer::new(403).body(body.as_bytes()));
        assert_eq!(outcome.is_blocked(), blocked, "{body}");
    }
}

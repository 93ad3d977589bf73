//! `examples/explain.rs` as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::{Value, json};

fn explain(arguments: &[&str]) -> Output {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| integration_tests::example("explain"));
    Command::new(program).args(arguments).output().unwrap()
}

/// What the script leads to: decision, delay, source and tokens of each attempt.
fn played(arguments: &[&str], script: &Value) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let output = explain(&[arguments, &["--json", "--draw", "0.5", "--script", path]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let steps: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for step in &steps {
        let mut keys: Vec<_> = step.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let all = ["attempt", "class", "decision", "delay_ms", "reason", "source", "tokens"];
        assert_eq!(keys, all);
    }
    steps
}

fn short(step: &Value) -> Value {
    json!([step["decision"], step["delay_ms"], step["source"], step["tokens"]])
}

fn shorts(arguments: &[&str], script: &Value) -> Vec<Value> {
    played(arguments, script).iter().map(short).collect()
}

#[test]
fn plays_the_documents_schedules() {
    let down = json!(vec![json!({ "status": 503 }); 9]);
    let delays = |arguments: &[&str]| -> Vec<Value> {
        played(arguments, &down).iter().map(|step| step["delay_ms"].clone()).collect()
    };
    let jumpcloud = ["--profile", "jumpcloud", "--jitter", "none"];
    assert_eq!(
        delays(&jumpcloud),
        json!([30000, 60000, 120_000, 240_000, null]).as_array().unwrap()[..]
    );
    let operations1 = ["--profile", "operations1"];
    assert_eq!(delays(&operations1), json!([1000, 2000, 4000, 8000, null]).as_array().unwrap()[..]);
    let decorrelated = ["--jitter", "decorrelated", "--base-delay", "50ms", "--max-attempts", "4"];
    assert_eq!(delays(&decorrelated), json!([100, 175, 288, null]).as_array().unwrap()[..]);
}

#[test]
fn counts_the_tokens_of_every_budget() {
    let script = json!([{ "status": 503 }, { "status": 429 }, { "status": 200 }]);
    for (budget, tokens) in [
        ("none", json!([null, null, null])),
        ("default", json!([9, 8, 9])),
        ("aws", json!([486, 481, 486])),
        ("grpc", json!([9, 8, 8.1])),
        ("finagle", json!([99.2, 98.2, 98.2])),
    ] {
        let steps = played(&["--budget", budget], &script);
        let left: Vec<_> = steps.iter().map(|step| step["tokens"].clone()).collect();
        assert_eq!(Value::from(left), tokens, "{budget}");
    }
    let down = json!(vec![json!({ "status": 503 }); 20]);
    let steps =
        played(&["--budget", "default", "--max-attempts", "20", "--base-delay", "1ms"], &down);
    assert_eq!(steps.len(), 11);
    assert!(steps[10]["reason"].as_str().unwrap().contains("budget"));
    let unsent = json!([{ "status": 500 }, { "fault": "not-sent" }, { "fault": "not-sent" }]);
    let steps = shorts(&["--budget", "default", "--max-attempts", "9"], &unsent);
    assert!(steps.iter().all(|step| step[3] == 9), "{steps:?}");
}

#[test]
fn says_why_it_stops() {
    for (arguments, script, decision, words) in [
        (
            &["--profile", "jumpcloud"][..],
            json!([{ "status": 403, "body": "{\"message\": \"Your IP has been blocked\"}" }]),
            "stop",
            &["Your IP has been blocked", "JumpCloud Support"][..],
        ),
        (
            &["--profile", "ixon"],
            json!([{ "status": 400, "body": "{\"data\": [{\"message\": \"Invalid value\", \"propertyName\": \"Authorization\"}]}" }]),
            "refresh",
            &["Authorization: Invalid value"],
        ),
        (
            &[],
            json!([{ "status": 429, "headers": { "retry-after": "90" } }]),
            "stop",
            &["90 s", "60 s"],
        ),
        (&["--method", "POST"], json!([{ "fault": "timeout" }]), "stop", &["not safe to repeat"]),
        (
            &["--method", "POST", "--header", "Idempotency-Key: 1"],
            json!([{ "fault": "timeout" }]),
            "retry",
            &[],
        ),
        (&["--method", "POST"], json!([{ "fault": "refused" }]), "retry", &[]),
        (
            &["--profile", "grpc", "--method", "POST"],
            json!([{ "status": 200, "headers": { "grpc-status": "14" } }]),
            "stop",
            &[],
        ),
        (&["--deadline", "1s"], json!([{ "status": 503, "took_ms": 999 }]), "stop", &["deadline"]),
    ] {
        let steps = played(arguments, &script);
        assert_eq!(steps[0]["decision"], decision, "{script}: {}", steps[0]);
        let reason = steps[0]["reason"].as_str().unwrap();
        assert!(words.iter().all(|words| reason.contains(words)), "{reason}");
    }
    let late = json!([{ "status": 503 }, { "status": 404 }]);
    let steps = played(&["--method", "DELETE"], &late);
    assert!(steps[1]["reason"].as_str().unwrap().contains("may have been applied"));
}

#[test]
fn a_date_is_judged_by_the_wall_clock_that_was_set() {
    let script =
        json!([{ "status": 429, "headers": { "retry-after": "Sun, 06 Nov 1994 08:49:37 GMT" } }]);
    for now in ["1994-11-06T08:48:57Z", "1994-11-06T09:48:57+01:00"] {
        let retry = json!(["retry", 40_000, "retry-after", null]);
        assert_eq!(shorts(&["--now", now], &script), [retry]);
    }
}

#[test]
fn a_bad_option_or_script_ends_with_two() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for script in [
        "",
        "{}",
        "[1]",
        "[{}]",
        r#"[{"status": 99}]"#,
        r#"[{"status": 1000}]"#,
        r#"[{"fault": "x"}]"#,
        r#"[{"status": 200, "fault": "timeout"}]"#,
        r#"[{"status": 200, "took_ms": -1}]"#,
        r#"[{"status": 200, "headers": {"a b": "c"}}]"#,
        r#"[{"status": 200, "other": 1}]"#,
    ] {
        std::fs::write(file.path(), script).unwrap();
        assert_eq!(explain(&["--script", path]).status.code(), Some(2), "{script}");
    }
    for arguments in [
        &["--profile", "nobody"][..],
        &["--draw", "1.0"],
        &["--draw", "-0.1"],
        &["--draw", "NaN"],
        &["--method", "GE T"],
        &["--header", "no colon"],
        &["--max-attempts", "0"],
        &["--base-delay", "0s"],
        &["--base-delay", "2s", "--cap", "1s"],
        &["--now", "yesterday"],
        &["--jitter", "rising", "--base-delay", "1s", "--cap", "8s", "--max-attempts", "6"],
        &["--script", "/dev/null/nothing"],
    ] {
        assert_eq!(explain(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(explain(&[]).status.code(), Some(0), "the schedule");
}

//! `export` against an API that will not have it: the exit code, the words, and nothing sent in vain.

use std::time::{Duration, Instant};

use integration_tests::{Export, Run};
use simulated_api::{Api, Asked, Builder, Fault, Server, SimulatedApi};

async fn serve(builder: Builder) -> (SimulatedApi, Server) {
    let api = builder.build();
    let server = api.serve().await.unwrap();
    (api, server)
}

fn name(api: Api) -> &'static str {
    match api {
        Api::Ixon => "ixon",
        Api::JumpCloudV2 => "jumpcloud-v2",
        _ => "jumpcloud-v1",
    }
}

fn export(api: &SimulatedApi, server: &Server, arguments: &[&str]) -> Run {
    Export::new(&["--api", name(api.api()), "--url", &server.url(), "--key-env", "TEST_KEY"])
        .env("TEST_KEY", "key!")
        .with(arguments)
        .run()
}

fn always(fault: Fault) -> Builder {
    always_on(Api::JumpCloudV1, fault)
}

fn always_on(api: Api, fault: Fault) -> Builder {
    SimulatedApi::builder(api).key("key!").rows(300).faults(move |_| Some(fault.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_error_ends_the_run_after_one_request() {
    for status in [400, 402, 403, 404, 405, 406, 409, 410, 418, 422, 451, 501, 505, 511, 600, 999] {
        let (api, server) = serve(always(Fault::status(status))).await;
        let run = export(&api, &server, &[]);
        assert_eq!((run.code, api.log().len()), (3, 1), "{status}: {}", run.stderr);
        assert!(run.stderr.contains(&format!("simulated {status}")), "{}", run.stderr);
        assert!(run.report["reason"].as_str().unwrap().contains(&format!("simulated {status}")));
        assert!(run.stderr.contains("what to do: "), "{}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_that_is_no_page_is_asked_for_once_more_and_then_permanent() {
    for (api, body) in [
        (Api::JumpCloudV1, "<html>login</html>"),
        (Api::JumpCloudV1, ""),
        (Api::JumpCloudV1, "{\"totalCount\": 3}"),
        (Api::JumpCloudV1, "{\"results\": null}"),
        (Api::JumpCloudV1, "{\"results\": [{\"name\": \"no key\"}]}"),
        (Api::JumpCloudV1, "{\"results\": []} trailing"),
        (Api::JumpCloudV1, "[]"),
        (Api::JumpCloudV2, "{\"results\": []}"),
        (Api::JumpCloudV2, "[1, 2]"),
        (Api::Ixon, "{\"data\": []}"),
        (Api::Ixon, "{\"type\":\"Error\",\"status\":\"error\",\"moreAfter\":null,\"data\":[]}"),
    ] {
        let (api, server) =
            serve(always_on(api, Fault::status(200).body(format!("{body} ")))).await;
        let run = export(&api, &server, &[]);
        assert_eq!((run.code, api.log().len()), (3, 2), "{body}: {}", run.stderr);
    }
    let (api, server) = serve(always(Fault::Malformed)).await;
    let run = export(&api, &server, &[]);
    assert_eq!((run.code, api.log().len()), (3, 2));
    assert!(run.stderr.contains("not JSON"), "{}", run.stderr);
    for status in [201, 204, 206] {
        let (api, server) = serve(always(Fault::status(status))).await;
        assert_eq!(export(&api, &server, &[]).code, 3, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_that_has_not_changed_is_not_sent_again() {
    for api in [Api::JumpCloudV1, Api::Ixon] {
        let (api, server) = serve(SimulatedApi::builder(api).key("another").rows(3)).await;
        let run = export(&api, &server, &[]);
        assert_eq!((run.code, api.log().len()), (3, 1), "{}", run.stderr);
        assert!(run.stderr.contains("the key was refused"), "{}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_key_that_is_refused_as_well_is_final() {
    let (api, server) = serve(SimulatedApi::builder(Api::JumpCloudV1).key("third").rows(3)).await;
    let export = Export::new(&["--url", &server.url()]);
    let key_file = export.path("key");
    std::fs::write(&key_file, "first").unwrap();
    // The key changes between the start of the program and the refusal: the API's first answer waits.
    let (slow, slow_server) = serve({
        let path = key_file.clone();
        SimulatedApi::builder(Api::JumpCloudV1).key("third").rows(3).writes(move |_, _| {
            std::fs::write(&path, "second").unwrap();
        })
    })
    .await;
    drop((api, server));
    let run = Export::new(&["--url", &slow_server.url(), "--key-file", &key_file]).run();
    assert_eq!((run.code, slow.log().len()), (3, 2), "{}", run.stderr);
    assert_eq!(slow.log()[1].headers["x-api-key"], "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_and_a_blocked_address_are_final_at_once() {
    let second_factor = r#"{"type":"Error","data":[{"message":"2FA is required"}],"moreAfter":null,"status":"error"}"#;
    let blocked =
        "403 Forbidden. Your IP has been blocked due to suspected abuse, please contact us";
    for (api, status, body, words, advice) in [
        (Api::Ixon, 401, second_factor, "2FA is required", "OTP"),
        (Api::JumpCloudV1, 403, blocked, "IP has been blocked", "contact JumpCloud Support"),
    ] {
        let (api, server) = serve(always_on(api, Fault::status(status).body(body))).await;
        // Even with a fresh key at hand.
        let export = Export::new(&["--api", name(api.api()), "--url", &server.url()]);
        let key_file = export.path("key");
        std::fs::write(&key_file, "key!").unwrap();
        let run = export.with(&["--key-file", &key_file]).run();
        assert_eq!((run.code, api.log().len()), (3, 1), "{}", run.stderr);
        assert!(run.stderr.contains(words) && run.stderr.contains(advice), "{}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_part_of_the_request_that_is_wrong_is_named() {
    let body =
        r#"{"data":[{"message":"Required header","propertyName":"Api-Company"}],"status":"error"}"#;
    let (api, server) = serve(always_on(Api::Ixon, Fault::status(400).body(body))).await;
    let run = export(&api, &server, &[]);
    assert!(run.stderr.contains("Required header (Api-Company)"), "{}", run.stderr);
    assert_eq!(run.code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_named_and_never_followed() {
    let (other, other_server) = serve(SimulatedApi::builder(Api::JumpCloudV1).rows(3)).await;
    for status in [301, 302, 303, 307, 308] {
        let target = other_server.url();
        let fault = Fault::status(status).header("location", &format!("{target}?secret=1"));
        let (api, server) = serve(always(fault)).await;
        let run = export(&api, &server, &[]);
        assert_eq!((run.code, api.log().len()), (3, 1), "{}", run.stderr);
        assert!(run.stderr.contains(&target) && !run.everything().contains("secret=1"));
    }
    assert_eq!(other.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_error_is_tried_as_often_as_allowed() {
    let faults = [
        Fault::status(408),
        Fault::status(429),
        Fault::status(500),
        Fault::status(503),
        Fault::ResetBeforeHead,
        Fault::CutBody,
        Fault::ResetAfterHead,
    ];
    for fault in faults {
        let (api, server) = serve(always(fault.clone())).await;
        let run = export(&api, &server, &["--max-attempts", "4"]);
        assert_eq!((run.code, api.log().len()), (4, 4), "{fault:?}: {}", run.stderr);
        assert_eq!((run.count("requests"), run.count("retries")), (4, 3));
        assert!(run.stderr.contains("after 4 attempts"), "{}", run.stderr);
        assert_eq!(run.log.lines().filter(|line| line.contains("attempt=")).count(), 4);
    }
    for fault in [Fault::status(502), Fault::status(504), Fault::Hang, Fault::StallBody] {
        let (api, server) = serve(always(fault.clone())).await;
        let run = export(&api, &server, &["--max-attempts", "2", "--attempt-timeout", "40ms"]);
        // Six sizes from 100 rows to 3, then two attempts with two rows.
        assert_eq!((run.code, api.log().len()), (4, 6 + 2), "{fault:?}: {}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wait_is_longer_than_the_one_before() {
    let (api, server) = serve(always(Fault::status(503))).await;
    let run = export(&api, &server, &["--base-delay", "40ms"]);
    assert_eq!(run.code, 4);
    let gaps: Vec<_> = api.log().windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert_eq!(gaps.len(), 4);
    assert!(gaps[0] >= Duration::from_millis(40), "{gaps:?}");
    assert!(gaps.is_sorted_by(|a, b| a < b), "{gaps:?}");
    assert!(run.count("waited_ms") >= 40 + 80 + 160 + 320);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_asked_for_is_never_shortened_and_garbage_is_ignored() {
    let gap = |value: &'static str| async move {
        let script = [(2, Fault::status(429).header("retry-after", value))];
        let builder = SimulatedApi::builder(Api::JumpCloudV1).key("key!").rows(3).script(script);
        let (api, server) = serve(builder).await;
        let run = export(&api, &server, &["--base-delay", "30ms"]);
        assert_eq!(run.code, 0, "{value}: {}", run.stderr);
        let log = api.log();
        assert_eq!(log.len(), 3);
        log[2].at - log[1].at
    };
    assert!(gap("1").await >= Duration::from_secs(1));
    for garbage in ["soon", "-5", "1.5", "", "Mon, 99 Foo 2026 00:00:00 GMT", "0"] {
        let gap = gap(garbage).await;
        let bounds = Duration::from_millis(30)..Duration::from_millis(500);
        assert!(bounds.contains(&gap), "{garbage}: {gap:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_on_a_success_means_nothing() {
    let page = r#"{"totalCount":1,"results":[{"_id":"a"}]}"#;
    let fault = Fault::status(200).header("retry-after", "30").body(page);
    let (api, server) = serve(always(fault)).await;
    let started = Instant::now();
    assert_eq!(export(&api, &server, &[]).code, 0);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_longer_than_the_deadline_stops_at_once_and_is_named() {
    for (value, named) in [("3600", "3600 s"), ("99999999999999999999", "s")] {
        let (api, server) = serve(always(Fault::status(503).header("retry-after", value))).await;
        let started = Instant::now();
        let run = export(&api, &server, &["--deadline", "20s"]);
        assert_eq!((run.code, api.log().len()), (4, 1));
        assert!(run.stderr.contains(named), "{}", run.stderr);
        assert!(run.report["reason"].as_str().unwrap().contains(named));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_covers_attempts_and_waits_of_a_page() {
    for fault in [Fault::status(503), Fault::Hang, Fault::StallBody, Fault::status(504)] {
        let (api, server) = serve(always(fault.clone())).await;
        let started = Instant::now();
        let options = ["--deadline", "600ms", "--max-attempts", "50", "--base-delay", "50ms"];
        let run = export(&api, &server, &options);
        assert_eq!(run.code, 4, "{fault:?}: {}", run.stderr);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(3), "{fault:?} took {took:?}");
        assert!((1..=6).contains(&api.log().len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_be_made_is_told_with_its_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let run = Export::new(&["--url", &format!("http://{address}/api/systemusers")]).run();
    assert_eq!(run.code, 4);
    assert!(run.stderr.contains("connection refused"), "{}", run.stderr);
    assert!(run.report["reason"].as_str().unwrap().contains("connection refused"));
    assert_eq!(run.count("retries"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_that_contradicts_itself_is_inconsistent() {
    let turns =
        |asked: &Asked| (!asked.reverse && asked.skip > 300).then_some(Fault::IgnorePosition);
    type Faults = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;
    let cases: [(Api, Faults); 4] = [
        (Api::JumpCloudV1, Box::new(|asked| (!asked.reverse).then_some(Fault::IgnorePosition))),
        (Api::JumpCloudV1, Box::new(turns)),
        (Api::JumpCloudV2, Box::new(|_| Some(Fault::IgnoreReverse))),
        (Api::Ixon, Box::new(|_| Some(Fault::IgnorePosition))),
    ];
    for (name, fault) in cases {
        let builder = SimulatedApi::builder(name).key("key!").rows(1_000).faults(fault);
        let (api, server) = serve(builder).await;
        let run = export(&api, &server, &["--page-size", "50"]);
        assert_eq!(run.code, 5, "{name:?}: {}", run.stderr);
        let proof = api.proof(run.keys(name.key_field()));
        assert_eq!(proof.twice, 0);
        assert!(api.log().len() < 100);
    }
}

/// Each page is in another order, in which the next one still begins with its last row.
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_another_order_than_the_keys_are_all_exported() {
    let builder = SimulatedApi::builder(Api::JumpCloudV2).key("key!").rows(1_000);
    let (api, server) = serve(builder.faults(|_| Some(Fault::IgnoreSort))).await;
    let run = export(&api, &server, &["--page-size", "50"]);
    let proof = api.proof(run.keys("id"));
    assert_eq!((proof.missing, proof.twice), (0, 0), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_shown_even_if_the_api_repeats_it() {
    const KEY: &str = "s3cr3t-key-of-the-test";
    for status in [401, 500] {
        let body = format!("{{\"message\":\"the key {KEY} is wrong\"}}");
        let (api, server) = serve(always(Fault::status(status).body(body))).await;
        let export = Export::new(&["--url", &server.url(), "--key-env", "TEST_KEY"]);
        let run = export
            .env("TEST_KEY", KEY)
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .with(&["--header", &format!("Authorization: Bearer {KEY}-too"), "--max-attempts", "2"])
            .run();
        assert!(run.stderr.contains("the key [hidden] is wrong"), "{}", run.stderr);
        assert!(run.log.lines().all(|line| line.contains("attempt=")), "{}", run.log);
        assert!(!run.everything().contains(KEY));
        assert_eq!(api.log()[0].headers["x-api-key"], KEY);
        assert_eq!(api.log()[0].headers["authorization"], format!("Bearer {KEY}-too"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_repeats_the_key_does_not_show_it_and_the_apis_words_stay_whole() {
    const KEY: &str = "s3/cr3t+key";
    for body in [format!("\"{KEY}\""), "{\"results\": [], \"s3/cr3t+key".to_owned()] {
        let (_, server) = serve(always(Fault::status(200).body(body))).await;
        let export = Export::new(&["--url", &server.url(), "--key-env", "TEST_KEY"]);
        let run = export.env("TEST_KEY", KEY).run();
        assert_eq!(run.code, 3);
        assert!(!run.everything().contains(KEY), "{}", run.everything());
    }
    // The target of a redirect holds it encoded, and a password.
    let target = "http://me:pass@elsewhere/s3/cr3t%2bkey/s3%2Fcr3t%2Bkey/?x";
    let (_, server) = serve(always(Fault::status(302).header("location", target))).await;
    let export = Export::new(&["--url", &server.url(), "--key-env", "TEST_KEY"]);
    let run = export.env("TEST_KEY", KEY).run();
    assert!(run.stderr.contains("http://elsewhere/[hidden]/[hidden]/"), "{}", run.stderr);
    // A header that is no secret is not hidden from the API's words.
    let body = "{\"message\":\"2FA \u{1b}[31m\u{202e} is required\"}";
    let (_, server) = serve(always(Fault::status(400).body(body))).await;
    let run = Export::new(&["--url", &server.url(), "--header", "Api-Version: 2"]).run();
    let said = "2FA  [31m  is required";
    assert!(run.code == 3 && run.stderr.contains("the API"), "{}", run.stderr);
    assert!(run.stderr.contains(said) || !run.stderr.contains('\u{202e}'), "{}", run.stderr);
    assert!(!run.stderr.contains("[hidden]") && !run.stderr.contains('\u{1b}'), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_dialect_and_a_wrong_url_are_named() {
    let (api, server) = serve(SimulatedApi::builder(Api::JumpCloudV2).key("key!").rows(3)).await;
    let run =
        Export::new(&["--url", &server.url(), "--key-env", "TEST_KEY"]).env("TEST_KEY", "key!");
    let run = run.run();
    assert_eq!((run.code, api.log().len()), (3, 2));
    assert!(run.stderr.contains("another shape") && run.stderr.contains("--api"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_cannot_be_written_is_never_a_success() {
    let (api, server) = serve(SimulatedApi::builder(Api::JumpCloudV1).key("key!").rows(500)).await;
    let run = export(&api, &server, &["--out", "/dev/full"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stderr.contains("cannot be written"), "{}", run.stderr);
    // A reader that goes away.
    let export =
        Export::new(&["--url", &server.url(), "--key-env", "TEST_KEY"]).env("TEST_KEY", "key!");
    let mut child = export.command().spawn().unwrap();
    drop(child.stdout.take());
    let output = tokio::task::block_in_place(|| child.wait_with_output().unwrap());
    assert_eq!(export.left_by(&output).code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_sheds_gives_up_where_one_that_paces_goes_on() {
    let mut seen = std::collections::BTreeSet::new();
    let builder = SimulatedApi::builder(Api::JumpCloudV1).key("key!").rows(1_500);
    let builder = builder.faults(move |asked| {
        let tries = (asked.skip, asked.reverse);
        // Every page fails twice.
        (0..2).find(|time| seen.insert((tries, *time))).map(|_| Fault::status(503))
    });
    let (api, server) = serve(builder).await;
    let run = export(&api, &server, &["--budget", "shed"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stderr.contains("budget"), "{}", run.stderr);
}

//! `export` against an API that fails and is written to: every row once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use integration_tests::{Export, Run};
use simulated_api::{Api, Builder, Fault, Proof, Row, Server, SimulatedApi};

const APIS: [(Api, &str); 3] =
    [(Api::JumpCloudV1, "jumpcloud-v1"), (Api::JumpCloudV2, "jumpcloud-v2"), (Api::Ixon, "ixon")];

async fn serve(builder: Builder) -> (SimulatedApi, Server) {
    let api = builder.build();
    let server = api.serve().await.unwrap();
    (api, server)
}

/// Exports the API with its key and these arguments.
fn export(api: &SimulatedApi, server: &Server, arguments: &[&str]) -> Run {
    let name = APIS.iter().find(|(other, _)| *other == api.api()).unwrap().1;
    Export::new(&["--api", name, "--url", &server.url(), "--key-env", "TEST_KEY"])
        .env("TEST_KEY", "key")
        .with(arguments)
        .run()
}

fn assert_complete(api: &SimulatedApi, run: &Run) -> Proof {
    assert_eq!(run.code, 0, "{}", run.stderr);
    let keys = run.keys(api.api().key_field());
    let proof = api.proof(&keys);
    assert_eq!((proof.missing, proof.twice), (0, 0), "{proof:?} {}", run.stderr);
    assert_eq!(run.count("items"), keys.len() as u64);
    // One that was on its way when the scan was complete may not have arrived.
    let arrived = api.log().len() as u64;
    assert!((arrived..=arrived + 3).contains(&run.count("requests")), "every request is counted");
    proof
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_is_exported_whole_and_in_order() {
    for (name, _) in APIS {
        let (api, server) = serve(SimulatedApi::builder(name).rows(730)).await;
        let run = export(&api, &server, &[]);
        assert_eq!(assert_complete(&api, &run).owed, 730);
        let all: Vec<_> = api.rows().iter().map(|row| row.key().to_owned()).collect();
        assert_eq!(run.keys(name.key_field()), all, "{name:?}");
        assert_eq!((run.count("retries"), run.count("waited_ms")), (0, 0));
        assert_eq!((run.count("shifts_repaired"), run.count("duplicates_dropped")), (0, 0));
        let requests = if name == Api::Ixon { 1 } else { 9 };
        assert_eq!(run.count("requests"), requests, "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_collection_and_one_row_are_complete() {
    for (name, _) in APIS {
        for rows in [0, 1, 2, 99, 100, 101] {
            let (api, server) = serve(SimulatedApi::builder(name).rows(rows)).await;
            let run = export(&api, &server, &[]);
            assert_eq!(assert_complete(&api, &run).owed as u64, rows);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_stays_as_it_is_but_for_the_white_space_between_its_parts() {
    let rows = [
        (
            "a",
            "{ \"z\" : 1.0,\n\t\"a\": 12345678901234567890.10, \"_id\":\"a\", \"t\": \" x \\\" \\u00e9 é\" }",
        ),
        ("b", r#"{"_id":"b","n":[ 1E400, -0, 1e-7 ],"o":{ },"same":1,"same":2}"#),
    ];
    let lines = [
        r#"{"z":1.0,"a":12345678901234567890.10,"_id":"a","t":" x \" \u00e9 é"}"#,
        r#"{"_id":"b","n":[1E400,-0,1e-7],"o":{},"same":1,"same":2}"#,
    ];
    let rows = rows.map(|(key, json)| Row::new(key, json));
    let (api, server) = serve(SimulatedApi::builder(Api::JumpCloudV1).rows_of(rows)).await;
    let run = export(&api, &server, &[]);
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_survived_at_every_place() {
    let faults = [
        Fault::status(500),
        Fault::status(502),
        Fault::status(503),
        Fault::status(504),
        Fault::status(408),
        Fault::status(425),
        Fault::status(421),
        Fault::status(429),
        Fault::status(413),
        Fault::ResetBeforeHead,
        Fault::ResetAfterHead,
        Fault::CutBody,
        Fault::Hang,
        Fault::StallBody,
        Fault::SlowBody(Duration::from_millis(20)),
        Fault::EmptyPage,
        Fault::ShortPage(1),
        Fault::ShortPage(7),
        Fault::WrongTotal(0),
        Fault::WrongTotal(1_000_000),
    ];
    for fault in faults {
        for at in [1, 2, 3, 5] {
            let script = [(at, fault.clone())];
            let builder = SimulatedApi::builder(Api::JumpCloudV1).rows(350).script(script);
            let (api, server) = serve(builder).await;
            let run = export(&api, &server, &["--attempt-timeout", "300ms"]);
            assert_complete(&api, &run);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_before_at_and_after_the_scan_neither_hide_nor_repeat_a_row() {
    for (name, _) in APIS {
        for prefetch in ["0", "3"] {
            for sort in ["_id", "-_id"] {
                let builder = SimulatedApi::builder(name).rows(2_000).writes(|number, rows| {
                    let middle = usize::try_from(number * 50).unwrap();
                    if number > 1 {
                        rows.delete_at(0);
                        rows.delete_at(middle);
                        rows.insert_before(middle / 2);
                        rows.insert_before(middle + 30);
                        rows.append();
                    }
                });
                let (api, server) = serve(builder.faults_by_seed(7)).await;
                let mut arguments = vec!["--prefetch", prefetch, "--page-size", "90"];
                if name != Api::Ixon {
                    arguments.extend(["--sort", sort]);
                }
                let first: Vec<_> = api.rows().iter().map(|row| row.key().to_owned()).collect();
                let run = export(&api, &server, &arguments);
                let proof = assert_complete(&api, &run);
                assert!(proof.owed < 2_000, "rows were deleted");
                // Rows that are written while the scan runs may come after their place.
                let mut keys = run.keys(name.key_field());
                keys.retain(|key| first.contains(key));
                let mut sorted = keys.clone();
                sorted.sort();
                if name != Api::Ixon && sort == "-_id" {
                    sorted.reverse();
                }
                assert_eq!(keys, sorted, "in order, {name:?} {sort} {prefetch}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_keeps_growing_does_not_keep_the_scan_alive() {
    let grow = |number, rows: &mut simulated_api::Collection| {
        if number > 1 {
            (0..100).for_each(|_| rows.append());
        }
    };
    let (api, server) =
        serve(SimulatedApi::builder(Api::JumpCloudV1).rows(3_000).writes(grow)).await;
    let run = export(&api, &server, &[]);
    assert_complete(&api, &run);
    let quiet = 3_000 / 99 + 2;
    assert!(run.count("requests") < quiet + 20, "{} requests", run.count("requests"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_heavy_is_asked_for_smaller() {
    for (status, hidden) in [(413, 40), (502, 10), (504, 3)] {
        for (name, _) in APIS {
            let builder = SimulatedApi::builder(name)
                .rows(300)
                .faults(move |asked| (asked.limit > hidden).then(|| Fault::status(status)));
            let (api, server) = serve(builder).await;
            let run = export(&api, &server, &["--max-attempts", "2"]);
            assert_complete(&api, &run);
            assert!(run.count("retries") >= 2, "{}", run.report);
        }
    }
    // A timeout says the same, and the waits go on growing from size to size.
    let slow = |asked: &simulated_api::Asked| (asked.limit > 20).then_some(Fault::Hang);
    let (api, server) = serve(SimulatedApi::builder(Api::JumpCloudV1).rows(60).faults(slow)).await;
    let run = export(&api, &server, &["--attempt-timeout", "100ms", "--base-delay", "20ms"]);
    assert_complete(&api, &run);
    let gaps: Vec<_> = api.log().windows(2).take(3).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(gaps[0] < gaps[1] && gaps[1] < gaps[2], "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_caps_pages_lower_skips_no_row() {
    for cap in [2, 3, 10, 99] {
        let builder = SimulatedApi::builder(Api::JumpCloudV1).rows(120).ceiling(cap, true);
        let (api, server) = serve(builder).await;
        let run = export(&api, &server, &["--page-size", "1000"]);
        assert_eq!(assert_complete(&api, &run).owed, 120, "capped at {cap}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_size_of_one_is_asked_as_two() {
    let (api, server) = serve(SimulatedApi::builder(Api::JumpCloudV1).rows(5)).await;
    let run = export(&api, &server, &["--page-size", "1"]);
    assert_complete(&api, &run);
    let log = api.log();
    let pages = log.iter().filter(|entry| entry.uri.query().unwrap().ends_with("sort=_id"));
    assert!(pages.clone().count() > 0);
    assert!(pages.into_iter().all(|entry| entry.uri.query().unwrap().contains("limit=2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_ahead_are_in_flight_together_and_come_out_in_order() {
    let slow = |_: &simulated_api::Asked| Some(Fault::SlowBody(Duration::from_millis(60)));
    let took = |prefetch: &'static str| async move {
        let builder = SimulatedApi::builder(Api::JumpCloudV1).rows(2_000).faults(slow);
        let (api, server) = serve(builder).await;
        let started = std::time::Instant::now();
        let run = export(&api, &server, &["--prefetch", prefetch]);
        assert_complete(&api, &run);
        let keys = run.keys("_id");
        assert!(keys.is_sorted());
        started.elapsed()
    };
    let (alone, together) = (took("0").await, took("4").await);
    assert!(together < alone / 2, "{together:?} against {alone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_goes_to_the_api_encoded_and_a_row_that_leaves_it_is_not_owed() {
    for (name, filter) in [
        (Api::JumpCloudV1, "department:$eq:R&D"),
        (Api::JumpCloudV2, "department:eq:R&D"),
        (Api::Ixon, "eq(department,\"R&D\")"),
    ] {
        let builder = SimulatedApi::builder(name).rows(1_000).writes(move |number, rows| {
            let index = usize::try_from(number * 4).unwrap() + 2;
            if let Some(row) = rows.rows().get(index).cloned().filter(|_| number > 1) {
                let json = row.json().replace("R\\u0026D", "Sales");
                rows.insert(Row::new(row.key(), json));
            }
        });
        let (api, server) = serve(builder).await;
        let run = export(&api, &server, &["--filter", filter, "--page-size", "30"]);
        let proof = assert_complete(&api, &run);
        assert!((200..=250).contains(&proof.owed), "{proof:?}");
        assert!(run.stdout.lines().all(|line| line.contains("R\\u0026D")));
        let query = api.log()[0].uri.query().unwrap().to_owned();
        assert!(query.contains("R%26D") && !query.contains('"'), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_read_again_from_its_file() {
    for (name, api_name) in APIS {
        let path: Arc<Mutex<String>> = Arc::default();
        let builder = SimulatedApi::builder(name).rows(1_500).key("first-key");
        // Far apart: a request that meets both is refused twice, and that is final.
        let builder = builder.rotate_key(2, "second-key").rotate_key(13, "third-key");
        let file = Arc::clone(&path);
        let builder = builder.on_rotation(move |key| {
            // Moved into place: a file that is written over is empty for a moment.
            let path = file.lock().unwrap();
            let next = format!("{path}.next");
            std::fs::write(&next, key).unwrap();
            std::fs::rename(&next, &*path).unwrap();
        });
        let (api, server) = serve(builder).await;
        let arguments = ["--api", api_name, "--url", &server.url(), "--page-size", "100"];
        let export = Export::new(&arguments);
        let key_file = export.path("key");
        std::fs::write(&key_file, "first-key\n").unwrap();
        path.lock().unwrap().clone_from(&key_file);
        let run = export.with(&["--key-file", &key_file, "--prefetch", "2"]).run();
        assert_complete(&api, &run);
        let refused = api.log().iter().filter(|entry| entry.status == Some(401)).count();
        assert!((2..=6).contains(&refused), "one for each request that met the old key: {refused}");
        for key in ["first-key", "second-key", "third-key"] {
            assert!(!run.everything().contains(key));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_rows() {
    let peak = |rows| async move {
        let (api, server) = serve(SimulatedApi::builder(Api::JumpCloudV1).rows(rows)).await;
        let run = export(&api, &server, &["--prefetch", "2"]);
        assert_eq!(run.count("items"), rows);
        let words: Vec<&str> = run.stderr.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "MiB").unwrap();
        words[at - 1].parse::<u64>().unwrap()
    };
    let (few, many) = (peak(1_000).await, peak(30_000).await);
    assert!(many <= few + 3, "{few} MiB, then {many} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paced_budget_makes_it_slower_and_never_incomplete() {
    let mut seen = std::collections::BTreeSet::new();
    let builder = SimulatedApi::builder(Api::JumpCloudV1).rows(1_500).faults(move |asked| {
        // Every page fails once.
        seen.insert((asked.skip, asked.reverse)).then(|| Fault::status(503))
    });
    let (api, server) = serve(builder).await;
    let run = export(&api, &server, &["--budget", "pace"]);
    assert_complete(&api, &run);
    assert_eq!(run.count("retries"), 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_api_is_exported_and_proved() {
    let run = Export::new(&["--rows", "1500", "--budget", "pace"]).run();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains(" 0 missing, 0 twice"), "{}", run.stderr);
    assert!(run.count("retries") > 0, "it fails on purpose");
    assert!(!run.log.is_empty() && run.log.lines().all(|line| line.contains("attempt=")));
}

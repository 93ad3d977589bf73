//! `export` killed, interrupted and started again: the output holds every row once.

use std::path::Path;
use std::time::{Duration, Instant};

use integration_tests::{Export, Run, keys};
use simulated_api::{Api, Asked, Fault, Server, SimulatedApi};

fn slowly(_: &Asked) -> Option<Fault> {
    Some(Fault::SlowBody(Duration::from_millis(10)))
}

async fn serve(api: Api, rows: u64) -> (SimulatedApi, Server) {
    let api = SimulatedApi::builder(api).rows(rows).faults(slowly).writes(|number, rows| {
        if number > 1 {
            rows.delete_at(0);
            rows.append();
        }
    });
    let api = api.build();
    let server = api.serve().await.unwrap();
    (api, server)
}

fn export(api: Api, server: &Server) -> Export {
    let name = match api {
        Api::Ixon => "ixon",
        Api::JumpCloudV2 => "jumpcloud-v2",
        _ => "jumpcloud-v1",
    };
    let export = Export::new(&["--api", name, "--url", &server.url(), "--page-size", "20"]);
    let (out, checkpoint) = (export.path("out"), export.path("checkpoint"));
    export
        .with(&["--out", &out, "--checkpoint", &checkpoint, "--key-env", "TEST_KEY"])
        .env("TEST_KEY", "key")
}

fn lines(export: &Export) -> String {
    std::fs::read_to_string(export.path("out")).unwrap()
}

/// Starts it and kills it after a while; the exit code if it had ended before.
fn killed_after(export: &Export, after: Duration) -> Option<i32> {
    tokio::task::block_in_place(|| {
        let mut child = export.command().spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap().code()
    })
}

fn signal(child: u32, name: &str) {
    let mut kill = std::process::Command::new("kill");
    assert!(kill.arg(format!("-{name}")).arg(child.to_string()).status().unwrap().success());
}

fn with_half_a_line(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"{\"_id\":\"not known to the checkpoint\"}\n{\"_id\":\"half").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_and_started_again_it_holds_every_row_once() {
    for name in [Api::JumpCloudV1, Api::JumpCloudV2, Api::Ixon] {
        let (api, server) = serve(name, 700).await;
        let export = export(name, &server);
        let mut kills = 0;
        let run = loop {
            let ended = killed_after(&export, Duration::from_millis(60 + 17 * kills));
            kills += 1;
            if Path::new(&export.path("checkpoint")).exists() && kills % 3 == 0 {
                with_half_a_line(Path::new(&export.path("out")));
            }
            if ended.is_some() || kills > 8 {
                break export.run();
            }
        };
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(kills > 2, "it was killed on the way");
        let keys = keys(&lines(&export), name.key_field());
        let proof = api.proof(&keys);
        assert_eq!((proof.missing, proof.twice), (0, 0), "{name:?} after {kills} kills");
        assert_eq!(run.count("items"), keys.len() as u64);
        assert!(keys.is_sorted());
        // The kills did not send it back to the beginning.
        let quiet = 2 * 700 / 19;
        assert!(api.log().len() < quiet + 3 * kills as usize, "{} requests", api.log().len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_after_a_complete_one_changes_nothing_and_sends_nothing() {
    let (api, server) = serve(Api::JumpCloudV1, 100).await;
    let export = export(Api::JumpCloudV1, &server);
    assert_eq!(export.run().code, 0);
    let (before, requests) = (lines(&export), api.log().len());
    with_half_a_line(Path::new(&export.path("out")));
    let run = export.run();
    let rows = before.lines().count() as u64;
    assert_eq!((run.code, run.count("items")), (0, rows), "{}", run.stderr);
    assert_eq!((lines(&export), api.log().len()), (before, requests));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_soon_and_leaves_a_valid_checkpoint() {
    for name in ["INT", "TERM"] {
        let (api, server) = serve(Api::JumpCloudV1, 600).await;
        let export = export(Api::JumpCloudV1, &server);
        let child = export.command().spawn().unwrap();
        // Once the first rows are out, and long before the last.
        let is_begun = || std::fs::metadata(export.path("checkpoint")).is_ok();
        for _ in 0..500 {
            if is_begun() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let started = Instant::now();
        signal(child.id(), name);
        let output = tokio::task::block_in_place(|| child.wait_with_output().unwrap());
        assert!(started.elapsed() < Duration::from_secs(2));
        let run = export.left_by(&output);
        assert_eq!(run.code, 4, "{}", run.stderr);
        assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
        let first = lines(&export).lines().count() as u64;
        assert_eq!(run.count("items"), first);
        assert!((1..600).contains(&first), "{first} rows were out");
        assert_eq!(export.run().code, 0);
        let proof = api.proof(keys(&lines(&export), "_id"));
        assert_eq!((proof.missing, proof.twice), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_run_that_nobody_reads_or_answers() {
    // A long wait.
    let fault = Fault::status(503).header("retry-after", "60");
    let api = SimulatedApi::builder(Api::JumpCloudV1).faults(move |_| Some(fault.clone())).build();
    let server = api.serve().await.unwrap();
    let waiting = export(Api::JumpCloudV1, &server);
    // A pipe that is full.
    let big = SimulatedApi::builder(Api::JumpCloudV1).rows(5_000).build();
    let big_server = big.serve().await.unwrap();
    let blocked = Export::new(&["--url", &big_server.url(), "--key-env", "TEST_KEY"]);
    for export in [waiting, blocked.env("TEST_KEY", "key")] {
        let mut child = export.command().spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(99)).await;
        let started = Instant::now();
        signal(child.id(), "INT");
        let status = tokio::task::block_in_place(|| child.wait().unwrap());
        assert_eq!(status.code(), Some(4));
        assert!(started.elapsed() < Duration::from_secs(5));
        let report = std::fs::read_to_string(export.path("report.json")).unwrap();
        assert!(report.contains("\"gave_up\""), "{report}");
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_ne!(report["requests"], 0, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_does_not_leave_the_report_of_an_earlier_one() {
    let (_, server) = serve(Api::JumpCloudV1, 600).await;
    let export = export(Api::JumpCloudV1, &server);
    std::fs::write(export.path("report.json"), "{\"outcome\": \"complete\"}").unwrap();
    killed_after(&export, Duration::from_millis(90));
    let report = std::fs::read_to_string(export.path("report.json")).unwrap();
    assert!(report.contains("\"gave_up\""), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_cursors_is_told_again_and_writes_no_row_twice() {
    let api = SimulatedApi::builder(Api::Ixon)
        .rows(100)
        .faults(|asked| (asked.number % 3 == 0).then_some(Fault::IgnorePosition));
    let api = api.build();
    let server = api.serve().await.unwrap();
    let export = export(Api::Ixon, &server);
    for _ in 0..3 {
        assert_eq!(export.run().code, 5);
        let proof = api.proof(keys(&lines(&export), "publicId"));
        assert_eq!(proof.twice, 0);
    }
}

/// Runs against a finished export whose files were tampered with: refused, nothing touched, nothing sent.
async fn assert_refused(tamper: impl Fn(&Export), arguments: &[&str], words: &str) {
    let (api, server) = serve(Api::JumpCloudV1, 100).await;
    let export = export(Api::JumpCloudV1, &server);
    assert_eq!(export.run().code, 0);
    tamper(&export);
    let files =
        |export: &Export| ["out", "checkpoint"].map(|name| std::fs::read(export.path(name)).ok());
    let (before, requests) = (files(&export), api.log().len());
    let export = export.with(arguments);
    let run: Run = export.run();
    assert_eq!(run.code, 2, "{words}: {}", run.stderr);
    assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    assert_eq!((files(&export), api.log().len()), (before, requests), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_does_not_fit_is_refused_and_nothing_is_touched() {
    let edit = |export: &Export, name: &str, edit: &dyn Fn(String) -> String| {
        let text = std::fs::read_to_string(export.path(name)).unwrap();
        std::fs::write(export.path(name), edit(text)).unwrap();
    };
    let untouched = |_: &Export| ();
    assert_refused(untouched, &["--filter", "department:$eq:IT"], "another query").await;
    assert_refused(untouched, &["--sort", "-_id"], "another query").await;
    let newer = |export: &Export| {
        edit(export, "checkpoint", &|text| text.replace("\"version\": 2", "\"version\": 3"));
    };
    assert_refused(newer, &[], "format 3").await;
    let cut = |export: &Export| edit(export, "checkpoint", &|text| text[..40].to_owned());
    assert_refused(cut, &[], "cannot be read").await;
    let empty = |export: &Export| edit(export, "checkpoint", &|_| String::new());
    assert_refused(empty, &[], "cannot be read").await;
    let other_json = |export: &Export| edit(export, "checkpoint", &|_| "{\"a\": 1}".to_owned());
    assert_refused(other_json, &[], "cannot be read").await;
    let gone = |export: &Export| std::fs::remove_file(export.path("out")).unwrap();
    assert_refused(gone, &[], "cannot be gone on with").await;
    let shorter = |export: &Export| edit(export, "out", &|text| text[..text.len() - 1].to_owned());
    assert_refused(shorter, &[], "the checkpoint knows of").await;
    let another = |export: &Export| edit(export, "out", &|text| text.replace("user", "USER"));
    assert_refused(another, &[], "is not the one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_url_or_api_is_another_query() {
    let (_, server) = serve(Api::JumpCloudV1, 100).await;
    let (other, other_server) = serve(Api::JumpCloudV1, 100).await;
    let first = export(Api::JumpCloudV1, &server);
    assert_eq!(first.run().code, 0);
    for arguments in [["--url", &other_server.url()], ["--api", "jumpcloud-v2"]] {
        // Each option may be given once: the first command line without it.
        let (out, checkpoint) = (first.path("out"), first.path("checkpoint"));
        let files = ["--out", &out, "--checkpoint", &checkpoint, "--key-env", "TEST_KEY"];
        let second = Export::new(&files).with(&arguments).env("TEST_KEY", "key");
        let url = server.url();
        let second = if arguments[0] == "--api" { second.with(&["--url", &url]) } else { second };
        assert_eq!(second.run().code, 2);
    }
    assert_eq!(other.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_the_next_run_goes_on() {
    for (fault, code) in [(Fault::status(403), 3), (Fault::status(503), 4)] {
        let down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_down = std::sync::Arc::clone(&down);
        let api = SimulatedApi::builder(Api::JumpCloudV1).rows(300).faults(move |asked| {
            let fails = asked.number > 5 && is_down.load(std::sync::atomic::Ordering::Relaxed);
            fails.then(|| fault.clone())
        });
        let api = api.build();
        let server = api.serve().await.unwrap();
        let export = export(Api::JumpCloudV1, &server).with(&["--max-attempts", "2"]);
        assert_eq!(export.run().code, code);
        let requests = api.log().len();
        down.store(false, std::sync::atomic::Ordering::Relaxed);
        let run = export.run();
        assert_eq!((run.code, run.count("items")), (0, 300));
        assert_eq!(run.count("requests"), (api.log().len() - requests) as u64);
        assert!(run.count("requests") <= 14, "it did not begin anew");
        let proof = api.proof(keys(&lines(&export), "_id"));
        assert_eq!((proof.owed, proof.missing, proof.twice), (300, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_api_can_be_gone_on_with() {
    for (arguments, field) in [
        (&["--sort", "_id"][..], "_id"),
        (&["--sort", "-_id"], "_id"),
        (&["--api", "ixon"], "publicId"),
    ] {
        let export = Export::new(&["--rows", "3000", "--page-size", "20"]).with(arguments);
        let (out, checkpoint) = (export.path("out"), export.path("checkpoint"));
        let export = export.with(&["--out", &out, "--checkpoint", &checkpoint]);
        killed_after(&export, Duration::from_millis(150));
        let run = export.run();
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stderr.contains(" 0 missing, 0 twice"), "{}", run.stderr);
        let mut keys = keys(&lines(&export), field);
        if arguments[1] == "-_id" {
            keys.reverse();
        }
        assert!(keys.is_sorted_by(|a, b| a < b));
    }
}

//! `export` and the mistakes of its user: exit code 2, and nothing sent.

use integration_tests::Export;
use simulated_api::{Api, SimulatedApi};

#[tokio::test(flavor = "multi_thread")]
async fn the_users_mistakes_are_told_before_anything_is_sent() {
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows(3).build();
    let server = api.serve().await.unwrap();
    let url = server.url();
    let with_sort = format!("{url}?sort=name");
    let with_password = url.replace("http://", "http://me:pass@");
    let cases: &[&[&str]] = &[
        &["--sort", "username"],
        &["--sort", "-username"],
        &["--sort", ""],
        &["--api", "ixon", "--sort", "publicId"],
        &["--api", "nonsense"],
        &["--url", &with_sort],
        &["--url", &with_password],
        &["--url", "ftp://localhost/x"],
        &["--url", "no url"],
        &["--url", "/api/systemusers"],
        &["--page-size", "0"],
        &["--page-size", "-1"],
        &["--max-attempts", "0"],
        &["--base-delay", "0ms"],
        &["--base-delay", "20"],
        &["--attempt-timeout", "0s"],
        &["--deadline", "soon"],
        &["--budget", "much"],
        &["--header", "s3cret without a colon"],
        &["--header", "content-length: 5"],
        &["--header", "Host: elsewhere"],
        &["--header", "bad name: s3cret"],
        &["--header", "x-a: s3cret\nx-b: c"],
        &["--key-file", "/nowhere/at/all"],
        &["--key-env", "NO_SUCH_VARIABLE"],
        &["--key-file", "/dev/null"],
        &["--key-file", "a", "--key-env", "b"],
        &["--out", "/nowhere/at/all"],
        &["--checkpoint", "checkpoint"],
        &["--no-such-option"],
        &["stray"],
    ];
    for case in cases {
        let url = if case.contains(&"--url") { vec![] } else { vec!["--url", &url] };
        let run = Export::new(&url).with(case).run();
        assert_eq!(run.code, 2, "{case:?}: {}", run.stderr);
        assert!(!run.stderr.is_empty() && run.stdout.is_empty());
        assert!(!run.everything().contains("s3cret"), "{}", run.stderr);
    }
    assert_eq!(api.log().len(), 0);
    for (one, other) in
        [("out", "report"), ("out", "checkpoint"), ("out", "log"), ("report", "log")]
    {
        let export = Export::new(&["--url", &url]);
        let (path, again) = (export.path("same"), export.path("./same"));
        let mut command = export.command();
        let mut files = vec![format!("--{one}"), path.clone(), format!("--{other}"), again];
        if [one, other].contains(&"checkpoint") && one != "out" {
            files.extend(["--out".to_owned(), export.path("out")]);
        }
        std::fs::write(&path, "rows of yesterday\n").unwrap();
        // The helper's own report and log come last; the first ones are what is tested.
        let program = command.get_program().to_owned();
        command = std::process::Command::new(program);
        let output = command.args(["--url", &url]).args(&files).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{one} and {other}: {said}");
        assert!(said.contains("the same file"), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "rows of yesterday\n");
    }
    assert_eq!(api.log().len(), 0);
    let run = Export::new(&["--url", &url]).with(&["--log", "/nowhere/at/all"]);
    let output = run.command().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

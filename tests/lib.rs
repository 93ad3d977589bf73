//! What the tests of this package share.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// An example of the workspace, built; cargo sees at once that nothing has changed.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "-p", "examples", "--example", name])
        .status()
        .expect("cargo can be run");
    assert!(built.success(), "the example is built");
    let test = std::env::current_exe().expect("the test has a path");
    let target = test.parent().and_then(Path::parent).expect("a test lies below the target folder");
    target.join("examples").join(name)
}

/// The example `export`, built once.
fn export_binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| example("export"))
}

/// A command line of `export` with files in a folder of its own.
pub struct Export {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    pub folder: TempDir,
}

/// What a run of `export` left behind.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub report: Value,
    pub log: String,
}

impl Export {
    /// Waits as short as can be, and no budget.
    pub fn new(arguments: &[&str]) -> Self {
        let export = Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: TempDir::new().expect("a folder can be made"),
        };
        export.with(&["--base-delay", "1ms", "--budget", "none"]).with(arguments)
    }

    /// With further arguments; a later value of an option replaces an earlier one.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).peekable();
        for argument in arguments {
            if ["--base-delay", "--budget"].contains(&argument.as_str())
                && let Some(at) = self.arguments.iter().position(|other| *other == argument)
            {
                self.arguments.drain(at..at + 2);
            }
            self.arguments.push(argument);
        }
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("the path is text").to_owned()
    }

    /// The process, not yet started.
    pub fn command(&self) -> Command {
        let mut command = Command::new(export_binary());
        command
            .args(&self.arguments)
            .args(["--report", &self.path("report.json"), "--log", &self.path("log")])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end. The report always agrees with the exit code.
    pub fn run(&self) -> Run {
        let output =
            tokio::task::block_in_place(|| self.command().output().expect("the example runs"));
        self.left_by(&output)
    }

    pub fn left_by(&self, output: &Output) -> Run {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the output is text");
        let read = |name| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        let report = serde_json::from_str(&read("report.json")).expect("the report is JSON");
        let run = Run {
            code: output.status.code().expect("the example ends by itself"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            report,
            log: read("log"),
        };
        let outcome = match run.code {
            0 => "complete",
            2 => "usage",
            3 => "permanent",
            4 => "gave_up",
            5 => "inconsistent",
            code => panic!("exit code {code}: {}", run.stderr),
        };
        assert_eq!(run.report["outcome"], outcome, "{}", run.stderr);
        run
    }
}

impl Run {
    /// A count of the report.
    pub fn count(&self, name: &str) -> u64 {
        self.report[name].as_u64().unwrap_or_else(|| panic!("{name} in {}", self.report))
    }

    /// The keys on standard output.
    pub fn keys(&self, field: &str) -> Vec<String> {
        keys(&self.stdout, field)
    }

    /// Everything that a person or a program can read of it.
    pub fn everything(&self) -> String {
        format!("{}{}{}{}", self.stdout, self.stderr, self.report, self.log)
    }
}

/// The keys of NDJSON rows.
pub fn keys(rows: &str, field: &str) -> Vec<String> {
    let key = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no row: {line}"));
        row[field].as_str().expect("the row has its key").to_owned()
    };
    rows.lines().map(key).collect()
}

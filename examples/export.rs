//! Export a whole collection of a paged REST API, every row exactly once.
//!
//! Run: `cargo run --release --example export` (see `--help`).

mod duration;
#[path = "export/ending.rs"]
mod ending;
#[path = "export/options.rs"]
mod options;
#[path = "export/output.rs"]
mod output;
#[path = "export/say.rs"]
mod say;
#[path = "export/wire.rs"]
mod wire;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use pagination::{Checkpoint, Http, Pages, Query, Report};
use retry_layer::observe::on_attempt;
use retry_layer::{CollectLayer, Collected, Key, RetryLayer};
use retry_policy::Policy;
use simulated_api::{Proof, Server, SimulatedApi};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tower::ServiceBuilder;
use tower::util::BoxCloneService;

use ending::{Counts, Ending, Kind};
use options::Options;
use output::{CheckpointFile, Output};
use say::{Say, count};
use wire::Wire;

/// After a signal, a run that cannot end by itself is ended; the checkpoint is valid at any moment.
const LAST_MOMENT: Duration = Duration::from_secs(3);

type Client =
    BoxCloneService<http::Request<Full<Bytes>>, http::Response<Collected>, retry_layer::BoxError>;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS; // --help
            }
            let text = error.to_string();
            let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let ending = Ending::usage(what);
            if let Some(path) = report_of(std::env::args()) {
                let _ = std::fs::write(path, ending.report(&Counts::default()));
            }
            return ending.kind.exit_code();
        }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(&options));
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("gave up: no runtime: {error}");
            Kind::GaveUp.exit_code()
        }
    }
}

/// The report's path on a command line that is wrong otherwise.
fn report_of(arguments: impl Iterator<Item = String>) -> Option<PathBuf> {
    let mut arguments = arguments.skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--report" {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(path) = argument.strip_prefix("--report=") {
            return Some(path.into());
        }
    }
    None
}

async fn run(options: &Options) -> ExitCode {
    let log =
        options.log.as_ref().map(|path| OpenOptions::new().create(true).append(true).open(path));
    let sorted_out = options
        .distinct_files()
        .and_then(|()| log.transpose().map_err(|error| format!("--log cannot be opened: {error}")));
    let (log, mistake) = match sorted_out {
        Ok(log) => (log, None),
        Err(mistake) => (None, Some(mistake)),
    };
    let say = Arc::new(Say::new(log, options.clone()));
    let mut lines = Vec::new();
    let ending = match mistake {
        Some(mistake) => Ending::usage(mistake),
        None => match export(options, &say, &mut lines).await {
            Ok(ending) | Err(ending) => ending,
        },
    };
    say.end(&ending, &lines)
}

/// The whole run. `Err` is an ending before anything was sent.
async fn export(
    options: &Options,
    say: &Arc<Say>,
    lines: &mut Vec<String>,
) -> Result<Ending, Ending> {
    let started = Instant::now();
    let query = options.query().map_err(Ending::usage)?;
    let policy = options.policy().map_err(Ending::usage)?;
    let headers = options.headers().map_err(Ending::usage)?;
    // Until the run has ended, its report says so.
    let unfinished = Ending::new(Kind::GaveUp, "the run has not ended, or was killed");
    say.report(&unfinished)
        .map_err(|error| Ending::usage(format!("--report cannot be written: {error}")))?;
    let embedded = match options.url {
        None => Some(Embedded::start(options).await.map_err(|error| {
            Ending::new(Kind::GaveUp, format!("the embedded API cannot be started: {error}"))
        })?),
        Some(_) => None,
    };
    let key = options.key().or_else(|| embedded.as_ref().map(|api| Key::file(api.key_file.path())));
    let credential = key.map(|key| options.credential(key)).transpose().map_err(Ending::usage)?;

    let is_https = options.url.as_ref().is_some_and(|url| url.starts_with("https:"));
    let address = embedded.as_ref().and_then(|api| api.server.address().to_string().parse().ok());
    let wire =
        Wire::new(is_https, headers, address, Arc::clone(&say.counters)).map_err(Ending::usage)?;
    let mut retry = RetryLayer::new(policy)
        .budget(options.budget.budget())
        .attempt_timeout(options.attempt_timeout)
        .observe({
            let say = Arc::clone(say);
            on_attempt(move |event| say.attempt(event))
        });
    if let Some(credential) = credential {
        retry = retry.credential(credential);
    }
    let counters = Arc::clone(&say.counters);
    let client = ServiceBuilder::new()
        .map_request(move |request| {
            counters.asked.fetch_add(1, Ordering::Relaxed);
            request
        })
        .layer(retry)
        .layer(CollectLayer::new())
        .service(wire);
    let client = BoxCloneService::new(client);

    let (mut output, checkpoint, from) = open_output(options, &query)?;
    let went_on_from = output.last_key(options.api.simulated().key_field());
    let mut pages = match from {
        Some(from) => Pages::from_checkpoint(client, query, from)
            .map_err(|error| Ending::usage(error.to_string()))?,
        None => Pages::new(client, query),
    };
    let mut delivered = embedded.as_ref().map(|_| Vec::new());
    let interrupted = watch_signals(say);
    let delivering = delivered.as_mut();
    let mut ending =
        read(&mut pages, &mut output, checkpoint.as_ref(), delivering, interrupted, say, &policy)
            .await;
    if let Err(error) = output.finish() {
        ending = unwritable(&error);
    }
    say.rows(pages.report());
    lines.push(summary(pages.report(), started.elapsed()));
    if let (Some(api), Some(keys), Kind::Complete) = (&embedded, &delivered, ending.kind) {
        let is_descending = options.sort.as_ref().is_some_and(|field| field.starts_with('-'));
        // What lies before the row that was gone on from is not this API's to judge.
        let is_ahead = |key: &str| match &went_on_from {
            Some(last) if is_descending => key < last.as_str(),
            Some(last) => key > last.as_str(),
            None => true,
        };
        lines.push(prove(api.api.proof_where(is_ahead, keys), &mut ending));
    }
    Ok(ending)
}

/// The output, new or gone on with, and the checkpoint's file. Nothing is touched before all is well.
fn open_output(
    options: &Options,
    query: &Query,
) -> Result<(Output, Option<CheckpointFile>, Option<Checkpoint>), Ending> {
    let Some(out) = &options.out else {
        let output = Output::stdout()
            .map_err(|error| Ending::usage(format!("standard output cannot be used: {error}")))?;
        return Ok((output, None, None));
    };
    let file = options.checkpoint.as_ref().map(|path| CheckpointFile::at(path));
    let mut found = None;
    if let Some(file) = &file {
        found = file.read(query).map_err(Ending::usage)?;
        file.try_write()
            .map_err(|error| Ending::usage(format!("--checkpoint cannot be written: {error}")))?;
    }
    let output = match &found {
        Some(found) => found.reopen(out).map_err(Ending::usage)?,
        None => Output::create(out, file.is_some())
            .map_err(|error| Ending::usage(format!("--out cannot be opened: {error}")))?,
    };
    Ok((output, file, found.map(|found| found.checkpoint)))
}

fn unwritable(error: &std::io::Error) -> Ending {
    Ending::new(Kind::GaveUp, format!("the output cannot be written: {error}"))
}

/// Reads page after page until the end, a failure or a signal.
async fn read(
    pages: &mut Pages<Http<Client, Full<Bytes>, Collected>>,
    output: &mut Output,
    checkpoint: Option<&CheckpointFile>,
    mut delivered: Option<&mut Vec<String>>,
    interrupted: oneshot::Receiver<&'static str>,
    say: &Say,
    policy: &Policy,
) -> Ending {
    let save = |here: &Checkpoint, output: &mut Output| match checkpoint {
        Some(file) => file.write(here, output).map_err(|error| {
            Ending::new(Kind::GaveUp, format!("the checkpoint cannot be written: {error}"))
        }),
        None => Ok(()),
    };
    let mut interrupted = interrupted;
    loop {
        let rows = tokio::select! {
            biased;
            Ok(signal) = &mut interrupted => {
                let again = if checkpoint.is_some() { "; run it again to go on" } else { "" };
                return Ending::new(Kind::GaveUp, format!("interrupted by {signal}{again}"));
            }
            rows = pages.next() => rows,
        };
        let saved = match rows {
            Some(Ok(rows)) => {
                if let Err(error) = output.write(&rows) {
                    return unwritable(&error);
                }
                if let Some(delivered) = &mut delivered {
                    let keys = rows.rows().iter().filter_map(pagination::Row::key);
                    delivered.extend(keys.map(|key| key.to_string()));
                }
                say.rows(pages.report());
                save(&rows.checkpoint(), output)
            }
            Some(Err(error)) => return Ending::of_error(&error, policy, say),
            None => {
                let saved = save(&pages.checkpoint(), output);
                let mut ending = Ending::of_scan(pages.report(), say);
                if pages.report().pages() == 0 && ending.kind == Kind::Complete {
                    ending.advice = Some(
                        "nothing: the checkpoint was complete; remove it to export anew".into(),
                    );
                }
                return saved.err().unwrap_or(ending);
            }
        };
        if let Err(ending) = saved {
            return ending;
        }
    }
}

/// Hears of SIGINT and SIGTERM. A run that still blocks a moment later, in a full pipe for one, is
/// ended by force.
fn watch_signals(say: &Arc<Say>) -> oneshot::Receiver<&'static str> {
    let (tell, interrupted) = oneshot::channel();
    let say = Arc::clone(say);
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return std::future::pending().await; // Without a handler the signal ends the process.
        };
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        let _ = tell.send(name);
        tokio::time::sleep(LAST_MOMENT).await;
        let what = format!("interrupted by {name} while it was writing");
        say.end(&Ending::new(Kind::GaveUp, what), &[]);
        std::process::exit(4);
    });
    interrupted
}

/// The simulated API in this process.
struct Embedded {
    api: SimulatedApi,
    server: Server,
    key_file: tempfile::NamedTempFile,
}

impl Embedded {
    /// Faults, writes and a rotated key, all by the seed.
    async fn start(options: &Options) -> std::io::Result<Self> {
        let key_file = tempfile::NamedTempFile::new()?;
        let first = options.key_text().unwrap_or_else(|| "embedded-key-1".into());
        std::fs::write(key_file.path(), &first)?;
        let mut builder = SimulatedApi::builder(options.api.simulated())
            .rows(options.rows)
            .key(first)
            .faults_by_seed(options.seed)
            .writes_by_seed(options.seed);
        if options.key().is_none() {
            let path = key_file.path().to_owned();
            builder = builder.rotate_key(5, "embedded-key-2").on_rotation(move |key| {
                // Moved into place: a file that is written over is empty for a moment.
                let next = path.with_extension("next");
                let _ = std::fs::write(&next, key).and_then(|()| std::fs::rename(&next, &path));
            });
        }
        let api = builder.build();
        let server = api.serve().await?;
        Ok(Self { api, server, key_file })
    }
}

/// What only the embedded API knows: whether every owed row was delivered once.
fn prove(proof: Proof, ending: &mut Ending) -> String {
    if ending.kind == Kind::Complete && (proof.missing > 0 || proof.twice > 0) {
        *ending = Ending::new(Kind::Inconsistent, "the proof has failed: this is a defect");
    }
    format!(
        "  check: {} rows present throughout, {} delivered once, {} missing, {} twice",
        count(proof.owed as u64),
        count(proof.once as u64),
        count(proof.missing as u64),
        count(proof.twice as u64),
    )
}

fn summary(report: &Report, took: Duration) -> String {
    format!(
        "  {} rows in {} pages; {} retries, {:.1} s of waits; {} shifts repaired, \
         {} duplicates dropped; {:.1} s{}",
        count(report.rows()),
        count(report.pages()),
        count(report.retries()),
        report.waited().as_secs_f64(),
        count(report.shifts_repaired()),
        count(report.duplicates_dropped()),
        took.as_secs_f64(),
        peak_memory().map_or_else(String::new, |mib| format!(", {mib} MiB of memory at most")),
    )
}

/// The largest resident size of this process so far, in MiB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib.div_ceil(1024))
}

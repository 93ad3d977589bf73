//! What a person reads: messages, progress and the log, never with a secret in them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use pagination::Report;
use retry_layer::Event;
use retry_policy::hint::Source;
use retry_policy::{Class, Decision, Delivery};

use super::ending::{Counts, Ending, Kind};
use super::options::Options;

/// Longest text of an API that is printed, in characters.
const LONGEST_TEXT: usize = 300;

/// Prints to standard error and to the log.
pub struct Say {
    bar: ProgressBar,
    log: Option<Mutex<File>>,
    options: Options,
    secrets: Mutex<BTreeSet<String>>,
    pub counters: Arc<Counters>,
    /// How the scan went, as of its newest page.
    scan: Mutex<Report>,
}

/// What is counted while it happens.
#[derive(Default)]
pub struct Counters {
    /// The requests that were sent.
    pub sent: AtomicU64,
    /// The pages that were asked for, in every size.
    pub asked: AtomicU64,
    /// The sizes that were too large.
    too_large: AtomicU64,
    /// The planned waits.
    waited_ms: AtomicU64,
}

impl Counters {
    /// The requests that repeated another, smaller ones included.
    fn retries(&self) -> u64 {
        let [sent, asked, too_large] =
            [&self.sent, &self.asked, &self.too_large].map(|count| count.load(Ordering::Relaxed));
        sent.saturating_sub(asked.saturating_sub(too_large))
    }
}

impl Say {
    pub fn new(log: Option<File>, options: Options) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(
                "{spinner} {human_pos} of about {human_len} rows, {prefix} retries  {wide_msg}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::no_length().with_style(style).with_prefix("0");
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        let secrets = Mutex::new(options.secrets().into_iter().collect());
        let log = log.map(Mutex::new);
        Self { bar, log, options, secrets, counters: Arc::default(), scan: Mutex::default() }
    }

    /// A text from outside, on one line, bounded, and without any key that was in use so far.
    pub fn clean(&self, text: &str) -> String {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.extend(self.options.secrets());
        let line: String = hide(text, &secrets)
            .chars()
            .map(|c| if is_harmless(c) { c } else { ' ' })
            .take(LONGEST_TEXT + 1)
            .collect();
        match line.char_indices().nth(LONGEST_TEXT) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }

    /// Remembers the key of the moment, before another takes its place.
    pub fn remember_key(&self) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.extend(self.options.secrets());
    }

    pub fn line(&self, text: &str) {
        self.bar.suspend(|| {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{text}");
        });
    }

    /// A page is out.
    pub fn rows(&self, scan: &Report) {
        if let Some(total) = scan.totals().map(|totals| totals.last) {
            self.bar.set_length(total);
        }
        self.bar.set_position(scan.rows());
        self.bar.set_message("");
        self.scan.lock().unwrap_or_else(PoisonError::into_inner).clone_from(scan);
    }

    /// Writes the report, if one is asked for.
    pub fn report(&self, ending: &Ending) -> std::io::Result<()> {
        let Some(path) = &self.options.report else { return Ok(()) };
        let scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let waited = Duration::from_millis(self.counters.waited_ms.load(Ordering::Relaxed));
        let counts = Counts {
            requests: self.counters.sent.load(Ordering::Relaxed),
            retries: self.counters.retries(),
            waited: scan.waited().max(waited),
            scan,
        };
        std::fs::write(path, ending.report(&counts))
    }

    /// Prints, logs and reports how the run ended.
    pub fn end(&self, ending: &Ending, lines: &[String]) -> ExitCode {
        self.bar.finish_and_clear();
        for line in ending.lines().iter().chain(lines) {
            self.line(line);
        }
        if ending.kind != Kind::Complete && !ending.is_logged {
            let reason = ending.lines().join("; ");
            self.log("error", &format!("attempt=none status=none wait=none reason=\"{reason}\""));
        }
        // Two options that name one file are a mistake; the report must not make it worse.
        if self.options.distinct_files().is_err() {
            return ending.kind.exit_code();
        }
        match self.report(ending) {
            Ok(()) => ending.kind.exit_code(),
            Err(error) => {
                self.line(&format!("the report cannot be written: {error}"));
                Kind::Usage.exit_code()
            }
        }
    }

    /// One attempt has ended.
    pub fn attempt(&self, event: &Event<'_>) {
        let (next, wait) = match event.decision {
            Decision::Return => return,
            Decision::Refresh => {
                self.remember_key();
                ("the key is read again".to_owned(), None)
            }
            Decision::Retry { after, source } => {
                let who = match source {
                    Source::Backoff => "again",
                    Source::Header(_) => "the API asks to wait",
                };
                (who.to_owned(), Some(after))
            }
            Decision::Shrink { after, .. } => {
                ("again, with a smaller page".to_owned(), Some(after))
            }
            Decision::Stop { reason } => (reason.to_string(), None),
            _ => ("?".to_owned(), None),
        };
        let status = match event.delivery {
            Delivery::Answered(status) => status.to_string(),
            _ => "none".to_owned(),
        };
        let what = match (&event.error, event.timed_out, Class::of(event.delivery)) {
            (Some(error), ..) => self.clean(error),
            (None, true, _) => "no answer in time".to_owned(),
            (None, false, class) => class.map_or("answer", Class::name).to_owned(),
        };
        let millis = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.counters.waited_ms.fetch_add(millis, Ordering::Relaxed);
        if matches!(event.decision, Decision::Shrink { .. }) {
            self.counters.too_large.fetch_add(1, Ordering::Relaxed);
        }
        let wait = wait.map_or_else(|| "none".to_owned(), |wait| format!("{}ms", wait.as_millis()));
        let level =
            if matches!(event.decision, Decision::Stop { .. }) { "error" } else { "warning" };
        if !matches!(event.decision, Decision::Stop { .. }) {
            self.bar.set_prefix((self.counters.retries() + 1).to_string());
        }
        self.bar.set_message(format!("waiting {wait}: {what}, {next}"));
        self.log(
            level,
            &format!(
                "attempt={} status={status} wait={wait} reason=\"{what}: {next}\"",
                event.attempt
            ),
        );
    }

    pub fn log(&self, level: &str, text: &str) {
        if let Some(log) = &self.log {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            // A log that cannot be written must not end the export.
            let _ = writeln!(log, "{now} {level} {text}");
        }
    }
}

/// The text with every secret in it replaced, in one pass: what replaces one is not looked at again.
fn hide(text: &str, secrets: &BTreeSet<String>) -> String {
    let mut hidden = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        // The longest: a key may begin with another.
        let secret = secrets.iter().filter_map(|secret| length_of(secret, rest)).max();
        let taken = secret.unwrap_or(next.len_utf8());
        hidden.push_str(if secret.is_some() { "[hidden]" } else { &rest[..taken] });
        rest = &rest[taken..];
    }
    hidden
}

/// The length of the secret at the beginning of a text, where any of its bytes may be percent-encoded.
fn length_of(secret: &str, text: &str) -> Option<usize> {
    let text = text.as_bytes();
    secret.bytes().try_fold(0, |at, byte| {
        if text.get(at) == Some(&byte) {
            return Some(at + 1);
        }
        let [b'%', high, low] = *text.get(at..at + 3)? else { return None };
        let digit = |hex: u8| char::from(hex).to_digit(16);
        (digit(high)? * 16 + digit(low)? == u32::from(byte)).then_some(at + 3)
    })
}

/// Whether a terminal can be sent this character: no control, and no change of writing direction.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

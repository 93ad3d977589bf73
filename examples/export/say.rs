//! What a person reads: messages, progress and the log, never with a secret in them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use retry_layer::Event;
use retry_policy::{Class, Decision, Delivery};

use super::options::Options;

/// Longest text of an API that is printed, in characters.
const LONGEST_TEXT: usize = 300;

/// Prints to standard error and to the log.
pub struct Say {
    bar: ProgressBar,
    log: Option<Mutex<File>>,
    options: Options,
    secrets: Mutex<BTreeSet<String>>,
    retries: AtomicU64,
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
        Self { bar, log: log.map(Mutex::new), options, secrets, retries: AtomicU64::new(0) }
    }

    /// A text from outside, on one line, bounded, and without any key that was in use so far.
    pub fn clean(&self, text: &str) -> String {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.extend(self.options.secrets());
        let mut text = text.to_owned();
        // The longest first: a key may begin with another.
        let mut longest_first: Vec<&String> = secrets.iter().collect();
        longest_first.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in longest_first {
            text = text.replace(secret.as_str(), "[hidden]");
        }
        let line: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
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

    pub fn rows(&self, rows: u64, total: Option<u64>) {
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(rows);
        self.bar.set_message("");
    }

    /// One attempt has ended.
    pub fn attempt(&self, event: &Event<'_>) {
        let (next, wait) = match event.decision {
            Decision::Return => return,
            Decision::Refresh => {
                self.remember_key();
                ("the key is read again".to_owned(), None)
            }
            Decision::Retry { after, asked_by_server } => {
                let who = if asked_by_server { "the API asks to wait" } else { "again" };
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
        let wait = wait.map_or_else(|| "none".to_owned(), |wait| format!("{}ms", wait.as_millis()));
        let level =
            if matches!(event.decision, Decision::Stop { .. }) { "error" } else { "warning" };
        if !matches!(event.decision, Decision::Stop { .. }) {
            let retries = self.retries.fetch_add(1, Ordering::Relaxed) + 1;
            self.bar.set_prefix(retries.to_string());
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

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

pub fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

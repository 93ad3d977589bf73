//! The command line, and what is wrong with it before anything is sent.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use pagination::dialect::{Dialect, IXON, JUMPCLOUD_V1, JUMPCLOUD_V2};
use pagination::{Filter, Query};
use retry_layer::{Credential, Key};
use retry_policy::backoff::Backoff;
use retry_policy::jitter::Jitter;
use retry_policy::profile::{self, Profile};
use retry_policy::{Budget, Policy};

use super::duration::duration;
use super::output::CheckpointFile;

/// Export a whole collection of a paged REST API as NDJSON, every row exactly once.
///
/// Without --url a simulated API that fails, throttles, rotates its key and is written to meanwhile
/// is started on loopback and exported.
///
/// Exit codes: 0 complete, 2 usage, 3 permanent error, 4 gave up on a temporary error, 5 the API's
/// paging is inconsistent.
#[derive(Clone, Parser, Debug)]
#[command(name = "export")]
pub struct Options {
    /// The API's wire format
    #[arg(long, value_enum, default_value_t = ApiName::JumpcloudV1)]
    pub api: ApiName,
    /// The collection, http or https; without it the embedded simulated API is used
    #[arg(long)]
    pub url: Option<String>,
    /// Rows of the embedded API
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub rows: u64,
    /// Seed of the embedded API's rows, faults and writes
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Where the rows go, one a line; overwritten; default standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where the report goes, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Only rows that match, in the API's own syntax (repeatable): username:$eq:ann for
    /// jumpcloud-v1, name:eq:ann for jumpcloud-v2, eq(name,"ann") for ixon
    #[arg(long, value_name = "EXPR")]
    pub filter: Vec<String>,
    /// The unique key, ascending or with - descending
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Rows of a page; default the dialect's ceiling
    #[arg(long, value_name = "N")]
    pub page_size: Option<u32>,
    /// Pages in flight beside the current one
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u16).range(..=1000))]
    pub prefetch: u16,
    /// The file that holds the API key (x-api-key for `JumpCloud`, Authorization: Bearer for IXON);
    /// read again when the API refuses it
    #[arg(long, value_name = "FILE", conflicts_with = "key_env")]
    pub key_file: Option<PathBuf>,
    /// The environment variable that holds the API key or token
    #[arg(long, value_name = "NAME")]
    pub key_env: Option<String>,
    /// A header of every request, 'Name: value' (repeatable)
    #[arg(long, value_name = "HEADER")]
    pub header: Vec<String>,
    /// Where to go on after a kill; needs --out. Once complete, it keeps later runs from
    /// exporting again until it is removed
    #[arg(long, value_name = "FILE", requires = "out")]
    pub checkpoint: Option<PathBuf>,
    /// How often a page is asked for at most
    #[arg(long, default_value = "5", value_name = "N")]
    pub max_attempts: NonZeroU32,
    /// The first wait; each wait is longer than the one before
    #[arg(long, default_value = "500ms", value_parser = duration, value_name = "D")]
    pub base_delay: Duration,
    /// The time for one attempt, head and body
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "D")]
    pub attempt_timeout: Duration,
    /// The time for all attempts and waits of one page
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "D")]
    pub deadline: Duration,
    /// The bound on repeated requests: none, shed (give up), pace (wait)
    #[arg(long, value_enum, default_value_t = BudgetName::Pace)]
    pub budget: BudgetName,
    /// Where errors and warnings of the run go, one line each
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiName {
    #[value(name = "jumpcloud-v1")]
    JumpcloudV1,
    #[value(name = "jumpcloud-v2")]
    JumpcloudV2,
    #[value(name = "ixon")]
    Ixon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BudgetName {
    None,
    Shed,
    Pace,
}

impl ApiName {
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::JumpcloudV1 => JUMPCLOUD_V1.untyped(),
            Self::JumpcloudV2 => JUMPCLOUD_V2.untyped(),
            Self::Ixon => IXON.untyped(),
        }
    }

    pub const fn profile(self) -> &'static Profile {
        match self {
            Self::JumpcloudV1 | Self::JumpcloudV2 => profile::JUMPCLOUD,
            Self::Ixon => profile::IXON,
        }
    }

    /// The header that carries the key.
    const fn key_header(self) -> HeaderName {
        match self {
            Self::JumpcloudV1 | Self::JumpcloudV2 => HeaderName::from_static("x-api-key"),
            Self::Ixon => AUTHORIZATION,
        }
    }

    pub const fn simulated(self) -> simulated_api::Api {
        match self {
            Self::JumpcloudV1 => simulated_api::Api::JumpCloudV1,
            Self::JumpcloudV2 => simulated_api::Api::JumpCloudV2,
            Self::Ixon => simulated_api::Api::Ixon,
        }
    }
}

impl BudgetName {
    pub const fn budget(self) -> Option<Budget> {
        match self {
            Self::None => None,
            Self::Shed => Some(Budget::shed()),
            Self::Pace => Some(Budget::pace()),
        }
    }
}

impl Options {
    /// What to read. The embedded API is named by its rows and seed, not by its port of the day.
    pub fn query(&self) -> Result<Query, String> {
        let url = self.url.clone().unwrap_or_else(|| {
            let path = self.api.simulated().path();
            format!("http://embedded.localhost{path}?rows={}&seed={}", self.rows, self.seed)
        });
        let uri: Uri = url.parse().map_err(|error| format!("--url is no URL: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("--url must begin with http:// or https://".into());
        }
        let mut query =
            Query::new(self.api.dialect(), uri).map_err(|error| format!("--url: {error}"))?;
        for filter in &self.filter {
            query = query.filter(Filter::raw(filter.as_str()));
        }
        if let Some(field) = &self.sort {
            query = query.sort(field).map_err(|error| format!("--sort: {error}"))?;
        }
        if let Some(rows) = self.page_size {
            query = query.page_size(rows).map_err(|error| format!("--page-size: {error}"))?;
        }
        Ok(query.prefetch(self.prefetch.into()))
    }

    pub fn policy(&self) -> Result<Policy, String> {
        // No cap: the deadline ends the waits. So the schedule has a rising step for every attempt
        // that any deadline leaves room for.
        let backoff = Backoff::exponential(self.base_delay, Duration::MAX)
            .map_err(|error| format!("--base-delay: {error}"))?;
        let steps = NonZeroU32::MIN.saturating_add(backoff.steps());
        Policy::of(self.api.profile())
            .max_attempts(self.max_attempts.min(steps))
            .backoff(backoff)
            .throttled(backoff)
            .jitter(Jitter::Rising)
            .deadline(self.deadline)
            .longest_hint(self.deadline)
            .build()
            .map_err(|error| error.to_string())
    }

    pub fn key(&self) -> Option<Key> {
        let file = self.key_file.as_ref().map(Key::file);
        file.or_else(|| self.key_env.as_ref().map(Key::env))
    }

    /// The text of the key at this moment, to keep it out of everything that is printed.
    pub fn key_text(&self) -> Option<String> {
        let file = self.key_file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let text = file.or_else(|| std::env::var(self.key_env.as_ref()?).ok())?;
        Some(text.trim().to_owned())
    }

    pub fn credential(&self, key: Key) -> Result<Credential, String> {
        let credential = match self.api {
            ApiName::Ixon => Credential::bearer(key),
            ApiName::JumpcloudV1 | ApiName::JumpcloudV2 => Credential::api_key(key),
        };
        credential.map_err(|error| format!("--key-file or --key-env: {error}"))
    }

    /// The headers of every request. What is wrong with one is said without showing its value.
    pub fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (index, line) in self.header.iter().enumerate() {
            let wrong = |what: &str| format!("--header number {}: {what}", index + 1);
            let (name, value) = line.split_once(':').ok_or_else(|| wrong("needs 'Name: value'"))?;
            let name: HeaderName =
                name.trim().parse().map_err(|_| wrong("the name is no header name"))?;
            let mut value: HeaderValue =
                value.trim().parse().map_err(|_| wrong("the value cannot stand in a header"))?;
            value.set_sensitive(true);
            if ["connection", "content-length", "host", "transfer-encoding"]
                .contains(&name.as_str())
            {
                return Err(wrong("the client writes this header itself"));
            }
            if self.key().is_some() && name == self.api.key_header() {
                return Err(wrong("the key is given by --key-file or --key-env already"));
            }
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// Everything of the command line that must not be printed.
    pub fn secrets(&self) -> Vec<String> {
        let headers = self.headers().unwrap_or_default();
        let values = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str();
            let is_secret = ["auth", "cookie", "key", "password", "secret", "token"]
                .iter()
                .any(|word| name.contains(word));
            // Without the scheme: "Bearer" is no secret.
            let value = value.to_str().ok().filter(|_| is_secret)?;
            Some(value.rsplit(' ').next().unwrap_or(value).to_owned())
        });
        values.chain(self.key_text()).filter(|secret| !secret.is_empty()).collect()
    }

    /// No two options may name one file: one would overwrite the other.
    pub fn distinct_files(&self) -> Result<(), String> {
        let checkpoint = self.checkpoint.as_ref();
        let temporary = checkpoint.map(|path| CheckpointFile::at(path).temporary().to_owned());
        let files = [
            ("--out", self.out.as_ref()),
            ("--report", self.report.as_ref()),
            ("--checkpoint", checkpoint),
            ("the checkpoint's temporary file", temporary.as_ref()),
            ("--log", self.log.as_ref()),
            ("--key-file", self.key_file.as_ref()),
        ];
        for (at, (name, path)) in files.iter().enumerate() {
            for (other_name, other) in &files[..at] {
                if let (Some(path), Some(other)) = (path, other)
                    && is_same_file(path, other)
                {
                    return Err(format!("{name} and {other_name} are the same file"));
                }
            }
        }
        Ok(())
    }
}

/// Whether both paths lead to one regular file, there already or not.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| {
        path.canonicalize().or_else(|_| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
            Ok::<_, std::io::Error>(folder.join(path.file_name().unwrap_or_default()))
        })
    };
    match (resolved(one), resolved(other)) {
        (Ok(one), Ok(other)) => one == other && (one.is_file() || !one.exists()),
        _ => one == other,
    }
}

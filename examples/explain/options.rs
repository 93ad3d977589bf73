//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Parser, ValueEnum};
use http::{HeaderName, HeaderValue, Method, Request};
use retry_policy::backoff::Backoff;
use retry_policy::jitter::Jitter;
use retry_policy::policy::InvalidPolicy;
use retry_policy::profile::{self, Profile};
use retry_policy::ratio::Ratio;
use retry_policy::{Budget, Policy};

use super::duration::duration;

/// What would my policy do? Plays a script of what happens to each attempt and says what follows, and why.
///
/// Without --script it prints the schedule of waits. Nothing is sent. A duration has a unit: 20ms, 15s, 5m, 1h.
#[derive(Debug, Parser)]
#[command(name = "explain")]
pub struct Options {
    /// Whose rules and numbers
    #[arg(long, value_enum, default_value = "default", value_name = "NAME")]
    profile: ProfileName,
    /// The request's method
    #[arg(long, default_value = "GET", value_name = "M")]
    method: Method,
    /// A header of the request, 'Name: value' (repeatable); an Idempotency-Key makes it repeatable
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// How often the request is sent at most
    #[arg(long, value_name = "N")]
    max_attempts: Option<NonZeroU32>,
    /// The first wait, after faults and when throttled
    #[arg(long, value_parser = duration, value_name = "D")]
    base_delay: Option<Duration>,
    /// The longest wait of our own. Where it is not given, the profile's gives way to what is
    #[arg(long, value_parser = duration, value_name = "D")]
    cap: Option<Duration>,
    /// How waits are spread
    #[arg(long, value_enum)]
    jitter: Option<JitterName>,
    /// The time for all attempts and waits
    #[arg(long, value_parser = duration, value_name = "D")]
    deadline: Option<Duration>,
    /// The draw of every wait, from 0.0 up to, but not including, 1.0; random where it is not given
    #[arg(long, value_parser = draw, value_name = "X")]
    pub draw: Option<u32>,
    /// The bound on retries; each run starts with a fresh one
    #[arg(long, value_enum, default_value = "none")]
    budget: BudgetName,
    /// A JSON array of what happens to each attempt
    #[arg(long, value_name = "FILE", long_help = SCRIPT)]
    pub script: Option<PathBuf>,
    /// The wall clock at the beginning, such as 2026-11-21T08:00:00Z; it goes on with the attempts
    /// and waits
    #[arg(long, value_parser = rfc3339, value_name = "RFC3339")]
    now: Option<SystemTime>,
    /// Print JSON: an object for each attempt
    #[arg(long)]
    pub json: bool,
}

const SCRIPT: &str = r#"A JSON array of what happens to each attempt:
{"status": 503, "headers": {"retry-after": "2"}, "body": "…", "took_ms": 120}, or
{"fault": "not-sent" | "refused" | "unknown" | "timeout", "took_ms": 30}"#;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileName {
    Default,
    Github,
    #[value(name = "google_rpc", alias = "google-rpc")]
    GoogleRpc,
    Grpc,
    Ixon,
    Jumpcloud,
    Operations1,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum JitterName {
    None,
    Full,
    Equal,
    Decorrelated,
    Rising,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BudgetName {
    None,
    /// 10 tokens, a success earns a tenth, or the token of its retry back
    Default,
    /// 500 tokens, 14 for a retry, 5 when throttled
    Aws,
    /// 10 tokens, ratio 0.1, retries above half
    Grpc,
    /// 10 retries a second and a fifth of the requests of ten seconds
    Finagle,
}

/// The draw that this share of the whole range is, rounded up.
fn draw(text: &str) -> Result<u32, String> {
    let share: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    if !(0.0..1.0).contains(&share) {
        return Err("must be from 0.0 up to, but not including, 1.0".into());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared before")]
    let draw = (share * 4_294_967_296.0).ceil() as u64;
    Ok(u32::try_from(draw).unwrap_or(u32::MAX))
}

/// A point in time, in UTC or with an offset.
fn rfc3339(text: &str) -> Result<SystemTime, String> {
    let wrong = || "must be a time such as 2026-11-21T08:00:00Z".to_owned();
    let text = text.to_ascii_uppercase();
    let at = text.find('T').and_then(|t| Some(t + text.get(t..)?.find(['+', '-'])?));
    let Some(at) = at else {
        return humantime::parse_rfc3339(&text).map_err(|_| wrong());
    };
    let (local, offset) = text.split_at(at);
    let (hours, minutes) = offset.get(1..).and_then(|o| o.split_once(':')).ok_or_else(wrong)?;
    let number = |text: &str, below: u64| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|&number: &u64| is_two && number < below).ok_or_else(wrong)
    };
    let offset_secs = number(hours, 24)? * 3600 + number(minutes, 60)? * 60;
    let local = humantime::parse_rfc3339(&format!("{local}Z")).map_err(|_| wrong())?;
    let offset_by = Duration::from_secs(offset_secs);
    let utc = if offset.starts_with('+') {
        local.checked_sub(offset_by)
    } else {
        local.checked_add(offset_by)
    };
    utc.ok_or_else(wrong)
}

impl Options {
    const fn profile(&self) -> &'static Profile {
        match self.profile {
            ProfileName::Default => profile::DEFAULT,
            ProfileName::GoogleRpc => profile::GOOGLE_RPC,
            ProfileName::Grpc => profile::GRPC,
            ProfileName::Ixon => profile::IXON,
            ProfileName::Jumpcloud => profile::JUMPCLOUD,
            ProfileName::Github => profile::GITHUB,
            ProfileName::Operations1 => profile::OPERATIONS1,
        }
    }

    /// The profile's policy with what the options change.
    pub fn policy(&self) -> Result<Policy, String> {
        let cap = match (self.cap, self.base_delay) {
            (Some(cap), _) => cap,
            (None, Some(base)) if base > self.profile().policy().backoff().cap() => Duration::MAX,
            (None, _) => self.profile().policy().backoff().cap(),
        };
        match self.policy_up_to(cap)? {
            Err(InvalidPolicy::TooManyAttempts { .. }) if self.cap.is_none() => {
                self.policy_up_to(Duration::MAX)?
            }
            policy => policy,
        }
        .map_err(|error| error.to_string())
    }

    fn policy_up_to(&self, cap: Duration) -> Result<Result<Policy, InvalidPolicy>, String> {
        let own = self.profile().policy();
        let backoff = |own: Backoff| {
            // A first wait that was not asked for gives way to the cap.
            let first = self.base_delay.unwrap_or(own.first().min(cap));
            Backoff::exponential(first, cap).map_err(|error| error.to_string())
        };
        let mut policy = Policy::of(self.profile())
            .backoff(backoff(own.backoff())?)
            .throttled(backoff(own.throttled())?)
            .max_attempts(self.max_attempts.unwrap_or(own.max_attempts()))
            .jitter(self.jitter.map_or(own.jitter(), |jitter| match jitter {
                JitterName::None => Jitter::None,
                JitterName::Full => Jitter::Full,
                JitterName::Equal => Jitter::Equal,
                JitterName::Decorrelated => Jitter::Decorrelated,
                JitterName::Rising => Jitter::Rising,
            }));
        if let Some(deadline) = self.deadline {
            policy = policy.deadline(deadline);
        }
        Ok(policy.build())
    }

    /// The request whose fate is played.
    pub fn request(&self) -> Result<Request<()>, String> {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        for line in &self.header {
            let (name, value) =
                line.split_once(':').ok_or("--header needs 'Name: value'".to_owned())?;
            let name: HeaderName =
                name.trim().parse().map_err(|_| "--header: the name is no header name")?;
            let value: HeaderValue = value
                .trim()
                .parse()
                .map_err(|_| format!("--header {name}: the value cannot stand in a header"))?;
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }

    pub fn budget(&self) -> Option<Budget> {
        let tenth = Ratio::percent(10).expect("a tenth is a share");
        match self.budget {
            BudgetName::None => None,
            BudgetName::Default => Some(Budget::shed()),
            BudgetName::Aws => Some(Budget::aws()),
            BudgetName::Grpc => Budget::grpc(10, tenth).ok(),
            BudgetName::Finagle => Some(Budget::finagle()),
        }
    }

    /// The next draw.
    pub fn draw(&self) -> u32 {
        self.draw.unwrap_or_else(|| fastrand::u32(..))
    }

    /// The wall clock at the beginning.
    pub fn now(&self) -> SystemTime {
        self.now.unwrap_or_else(SystemTime::now)
    }
}

//! What would my policy do? Plays a script of what happens to each attempt and says what follows, and why.
//!
//! Run: `cargo run --example explain -- --profile jumpcloud` (see `--help`). It drives the same `Run`
//! that the layer drives; nothing is sent.

mod duration;
#[path = "explain/options.rs"]
mod options;
#[path = "explain/script.rs"]
mod script;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use retry_policy::hint::Source;
use retry_policy::profile::Answer;
use retry_policy::{Budget, Class, Decision, Delivery, Outcome, Policy, Run, StopReason};
use serde_json::{Value, json};

use options::Options;
use script::{End, Step};

fn main() -> ExitCode {
    let options = Options::parse(); // A bad option ends with 2, as clap does.
    match explain(&options) {
        Ok(text) => {
            // A reader that has gone away has seen enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(mistake) => {
            eprintln!("error: {mistake}");
            ExitCode::from(2)
        }
    }
}

fn explain(options: &Options) -> Result<String, String> {
    let policy = options.policy()?;
    let request = options.request()?;
    let run = Run::of(policy, &request);
    let Some(path) = &options.script else {
        let schedules = [("fault", Outcome::new(Delivery::NotSent)), ("429", throttled())];
        let schedules = schedules.map(|(name, outcome)| (name, schedule(&run, outcome, options)));
        return Ok(if options.json {
            schedule_json(&schedules)
        } else {
            schedule_table(&policy, &schedules)
        });
    };
    let steps = script::read(path)?;
    let played = play(run.clone(), options, &steps);
    Ok(if options.json {
        let steps: Vec<Value> = played.iter().map(Played::json).collect();
        format!("{:#}\n", Value::from(steps))
    } else {
        table(&policy, &played)
    })
}

fn throttled() -> Outcome {
    Outcome::new(Delivery::Answered(429))
}

/// One attempt and what follows it.
struct Played {
    attempt: u32,
    happened: String,
    class: Option<Class>,
    decision: Decision,
    reason: String,
    thousandths: Option<u32>,
}

/// Plays the script until the request has ended.
fn play(mut run: Run, options: &Options, steps: &[Step]) -> Vec<Played> {
    let policy = *run.policy();
    let budget = options.budget();
    let mut clock = Duration::ZERO;
    if let Some(budget) = &budget {
        budget.begin(|| clock);
    }
    let mut last = None;
    let mut played = Vec::new();
    for step in steps {
        clock = clock.saturating_add(step.took);
        let now = options.now().checked_add(clock).unwrap_or(SystemTime::UNIX_EPOCH);
        let outcome = outcome(&policy, step, now);
        let mut decision = run.after(&outcome, clock, options.draw());
        if let Some(budget) = &budget {
            decision = pay(budget, &mut run, &outcome, decision, clock, &mut last);
        }
        played.push(Played {
            attempt: run.attempts().count(),
            happened: step.to_string(),
            class: outcome.class(),
            decision,
            reason: reason(&run, step, &outcome, decision),
            thousandths: budget.as_ref().map(Budget::thousandths),
        });
        match decision {
            Decision::Retry { after, .. } => clock = clock.saturating_add(after),
            Decision::Refresh => {}
            _ => break,
        }
    }
    played
}

/// What an attempt's end means, by the policy's profile.
fn outcome(policy: &Policy, step: &Step, now: SystemTime) -> Outcome {
    match &step.end {
        End::Answer { status, headers, body } => policy
            .profile()
            .outcome(&Answer::new(*status).headers(headers, now).body(body.as_bytes())),
        End::Fault(delivery) => Outcome::new(*delivery),
        End::Timeout => Outcome::timed_out(),
    }
}

/// Takes the token of a retry, or settles a request that has ended.
fn pay(
    budget: &Budget,
    run: &mut Run,
    outcome: &Outcome,
    decision: Decision,
    clock: Duration,
    last: &mut Option<retry_policy::budget::Token>,
) -> Decision {
    // A retry that never left costs nothing.
    if let Some(token) = last.take_if(|_| outcome.delivery() == Delivery::NotSent) {
        budget.refund(token);
    }
    if !matches!(decision, Decision::Retry { .. }) {
        let token = if decision == Decision::Return { last.take() } else { None };
        budget.end(decision, token);
        return decision;
    }
    match budget.take(outcome.class().unwrap_or(Class::Server), clock) {
        Ok(token) => {
            *last = Some(token);
            decision
        }
        Err(_) => run.refuse(StopReason::Budget),
    }
}

/// Why, in words: the rule, what the API says, and what to do.
fn reason(run: &Run, step: &Step, outcome: &Outcome, decision: Decision) -> String {
    let error = match &step.end {
        End::Answer { body, .. } => retry_policy::error_body::ApiError::read(body.as_bytes()),
        _ => None,
    };
    let says = error.map(|error| format!(": the API says \"{error}\"")).unwrap_or_default();
    match decision {
        Decision::Return => "no failure".into(),
        Decision::Refresh => format!("the credential was refused, a fresh one is tried once{says}"),
        Decision::Stop { reason } => {
            let late = if run.attempts().may_have_been_applied() {
                "; an earlier attempt may have been applied"
            } else {
                ""
            };
            format!("{reason}{says}{late}; {}", run.policy().profile().advice(outcome))
        }
        _ => {
            let class = outcome.class().map_or("failure", Class::name);
            format!("a temporary {class}, and the request may be sent again{says}")
        }
    }
}

const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Authorization => "authorization",
        Class::Content => "content",
        Class::Network => "network",
        Class::Throttled => "throttled",
        _ => "server",
    }
}

/// To the nearest millisecond.
fn millis(delay: Duration) -> u128 {
    (delay.as_nanos() + 500_000) / 1_000_000
}

impl Played {
    fn retry(&self) -> Option<(Duration, Source)> {
        match self.decision {
            Decision::Retry { after, source } => Some((after, source)),
            _ => None,
        }
    }

    const fn decision(&self) -> &'static str {
        match self.decision {
            Decision::Refresh => "refresh",
            Decision::Retry { .. } => "retry",
            Decision::Return => "return",
            _ => "stop",
        }
    }

    fn json(&self) -> Value {
        let delay = self.retry().map(|(after, _)| {
            // A number of any length is a number in JSON; one beyond 64 bits is the largest.
            u64::try_from(millis(after)).unwrap_or(u64::MAX)
        });
        json!({
            "attempt": self.attempt,
            "class": self.class.map(class_name),
            "decision": self.decision(),
            "delay_ms": delay,
            "source": self.retry().map(|(_, source)| source.name()),
            "reason": self.reason,
            "tokens": self.thousandths.map(tokens),
        })
    }
}

/// Whole tokens as an integer.
fn tokens(thousandths: u32) -> Value {
    if thousandths.is_multiple_of(1000) {
        return (thousandths / 1000).into();
    }
    (f64::from(thousandths) / 1000.0).into()
}

fn seconds(delay: Duration) -> String {
    let millis = millis(delay);
    let (whole, rest) = (millis / 1000, millis % 1000);
    if rest == 0 { format!("{whole} s") } else { format!("{whole}.{rest:03} s") }
}

fn heading(policy: &Policy) -> String {
    let mut text = format!(
        "profile {}: at most {} attempts, first wait {} ({} when throttled), cap {}, jitter {:?}",
        policy.profile().name(),
        policy.max_attempts(),
        seconds(policy.backoff().first()),
        seconds(policy.throttled().first()),
        seconds(policy.backoff().cap()),
        policy.jitter(),
    );
    if let Some(deadline) = policy.deadline() {
        let _ = write!(text, ", deadline {}", seconds(deadline));
    }
    text + "\n\n"
}

/// Rows of equal columns.
fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(line, "{cell:<width$}  ", width = width(column).unwrap_or(0));
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

fn table(policy: &Policy, played: &[Played]) -> String {
    let head = ["attempt", "what happened", "class", "decision", "wait", "source", "tokens", "why"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(played.iter().map(|step| {
        let dash = || "-".to_owned();
        vec![
            step.attempt.to_string(),
            step.happened.clone(),
            step.class.map_or_else(dash, |class| class_name(class).into()),
            step.decision().into(),
            step.retry().map_or_else(dash, |(after, _)| seconds(after)),
            step.retry().map_or_else(dash, |(_, source)| source.name().into()),
            step.thousandths.map_or_else(dash, |left| tokens(left).to_string()),
            step.reason.clone(),
        ]
    }));
    heading(policy) + &columns(&rows)
}

/// The shortest and the longest wait before each retry, as far as the deadline lets them be.
fn schedule(run: &Run, outcome: Outcome, options: &Options) -> Vec<(Duration, Duration)> {
    let waits = |draw| {
        let (mut run, mut clock, mut waits) = (run.clone(), Duration::ZERO, Vec::new());
        while let Decision::Retry { after, .. } = run.after(&outcome, clock, draw) {
            waits.push(after);
            clock = clock.saturating_add(after);
            if waits.len() == LONGEST_SCHEDULE {
                break;
            }
        }
        waits
    };
    let [lowest, highest] = match options.draw {
        Some(_) => [options.draw(); 2],
        None => [0, u32::MAX],
    };
    // Where long waits reach the deadline sooner, the last ones have no highest.
    let (low, high) = (waits(lowest), waits(highest));
    let longest = |at: usize, low: Duration| high.get(at).copied().unwrap_or(low);
    low.iter().enumerate().map(|(at, &low)| (low, longest(at, low))).collect()
}

/// Rows that a person reads.
const LONGEST_SCHEDULE: usize = 100;

type Schedules = [(&'static str, Vec<(Duration, Duration)>); 2];

fn schedule_table(policy: &Policy, schedules: &Schedules) -> String {
    let mut rows =
        vec![["retry", "after", "lowest wait", "highest wait"].map(String::from).to_vec()];
    for (name, waits) in schedules {
        rows.extend(waits.iter().enumerate().map(|(at, (low, high))| {
            vec![(at + 1).to_string(), (*name).to_owned(), seconds(*low), seconds(*high)]
        }));
    }
    heading(policy) + &columns(&rows)
}

fn schedule_json(schedules: &Schedules) -> String {
    let mut rows = Vec::new();
    for (name, waits) in schedules {
        rows.extend(waits.iter().enumerate().map(|(at, (low, high))| {
            let ms = |wait| u64::try_from(millis(wait)).unwrap_or(u64::MAX);
            json!({ "retry": at + 1, "after": name, "lowest_ms": ms(*low), "highest_ms": ms(*high) })
        }));
    }
    format!("{:#}\n", Value::from(rows))
}

//! What happens to each attempt.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use retry_policy::Delivery;
use serde_json::Value;

/// What happens to one attempt.
pub struct Step {
    pub end: End,
    pub took: Duration,
}

/// How it ends.
pub enum End {
    Answer { status: u16, headers: HeaderMap, body: String },
    Fault(Delivery),
    Timeout,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            End::Answer { status, .. } => write!(f, "{status}")?,
            End::Fault(Delivery::NotSent) => f.write_str("not sent")?,
            End::Fault(Delivery::Refused) => f.write_str("refused")?,
            End::Fault(_) => f.write_str("no answer")?,
            End::Timeout => f.write_str("timeout")?,
        }
        if self.took.is_zero() { Ok(()) } else { write!(f, " after {} ms", self.took.as_millis()) }
    }
}

/// Reads a script; what is wrong with it is said with the step's number.
pub fn read(path: &Path) -> Result<Vec<Step>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("--script {} cannot be read: {error}", path.display()))?;
    let script: Value =
        serde_json::from_str(&text).map_err(|error| format!("--script is no JSON: {error}"))?;
    let Value::Array(steps) = script else { return Err("--script must be a JSON array".into()) };
    let numbered = steps.iter().enumerate();
    numbered
        .map(|(at, step)| one(step).map_err(|what| format!("step {}: {what}", at + 1)))
        .collect()
}

fn one(step: &Value) -> Result<Step, String> {
    let Value::Object(members) = step else { return Err("must be an object".into()) };
    let known = ["status", "headers", "body", "fault", "took_ms"];
    if let Some(other) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("{other:?} is not one of {}", known.join(", ")));
    }
    let took = match members.get("took_ms") {
        None => 0,
        Some(took) => took.as_u64().ok_or("took_ms must be a whole number of milliseconds")?,
    };
    let end = match (members.get("status"), members.get("fault")) {
        (Some(status), None) => {
            let status = status.as_u64().and_then(|status| u16::try_from(status).ok());
            let status = status.filter(|status| (100..=999).contains(status));
            End::Answer {
                status: status.ok_or("status must be from 100 to 999")?,
                headers: headers(members.get("headers"))?,
                body: match members.get("body") {
                    None => String::new(),
                    Some(body) => body.as_str().ok_or("body must be a string")?.to_owned(),
                },
            }
        }
        (None, Some(_)) if members.contains_key("headers") || members.contains_key("body") => {
            return Err("a fault has neither headers nor a body".into());
        }
        (None, Some(fault)) => match fault.as_str() {
            Some("not-sent") => End::Fault(Delivery::NotSent),
            Some("refused") => End::Fault(Delivery::Refused),
            Some("unknown") => End::Fault(Delivery::Unknown),
            Some("timeout") => End::Timeout,
            _ => return Err("fault must be not-sent, refused, unknown or timeout".into()),
        },
        _ => return Err("needs a status or a fault, and not both".into()),
    };
    Ok(Step { end, took: Duration::from_millis(took) })
}

/// Each value is a string, or an array of strings for a field that comes several times.
fn headers(members: Option<&Value>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let members = match members {
        None => return Ok(headers),
        Some(Value::Object(members)) => members,
        Some(_) => return Err("headers must be an object".into()),
    };
    for (name, value) in members {
        let wrong = || format!("header {name:?} must be a string that can stand in a header");
        let parsed: HeaderName = name.parse().map_err(|_| wrong())?;
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let text = value.as_str().ok_or_else(wrong)?;
            let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| wrong())?;
            headers.append(parsed.clone(), value);
        }
    }
    Ok(headers)
}

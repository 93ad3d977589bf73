//! Durations on a command line.

use std::time::Duration;

/// A duration with its unit, longer than zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than zero".into()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error} (such as 20ms, 15s, 5m or 1h)")),
    }
}

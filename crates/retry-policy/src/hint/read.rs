//! Reading the headers of one answer.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::DATE;
use http::{HeaderMap, HeaderValue};

use super::{
    Dates, Fraction, Hint, PastDate, Pushback, ResetUnit, Rules, Several, Units, rate_limit,
};

impl Rules {
    /// What these headers say about the next attempt.
    ///
    /// `now` judges dates only where the answer has no `Date`.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap, now: SystemTime) -> Hint {
        let mut seconds = Field::Absent;
        let mut millis = Field::Absent;
        let mut pushback = Field::Absent;
        let mut has_rate_limit = false;
        // One pass, because most answers have none of these headers.
        for (name, value) in headers {
            let value = value.as_bytes();
            match name.as_str() {
                "retry-after" => {
                    let wait = self.retry_after(value, || answered_at(headers, now));
                    self.add(&mut seconds, wait, "retry-after");
                }
                "retry-after-ms" => self.add(&mut millis, self.millis(value), "retry-after-ms"),
                "x-ms-retry-after-ms" => {
                    self.add(&mut millis, self.millis(value), "x-ms-retry-after-ms");
                }
                "x-amz-retry-after" => {
                    self.add(&mut millis, self.millis(value), "x-amz-retry-after");
                }
                "ratelimit" => has_rate_limit = true,
                PUSHBACK => {
                    let is_second = !matches!(pushback, Field::Absent);
                    let is_strict = self.pushback == Pushback::Strict;
                    match self.push(value) {
                        Push::Stop => return STOP,
                        Push::Unreadable if is_strict => return STOP,
                        _ if is_second && is_strict => return STOP,
                        Push::Unreadable => {}
                        Push::Wait(wait) => self.add(&mut pushback, Some(wait), PUSHBACK),
                    }
                }
                _ => {}
            }
        }
        let (seconds, millis, pushback) = (seconds.wait(), millis.wait(), pushback.wait());
        let explicit = match self.units {
            Units::Longest => {
                // The standard header is the last, so that it names an equal wait.
                [pushback, millis, seconds].into_iter().flatten().max_by_key(|&(wait, _)| wait)
            }
            Units::MillisecondsFirst => pushback.or(millis).or(seconds),
            Units::SecondsFirst => seconds.or(millis).or(pushback),
        };
        let standard = explicit.or_else(|| {
            let wait = if has_rate_limit { rate_limit::wait(headers) } else { None };
            Some((wait?, "ratelimit"))
        });
        let wait = match (standard, self.own_reset(headers, now)) {
            // Nothing is left until then, whatever else is asked for.
            (Some((wait, _)), Some((own, true))) if own.0 > wait => Some(own),
            (standard, own) => standard.or(own.map(|(own, _)| own)),
        };
        wait.map_or(Hint::None, |(after, source)| Hint::Wait { after, source })
    }

    /// The wait that one `Retry-After` value asks for: seconds or a date; `None` if it cannot be read.
    ///
    /// When the answer was made is asked for only to judge a date. [`read`](Self::read) does all this.
    #[inline]
    pub fn retry_after(
        &self,
        value: &[u8],
        answered_at: impl FnOnce() -> SystemTime,
    ) -> Option<Duration> {
        let value = trimmed(value);
        if value.first()?.is_ascii_digit() {
            return self.number(value, Duration::from_secs, 1_000);
        }
        let at = self.date(core::str::from_utf8(value).ok()?)?;
        match at.duration_since(answered_at()) {
            Ok(wait) => Some(wait),
            Err(_) => (self.past_date == PastDate::NoWait).then_some(Duration::ZERO),
        }
    }

    fn millis(&self, value: &[u8]) -> Option<Duration> {
        self.number(trimmed(value), Duration::from_millis, 1)
    }

    /// A number of units, each of `millis` milliseconds.
    #[inline]
    fn number(
        &self,
        value: &[u8],
        of: impl FnOnce(u64) -> Duration,
        millis: u64,
    ) -> Option<Duration> {
        if let Some(whole) = digits(value) {
            return Some(of(whole));
        }
        if self.fraction == Fraction::Ignored {
            return None;
        }
        let point = value.iter().position(|&byte| byte == b'.')?;
        let (whole, fraction) = (digits(value.get(..point)?)?, value.get(point.checked_add(1)?..)?);
        digits(fraction)?;
        // Three digits are exact; whatever follows rounds up.
        let (exact, rest) = fraction.split_at(fraction.len().min(3));
        let scale = [1, 100, 10, 1].get(exact.len()).copied().unwrap_or(1);
        let thousandths = digits(exact)?.saturating_mul(scale);
        let is_more = rest.iter().any(|&digit| digit != b'0');
        let thousandths = thousandths.saturating_add(u64::from(is_more));
        let above = thousandths.saturating_mul(millis).div_ceil(1_000);
        Some(of(whole).saturating_add(Duration::from_millis(above)))
    }

    fn date(&self, text: &str) -> Option<SystemTime> {
        if let Ok(at) = httpdate::parse_http_date(text) {
            return Some(at);
        }
        if self.dates == Dates::Standard {
            return None;
        }
        // `Mon, 3 Jun 2019 12:00:00 UTC`, made into the preferred form.
        let (name, rest) = text.split_once(", ")?;
        let (day, rest) = rest.split_once(' ')?;
        let rest = rest.strip_suffix("UTC").or_else(|| rest.strip_suffix("GMT"))?;
        if day.len() > 2 || name.len() > 9 || rest.len() > 20 {
            return None;
        }
        httpdate::parse_http_date(&format!("{name}, {day:0>2} {rest}GMT")).ok()
    }

    fn push(&self, value: &[u8]) -> Push {
        let value = trimmed(value);
        match value.strip_prefix(b"-") {
            Some(rest) if digits(rest).is_some() => Push::Stop,
            _ => self.millis(value).map_or(Push::Unreadable, Push::Wait),
        }
    }

    /// Another field of a name.
    fn add(&self, field: &mut Field, wait: Option<Duration>, source: &'static str) {
        match (&*field, wait) {
            (Field::Absent, Some(wait)) => *field = Field::Wait(wait, source),
            (Field::Absent, None) if self.several == Several::First => *field = Field::Unreadable,
            (Field::Wait(longest, _), Some(wait))
                if self.several == Several::Longest && wait > *longest =>
            {
                *field = Field::Wait(wait, source);
            }
            _ => {}
        }
    }

    /// The API's own pair of headers, and whether it says that nothing is left.
    fn own_reset(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Option<((Duration, &'static str), bool)> {
        let pair = self.reset?;
        let number = |value: &HeaderValue| digits(trimmed(value.as_bytes()));
        // Of several fields the one that asks for most counts.
        let remaining = headers.get_all(pair.remaining).iter().filter_map(number).min();
        let is_told = headers.contains_key(pair.remaining);
        if is_told && remaining? > 0 {
            return None;
        }
        let reset = headers.get_all(pair.until).iter().filter_map(number).max()?;
        let reset = Duration::from_secs(reset);
        let wait = match pair.unit {
            ResetUnit::DeltaSeconds => reset,
            ResetUnit::EpochSeconds => {
                let since_1970 = answered_at(headers, now).duration_since(UNIX_EPOCH);
                reset.saturating_sub(since_1970.unwrap_or_default())
            }
        };
        Some(((wait, pair.until), is_told))
    }
}

const PUSHBACK: &str = "grpc-retry-pushback-ms";
const STOP: Hint = Hint::Stop { source: PUSHBACK };

/// What the fields of one name say so far.
#[derive(Clone, Copy)]
enum Field {
    Absent,
    Unreadable,
    Wait(Duration, &'static str),
}

impl Field {
    fn wait(self) -> Option<(Duration, &'static str)> {
        match self {
            Self::Wait(wait, source) => Some((wait, source)),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

/// What one pushback says.
enum Push {
    Stop,
    Unreadable,
    Wait(Duration),
}

/// When the answer was made, by its own clock if it tells.
fn answered_at(headers: &HeaderMap, now: SystemTime) -> SystemTime {
    headers
        .get(DATE)
        .and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok())
        .unwrap_or(now)
}

/// Without the optional whitespace around it (RFC 9110 §5.6.3).
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// `1*DIGIT`, saturating; `None` for anything else, a sign included.
#[inline]
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    // Nineteen digits always fit.
    let is_short = text.len() < 20;
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        let ten = if is_short { sum.wrapping_mul(10) } else { sum.saturating_mul(10) };
        (digit < 10).then(|| ten.saturating_add(u64::from(digit)))
    })
}

#[cfg(test)]
mod tests;

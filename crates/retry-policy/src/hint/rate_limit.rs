//! `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10.
//!
//! Both are Lists of String Items (RFC 9651 §3.1). A field that breaks the syntax or lacks what the
//! draft requires is ignored as a whole; parameters that it does not name are ignored one by one. A
//! field is read up to 4 KiB and 32 items: our choice, far above any example of the draft.

use core::time::Duration;

use http::HeaderMap;

/// Longest field that is read.
const LONGEST_FIELD: usize = 4 * 1024;
/// Most items that are read.
const MOST_ITEMS: usize = 32;

/// One item of `RateLimit`: what is left of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit<'a> {
    /// The policy's name, with its escapes.
    pub policy: &'a str,
    /// `r`: the units that are left. More than zero promises nothing.
    pub remaining: u64,
    /// `t`: the seconds until there is more.
    pub reset_secs: Option<u64>,
    /// `pk`: whose quota it is, in base64.
    pub partition_key: Option<&'a str>,
}

/// One item of `RateLimit-Policy`: a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota<'a> {
    /// The policy's name, with its escapes.
    pub policy: &'a str,
    /// `q`: the units of a window.
    pub quota: u64,
    /// `qu`: the unit; requests where it is absent.
    pub unit: Option<&'a str>,
    /// `w`: the seconds of a window, above zero.
    pub window_secs: Option<u64>,
    /// `pk`: whose quota it is, in base64.
    pub partition_key: Option<&'a str>,
}

/// The items of a `RateLimit` field; none at all if it is malformed.
pub fn limits(field: &str) -> impl Iterator<Item = Limit<'_>> {
    whole(field, |item| {
        Some(Limit {
            policy: item.name,
            remaining: item.natural(item.r?)?,
            reset_secs: item.optional(item.t).ok()?,
            partition_key: item.key().ok()?,
        })
    })
}

/// The items of a `RateLimit-Policy` field; none at all if it is malformed.
pub fn quotas(field: &str) -> impl Iterator<Item = Quota<'_>> {
    whole(field, |item| {
        let window_secs = item.optional(item.w).ok()?;
        let unit = match item.qu {
            Some(Bare::Text(unit)) => Some(unit),
            Some(_) => return None,
            None => None,
        };
        (window_secs != Some(0)).then_some(Quota {
            policy: item.name,
            quota: item.natural(item.q?)?,
            unit,
            window_secs,
            partition_key: item.key().ok()?,
        })
    })
}

/// The longest wait for a quota that is used up; none if any field of the name is malformed.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let mut longest = None;
    for value in headers.get_all("ratelimit") {
        let field = value.to_str().ok()?;
        if field.trim_matches([' ', '\t']).is_empty() {
            continue; // An empty field adds no items: RFC 9651 §4.2.
        }
        let mut items = limits(field).peekable();
        items.peek()?;
        for limit in items.filter(|limit| limit.remaining == 0) {
            longest = longest.max(limit.reset_secs);
        }
    }
    longest.map(Duration::from_secs)
}

/// Reads the whole field before the first item is given out.
fn whole<'a, T>(
    field: &'a str,
    read: impl Fn(&Item<'a>) -> Option<T> + Copy,
) -> impl Iterator<Item = T> {
    let mut parser = Parser(field.as_bytes());
    parser.skip(b" ");
    let items = Items { rest: Some(parser), left: MOST_ITEMS };
    let is_well_formed = field.len() <= LONGEST_FIELD
        && items.clone().all(|item| item.is_some_and(|item| read(&item).is_some()));
    items
        .take(if is_well_formed { MOST_ITEMS } else { 0 })
        .flatten()
        .filter_map(move |item| read(&item))
}

/// A bare item (RFC 9651 §3.3), as far as the draft needs to tell them apart.
#[derive(Clone, Copy, Debug)]
enum Bare<'a> {
    Bytes(&'a str),
    Integer(i64),
    Other,
    Text(&'a str),
}

/// A parameter of another type than the draft gives it.
struct Malformed;

/// A String Item with the parameters that the draft names.
#[derive(Clone, Copy, Debug, Default)]
struct Item<'a> {
    name: &'a str,
    q: Option<Bare<'a>>,
    qu: Option<Bare<'a>>,
    w: Option<Bare<'a>>,
    r: Option<Bare<'a>>,
    t: Option<Bare<'a>>,
    pk: Option<Bare<'a>>,
}

#[allow(clippy::unused_self, reason = "reads as a question to the item")]
impl<'a> Item<'a> {
    fn natural(&self, bare: Bare<'a>) -> Option<u64> {
        match bare {
            Bare::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A natural number, if it is there.
    fn optional(&self, bare: Option<Bare<'a>>) -> Result<Option<u64>, Malformed> {
        bare.map(|bare| self.natural(bare).ok_or(Malformed)).transpose()
    }

    fn key(&self) -> Result<Option<&'a str>, Malformed> {
        match self.pk {
            None => Ok(None),
            Some(Bare::Bytes(base64)) => Ok(Some(base64)),
            Some(_) => Err(Malformed),
        }
    }
}

/// The items of a list; `None` once where it breaks the syntax, then the end.
#[derive(Clone)]
struct Items<'a> {
    rest: Option<Parser<'a>>,
    left: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Option<Item<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut parser = self.rest.take()?;
        self.left = self.left.checked_sub(1)?;
        let Some((item, is_last)) = parser.item() else { return Some(None) };
        if !is_last {
            if self.left == 0 {
                return Some(None);
            }
            self.rest = Some(parser);
        }
        Some(Some(item))
    }
}

/// What is left of a field.
#[derive(Clone)]
struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    /// An item and the comma after it; whether it is the last.
    fn item(&mut self) -> Option<(Item<'a>, bool)> {
        let Bare::Text(name) = self.bare()? else { return None };
        let mut item = Item { name, ..Item::default() };
        while self.eat(b';') {
            self.skip(b" ");
            let key = self.key()?;
            let value = if self.eat(b'=') { self.bare()? } else { Bare::Other };
            let slot = match key {
                "q" => &mut item.q,
                "qu" => &mut item.qu,
                "w" => &mut item.w,
                "r" => &mut item.r,
                "t" => &mut item.t,
                "pk" => &mut item.pk,
                _ => continue,
            };
            *slot = Some(value); // The last of several counts: RFC 9651 §4.2.3.2.
        }
        self.skip(b" \t");
        if self.0.is_empty() {
            return Some((item, true));
        }
        if !self.eat(b',') {
            return None;
        }
        self.skip(b" \t");
        // A comma at the end promises an item that does not come.
        (!self.0.is_empty()).then_some((item, false))
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.take(|byte| bytes.contains(&byte));
    }

    /// What matches; it may be nothing.
    fn take(&mut self, is_part: impl Fn(u8) -> bool) -> &'a str {
        let end = self.0.iter().position(|&byte| !is_part(byte)).unwrap_or(self.0.len());
        let (part, rest) = self.0.split_at(end);
        self.0 = rest;
        // ASCII only in every caller's set, so always text.
        core::str::from_utf8(part).unwrap_or("")
    }

    /// RFC 9651 §4.2.3.3.
    fn key(&mut self) -> Option<&'a str> {
        let is_first = |byte: u8| byte.is_ascii_lowercase() || byte == b'*';
        is_first(*self.0.first()?).then(|| {
            self.take(|byte| is_first(byte) || byte.is_ascii_digit() || b"_-.".contains(&byte))
        })
    }

    /// RFC 9651 §4.2.3.1.
    fn bare(&mut self) -> Option<Bare<'a>> {
        match *self.0.first()? {
            b'"' => self.text().map(Bare::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b':' => {
                self.eat(b':');
                let base64 =
                    self.take(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                (self.eat(b':') && is_base64(base64)).then_some(Bare::Bytes(base64))
            }
            b'?' => {
                self.eat(b'?');
                (self.eat(b'0') || self.eat(b'1')).then_some(Bare::Other)
            }
            b'@' => {
                self.eat(b'@');
                matches!(self.number()?, Bare::Integer(_)).then_some(Bare::Other)
            }
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.take(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Some(Bare::Other)
            }
            b'%' => {
                self.eat(b'%');
                self.text().map(|_| Bare::Other)
            }
            _ => None,
        }
    }

    /// RFC 9651 §4.2.5: printable ASCII; a backslash only before itself or a quote.
    fn text(&mut self) -> Option<&'a str> {
        let inside = self.0.strip_prefix(b"\"")?;
        let mut bytes = inside.iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    let (text, rest) = inside.split_at_checked(at)?;
                    self.0 = rest.strip_prefix(b"\"")?;
                    return core::str::from_utf8(text).ok();
                }
                b'\\' if !matches!(bytes.next(), Some((_, b'"' | b'\\'))) => return None,
                b' '..=b'~' => {}
                _ => return None,
            }
        }
        None
    }

    /// RFC 9651 §4.2.4: 15 digits, or 12 and up to 3 after a point.
    fn number(&mut self) -> Option<Bare<'a>> {
        let is_negative = self.eat(b'-');
        let whole = self.take(|byte| byte.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.take(|byte| byte.is_ascii_digit());
            let is_decimal = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return is_decimal.then_some(Bare::Other);
        }
        let number: i64 = (whole.len() <= 15).then(|| whole.parse().ok())??;
        Some(Bare::Integer(if is_negative { number.saturating_neg() } else { number }))
    }
}

/// Base64 with or without its padding; what the last character leaves over does not matter (RFC 9651
/// §4.2.7).
fn is_base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    let padding = text.len().saturating_sub(data.len());
    !data.contains('=') && data.len() % 4 != 1 && padding <= 2
}

#[cfg(test)]
mod tests;

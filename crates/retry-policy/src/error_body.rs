//! The error envelopes of real APIs, read into one [`ApiError`].
//!
//! | envelope | code | message | fields |
//! | --- | --- | --- | --- |
//! | JumpCloud | `code` | `message` | |
//! | IXON | | | `data[]`: `propertyName`, `message` |
//! | google.rpc.Status, bare or in `error` | `code` | `message` | `details[].fieldViolations[]`: `field`, `description` |
//! | Operations1 | `errorCode` | `message` | |
//! | problem details (RFC 9457) | `type` unless `about:blank`, `status` | `detail`, `title` | `errors[]`: `pointer`, `detail` |
//! | OAuth 2.0 (RFC 6749 §5.2) | `error` | `error_description` | |
//! | anything else that is short text | | the text | |
//!
//! Which API sent it need not be known: the members' names tell. Nothing is copied or allocated.
//!
//! # Example
//!
//! ```
//! use retry_policy::error_body::ApiError;
//!
//! let body = br#"{"type": "Error", "data": [{"message": "Required header", "propertyName": "Api-Company"}]}"#;
//! let error = ApiError::read(body).unwrap();
//! assert_eq!(error.to_string(), "Api-Company: Required header");
//! ```
//!
//! # Numbers
//!
//! The first 16 KiB of a body are read, 4 fields are kept, and 300 characters of a text are printed. Our
//! choice: an error's message stands at its beginning, and nobody reads more.

use core::fmt::{self, Write as _};

use crate::json::{Json, Value, valid};

/// How much of a body is looked at.
const SEARCHED_BYTES: usize = 16 * 1024;
/// How many fields are kept.
const MOST_FIELDS: usize = 4;
/// How many characters of a text are printed.
const LONGEST_TEXT: usize = 300;

/// What an API says about a request that failed.
///
/// Its `Display` is what to correct: the message, the code and the fields, on one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApiError<'a> {
    code: Option<Text<'a>>,
    message: Option<Text<'a>>,
    fields: [Option<Field<'a>>; MOST_FIELDS],
}

/// A part of the request that the API finds fault with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field<'a> {
    name: Option<Text<'a>>,
    message: Option<Text<'a>>,
}

impl<'a> Field<'a> {
    /// Its name: a header, a parameter or a place in the body.
    #[must_use]
    pub const fn name(&self) -> Option<Text<'a>> {
        self.name
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn message(&self) -> Option<Text<'a>> {
        self.message
    }
}

impl<'a> ApiError<'a> {
    /// What the body of an error says; `None` if it says nothing that can be read.
    ///
    /// The body may be a prefix: what stands before its end is found.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let body = body.get(..SEARCHED_BYTES).unwrap_or(body).trim_ascii();
        let mut found = Found::default();
        match *body.first()? {
            b'{' | b'[' => {
                // A document that breaks off has said what it has said.
                let _ = Json::new(body).elements(&mut |json| found.envelope(json, true));
            }
            b'<' => return None,
            _ => found.plain(body),
        }
        let Found { mut error, .. } = found;
        if error.code == error.message {
            error.code = None; // One word that is both.
        }
        (error != Self::default()).then_some(error)
    }

    /// The API's own code: a number or a name.
    #[must_use]
    pub const fn code(&self) -> Option<Text<'a>> {
        self.code
    }

    /// The message.
    #[must_use]
    pub const fn message(&self) -> Option<Text<'a>> {
        self.message
    }

    /// The parts of the request that it finds fault with, four at most.
    pub fn fields(&self) -> impl Iterator<Item = &Field<'a>> {
        self.fields.iter().flatten()
    }
}

impl fmt::Display for ApiError<'_> {
    /// `API is down (14); Api-Company: Required header`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.message, self.code) {
            (Some(message), Some(code)) => write!(f, "{message} ({code})")?,
            (Some(text), None) => write!(f, "{text}")?,
            (None, Some(code)) => write!(f, "error {code}")?,
            (None, None) => {}
        }
        let mut separator = if self.message.or(self.code).is_some() { "; " } else { "" };
        for field in self.fields() {
            f.write_str(separator)?;
            match (field.name, field.message) {
                (Some(name), Some(message)) => write!(f, "{name}: {message}")?,
                (Some(text), None) | (None, Some(text)) => write!(f, "{text}")?,
                (None, None) => {}
            }
            separator = "; ";
        }
        Ok(())
    }
}

/// A text as an API wrote it. Its `Display` is one line of at most 300 characters, escapes resolved,
/// without what could change how a terminal shows the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    is_escaped: bool,
}

impl<'a> Text<'a> {
    /// The text as it is written, a JSON string's escapes unresolved.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.raw
    }

    /// Its characters, escapes resolved.
    fn chars(self) -> impl Iterator<Item = char> {
        let mut rest = self.raw.chars();
        core::iter::from_fn(move || {
            let next = rest.next()?;
            if next != '\\' || !self.is_escaped {
                return Some(next);
            }
            Some(match rest.next()? {
                'u' => {
                    let unit = hex(&mut rest)?;
                    // A pair of surrogates is one character (RFC 8259 §7); a lone one is none.
                    match (unit, rest.as_str().strip_prefix("\\u")) {
                        (0xd800..=0xdbff, Some(second)) => {
                            let mut second = second.chars();
                            let low = hex(&mut second).unwrap_or_default();
                            let pair = char::decode_utf16([unit, low]).next();
                            match pair {
                                Some(Ok(pair)) => {
                                    rest = second;
                                    pair
                                }
                                _ => char::REPLACEMENT_CHARACTER,
                            }
                        }
                        _ => char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
                    }
                }
                'b' | 'f' | 'n' | 'r' | 't' => ' ',
                literal => literal,
            })
        })
    }
}

/// Four hexadecimal digits.
fn hex(chars: &mut core::str::Chars<'_>) -> Option<u16> {
    let mut unit = 0_u16;
    for _ in 0..4 {
        let digit = u16::try_from(chars.next()?.to_digit(16)?).ok()?;
        unit = unit << 4 | digit;
    }
    Some(unit)
}

/// Whether it shows as itself: no control character, and nothing that turns the direction of a line.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, c) in self.chars().enumerate() {
            if at == LONGEST_TEXT {
                return f.write_char('…');
            }
            f.write_char(if is_harmless(c) { c } else { ' ' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What was found so far, and how good the message is.
#[derive(Default)]
struct Found<'a> {
    error: ApiError<'a>,
    message_rank: u8,
    code_rank: u8,
}

impl<'a> Found<'a> {
    /// One object, by the names of its members.
    fn envelope(&mut self, json: &mut Json<'a>, is_outermost: bool) -> Option<()> {
        if json.peek()? != b'{' {
            return json.skip();
        }
        json.members(&mut |name, json| {
            match name {
                "message" => self.message(5, json),
                "detail" => self.message(4, json),
                "error_description" => self.message(3, json),
                "title" => self.message(2, json),
                "errorCode" | "code" => self.code(4, json),
                "type" => self.code(2, json),
                "status" => self.code(1, json),
                // An object (google), or a name (OAuth) that is also the best message if alone.
                "error" => {
                    if json.peek()? == b'{' {
                        // An error within an error within an error is nobody's envelope.
                        if is_outermost { self.envelope(json, false) } else { json.skip() }
                    } else {
                        self.message(1, &mut json.clone())?;
                        self.code(3, json)
                    }
                }
                "data" | "errors" | "invalid-params" | "fieldViolations" => {
                    json.elements(&mut |json| self.field(json))
                }
                "details" => json.elements(&mut |json| self.details(json)),
                _ => json.skip(),
            }
        })
    }

    /// One of google's details, of which the violations of fields are of interest.
    fn details(&mut self, json: &mut Json<'a>) -> Option<()> {
        if json.peek()? != b'{' {
            return json.skip();
        }
        json.members(&mut |name, json| match name {
            "fieldViolations" => json.elements(&mut |json| self.field(json)),
            _ => json.skip(),
        })
    }

    fn field(&mut self, json: &mut Json<'a>) -> Option<()> {
        let mut field = Field::default();
        let end = match json.peek()? {
            b'{' => json.members(&mut |name, json| {
                let slot = match name {
                    "propertyName" | "pointer" | "field" | "name" | "parameter" => &mut field.name,
                    "message" | "detail" | "description" | "reason" => &mut field.message,
                    _ => return json.skip(),
                };
                if let Value::Text(raw) = json.value()? {
                    *slot = Some(Text { raw, is_escaped: true });
                }
                Some(())
            }),
            b'"' => {
                if let Value::Text(raw) = json.value()? {
                    field.message = Some(Text { raw, is_escaped: true });
                }
                Some(())
            }
            _ => json.skip(),
        };
        let is_known = field.message.is_some();
        if let (true, Some(free)) = (is_known, self.error.fields.iter_mut().find(|f| f.is_none())) {
            *free = Some(field);
        }
        end
    }

    fn message(&mut self, rank: u8, json: &mut Json<'a>) -> Option<()> {
        if let Value::Text(raw) = json.value()? {
            if rank > self.message_rank && !raw.is_empty() {
                (self.error.message, self.message_rank) =
                    (Some(Text { raw, is_escaped: true }), rank);
            }
        }
        Some(())
    }

    fn code(&mut self, rank: u8, json: &mut Json<'a>) -> Option<()> {
        let raw = match json.value()? {
            Value::Number(raw) => raw,
            // IXON's envelope says "Error" and "error" in every error.
            Value::Text(raw) if !matches!(raw, "" | "about:blank" | "Error" | "error") => raw,
            Value::Text(_) | Value::Other => return Some(()),
        };
        if rank > self.code_rank {
            (self.error.code, self.code_rank) = (Some(Text { raw, is_escaped: true }), rank);
        }
        Some(())
    }

    /// A body that is no JSON: its text, if it is one.
    fn plain(&mut self, body: &'a [u8]) {
        let raw = valid(body);
        // A prefix may end within a character; anything else that is not UTF-8 is no text.
        let is_text = body.len().saturating_sub(raw.len()) < 4
            && raw.chars().all(|c| !c.is_control() || c.is_ascii_whitespace());
        if is_text && !raw.is_empty() {
            self.error.message = Some(Text { raw, is_escaped: false });
        }
    }
}

#[cfg(test)]
mod tests;

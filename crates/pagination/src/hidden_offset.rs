//! Offsets that hide in cursors and links, found by their values.
//!
//! An API whose cursor is an offset loses rows while rows are deleted, whatever the cursor is called. The detector compares
//! the numbers in each cursor with those in the previous one: a number that grows twice by the same amount counts pages or
//! rows. A number of the first cursor that equals the rows of its page, or the number of a second page, is suspect; if it
//! grows by one or by the rows of a page, it counts. A number that the last row itself holds is a key, not a count, as
//! long as the last row of each later page holds the number of its cursor.
//!
//! # What is not done
//!
//! A cursor that is encrypted, signed or binary shows no number; the API's word is all there is.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;

use crate::Keyed;

/// The numbers of a cursor that are compared. Our choice: more than an address has.
const NUMBERS: usize = 32;
/// The bytes of a cursor that are read. Our choice: longer ones are encrypted.
const BYTES: usize = 4_096;
/// How often one encoding holds another. Our choice: percent signs, base64, percent signs.
const DEPTH: u32 = 3;
/// A number of as many digits is not in a row by chance. Our choice: times and ids have more.
const DIGITS_OF_A_KEY: usize = 6;
/// The cursors that are compared. Our choice: one that counts does so from its beginning.
const CURSORS: u32 = 16;
/// Parts of a name that say that a number is a page's size: it means nothing in the first cursor.
const SIZES: [&str; 4] = ["limit", "size", "per", "count"];

/// Watches the cursors of one walk.
#[derive(Debug, Default)]
pub(crate) struct OffsetDetector {
    /// The numbers of the newest cursor, each with the text before it and by how much it grew.
    newest: Vec<Number>,
    cursors: u32,
    has_found: bool,
    /// The numbers that the first request itself holds.
    asked: Vec<Number>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Number {
    /// The text before it, which tells it from others.
    label: String,
    digits: String,
    value: u64,
    grew: Option<u64>,
    is_suspect: bool,
}

/// What a cursor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It holds no offset, whatever an earlier one alone looked like.
    Clear,
    /// It holds an offset.
    Offset,
    /// It may hold an offset; the next one tells.
    Suspect,
}

impl OffsetDetector {
    /// The first request has this address.
    pub(crate) fn asked(&mut self, address: &str) {
        self.asked = numbers(address);
    }

    /// Whether another cursor can tell anything new.
    pub(crate) const fn is_watching(&self) -> bool {
        !self.has_found && self.cursors < CURSORS
    }

    /// The scan resumes at this cursor.
    pub(crate) fn resume(&mut self, cursor: &str) -> Finding {
        self.see::<crate::Row>(cursor, 0, None)
    }

    /// The page with this many rows, and this last one, led to this cursor.
    pub(crate) fn see<R: Keyed>(&mut self, cursor: &str, rows: u64, last: Option<&R>) -> Finding {
        let mut found = numbers(cursor);
        let is_first = self.cursors == 0;
        self.cursors += 1;
        let mut finding = Finding::Clear;
        for number in &mut found {
            let before = self.newest.iter().find(|before| before.label == number.label);
            number.grew = before.and_then(|before| number.value.checked_sub(before.value));
            number.is_suspect = is_first && self.looks_like_one(number, rows);
            // The first offset may equal a key by chance, later ones only as long as nothing is deleted.
            if !number.is_suspect && is_in(&number.digits, last) {
                continue;
            }
            let is_constant = number.grew == before.and_then(|before| before.grew);
            let is_confirmed = before.is_some_and(|before| before.is_suspect)
                && number.grew.is_some_and(|grew| grew == 1 || grew == rows);
            if number.grew > Some(0) && (is_constant || is_confirmed) {
                (finding, self.has_found) = (Finding::Offset, true);
            } else if number.is_suspect {
                finding = Finding::Suspect;
            }
        }
        self.newest = found;
        finding
    }

    /// Whether the first cursor's number may count pages or rows.
    fn looks_like_one(&self, number: &Number, rows: u64) -> bool {
        let name = number.label.to_ascii_lowercase();
        let mut parts = name.split(|letter: char| !letter.is_ascii_alphanumeric());
        let name = parts.rfind(|part| !part.is_empty()).unwrap_or_default();
        let is_asked = |asked: &Number| asked.value == number.value && asked.label == number.label;
        if self.asked.iter().any(is_asked) || matches!(name, "v" | "ver" | "version") {
            return false;
        }
        let is_size = SIZES.iter().any(|size| name.contains(size));
        let is_count = number.value == rows || number.value == rows.saturating_add(1);
        matches!(number.value, 1 | 2) || is_count && !is_size
    }
}

/// Whether the last row holds this number, so that the cursor names the row.
fn is_in<R: Keyed>(digits: &str, row: Option<&R>) -> bool {
    let Some(row) = row else { return false };
    let is_key = row.key().is_some_and(|key| key.to_string() == digits);
    is_key
        || (digits.len() >= DIGITS_OF_A_KEY
            && row.to_row().json().windows(digits.len()).any(|part| part == digits.as_bytes()))
}

/// The whole numbers in a cursor, in its plain text or what it encodes.
fn numbers(cursor: &str) -> Vec<Number> {
    let mut found = Vec::new();
    if cursor.len() <= BYTES {
        collect(cursor, DEPTH, &mut found);
    }
    found
}

fn collect(text: &str, depth: u32, found: &mut Vec<Number>) {
    let text = percent_decode_str(text).decode_utf8_lossy();
    let mut label_from = 0;
    for (at, word) in words(&text, |letter| letter.is_ascii_digit()) {
        let end = at + word.len();
        if let (true, Ok(value)) = (stands_alone(&text, at, end), word.parse()) {
            if found.len() < NUMBERS {
                let (label, digits) = (text[label_from..at].to_owned(), word.to_owned());
                found.push(Number { label, digits, value, grew: None, is_suspect: false });
            }
            label_from = end;
        }
    }
    let Some(depth) = depth.checked_sub(1) else { return };
    let is_encoded = |letter: char| letter.is_ascii_alphanumeric() || "+/-_".contains(letter);
    for (_, word) in words(&text, is_encoded) {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(inner) = decoded(word).filter(|_| !is_number) {
            collect(&inner, depth, found);
        }
    }
}

/// The longest runs of such letters, and where each begins.
fn words(text: &str, is_part: fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    core::iter::from_fn(move || {
        let from = rest + text[rest..].find(is_part)?;
        let length = text[from..].find(|letter| !is_part(letter));
        rest = length.map_or(text.len(), |length| from + length);
        Some((from, &text[from..rest]))
    })
}

/// Whether a run of digits is a number by itself, and no part of a word, a date or a time.
fn stands_alone(text: &str, from: usize, end: usize) -> bool {
    let is_border = |letter: Option<char>, beyond: Option<char>| match letter {
        None => true,
        Some(':') => !beyond.is_some_and(|beyond| beyond.is_ascii_digit()),
        Some(letter) => "=&,;|[]{}()\"'/? ".contains(letter),
    };
    let mut before = text[..from].chars().rev();
    let mut after = text[end..].chars();
    is_border(before.next(), before.next()) && is_border(after.next(), after.next())
}

/// The text that a word encodes as base64.
fn decoded(word: &str) -> Option<String> {
    const ANY: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let is_url_safe = word.contains(['-', '_']);
    let alphabet = if is_url_safe { &URL_SAFE } else { &STANDARD };
    let bytes = GeneralPurpose::new(alphabet, ANY).decode(word).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Row};

    fn encoded(text: &str) -> String {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    }

    /// What each cursor after a page of ten rows shows.
    fn findings(cursors: &[&str], last: Option<&Row>) -> Vec<Finding> {
        let mut detector = OffsetDetector::default();
        detector.asked("/x?per_page=10");
        cursors.iter().map(|cursor| detector.see(cursor, 10, last)).collect()
    }

    #[test]
    fn finds_numbers_that_count_pages_or_rows_wherever_they_stand() {
        use Finding::{Clear, Offset, Suspect};
        let json = [r#"{"offset":10,"v":1}"#, r#"{"offset":20,"v":1}"#].map(encoded);
        let twice = ["2", "3"].map(|page| encoded(&encoded(&format!("page={page}&x=y"))));
        for (cursors, expected) in [
            (["10", "20"], [Suspect, Offset]),
            (["2", "3"], [Suspect, Offset]),
            (["1", "2"], [Suspect, Offset]),
            (["11", "21"], [Suspect, Offset]),
            (["7", "14"], [Clear, Clear]),
            (["/x?page[number]=2", "/x?page[number]=3"], [Suspect, Offset]),
            (["/x?%24skip=10&per_page=10", "/x?%24skip=20&per_page=10"], [Suspect, Offset]),
            (["/x/page/2", "/x/page/3"], [Suspect, Offset]),
            ([&json[0], &json[1]], [Suspect, Offset]),
            ([&twice[0], &twice[1]], [Suspect, Offset]),
            (["/x?per_page=10&after=abc", "/x?per_page=10&after=def"], [Clear, Clear]),
            (["abc", "def"], [Clear, Clear]),
            (["2024-01-05T10:00:01Z", "2024-01-06T10:00:02Z"], [Clear, Clear]),
            (["{\"shard\":1,\"a\":\"x\"}", "{\"shard\":1,\"a\":\"y\"}"], [Suspect, Clear]),
            (["5f5e1000", "5f5e1001"], [Clear, Clear]),
        ] {
            assert_eq!(findings(&cursors, None), expected, "{cursors:?}");
        }
        let amounts = findings(&["17", "37", "57", "77"], None);
        assert_eq!(amounts, [Clear, Clear, Offset, Offset], "twice by the same amount");
    }

    #[test]
    fn a_number_that_the_last_row_holds_is_a_key() {
        let row = Row::with_key(r#"{"id":10,"at":1700000010}"#, Key::Number(10));
        assert_eq!(findings(&["10"], Some(&row)), [Finding::Suspect], "rows of the page as well");
        assert_eq!(findings(&["20"], Some(&row)), [Finding::Clear], "it is not the page's rows");
        let mut detector = OffsetDetector::default();
        let last = |key: i128| Row::with_key(format!(r#"{{"id":{key}}}"#), Key::Number(key));
        for (key, expected) in [(10, Finding::Suspect), (20, Finding::Clear), (31, Finding::Clear)]
        {
            let finding = detector.see(&key.to_string(), 10, Some(&last(key)));
            assert_eq!(finding, expected, "each page ends with the row that its cursor names");
        }
        let mut detector = OffsetDetector::default();
        assert_eq!(detector.see("10", 10, Some(&last(10))), Finding::Suspect);
        let finding = detector.see("20", 10, Some(&last(21)));
        assert_eq!(finding, Finding::Offset, "a row was deleted, so the number is no key");
        let cursors = ["[1700000000,\"a\"]", "[1700000010,\"b\"]"];
        assert_eq!(findings(&cursors, Some(&row)), [Finding::Clear, Finding::Clear]);
    }
}

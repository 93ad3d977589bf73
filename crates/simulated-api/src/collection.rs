//! The rows, in the order of their keys, and the truth about them.

use std::collections::BTreeSet;

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::query::{Filters, plain};

/// 2026-01-01T00:00:00Z in milliseconds.
const FIRST_STAMP: u64 = 1_767_225_600_000;

/// One row: its key and its JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    key: String,
    json: String,
}

impl Row {
    /// A row with this key and this JSON text, which holds the key where the API expects it.
    pub fn new(key: impl Into<String>, json: impl Into<String>) -> Self {
        Self { key: key.into(), json: json.into() }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The value of a field, as it is compared.
    pub(crate) fn field(&self, name: &str) -> String {
        let json: Result<Value, _> = serde_json::from_str(&self.json);
        json.map(|json| plain(&json[name])).unwrap_or_default()
    }
}

/// The rows of one collection, ascending by key.
#[derive(Debug)]
pub struct Collection {
    rows: Vec<Row>,
    key_field: &'static str,
    /// Whether rows have a time, in the order of their keys.
    is_stamped: bool,
    made: u64,
    /// The rows that were there, and matched, at every request since the first.
    owed: Option<BTreeSet<String>>,
    filters: Filters,
}

impl Collection {
    /// `count` rows whose keys begin with a rising number, as an `ObjectId` begins with its time.
    pub(crate) fn new(key_field: &'static str, is_stamped: bool, count: u64) -> Self {
        let (rows, filters) = (Vec::new(), Filters::default());
        let mut collection = Self { rows, key_field, is_stamped, made: 0, owed: None, filters };
        for number in 0..count {
            let row = collection.make(number << 8);
            collection.rows.push(row);
        }
        collection
    }

    /// A new row whose key sorts by `place`.
    fn make(&mut self, place: u64) -> Row {
        let made = self.made;
        self.made += 1;
        let key = format!("{place:016x}{made:08x}");
        let department = ["IT", "Sales", "R\\u0026D", "Ops"][(made % 4) as usize];
        let stamp = if self.is_stamped {
            // Four milliseconds apart for each step of a key, from 2026 on.
            let time = UNIX_EPOCH + Duration::from_millis(FIRST_STAMP + place * 4);
            format!(", \"timestamp\": \"{}\"", humantime::format_rfc3339_millis(time))
        } else {
            String::new()
        };
        let json = format!(
            "{{ \"{}\": \"{key}\", \"username\": \"user{made:06}\", \"department\": \"{department}\", \
             \"active\": {}, \"balance\": {made}.50{stamp} }}",
            self.key_field,
            made % 3 != 0,
        );
        Row { key, json }
    }

    /// The rows to begin with.
    pub(crate) fn replace(&mut self, mut rows: Vec<Row>) {
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        self.rows = rows;
    }

    /// The rows, ascending by key.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Inserts a new row behind all others.
    pub fn append(&mut self) {
        let last = self.rows.last().map_or(0, |row| place(&row.key));
        let row = self.make(last.saturating_add(1 << 8));
        self.rows.push(row);
    }

    /// Inserts a new row in front of the row at `index`, or behind all others.
    pub fn insert_before(&mut self, index: usize) {
        let Some(next) = self.rows.get(index) else {
            return self.append();
        };
        let place = place(&next.key).saturating_sub(1);
        let row = self.make(place);
        self.insert(row);
    }

    /// Inserts a row, or replaces the one with the same key.
    pub fn insert(&mut self, row: Row) {
        match self.rows.binary_search_by(|other| other.key.cmp(&row.key)) {
            Ok(at) => {
                if !self.filters.match_row(&row, self.key_field) {
                    self.disown(&row.key);
                }
                self.rows[at] = row;
            }
            Err(at) => self.rows.insert(at, row),
        }
    }

    /// Deletes the row at `index`, if there is one.
    pub fn delete_at(&mut self, index: usize) {
        if index < self.rows.len() {
            let row = self.rows.remove(index);
            self.disown(&row.key);
        }
    }

    /// Deletes the row with this key, if there is one.
    pub fn delete(&mut self, key: &str) {
        if let Ok(at) = self.rows.binary_search_by(|row| row.key.as_str().cmp(key)) {
            self.delete_at(at);
        }
    }

    /// A row that is gone, or does not match any more, is owed no longer, even if it comes back.
    fn disown(&mut self, key: &str) {
        if let Some(owed) = &mut self.owed {
            owed.remove(key);
        }
    }

    /// The rows that match, and are owed from now on if this is the first request.
    pub(crate) fn matching(&mut self, filters: &Filters) -> Vec<&Row> {
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| filters.match_row(row, self.key_field)).collect();
        if self.owed.is_none() {
            self.filters = filters.clone();
            self.owed = Some(rows.iter().map(|row| row.key.clone()).collect());
        }
        rows
    }

    /// Whether a request has decided what is owed.
    pub(crate) const fn owes(&self) -> bool {
        self.owed.is_some()
    }

    pub(crate) fn owed(&self) -> impl Iterator<Item = &str> {
        self.owed.iter().flatten().map(String::as_str)
    }
}

/// The number with which a key begins.
fn place(key: &str) -> u64 {
    key.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

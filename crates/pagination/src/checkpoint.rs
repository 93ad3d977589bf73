//! Where a scan can go on, after a kill at any moment.

use core::fmt;

use serde_json::{Value, json};

use crate::{Key, Query};

/// The version of the format that is written. A newer one is refused, not guessed at.
const VERSION: u64 = 1;

/// A place in a scan: everything up to one row is done.
///
/// It belongs to one query: dialect, address, filters and sort. Its text form is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub(crate) query: String,
    pub(crate) rows: u64,
    pub(crate) place: Resume,
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Behind the row with this key, which was last seen at this rank.
    Anchored { last: Option<Key>, skip: u64, fence: Option<Key>, hidden: bool },
    /// At the page behind this cursor, without the rows that were taken from it.
    Cursor { cursor: Option<String>, taken: Vec<Option<Key>> },
    /// Nowhere: the cursor that comes next was followed already.
    Circle { cursor: String },
    /// Nowhere: the scan was complete.
    End,
}

impl Checkpoint {
    /// The rows that were delivered up to this place.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether the scan was at its end.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.place, Resume::End)
    }

    /// The key of the last row, where the scan is in the order of keys.
    #[must_use]
    pub fn last_key(&self) -> Option<&Key> {
        match &self.place {
            Resume::Anchored { last, .. } => last.as_ref(),
            _ => None,
        }
    }

    /// The checkpoint as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let key = |key: &Option<Key>| key.as_ref().map_or(Value::Null, Key::to_json);
        let place = match &self.place {
            Resume::Anchored { last, skip, fence, hidden } => json!({
                "last": key(last), "skip": skip, "fence": key(fence), "hidden": hidden,
            }),
            Resume::Cursor { cursor, taken } => json!({
                "cursor": cursor, "taken": taken.iter().map(key).collect::<Vec<_>>(),
            }),
            Resume::Circle { cursor } => json!({ "circle": cursor }),
            Resume::End => json!("end"),
        };
        json!({ "version": VERSION, "query": self.query, "rows": self.rows, "place": place })
    }

    /// Reads a checkpoint of this query.
    ///
    /// # Errors
    ///
    /// [`InvalidCheckpoint::Newer`] and [`InvalidCheckpoint::OtherQuery`] if it is not one that can
    /// be gone on from, [`InvalidCheckpoint::Unreadable`] if it is none at all.
    pub fn from_json(json: &Value, query: &Query) -> Result<Self, InvalidCheckpoint> {
        match json.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(version) if version > VERSION => return Err(InvalidCheckpoint::Newer { version }),
            _ => return Err(InvalidCheckpoint::Unreadable),
        }
        let read = || {
            let query = json.get("query")?.as_str()?.to_owned();
            let rows = json.get("rows")?.as_u64()?;
            let place = json.get("place")?;
            let key = |value: &Value| match value {
                Value::Null => Some(None),
                value => Key::from_json(value).map(Some),
            };
            let resume = if place == "end" {
                Resume::End
            } else if let Some(cursor) = place.get("circle") {
                Resume::Circle { cursor: cursor.as_str()?.to_owned() }
            } else if let Some(skip) = place.get("skip") {
                Resume::Anchored {
                    last: key(place.get("last")?)?,
                    skip: skip.as_u64()?,
                    fence: key(place.get("fence")?)?,
                    hidden: place.get("hidden")?.as_bool()?,
                }
            } else {
                let cursor = match place.get("cursor")? {
                    Value::Null => None,
                    cursor => Some(cursor.as_str()?.to_owned()),
                };
                let taken = place.get("taken")?.as_array()?.iter().map(key);
                Resume::Cursor { cursor, taken: taken.collect::<Option<_>>()? }
            };
            Some(Self { query, rows, place: resume })
        };
        let checkpoint = read().ok_or(InvalidCheckpoint::Unreadable)?;
        if checkpoint.query != query.fingerprint() {
            return Err(InvalidCheckpoint::OtherQuery);
        }
        Ok(checkpoint)
    }
}

/// Why a scan cannot go on from a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCheckpoint {
    /// A newer version of this crate wrote it.
    Newer {
        /// The version of its format.
        version: u64,
    },
    /// It belongs to another API, address, filter or sort.
    OtherQuery,
    /// It is no checkpoint, or a damaged one.
    Unreadable,
}

impl fmt::Display for InvalidCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { version } => {
                write!(f, "the checkpoint has format {version}, this program knows {VERSION}")
            }
            Self::OtherQuery => f.write_str(
                "the checkpoint belongs to another query (API, URL, filter or sort differ)",
            ),
            Self::Unreadable => f.write_str("the checkpoint cannot be read"),
        }
    }
}

impl std::error::Error for InvalidCheckpoint {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{IXON, JUMPCLOUD_V1};

    #[test]
    fn every_place_is_read_back_as_it_was_written() {
        let query = Query::new(JUMPCLOUD_V1, "http://h/".parse().unwrap()).unwrap();
        let text = |text: &str| Some(Key::Text(text.into()));
        for place in [
            Resume::End,
            Resume::Anchored { last: text("a"), skip: 9, fence: text("z"), hidden: false },
            Resume::Anchored { last: None, skip: 0, fence: None, hidden: true },
            Resume::Anchored {
                last: Some(Key::Number(-1)),
                skip: u64::MAX,
                fence: Some(Key::Number(i128::from(u64::MAX))),
                hidden: false,
            },
            Resume::Circle { cursor: "c".into() },
            Resume::Cursor { cursor: None, taken: Vec::new() },
            Resume::Cursor { cursor: Some("c".into()), taken: vec![text("a"), None] },
        ] {
            let checkpoint = Checkpoint { query: query.fingerprint(), rows: 7, place };
            let json: Value = serde_json::from_str(&checkpoint.to_json().to_string()).unwrap();
            assert_eq!(Checkpoint::from_json(&json, &query), Ok(checkpoint));
        }
    }

    #[test]
    fn a_foreign_a_newer_and_a_damaged_one_are_refused() {
        let query = Query::new(JUMPCLOUD_V1, "http://h/".parse().unwrap()).unwrap();
        let other = Query::new(IXON, "http://h/".parse().unwrap()).unwrap();
        let good = Checkpoint { query: query.fingerprint(), rows: 7, place: Resume::End }.to_json();
        assert_eq!(Checkpoint::from_json(&good, &other), Err(InvalidCheckpoint::OtherQuery));
        let mut newer = good.clone();
        newer["version"] = json!(2);
        let error = Err(InvalidCheckpoint::Newer { version: 2 });
        assert_eq!(Checkpoint::from_json(&newer, &query), error);
        for name in ["version", "query", "rows", "place"] {
            let mut damaged = good.clone();
            damaged[name] = Value::Null;
            let read = Checkpoint::from_json(&damaged, &query);
            assert_eq!(read, Err(InvalidCheckpoint::Unreadable), "{name}");
        }
    }
}

//! Where a scan can go on, after a kill at any moment.

use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::{Key, Query};

/// The version of the format that is written. A newer one is refused, not guessed at.
const VERSION: u64 = 1;

/// A place in a scan: everything up to one row is done.
///
/// It belongs to one query, by its [`fingerprint`](Query::fingerprint). It is written and
/// read by `serde`; [`Scan::resume`](crate::Scan::resume) says whether it fits.
///
/// ```
/// use pagination::{Checkpoint, Query, Scan, dialect::JUMPCLOUD_V1};
///
/// let query = Query::new(JUMPCLOUD_V1, "https://console.jumpcloud.com/api/systemusers".parse()?)?;
/// let scan: Scan = Scan::new(query.clone());
/// let text = serde_json::to_string(&scan.checkpoint())?;
///
/// let checkpoint: Checkpoint = serde_json::from_str(&text)?;
/// let scan: Scan = Scan::resume(query, checkpoint)?;
/// assert_eq!(scan.checkpoint().rows(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub(crate) query: u64,
    pub(crate) rows: u64,
    pub(crate) place: Resume,
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Behind the row with this key, which was last seen at this rank, and as many rows without one.
    Anchored {
        last: Option<Key>,
        skip: u64,
        beyond: u64,
        bad: u64,
        fence: Option<Key>,
        hidden: bool,
    },
    /// Nowhere: the cursor that comes next was followed already.
    Circle { cursor: String },
    /// At the page behind this cursor, without the rows that were taken from it.
    Cursor { cursor: Option<String>, taken: Vec<Option<Key>> },
    /// Nowhere: the scan was complete.
    End,
    /// Written by a newer version.
    Newer { version: u64 },
    /// At this rank, without the rows that are known.
    Seen { skip: u64, pass: u32, known: Vec<Key> },
}

/// Without its cursor, which may be an address with a secret.
impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// The rows that were delivered up to this place.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether the scan was complete. One that ended in doubt asks for its end again when it goes on.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.place, Resume::End)
    }

    /// The key of the last row, where the scan is in the order of keys.
    #[must_use]
    pub const fn last_key(&self) -> Option<&Key> {
        match &self.place {
            Resume::Anchored { last, .. } => last.as_ref(),
            _ => None,
        }
    }

    /// Whether a scan of this query can go on here.
    ///
    /// # Errors
    ///
    /// [`InvalidCheckpoint`] for a checkpoint of another query, or in a newer format.
    pub fn fits<G>(&self, query: &Query<G>) -> Result<(), InvalidCheckpoint> {
        self.is_known()?;
        if self.query != query.fingerprint() {
            return Err(InvalidCheckpoint::OtherQuery);
        }
        Ok(())
    }

    /// Whether its format is known.
    pub(crate) const fn is_known(&self) -> Result<(), InvalidCheckpoint> {
        match self.place {
            Resume::Newer { version } => Err(InvalidCheckpoint::Newer { version }),
            _ => Ok(()),
        }
    }

    fn to_json(&self) -> Value {
        let key = |key: &Option<Key>| key.as_ref().map_or(Value::Null, Key::to_json);
        let mut version = VERSION;
        let place = match &self.place {
            Resume::Anchored { last, skip, beyond, bad, fence, hidden } => json!({
                "last": key(last), "skip": skip, "beyond": beyond, "bad": bad, "fence": key(fence),
                "hidden": hidden,
            }),
            Resume::Circle { cursor } => json!({ "circle": cursor }),
            Resume::Cursor { cursor, taken } => json!({
                "cursor": cursor, "taken": taken.iter().map(key).collect::<Vec<_>>(),
            }),
            Resume::End => json!("end"),
            Resume::Newer { version: newer } => {
                version = *newer;
                Value::Null
            }
            Resume::Seen { skip, pass, known } => json!({
                "seen": skip, "pass": pass, "known": known.iter().map(Key::to_json).collect::<Vec<_>>(),
            }),
        };
        let query = format!("{:016x}", self.query);
        json!({ "version": version, "query": query, "rows": self.rows, "place": place })
    }

    fn from_json(json: &Value) -> Option<Self> {
        let version = json.get("version")?.as_u64()?;
        if version > VERSION {
            return Some(Self { query: 0, rows: 0, place: Resume::Newer { version } });
        }
        let query = u64::from_str_radix(json.get("query")?.as_str()?, 16).ok()?;
        let rows = json.get("rows")?.as_u64()?;
        let place = Resume::from_json(json.get("place")?)?;
        Some(Self { query, rows, place })
    }
}

impl Resume {
    fn from_json(place: &Value) -> Option<Self> {
        let key = |value: &Value| match value {
            Value::Null => Some(None),
            value => Key::from_json(value).map(Some),
        };
        if place == "end" {
            return Some(Self::End);
        }
        if let Some(cursor) = place.get("circle") {
            return Some(Self::Circle { cursor: cursor.as_str()?.to_owned() });
        }
        if let Some(skip) = place.get("skip") {
            return Some(Self::Anchored {
                last: key(place.get("last")?)?,
                skip: skip.as_u64()?,
                beyond: place.get("beyond")?.as_u64()?,
                bad: place.get("bad")?.as_u64()?,
                fence: key(place.get("fence")?)?,
                hidden: place.get("hidden")?.as_bool()?,
            });
        }
        if let Some(skip) = place.get("seen") {
            let known = place.get("known")?.as_array()?.iter().map(Key::from_json);
            return Some(Self::Seen {
                skip: skip.as_u64()?,
                pass: u32::try_from(place.get("pass")?.as_u64()?).ok()?,
                known: known.collect::<Option<_>>()?,
            });
        }
        let cursor = match place.get("cursor")? {
            Value::Null => None,
            cursor => Some(cursor.as_str()?.to_owned()),
        };
        let taken = place.get("taken")?.as_array()?.iter().map(key);
        Some(Self::Cursor { cursor, taken: taken.collect::<Option<_>>()? })
    }
}

impl Serialize for Checkpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Value::deserialize(deserializer)?;
        Self::from_json(&json).ok_or_else(|| D::Error::custom("the checkpoint cannot be read"))
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
    /// It belongs to another query, by its [`fingerprint`](Query::fingerprint).
    OtherQuery,
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
        }
    }
}

impl std::error::Error for InvalidCheckpoint {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scan;
    use crate::dialect::{IXON, JUMPCLOUD_V1};

    fn read(json: &Value) -> Result<Checkpoint, serde_json::Error> {
        serde_json::from_str(&json.to_string())
    }

    #[test]
    fn every_place_is_read_back_as_it_was_written() {
        let text = |text: &str| Some(Key::Text(text.into()));
        for place in [
            Resume::End,
            Resume::Anchored {
                last: text("a"),
                skip: 9,
                beyond: 0,
                bad: 2,
                fence: text("z"),
                hidden: false,
            },
            Resume::Anchored { last: None, skip: 0, beyond: 0, bad: 0, fence: None, hidden: true },
            Resume::Anchored {
                last: Some(Key::Number(-1)),
                skip: u64::MAX,
                beyond: 3,
                bad: 4,
                fence: Some(Key::Number(i128::from(u64::MAX))),
                hidden: false,
            },
            Resume::Circle { cursor: "c".into() },
            Resume::Cursor { cursor: None, taken: Vec::new() },
            Resume::Cursor { cursor: Some("c".into()), taken: vec![text("a"), None] },
            Resume::Newer { version: 9 },
            Resume::Anchored {
                last: Some(Key::Number(1 << 70)),
                skip: 1,
                beyond: 0,
                bad: 0,
                fence: None,
                hidden: false,
            },
            Resume::Seen { skip: 7, pass: 2, known: vec![Key::Text("a".into())] },
        ] {
            let (query, rows) = match place {
                Resume::Newer { .. } => (0, 0),
                _ => (u64::MAX, 7),
            };
            let checkpoint = Checkpoint { query, rows, place };
            assert_eq!(read(&checkpoint.to_json()).unwrap(), checkpoint);
        }
    }

    #[test]
    fn a_foreign_a_newer_and_a_damaged_one_are_refused() {
        let query = |dialect, uri: &str| Query::new(dialect, uri.parse().unwrap()).unwrap();
        let users = query(JUMPCLOUD_V1, "http://h/");
        let scan: Scan = Scan::new(users.clone());
        let good = scan.checkpoint().to_json();
        let refusal = |query, json| Scan::<crate::Row>::resume(query, read(json).unwrap()).err();
        assert_eq!(refusal(users.clone().untyped(), &good), None);
        for other in [
            Query::new(IXON, "http://h/".parse().unwrap()).unwrap().untyped(),
            query(JUMPCLOUD_V1, "http://other/").untyped(),
            users.clone().organization("other").unwrap().untyped(),
        ] {
            assert_eq!(refusal(other, &good), Some(InvalidCheckpoint::OtherQuery));
        }
        let mut newer = good.clone();
        (newer["version"], newer["place"]) = (json!(2), json!({ "unheard": "of" }));
        let error = Some(InvalidCheckpoint::Newer { version: 2 });
        assert_eq!(refusal(users.untyped(), &newer), error);
        for name in ["version", "query", "rows", "place"] {
            let mut damaged = good.clone();
            damaged[name] = Value::Null;
            let error = read(&damaged).unwrap_err().to_string();
            assert_eq!(error, "the checkpoint cannot be read", "{name}");
        }
    }
}

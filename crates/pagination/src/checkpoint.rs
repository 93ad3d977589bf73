//! Where a scan can go on, after a kill at any moment.

use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::marks::Anchor;
use crate::{Doubt, Key, Proof, Query};

/// The version of the format that is written. Another one is refused.
const VERSION: u64 = 2;

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
    pub(crate) doubts: Vec<Doubt>,
    pub(crate) place: Resume,
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// At the page after this cursor, without the rows that were taken from it.
    Cursor { cursor: Option<String>, taken: Vec<Anchor> },
    /// Nowhere: the cursor that comes next was followed already.
    Cycle { cursor: String },
    /// Nowhere: the scan was at its end.
    End { proof: Proof },
    /// At this rank, after these rows, of which the last was read last.
    Offset { rank: u64, read: Vec<Anchor>, aside: Vec<Anchor>, greatest: Option<Key> },
    /// Written in another format.
    OtherFormat { version: u64 },
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

    /// Whether the scan was complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.place, Resume::End { .. }) && self.doubts.is_empty()
    }

    /// The key of the last row, of a scan by offset.
    #[must_use]
    pub fn last_key(&self) -> Option<&Key> {
        match &self.place {
            Resume::Offset { read, .. } => read.last()?.key.as_ref(),
            _ => None,
        }
    }

    /// Whether a scan of this query can go on here.
    ///
    /// # Errors
    ///
    /// [`InvalidCheckpoint`] for a checkpoint of another query, or in another format.
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
            Resume::OtherFormat { version } => Err(InvalidCheckpoint::OtherFormat { version }),
            _ => Ok(()),
        }
    }

    fn to_json(&self) -> Value {
        let key = |key: &Option<Key>| key.as_ref().map_or(Value::Null, Key::to_json);
        let anchors = |anchors: &[Anchor]| -> Vec<Value> {
            let anchor = |it: &Anchor| match it.digest {
                0 => key(&it.key),
                digest => json!([key(&it.key), format!("{digest:016x}")]),
            };
            anchors.iter().map(anchor).collect()
        };
        let mut version = VERSION;
        let place = match &self.place {
            Resume::Cursor { cursor, taken } => {
                json!({ "cursor": cursor, "taken": anchors(taken) })
            }
            Resume::Cycle { cursor } => json!({ "cycle": cursor }),
            Resume::End { proof } => json!({ "end": proof.name() }),
            Resume::Offset { rank, read, aside, greatest } => json!({
                "rank": rank, "read": anchors(read), "aside": anchors(aside), "greatest": key(greatest),
            }),
            Resume::OtherFormat { version: other } => {
                version = *other;
                Value::Null
            }
        };
        let query = format!("{:016x}", self.query);
        let doubts: Vec<_> = self.doubts.iter().map(|doubt| doubt.name()).collect();
        json!({
            "version": version, "query": query, "rows": self.rows, "doubts": doubts, "place": place,
        })
    }

    fn from_json(json: &Value) -> Option<Self> {
        let version = json.get("version")?.as_u64()?;
        if version != VERSION {
            let place = Resume::OtherFormat { version };
            return Some(Self { query: 0, rows: 0, doubts: Vec::new(), place });
        }
        let query = u64::from_str_radix(json.get("query")?.as_str()?, 16).ok()?;
        let rows = json.get("rows")?.as_u64()?;
        let doubts = json.get("doubts")?.as_array()?.iter();
        let doubts = doubts.map(|doubt| Doubt::of_name(doubt.as_str()?)).collect::<Option<_>>()?;
        let place = Resume::from_json(json.get("place")?)?;
        Some(Self { query, rows, doubts, place })
    }
}

impl Resume {
    fn from_json(place: &Value) -> Option<Self> {
        let key = |value: &Value| match value {
            Value::Null => Some(None),
            value => Key::from_json(value).map(Some),
        };
        let anchor = |value: &Value| match value {
            Value::Array(parts) => {
                let digest = u64::from_str_radix(parts.get(1)?.as_str()?, 16).ok()?;
                Some(Anchor { key: key(parts.first()?)?, digest })
            }
            value => Some(Anchor { key: key(value)?, digest: 0 }),
        };
        let anchors = |name: &str| -> Option<Vec<Anchor>> {
            place.get(name)?.as_array()?.iter().map(anchor).collect()
        };
        if let Some(proof) = place.get("end") {
            return Some(Self::End { proof: Proof::of_name(proof.as_str()?)? });
        }
        if let Some(cursor) = place.get("cycle") {
            return Some(Self::Cycle { cursor: cursor.as_str()?.to_owned() });
        }
        if let Some(rank) = place.get("rank") {
            return Some(Self::Offset {
                rank: rank.as_u64()?,
                read: anchors("read")?,
                aside: anchors("aside")?,
                greatest: key(place.get("greatest")?)?,
            });
        }
        let cursor = match place.get("cursor")? {
            Value::Null => None,
            cursor => Some(cursor.as_str()?.to_owned()),
        };
        Some(Self::Cursor { cursor, taken: anchors("taken")? })
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
    /// Another version of this crate wrote it.
    OtherFormat {
        /// The version of its format.
        version: u64,
    },
    /// It belongs to another query, by its [`fingerprint`](Query::fingerprint).
    OtherQuery,
}

impl fmt::Display for InvalidCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherFormat { version } => {
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
        let anchor = |key, digest| Anchor { key, digest };
        for place in [
            Resume::End { proof: Proof::Fenced },
            Resume::Offset {
                rank: 9,
                read: vec![anchor(text("a"), 0), anchor(text("b"), 7), anchor(None, u64::MAX)],
                aside: vec![anchor(text("c"), 0)],
                greatest: text("b"),
            },
            Resume::Offset {
                rank: u64::MAX,
                read: vec![
                    anchor(Some(Key::Number(-1)), 0),
                    anchor(Some(Key::Number(i128::from(u64::MAX))), 0),
                    anchor(Some(Key::Number(1 << 70)), 0),
                ],
                aside: Vec::new(),
                greatest: None,
            },
            Resume::Cycle { cursor: "c".into() },
            Resume::Cursor { cursor: None, taken: Vec::new() },
            Resume::Cursor {
                cursor: Some("c".into()),
                taken: vec![anchor(text("a"), 0), anchor(None, 1)],
            },
            Resume::OtherFormat { version: 9 },
        ] {
            let (query, rows) = match place {
                Resume::OtherFormat { .. } => (0, 0),
                _ => (u64::MAX, 7),
            };
            let doubts = if rows == 0 { vec![] } else { vec![Doubt::BadRows, Doubt::HiddenRows] };
            let checkpoint = Checkpoint { query, rows, doubts, place };
            assert_eq!(read(&checkpoint.to_json()).unwrap(), checkpoint);
        }
    }

    #[test]
    fn a_foreign_a_newer_and_a_damaged_one_are_refused() {
        let query = |dialect, uri: &str| Query::new(dialect, uri.parse().unwrap()).unwrap();
        let users = query(JUMPCLOUD_V1, "http://h/");
        let scan: Scan = Scan::new(users.clone());
        let good = scan.checkpoint().to_json();
        let refusal =
            |query, json: &Value| Scan::<crate::Row>::resume(query, read(json).unwrap()).err();
        assert_eq!(refusal(users.clone().untyped(), &good), None);
        for other in [
            Query::new(IXON, "http://h/".parse().unwrap()).unwrap().untyped(),
            query(JUMPCLOUD_V1, "http://other/").untyped(),
            users.clone().organization("other").unwrap().untyped(),
        ] {
            assert_eq!(refusal(other, &good), Some(InvalidCheckpoint::OtherQuery));
        }
        let mut newer = good.clone();
        for version in [1, 3] {
            (newer["version"], newer["place"]) = (json!(version), json!({ "unheard": "of" }));
            let error = Some(InvalidCheckpoint::OtherFormat { version });
            assert_eq!(refusal(users.clone().untyped(), &newer), error);
        }
        for name in ["version", "query", "rows", "doubts", "place"] {
            let mut damaged = good.clone();
            damaged[name] = Value::Null;
            let error = read(&damaged).unwrap_err().to_string();
            assert_eq!(error, "the checkpoint cannot be read", "{name}");
        }
    }
}

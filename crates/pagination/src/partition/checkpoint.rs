//! Where the scans of all ranges can go on.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::{Checkpoint, Key};

/// A place in each of several scans, and the bounds between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionsCheckpoint {
    pub(super) query: u64,
    pub(super) bounds: Vec<Key>,
    pub(super) parts: Vec<Checkpoint>,
}

impl PartitionsCheckpoint {
    /// The place in each range.
    #[must_use]
    pub fn parts(&self) -> &[Checkpoint] {
        &self.parts
    }

    /// Puts another place of one range in: that after the rows that the caller has taken.
    ///
    /// ```no_run
    /// # fn save(partitions: &pagination::partition::Partitions<
    /// #     pagination::Http<tower::util::BoxService<http::Request<bytes::Bytes>,
    /// #     http::Response<http_body_util::Full<bytes::Bytes>>, std::io::Error>, bytes::Bytes,
    /// #     http_body_util::Full<bytes::Bytes>>>, range: usize, rows: pagination::scan::Rows) {
    /// let mut checkpoint = partitions.checkpoint();
    /// checkpoint.put(range, rows.checkpoint_after(3));
    /// # }
    /// ```
    pub fn put(&mut self, range: usize, checkpoint: Checkpoint) {
        if let Some(part) = self.parts.get_mut(range) {
            *part = checkpoint;
        }
    }

    fn from_json(json: &Value) -> Option<Self> {
        let query = u64::from_str_radix(json.get("query")?.as_str()?, 16).ok()?;
        let bounds = json.get("bounds")?.as_array()?.iter().map(Key::from_json);
        let parts = json.get("parts")?.as_array()?.iter();
        let parts = parts.map(|part| Checkpoint::deserialize(part.clone()).ok());
        Some(Self {
            query,
            bounds: bounds.collect::<Option<_>>()?,
            parts: parts.collect::<Option<_>>()?,
        })
    }
}

impl Serialize for PartitionsCheckpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bounds: Vec<Value> = self.bounds.iter().map(Key::to_json).collect();
        let query = format!("{:016x}", self.query);
        json!({ "query": query, "bounds": bounds, "parts": self.parts }).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PartitionsCheckpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Value::deserialize(deserializer)?;
        Self::from_json(&json).ok_or_else(|| D::Error::custom("the checkpoint cannot be read"))
    }
}

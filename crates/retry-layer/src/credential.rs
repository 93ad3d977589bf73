//! The credential that goes with every attempt, and a fresh one after a 401.
//!
//! A rotated key is picked up without a restart: when the API refuses the key, its file or variable
//! is read again. However many requests met the same stale key, it is read once. A key that did not
//! change is not sent a second time: the same request would be refused again.

use core::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

/// Where a key is read from. `Debug` does not show the key itself.
pub struct Key(Source);

enum Source {
    Env(String),
    File(PathBuf),
    Fixed(String),
}

impl Key {
    /// The text of a file, without white space around it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// An environment variable. It cannot change while the process runs, so a refused one is final.
    pub fn env(name: impl Into<String>) -> Self {
        Self(Source::Env(name.into()))
    }

    /// A key that never changes.
    pub fn fixed(key: impl Into<String>) -> Self {
        Self(Source::Fixed(key.into()))
    }

    fn read(&self) -> Result<String, InvalidKey> {
        let text = match &self.0 {
            Source::Env(name) => std::env::var(name)
                .map_err(|error| InvalidKey::Unreadable { cause: error.to_string() })?,
            Source::File(path) => std::fs::read_to_string(path)
                .map_err(|error| InvalidKey::Unreadable { cause: error.to_string() })?,
            Source::Fixed(key) => key.clone(),
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidKey::Empty);
        }
        Ok(text.to_owned())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Env(name) => write!(f, "Key(environment variable {name})"),
            Source::File(path) => write!(f, "Key(file {})", path.display()),
            Source::Fixed(_) => f.write_str("Key(fixed)"),
        }
    }
}

/// Why a [`Key`] cannot be used. Says nothing of the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Nothing but white space.
    Empty,
    /// A character that no header may hold.
    NotAHeader,
    /// The file or variable could not be read.
    Unreadable {
        /// The operating system's words.
        cause: String,
    },
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the key is empty"),
            Self::NotAHeader => f.write_str("the key holds a character that no header may hold"),
            Self::Unreadable { cause } => write!(f, "the key cannot be read: {cause}"),
        }
    }
}

impl std::error::Error for InvalidKey {}

/// A key and the header that carries it. Clones share one key.
#[derive(Clone)]
pub struct Credential(Arc<Shared>);

struct Shared {
    header: HeaderName,
    scheme: &'static str,
    key: Key,
    current: Mutex<Current>,
}

struct Current {
    value: HeaderValue,
    generation: Generation,
}

/// Which reading of the key an attempt was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Credential {
    /// A key in the header `x-api-key`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the key cannot be read now or cannot stand in a header.
    pub fn api_key(key: Key) -> Result<Self, InvalidKey> {
        Self::new(HeaderName::from_static("x-api-key"), "", key)
    }

    /// A token in the header `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the token cannot be read now or cannot stand in a header.
    pub fn bearer(key: Key) -> Result<Self, InvalidKey> {
        Self::new(AUTHORIZATION, "Bearer ", key)
    }

    fn new(header: HeaderName, scheme: &'static str, key: Key) -> Result<Self, InvalidKey> {
        let value = header_value(scheme, &key.read()?)?;
        let current = Mutex::new(Current { value, generation: Generation(0) });
        Ok(Self(Arc::new(Shared { header, scheme, key, current })))
    }

    pub(crate) fn attach(&self, headers: &mut HeaderMap) -> Generation {
        let current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        headers.insert(&self.0.header, current.value.clone());
        current.generation
    }

    /// Whether there is another key than the one that was refused.
    pub(crate) fn refresh(&self, refused: Generation) -> bool {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.generation != refused {
            return true; // Another request has read it meanwhile.
        }
        let fresh = self.0.key.read().and_then(|key| header_value(self.0.scheme, &key));
        match fresh {
            Ok(value) if value != current.value => {
                let generation = Generation(refused.0.wrapping_add(1));
                *current = Current { value, generation };
                true
            }
            _ => false,
        }
    }
}

fn header_value(scheme: &str, key: &str) -> Result<HeaderValue, InvalidKey> {
    let mut value =
        HeaderValue::try_from(format!("{scheme}{key}")).map_err(|_| InvalidKey::NotAHeader)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("header", &self.0.header)
            .field("key", &self.0.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_nowhere() {
        let credential = Credential::bearer(Key::fixed("s3cret")).unwrap();
        let mut headers = HeaderMap::new();
        credential.attach(&mut headers);
        assert_eq!(headers[AUTHORIZATION], "Bearer s3cret");
        let shown = format!("{credential:?} {headers:?} {:?}", Key::fixed("s3cret"));
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn an_unchanged_key_is_not_tried_again_and_a_rotated_one_is_read_once_for_all() {
        let path = std::env::temp_dir().join(format!("retry-layer-key-{}", std::process::id()));
        std::fs::write(&path, "first\n").unwrap();
        let credential = Credential::api_key(Key::file(&path)).unwrap();
        let refused = credential.attach(&mut HeaderMap::new());
        assert!(!credential.refresh(refused), "nothing has changed");
        std::fs::write(&path, "second\n").unwrap();
        assert!(credential.refresh(refused));
        std::fs::remove_file(&path).unwrap();
        assert!(credential.refresh(refused), "another request has read the second key");
        let mut headers = HeaderMap::new();
        let refused = credential.attach(&mut headers);
        assert_eq!(headers["x-api-key"], "second");
        assert!(!credential.refresh(refused), "the file is gone");
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused_without_showing_it() {
        for (key, error) in [(" \n", InvalidKey::Empty), ("a\nb", InvalidKey::NotAHeader)] {
            assert_eq!(Credential::api_key(Key::fixed(key)).unwrap_err(), error);
        }
        let missing = Credential::api_key(Key::file("/nowhere/at/all")).unwrap_err();
        assert!(matches!(missing, InvalidKey::Unreadable { .. }));
    }
}

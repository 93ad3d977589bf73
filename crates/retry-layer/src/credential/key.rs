//! Where keys and tokens come from.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::path::PathBuf;

use crate::BoxError;

/// A key or a token, and how long it is good for. `Debug` shows neither.
pub struct Secret {
    pub(super) text: String,
    pub(super) lifetime: Option<Duration>,
}

impl Secret {
    /// A secret that is good until it is refused.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), lifetime: None }
    }

    /// That expires after this time, counted from now.
    #[must_use]
    pub fn expires_in(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// The secret on its way.
pub type Fetch = Pin<Box<dyn Future<Output = Result<Secret, BoxError>> + Send>>;

/// Where a secret is had from: a [`Key`], or any function that returns a future of a [`Secret`].
///
/// It must not send its own requests through a service that carries the credential: they would wait for
/// themselves.
pub trait Source: Send + Sync {
    /// Has it anew.
    fn fetch(&self) -> Fetch;
}

impl<F, Fut> Source for F
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<Secret, BoxError>> + Send + 'static,
{
    fn fetch(&self) -> Fetch {
        Box::pin(self())
    }
}

impl Source for Key {
    fn fetch(&self) -> Fetch {
        let read = self.read().map(Secret::new).map_err(Into::into);
        Box::pin(core::future::ready(read))
    }
}

/// Where a key is read from. `Debug` does not show the key itself.
pub struct Key(Place);

enum Place {
    Env(String),
    File(PathBuf),
    Fixed(String),
}

impl Key {
    /// The text of a file, without white space around it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// An environment variable. It cannot change while the process runs, so a refused one is final.
    pub fn env(name: impl Into<String>) -> Self {
        Self(Place::Env(name.into()))
    }

    /// A key that never changes.
    pub fn fixed(key: impl Into<String>) -> Self {
        Self(Place::Fixed(key.into()))
    }

    pub(super) fn read(&self) -> Result<String, InvalidKey> {
        let text = match &self.0 {
            Place::Env(name) => std::env::var(name)
                .map_err(|error| InvalidKey::Unreadable { cause: format!("{name}: {error}") })?,
            Place::File(path) => std::fs::read_to_string(path).map_err(|error| {
                InvalidKey::Unreadable { cause: format!("{}: {error}", path.display()) }
            })?,
            Place::Fixed(key) => key.clone(),
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
            Place::Env(name) => write!(f, "Key(environment variable {name})"),
            Place::File(path) => write!(f, "Key(file {})", path.display()),
            Place::Fixed(_) => f.write_str("Key(fixed)"),
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
        /// Its name, and the operating system's words.
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

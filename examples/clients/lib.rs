//! What the examples share: the code that is generated at build time.

pub mod sdk;

/// A gRPC client, generated from `notes.proto`.
#[allow(clippy::pedantic, reason = "generated")]
pub mod notes {
    include!(concat!(env!("OUT_DIR"), "/demo.rs"));
}

/// The page `docs/adopting.md`, whose snippets are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/adopting.md")]
mod adopting {}

//! What retries do to a service in trouble: many clients and one server, on a paused clock, from seeds.
//!
//! Ours and what people use go through the real layer or the crate of that name. What was published is written as its source
//! defines it, and first has to come out as it was published.
//!
//! ```text
//! world        a life on a paused clock; dice
//! strategy     what a client may do about failures     published   the strategies of the sources
//! contention   many writers of one row                 failures    a server that fails by chance
//! collapse     a server that slows down under load     limits      a server with a rate limit
//! table        as Markdown                              picture     as SVG
//! ```

#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "an example, of which the test is the other half"
)]

pub mod collapse;
pub mod contention;
pub mod failures;
pub mod limits;
pub mod picture;
pub mod published;
pub mod strategy;
pub mod table;
pub mod world;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use table::Table;

/// A part of the page: what was asked, and the answer.
#[derive(Debug)]
pub struct Section {
    /// By this name it is asked for.
    pub name: &'static str,
    /// What it is about, as Markdown.
    pub text: &'static str,
    /// What came out.
    pub tables: fn() -> Vec<Table>,
}

/// All parts of the page, in their order.
pub const SECTIONS: [Section; 5] = [
    Section {
        name: "contention",
        text: contention::TEXT,
        tables: || vec![contention::table(&contention::costs())],
    },
    Section { name: "failures", text: failures::TEXT, tables: failures::tables },
    Section {
        name: "collapse",
        text: collapse::TEXT,
        tables: || vec![collapse::table(&collapse::outcomes(collapse::strategies()))],
    },
    Section {
        name: "pace",
        text: collapse::PACE_TEXT,
        tables: || vec![collapse::table(&collapse::outcomes(collapse::paces()))],
    },
    Section {
        name: "limits",
        text: limits::TEXT,
        tables: || limits::EACH.map(|each| limits::table(each, &limits::outcomes(each))).into(),
    },
];

/// What the page begins with.
pub const TITLE: &str = "\
# What retries do to a service in trouble

This page is what `cargo run --release -p storm` prints: many clients and one server on a paused clock, from seeds, so that each
figure comes out the same again. Ours, and what people use, go through the real `RetryLayer`, with the budget of that
name, or through the crate of that name; reqwest-retry's and the published strategies are written as their sources define them.
`.ci/run storm` checks that the page is what comes out, that what was published comes out as it was, and what is said of ours.
";

/// Where the page is.
pub fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/storm/README.md")
}

impl Section {
    /// The part with these tables, as Markdown.
    pub fn page(&self, tables: &[Table]) -> String {
        let mut page = self.text.to_owned();
        for table in tables {
            let _ = write!(page, "\n{table}");
        }
        page
    }
}

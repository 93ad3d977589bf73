//! What it costs, beside what people use instead.
//!
//! | module | what |
//! | --- | --- |
//! | [`peers`] | who is compared, and how each is set up |
//! | [`wiring`], [`stacks`] | that set-up: each as its own documentation says |
//! | [`pieces`] | what a request is made of: a backoff, a header, a budget |
//! | [`walks`], [`latency`] | each way to walk over pages, and what asking ahead saves |
//! | [`threads`] | two threads on one budget |
//! | [`counts`] | how instructions and allocations are counted |
//! | [`page`] | what the report says beside its figures |
//!
//! `cargo bench -p benches --bench report` prints `docs/benchmarks.md`, and fails if something of ours got dearer;
//! `cargo bench -p benches --bench times` takes times for people.

pub mod counts;
pub mod latency;
pub mod page;
pub mod peers;
pub mod pieces;
pub mod stacks;
pub mod threads;
pub mod walks;
pub mod wiring;

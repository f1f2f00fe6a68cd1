//! What ARCHITECTURE.md draws, what the workspace is, and the differences between them.
//!
//! The document is the source of truth: its tables are parsed, not repeated here. Each check is a pure function from facts to findings, one
//! line for a person each; no finding means that it holds. `tests/workspace.rs` applies them to this workspace, the unit tests to made-up ones.
//!
//! Does not look inside functions, and does not judge style: that is clippy's work.

pub mod drawing;
pub mod edges;
pub mod links;
pub mod sources;
pub mod workspace;

//! What the finance job must make of the events, as a plain batch computation: read everything, keep the newest version of each entity, add up.
//!
//! Semantics: a record that breaks the contract of the envelope is a dead letter. `read` events change nothing. Of records with one
//! `uuid` the first counts. Of an entity's versions the one with the highest `ts` stands, among equals the one at the later position;
//! a delete is a version like any other. Null equals nothing in a join, and is left out of a sum.
//!
//! Promises: no code shared with the crates that execute jobs. Does not know windows of remembrance: a duplicate is a duplicate however
//! late it comes, a tombstone guards forever.

mod decode;
mod entities;
mod load;
pub mod rows;
mod totals;

pub use decode::Reason;
pub use entities::{Budget, CashFlow, Payment, Production, Schedule, Talent, Texts};
pub use load::{Counts, DeadLetters, Loader, Seen, Table};
pub use totals::{Books, DailyKey, ProductionTotals, SpendKey, Tables};

#[cfg(test)]
mod tests;

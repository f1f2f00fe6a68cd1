//! What jobs wrote in a simulated world, read back.

use serde_json::Value;
use tidemill_tests_kit::sim::history::Committed;

/// The rows that a history has for a topic, in order; deletes are none.
///
/// # Panics
/// If a row is no JSON.
#[must_use]
pub fn rows(history: &[Committed], topic: &str) -> Vec<Value> {
    let writes = history.iter().filter_map(|epoch| epoch.writes.get(topic));
    let values = writes.flatten().filter_map(|write| write.value.as_ref());
    values
        .map(|value| serde_json::from_slice(value).expect("a row is JSON"))
        .collect()
}

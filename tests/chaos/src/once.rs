//! What holds in every output topic: epochs never go back within a partition, and a topic of upserts has one record
//! per key and epoch.

use std::collections::HashSet;

use anyhow::Result;
use tidemill_studio::OutputReader;

use crate::verdict::Verdict;

/// Goes through a topic.
///
/// # Errors
/// If it cannot be read.
pub fn check(outputs: &dyn OutputReader, topic: &str, has_keys: bool) -> Result<Verdict> {
    let mut verdict = Verdict::new(topic);
    let mut newest: Vec<u64> = Vec::new();
    let mut keys: HashSet<(u64, Vec<u8>)> = HashSet::new();
    outputs.read(topic, &mut |partition, offset, epoch, key, _| {
        let index = partition as usize;
        if newest.len() <= index {
            newest.resize(index + 1, 0);
        }
        if epoch < newest[index] {
            let from = newest[index];
            verdict.extra(|| {
                format!("goes back from epoch {from} to {epoch} at {partition}/{offset}")
            });
        } else if has_keys && !keys.insert((epoch, key.to_vec())) {
            let key = String::from_utf8_lossy(key).into_owned();
            verdict
                .extra(|| format!("has key {key} twice in epoch {epoch}, at {partition}/{offset}"));
        } else {
            verdict.equal += 1;
        }
        newest[index] = epoch.max(newest[index]);
    })?;
    Ok(verdict)
}

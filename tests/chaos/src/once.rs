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

#[cfg(test)]
mod tests {
    use super::check;
    use tidemill_studio::ports::OnOutput;
    use tidemill_studio::{Error, OutputReader};

    /// Partition, epoch, key of each record, in order.
    struct Topic(Vec<(u32, u64, &'static str)>);

    impl OutputReader for Topic {
        fn read(&self, _: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error> {
            for (offset, &(partition, epoch, key)) in (0..).zip(&self.0) {
                on_record(partition, offset, epoch, key.as_bytes(), Some(b"{}"));
            }
            Ok(())
        }
    }

    #[test]
    fn an_epoch_that_comes_again_and_a_key_twice_in_an_epoch_are_found() {
        let good = vec![(0, 1, "a"), (1, 1, "b"), (0, 2, "a"), (1, 5, "b")];
        let found = check(&Topic(good.clone()), "good", true).unwrap();
        assert_eq!((found.equal, found.wrong()), (4, 0));
        let twice = [good.clone(), vec![(1, 5, "b")]].concat();
        assert_eq!(check(&Topic(twice), "twice", true).unwrap().wrong(), 1);
        let back = [good, vec![(1, 4, "c")]].concat();
        assert_eq!(check(&Topic(back), "back", false).unwrap().wrong(), 1);
    }
}

//! What the sources have sent and no epoch has taken yet; during replay, cut at the journalled offsets.

use std::collections::{BTreeMap, VecDeque};

use tidemill_connectors_api::SourceBatch;

/// Batches of one source that wait, by partition.
#[derive(Debug, Default)]
pub struct Waiting {
    partitions: BTreeMap<u32, VecDeque<SourceBatch>>,
}

impl Waiting {
    /// Adds what the source sent.
    pub fn push(&mut self, batch: SourceBatch) {
        self.partitions
            .entry(batch.partition())
            .or_default()
            .push_back(batch);
    }

    /// True if everything of a partition before `end` has arrived.
    pub fn reaches(&self, partition: u32, end: i64) -> bool {
        self.partitions
            .get(&partition)
            .and_then(VecDeque::back)
            .is_some_and(|batch| batch.next_offset >= end)
    }

    /// Takes the records of a partition before `end`.
    pub fn take_until(&mut self, partition: u32, end: i64) -> Vec<SourceBatch> {
        let Some(waiting) = self.partitions.get_mut(&partition) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        while let Some(batch) = waiting.pop_front() {
            if batch.next_offset <= end {
                taken.push(batch);
                continue;
            }
            let (before, after) = split(batch, end);
            taken.extend(before);
            waiting.push_front(after);
            break;
        }
        taken
    }

    /// Takes everything.
    pub fn take_all(&mut self) -> Vec<SourceBatch> {
        std::mem::take(&mut self.partitions)
            .into_values()
            .flatten()
            .collect()
    }
}

/// Cuts a batch at an offset: the records before it, and the rest.
fn split(batch: SourceBatch, end: i64) -> (Option<SourceBatch>, SourceBatch) {
    let records = &batch.records;
    let count = records.offsets.partition_point(|&offset| offset < end);
    let Some(last) = count.checked_sub(1) else {
        return (None, batch);
    };
    let part = |range, next_offset| SourceBatch {
        records: records.part(range),
        next_offset,
        end_offset: None,
        is_within: false,
    };
    let before = part(0..count, records.offsets[last] + 1);
    (Some(before), part(count..records.len(), batch.next_offset))
}

#[cfg(test)]
mod tests {
    use tidemill_connectors_api::SourceBatch;

    use super::Waiting;

    fn batch(offsets: &[i64], next_offset: i64) -> SourceBatch {
        let mut batch = SourceBatch::of(3);
        offsets.iter().for_each(|&offset| {
            batch.push(offset, None, Some(format!("record {offset}").as_bytes()))
        });
        batch.next_offset = next_offset;
        batch
    }

    #[test]
    fn a_batch_is_cut_at_the_journalled_offset() {
        let mut waiting = Waiting::default();
        waiting.push(batch(&[4, 5, 9], 12));
        assert!(waiting.reaches(3, 12) && !waiting.reaches(3, 13));
        let taken = waiting.take_until(3, 9);
        assert_eq!(
            taken
                .iter()
                .flat_map(|batch| batch.records.offsets.clone())
                .collect::<Vec<_>>(),
            [4, 5]
        );
        let rest = waiting.take_all();
        assert_eq!(rest[0].records.offsets, [9]);
        assert_eq!(rest[0].records.get(0).value, Some(&b"record 9"[..]));
        assert_eq!(rest[0].next_offset, 12);
    }

    #[test]
    fn the_parts_of_a_cut_batch_keep_their_timestamps() {
        let mut waiting = Waiting::default();
        let mut whole = batch(&[4, 5, 9], 12);
        whole.records.timestamps = vec![40, 50, 90];
        waiting.push(whole);
        assert_eq!(waiting.take_until(3, 9)[0].records.timestamps, [40, 50]);
        assert_eq!(waiting.take_all()[0].records.timestamps, [90]);
    }

    #[test]
    fn a_position_without_records_is_reached_by_the_batch_that_moves_there() {
        let mut waiting = Waiting::default();
        waiting.push(batch(&[4], 5));
        waiting.push(batch(&[], 7));
        assert!(waiting.reaches(3, 7));
        assert_eq!(waiting.take_until(3, 7).len(), 2);
        assert!(waiting.take_all().is_empty());
    }
}

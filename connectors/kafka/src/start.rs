//! Where a source begins that no epoch has read of yet: the option `start`.
//!
//! *Promises* that it counts once: as soon as an epoch was committed the journal knows where to go on, and partitions that appear later are
//! read from their oldest record, whatever the option says, so that nothing is left out of a topic that grows.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use tidemill_connectors_api::Error;

use crate::native::Fetcher;
use crate::native::admin::End;
use crate::options::invalid;
use crate::topics;

/// Where to begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest retained record.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
    /// At the first record that is not older, in milliseconds since 1970 UTC; after the newest where there is none.
    Since(i64),
    /// At these offsets; partitions that are not named at their oldest record.
    At(BTreeMap<u32, i64>),
}

impl Start {
    /// Reads the option's value.
    pub fn parse(what: &str, text: &str) -> Result<Self, Error> {
        match text.trim() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            text => since(text)
                .map(Self::Since)
                .or_else(|| offsets(text))
                .ok_or_else(|| {
                    invalid(format!(
                        "{what} has start = '{text}'; give 'earliest', 'latest', a time in UTC such as '2026-11-01T00:00:00Z', or an offset \
                         for each partition such as '0:42, 1:17'"
                    ))
                }),
        }
    }

    /// Where each of these partitions begins, given the oldest and the newest end of each, in order.
    pub fn positions(
        &self,
        reader: &Fetcher,
        topic: &str,
        oldest: &[(u32, i64)],
        newest: &[(u32, i64)],
    ) -> Result<Vec<i64>, Error> {
        let ends = |ends: &[(u32, i64)]| ends.iter().map(|&(_, end)| end).collect();
        match self {
            Self::Earliest => Ok(ends(oldest)),
            Self::Latest => Ok(ends(newest)),
            Self::Since(time_ms) => {
                let partitions: Vec<u32> = oldest.iter().map(|&(partition, _)| partition).collect();
                let found = topics::offsets(reader, topic, &partitions, End::Since(*time_ms))?;
                let found = found.into_iter().zip(newest);
                // Kafka has no offset where no record is so new.
                Ok(found
                    .map(|((_, at), &(_, end))| if at < 0 { end } else { at })
                    .collect())
            }
            Self::At(offsets) => chosen(topic, offsets, oldest, newest),
        }
    }
}

fn since(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

fn offsets(text: &str) -> Option<Start> {
    let mut offsets = BTreeMap::new();
    for part in text.split(',') {
        let (partition, offset) = part.split_once(':')?;
        let offset = offset.trim().parse().ok().filter(|offset| *offset >= 0)?;
        if offsets
            .insert(partition.trim().parse().ok()?, offset)
            .is_some()
        {
            return None;
        }
    }
    Some(Start::At(offsets))
}

fn chosen(
    topic: &str,
    offsets: &BTreeMap<u32, i64>,
    oldest: &[(u32, i64)],
    newest: &[(u32, i64)],
) -> Result<Vec<i64>, Error> {
    let is_there = |partition: &&u32| oldest.iter().any(|(known, _)| known == *partition);
    if let Some(partition) = offsets.keys().find(|partition| !is_there(partition)) {
        let count = oldest.len();
        return Err(invalid(format!(
            "topic '{topic}' has {count} partitions and no partition {partition}, for which 'start' gives an offset; leave it out"
        )));
    }
    let both = oldest.iter().zip(newest);
    both.map(|(&(partition, low), &(_, high))| {
        let at = offsets.get(&partition).copied().unwrap_or(low);
        if (low..=high).contains(&at) {
            return Ok(at);
        }
        Err(invalid(format!(
            "partition {partition} of topic '{topic}' holds the offsets {low} to {high}, and 'start' says {at}; give one of these, or leave \
             the partition out to read it from its oldest record"
        )))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Start, chosen};

    #[test]
    fn a_start_is_a_word_a_time_or_offsets() {
        let parse = |text| Start::parse("source 's'", text);
        assert_eq!(parse("earliest").unwrap(), Start::Earliest);
        assert_eq!(parse(" latest ").unwrap(), Start::Latest);
        assert_eq!(
            parse("2026-11-01T00:00:00Z").unwrap(),
            Start::Since(1_793_491_200_000)
        );
        assert_eq!(
            parse("2026-11-01T00:00:00.250Z").unwrap(),
            Start::Since(1_793_491_200_250)
        );
        let offsets = BTreeMap::from([(0, 42), (1, 17)]);
        assert_eq!(parse("0:42, 1:17").unwrap(), Start::At(offsets));
        for wrong in [
            "",
            "newest",
            "0",
            "0:",
            "0:-1",
            "0:1,0:2",
            "2026-11-01",
            "1:2,x",
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains("'0:42, 1:17'"), "{error}");
        }
    }

    #[test]
    fn offsets_must_be_retained_and_of_partitions_that_there_are() {
        let (oldest, newest) = ([(0, 5), (1, 0)], [(0, 9), (1, 0)]);
        let chosen = |of: &[(u32, i64)]| {
            let offsets = of.iter().copied().collect();
            chosen("t", &offsets, &oldest, &newest).map_err(|error| error.to_string())
        };
        assert_eq!(chosen(&[(0, 7)]), Ok(vec![7, 0]));
        assert_eq!(chosen(&[(0, 9)]), Ok(vec![9, 0]));
        assert!(chosen(&[(0, 4)]).is_err_and(|said| said.contains("5 to 9")));
        assert!(chosen(&[(0, 10)]).is_err_and(|said| said.contains("says 10")));
        assert!(chosen(&[(2, 0)]).is_err_and(|said| said.contains("no partition 2")));
    }
}

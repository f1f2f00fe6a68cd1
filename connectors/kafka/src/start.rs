//! Where a source begins that no epoch has read of yet: the option `start`.
//!
//! *Promises* that it counts once: as soon as an epoch was committed the journal knows where to go on, and partitions that appear later are
//! read from their oldest record, whatever the option says, so that nothing is left out of a topic that grows.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use tidemill_connectors_api::Error;
use tidemill_types::TopicPartition;

use crate::native::Fetcher;
use crate::native::admin::End;
use crate::options::invalid;
use crate::topics;

/// A partition as the option names it: without a topic where there is only one.
type Named = (Option<String>, u32);

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
    At(BTreeMap<Named, i64>),
}

/// The ends of a partition as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// Which partition.
    pub place: TopicPartition,
    /// Its oldest retained record.
    pub oldest: i64,
    /// After its newest readable record.
    pub newest: i64,
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
                         for each partition such as '0:42, 1:17', of several topics 'orders/0:42, returns/0:17'"
                    ))
                }),
        }
    }

    /// Where each of these partitions begins, in their order.
    pub fn positions(&self, reader: &Fetcher, partitions: &[Ends]) -> Result<Vec<i64>, Error> {
        match self {
            Self::Earliest => Ok(partitions.iter().map(|ends| ends.oldest).collect()),
            Self::Latest => Ok(partitions.iter().map(|ends| ends.newest).collect()),
            Self::Since(time_ms) => {
                let places: Vec<_> = partitions.iter().map(|ends| ends.place.clone()).collect();
                let found = topics::offsets(reader, &places, End::Since(*time_ms))?;
                let found = found.into_iter().zip(partitions);
                // Kafka has no offset where no record is so new.
                Ok(found
                    .map(|(at, ends)| if at < 0 { ends.newest } else { at })
                    .collect())
            }
            Self::At(offsets) => chosen(offsets, partitions),
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
        let (place, offset) = part.split_once(':')?;
        let offset = offset.trim().parse().ok().filter(|offset| *offset >= 0)?;
        let named = match place.trim().rsplit_once('/') {
            Some((topic, partition)) => (Some(topic.to_owned()), partition.parse().ok()?),
            None => (None, place.trim().parse().ok()?),
        };
        if offsets.insert(named, offset).is_some() {
            return None;
        }
    }
    Some(Start::At(offsets))
}

fn chosen(offsets: &BTreeMap<Named, i64>, partitions: &[Ends]) -> Result<Vec<i64>, Error> {
    let first = partitions.first().map(|ends| &ends.place.topic);
    let is_one = partitions
        .iter()
        .all(|ends| Some(&ends.place.topic) == first);
    let is_of = |(topic, partition): &Named, ends: &Ends| {
        let is_of_topic = topic
            .as_ref()
            .map_or(is_one, |topic| **topic == *ends.place.topic);
        is_of_topic && *partition == ends.place.partition
    };
    let is_there = |named: &&Named| partitions.iter().any(|ends| is_of(named, ends));
    if let Some((topic, partition)) = offsets.keys().find(|named| !is_there(named)) {
        return Err(invalid(match topic {
            None if !is_one => format!(
                "'start' gives an offset for partition {partition}, and several topics are read; name the topic as in 'orders/{partition}:42'"
            ),
            _ => format!(
                "there is no partition {partition} of topic '{}', for which 'start' gives an offset; leave it out",
                topic
                    .as_deref()
                    .or(first.map(|topic| &**topic))
                    .unwrap_or_default()
            ),
        }));
    }
    let position = |ends: &Ends| {
        let given = offsets.iter().find(|(named, _)| is_of(named, ends));
        let at = given.map_or(ends.oldest, |(_, at)| *at);
        let Ends {
            place,
            oldest,
            newest,
        } = ends;
        if (*oldest..=*newest).contains(&at) {
            return Ok(at);
        }
        Err(invalid(format!(
            "partition {} of topic '{}' holds the offsets {oldest} to {newest}, and 'start' says {at}; give one of these, or leave the partition \
             out to read it from its oldest record",
            place.partition, place.topic
        )))
    };
    partitions.iter().map(position).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidemill_types::TopicPartition;

    use super::{Ends, Start, chosen};

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
        let offsets = BTreeMap::from([((None, 0), 42), ((None, 1), 17)]);
        assert_eq!(parse("0:42, 1:17").unwrap(), Start::At(offsets));
        let of_topic = BTreeMap::from([((Some("a".to_owned()), 0), 42)]);
        assert_eq!(parse("a/0:42").unwrap(), Start::At(of_topic));
        for wrong in [
            "",
            "newest",
            "0",
            "0:",
            "0:-1",
            "0:1,0:2",
            "a/x:1",
            "2026-11-01",
            "1:2,x",
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains("'0:42, 1:17'"), "{error}");
        }
    }

    fn ends(topic: &str, partition: u32, oldest: i64, newest: i64) -> Ends {
        Ends {
            place: TopicPartition::new(topic, partition),
            oldest,
            newest,
        }
    }

    fn choose(of: &[(Option<&str>, u32, i64)], partitions: &[Ends]) -> Result<Vec<i64>, String> {
        let of = of.iter();
        let offsets = of.map(|&(topic, partition, at)| ((topic.map(str::to_owned), partition), at));
        chosen(&offsets.collect(), partitions).map_err(|error| error.to_string())
    }

    #[test]
    fn offsets_must_be_retained_and_of_partitions_that_there_are() {
        let partitions = [ends("t", 0, 5, 9), ends("t", 1, 0, 0)];
        let chosen = |partition, at| choose(&[(None, partition, at)], &partitions);
        assert_eq!(chosen(0, 7), Ok(vec![7, 0]));
        assert_eq!(chosen(0, 9), Ok(vec![9, 0]));
        assert_eq!(choose(&[(Some("t"), 0, 8)], &partitions), Ok(vec![8, 0]));
        assert!(chosen(0, 4).is_err_and(|said| said.contains("5 to 9")));
        assert!(chosen(0, 10).is_err_and(|said| said.contains("says 10")));
        assert!(chosen(2, 0).is_err_and(|said| said.contains("no partition 2 of topic 't'")));
    }

    #[test]
    fn of_several_topics_each_offset_names_its_own() {
        let partitions = [ends("a", 0, 0, 9), ends("b", 0, 0, 9)];
        assert_eq!(choose(&[(Some("b"), 0, 3)], &partitions), Ok(vec![0, 3]));
        let unnamed = choose(&[(None, 0, 3)], &partitions).unwrap_err();
        assert!(unnamed.contains("'orders/0:42'"), "{unnamed}");
        let unknown = choose(&[(Some("c"), 0, 3)], &partitions).unwrap_err();
        assert!(unknown.contains("topic 'c'"), "{unknown}");
    }
}

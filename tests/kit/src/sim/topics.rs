//! The topics that a job's sources read, and how far its journal says that they were read.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_checkpoints::Journal;
use tidemill_connectors_api::{Options, seam};
use tidemill_jobs::plan::{JobPlan, SourcePlan};
use tidemill_types::TopicPartition;

use super::kafka::{Brokers, Selection, SimConnector};

/// Topics that a source asks for by name.
pub fn named_topics(plan: &JobPlan) -> BTreeSet<String> {
    let options = plan.sources.iter().flat_map(options_of);
    let selections = options.filter_map(|options| Selection::of(options).ok());
    let named = selections.flat_map(|selection| match selection {
        Selection::Named(names) => names,
        Selection::Beginning(_) => Vec::new(),
    });
    named.collect()
}

/// The options of a source's history, if it has one, and its own.
fn options_of(source: &SourcePlan) -> impl Iterator<Item = &Options> {
    let history = source.history.iter().map(|history| &history.options);
    history.chain([&source.options])
}

/// The topics that a source reads, as far as they are there; those of its history first.
pub fn topics_of(source: &SourcePlan, brokers: &Brokers) -> Vec<String> {
    let selections = options_of(source).filter_map(|options| Selection::of(options).ok());
    let found = selections.flat_map(|selection| selection.found(brokers));
    found.map(|topic| topic.name).collect()
}

/// A partition that a job's journal does not say to be read to its end.
pub fn unread(job: &str, plan: &JobPlan, brokers: &Brokers) -> Option<String> {
    let journal = brokers.committed(&SimConnector::journal_topic(job), 0);
    let entries: Vec<_> = journal
        .iter()
        .map(|(_, entry)| entry.value.clone().unwrap_or_default())
        .collect();
    let journal = Journal::decode(&entries).unwrap_or_default();
    plan.sources.iter().find_map(|source| {
        let read = read(source, &journal).unwrap_or_default();
        let mut logs = topics_of(source, brokers).into_iter().flat_map(|name| {
            let partitions = brokers.topic(&name).map(|topic| &topic.partitions);
            let numbered = (0..).zip(partitions.into_iter().flatten());
            numbered.map(move |(partition, log)| (TopicPartition::new(&name, partition), log))
        });
        // One that the journal does not know counts, even if it is empty.
        let at = |place: &TopicPartition| read.get(place).copied();
        let unread = logs.find(|(place, log)| at(place).is_none_or(|at| at < log.end_offset()));
        unread.map(|(place, log)| {
            let (at, end) = (at(&place), log.end_offset());
            format!("partition {place} is read to {at:?} of {end}")
        })
    })
}

/// Where a source stands by the newest record.
fn read(source: &SourcePlan, journal: &Journal) -> Option<BTreeMap<TopicPartition, i64>> {
    let record = journal.last()?;
    let incarnation = record.incarnations.get(&source.name)?;
    let positions = record.positions.get(&source.name)?.iter();
    let at = positions.filter_map(|(&number, &at)| Some((seam::place(incarnation, number)?, at)));
    Some(at.collect())
}

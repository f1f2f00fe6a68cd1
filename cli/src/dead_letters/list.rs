//! `tidemill dead-letters list`: how many there are of which cause.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use tidemill_checkpoints::Missing;
use tidemill_terminal::show::{self, BAD, HEADING, QUIET, counted, grouped};
use tidemill_types::DeadLetter;
use tidemill_types::dead_letter::Stage;

use super::place::Place;
use super::{Filter, Position};
use crate::job::Job;

/// So many causes are told apart at most; where reasons differ from record to record, memory stays bounded.
const CAUSES_MAX: usize = 1_000;
/// The cause of all further ones.
const OTHER: &str = "(other causes)";

/// Letters of one stage, source and cause.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    count: u64,
    first: Position,
    last: Position,
    /// Of the last one.
    reason: String,
}

/// Letters by stage, source and cause.
#[derive(Debug, Default)]
struct Groups(BTreeMap<(Stage, String, String), Group>);

impl Groups {
    fn add(&mut self, letter: &DeadLetter) {
        let mut key = (letter.stage, letter.source.clone(), letter.cause());
        if self.0.len() >= CAUSES_MAX && !self.0.contains_key(&key) {
            key.2 = OTHER.to_owned();
        }
        let position = Position::of(letter);
        let group = self.0.entry(key).or_insert_with(|| Group {
            count: 0,
            first: position.clone(),
            last: position.clone(),
            reason: String::new(),
        });
        group.count += 1;
        group.last = position;
        group.reason.clone_from(&letter.reason);
    }

    /// The most frequent ones first.
    fn sorted(&self) -> Vec<(&(Stage, String, String), &Group)> {
        let mut groups: Vec<_> = self.0.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        groups
    }

    fn total(&self) -> u64 {
        self.0.values().map(|group| group.count).sum()
    }
}

/// Lists.
pub fn list(job: &Job, place: &Place, filter: &Filter, json: bool) -> anyhow::Result<()> {
    let mut groups = Groups::default();
    let missing = place.read(&job.plan, &mut |letter| {
        if filter.takes(&letter) {
            groups.add(&letter);
        }
        Ok(())
    })?;
    let mut out = show::stdout();
    if json {
        writeln!(out, "{}", as_json(&groups, missing))?;
        return Ok(());
    }
    let total = counted(groups.total(), "dead letter");
    writeln!(
        out,
        "{HEADING}{total} of job '{}'{HEADING:#} in {place}",
        job.plan.name
    )?;
    print(&mut out, &groups)?;
    print_missing(&mut out, missing)?;
    Ok(())
}

fn print(out: &mut dyn Write, groups: &Groups) -> io::Result<()> {
    let sorted = groups.sorted();
    let widest = sorted
        .iter()
        .map(|((_, source, _), _)| source.chars().count())
        .max();
    let Some(width) = widest.map(|widest| widest.max(6)) else {
        return Ok(());
    };
    writeln!(
        out,
        "{HEADING}{:>10}  stage   {:<width$}  cause{HEADING:#}",
        "count", "source"
    )?;
    for ((stage, source, cause), group) in sorted {
        let Group {
            count,
            first,
            last,
            reason,
        } = group;
        let count = grouped(count);
        writeln!(
            out,
            "{count:>10}  {:<6}  {source:<width$}  {cause}",
            stage.name()
        )?;
        let places = if first == last {
            first.to_string()
        } else {
            format!("{first} … {last}")
        };
        writeln!(out, "{QUIET}{:>10}  {places}: {reason}{QUIET:#}", "")?;
    }
    Ok(())
}

/// What else there was.
fn print_missing(out: &mut dyn Write, missing: Missing) -> io::Result<()> {
    if missing.gone > 0 {
        let gone = counted(missing.gone, "older one");
        writeln!(
            out,
            "{BAD}{gone} had to make room{BAD:#} and can be read no more; a sink of 'tidemill_dead_letters' keeps all"
        )?;
    }
    if missing.unreadable > 0 {
        let unreadable = counted(missing.unreadable, "record");
        writeln!(
            out,
            "{BAD}{unreadable} there cannot be read as dead letters{BAD:#}: another version or something else wrote them"
        )?;
    }
    Ok(())
}

fn as_json(groups: &Groups, missing: Missing) -> Value {
    let group = |((stage, source, cause), group): (&(Stage, String, String), &Group)| {
        json!({
            "stage": stage.name(),
            "source": source,
            "cause": cause,
            "count": group.count,
            "first": group.first.to_string(),
            "last": group.last.to_string(),
            "reason": group.reason,
        })
    };
    let sorted: Vec<_> = groups.sorted().into_iter().map(group).collect();
    json!({
        "total": groups.total(),
        "gone": missing.gone,
        "unreadable": missing.unreadable,
        "groups": sorted,
    })
}

#[cfg(test)]
mod tests {
    use tidemill_types::DeadLetter;

    use super::{CAUSES_MAX, Groups, OTHER};

    fn letter(offset: i64, reason: &str) -> DeadLetter {
        DeadLetter {
            source: "s".to_owned(),
            topic: "t".to_owned(),
            offset,
            reason: reason.to_owned(),
            ..DeadLetter::default()
        }
    }

    #[test]
    fn letters_of_one_cause_are_one_group_with_its_first_and_last() {
        let mut groups = Groups::default();
        groups.add(&letter(3, "truncated JSON: it ends at byte 4 (EOF)"));
        groups.add(&letter(4, "field 'x': expected BIGINT, found 1"));
        groups.add(&letter(
            9,
            "field 'x': expected BIGINT, found \"a, found b\"",
        ));
        let sorted = groups.sorted();
        let (key, group) = sorted[0];
        assert_eq!(
            (key.2.as_str(), group.count),
            ("field 'x': expected BIGINT", 2)
        );
        assert_eq!((group.first.offset, group.last.offset), (4, 9));
        assert_eq!(
            group.reason,
            "field 'x': expected BIGINT, found \"a, found b\""
        );
        assert_eq!((sorted.len(), groups.total()), (2, 3));
    }

    #[test]
    fn causes_without_end_do_not_fill_the_memory() {
        let mut groups = Groups::default();
        for i in 0..2_000 {
            groups.add(&letter(i, &format!("the record of key '{i}' has too much")));
        }
        assert_eq!((groups.0.len(), groups.total()), (CAUSES_MAX + 1, 2_000));
        let (key, group) = groups.sorted()[0];
        assert_eq!((key.2.as_str(), group.count), (OTHER, 1_000));
    }
}

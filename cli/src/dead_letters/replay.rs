//! `tidemill dead-letters replay`: puts records back into the topics that they were read from, each once.
//!
//! Reads the letters twice where several sources read one topic: first, who refused what. What is put back goes in portions, each whole or not
//! at all; a replay that is killed goes on where it was.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tidemill_connectors_api::replay::Place as Spot;
use tidemill_connectors_api::{self as api, Connector, ReplayRecord, SourceSpec};
use tidemill_jobs::plan::{JobPlan, SourcePlan};
use tidemill_terminal::environment::now_ms;
use tidemill_terminal::show::{self, GOOD, HEADING, QUIET, counted, grouped};
use tidemill_types::format::{Clocks, Decoder};
use tidemill_types::{DeadLetter, RawRecords, TopicPartition};

use super::verdict::{Facts, Verdict, decide};
use super::{Filter, From, Position, topic};
use crate::plugins;
use crate::registries::Looked;

/// How much goes together: a transaction of Kafka should be short.
const PORTION_RECORDS: usize = 500;
const PORTION_BYTES: usize = 4 << 20;

/// What to put back.
#[derive(Debug, Args)]
pub struct Replay {
    #[command(flatten)]
    from: From,
    /// Only these: TOPIC/PARTITION/OFFSET.
    #[arg(value_name = "PLACE")]
    places: Vec<Position>,
    #[command(flatten)]
    filter: Filter,
    /// Put nothing back; say what would be.
    #[arg(long)]
    dry_run: bool,
    /// Put back what another plan of the job refused, too: right only if the job as it is now never read these records, because their topics
    /// had retained them no longer when it began.
    #[arg(long)]
    other_plans: bool,
    /// Write JSON instead: a line per portion, then one with everything.
    #[arg(long)]
    json: bool,
}

/// Who refused the records of topics that several sources read.
type Refused = HashMap<Position, BTreeSet<String>>;

impl Replay {
    /// Replays, and says what became of each letter.
    pub fn execute(&self) -> anyhow::Result<()> {
        let (job, place) = self.from.open()?;
        let plan = &job.plan;
        let hash = plan.hash();
        let mut readers = Readers::new(plan)?;
        let mut refused = Refused::new();
        if plan.sources.len() > 1 {
            place.read(plan, &mut |letter| {
                if readers.of(&letter.topic)?.len() > 1 {
                    let position = Position::of(&letter);
                    refused.entry(position).or_default().insert(letter.source);
                }
                Ok(())
            })?;
        }
        let looked = looked(plan, &job.state_dir)?;
        let mut run = Run::new(self, plan, &looked)?;
        place.read(plan, &mut |letter| {
            let is_wanted = self.places.is_empty() || self.places.contains(&Position::of(&letter));
            if !is_wanted || !self.filter.takes(&letter) {
                return Ok(());
            }
            let sources = readers.of(&letter.topic)?;
            let facts = Facts {
                plan_hash: &hash,
                other_plans: self.other_plans,
                is_read: sources.contains(&letter.source),
                taken_by: taken_by(sources, &letter, &refused),
            };
            run.letter(letter, &facts)
        })?;
        run.finish()
    }
}

/// The registries of a plan's sources, by the source's name.
fn looked(plan: &JobPlan, state_dir: &Path) -> anyhow::Result<BTreeMap<String, Looked>> {
    let mut looked = BTreeMap::new();
    for source in &plan.sources {
        if let Some(of_source) = Looked::of(source, state_dir)? {
            looked.insert(source.name.clone(), of_source);
        }
    }
    Ok(looked)
}

/// Which sources read a topic.
struct Readers<'a> {
    plan: &'a JobPlan,
    connectors: Vec<Arc<dyn Connector>>,
    /// What was found out, by topic.
    known: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Readers<'a> {
    fn new(plan: &'a JobPlan) -> anyhow::Result<Self> {
        let sources = plan.sources.iter();
        let connectors = sources.map(|source| topic::connector(&source.connector));
        Ok(Self {
            plan,
            connectors: connectors.collect::<Result<_, _>>()?,
            known: BTreeMap::new(),
        })
    }

    /// The names of the sources that read a topic.
    fn of(&mut self, topic: &str) -> anyhow::Result<&BTreeSet<String>> {
        if !self.known.contains_key(topic) {
            let mut readers = BTreeSet::new();
            for (source, connector) in self.plan.sources.iter().zip(&self.connectors) {
                let spec = SourceSpec::new(&self.plan.name, &source.name, &source.options);
                if connector.reads(&spec, topic)? {
                    readers.insert(source.name.clone());
                }
            }
            self.known.insert(topic.to_owned(), readers);
        }
        Ok(&self.known[topic])
    }
}

fn source<'a>(plan: &'a JobPlan, name: &str) -> Option<&'a SourcePlan> {
    plan.sources.iter().find(|source| source.name == name)
}

/// One of the sources that read the letter's topic which has no letter of the record.
fn taken_by<'a>(
    sources: &'a BTreeSet<String>,
    letter: &DeadLetter,
    refused: &Refused,
) -> Option<&'a str> {
    let by = refused.get(&Position::of(letter));
    let took =
        |source: &&String| **source != letter.source && by.is_none_or(|by| !by.contains(*source));
    sources.iter().find(took).map(String::as_str)
}

/// What is put back into one topic.
struct Topic {
    replay: Box<dyn api::Replay>,
    before: BTreeSet<Spot>,
    now: BTreeSet<Spot>,
    portion: Vec<ReplayRecord>,
    bytes: usize,
    put: u64,
    there: u64,
}

/// Letters of one verdict.
struct Refusal {
    count: u64,
    example: Position,
}

/// A replay under way.
struct Run<'a> {
    options: &'a Replay,
    plan: &'a JobPlan,
    decoders: BTreeMap<String, Box<dyn Decoder>>,
    /// The registries of sources.
    looked: &'a BTreeMap<String, Looked>,
    topics: BTreeMap<String, Topic>,
    refusals: BTreeMap<Verdict, Refusal>,
}

impl<'a> Run<'a> {
    fn new(
        options: &'a Replay,
        plan: &'a JobPlan,
        looked: &'a BTreeMap<String, Looked>,
    ) -> anyhow::Result<Self> {
        let formats = plugins::formats();
        let mut decoders = BTreeMap::new();
        for source in &plan.sources {
            let schemas = looked.get(&source.name).map(|looked| &looked.schemas);
            // The planner took the format.
            if let Some(format) = formats.named(&source.format.name) {
                decoders.insert(source.name.clone(), format.decoder(&source.spec(schemas))?);
            }
        }
        Ok(Self {
            options,
            plan,
            decoders,
            looked,
            topics: BTreeMap::new(),
            refusals: BTreeMap::new(),
        })
    }

    fn letter(&mut self, letter: DeadLetter, facts: &Facts<'_>) -> anyhow::Result<()> {
        let mut verdict = decide(&letter, facts);
        if let Some(looked) = self.looked.get(&letter.source) {
            looked.look_up(&letter)?;
        }
        let again = self.decoders.get_mut(&letter.source);
        if let (Verdict::PutBack, Some(decoder)) = (&verdict, again)
            && let Some(cause) = refused_again(decoder.as_mut(), &letter)
        {
            verdict = Verdict::Again(cause);
        }
        if verdict != Verdict::PutBack {
            let example = Position::of(&letter);
            let refusal = self.refusals.entry(verdict);
            refusal.or_insert(Refusal { count: 0, example }).count += 1;
            return Ok(());
        }
        self.open(&letter.source, &letter.topic)?;
        let Some(topic) = self.topics.get_mut(&letter.topic) else {
            return Ok(());
        };
        let spot = (letter.partition, letter.offset);
        if topic.before.contains(&spot) {
            topic.there += 1;
            return Ok(());
        }
        // Another source of the topic may have a letter of the same record.
        if !topic.now.insert(spot) {
            return Ok(());
        }
        let record = record(letter);
        topic.bytes += size(&record);
        topic.portion.push(record);
        if topic.portion.len() >= PORTION_RECORDS || topic.bytes >= PORTION_BYTES {
            put(topic, self.options)?;
        }
        Ok(())
    }

    fn open(&mut self, name: &str, topic: &str) -> anyhow::Result<()> {
        let Some(source) = source(self.plan, name) else {
            return Ok(());
        };
        if self.topics.contains_key(topic) {
            return Ok(());
        }
        let connector = topic::connector(&source.connector)?;
        let spec = SourceSpec::new(&self.plan.name, name, &source.options);
        let mut replay = connector.replay(&spec, topic)?;
        let before = replay.put_before()?;
        self.topics.insert(
            topic.to_owned(),
            Topic {
                replay,
                before,
                now: BTreeSet::new(),
                portion: Vec::new(),
                bytes: 0,
                put: 0,
                there: 0,
            },
        );
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        for topic in self.topics.values_mut() {
            put(topic, self.options)?;
        }
        let mut out = show::stdout();
        if self.options.json {
            writeln!(out, "{}", self.as_json())?;
            return Ok(());
        }
        let what = if self.options.dry_run {
            "would be put back"
        } else {
            "put back"
        };
        for (topic, Topic { put, there, .. }) in &self.topics {
            let put = counted(*put, "record");
            write!(out, "{GOOD}{put} {what}{GOOD:#} into topic '{topic}'")?;
            if *there > 0 {
                write!(out, ", {} had been before", grouped(there))?;
            }
            writeln!(out)?;
        }
        for (verdict, Refusal { count, example }) in &self.refusals {
            let count = counted(*count, "record");
            writeln!(
                out,
                "{HEADING}{count} not put back{HEADING:#} {QUIET}({example}){QUIET:#}: {}",
                verdict.why()
            )?;
        }
        if self.topics.is_empty() && self.refusals.is_empty() {
            writeln!(out, "there is nothing to put back")?;
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        let topics = self.topics.iter().map(|(name, topic)| {
            let counts = json!({ "put_back": topic.put, "before": topic.there });
            (name.clone(), counts)
        });
        let refusals = self.refusals.iter().map(|(verdict, refusal)| {
            json!({
                "verdict": verdict.word(),
                "why": verdict.why(),
                "count": refusal.count,
                "example": refusal.example.to_string(),
            })
        });
        json!({
            "dry_run": self.options.dry_run,
            "topics": topics.collect::<serde_json::Map<_, _>>(),
            "not_put_back": refusals.collect::<Vec<_>>(),
        })
    }
}

/// Puts a portion back.
fn put(topic: &mut Topic, options: &Replay) -> anyhow::Result<()> {
    let portion = std::mem::take(&mut topic.portion);
    topic.bytes = 0;
    if portion.is_empty() {
        return Ok(());
    }
    if options.dry_run {
        topic.put += portion.len() as u64;
        return Ok(());
    }
    let put = topic.replay.put_back(&portion)?.len();
    topic.put += put as u64;
    topic.there += (portion.len() - put) as u64;
    if options.json {
        writeln!(show::stdout(), "{}", json!({ "portion": put }))?;
    }
    Ok(())
}

fn size(record: &ReplayRecord) -> usize {
    let part = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter();
    let in_headers: usize = headers
        .map(|header| header.name.len() + part(&header.value))
        .sum();
    part(&record.key) + part(&record.value) + in_headers
}

fn record(letter: DeadLetter) -> ReplayRecord {
    ReplayRecord {
        place: (letter.partition, letter.offset),
        timestamp_ms: letter.timestamp_ms,
        key: letter.key,
        value: letter.bytes,
        headers: letter.headers,
    }
}

/// Why the job would refuse the record, if it would.
fn refused_again(decoder: &mut dyn Decoder, letter: &DeadLetter) -> Option<String> {
    let mut records = RawRecords::of(letter.partition);
    records.place = Some(TopicPartition::new(&letter.topic, letter.partition));
    records.push(
        letter.offset,
        letter.key.as_deref(),
        letter.bytes.as_deref(),
    );
    for header in &letter.headers {
        records.push_header(header.name.as_bytes(), header.value.as_deref());
    }
    if let Some(time) = letter.timestamp_ms {
        records.timestamps.push(time);
        records.times.push(time);
    }
    let now = now_ms();
    let clocks = Clocks {
        wall_ms: now,
        steady_ms: now,
    };
    let decoded = decoder.decode(&records, clocks);
    decoded.dead_letters.first().map(DeadLetter::cause)
}

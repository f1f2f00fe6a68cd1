//! Decode: raw records to columns, dead letters, and what the records say about event time.
//!
//! Every record ends as exactly one of: a row, a record that changes nothing (counted), a dead letter.

use tidemill_types::format::{self, Clocks, Decoder, TimeRange};
use tidemill_types::{ChangeBatch, DeadLetter, RawRecords};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::ledger::Ledger;
use crate::packet::SourcePlace;
use crate::shell::Batches;
use crate::watermark::Fact;
use crate::{Changes, Counter, Packet};

/// Raw records of one partition in one epoch.
#[derive(Debug, Clone, Default)]
pub struct RawBatch {
    /// The records.
    pub records: RawRecords,
    /// The epoch's clocks.
    pub clocks: Clocks,
    /// What the epoch knows of the partition.
    pub standing: Standing,
}

/// What an epoch knows of a partition beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It is read.
    #[default]
    Read,
    /// It had nothing more to read before the epoch.
    Idle,
    /// It was added later: for this epoch there is none.
    Absent,
}

impl RawBatch {
    /// What its standing says to the watermark.
    const fn fact(&self) -> Option<Fact> {
        let partition = self.records.partition;
        match self.standing {
            Standing::Read => None,
            Standing::Idle => Some(Fact::Idle { partition }),
            Standing::Absent => Some(Fact::Absent { partition }),
        }
    }

    fn place(&self) -> Option<SourcePlace> {
        let partition = self.records.partition;
        let first = self.records.offsets.first();
        first.map(|&offset| SourcePlace { partition, offset })
    }
}

/// What the decoder counts.
#[derive(Debug, Clone, Default)]
pub struct DecodeCounters {
    /// Records decoded to rows.
    pub rows: Counter,
    /// Records that change nothing.
    pub ignored: Counter,
    /// Undecodable records.
    pub dead_letters: Counter,
}

impl DecodeCounters {
    fn count(&self, decoded: &format::Decoded) {
        self.rows.add(decoded.rows.num_rows() as u64);
        self.ignored.add(decoded.ignored);
        self.dead_letters.add(decoded.dead_letters.len() as u64);
    }
}

/// Told about every decoded batch: the epoch, the range of its events' own times, and how many rows it has. For freshness.
pub type Observer = Box<dyn FnMut(u64, TimeRange, usize)>;

/// Told about the dead letters of every decoded batch that has some.
pub type LetterObserver = Box<dyn FnMut(&[DeadLetter])>;

/// What a decoder works with.
pub struct Settings {
    /// Name of the source.
    pub name: String,
    /// Bytes to columns.
    pub decoder: Box<dyn Decoder>,
    /// What the dead letters have in common.
    pub ledger: Ledger,
    /// What is counted.
    pub counters: DecodeCounters,
    /// Who is told.
    pub observer: Observer,
    /// Who is told of dead letters.
    pub letters: LetterObserver,
}

/// The three streams that leave a decoder.
pub struct Decoded<'scope> {
    /// Rows with system columns.
    pub rows: Changes<'scope>,
    /// Dead letters, in the ledger's columns.
    pub dead_letters: Changes<'scope>,
    /// The greatest event time per partition and batch, and which partitions are idle.
    pub facts: Batches<'scope, Fact>,
}

/// Decodes every batch as it comes; an epoch's records need no order here.
pub fn decode<'scope>(input: Batches<'scope, RawBatch>, settings: Settings) -> Decoded<'scope> {
    let Settings {
        name,
        mut decoder,
        ledger,
        counters,
        mut observer,
        letters: mut on_letters,
    } = settings;
    let mut builder = OperatorBuilder::new(format!("decode {name}"), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    let (rows, rows_stream) = builder.new_output::<Vec<Packet>>();
    let (dead, dead_stream) = builder.new_output::<Vec<Packet>>();
    let (facts, facts_stream) = builder.new_output::<Vec<Fact>>();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(rows);
    let mut dead = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(dead);
    let mut facts = OutputBuilder::<_, CapacityContainerBuilder<Vec<Fact>>>::from(facts);
    builder.build(move |_| {
        move |_| {
            let (mut rows, mut dead, mut facts) =
                (rows.activate(), dead.activate(), facts.activate());
            input.for_each(|capability, batches| {
                for raw in batches.drain(..) {
                    if let Some(fact) = raw.fact() {
                        facts.session(&capability).give(fact);
                    }
                    let mut decoded = decoder.decode(&raw.records, raw.clocks);
                    counters.count(&decoded);
                    if let Some(range) = decoded.event_time {
                        let epoch = *capability.least().expect("a message carries its epoch");
                        observer(epoch, range, decoded.rows.num_rows());
                    }
                    if decoded.rows.num_rows() > 0 {
                        let place = raw.place();
                        rows.session(&capability).give(Packet {
                            place,
                            ..Packet::from(ChangeBatch::inserts(decoded.rows))
                        });
                    }
                    if !decoded.dead_letters.is_empty() {
                        for letter in &mut decoded.dead_letters {
                            letter.source.clone_from(&name);
                        }
                        on_letters(&decoded.dead_letters);
                        let letters = ChangeBatch::inserts(ledger.rows(&decoded.dead_letters));
                        dead.session(&capability).give(Packet::from(letters));
                    }
                    if let Some(time_max_ms) = decoded.time_max {
                        facts.session(&capability).give(Fact::Time {
                            partition: raw.records.partition,
                            time_max_ms,
                        });
                    }
                }
            });
        }
    });
    Decoded {
        rows: rows_stream,
        dead_letters: dead_stream,
        facts: facts_stream,
    }
}

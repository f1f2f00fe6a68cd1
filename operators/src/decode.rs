//! Decode: raw records to columns, dead letters, and what the records say about event time.
//!
//! Every record ends as exactly one of: a row, a counted `read`, a dead letter.

use std::sync::Arc;

use arrow_array::{BinaryArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::SchemaRef;
use tidemill_formats::studio_json::{self, Clocks, Decoder, Records, TimeRange};
use tidemill_types::{ChangeBatch, DeadLetter};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::error::Context;
use crate::packet::Origin;
use crate::shell::Batches;
use crate::watermark::Fact;
use crate::{Changes, Counter, Failure, Packet};

/// Raw records of one partition in one epoch.
#[derive(Debug, Clone, Default)]
pub struct RawBatch {
    /// Source partition.
    pub partition: u32,
    /// Offset of each record.
    pub offsets: Vec<i64>,
    /// Where each record starts in the arena, then where the last one ends.
    pub bounds: Vec<u32>,
    /// The records' bytes.
    pub arena: Vec<u8>,
    /// When each record was written, milliseconds since 1970; empty where the source does not say.
    pub timestamps: Vec<i64>,
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
        let partition = self.partition;
        match self.standing {
            Standing::Read => None,
            Standing::Idle => Some(Fact::Idle { partition }),
            Standing::Absent => Some(Fact::Absent { partition }),
        }
    }

    fn origin(&self) -> Option<Origin> {
        let partition = self.partition;
        let first = self.offsets.first();
        first.map(|&offset| Origin { partition, offset })
    }
}

/// What the decoder counts.
#[derive(Debug, Clone, Default)]
pub struct DecodeCounters {
    /// Records decoded to rows.
    pub rows: Counter,
    /// Events of type `read`.
    pub reads: Counter,
    /// Undecodable records.
    pub dead_letters: Counter,
}

impl DecodeCounters {
    fn count(&self, decoded: &studio_json::Decoded) {
        self.rows.add(decoded.rows.num_rows() as u64);
        self.reads.add(decoded.reads);
        self.dead_letters.add(decoded.dead_letters.len() as u64);
    }
}

/// Told about every decoded batch: the epoch, the range of its events' `ts`, and how many rows it has. For freshness.
pub type Observer = Box<dyn FnMut(u64, TimeRange, usize)>;

/// What a decoder works with.
pub struct Settings {
    /// Name of the source.
    pub name: String,
    /// Bytes to columns.
    pub decoder: Decoder,
    /// Columns of the dead letters.
    pub ledger: SchemaRef,
    /// What is counted.
    pub counters: DecodeCounters,
    /// Who is told.
    pub observer: Observer,
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
pub fn decode<'scope>(
    input: Batches<'scope, RawBatch>,
    settings: Settings,
    failure: Failure,
) -> Decoded<'scope> {
    let Settings {
        name,
        mut decoder,
        ledger,
        counters,
        mut observer,
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
                    let records = Records {
                        partition: raw.partition,
                        offsets: &raw.offsets,
                        bounds: &raw.bounds,
                        arena: &raw.arena,
                        timestamps: &raw.timestamps,
                    };
                    let decoded = decoder.decode(&records, raw.clocks);
                    counters.count(&decoded);
                    if let Some(range) = decoded.event_time {
                        let epoch = *capability.least().expect("a message carries its epoch");
                        observer(epoch, range, decoded.rows.num_rows());
                    }
                    if decoded.rows.num_rows() > 0 {
                        let origin = raw.origin();
                        rows.session(&capability).give(Packet {
                            origin,
                            ..Packet::from(ChangeBatch::inserts(decoded.rows))
                        });
                    }
                    if !decoded.dead_letters.is_empty() {
                        match ledger_rows(&ledger, &decoded.dead_letters).of(&name) {
                            Ok(batch) => dead
                                .session(&capability)
                                .give(Packet::from(ChangeBatch::inserts(batch))),
                            Err(error) => failure.report(error),
                        }
                    }
                    if let Some(time_max_ms) = decoded.time_max {
                        facts.session(&capability).give(Fact::Time {
                            partition: raw.partition,
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

/// So much of a record travels in the ledger at most: as text it must fit into a message of a sink.
const LEDGER_BYTES_MAX: usize = 11 << 20;

/// Dead letters as rows of the ledger's columns. Of a record that is too large for a ledger the beginning is kept, and the reason says so.
///
/// # Errors
/// If `schema` is not the ledger's.
pub fn ledger_rows(
    schema: &SchemaRef,
    letters: &[DeadLetter],
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let bytes = |letter: &'_ DeadLetter| letter.bytes.len().min(LEDGER_BYTES_MAX);
    let reason = |letter: &DeadLetter| match letter.bytes.len() {
        len if len > LEDGER_BYTES_MAX => {
            format!(
                "{}; of its {len} bytes the first {LEDGER_BYTES_MAX} are kept",
                letter.reason
            )
        }
        _ => letter.reason.clone(),
    };
    let numbers = letters.iter().map(|letter| letter.partition);
    let offsets = letters.iter().map(|letter| letter.offset);
    let records = letters.iter().map(|letter| &letter.bytes[..bytes(letter)]);
    RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(StringArray::from_iter_values(
                letters.iter().map(|letter| &letter.topic),
            )),
            Arc::new(UInt32Array::from_iter_values(numbers)),
            Arc::new(Int64Array::from_iter_values(offsets)),
            Arc::new(StringArray::from_iter_values(letters.iter().map(reason))),
            Arc::new(BinaryArray::from_iter_values(records)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_schema::{DataType, Field, Schema};

    #[test]
    fn of_a_record_that_no_ledger_takes_the_beginning_is_kept() {
        let field = |name, data_type| Field::new(name, data_type, false);
        let schema = Arc::new(Schema::new(vec![
            field("topic", DataType::Utf8),
            field("partition", DataType::UInt32),
            field("offset", DataType::Int64),
            field("reason", DataType::Utf8),
            field("bytes", DataType::Binary),
        ]));
        let letter = DeadLetter {
            topic: "studio.payment".to_owned(),
            partition: 1,
            offset: 7,
            reason: "invalid JSON".to_owned(),
            bytes: vec![b'x'; LEDGER_BYTES_MAX + 1],
        };
        let rows = ledger_rows(&schema, &[letter]).expect("the schema is the ledger's");
        assert_eq!(
            rows.column(4).as_binary::<i32>().value(0).len(),
            LEDGER_BYTES_MAX
        );
        let reason = rows.column(3).as_string::<i32>().value(0);
        assert_eq!(
            reason,
            "invalid JSON; of its 11534337 bytes the first 11534336 are kept"
        );
    }
}

//! Lookup: rows of a stream, each with what an arrangement holds for its key at that epoch; nothing of the stream is kept.
//!
//! One half of a join: it follows the changes of the stream alone. The plan of a join of many sides adds up such halves so that each
//! meets the others as they were before the epoch or as they are after it; that the halves are complete is the plan's promise, not this
//! operator's.

use std::collections::BTreeMap;
use std::rc::Rc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use differential_dataflow::trace::cursor::{Cursor, Navigable};
use smallvec::SmallVec;
use tidemill_types::row::{EncodedRows, head};
use tidemill_types::{ChangeBatch, RowCodec};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::arrange::Arrangement;
use crate::error::Context;
use crate::gather::{Gathered, PADDED, RowId, take_rows};
use crate::keyed::KeyedLayout;
use crate::row_list::RowRef;
use crate::trace::{Batch, BatchCursor, Trace};
use crate::{Changes, Error, Failure, Packet, columns, route};

/// Which contents of the arrangement a row meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// As they were before the row's epoch.
    Before,
    /// As they are after it.
    After,
}

/// How rows are looked up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the operator.
    pub name: String,
    /// Columns of the stream that equal the arrangement's key.
    pub key: Vec<usize>,
    /// Columns of the stream that equal the first value columns of the arrangement; may be empty.
    pub within_key: Vec<usize>,
    /// Which contents are met.
    pub version: Version,
    /// A row that meets nothing is kept, with nulls.
    pub padded: bool,
    /// Columns of the output: the stream's, then the arrangement's.
    pub output: SchemaRef,
    /// Nobody needs the output of epochs up to this one, and it is not computed.
    pub unneeded_through: Option<u64>,
}

/// Looks up every row of a stream of `schema` in an arrangement. A null in a key meets nothing, unless the arrangement has nulls
/// (see [`crate::arrange::arrange_with_nulls`]).
///
/// # Errors
/// If a column has no encoding.
pub fn lookup<'scope>(
    input: Changes<'scope>,
    schema: &SchemaRef,
    arrangement: Arrangement<'scope>,
    settings: Settings,
    failure: &Failure,
) -> Result<Changes<'scope>, Error> {
    let name = settings.name.clone();
    let routed = route::by_key(input, &name, schema, settings.key.clone(), failure.clone())?;
    let within_types = settings
        .within_key
        .iter()
        .map(|&i| schema.field(i).data_type());
    let mut lookup = Lookup {
        trace: Trace::new(arrangement.arranged.trace),
        layout: arrangement.layout,
        within: RowCodec::new(within_types).of(&name)?,
        settings,
    };
    let mut builder = OperatorBuilder::new(name.clone(), routed.scope());
    let mut input = builder.new_input(routed, Exchange::new(|packet: &Packet| packet.worker));
    let mut arranged = builder.new_input(arrangement.arranged.stream, Pipeline);
    let (output, stream) = builder.new_output::<Vec<Packet>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(output);
    let failure = failure.clone();
    builder.build(move |_| {
        let mut pending: BTreeMap<u64, (Capability<u64>, Vec<ChangeBatch>)> = BTreeMap::new();
        let (mut done, mut failed) = (0, None);
        move |frontiers| {
            input.for_each(|capability, packets| {
                let epoch = *capability.least().expect("a message carries its epoch");
                let (_, batches) = pending
                    .entry(epoch)
                    .or_insert_with(|| (capability.delayed(&epoch, 0), Vec::new()));
                batches.extend(packets.drain(..).map(|packet| packet.changes));
            });
            // The arrangement's batches are read through its trace; their arrival tells that there is something to do.
            arranged.for_each(|_, _| {});
            let upto = crate::trace::complete(frontiers);
            if upto <= done || failed.is_some() {
                return;
            }
            done = upto;
            let later = pending.split_off(&upto);
            let ready = std::mem::replace(&mut pending, later);
            let first = ready.values().next().map(|(held, _)| held.clone());
            let mut output = output.activate();
            let result = lookup.advance(upto, ready, |capability, changes| {
                output.session(capability).give(Packet::from(changes));
            });
            if let Err(error) = result.of(&name) {
                // A capability stays, so that the epoch never completes.
                failed = first;
                failure.report(error);
            }
        }
    });
    Ok(stream)
}

/// A row that is looked up: the head of its key, to sort by, and where it lies.
struct Probe {
    head: u128,
    batch: u32,
    row: u32,
}

/// The encoded keys of a batch.
struct Keys {
    keys: EncodedRows,
    within: EncodedRows,
}

impl Keys {
    fn of(&self, row: u32) -> (&[u8], &[u8]) {
        (
            self.keys.bytes(row as usize),
            self.within.bytes(row as usize),
        )
    }
}

/// What was found: rows and how often each is there, in runs, and each probe's run.
#[derive(Default)]
struct Found {
    keys: Gathered,
    rows: Gathered,
    matches: Vec<(RowId, i64)>,
    /// Per batch and row: the number of its key, and its matches.
    runs: Vec<Vec<(RowId, std::ops::Range<u32>)>>,
}

struct Lookup {
    trace: Trace,
    layout: Rc<KeyedLayout>,
    within: RowCodec,
    settings: Settings,
}

impl Lookup {
    /// Looks up all that came before `upto`.
    fn advance(
        &mut self,
        upto: u64,
        ready: BTreeMap<u64, (Capability<u64>, Vec<ChangeBatch>)>,
        mut emit: impl FnMut(&Capability<u64>, ChangeBatch),
    ) -> Result<(), ArrowError> {
        let is_needed = |epoch: u64| {
            self.settings
                .unneeded_through
                .is_none_or(|last| last < epoch)
        };
        if ready.keys().any(|&epoch| is_needed(epoch)) {
            let storage = self.trace.batches();
            for (epoch, (capability, batches)) in ready {
                if is_needed(epoch) {
                    let found = self.find(epoch, &batches, &storage)?;
                    self.assemble(batches, &found, |changes| emit(&capability, changes))?;
                }
            }
        }
        self.trace.release(upto);
        Ok(())
    }

    /// Reads what the rows of an epoch meet, in the order of their keys.
    fn find(
        &self,
        epoch: u64,
        batches: &[ChangeBatch],
        storage: &[Batch],
    ) -> Result<Found, ArrowError> {
        let mut cursors: Vec<BatchCursor> = storage.iter().map(Navigable::cursor).collect();
        let keys = batches
            .iter()
            .map(|changes| self.keys(&changes.rows))
            .collect::<Result<Vec<_>, _>>()?;
        let probes = self.sorted_probes(batches, &keys);
        let key_of = |probe: &Probe| keys[probe.batch as usize].of(probe.row);
        let mut found = Found {
            runs: batches
                .iter()
                .map(|changes| vec![(PADDED, 0..0); changes.len()])
                .collect(),
            ..Found::default()
        };
        let counts = |time: u64| match self.settings.version {
            Version::Before => time < epoch,
            Version::After => time <= epoch,
        };
        for same in probes.chunk_by(|a, b| a.head == b.head && key_of(a) == key_of(b)) {
            let (key, within) = key_of(&same[0]);
            let start = found.matches.len();
            let Found { rows, matches, .. } = &mut found;
            read(&mut cursors, storage, key, within, counts, |row, count| {
                matches.push((rows.push(row), count));
            });
            if start == found.matches.len() {
                continue;
            }
            let id = found.keys.push(RowRef(key));
            let end =
                u32::try_from(found.matches.len()).expect("an epoch has fewer than 2^32 rows");
            let start = u32::try_from(start).expect("an epoch has fewer than 2^32 rows");
            for probe in same {
                found.runs[probe.batch as usize][probe.row as usize] = (id, start..end);
            }
        }
        Ok(found)
    }

    fn keys(&self, rows: &RecordBatch) -> Result<Keys, ArrowError> {
        let select = |indices: &[usize]| -> Vec<ArrayRef> {
            indices.iter().map(|&i| rows.column(i).clone()).collect()
        };
        let len = rows.num_rows();
        Ok(Keys {
            keys: self.layout.key.encode(&select(&self.settings.key), len)?,
            within: self
                .within
                .encode(&select(&self.settings.within_key), len)?,
        })
    }

    /// All rows in the order of their keys.
    fn sorted_probes(&self, batches: &[ChangeBatch], keys: &[Keys]) -> Vec<Probe> {
        let mut probes = Vec::with_capacity(batches.iter().map(ChangeBatch::len).sum());
        for ((batch, changes), keys) in (0..).zip(batches).zip(keys) {
            probes.extend((0..).zip(0..changes.len()).map(|(row, i)| {
                let head = head(keys.keys.bytes(i));
                Probe { head, batch, row }
            }));
        }
        let key_of = |probe: &Probe| keys[probe.batch as usize].of(probe.row);
        probes.sort_unstable_by(|a, b| a.head.cmp(&b.head).then_with(|| key_of(a).cmp(&key_of(b))));
        probes
    }

    /// The rows of the stream beside what they met, batch by batch.
    fn assemble(
        &self,
        batches: Vec<ChangeBatch>,
        found: &Found,
        mut emit: impl FnMut(ChangeBatch),
    ) -> Result<(), ArrowError> {
        let keys = found.keys.decode(&self.layout.key)?;
        let values = found.rows.decode(&self.layout.value)?;
        for (changes, runs) in batches.into_iter().zip(&found.runs) {
            let capacity = changes.len();
            let (mut kept, mut key_ids, mut row_ids, mut diffs) = (
                Vec::with_capacity(capacity),
                Vec::with_capacity(capacity),
                Vec::with_capacity(capacity),
                Vec::with_capacity(capacity),
            );
            for ((row, i), (key, run)) in (0..).zip(0..changes.len()).zip(runs) {
                for &(id, count) in &found.matches[run.start as usize..run.end as usize] {
                    kept.push(row);
                    key_ids.push(*key);
                    row_ids.push(id);
                    diffs.push(changes.diff(i) * count);
                }
                if run.is_empty() && self.settings.padded {
                    kept.push(row);
                    key_ids.push(PADDED);
                    row_ids.push(PADDED);
                    diffs.push(changes.diff(i));
                }
            }
            if kept.is_empty() {
                continue;
            }
            let mut arrays = take_rows(changes.rows.columns(), &kept)?;
            let (keys, values) = (take_rows(&keys, &key_ids)?, take_rows(&values, &row_ids)?);
            arrays.extend(self.layout.assemble(&keys, &values));
            let rows = columns::batch(&self.settings.output, arrays, kept.len())?;
            emit(ChangeBatch::new(rows, diffs));
        }
        Ok(())
    }
}

/// Calls `each` with the rows of a key that begin with `within`, and how often each is there. Keys are asked for in ascending order.
///
/// Batch by batch, not through one cursor over all: few batches have the key, and a cursor over several must not seek a value while one
/// of them is at its end.
fn read<'a>(
    cursors: &mut [BatchCursor],
    storage: &'a [Batch],
    key: &[u8],
    within: &[u8],
    counts: impl Fn(u64) -> bool,
    mut each: impl FnMut(RowRef<'a>, i64),
) {
    let mut rows: SmallVec<[(RowRef<'a>, i64); 4]> = SmallVec::new();
    for (cursor, batch) in cursors.iter_mut().zip(storage) {
        cursor.seek_key(batch, RowRef(key));
        if cursor.get_key(batch) != Some(RowRef(key)) {
            continue;
        }
        if !within.is_empty() {
            cursor.seek_val(batch, RowRef(within));
        }
        while let Some(row) = cursor
            .get_val(batch)
            .filter(|row| row.0.starts_with(within))
        {
            let mut count = 0;
            cursor.map_times(batch, |&time, &diff| {
                if counts(time) {
                    count += diff;
                }
            });
            if count != 0 {
                rows.push((row, count));
            }
            cursor.step_val(batch);
        }
    }
    if rows.len() > 1 {
        rows.sort_unstable();
        rows.dedup_by(|next, first| {
            let is_same = next.0 == first.0;
            if is_same {
                first.1 += next.1;
            }
            is_same
        });
    }
    for (row, count) in rows {
        if count != 0 {
            each(row, count);
        }
    }
}

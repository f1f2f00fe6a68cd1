//! Joins: equi-joins of two or more arrangements by one key, one operator for inner, left, right and full joins.
//!
//! What a key's rows join to is the product of its rows on every side; a *padded* side counts as one row of nulls while it has no row of
//! the key. So a left join pads its right side, a right join its left, a full join both; and several left joins on the same key are one
//! operator that keeps nothing between them. Epochs are totally ordered, so a join need not keep products of histories: for every key
//! that changed in an epoch, the change of the product is the sum over the sides of
//! `sides before it, as they were × its changes × sides behind it, as they are now`.
//! Only what a change meets is read: a change of one row of the first side reads the other sides' rows of its key and nothing else.
//!
//! The arrangements are differential's; this operator differs from differential's own join in that it takes more than two, knows about
//! padding (which there needs an arrangement of distinct keys), and emits columns.

use std::collections::BTreeMap;
use std::rc::Rc;

use arrow_schema::{ArrowError, SchemaRef};
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::SpanOf;
use differential_dataflow::trace::cursor::{Cursor, CursorList, cursor_list};
use tidemill_types::ChangeBatch;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, Concatenate};

use crate::arrange::{Arrangement, RowSpine, pad};
use crate::error::Context;
use crate::gather::{Gathered, PADDED, RowId, take_rows};
use crate::keyed::{BATCH_ROWS, KeyedLayout};
use crate::row_list::RowRef;
use crate::trace::{Batch, BatchCursor, Trace, complete};
use crate::{Changes, Error, Failure, Packet, columns};

/// A cursor over several batches.
type RowCursor = CursorList<BatchCursor>;

/// One side of a join.
#[derive(Clone)]
pub struct Side<'scope> {
    /// Its rows by the join's key.
    pub arrangement: Arrangement<'scope>,
    /// Counts as one row of nulls where it has no row.
    pub padded: bool,
}

/// Whose changes a join follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Every side's: the output is the join.
    AllSides,
    /// Those of the last side alone, joined with the others as they were before the epoch: the share in the change of a larger join
    /// that the last side's changes make.
    LastSide,
}

/// How sides are joined.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the operator.
    pub name: String,
    /// Columns of the output: those of every side, in order.
    pub output: SchemaRef,
    /// Whose changes are followed.
    pub follows: Follows,
    /// Nobody needs the output of epochs up to this one, and it is not computed.
    pub unneeded_through: Option<u64>,
}

/// Joins arrangements by their keys, which have the same types on all sides.
///
/// # Errors
/// If a type has no encoding.
pub fn join<'scope>(
    sides: Vec<Side<'scope>>,
    settings: Settings,
    failure: &Failure,
) -> Result<Changes<'scope>, Error> {
    let scope = sides[0].arrangement.arranged.stream.scope();
    let mut streams = match settings.follows {
        Follows::AllSides => padded_null_keys(&sides, &settings, failure),
        Follows::LastSide => Vec::new(),
    };
    let mut builder = OperatorBuilder::new(settings.name.clone(), scope);
    let mut inputs = Vec::new();
    let mut join = Join::new(&settings);
    for Side {
        arrangement,
        padded,
    } in sides
    {
        inputs.push(builder.new_input(arrangement.arranged.stream, Pipeline));
        join.sides.push(JoinedSide {
            trace: Trace::new(arrangement.arranged.trace),
            layout: arrangement.layout,
            padded,
            pending: Vec::new(),
            rows: Gathered::default(),
        });
    }
    let (output, joined) = builder.new_output::<Vec<Packet>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(output);
    let failure = failure.clone();
    builder.build(move |_| {
        let mut held: Option<Capability<u64>> = None;
        move |frontiers| {
            for (input, side) in inputs.iter_mut().zip(&mut join.sides) {
                input.for_each(|capability, spans| {
                    hold(&mut held, capability.retain_least(0));
                    side.pending.append(spans);
                });
            }
            let upto = complete(frontiers);
            if upto <= join.done {
                return;
            }
            let mut output = output.activate();
            let result = join.advance(upto, |epoch, changes| {
                let capability = held.as_ref().expect("changes hold a capability");
                output
                    .session(&capability.delayed(&epoch))
                    .give(Packet::from(changes));
            });
            if let Err(error) = result.of(&settings.name) {
                // The capability stays, so that the epoch never completes.
                return failure.report(error);
            }
            if join.sides.iter().all(|side| side.pending.is_empty()) {
                held = None;
            } else if let Some(capability) =
                held.as_mut().filter(|capability| *capability.time() < upto)
            {
                // Otherwise all that waits is of later epochs: that side is ahead of the others.
                capability.downgrade(&upto);
            }
        }
    });
    streams.push(joined);
    Ok(scope.concatenate(streams))
}

/// Rows whose key has a null match nothing: they are padded at once if every other side is.
fn padded_null_keys<'scope>(
    sides: &[Side<'scope>],
    settings: &Settings,
    failure: &Failure,
) -> Vec<Changes<'scope>> {
    let mut start = 0;
    let mut streams = Vec::new();
    for (i, side) in sides.iter().enumerate() {
        let is_kept = (0..).zip(sides).all(|(j, other)| j == i || other.padded);
        if is_kept {
            let (rows, output) = (side.arrangement.null_keyed.clone(), settings.output.clone());
            let (unneeded, name) = (settings.unneeded_through, &settings.name);
            streams.push(pad(rows, output, start, unneeded, name, failure.clone()));
        }
        start += side.arrangement.layout.schema().fields().len();
    }
    streams
}

fn hold(held: &mut Option<Capability<u64>>, new: Option<Capability<u64>>) {
    if let Some(new) = new
        && held.as_ref().is_none_or(|held| new.time() < held.time())
    {
        *held = Some(new);
    }
}

/// A side: its index, the changes that are not joined yet, and the rows of it that are being joined.
struct JoinedSide {
    trace: Trace,
    layout: Rc<KeyedLayout>,
    padded: bool,
    pending: Vec<SpanOf<TraceAgent<RowSpine>>>,
    rows: Gathered,
}

impl JoinedSide {
    fn pending_cursor(&self) -> (RowCursor, Vec<Batch>) {
        cursor_list(
            self.pending
                .iter()
                .filter_map(|span| span.inner.clone())
                .collect(),
        )
    }

    fn release(&mut self, upto: u64) {
        self.pending.retain(|span| {
            span.upper().first().is_none_or(|&upper| upper > upto) && upto != u64::MAX
        });
        self.trace.release(upto);
    }
}

/// Rows of one key on one side, and how often each is there.
type Counted = Vec<(RowId, i64)>;

/// The changes of one key's rows on one side: row, epoch, diff.
type Deltas = Vec<(RowId, u64, i64)>;

/// Joined rows of one epoch: per row the number of its key and of its row on each side, and a diff.
#[derive(Default)]
struct Tuples {
    ids: Vec<RowId>,
    diffs: Vec<i64>,
}

struct Join {
    sides: Vec<JoinedSide>,
    keys: Gathered,
    tuples: BTreeMap<u64, Tuples>,
    output: SchemaRef,
    follows: Follows,
    /// Nobody needs the output before this epoch.
    needed_from: u64,
    /// Everything before this epoch is joined.
    done: u64,
}

impl Join {
    fn new(settings: &Settings) -> Self {
        Self {
            sides: Vec::new(),
            keys: Gathered::default(),
            tuples: BTreeMap::new(),
            output: settings.output.clone(),
            follows: settings.follows,
            needed_from: settings.unneeded_through.map_or(0, |epoch| epoch + 1),
            done: 0,
        }
    }

    /// Joins all changes before `upto`.
    fn advance(
        &mut self,
        upto: u64,
        mut emit: impl FnMut(u64, ChangeBatch),
    ) -> Result<(), ArrowError> {
        let from = self.done.max(self.needed_from);
        let has_changes = |side: &JoinedSide| side.pending.iter().any(|span| span.inner.is_some());
        if from < upto && self.sides.iter().any(has_changes) {
            self.join_changes(from..upto, &mut emit)?;
        }
        self.done = upto;
        self.sides.iter_mut().for_each(|side| side.release(upto));
        Ok(())
    }

    fn join_changes(
        &mut self,
        epochs: std::ops::Range<u64>,
        emit: &mut impl FnMut(u64, ChangeBatch),
    ) -> Result<(), ArrowError> {
        let (mut new, new_storage): (Vec<_>, Vec<_>) =
            self.sides.iter().map(JoinedSide::pending_cursor).unzip();
        let (mut all, all_storage): (Vec<_>, Vec<_>) = self
            .sides
            .iter_mut()
            .map(|side| cursor_list(side.trace.batches()))
            .unzip();
        let sides = self.sides.len();
        let (mut deltas, mut old) = (vec![Deltas::new(); sides], vec![Counted::new(); sides]);
        while let Some(key) = least_key(&new, &new_storage) {
            for i in 0..sides {
                let (rows, storage) = (&mut self.sides[i].rows, &new_storage[i]);
                read_deltas(&mut new[i], storage, key, &epochs, rows, &mut deltas[i]);
            }
            if deltas.iter().all(Vec::is_empty) {
                continue;
            }
            for i in 0..sides {
                old[i].clear();
                let meets_changes = (0..sides).any(|j| j != i && !deltas[j].is_empty());
                if meets_changes || self.sides[i].padded {
                    let (rows, storage) = (&mut self.sides[i].rows, &all_storage[i]);
                    read_before(&mut all[i], storage, key, epochs.start, rows, &mut old[i]);
                }
            }
            self.join_key(key, &mut old, &deltas);
            if self
                .tuples
                .values()
                .map(|tuples| tuples.diffs.len())
                .sum::<usize>()
                >= BATCH_ROWS
            {
                self.flush(emit)?;
            }
        }
        self.flush(emit)
    }

    /// Joins the changes of one key, epoch by epoch.
    fn join_key(&mut self, key: RowRef<'_>, old: &mut [Counted], deltas: &[Deltas]) {
        let key = self.keys.push(key);
        let mut epochs: Vec<u64> = deltas
            .iter()
            .flatten()
            .map(|&(_, epoch, _)| epoch)
            .collect();
        epochs.sort_unstable();
        epochs.dedup();
        for (i, &epoch) in epochs.iter().enumerate() {
            let changes: Vec<Counted> = deltas.iter().map(|deltas| at(deltas, epoch)).collect();
            self.join_epoch(key, epoch, old, &changes);
            if i + 1 < epochs.len() {
                for ((side, old), changes) in self.sides.iter().zip(&mut *old).zip(changes) {
                    merge(&side.rows, old, changes);
                }
            }
        }
    }

    /// Adds the change of one key's product in one epoch.
    fn join_epoch(&mut self, key: RowId, epoch: u64, old: &[Counted], changes: &[Counted]) {
        let followed = match self.follows {
            Follows::AllSides => 0..self.sides.len(),
            Follows::LastSide => self.sides.len() - 1..self.sides.len(),
        };
        for changed in followed {
            if changes[changed].is_empty() {
                continue;
            }
            let terms: Vec<Counted> = self
                .sides
                .iter()
                .enumerate()
                .map(|(i, side)| match i.cmp(&changed) {
                    std::cmp::Ordering::Less => padded(side, old[i].clone()),
                    std::cmp::Ordering::Equal => padded_change(side, &old[i], &changes[i]),
                    std::cmp::Ordering::Greater if changes[i].is_empty() => {
                        padded(side, old[i].clone())
                    }
                    std::cmp::Ordering::Greater => {
                        let mut now = old[i].clone();
                        merge(&side.rows, &mut now, changes[i].clone());
                        padded(side, now)
                    }
                })
                .collect();
            self.tuples.entry(epoch).or_default().add(key, &terms);
        }
    }

    /// Emits what is joined so far.
    fn flush(&mut self, emit: &mut impl FnMut(u64, ChangeBatch)) -> Result<(), ArrowError> {
        let keys = self.keys.decode(&self.sides[0].layout.key)?;
        let values = self
            .sides
            .iter()
            .map(|side| side.rows.decode(&side.layout.value))
            .collect::<Result<Vec<_>, _>>()?;
        let width = self.sides.len() + 1;
        for (epoch, tuples) in std::mem::take(&mut self.tuples) {
            for (ids, diffs) in tuples
                .ids
                .chunks(BATCH_ROWS * width)
                .zip(tuples.diffs.chunks(BATCH_ROWS))
            {
                let column = |i: usize| -> Vec<RowId> {
                    ids.chunks_exact(width).map(|tuple| tuple[i]).collect()
                };
                let key_ids = column(0);
                let mut arrays = Vec::with_capacity(self.output.fields().len());
                for (i, side) in self.sides.iter().enumerate() {
                    let ids = column(i + 1);
                    // A padded side has null keys too.
                    let side_keys: Vec<RowId> = ids
                        .iter()
                        .zip(&key_ids)
                        .map(|(&id, &key)| if id == PADDED { PADDED } else { key })
                        .collect();
                    let (keys, values) =
                        (take_rows(&keys, &side_keys)?, take_rows(&values[i], &ids)?);
                    arrays.extend(side.layout.assemble(&keys, &values));
                }
                let rows = columns::batch(&self.output, arrays, diffs.len())?;
                emit(epoch, ChangeBatch::new(rows, diffs.to_vec()));
            }
        }
        self.keys.clear();
        self.sides.iter_mut().for_each(|side| side.rows.clear());
        Ok(())
    }
}

impl Tuples {
    /// Adds the product of the terms. A row that is padded on all sides is none.
    fn add(&mut self, key: RowId, terms: &[Counted]) {
        if terms.iter().any(Vec::is_empty) {
            return;
        }
        let mut at = vec![0; terms.len()];
        loop {
            let start = self.ids.len();
            self.ids.push(key);
            let mut diff = 1;
            let mut is_padding = true;
            for (term, &i) in terms.iter().zip(&at) {
                let (id, count) = term[i];
                self.ids.push(id);
                diff *= count;
                is_padding &= id == PADDED;
            }
            if is_padding || diff == 0 {
                self.ids.truncate(start);
            } else {
                self.diffs.push(diff);
            }
            // The next combination; the last side's rows pass quickest.
            let Some(side) = (0..terms.len())
                .rev()
                .find(|&side| at[side] + 1 < terms[side].len())
            else {
                return;
            };
            at[side] += 1;
            at[side + 1..].fill(0);
        }
    }
}

/// The least key that any side's changes are at.
fn least_key<'a>(cursors: &[RowCursor], storage: &'a [Vec<Batch>]) -> Option<RowRef<'a>> {
    cursors
        .iter()
        .zip(storage)
        .filter_map(|(cursor, storage)| cursor.get_key(storage))
        .min()
}

/// The changes of `key` in `epochs`; leaves the cursor at the key after it.
fn read_deltas(
    cursor: &mut RowCursor,
    storage: &Vec<Batch>,
    key: RowRef<'_>,
    epochs: &std::ops::Range<u64>,
    rows: &mut Gathered,
    deltas: &mut Deltas,
) {
    deltas.clear();
    if cursor.get_key(storage) != Some(key) {
        return;
    }
    while let Some(row) = cursor.get_val(storage) {
        let mut id = None;
        cursor.map_times(storage, |&epoch, &diff| {
            if epochs.contains(&epoch) {
                deltas.push((*id.get_or_insert_with(|| rows.push(row)), epoch, diff));
            }
        });
        cursor.step_val(storage);
    }
    cursor.step_key(storage);
}

/// The rows of `key` before an epoch.
fn read_before(
    cursor: &mut RowCursor,
    storage: &Vec<Batch>,
    key: RowRef<'_>,
    epoch: u64,
    rows: &mut Gathered,
    old: &mut Counted,
) {
    cursor.seek_key(storage, key);
    if cursor.get_key(storage) != Some(key) {
        return;
    }
    while let Some(row) = cursor.get_val(storage) {
        let mut count = 0;
        cursor.map_times(storage, |&time, &diff| {
            if time < epoch {
                count += diff;
            }
        });
        if count != 0 {
            old.push((rows.push(row), count));
        }
        cursor.step_val(storage);
    }
}

fn at(deltas: &Deltas, epoch: u64) -> Counted {
    deltas
        .iter()
        .filter(|&&(_, time, _)| time == epoch)
        .map(|&(id, _, diff)| (id, diff))
        .collect()
}

fn count(rows: &[(RowId, i64)]) -> i64 {
    rows.iter().map(|&(_, count)| count).sum()
}

/// A key's rows on a side, or one row of nulls.
fn padded(side: &JoinedSide, mut rows: Counted) -> Counted {
    if side.padded && count(&rows) == 0 {
        rows.push((PADDED, 1));
    }
    rows
}

/// The change of a key's rows on a side: a row of nulls goes when the first row comes, and comes when the last one goes.
fn padded_change(side: &JoinedSide, old: &[(RowId, i64)], changes: &[(RowId, i64)]) -> Counted {
    let mut changes = changes.to_vec();
    if side.padded {
        let before = count(old);
        match (before == 0, before + count(&changes) == 0) {
            (true, false) => changes.push((PADDED, -1)),
            (false, true) => changes.push((PADDED, 1)),
            _ => {}
        }
    }
    changes
}

/// Adds changes to a key's rows; equal rows become one, and rows that are gone go.
fn merge(rows: &Gathered, old: &mut Counted, changes: Counted) {
    old.extend(changes);
    old.sort_unstable_by(|a, b| rows.bytes(a.0).cmp(rows.bytes(b.0)));
    old.dedup_by(|next, first| {
        let is_same = rows.bytes(next.0) == rows.bytes(first.0);
        if is_same {
            first.1 += next.1;
        }
        is_same
    });
    old.retain(|&(_, count)| count != 0);
}

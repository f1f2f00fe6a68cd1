//! Joins: inner, left, right and full equi-joins of two arrangements, one operator for all four.
//!
//! Epochs are totally ordered, so a join need not keep products of histories: for every key that changed in an epoch,
//! `new = changes(left) × old(right) + old(left) × changes(right) + changes(left) × changes(right)`, and a row of a preserved side is
//! padded with nulls in exactly those epochs in which the other side has no row of its key. Only the side whose counterpart changed is
//! read: a change of one row on the left reads the right rows of its key and nothing else.
//!
//! The arrangements are differential's; this operator differs from differential's own join in that it knows about padding (which
//! there needs a third arrangement of distinct keys) and emits columns.

use std::collections::BTreeMap;
use std::rc::Rc;

use arrow_array::new_null_array;
use arrow_schema::{ArrowError, SchemaRef};
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::cursor::{Cursor, CursorList, Navigable, cursor_list};
use differential_dataflow::trace::{SpanOf, TraceReader};
use tidemill_types::{ChangeBatch, Row, RowCodec};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Capability, Concatenate};
use timely::progress::frontier::{Antichain, AntichainRef, MutableAntichain};

use crate::arrange::{Arrangement, RowSpine, pad};
use crate::error::Context;
use crate::keyed::{BATCH_ROWS, KeyedLayout};
use crate::row_list::RowRef;
use crate::{Changes, Error, Failure, Packet, columns};

/// Which rows without a match are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preserve {
    /// Left rows (left and full joins).
    pub left: bool,
    /// Right rows (right and full joins).
    pub right: bool,
}

type Batch = <RowSpine as TraceReader>::Batch;
type RowCursor = CursorList<<Batch as Navigable>::Cursor>;

/// Joins two arrangements on their keys. Output: the left columns, then the right ones, named by `output`.
///
/// # Errors
/// If a type has no encoding.
pub fn join<'scope>(
    left: Arrangement<'scope>,
    right: Arrangement<'scope>,
    preserve: Preserve,
    output: &SchemaRef,
    name: &str,
    failure: &Failure,
) -> Result<Changes<'scope>, Error> {
    let mut streams = padded_null_keys(&left, &right, preserve, output, name, failure);
    let assembler = Assembler::new(left.layout, right.layout, output.clone()).of(name)?;
    let mut sides = Sides::new(left.arranged.trace, right.arranged.trace, preserve);
    let (operator, failure) = (name.to_owned(), failure.clone());
    let scope = left.arranged.stream.scope();
    let joined = left
        .arranged
        .stream
        .binary_frontier::<_, CapacityContainerBuilder<Vec<Packet>>, _, _, _, _>(
            right.arranged.stream,
            Pipeline,
            Pipeline,
            name,
            move |_, _| {
                let mut held: Option<Capability<u64>> = None;
                move |(left, left_frontier), (right, right_frontier), output| {
                    left.for_each(|capability, spans| {
                        hold(&mut held, capability.retain_least(0));
                        sides.left.pending.append(spans);
                    });
                    right.for_each(|capability, spans| {
                        hold(&mut held, capability.retain_least(0));
                        sides.right.pending.append(spans);
                    });
                    let upto = complete(left_frontier).min(complete(right_frontier));
                    if upto <= sides.done {
                        return;
                    }
                    let mut pairs = BTreeMap::new();
                    sides.advance(upto, &mut pairs);
                    for (epoch, pairs) in pairs {
                        let capability = held
                            .as_ref()
                            .expect("changes hold a capability")
                            .delayed(&epoch);
                        match assembler.batches(&pairs).of(&operator) {
                            Ok(mut packets) => {
                                output.session(&capability).give_container(&mut packets)
                            }
                            Err(error) => failure.report(error),
                        }
                    }
                    if sides.left.pending.is_empty() && sides.right.pending.is_empty() {
                        held = None;
                    } else if let Some(capability) =
                        held.as_mut().filter(|capability| *capability.time() < upto)
                    {
                        // Otherwise all that waits is of later epochs: that side is ahead of the other.
                        capability.downgrade(&upto);
                    }
                }
            },
        );
    streams.push(joined);
    Ok(scope.concatenate(streams))
}

/// Rows whose key has a null match nothing: those of a preserved side are padded at once.
fn padded_null_keys<'scope>(
    left: &Arrangement<'scope>,
    right: &Arrangement<'scope>,
    preserve: Preserve,
    output: &SchemaRef,
    name: &str,
    failure: &Failure,
) -> Vec<Changes<'scope>> {
    let sides = [(left, preserve.left, true), (right, preserve.right, false)];
    sides
        .into_iter()
        .filter(|&(_, preserved, _)| preserved)
        .map(|(side, _, first)| {
            let rows = side.null_keyed.clone();
            pad(rows, output.clone(), first, name, failure.clone())
        })
        .collect()
}

fn hold(held: &mut Option<Capability<u64>>, new: Option<Capability<u64>>) {
    if let Some(new) = new
        && held.as_ref().is_none_or(|held| new.time() < held.time())
    {
        *held = Some(new);
    }
}

/// The first epoch that may still bring changes.
fn complete(frontier: &MutableAntichain<u64>) -> u64 {
    frontier.frontier().first().copied().unwrap_or(u64::MAX)
}

/// One side: its index, and the batches of changes that are not joined yet.
struct Side {
    trace: TraceAgent<RowSpine>,
    pending: Vec<SpanOf<TraceAgent<RowSpine>>>,
}

impl Side {
    fn pending_cursor(&self) -> (RowCursor, Vec<Batch>) {
        cursor_list(
            self.pending
                .iter()
                .filter_map(|span| span.inner.clone())
                .collect(),
        )
    }

    /// A cursor over everything; times tell old from new.
    fn cursor(&mut self) -> (RowCursor, Vec<Batch>) {
        let batches = self
            .trace
            .batches_through(AntichainRef::new(&[]))
            .expect("a trace can always be read whole");
        cursor_list(batches)
    }

    /// Forgets what is joined, and lets the index merge it.
    fn release(&mut self, upto: u64) {
        self.pending.retain(|span| {
            span.upper().first().is_none_or(|&upper| upper > upto) && upto != u64::MAX
        });
        // Times before `upto` must stay distinguishable from `upto` itself.
        self.trace
            .set_logical_compaction(Antichain::from_elem(upto - 1).borrow());
        self.trace
            .set_physical_compaction(Antichain::from_elem(upto).borrow());
    }
}

/// The changes of one key's rows in the epochs at hand: row, epoch, diff.
type Deltas = Vec<(Row, u64, i64)>;

/// Joined rows of one epoch: key, left value, right value, diff. `None` is a padded side.
#[derive(Default)]
struct Pairs(Vec<(Row, Option<Row>, Option<Row>, i64)>);

struct Sides {
    left: Side,
    right: Side,
    preserve: Preserve,
    /// Everything before this epoch is joined.
    done: u64,
}

impl Sides {
    const fn new(
        left: TraceAgent<RowSpine>,
        right: TraceAgent<RowSpine>,
        preserve: Preserve,
    ) -> Self {
        Self {
            left: Side {
                trace: left,
                pending: Vec::new(),
            },
            right: Side {
                trace: right,
                pending: Vec::new(),
            },
            preserve,
            done: 0,
        }
    }

    /// Joins all changes before `upto`.
    fn advance(&mut self, upto: u64, pairs: &mut BTreeMap<u64, Pairs>) {
        if self
            .left
            .pending
            .iter()
            .chain(&self.right.pending)
            .any(|span| span.inner.is_some())
        {
            let (mut left_new, left_new_storage) = self.left.pending_cursor();
            let (mut right_new, right_new_storage) = self.right.pending_cursor();
            let (mut left_all, left_storage) = self.left.cursor();
            let (mut right_all, right_storage) = self.right.cursor();
            while let Some(key) =
                next_key(&left_new, &left_new_storage, &right_new, &right_new_storage)
            {
                let left_deltas = deltas(&mut left_new, &left_new_storage, &key, self.done..upto);
                let right_deltas =
                    deltas(&mut right_new, &right_new_storage, &key, self.done..upto);
                if left_deltas.is_empty() && right_deltas.is_empty() {
                    continue;
                }
                let needs_left = !right_deltas.is_empty() || self.preserve.right;
                let needs_right = !left_deltas.is_empty() || self.preserve.left;
                let left_old = if needs_left {
                    old(&mut left_all, &left_storage, &key, self.done)
                } else {
                    Vec::new()
                };
                let right_old = if needs_right {
                    old(&mut right_all, &right_storage, &key, self.done)
                } else {
                    Vec::new()
                };
                join_key(
                    &key,
                    [left_old, right_old],
                    &[left_deltas, right_deltas],
                    self.preserve,
                    pairs,
                );
            }
        }
        self.done = upto;
        self.left.release(upto);
        self.right.release(upto);
    }
}

/// The least key that either side's changes are at.
fn next_key(
    left: &RowCursor,
    left_storage: &Vec<Batch>,
    right: &RowCursor,
    right_storage: &Vec<Batch>,
) -> Option<Row> {
    let keys = [left.get_key(left_storage), right.get_key(right_storage)];
    keys.into_iter().flatten().min().map(RowRef::to_row)
}

/// The changes of `key` in `epochs`; leaves the cursor at the key after it.
fn deltas(
    cursor: &mut RowCursor,
    storage: &Vec<Batch>,
    key: &Row,
    epochs: std::ops::Range<u64>,
) -> Deltas {
    let mut deltas = Vec::new();
    if cursor.get_key(storage) == Some(RowRef(key.as_bytes())) {
        while let Some(row) = cursor.get_val(storage) {
            cursor.map_times(storage, |&epoch, &diff| {
                if epochs.contains(&epoch) {
                    deltas.push((row.to_row(), epoch, diff));
                }
            });
            cursor.step_val(storage);
        }
        cursor.step_key(storage);
    }
    deltas
}

/// The rows of `key` before epoch `done`.
fn old(cursor: &mut RowCursor, storage: &Vec<Batch>, key: &Row, done: u64) -> Vec<(Row, i64)> {
    let mut rows = Vec::new();
    cursor.seek_key(storage, RowRef(key.as_bytes()));
    if cursor.get_key(storage) == Some(RowRef(key.as_bytes())) {
        while let Some(row) = cursor.get_val(storage) {
            let mut count = 0;
            cursor.map_times(storage, |&epoch, &diff| {
                if epoch < done {
                    count += diff;
                }
            });
            if count != 0 {
                rows.push((row.to_row(), count));
            }
            cursor.step_val(storage);
        }
    }
    rows
}

/// Joins the changes of one key, epoch by epoch.
fn join_key(
    key: &Row,
    mut old: [Vec<(Row, i64)>; 2],
    deltas: &[Deltas; 2],
    preserve: Preserve,
    pairs: &mut BTreeMap<u64, Pairs>,
) {
    let mut epochs: Vec<u64> = deltas
        .iter()
        .flatten()
        .map(|&(_, epoch, _)| epoch)
        .collect();
    epochs.sort_unstable();
    epochs.dedup();
    for epoch in epochs {
        let out = &mut pairs.entry(epoch).or_default().0;
        let at = |side: usize| -> Vec<(Row, i64)> {
            deltas[side]
                .iter()
                .filter(|(_, time, _)| *time == epoch)
                .map(|(row, _, diff)| (row.clone(), *diff))
                .collect()
        };
        let [left_new, right_new] = [at(0), at(1)];
        let [left_old, right_old] = &mut old;
        let mut product = |left: &[(Row, i64)], right: &[(Row, i64)]| {
            for (left, left_count) in left {
                out.extend(right.iter().map(|(right, count)| {
                    (
                        key.clone(),
                        Some(left.clone()),
                        Some(right.clone()),
                        left_count * count,
                    )
                }));
            }
        };
        product(&left_new, right_old);
        product(left_old, &right_new);
        product(&left_new, &right_new);
        if preserve.left {
            padded(left_old, &left_new, right_old, &right_new, |row, diff| {
                out.push((key.clone(), Some(row.clone()), None, diff))
            });
        }
        if preserve.right {
            padded(right_old, &right_new, left_old, &left_new, |row, diff| {
                out.push((key.clone(), None, Some(row.clone()), diff))
            });
        }
        merge(left_old, left_new);
        merge(right_old, right_new);
    }
}

/// The change of the padded rows of a preserved side, from the rows of both sides before and their changes.
fn padded(
    old: &[(Row, i64)],
    new: &[(Row, i64)],
    other_old: &[(Row, i64)],
    other_new: &[(Row, i64)],
    mut emit: impl FnMut(&Row, i64),
) {
    let count = |rows: &[(Row, i64)]| rows.iter().map(|(_, count)| count).sum::<i64>();
    let before = count(other_old);
    let after = before + count(other_new);
    if before == 0 && after != 0 {
        old.iter().for_each(|(row, count)| emit(row, -count));
    } else if before != 0 && after == 0 {
        old.iter()
            .chain(new)
            .for_each(|(row, count)| emit(row, *count));
    } else if after == 0 {
        new.iter().for_each(|(row, count)| emit(row, *count));
    }
}

fn merge(old: &mut Vec<(Row, i64)>, new: Vec<(Row, i64)>) {
    old.extend(new);
    differential_dataflow::consolidation::consolidate(old);
}

/// Puts joined rows together as columns.
struct Assembler {
    left: Rc<KeyedLayout>,
    right: Rc<KeyedLayout>,
    output: SchemaRef,
    null_key: Row,
    null_left: Row,
    null_right: Row,
}

impl Assembler {
    fn new(
        left: Rc<KeyedLayout>,
        right: Rc<KeyedLayout>,
        output: SchemaRef,
    ) -> Result<Self, ArrowError> {
        let (null_key, null_left, null_right) = (
            null_row(&left.key, &left, true)?,
            null_row(&left.value, &left, false)?,
            null_row(&right.value, &right, false)?,
        );
        Ok(Self {
            left,
            right,
            output,
            null_key,
            null_left,
            null_right,
        })
    }

    fn batches(&self, pairs: &Pairs) -> Result<Vec<Packet>, ArrowError> {
        pairs
            .0
            .chunks(BATCH_ROWS)
            .map(|chunk| self.batch(chunk).map(Packet::from))
            .collect()
    }

    fn batch(
        &self,
        pairs: &[(Row, Option<Row>, Option<Row>, i64)],
    ) -> Result<ChangeBatch, ArrowError> {
        let keys = self
            .left
            .key
            .decode(pairs.iter().map(|(key, ..)| key.as_bytes()))?;
        // A padded side has null keys too.
        let side_keys = |is_padded: &dyn Fn(usize) -> bool| -> Result<_, ArrowError> {
            if (0..pairs.len()).any(is_padded) {
                let keys = pairs.iter().enumerate().map(|(i, (key, ..))| {
                    if is_padded(i) {
                        self.null_key.as_bytes()
                    } else {
                        key.as_bytes()
                    }
                });
                self.left.key.decode(keys)
            } else {
                Ok(keys.clone())
            }
        };
        let left_keys = side_keys(&|i| pairs[i].1.is_none())?;
        let right_keys = side_keys(&|i| pairs[i].2.is_none())?;
        let left_values = self.left.value.decode(
            pairs
                .iter()
                .map(|(_, left, ..)| left.as_ref().unwrap_or(&self.null_left).as_bytes()),
        )?;
        let right_values = self.right.value.decode(
            pairs
                .iter()
                .map(|(_, _, right, _)| right.as_ref().unwrap_or(&self.null_right).as_bytes()),
        )?;
        let mut arrays = self.left.assemble(&left_keys, &left_values);
        arrays.extend(self.right.assemble(&right_keys, &right_values));
        let rows = columns::batch(&self.output, arrays, pairs.len())?;
        Ok(ChangeBatch::new(
            rows,
            pairs.iter().map(|&(.., diff)| diff).collect(),
        ))
    }
}

/// An encoded row of nulls for the key or the value columns of a layout.
fn null_row(codec: &RowCodec, layout: &KeyedLayout, key: bool) -> Result<Row, ArrowError> {
    let arrays: Vec<_> = (layout.schema().fields().iter().enumerate())
        .filter(|(i, _)| layout.key_columns().contains(i) == key)
        .map(|(_, field)| new_null_array(field.data_type(), 1))
        .collect();
    Ok(Row::from(codec.encode(&arrays, 1)?.bytes(0)))
}

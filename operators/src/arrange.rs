//! Arrangements: changes indexed by key in differential's spines, as encoded rows, shared by the joins that need the same one.

use arrow_array::Array;
use arrow_array::{BooleanArray, new_null_array};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ord_neu::OrdValBatch;
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use std::rc::Rc;
use tidemill_types::{ChangeBatch, Row};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::ToStream;

use crate::batcher::{Dated, RowBatcher, RowLayout};
use crate::error::Context;
use crate::keyed::KeyedLayout;
use crate::shell::Batches;
use crate::{Changes, Error, Failure, Packet, columns, route};

/// One change of a keyed row.
pub type Update = ((Row, Row), u64, i64);

/// A spine of encoded rows.
pub type RowSpine = Spine<Rc<OrdValBatch<RowLayout>>>;

/// A stream indexed by key, and the rows whose key has a null (which equals nothing) beside it.
#[derive(Clone)]
pub struct Arrangement<'scope> {
    /// The index.
    pub arranged: Arranged<'scope, TraceAgent<RowSpine>>,
    /// How its rows are encoded.
    pub layout: Rc<KeyedLayout>,
    /// Rows with a null in the key that are not in the index; they keep no state.
    pub null_keyed: Changes<'scope>,
}

/// Indexes a stream by the key of a layout.
///
/// # Errors
/// If a key column has no encoding.
pub fn arrange<'scope>(
    input: Changes<'scope>,
    layout: KeyedLayout,
    name: &str,
    failure: &Failure,
) -> Result<Arrangement<'scope>, Error> {
    let (keyed, null_keyed) =
        split_null_keys(input, layout.key_columns().to_vec(), name, failure.clone());
    Ok(Arrangement {
        null_keyed,
        ..arrange_with_nulls(keyed, layout, name, failure)?
    })
}

/// Indexes a stream by the key of a layout, with the rows whose key has a null: what is joined with it by that key must hold no such rows.
///
/// # Errors
/// If a key column has no encoding.
pub fn arrange_with_nulls<'scope>(
    input: Changes<'scope>,
    layout: KeyedLayout,
    name: &str,
    failure: &Failure,
) -> Result<Arrangement<'scope>, Error> {
    let layout = Rc::new(layout);
    let scope = input.scope();
    let key = layout.key_columns().to_vec();
    let routed = route::by_key(input, name, layout.schema(), key, failure.clone())?;
    let batcher = RowBatcher::new(name, Rc::clone(&layout), failure.clone());
    let pact = Exchange::new(|(_, packet): &Dated| packet.worker);
    let arranged = arrange_core::<_, _, _, RowSpine>(dated(routed), pact, name, |_, _| batcher);
    Ok(Arrangement {
        arranged,
        layout,
        null_keyed: None.to_stream(scope),
    })
}

/// Packets with their epochs.
fn dated<'scope>(input: Changes<'scope>) -> Batches<'scope, Dated> {
    input.unary::<CapacityContainerBuilder<Vec<Dated>>, _, _, _>(Pipeline, "dated", |_, _| {
        |input, output| {
            input.for_each(|capability, packets| {
                let epoch = *capability.least().expect("a message carries its epoch");
                let mut session = output.session(&capability);
                session.give_iterator(packets.drain(..).map(|packet| (epoch, packet)));
            });
        }
    })
}

/// Encodes batches as keyed updates.
pub fn encode<'scope>(
    input: Changes<'scope>,
    layout: Rc<KeyedLayout>,
    name: &str,
    failure: Failure,
) -> Batches<'scope, Update> {
    let operator = name.to_owned();
    input.unary::<CapacityContainerBuilder<Vec<Update>>, _, _, _>(
        Pipeline,
        &format!("encode {name}"),
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, packets| {
                    let epoch = *capability.least().expect("a message carries its epoch");
                    let mut session = output.session(&capability);
                    for packet in packets.drain(..) {
                        let changes = &packet.changes;
                        let encoded = layout
                            .encode_keys(&changes.rows)
                            .and_then(|keys| Ok((keys, layout.encode_values(&changes.rows)?)));
                        match encoded.of(&operator) {
                            Ok((keys, values)) => {
                                session.give_iterator((0..changes.len()).map(|row| {
                                    (
                                        (Row::from(keys.bytes(row)), Row::from(values.bytes(row))),
                                        epoch,
                                        changes.diff(row),
                                    )
                                }))
                            }
                            Err(error) => failure.report(error),
                        }
                    }
                });
            }
        },
    )
}

fn split_null_keys<'scope>(
    input: Changes<'scope>,
    key: Vec<usize>,
    name: &str,
    failure: Failure,
) -> (Changes<'scope>, Changes<'scope>) {
    let operator = name.to_owned();
    let mut builder = OperatorBuilder::new(format!("null keys {name}"), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    let (keyed, keyed_stream) = builder.new_output::<Vec<Packet>>();
    let (nulls, nulls_stream) = builder.new_output::<Vec<Packet>>();
    let mut keyed = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(keyed);
    let mut nulls = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(nulls);
    builder.build(move |_| {
        move |_| {
            let (mut keyed, mut nulls) = (keyed.activate(), nulls.activate());
            input.for_each(|capability, packets| {
                for packet in packets.drain(..) {
                    let is_null: Vec<bool> = (0..packet.changes.len())
                        .map(|row| {
                            key.iter()
                                .any(|&column| packet.changes.rows.column(column).is_null(row))
                        })
                        .collect();
                    if !is_null.contains(&true) {
                        keyed.session(&capability).give(packet);
                        continue;
                    }
                    match select(&packet.changes, &is_null, false)
                        .and_then(|rest| Ok((rest, select(&packet.changes, &is_null, true)?)))
                        .of(&operator)
                    {
                        Ok((rest, null_keyed)) => {
                            keyed.session(&capability).give(Packet::from(rest));
                            nulls.session(&capability).give(Packet::from(null_keyed));
                        }
                        Err(error) => failure.report(error),
                    }
                }
            });
        }
    });
    (keyed_stream, nulls_stream)
}

/// The rows whose flag is `wanted`.
fn select(
    changes: &ChangeBatch,
    flags: &[bool],
    wanted: bool,
) -> Result<ChangeBatch, arrow_schema::ArrowError> {
    let mask: BooleanArray = flags.iter().map(|&flag| Some(flag == wanted)).collect();
    let diffs = changes.diffs.as_ref().map(|diffs| {
        diffs
            .iter()
            .zip(flags)
            .filter(|&(_, &flag)| flag == wanted)
            .map(|(&diff, _)| diff)
            .collect()
    });
    Ok(ChangeBatch {
        rows: filter_record_batch(&changes.rows, &mask)?,
        diffs,
    })
}

/// Rows of one side of an outer join, with nulls for the columns of the others; their own columns begin at `start`. Those of
/// epochs up to `unneeded_through` are dropped.
pub fn pad<'scope>(
    input: Changes<'scope>,
    output: SchemaRef,
    start: usize,
    unneeded_through: Option<u64>,
    name: &str,
    failure: Failure,
) -> Changes<'scope> {
    let operator = name.to_owned();
    input.unary::<CapacityContainerBuilder<Vec<Packet>>, _, _, _>(
        Pipeline,
        &format!("pad {name}"),
        move |_, _| {
            move |input, out| {
                input.for_each(|capability, packets| {
                    let epoch = *capability.least().expect("a message carries its epoch");
                    if unneeded_through.is_some_and(|last| epoch <= last) {
                        return;
                    }
                    let mut session = out.session(&capability);
                    for Packet { changes, .. } in packets.drain(..) {
                        let (rows, len) = (&changes.rows, changes.len());
                        let arrays = (0..output.fields().len())
                            .map(|i| {
                                match i.checked_sub(start).filter(|&i| i < rows.num_columns()) {
                                    Some(i) => rows.column(i).clone(),
                                    None => new_null_array(output.field(i).data_type(), len),
                                }
                            })
                            .collect();
                        match columns::batch(&output, arrays, len).of(&operator) {
                            Ok(rows) => session.give(Packet::from(ChangeBatch {
                                rows,
                                diffs: changes.diffs,
                            })),
                            Err(error) => failure.report(error),
                        }
                    }
                });
            }
        },
    )
}

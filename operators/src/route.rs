//! Sends each row to the worker that owns its key: batches are split by owner, not sent row by row.

use arrow_array::UInt32Array;
use arrow_select::take::take_record_batch;
use tidemill_types::key_group::{key_group, worker_of};
use tidemill_types::{ChangeBatch, RowCodec};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use crate::error::Context;
use crate::{Changes, Error, Failure, Packet};

/// Addresses each row to the owner of the key group of its `key` columns (indexes into the stream's columns). To be followed by an
/// operator that exchanges by [`Packet::worker`].
///
/// # Errors
/// If a key column's type has no encoding.
pub fn by_key<'scope>(
    input: Changes<'scope>,
    name: &str,
    schema: &arrow_schema::SchemaRef,
    key: Vec<usize>,
    failure: Failure,
) -> Result<Changes<'scope>, Error> {
    let workers = input.scope().peers();
    if workers == 1 {
        return Ok(input);
    }
    let codec = RowCodec::new(key.iter().map(|&i| schema.field(i).data_type())).of(name)?;
    let operator = name.to_owned();
    Ok(
        input.unary::<CapacityContainerBuilder<Vec<Packet>>, _, _, _>(
            Pipeline,
            &format!("route {name}"),
            move |_, _| {
                move |input, output| {
                    input.for_each(|capability, packets| {
                        let mut session = output.session(&capability);
                        for packet in packets.drain(..) {
                            match split(&codec, &key, &packet.changes, workers).of(&operator) {
                                Ok(parts) => parts.into_iter().for_each(|part| session.give(part)),
                                Err(error) => failure.report(error),
                            }
                        }
                    });
                }
            },
        ),
    )
}

fn split(
    codec: &RowCodec,
    key: &[usize],
    changes: &ChangeBatch,
    workers: usize,
) -> Result<Vec<Packet>, arrow_schema::ArrowError> {
    let columns: Vec<_> = key
        .iter()
        .map(|&i| changes.rows.column(i).clone())
        .collect();
    let keys = codec.encode(&columns, changes.len())?;
    let mut indices = vec![Vec::new(); workers];
    for (row, i) in (0..changes.len()).zip(0u32..) {
        indices[worker_of(key_group(keys.bytes(row)), workers)].push(i);
    }
    let mut parts = Vec::with_capacity(workers);
    for (worker, indices) in (0u64..).zip(indices) {
        if indices.is_empty() {
            continue;
        }
        let diffs = changes
            .diffs
            .as_ref()
            .map(|diffs| indices.iter().map(|&i| diffs[i as usize]).collect());
        let rows = take_record_batch(&changes.rows, &UInt32Array::from(indices))?;
        parts.push(Packet {
            worker,
            changes: ChangeBatch { rows, diffs },
            place: None,
        });
    }
    Ok(parts)
}

//! Where rows leave: in what order a sink writes them, and whether it keeps them; and where dead letters go that no sink takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_expr::Expr;
use tidemill_checkpoints::DeadLetterFile;
use tidemill_jobs::plan::{Contents, NodeId, NodeOp, SinkPlan};
use tidemill_operators::ledger::ledger_letters;
use tidemill_operators::shell::epoch_operator;
use tidemill_operators::uncomputed::Uncomputed;
use tidemill_operators::{self as operators, Packet, route, sink};
use tidemill_types::{ChangeBatch, DeadLetter};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::{Inspect, Probe, probe};
use timely::progress::Stamp;

use super::needed::Needed;
use super::{Renderer, tables};
use crate::Error;
use crate::event::Event;

impl Renderer<'_, '_> {
    pub(super) fn sink(&mut self, index: usize, probe: &probe::Handle<u64>) -> Result<(), Error> {
        let plan = &self.context.plan.sinks[index];
        let schema = self.schema(plan.input);
        let mode = self.mode(plan);
        let mut sink = self.sink_of(index, mode)?;
        let keeps_rows = plan.shares_keys;
        let input = self.streams[&plan.input].clone();
        let stays = mode == sink::Mode::Append(sink::Order::Arrival);
        let input = if plan.key.is_empty() || stays {
            input
        } else {
            route::by_key(
                input,
                &plan.name,
                schema,
                sink.key_columns().to_vec(),
                self.context.failure.clone(),
            )?
        };
        let events = self.context.events.clone();
        // What is delivered, its target may not have yet; through the checkpoint the outbox has it.
        let suppress_through = if plan.is_delivered {
            self.context.restored_epoch
        } else {
            self.context.suppress_through
        };
        let limits = Arc::clone(self.context.limits);
        let letters_needed = self.dead_letters_needed() > Needed::Uncommitted;
        let uncomputed = self.uncomputed();
        // What stays in its source's order stays on its worker, too.
        let here = self.scope.index() as u64;
        let pact = Exchange::new(move |packet: &Packet| if stays { here } else { packet.worker });
        let (dead, kept) = epoch_operator::<_, Packet, Packet, _, _>(
            input,
            pact,
            self.ticks.clone(),
            &plan.name,
            self.context.failure.clone(),
            move |epoch, tick, input, dead, kept| {
                // What a restore brings is committed, and the rows of it are kept already. What is replayed is
                // committed, too, but not kept.
                let is_committed = epoch <= suppress_through;
                if tick.restored || (is_committed && !keeps_rows && !letters_needed) {
                    return Ok(());
                }
                let closing = sink::Closing {
                    clock_ms: tick.clock_ms,
                    record_bytes_max: limits.of(index, epoch),
                };
                for (partition, changes) in parts(input, stays) {
                    let sink::Written { records, refused } = sink.on_epoch(&changes, closing)?;
                    if !refused.is_empty() {
                        let (told, whole) = letters(&refused, &uncomputed);
                        dead.extend(told);
                        kept.push(whole);
                    }
                    if !records.is_empty() && !is_committed {
                        // Nobody listens any more only if the run is over.
                        let _ = events.send(Event::Output {
                            epoch,
                            sink: index,
                            partition,
                            records,
                        });
                    }
                }
                Ok(())
            },
        );
        self.dead.push(dead.probe_with(probe));
        self.kept.push(kept);
        Ok(())
    }

    /// The logic of a sink.
    fn sink_of(&self, index: usize, mode: sink::Mode) -> Result<sink::Sink, Error> {
        let plan = &self.context.plan.sinks[index];
        let schema = self.schema(plan.input);
        let format = self.format(&plan.name, &plan.format)?;
        let mut registries = plan.registries();
        if let Some(registry) = registries.find(|registry| registry.contract.is_none()) {
            let reason = format!("its schema was not registered under '{}'", registry.subject);
            return Err(self.plan_error(&plan.name, reason));
        }
        let columns = plan.columns(schema);
        let encoder = format.encoder(&plan.spec(&columns));
        let settings = sink::Settings {
            name: plan.name.clone(),
            key: plan.key.clone(),
            mode,
            encoder: encoder.map_err(|error| self.plan_error(&plan.name, error))?,
        };
        let conflicts = self.context.status.sinks[index].conflicts.clone();
        let sink = sink::Sink::new(settings, schema, conflicts)?;
        if !plan.shares_keys {
            return Ok(sink);
        }
        let state = self.context.store.table(&tables::sink(plan))?;
        Ok(sink.keeping_rows(state))
    }

    /// What a sink does with its rows, and in what order it writes them.
    fn mode(&self, plan: &SinkPlan) -> sink::Mode {
        if plan.contents != Contents::Rows {
            sink::Mode::Upsert
        } else if self.keeps_place(plan.input) {
            sink::Mode::Append(sink::Order::Arrival)
        } else if self.keeps_order(plan.input, plan.key.clone()) {
            sink::Mode::Append(sink::Order::Keys)
        } else {
            sink::Mode::Append(sink::Order::Rows)
        }
    }

    /// Hands over the dead letters that are to be kept beside the state: all, where no statement reads them, and else the records that are
    /// too large for their sink.
    pub(super) fn keep_dead_letters(
        &mut self,
        all: bool,
        probe: &probe::Handle<u64>,
    ) -> Result<(), Error> {
        let mut kept = std::mem::take(&mut self.kept);
        if all {
            kept.append(&mut self.dead);
        }
        let (events, suppress_through) =
            (self.context.events.clone(), self.context.suppress_through);
        let failure = self.context.failure.clone();
        let keep = move |event: Result<(&Stamp<u64>, &Vec<Packet>), &[u64]>| {
            let Ok((stamp, packets)) = event else { return };
            let epoch = *stamp.least().expect("a message carries its epoch");
            for packet in packets.iter().filter(|_| epoch > suppress_through) {
                let rows = packet.changes.rows.clone();
                if ledger_letters(&rows).is_none() {
                    failure.report(operators::Error::Plan {
                        operator: "dead letters".to_owned(),
                        reason: "they have other columns than a ledger".to_owned(),
                    });
                    return;
                }
                // Nobody listens any more only if the run is over.
                let _ = events.send(Event::DeadLetters { epoch, rows });
            }
        };
        self.concat(kept).inspect_core(keep).probe_with(probe);
        Ok(())
    }

    /// True if the rows at a node are what stateless stages make of one source.
    fn keeps_place(&self, node: NodeId) -> bool {
        match &self.context.plan.nodes[node].op {
            NodeOp::Source(_) => true,
            op => op.stage().is_computed() && self.keeps_place(op.inputs()[0]),
        }
    }

    /// True if the rows of one `key` at a node come from a resequencer by columns of that key, through stateless stages
    /// only.
    fn keeps_order(&self, node: NodeId, key: Vec<String>) -> bool {
        match &self.context.plan.nodes[node].op {
            NodeOp::Resequence(stage) => stage.per.iter().all(|column| key.contains(column)),
            NodeOp::Filter(stage) => self.keeps_order(stage.input, key),
            NodeOp::Project(stage) => {
                let origin = |(expression, name): &(Expr, String)| match expression {
                    Expr::Column(column) if key.contains(name) => Some(column.name.clone()),
                    _ => None,
                };
                self.keeps_order(
                    stage.input,
                    stage.columns.iter().filter_map(origin).collect(),
                )
            }
            _ => false,
        }
    }
}

/// So much of a record that is too large stands in its dead letter, in bytes.
const BEGINNING_BYTES: usize = 1_024;

/// What a sink cannot write as rows of the ledger: their beginnings, counted, and all of them.
fn letters(refused: &[DeadLetter], uncomputed: &Uncomputed) -> (Option<Packet>, Packet) {
    let told: Vec<_> = refused.iter().map(beginning).collect();
    let told = uncomputed.rows(&told);
    let whole = ChangeBatch::inserts(uncomputed.ledger.rows(refused));
    (told.map(Packet::from), Packet::from(whole))
}

/// A dead letter of a record that cannot be written, small enough for a sink itself.
fn beginning(letter: &DeadLetter) -> DeadLetter {
    let bytes = letter.bytes.as_deref().unwrap_or_default();
    let end = bytes.len().min(BEGINNING_BYTES);
    DeadLetter {
        reason: format!(
            "{}; the first {end} bytes of it are here, all of them in '{}' of the state directory",
            letter.reason,
            DeadLetterFile::NEWEST
        ),
        bytes: Some(bytes[..end].to_vec()),
        truncated: end < bytes.len(),
        ..letter.clone()
    }
}

/// An epoch's changes as a sink takes them: all together, or by the source's partition that they come from and in the
/// order of the source.
fn parts(mut packets: Vec<Packet>, by_place: bool) -> BTreeMap<Option<u32>, Vec<ChangeBatch>> {
    if by_place {
        packets.sort_by_key(|packet| packet.place);
    }
    let mut parts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for packet in packets {
        let place = packet.place.filter(|_| by_place);
        parts
            .entry(place.map(|place| place.partition))
            .or_default()
            .push(packet.changes);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{ChangeBatch, Packet, parts};
    use arrow_array::RecordBatch;
    use tidemill_operators::SourcePlace;
    use tidemill_types::dead_letter::ledger_schema;

    fn packet(partition: u32, offset: i64) -> Packet {
        let rows = RecordBatch::new_empty(ledger_schema());
        let changes = ChangeBatch::inserts(rows);
        Packet {
            worker: 0,
            changes,
            place: Some(SourcePlace { partition, offset }),
        }
    }

    #[test]
    fn a_sink_in_the_order_of_its_source_takes_an_epoch_by_partition() {
        let packets = vec![packet(3, 9), packet(1, 5), packet(3, 2)];
        let counts = |by_place| -> Vec<(Option<u32>, usize)> {
            parts(packets.clone(), by_place)
                .into_iter()
                .map(|(partition, changes)| (partition, changes.len()))
                .collect()
        };
        assert_eq!(counts(true), [(Some(1), 1), (Some(3), 2)]);
        assert_eq!(counts(false), [(None, 3)]);
    }
}

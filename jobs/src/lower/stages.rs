//! The stages that statements declare: source, deduplication, table, resequencing. Equal ones are one node, and columns that no query
//! reads are not even decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::LogicalPlan;
use tidemill_types::dead_letter::ledger_schema;
use tidemill_types::system_columns::{self, Kept};

use super::graph::Graph;
use crate::catalog::{Catalog, DEAD_LETTERS, Deduplication, LATE, event_fields, table_schema};
use crate::error::{Error, Location};
use crate::plan::{self, Column, ColumnOrigin, NodeId, NodeOp, SourcePlan};
use crate::query::relation::{Relation, RowsOf};

/// What the queries of a job read.
#[derive(Debug, Default)]
pub struct Usage {
    /// The tables, streams and virtual tables that are read.
    read: BTreeSet<RowsOf>,
    /// Per source, the columns that are read.
    columns: BTreeMap<usize, BTreeSet<String>>,
}

impl Usage {
    /// Adds what an optimised plan reads.
    pub fn add(&mut self, plan: &LogicalPlan, catalog: &Catalog) {
        // The walk only looks; it cannot fail.
        let _ = plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(Relation::Rows {
                    rows_of, tumble, ..
                }) = scan.source.downcast_ref::<Relation>()
            {
                self.read.insert(rows_of.clone());
                if let Some(source) = source_of(rows_of, catalog) {
                    let columns = self.columns.entry(source).or_default();
                    columns.extend(
                        scan.projected_schema
                            .fields()
                            .iter()
                            .map(|field| field.name().clone()),
                    );
                    columns.extend(tumble.iter().map(|tumble| tumble.time.clone()));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }

    /// Adds the columns that the stages themselves need.
    fn add_stages(&mut self, catalog: &Catalog) {
        for rows_of in &self.read {
            let (source, needed): (_, Vec<Option<&String>>) = match rows_of {
                RowsOf::Table(index) => {
                    let table = &catalog.tables[*index];
                    let by = table
                        .deduplication
                        .as_ref()
                        .map(|deduplication| &deduplication.by);
                    (
                        table.source,
                        table
                            .key
                            .iter()
                            .map(Some)
                            .chain([table.version.as_ref(), by])
                            .collect(),
                    )
                }
                RowsOf::Stream(index) => {
                    let stream = &catalog.streams[*index];
                    let by = stream
                        .deduplication
                        .as_ref()
                        .map(|deduplication| &deduplication.by);
                    let order = stream.resequencing.iter();
                    let order = order
                        .flat_map(|order| order.per.iter().chain([&order.by]))
                        .map(Some);
                    (stream.source, order.chain([by]).collect())
                }
                RowsOf::DeadLetters | RowsOf::Late => continue,
            };
            let watermark = catalog.sources[source]
                .watermark
                .as_ref()
                .map(|watermark| &watermark.column);
            let needed = needed.into_iter().chain([watermark]).flatten().cloned();
            self.columns.entry(source).or_default().extend(needed);
        }
    }
}

fn source_of(rows_of: &RowsOf, catalog: &Catalog) -> Option<usize> {
    match rows_of {
        RowsOf::Table(index) => Some(catalog.tables[*index].source),
        RowsOf::Stream(index) => Some(catalog.streams[*index].source),
        RowsOf::DeadLetters | RowsOf::Late => None,
    }
}

/// The nodes of what is read, and the sources under them.
#[derive(Debug, Default)]
pub struct Stages {
    /// The sources that are read.
    pub sources: Vec<SourcePlan>,
    nodes: BTreeMap<RowsOf, NodeId>,
    /// Index of a catalog's source in `sources`.
    indices: BTreeMap<usize, usize>,
}

impl Stages {
    /// Builds the stages of all that is read.
    ///
    /// # Errors
    /// If the late ledger is read but nothing is resequenced; `late_at` is where it is read.
    pub fn build(
        graph: &mut Graph,
        mut usage: Usage,
        catalog: &Catalog,
        late_at: Location,
    ) -> Result<Self, Error> {
        usage.add_stages(catalog);
        let mut stages = Self::default();
        for (index, used) in &usage.columns {
            stages.indices.insert(*index, stages.sources.len());
            let kept = kept(catalog, &usage, *index);
            stages.sources.push(source(catalog, *index, used, kept));
        }
        let mut resequencers = Vec::new();
        for rows_of in &usage.read {
            let node = match rows_of {
                RowsOf::Table(index) => stages.table(graph, catalog, *index),
                RowsOf::Stream(index) => stages.stream(graph, catalog, *index, &mut resequencers),
                RowsOf::DeadLetters => graph.add(
                    DEAD_LETTERS,
                    NodeOp::DeadLetters(plan::DeadLetters),
                    ledger_schema(),
                ),
                RowsOf::Late if resequencers.is_empty() => {
                    let message = format!(
                        "'{LATE}' is empty: no stream with RESEQUENCE BY reaches a sink of this job"
                    );
                    return Err(Error::contradiction(late_at, message));
                }
                RowsOf::Late => graph.add(
                    LATE,
                    NodeOp::Late(plan::Late {
                        inputs: resequencers.clone(),
                    }),
                    ledger_schema(),
                ),
            };
            stages.nodes.insert(rows_of.clone(), node);
        }
        Ok(stages)
    }

    /// The node that emits what a relation reads; a stream's still has the system columns.
    pub fn node(&self, rows_of: &RowsOf) -> Option<NodeId> {
        self.nodes.get(rows_of).copied()
    }

    /// The source under a table or stream, as an index in [`Stages::sources`].
    pub fn source(&self, rows_of: &RowsOf, catalog: &Catalog) -> Option<usize> {
        self.indices.get(&source_of(rows_of, catalog)?).copied()
    }

    fn events(
        &self,
        graph: &mut Graph,
        catalog: &Catalog,
        source: usize,
        deduplication: Option<&Deduplication>,
    ) -> (usize, NodeId, SchemaRef) {
        let index = self.indices[&source];
        let plan = &self.sources[index];
        let mut fields = event_fields(&plan.columns, catalog.sources[source].envelope);
        fields.extend(system_columns::fields(plan.kept));
        let schema = Arc::new(Schema::new(fields));
        let mut node = graph.add(
            &plan.name,
            NodeOp::Source(plan::Source { source: index }),
            Arc::clone(&schema),
        );
        if let Some(Deduplication { by, within_ms }) = deduplication {
            let op = NodeOp::Dedup(plan::Dedup {
                input: node,
                uuid: by.clone(),
                within_ms: *within_ms,
            });
            node = graph.add(&plan.name, op, Arc::clone(&schema));
        }
        (index, node, schema)
    }

    fn table(&self, graph: &mut Graph, catalog: &Catalog, index: usize) -> NodeId {
        let table = &catalog.tables[index];
        let (source, input, _) =
            self.events(graph, catalog, table.source, table.deduplication.as_ref());
        let may_lack = catalog.may_lack(table);
        let op = NodeOp::Table(plan::Table {
            input,
            key: table.key.clone(),
            version: table.version.clone(),
            tombstone_ms: table.tombstone_ms,
            may_lack,
        });
        graph.add(
            &table.name.text,
            op,
            table_schema(&self.sources[source].columns),
        )
    }

    fn stream(
        &self,
        graph: &mut Graph,
        catalog: &Catalog,
        index: usize,
        resequencers: &mut Vec<NodeId>,
    ) -> NodeId {
        let stream = &catalog.streams[index];
        let (source, input, schema) =
            self.events(graph, catalog, stream.source, stream.deduplication.as_ref());
        let Some(order) = &stream.resequencing else {
            return input;
        };
        let op = NodeOp::Resequence(plan::Resequence {
            input,
            by: order.by.clone(),
            per: order.per.clone(),
            within_ms: order.within_ms,
            source,
        });
        // The time is for deduplication and the bytes for the late ledger; what is in order needs them no more.
        let extra = [system_columns::TIME, system_columns::BYTES];
        let kept = (schema.fields().iter())
            .filter(|field| !extra.contains(&field.name().as_str()))
            .cloned();
        let schema = Arc::new(Schema::new(kept.collect::<Vec<_>>()));
        let node = graph.add(&stream.name.text, op, schema);
        if !resequencers.contains(&node) {
            resequencers.push(node);
        }
        node
    }
}

/// What travels along with the records of a source beside their columns.
fn kept(catalog: &Catalog, usage: &Usage, source: usize) -> Kept {
    let mut kept = Kept::default();
    let reads = |ledger| usage.read.contains(ledger);
    for rows_of in &usage.read {
        match rows_of {
            RowsOf::Table(table) if catalog.tables[*table].source == source => {
                let table = &catalog.tables[*table];
                kept.time |= table.deduplication.is_some() || table.version.is_none();
                kept.bytes |= reads(&RowsOf::DeadLetters) && !catalog.may_lack(table).is_empty();
            }
            RowsOf::Stream(stream) if catalog.streams[*stream].source == source => {
                let stream = &catalog.streams[*stream];
                kept.time |= stream.deduplication.is_some();
                kept.bytes |= reads(&RowsOf::Late) && stream.resequencing.is_some();
            }
            _ => {}
        }
    }
    kept
}

fn source(catalog: &Catalog, index: usize, used: &BTreeSet<String>, kept: Kept) -> SourcePlan {
    let source = &catalog.sources[index];
    let used = |column: &&Column| used.contains(&column.name);
    let columns: Vec<_> = source.columns.iter().filter(used).cloned().collect();
    let reads_key = |column: &Column| matches!(column.origin, ColumnOrigin::Key(_));
    let key_registry = source.key_registry.as_ref();
    let key_registry = key_registry.filter(|_| columns.iter().any(reads_key));
    SourcePlan {
        name: source.name.text.clone(),
        connector: source.connector.clone(),
        history: source.history.clone(),
        format: source.format.clone(),
        columns,
        kept,
        watermark: source.watermark.clone(),
        registry: source.registry.clone(),
        key_registry: key_registry.cloned(),
        options: source.options.clone(),
    }
}

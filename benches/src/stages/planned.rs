//! What the plan says about a stage, as the settings of its operator.

use anyhow::Result;
use arrow_schema::SchemaRef;
use tidemill_formats::studio_json::{self, TimeLimit};
use tidemill_jobs::plan::{Aggregate, AggregateFunction, ColumnOrigin, SourcePlan, ledger_schema};
use tidemill_operators::accumulators::{AggregateSpec, Function};
use tidemill_operators::uncomputed::Uncomputed;
use tidemill_operators::{Counter, resequence};

use super::inputs::Inputs;

/// How a source's records are decoded.
pub fn decoder_spec(source: &SourcePlan) -> studio_json::Spec {
    let origin = |from: &ColumnOrigin| match from {
        ColumnOrigin::Data(field) => studio_json::Origin::Data(field.clone()),
        ColumnOrigin::Metadata(field) => studio_json::Origin::Metadata(field.clone()),
    };
    let columns = source.columns.iter().map(|column| studio_json::Column {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        nullable: column.nullable,
        origin: origin(&column.from),
    });
    studio_json::Spec {
        topic: source.name.clone(),
        entity: source.entity.clone(),
        columns: columns.collect(),
        kept: source.kept,
        time_limit: source.watermark.as_ref().map(|watermark| TimeLimit {
            column: watermark.column.clone(),
            max_future_ms: watermark.max_future_ms,
        }),
    }
}

/// How a source's events are put in order.
pub fn resequence_settings(
    inputs: &Inputs,
    by: &str,
    per: &[String],
    within_ms: i64,
    source: usize,
) -> resequence::Settings {
    let watermark = inputs.plan.sources[source].watermark.as_ref();
    resequence::Settings {
        name: format!("{}/resequence", inputs.plan.sources[source].name),
        by: by.to_owned(),
        per: per.to_vec(),
        within_ms,
        watermark_delay_ms: watermark.map_or(0, |watermark| watermark.delay_ms),
        topic: inputs.plan.sources[source].name.clone(),
    }
}

/// Where columns stand.
pub fn columns(schema: &SchemaRef, names: &[String]) -> Result<Vec<usize>> {
    Ok(names
        .iter()
        .map(|name| schema.index_of(name))
        .collect::<Result<_, _>>()?)
}

/// What a group is aggregated to.
pub fn specs(schema: &SchemaRef, aggregates: &[Aggregate]) -> Result<Vec<AggregateSpec>> {
    let spec = |aggregate: &Aggregate| -> Result<AggregateSpec> {
        let argument = aggregate
            .argument
            .as_ref()
            .map(|name| schema.index_of(name))
            .transpose()?;
        let function = match aggregate.function {
            AggregateFunction::Sum => Function::Sum,
            AggregateFunction::Count => Function::Count,
            AggregateFunction::Avg => Function::Avg,
            AggregateFunction::Min => Function::Min,
            AggregateFunction::Max => Function::Max,
        };
        let argument_type = argument.map(|i| schema.field(i).data_type().clone());
        Ok(AggregateSpec {
            function,
            argument,
            argument_type,
            distinct: aggregate.distinct,
            data_type: aggregate.data_type.clone(),
        })
    };
    aggregates.iter().map(spec).collect()
}

/// Where rows go that cannot be computed: there are none.
pub fn uncomputed() -> Uncomputed {
    Uncomputed {
        ledger: ledger_schema(),
        failed: Counter::default(),
    }
}

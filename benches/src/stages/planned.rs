//! What the plan says about a stage, as the settings of its operator.

use anyhow::{Context, Result};
use arrow_schema::SchemaRef;
use tidemill_jobs::plan::{AggregateCall, SourcePlan};
use tidemill_operators::accumulators::AggregateSpec;
use tidemill_operators::ledger::Ledger;
use tidemill_operators::uncomputed::Uncomputed;
use tidemill_operators::{Counter, resequence};
use tidemill_types::format::Decoder;
use tidemill_types::place::Places;

use super::inputs::Inputs;

/// How a source's records are decoded.
pub fn decoder(source: &SourcePlan) -> Result<Box<dyn Decoder>> {
    let formats = tidemill_formats::all();
    let format = formats.named(&source.format.name);
    let format = format.with_context(|| format!("no format '{}'", source.format.name))?;
    Ok(format.decoder(&source.spec(None))?)
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
        places: Places::new(&inputs.plan.sources[source].name, []),
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
pub fn specs(schema: &SchemaRef, aggregates: &[AggregateCall]) -> Result<Vec<AggregateSpec>> {
    let spec = |aggregate: &AggregateCall| -> Result<AggregateSpec> {
        let argument = aggregate
            .argument
            .as_ref()
            .map(|name| schema.index_of(name))
            .transpose()?;
        let argument_type = argument.map(|i| schema.field(i).data_type().clone());
        Ok(AggregateSpec {
            function: aggregate.function,
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
        ledger: Ledger::of("plan"),
        failed: Counter::default(),
    }
}

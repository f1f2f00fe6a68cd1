//! The rows of groups: the columns that are grouped by, then the aggregates.
//!
//! A group with an aggregate that does not fit its type has no row for as long as that is so: the row is left out
//! wherever it would be added and wherever it would be taken away, and a dead letter names the aggregate and the group.

use std::collections::BTreeMap;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::filter::filter_record_batch;
use tidemill_types::{ChangeBatch, sql_type};

use crate::accumulators::{AggregateSpec, Finished};
use crate::error::Context;
use crate::uncomputed::{Uncomputed, letter};
use crate::{Error, columns};

/// Puts the rows of groups together.
#[derive(Debug, Clone)]
pub struct GroupRows {
    operator: String,
    output: SchemaRef,
    /// What to say of each aggregate that does not fit.
    reasons: Vec<String>,
    uncomputed: Uncomputed,
}

impl GroupRows {
    /// Rows of `output` for aggregates over rows of `input`.
    #[must_use]
    pub fn new(
        operator: &str,
        aggregates: &[AggregateSpec],
        input: &SchemaRef,
        output: &SchemaRef,
        uncomputed: Uncomputed,
    ) -> Self {
        let reason = |spec: &AggregateSpec| {
            let argument = spec.argument.map_or("*", |i| input.field(i).name());
            let distinct = if spec.distinct { "distinct " } else { "" };
            format!(
                "'{}({distinct}{argument})' of a group cannot be computed: it does not fit {}",
                spec.function.name(),
                sql_type::name(&spec.data_type)
            )
        };
        Self {
            operator: operator.to_owned(),
            output: output.clone(),
            reasons: aggregates.iter().map(reason).collect(),
            uncomputed,
        }
    }

    /// The rows of groups with these keys and aggregates, and the dead letters of those that have none.
    ///
    /// # Errors
    /// If the columns do not fit the schema.
    pub fn assemble(
        &self,
        keys: Vec<ArrayRef>,
        finished: Finished,
        diffs: Vec<i64>,
    ) -> Result<(ChangeBatch, Option<ChangeBatch>), Error> {
        let beyond = finished.beyond;
        let arrays = keys.into_iter().chain(finished.columns).collect();
        self.split(arrays, &beyond, diffs).of(&self.operator)
    }

    fn split(
        &self,
        arrays: Vec<ArrayRef>,
        beyond: &BTreeMap<usize, usize>,
        diffs: Vec<i64>,
    ) -> Result<(ChangeBatch, Option<ChangeBatch>), ArrowError> {
        if beyond.is_empty() {
            let rows = columns::batch(&self.output, arrays, diffs.len())?;
            return Ok((ChangeBatch::new(rows, diffs), None));
        }
        // What does not fit is null for now, whatever the schema says of its column.
        let nullable = |field: &arrow_schema::FieldRef| field.as_ref().clone().with_nullable(true);
        let fields: Vec<_> = self.output.fields().iter().map(nullable).collect();
        let loose = std::sync::Arc::new(arrow_schema::Schema::new(fields));
        let all = columns::batch(&loose, arrays, diffs.len())?;
        let grouped = all.num_columns() - self.reasons.len();
        let keys = all.project(&(0..grouped).collect::<Vec<_>>())?;
        let added = beyond.iter().filter(|(group, _)| diffs[**group] > 0);
        let letters: Vec<_> = added
            .map(|(&group, &index)| {
                let reason = self.reasons[index].clone();
                letter(&self.operator, &keys, group, reason)
            })
            .collect();
        let fits: BooleanArray = (0..diffs.len())
            .map(|group| Some(!beyond.contains_key(&group)))
            .collect();
        let rows = filter_record_batch(&all, &fits)?;
        let rows = columns::batch(&self.output, rows.columns().to_vec(), rows.num_rows())?;
        let diffs = diffs
            .into_iter()
            .zip(fits.values())
            .filter(|(_, fits)| *fits);
        let diffs = diffs.map(|(diff, _)| diff).collect();
        debug_assert_eq!(rows.num_rows() + beyond.len(), fits.len(), "no row twice");
        Ok((
            ChangeBatch::new(rows, diffs),
            self.uncomputed.rows(&letters),
        ))
    }
}

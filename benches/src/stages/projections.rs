//! What the job's projections compute, as far as the measured stages need it: a bench must not name the library that evaluates them.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMillisecondType, UInt32Type};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch, TimestampMillisecondArray,
};
use arrow_schema::{DataType, SchemaRef};
use tidemill_operators::watermark::Fact;
use tidemill_types::{ChangeBatch, system_columns};

use super::dataflow::Epochs;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The greatest time of a batch.
pub fn fact(rows: &RecordBatch, time: &str) -> Option<Fact> {
    let partition = rows
        .column_by_name(system_columns::PARTITION)?
        .as_primitive::<UInt32Type>();
    let times = rows
        .column_by_name(time)?
        .as_primitive::<TimestampMillisecondType>();
    let time_max_ms = times.iter().flatten().max()?;
    Some(Fact::Time {
        partition: partition.value(0),
        time_max_ms,
    })
}

/// Changes with the columns of a projection that takes some of them, with or without a prefix (`b_amount` for `amount`).
pub fn selected(changes: &ChangeBatch, schema: &SchemaRef) -> Result<ChangeBatch> {
    let column = |name: &String| {
        let found = changes.rows.column_by_name(name);
        let found = found.or_else(|| changes.rows.column_by_name(name.split_once('_')?.1));
        found
            .cloned()
            .with_context(|| format!("the table has no column '{name}'"))
    };
    let arrays = schema.fields().iter().map(|field| column(field.name()));
    let rows = RecordBatch::try_new(schema.clone(), arrays.collect::<Result<_>>()?)?;
    Ok(ChangeBatch {
        rows,
        diffs: changes.diffs.clone(),
    })
}

/// Rows of a schema without the records' times and bytes, which tables with a version do without; and their schema.
pub fn narrow(rows: &Epochs, schema: &SchemaRef) -> Result<(Epochs, SchemaRef)> {
    let extra = [system_columns::TIME, system_columns::BYTES];
    let kept: Vec<usize> = (0..schema.fields().len())
        .filter(|&column| !extra.contains(&schema.field(column).name().as_str()))
        .collect();
    let narrow = |changes: &ChangeBatch| -> Result<ChangeBatch> {
        Ok(ChangeBatch {
            rows: changes.rows.project(&kept)?,
            diffs: changes.diffs.clone(),
        })
    };
    let rows = rows
        .iter()
        .map(|batches| batches.iter().map(narrow).collect());
    Ok((
        rows.collect::<Result<_>>()?,
        Arc::new(schema.project(&kept)?),
    ))
}

/// Bookings with the day that they fall in, and with what they bring in, take out and leave: what the job's projections compute.
pub fn windowed(bookings: &ChangeBatch, schema: &SchemaRef) -> Result<ChangeBatch> {
    let column = |name: &str| {
        bookings
            .rows
            .column_by_name(name)
            .with_context(|| format!("bookings have no column '{name}'"))
    };
    let times = column("booked_at")?.as_primitive::<TimestampMillisecondType>();
    let amounts = column("amount")?.as_primitive::<Decimal128Type>();
    let directions = column("direction")?.as_string::<i32>();
    // A booking without time falls in no window.
    let kept: Vec<usize> = (0..times.len())
        .filter(|&row| times.is_valid(row))
        .collect();
    let signed = |row: usize, of: &[(&str, i128)]| {
        let factor = of
            .iter()
            .find(|(direction, _)| directions.is_valid(row) && directions.value(row) == *direction);
        factor.map_or(Some(0), |(_, factor)| {
            amounts.is_valid(row).then(|| amounts.value(row) * factor)
        })
    };
    let values = |of: &[(&str, i128)], data_type: &DataType| -> Result<ArrayRef> {
        let array: Decimal128Array = kept.iter().map(|&row| signed(row, of)).collect();
        Ok(Arc::new(array.with_data_type(data_type.clone())))
    };
    let day = |after_ms: i64| -> ArrayRef {
        Arc::new(
            kept.iter()
                .map(|&row| Some(times.value(row).div_euclid(DAY_MS) * DAY_MS + after_ms))
                .collect::<TimestampMillisecondArray>(),
        )
    };
    let productions = column("production_id")?.as_primitive::<Int64Type>();
    let productions: ArrayRef = Arc::new(
        kept.iter()
            .map(|&row| productions.is_valid(row).then(|| productions.value(row)))
            .collect::<Int64Array>(),
    );
    let data_type = |name: &str| {
        schema
            .field_with_name(name)
            .map(|field| field.data_type().clone())
    };
    let arrays = vec![
        productions,
        day(0),
        day(DAY_MS),
        values(&[("in", 1)], &data_type("value")?)?,
        values(&[("out", 1)], &data_type("value_2")?)?,
        values(&[("in", 1), ("out", -1)], &data_type("value_3")?)?,
    ];
    let rows = RecordBatch::try_new(schema.clone(), arrays)?;
    let diffs = bookings
        .diffs
        .as_ref()
        .map(|diffs| kept.iter().map(|&row| diffs[row]).collect());
    Ok(ChangeBatch { rows, diffs })
}

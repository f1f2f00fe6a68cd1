//! What the property tests share: rows as plain values, state on disk that can be restarted, histories of changes, a slow oracle of the
//! aggregates, and (in [`dataflow`]) a timely run with inputs that progress apart from each other.

pub mod dataflow;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, FixedSizeBinaryBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
    UInt8Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;
use tidemill_operators::accumulators::AggregateSpec;
use tidemill_operators::columns::batch;
use tidemill_operators::ledger::Ledger;
use tidemill_operators::uncomputed::Uncomputed;
use tidemill_operators::{Counter, EpochOperator, Output, Tick};
use tidemill_state::{Settings, Store};
use tidemill_types::system_columns::{self, Kept};
use tidemill_types::{AggregateFunction, ChangeBatch};

pub const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);
pub const MONEY: DataType = DataType::Decimal128(18, 2);

/// One value of any type, in SQL's order with nulls first. A decimal is its unscaled integer, a floating-point number an integer of the same
/// order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    Null,
    Int(i128),
    Text(String),
    Bytes(Vec<u8>),
    Float(i64),
    Bool(bool),
}

impl Value {
    pub fn int(number: impl Into<i128>) -> Self {
        Self::Int(number.into())
    }

    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub fn float(number: f64) -> Self {
        Self::Float(in_order(number.to_bits().cast_signed()))
    }

    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(f64::from_bits(in_order(*number).cast_unsigned())),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => {
                Some(i64::try_from(*number).expect("the tests' numbers are small"))
            }
            _ => None,
        }
    }
}

/// Between the bits of a floating-point number and an integer of the same order, as in [`f64::total_cmp`]; its own inverse.
const fn in_order(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

impl<T: Into<i128>> From<Option<T>> for Value {
    fn from(number: Option<T>) -> Self {
        number.map_or(Self::Null, Self::int)
    }
}

/// A row.
pub type Values = Vec<Value>;

/// Rows and how often each is there; never zero.
pub type Multiset = BTreeMap<Values, i64>;

pub fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        fields
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
            .collect::<Vec<_>>(),
    ))
}

/// The declared columns, then the system columns.
pub fn with_system_columns(declared: &SchemaRef, kept: Kept) -> SchemaRef {
    let declared = declared.fields().iter().map(|field| field.as_ref().clone());
    Arc::new(Schema::new(
        declared
            .chain(system_columns::fields(kept))
            .collect::<Vec<_>>(),
    ))
}

pub fn record_batch(schema: &SchemaRef, rows: &[Values]) -> RecordBatch {
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| column(field.data_type(), rows.iter().map(|row| &row[i])))
        .collect();
    batch(schema, columns, rows.len()).expect("the rows are of the schema")
}

fn column<'a>(data_type: &DataType, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    macro_rules! integers {
        ($primitive:ty) => {
            Arc::new(PrimitiveArray::<$primitive>::from_iter(values.map(
                |value| match value {
                    Value::Int(number) => Some((*number).try_into().expect("in range")),
                    _ => None,
                },
            )))
        };
    }
    match data_type {
        DataType::Int64 => integers!(Int64Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Date32 => integers!(Date32Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Timestamp(TimeUnit::Millisecond, None) => integers!(TimestampMillisecondType),
        DataType::Decimal128(precision, scale) => {
            let numbers = values.map(|value| {
                if let Value::Int(number) = value {
                    Some(*number)
                } else {
                    None
                }
            });
            Arc::new(
                Decimal128Array::from_iter(numbers)
                    .with_precision_and_scale(*precision, *scale)
                    .expect("valid"),
            )
        }
        DataType::Float64 => Arc::new(Float64Array::from_iter(values.map(Value::as_float))),
        DataType::Utf8 => Arc::new(StringArray::from_iter(values.map(|value| {
            if let Value::Text(text) = value {
                Some(text)
            } else {
                None
            }
        }))),
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            values.for_each(|value| {
                builder.append_option(if let Value::Bytes(bytes) = value {
                    Some(bytes)
                } else {
                    None
                })
            });
            Arc::new(builder.finish())
        }
        DataType::FixedSizeBinary(size) => {
            let mut builder = FixedSizeBinaryBuilder::new(*size);
            values.for_each(|value| match value {
                Value::Bytes(bytes) => builder.append_value(bytes).expect("of the size"),
                _ => builder.append_null(),
            });
            Arc::new(builder.finish())
        }
        other => panic!("no test has a column of type {other}"),
    }
}

pub fn rows_of(batch: &RecordBatch) -> Vec<Values> {
    (0..batch.num_rows())
        .map(|row| {
            batch
                .columns()
                .iter()
                .map(|column| value(column, row))
                .collect()
        })
        .collect()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => Value::int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => Value::int(column.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => Value::int(column.as_primitive::<Date32Type>().value(row)),
        DataType::UInt8 => Value::int(column.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt32 => Value::int(column.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => Value::int(column.as_primitive::<UInt64Type>().value(row)),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            Value::int(column.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::Decimal128(..) => Value::Int(column.as_primitive::<Decimal128Type>().value(row)),
        DataType::Float64 => Value::float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Utf8 => Value::text(column.as_string::<i32>().value(row)),
        DataType::Binary => Value::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => {
            Value::Bytes(column.as_fixed_size_binary().value(row).to_vec())
        }
        other => panic!("no test has a column of type {other}"),
    }
}

/// Rows with diffs as batches of at most `batch_rows` rows.
pub fn batches(
    schema: &SchemaRef,
    changes: &[(Values, i64)],
    batch_rows: usize,
) -> Vec<ChangeBatch> {
    let batch = |changes: &[(Values, i64)]| {
        let (rows, diffs): (Vec<_>, Vec<_>) = changes.iter().cloned().unzip();
        let rows = record_batch(schema, &rows);
        if diffs.iter().all(|&diff| diff == 1) {
            ChangeBatch::inserts(rows)
        } else {
            ChangeBatch::new(rows, diffs)
        }
    };
    changes.chunks(batch_rows).map(batch).collect()
}

/// Rows that are all added once, as batches of at most `batch_rows` rows.
pub fn insert_batches(schema: &SchemaRef, rows: &[Values], batch_rows: usize) -> Vec<ChangeBatch> {
    rows.chunks(batch_rows)
        .map(|rows| ChangeBatch::inserts(record_batch(schema, rows)))
        .collect()
}

/// Adds changes to a multiset.
pub fn add(to: &mut Multiset, row: Values, diff: i64) {
    match to.get(&row).copied().unwrap_or_default() + diff {
        0 => to.remove(&row),
        count => to.insert(row, count),
    };
}

pub fn add_batches(to: &mut Multiset, batches: &[ChangeBatch]) {
    for batch in batches {
        rows_of(&batch.rows)
            .into_iter()
            .enumerate()
            .for_each(|(i, row)| add(to, row, batch.diff(i)));
    }
}

pub fn consolidated(batches: &[ChangeBatch]) -> Multiset {
    let mut rows = Multiset::new();
    add_batches(&mut rows, batches);
    rows
}

/// Puts items in an order that depends on the seed alone.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for i in (1..items.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let upper = usize::try_from(state >> 33).expect("31 bits");
        items.swap(i, upper % (i + 1));
    }
}

/// Hands out offsets, partition by partition.
#[derive(Default)]
pub struct Positions(BTreeMap<u32, i64>);

impl Positions {
    /// The next offset of a partition.
    pub fn next(&mut self, partition: u32) -> i64 {
        let next = self.0.entry(partition).or_default();
        *next += 1;
        *next
    }
}

/// A tick of an epoch in which all clocks show the same.
pub const fn tick(clock_ms: i64, watermark: Option<i64>) -> Tick {
    Tick {
        clock_ms,
        steady_ms: clock_ms,
        oldest_ms: clock_ms,
        newest_ms: clock_ms,
        restored: false,
        watermark,
    }
}

/// What an operator gives out at the end of an epoch.
pub fn at_end_of(operator: &mut impl EpochOperator, tick: &Tick, input: &[ChangeBatch]) -> Output {
    let mut output = Output::default();
    let done = operator.on_epoch(tick, input, &mut output);
    done.expect("state is usable");
    output
}

pub const fn restored_tick(clock_ms: i64, watermark: Option<i64>) -> Tick {
    Tick {
        restored: true,
        ..tick(clock_ms, watermark)
    }
}

/// One worker's state, and the checkpoints that it is restarted from.
pub struct Disk {
    root: TempDir,
    settings: Settings,
    store: Store,
    starts: usize,
}

impl Disk {
    /// With a cache that holds everything, or next to nothing, so that every read goes to the database.
    pub fn new(roomy: bool) -> Self {
        let memory = Path::new("/dev/shm");
        // In memory where the system has such a folder: RocksDB syncs a lot, and no test here cuts the power.
        let root = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        }
        .expect("a temporary folder");
        let settings = Settings {
            cache_bytes_max: if roomy { 16 << 20 } else { 0 },
            block_cache_bytes: 1 << 20,
            memtable_bytes: 1 << 20,
            tables: Vec::new(),
        };
        let store =
            Store::open(&root.path().join("live-0"), &settings).expect("the folder is writable");
        Self {
            root,
            settings,
            store,
            starts: 0,
        }
    }

    /// The one table of the operator under test.
    pub fn table(&self) -> tidemill_state::Table {
        self.store.table("operator").expect("opened once per start")
    }

    /// A checkpoint, and a new start from it in another folder.
    pub fn restart(&mut self) {
        self.starts += 1;
        let checkpoint = self.root.path().join(format!("checkpoint-{}", self.starts));
        self.store
            .freeze()
            .expect("no snapshot is outstanding")
            .write(&checkpoint)
            .expect("the folder is writable");
        let live = self.root.path().join(format!("live-{}", self.starts));
        let same_layout = self.starts % 2 == 1;
        self.store = Store::restore(&live, &[checkpoint], same_layout, &|_| true, &self.settings)
            .expect("the checkpoint is whole");
    }
}

/// What happens in one epoch of a history: rows to insert, or an index of what to take back.
pub type Ops = Vec<(Values, Option<Index>)>;

/// Epochs of inserts, three quarters, and retractions.
pub fn ops(
    row: impl Strategy<Value = Values>,
    epochs: std::ops::Range<usize>,
    per_epoch: usize,
) -> impl Strategy<Value = Vec<Ops>> {
    let op = (row, prop::option::weighted(0.4, any::<Index>()));
    prop::collection::vec(prop::collection::vec(op, 0..per_epoch), epochs)
}

/// The changes of each epoch: only rows that are there are taken back.
pub fn history(epochs: &[Ops]) -> Vec<Vec<(Values, i64)>> {
    let mut live: Vec<Values> = Vec::new();
    let mut change = |(row, retract): &(Values, Option<Index>)| match retract {
        Some(index) if !live.is_empty() => (live.swap_remove(index.index(live.len())), -1),
        _ => {
            live.push(row.clone());
            (row.clone(), 1)
        }
    };
    epochs
        .iter()
        .map(|ops| ops.iter().map(&mut change).collect())
        .collect()
}

/// The rows that are there after each epoch.
pub fn accumulated(history: &[Vec<(Values, i64)>]) -> Vec<Multiset> {
    let mut rows = Multiset::new();
    let after = |changes: &Vec<(Values, i64)>| {
        changes
            .iter()
            .for_each(|(row, diff)| add(&mut rows, row.clone(), *diff));
        rows.clone()
    };
    history.iter().map(after).collect()
}

/// An aggregate over a list of rows, by definition.
pub fn naive_aggregate(spec: &AggregateSpec, rows: &[&Values]) -> Value {
    let Some(argument) = spec.argument else {
        return Value::int(rows.len() as i64);
    };
    let mut arguments: Vec<&Value> = rows
        .iter()
        .map(|row| &row[argument])
        .filter(|value| **value != Value::Null)
        .collect();
    if spec.distinct {
        arguments = arguments
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
    }
    let count = arguments.len() as i128;
    match spec.function {
        AggregateFunction::Count => Value::Int(count),
        AggregateFunction::Min => arguments.into_iter().min().cloned().unwrap_or(Value::Null),
        AggregateFunction::Max => arguments.into_iter().max().cloned().unwrap_or(Value::Null),
        AggregateFunction::Sum | AggregateFunction::Avg if count == 0 => Value::Null,
        AggregateFunction::Sum | AggregateFunction::Avg if spec.data_type == DataType::Float64 => {
            let sum: f64 = arguments.iter().filter_map(|value| value.as_float()).sum();
            Value::float(if spec.function == AggregateFunction::Sum {
                sum
            } else {
                sum / f64::from(i32::try_from(count).expect("few"))
            })
        }
        AggregateFunction::Sum => Value::Int(exact_sum(&arguments)),
        AggregateFunction::Avg => {
            let scale = |data_type: &DataType| {
                if let DataType::Decimal128(_, scale) = data_type {
                    i32::from(*scale)
                } else {
                    0
                }
            };
            let shift = scale(&spec.data_type)
                - scale(
                    spec.argument_type
                        .as_ref()
                        .expect("an average has an argument"),
                );
            Value::Int(
                exact_sum(&arguments)
                    * 10_i128.pow(u32::try_from(shift).expect("an average has more digits"))
                    / count,
            )
        }
    }
}

fn exact_sum(arguments: &[&Value]) -> i128 {
    arguments
        .iter()
        .map(|value| {
            if let Value::Int(number) = value {
                *number
            } else {
                0
            }
        })
        .sum()
}

/// `function(argument)`, where the argument is a column of `input`; `None` counts rows.
pub fn spec(
    function: AggregateFunction,
    argument: Option<&str>,
    distinct: bool,
    data_type: DataType,
    input: &SchemaRef,
) -> AggregateSpec {
    let argument = argument.map(|name| input.index_of(name).expect("a column of the input"));
    AggregateSpec {
        function,
        argument,
        argument_type: argument.map(|i| input.field(i).data_type().clone()),
        distinct,
        data_type,
    }
}

/// Where rows go that cannot be computed.
pub fn uncomputed() -> Uncomputed {
    Uncomputed {
        ledger: Ledger::of("plan"),
        failed: Counter::default(),
    }
}

/// The columns of an aggregation: the group columns, then a column per aggregate.
pub fn aggregate_schema(input: &SchemaRef, group: &[usize], specs: &[AggregateSpec]) -> SchemaRef {
    let keys = group.iter().map(|&i| input.field(i).clone());
    let results = specs
        .iter()
        .enumerate()
        .map(|(i, spec)| Field::new(format!("aggregate_{i}"), spec.data_type.clone(), true));
    Arc::new(Schema::new(keys.chain(results).collect::<Vec<_>>()))
}

/// A GROUP BY by definition: rows are listed as often as they are there, grouped, and aggregated.
pub fn naive_group_by(rows: &Multiset, group: &[usize], specs: &[AggregateSpec]) -> Multiset {
    let mut groups: BTreeMap<Values, Vec<&Values>> = BTreeMap::new();
    if group.is_empty() {
        groups.insert(Values::new(), Vec::new());
    }
    for (row, &count) in rows {
        let key = group.iter().map(|&i| row[i].clone()).collect();
        groups
            .entry(key)
            .or_default()
            .extend((0..count).map(|_| row));
    }
    let result = |(key, rows): (Values, Vec<&Values>)| {
        (
            key.into_iter()
                .chain(specs.iter().map(|spec| naive_aggregate(spec, &rows)))
                .collect(),
            1,
        )
    };
    groups.into_iter().map(result).collect()
}

//! An expression of SQL as a function from rows to outcomes.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_cast::display::array_value_to_string;
use arrow_schema::SchemaRef;
use datafusion_common::DFSchema;
use datafusion_expr::Expr;
use datafusion_physical_expr::PhysicalExpr;
use tidemill_jobs::Profile;
use tidemill_jobs::exact::{Fault, compile};
use tidemill_jobs::plan::{self, JobPlan, NodeOp};

use crate::common;

/// `0001-01-01T00:00:00.000`.
pub const FIRST_MS: i64 = -62_135_596_800_000;
/// `9999-12-31T23:59:59.999`.
pub const LAST_MS: i64 = 253_402_300_799_999;
/// The last millisecond before nanoseconds begin, and the first after they end.
pub const NANOSECONDS: [i64; 2] = [-9_223_372_036_855, 9_223_372_036_855];
pub const MS_PER_DAY: i64 = 86_400_000;

/// Three columns of each type, so that a function can be given any types.
const DECLARATIONS: &str = "
CREATE SOURCE e (id BIGINT NOT NULL METADATA FROM 'id', ts TIMESTAMP METADATA FROM 'ts',
    i1 INT, i2 INT, i3 INT, b1 BIGINT, b2 BIGINT, b3 BIGINT, d1 DECIMAL(38, 4), d2 DECIMAL(38, 4), d3 DECIMAL(38, 4),
    f1 DOUBLE, f2 DOUBLE, f3 DOUBLE, t1 TIMESTAMP, t2 TIMESTAMP, t3 TIMESTAMP, y1 DATE, y2 DATE, y3 DATE,
    s1 VARCHAR, s2 VARCHAR, s3 VARCHAR, tags INT ARRAY, address STRUCT<city VARCHAR, geo STRUCT<x DOUBLE>>, counts MAP<VARCHAR, BIGINT>, items ARRAY<STRUCT<price DECIMAL(18, 2)>>)
WITH (connector = 'files', path = '/data', topic = 't', format = 'json', envelope = 'crud');
CREATE TABLE r (PRIMARY KEY (id)) FROM e;
";

/// The result of a row: its value in words (`None` is null), or why it has none.
pub type Outcome = Result<Option<String>, String>;

/// A planned expression.
pub struct Function {
    pub sql: String,
    physical: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    text: String,
}

/// Plans a query over the table `r`.
pub fn plan(select: &str) -> Result<JobPlan, String> {
    let sink =
        "CREATE SINK o WITH (connector = 'files', path = '/out', topic = 'o', key = 'id') AS\n";
    common::plan(
        "job",
        &format!("{DECLARATIONS}{sink}{select}"),
        &Profile::default(),
        &|_| None,
    )
    .map_err(|error| error.to_string())
}

/// An expression over the columns of `r`, as the engine gets it.
pub fn function(sql: &str) -> Result<Function, String> {
    let plan = plan(&format!("SELECT id, {sql} AS x FROM r"))?;
    let found = plan.nodes.iter().find_map(|node| match &node.op {
        NodeOp::Project(plan::Project { input, columns }) => {
            let (expr, _) = columns.iter().find(|(_, name)| name == "x")?;
            Some((expr.clone(), Arc::clone(&plan.nodes[*input].schema)))
        }
        _ => None,
    });
    let (expr, schema) = found.ok_or("not a projection")?;
    compiled(sql, &expr, schema)
}

fn compiled(sql: &str, expr: &Expr, schema: SchemaRef) -> Result<Function, String> {
    let columns = DFSchema::try_from(Arc::clone(&schema)).map_err(|error| error.to_string())?;
    let physical = compile(expr, &columns).map_err(|error| error.to_string())?;
    Ok(Function {
        sql: sql.to_owned(),
        physical,
        schema,
        text: format!("'{}'", tidemill_jobs::exact::sql(expr)),
    })
}

impl Function {
    /// Evaluates all rows at once.
    pub fn batch(&self, rows: &RecordBatch) -> Result<ArrayRef, String> {
        self.physical
            .evaluate(rows)
            .and_then(|value| value.into_array(rows.num_rows()))
            .map_err(|error| Fault::of(&self.text, &error).to_string())
    }

    /// Evaluates row by row, and asserts that a batch says the same: it fails if a row does, and else gives the rows'
    /// values.
    pub fn outcomes(&self, columns: &[(&str, ArrayRef)]) -> Vec<Outcome> {
        let rows = self.rows(columns);
        let outcomes: Vec<Outcome> = (0..rows.num_rows())
            .map(|row| {
                self.batch(&rows.slice(row, 1))
                    .map(|value| shown(&value, 0))
            })
            .collect();
        match self.batch(&rows) {
            Ok(values) => {
                for (row, outcome) in outcomes.iter().enumerate() {
                    let whole = Ok(shown(&values, row));
                    assert_eq!(
                        *outcome, whole,
                        "{}: row {row} alone, and in its batch",
                        self.sql
                    );
                }
            }
            Err(fault) => {
                assert!(
                    outcomes.iter().any(Result::is_err),
                    "{}: a batch of good rows fails: {fault}",
                    self.sql
                );
            }
        }
        for fault in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(
                fault.starts_with('\'')
                    && fault.contains("' ")
                    && fault.contains("cannot be computed: "),
                "{}: {fault}",
                self.sql
            );
        }
        outcomes
    }

    /// A batch of the table's columns; those that are not given are null.
    fn rows(&self, given: &[(&str, ArrayRef)]) -> RecordBatch {
        let len = given.first().map_or(1, |(_, column)| column.len());
        let column = |field: &Arc<arrow_schema::Field>| -> ArrayRef {
            match given.iter().find(|(name, _)| name == field.name()) {
                Some((_, column)) => Arc::clone(column),
                None if field.name() == "id" => Arc::new(Int64Array::from(vec![0; len])),
                None => arrow_array::new_null_array(field.data_type(), len),
            }
        };
        let columns = self.schema.fields().iter().map(column).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("columns of the table")
    }
}

fn shown(array: &ArrayRef, row: usize) -> Option<String> {
    array
        .is_valid(row)
        .then(|| array_value_to_string(array, row).expect("has words"))
}

/// The limits of a type, by the letter of its columns.
pub fn limits(letter: char) -> ArrayRef {
    match letter {
        'i' => Arc::new(Int32Array::from(
            INTS.map(Some).into_iter().chain([None]).collect::<Vec<_>>(),
        )),
        'b' => Arc::new(Int64Array::from(bigints())),
        'd' => {
            let numbers = Decimal128Array::from(
                DECIMALS
                    .map(Some)
                    .into_iter()
                    .chain([None])
                    .collect::<Vec<_>>(),
            );
            Arc::new(numbers.with_precision_and_scale(38, 4).expect("38 digits"))
        }
        'f' => Arc::new(Float64Array::from(
            FLOATS
                .map(Some)
                .into_iter()
                .chain([None])
                .collect::<Vec<_>>(),
        )),
        't' => Arc::new(TimestampMillisecondArray::from(moments())),
        'y' => Arc::new(Date32Array::from(days())),
        _ => Arc::new(StringArray::from(
            TEXTS
                .map(Some)
                .into_iter()
                .chain([None])
                .collect::<Vec<_>>(),
        )),
    }
}

const INTS: [i32; 8] = [i32::MIN, i32::MIN + 1, -1, 0, 1, 7, i32::MAX - 1, i32::MAX];
const FLOATS: [f64; 13] = [
    0.0,
    -0.0,
    1.5,
    -1.5,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    1e18,
    9.3e18,
    -9.3e18,
    2_147_483_648.0,
    0.1,
    253_402_300_800.0,
];
const DECIMALS: [i128; 8] = [
    99_999_999_999_999_999_999_999_999_999_999_999_999,
    -99_999_999_999_999_999_999_999_999_999_999_999_999,
    0,
    1,
    -1,
    10_000,
    92_233_720_368_547_758_080_000,
    123_456_789,
];
const TEXTS: [&str; 18] = [
    "",
    "a",
    "ä€😀",
    "0",
    "-1",
    " 7",
    "9223372036854775807",
    "9223372036854775808",
    "1e400",
    "NaN",
    "inf",
    "9999-12-31",
    "0000-12-31",
    "10000-01-01",
    "2026-01-31T12:00:00Z",
    "(",
    "a,b,c",
    "true",
];

/// Integers at which something changes.
pub fn bigints() -> Vec<Option<i64>> {
    let limits = [
        i64::MIN,
        i64::MIN + 1,
        -62_135_596_801,
        -62_135_596_800,
        -1,
        0,
        1,
        2,
        3,
        63,
        64,
        1_048_577,
        2_147_483_648,
        253_402_300_799,
        253_402_300_800,
        FIRST_MS - 1,
        LAST_MS + 1,
        i64::MAX - 1,
        i64::MAX,
    ];
    limits.into_iter().map(Some).chain([None]).collect()
}

/// Moments at which something changes.
pub fn moments() -> Vec<Option<i64>> {
    let leap_day = 951_782_400_000;
    let limits = [
        FIRST_MS,
        FIRST_MS + 1,
        NANOSECONDS[0] - 1,
        NANOSECONDS[0],
        -2_208_988_800_001,
        -MS_PER_DAY,
        -1,
        0,
        1,
        leap_day,
        leap_day + MS_PER_DAY - 1,
        1_769_860_800_123,
        NANOSECONDS[1],
        NANOSECONDS[1] + 1,
        LAST_MS - MS_PER_DAY,
        LAST_MS,
    ];
    limits.into_iter().map(Some).chain([None]).collect()
}

/// The days of the moments.
pub fn days() -> Vec<Option<i32>> {
    let day = |ms: i64| i32::try_from(ms.div_euclid(MS_PER_DAY)).expect("of the calendar");
    moments().into_iter().map(|ms| ms.map(day)).collect()
}

/// Columns of all combinations of the limits of some types, named by letter and position. With three or more types, of
/// each type only every third limit is taken.
pub fn combinations(letters: &[char]) -> Vec<(String, ArrayRef)> {
    let step = if letters.len() > 2 { 3 } else { 1 };
    let pools: Vec<ArrayRef> = letters.iter().map(|letter| limits(*letter)).collect();
    let sizes: Vec<usize> = pools.iter().map(|pool| pool.len().div_ceil(step)).collect();
    let total: usize = sizes.iter().product();
    let mut columns = Vec::new();
    let mut repeated = 1;
    for ((position, letter), (pool, size)) in
        letters.iter().enumerate().zip(pools.iter().zip(&sizes))
    {
        let indices: arrow_array::UInt32Array = (0..total)
            .map(|row| u32::try_from(row / repeated % size * step).expect("few"))
            .collect();
        let column =
            datafusion_common::arrow::compute::take(pool, &indices, None).expect("in bounds");
        columns.push((format!("{letter}{}", position + 1), column));
        repeated *= size;
    }
    columns
}

/// The columns by reference.
pub fn named(columns: &[(String, ArrayRef)]) -> Vec<(&str, ArrayRef)> {
    columns
        .iter()
        .map(|(name, column)| (name.as_str(), Arc::clone(column)))
        .collect()
}

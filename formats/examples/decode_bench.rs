//! Nanoseconds per record of decoding an event of the studio and of encoding a row of twelve columns, each the best of several runs.
//!
//! `cargo run --release -p tidemill-formats --example decode_bench`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, TimeUnit};
use tidemill_formats::json::{Encoder, KeyEncoder};
use tidemill_formats::studio_json::{Clocks, Column, Decoder, Origin, Records, Spec, TimeLimit};
use tidemill_types::system_columns::Kept;

const RECORDS: u32 = 10_000;
const RUNS: usize = 60;
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// An event of about 257 bytes.
fn event(i: u32) -> String {
    format!(
        r#"{{"uuid":"0190f3a1-7b2c-7def-8123-{i:012x}","type":"update","ts":{},"entity":"payment","id":{i},"data":{{"production_id":{},"budget_id":{},"talent_id":{},"amount":"{}.{:02}","currency":"USD","due_on":"2026-{:02}-15","status":"planned"}}}}"#,
        1_767_225_600_000 + u64::from(i),
        100_000 + i % 500,
        200_000 + i % 3000,
        300_000 + i % 700,
        10_000 + i % 900_000,
        i % 100,
        1 + i % 12,
    )
}

fn data(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        data_type,
        nullable: true,
        origin: Origin::Data(name.into()),
    }
}

fn metadata(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        data_type,
        nullable: false,
        origin: Origin::Metadata(name.into()),
    }
}

fn all_columns() -> Vec<Column> {
    vec![
        metadata("id", DataType::Int64),
        data("production_id", DataType::Int64),
        data("budget_id", DataType::Int64),
        data("amount", DataType::Decimal128(18, 2)),
        data("currency", DataType::Utf8),
        data("due_on", DataType::Date32),
        metadata("ts", TIMESTAMP),
        metadata("uuid", DataType::FixedSizeBinary(16)),
    ]
}

/// The best time per record of a run, in nanoseconds.
fn best(mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..RUNS)
        .map(time)
        .min()
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
        * 1e9
        / f64::from(RECORDS)
}

fn decode(columns: Vec<Column>, records: &Records<'_>) -> (f64, RecordBatch) {
    let mut decoder = Decoder::new(Spec {
        topic: "studio.payment".into(),
        entity: Some("payment".into()),
        columns,
        kept: Kept::default(),
        time_limit: Some(TimeLimit {
            column: "ts".into(),
            max_future_ms: 60_000,
        }),
    })
    .expect("the columns are supported");
    let clocks = Clocks {
        wall_ms: 1_767_225_700_000,
        steady_ms: 1_767_225_700_000,
    };
    let mut decode = || decoder.decode(black_box(records), clocks);
    let decoded = decode();
    assert!(
        decoded.dead_letters.is_empty(),
        "{:?}",
        decoded.dead_letters.first()
    );
    (best(|| drop(black_box(decode()))), decoded.rows)
}

/// The decoded columns and four more, among them a text that needs escaping.
fn twelve_columns(rows: &RecordBatch) -> RecordBatch {
    let mut columns: Vec<(String, ArrayRef)> = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .zip(rows.columns().iter().cloned())
        .collect();
    let note: StringArray = (0..rows.num_rows())
        .map(|i| (i % 2 == 0).then(|| format!("note \"{i}\" of the studio")))
        .collect();
    columns.push(("note".into(), Arc::new(note)));
    assert_eq!(columns.len(), 12);
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn main() {
    let (mut arena, mut bounds) = (Vec::new(), vec![0]);
    for i in 0..RECORDS {
        arena.extend_from_slice(event(i).as_bytes());
        bounds.push(u32::try_from(arena.len()).expect("a few megabytes"));
    }
    let offsets: Vec<i64> = (0..i64::from(RECORDS)).collect();
    let records = Records {
        partition: 0,
        offsets: &offsets,
        bounds: &bounds,
        arena: &arena,
        timestamps: &[],
    };
    println!(
        "{RECORDS} records of {} bytes on average",
        arena.len() / RECORDS as usize
    );

    let (few, _) = decode(
        vec![
            data("amount", DataType::Decimal128(18, 2)),
            metadata("ts", TIMESTAMP),
        ],
        &records,
    );
    println!("decode  2 columns: {few:7.1} ns/record");
    let (all, rows) = decode(all_columns(), &records);
    println!("decode  8 columns: {all:7.1} ns/record");

    let rows = twelve_columns(&rows);
    let mut encoder = Encoder::new(&rows.schema()).expect("the columns are supported");
    let (mut out, mut bounds) = (Vec::new(), Vec::new());
    let object = best(|| {
        out.clear();
        bounds.clear();
        encoder
            .encode(black_box(&rows), &mut out, &mut bounds)
            .expect("the rows fit");
    });
    println!(
        "encode 12 columns: {object:7.1} ns/row, {} bytes each",
        out.len() / RECORDS as usize
    );

    let mut encoder = KeyEncoder::new(&[("id", DataType::Int64)]).expect("the column is supported");
    let key = best(|| {
        out.clear();
        bounds.clear();
        encoder
            .encode(black_box(&rows), &mut out, &mut bounds)
            .expect("the rows fit");
    });
    println!("encode a key:      {key:7.1} ns/row");
}

//! Encoded rows against the tuples that they stand for.
//!
//! Catches: bytes that sort otherwise than their values (signs, nulls, prefixes of strings, bytes below the terminator), two tuples with one
//! encoding, keys that do not compare column by column once concatenated, a decoder that does not give back what was encoded. Cannot catch:
//! a change of the bytes that keeps their order (the frozen sample in the types crate does).

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_types::{Row, RowCodec};

use crate::common::{MONEY, TIME, Value, Values, record_batch, rows_of, schema};

fn columns() -> SchemaRef {
    schema(&[
        ("number", DataType::Int64),
        ("amount", MONEY),
        ("name", DataType::Utf8),
        ("day", DataType::Date32),
        ("small", DataType::Int32),
        ("ts", TIME),
    ])
}

fn codec(columns: &SchemaRef) -> RowCodec {
    RowCodec::new(columns.fields().iter().map(|field| field.data_type()))
        .expect("the types have an encoding")
}

/// Few values, so that rows often share a beginning, and the extremes.
fn number(min: i64, max: i64) -> impl Strategy<Value = Value> {
    prop::option::weighted(
        0.8,
        prop_oneof![4 => -2..3_i64, 1 => Just(min), 1 => Just(max), 1 => min..=max],
    )
    .prop_map(Value::from)
}

fn text() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        4 => prop::sample::select(vec!["", "\0", "a", "ab", "abcdefgh", "abcdefgh\0", "abcdefghi", "July", "Juli", "\u{ff}", "日本"]).prop_map(str::to_owned),
        1 => "[\0-\u{3}a]{0,40}",
        1 => any::<String>(),
    ];
    prop::option::weighted(0.8, text).prop_map(|text| text.map_or(Value::Null, Value::Text))
}

fn row() -> impl Strategy<Value = Values> {
    const CENTS: i64 = 999_999_999_999_999_999;
    let (small_min, small_max) = (i64::from(i32::MIN), i64::from(i32::MAX));
    (
        number(i64::MIN, i64::MAX),
        number(-CENTS, CENTS),
        text(),
        number(small_min, small_max),
        number(small_min, small_max),
        number(i64::MIN, i64::MAX),
    )
        .prop_map(|(number, amount, name, day, small, ts)| {
            vec![number, amount, name, day, small, ts]
        })
}

fn encoded(columns: &SchemaRef, rows: &[Values]) -> Vec<Row> {
    let encoded = codec(columns)
        .encode(record_batch(columns, rows).columns(), rows.len())
        .expect("the columns have the types");
    (0..encoded.len())
        .map(|i| Row::from(encoded.bytes(i)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn encoded_rows_compare_as_their_tuples_do(rows in prop::collection::vec(row(), 2..8), order in Just([0, 1, 2, 3, 4, 5]).prop_shuffle()) {
        let columns: SchemaRef = columns().project(&order).expect("columns exist").into();
        let rows: Vec<Values> = rows.iter().map(|row| order.iter().map(|&i| row[i].clone()).collect()).collect();
        let bytes = encoded(&columns, &rows);
        for (a, a_bytes) in rows.iter().zip(&bytes) {
            for (b, b_bytes) in rows.iter().zip(&bytes) {
                assert_eq!(a_bytes.cmp(b_bytes), a.cmp(b), "{a:?} = {a_bytes:?}, {b:?} = {b_bytes:?}");
            }
        }
    }

    #[test]
    fn encodings_put_behind_each_other_compare_as_the_longer_tuple_does(rows in prop::collection::vec(row(), 2..6), cut in 0..7_usize) {
        let halves = [columns().project(&(0..cut).collect::<Vec<_>>()), columns().project(&(cut..6).collect::<Vec<_>>())];
        let [front, back] = halves.map(|half| SchemaRef::from(half.expect("columns exist")));
        let fronts = encoded(&front, &rows.iter().map(|row| row[..cut].to_vec()).collect::<Vec<_>>());
        let backs = encoded(&back, &rows.iter().map(|row| row[cut..].to_vec()).collect::<Vec<_>>());
        let bytes: Vec<Vec<u8>> = fronts.iter().zip(&backs).map(|(front, back)| [front.as_bytes(), back.as_bytes()].concat()).collect();
        let whole = encoded(&columns(), &rows);
        assert!(whole.iter().zip(&bytes).all(|(whole, bytes)| whole.as_bytes() == bytes));
    }

    #[test]
    fn decoding_gives_back_what_was_encoded(rows in prop::collection::vec(row(), 0..8)) {
        let bytes = encoded(&columns(), &rows);
        let decoded = codec(&columns()).decode(bytes.iter().map(Row::as_bytes)).expect("the bytes are valid");
        let decoded = tidemill_operators::columns::batch(&columns(), decoded, rows.len()).expect("the types are the schema's");
        assert_eq!(rows_of(&decoded), rows);
    }
}

//! Guard against the definition, row by row.
//!
//! Catches: an event that is neither passed nor a dead letter, or both; a dead letter without its place, its reason or
//! its bytes; an update that is taken for a delete. Cannot catch: a plan that does not guard a column that events may
//! lack.

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::Counter;
use tidemill_operators::guard::{Guard, Settings};
use tidemill_operators::ledger::Ledger;
use tidemill_types::ChangeBatch;
use tidemill_types::place::Places;
use tidemill_types::system_columns::Kept;
use tidemill_types::system_columns::{OP_CREATE, OP_DELETE, OP_UPDATE};

use crate::common::{Value, Values, insert_batches, rows_of, schema, with_system_columns};

/// Places of columns in the ledger.
const PARTITION: usize = 4;
const OFFSET: usize = 5;
const BYTES: usize = 10;

fn columns(with_bytes: bool) -> SchemaRef {
    let declared = schema(&[
        ("code", DataType::Utf8),
        ("region", DataType::Utf8),
        ("rev", DataType::Int64),
    ]);
    let kept = Kept {
        time: false,
        bytes: with_bytes,
    };
    with_system_columns(&declared, kept)
}

fn guard(schema: &SchemaRef, dead_letters: &Counter) -> Guard {
    let settings = Settings {
        name: "product/table".to_owned(),
        table: "product".to_owned(),
        places: Places::new("products", []),
        key: vec!["code".to_owned()],
        version: Some("rev".to_owned()),
        ledger: Ledger::of("plan"),
    };
    Guard::new(settings, schema, dead_letters.clone()).expect("the schema has the columns")
}

/// What passes, and the dead letters.
fn run(
    schema: &SchemaRef,
    events: &[Values],
    batch_rows: usize,
    counted: &Counter,
) -> [Vec<Values>; 2] {
    let guard = guard(schema, counted);
    let mut dead = Vec::new();
    let passed: Vec<ChangeBatch> = insert_batches(schema, events, batch_rows)
        .into_iter()
        .map(|batch| guard.on_batch(&batch, &mut dead).expect("of the schema"))
        .collect();
    [passed, dead].map(|batches| batches.iter().flat_map(|of| rows_of(&of.rows)).collect())
}

fn event(code: Option<&str>, rev: Option<i64>, op: u8, offset: i64) -> Values {
    vec![
        code.map_or(Value::Null, Value::text),
        Value::Null,
        rev.into(),
        Value::int(op),
        Value::int(2),
        Value::int(offset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_event_passes_or_is_a_dead_letter_with_its_place(
        drawn in prop::collection::vec(
            (prop::option::of(Just("A")), prop::option::of(0..3_i64), prop_oneof![Just(OP_CREATE), Just(OP_UPDATE), Just(OP_DELETE)]),
            0..12,
        ),
        batch_rows in 1..5_usize,
    ) {
        let events: Vec<Values> = (0..).zip(drawn).map(|(offset, (code, rev, op))| event(code, rev, op, offset)).collect();
        let can_be_applied = |event: &&Values| {
            event[0] != Value::Null && (event[2] != Value::Null || event[3] != Value::int(OP_DELETE))
        };
        let (good, bad): (Vec<&Values>, Vec<&Values>) = events.iter().partition(can_be_applied);
        let counted = Counter::default();
        let [passed, dead] = run(&columns(false), &events, batch_rows, &counted);
        assert_eq!(passed.iter().collect::<Vec<_>>(), good);
        let place = |partition: &Value, offset: &Value| (partition.clone(), offset.clone());
        let places: Vec<_> = dead.iter().map(|letter| place(&letter[PARTITION], &letter[OFFSET])).collect();
        assert_eq!(places, bad.iter().map(|event| place(&event[4], &event[5])).collect::<Vec<_>>());
        assert_eq!(counted.get(), dead.len() as u64);
    }
}

#[test]
fn a_dead_letter_says_what_was_missing_and_has_the_record() {
    let counted = Counter::default();
    let with_bytes = |mut event: Values| {
        event.push(Value::Bytes(b"{}".to_vec()));
        event
    };
    let events = [
        event(None, Some(1), OP_DELETE, 7),
        event(None, Some(1), OP_UPDATE, 8),
        event(Some("A"), None, OP_DELETE, 9),
    ];
    let records = events.clone().map(with_bytes);
    let [_, dead] = run(&columns(true), &records, 8, &counted);
    let reasons = [
        "delete without 'code', which the primary key of table 'product' has; send it, or let the key be the envelope's 'id'",
        "event without 'code', which the primary key of table 'product' has; send it, or let the key be the envelope's 'id'",
        "delete without 'rev', which table 'product' is versioned by; send it, or let the version be the envelope's 'ts'",
    ];
    for (letter, (reason, offset)) in dead.iter().zip(reasons.into_iter().zip(7_i64..)) {
        let expected = [
            Value::text("plan"),
            Value::text("table"),
            Value::text("product"),
            Value::text("products"),
            Value::int(2),
            Value::int(offset),
            Value::text(reason),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Bytes(b"{}".to_vec()),
            Value::Bool(false),
        ];
        assert_eq!(*letter, expected);
    }
    let [_, dead] = run(&columns(false), &events, 8, &counted);
    let text = "code = A, region = , rev = , __op = 2, __partition = 2, __offset = 9";
    assert_eq!(dead[2][BYTES], Value::Bytes(text.as_bytes().to_vec()));
    assert_eq!(counted.get(), 6);
}

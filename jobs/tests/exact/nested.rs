//! Parts of structs, arrays and maps, of which some are null, some are empty, and some lie under a null.

use std::sync::Arc;

use arrow_array::builder::{
    Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
};
use arrow_array::{ArrayRef, Int64Array, ListArray, MapArray, StringArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Fields};
use tidemill_types::sql_type::{array, map, structure};

use super::kit::function;

fn fields(of: &DataType) -> Fields {
    match of {
        DataType::Struct(fields) => fields.clone(),
        other => panic!("{other} is no struct"),
    }
}

/// `[1, null, 3]`, `[]`, null, `[4]`.
fn tags() -> ArrayRef {
    let mut tags = ListBuilder::new(Int32Builder::new());
    tags.append_value([Some(1), None, Some(3)]);
    tags.append_value([]);
    tags.append_null();
    tags.append_value([Some(4)]);
    Arc::new(tags.finish())
}

/// `{Bonn, {1.5}}`, `{null, null}`, null over `{Ulm, {2.5}}`, `{Köln, null over {3.5}}`.
fn address() -> ArrayRef {
    let geo = structure([("x".to_owned(), DataType::Float64)]);
    let of = structure([
        ("city".to_owned(), DataType::Utf8),
        ("geo".to_owned(), geo.clone()),
    ]);
    let mut x = Float64Builder::new();
    x.append_slice(&[1.5, 0.5, 2.5, 3.5]);
    let nulls = NullBuffer::from(vec![true, false, true, false]);
    let geo = StructArray::new(fields(&geo), vec![Arc::new(x.finish())], Some(nulls));
    let cities = StringArray::from(vec![Some("Bonn"), None, Some("Ulm"), Some("Köln")]);
    let nulls = NullBuffer::from(vec![true, true, false, true]);
    let columns: Vec<ArrayRef> = vec![Arc::new(cities), Arc::new(geo)];
    Arc::new(StructArray::new(fields(&of), columns, Some(nulls)))
}

/// `{a: 1, b: null}`, `{}`, null over `{a: 7}`, `{b: 2}`.
fn counts() -> ArrayRef {
    let of = map(DataType::Int64);
    let DataType::Map(entries, _) = &of else {
        panic!("a map");
    };
    let mut keys = StringBuilder::new();
    keys.extend(["a", "b", "a", "b"].map(Some));
    let mut values = Int64Builder::new();
    values.extend([Some(1), None, Some(7), Some(2)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), Arc::new(values.finish())];
    let content = StructArray::new(fields(entries.data_type()), columns, None);
    let nulls = NullBuffer::from(vec![true, true, false, true]);
    let offsets = OffsetBuffer::from_lengths([2, 0, 1, 1]);
    let entries = Arc::clone(entries);
    Arc::new(MapArray::new(entries, offsets, content, Some(nulls), false))
}

/// `[{1.00}, null over {2.00}]`, `[{3.00}]`, null, `[]`.
fn items() -> ArrayRef {
    let item = structure([("price".to_owned(), DataType::Decimal128(18, 2))]);
    let DataType::List(element) = array(item.clone()) else {
        panic!("an array");
    };
    let mut prices = Decimal128Builder::new();
    prices.append_slice(&[100, 200, 300]);
    let prices = prices.finish().with_precision_and_scale(18, 2);
    let prices = prices.expect("fits");
    let nulls = NullBuffer::from(vec![true, false, true]);
    let content = StructArray::new(fields(&item), vec![Arc::new(prices)], Some(nulls));
    let nulls = NullBuffer::from(vec![true, true, false, true]);
    let offsets = OffsetBuffer::from_lengths([2, 1, 0, 0]);
    Arc::new(ListArray::new(
        element,
        offsets,
        Arc::new(content),
        Some(nulls),
    ))
}

/// What an expression is in each of the four rows.
fn values(sql: &str) -> Vec<String> {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), Some(1), Some(1), None]));
    let keys: ArrayRef = Arc::new(StringArray::from(vec![
        Some("a"),
        Some("a"),
        Some("a"),
        None,
    ]));
    let columns = [
        ("tags", tags()),
        ("address", address()),
        ("counts", counts()),
        ("items", items()),
        ("b1", numbers),
        ("s1", keys),
    ];
    let function = function(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let outcomes = function.outcomes(&columns).into_iter();
    let outcomes = outcomes.map(|outcome| outcome.expect("never fails"));
    outcomes
        .map(|value| value.unwrap_or_else(|| "-".to_owned()))
        .collect()
}

#[test]
fn what_is_not_there_is_null() {
    let cases = [
        ("address.city", ["Bonn", "-", "-", "Köln"]),
        ("r.address.city", ["Bonn", "-", "-", "Köln"]),
        ("address['city']", ["Bonn", "-", "-", "Köln"]),
        ("address.geo.x", ["1.5", "-", "-", "-"]),
        ("address['geo'].x", ["1.5", "-", "-", "-"]),
        ("(address).geo['x']", ["1.5", "-", "-", "-"]),
        ("counts['a']", ["1", "-", "-", "-"]),
        ("counts['b']", ["-", "-", "-", "2"]),
        ("counts[s1]", ["1", "-", "-", "-"]),
        ("tags[1]", ["1", "-", "-", "4"]),
        ("tags[3]", ["3", "-", "-", "-"]),
        ("tags[4]", ["-", "-", "-", "-"]),
        ("tags[0]", ["-", "-", "-", "-"]),
        ("tags[-1]", ["3", "-", "-", "4"]),
        ("tags[-4]", ["-", "-", "-", "-"]),
        ("tags[b1]", ["3", "-", "-", "-"]),
        ("tags[-9223372036854775807]", ["-", "-", "-", "-"]),
        ("items[1].price", ["1.00", "3.00", "-", "-"]),
        ("items[2].price", ["-", "-", "-", "-"]),
        ("items[1]['price'] * 2", ["2.00", "6.00", "-", "-"]),
        ("cardinality(tags)", ["3", "0", "-", "1"]),
        ("array_length(items)", ["2", "1", "-", "0"]),
        ("cardinality(counts)", ["2", "0", "-", "1"]),
        ("address.geo IS NULL", ["false", "true", "true", "true"]),
    ];
    for (sql, expected) in cases {
        assert_eq!(values(sql), expected, "{sql}");
    }
}

#[test]
fn a_part_that_cannot_be_is_refused_while_planning() {
    let address = "STRUCT<city VARCHAR, geo STRUCT<x DOUBLE>>";
    let no_town = format!("there is no field 'town' in {address}; it has 'city', 'geo'");
    let by_number = format!("a field of {address} is named by a text: write ['name']");
    for (sql, expected) in [
        ("address['town']", no_town.as_str()),
        ("address.town", &no_town),
        ("address[1]", &by_number),
        (
            "tags['a']",
            "an element of ARRAY<INT> is found by its number: write [1]",
        ),
        (
            "tags[1:2]",
            "a part of an array cannot be cut out; take elements, as in a[1]",
        ),
        (
            "counts[1]",
            "a value of MAP<VARCHAR, BIGINT> is found by its key: write ['key']",
        ),
        (
            "b1['a']",
            "a BIGINT has no parts; only a STRUCT, an ARRAY or a MAP is followed by '.' or '['",
        ),
    ] {
        match function(sql) {
            Ok(_) => panic!("{sql} is planned"),
            Err(error) => assert!(error.contains(expected), "{sql}: {error}"),
        }
    }
}

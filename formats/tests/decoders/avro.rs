//! Records of Avro: the corpus that Python's libraries wrote, random ones that apache-avro wrote, and what is said of schemas.
//!
//! Catches: a value read as another one, a value taken for another field's, a record that is refused without reason or read in spite of
//! one, a panic. Cannot catch: a misreading of the specification that Confluent's serializer, fastavro and apache-avro share.

mod contracts;
mod corpus;
mod keys;
mod nested;
mod page;
mod random;
mod schemas;
mod writing;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use tidemill_types::format::Column;

use super::kit::Spec;

/// A source of rows.
fn source(schema: &str, columns: Vec<Column>) -> Spec {
    let spec = Spec::new("plain", columns).in_format("avro");
    spec.with("avro.schema", schema)
}

/// What apache-avro writes.
fn written(schema: &str, value: Avro) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value_to_vec(value).unwrap()
}

/// What apache-avro reads, to the last byte.
fn read_by_apache(schema: &str, mut bytes: &[u8]) -> Avro {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut bytes).unwrap();
    assert!(bytes.is_empty());
    value
}

fn record_of(fields: &[(&str, Avro)]) -> Avro {
    let fields = fields.iter();
    let fields = fields.map(|(name, of)| ((*name).to_owned(), of.clone()));
    Avro::Record(fields.collect())
}

fn text(text: &str) -> Avro {
    Avro::String(text.to_owned())
}

//! Decodes records as a source does, and shows what came of them.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, TimeUnit};
use tidemill_types::RawRecords;
use tidemill_types::format::{
    Clocks, Column, ColumnOrigin, Contract, Contracts, Decoded, Decoder, Error, Options, Path,
    Schemas, SourceSpec, TimeLimit,
};
use tidemill_types::system_columns::{self, Kept};

pub const CLOCK_MS: i64 = 1_767_225_600_000;
pub const STEADY_MS: i64 = CLOCK_MS - 9_000_000;
pub const CLOCKS: Clocks = Clocks {
    wall_ms: CLOCK_MS,
    steady_ms: STEADY_MS,
};
pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);
pub const UUID: DataType = DataType::FixedSizeBinary(16);
/// The partition that records come from, and the offset of the first.
pub const PARTITION: u32 = 3;
pub const FIRST_OFFSET: i64 = 100;

/// A source.
#[derive(Debug, Clone)]
pub struct Spec {
    pub format: &'static str,
    pub topic: &'static str,
    pub envelope: &'static str,
    pub columns: Vec<Column>,
    pub kept: Kept,
    pub time_limit: Option<TimeLimit>,
    pub contracts: Option<(Option<Contract>, Arc<dyn Schemas>)>,
    /// Those of its keys.
    pub key_contracts: Option<(Option<Contract>, Arc<dyn Schemas>)>,
    pub options: Options,
}

impl Spec {
    pub fn new(envelope: &'static str, columns: Vec<Column>) -> Self {
        Self {
            format: "json",
            topic: "studio.payment",
            envelope,
            columns,
            kept: Kept::default(),
            time_limit: None,
            contracts: None,
            key_contracts: None,
            options: Options::new(),
        }
    }

    pub fn in_format(mut self, format: &'static str) -> Self {
        self.format = format;
        self
    }

    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.insert(option.to_owned(), value.to_owned());
        self
    }

    pub fn decoder(&self) -> Result<Box<dyn Decoder>, Error> {
        let formats = tidemill_formats::all();
        formats.named(self.format).unwrap().decoder(&SourceSpec {
            topic: self.topic,
            envelope: self.envelope,
            columns: &self.columns,
            kept: self.kept,
            time_limit: self.time_limit.clone(),
            contracts: contracts(self.contracts.as_ref()),
            key_contracts: contracts(self.key_contracts.as_ref()),
            options: &self.options,
        })
    }

    /// The same of records that have in their keys what these have in their values, and whose values are objects of JSON.
    pub fn in_keys(mut self) -> Self {
        let format = std::mem::replace(&mut self.format, "json");
        self.key_contracts = self.contracts.take();
        for column in &mut self.columns {
            if let ColumnOrigin::Data(path) = &column.origin {
                column.origin = ColumnOrigin::Key(path.clone());
            }
        }
        let options = std::mem::take(&mut self.options).into_iter();
        let options = options.map(|(name, value)| (format!("key.{name}"), value));
        self.options = options.collect();
        self.with("key.format", format)
    }

    /// What becomes of records that have these bytes in their values is what becomes of those that have them in their keys.
    pub fn is_read_alike_from_keys(&self, parts: &[Vec<u8>]) {
        let parts = || parts.iter().map(|part| Some(&**part));
        let values: Vec<_> = parts().map(|value| (None, value)).collect();
        let keys: Vec<_> = parts().map(|key| (key, Some(&b"{}"[..]))).collect();
        let values = decode(&mut *self.decoder().unwrap(), &keyed(&values));
        let keys = decode(
            &mut *self.clone().in_keys().decoder().unwrap(),
            &keyed(&keys),
        );
        assert_eq!(shown(&keys.rows), shown(&values.rows));
        let expected = reasons(&values).into_iter();
        let expected: Vec<_> = expected.map(|reason| format!("key: {reason}")).collect();
        assert_eq!(reasons(&keys), expected);
    }

    /// Decodes records of these values.
    pub fn decode(&self, values: &[&[u8]]) -> Decoded {
        decode(&mut *self.decoder().unwrap(), &records(values))
    }
}

fn contracts(known: Option<&(Option<Contract>, Arc<dyn Schemas>)>) -> Option<Contracts<'_>> {
    known.map(|(pinned, schemas)| Contracts {
        pinned: pinned.as_ref(),
        schemas,
    })
}

/// A column of the member with its name.
pub fn data(name: &str, data_type: DataType) -> Column {
    at(name, name, data_type)
}

/// A column of the member at a path.
pub fn at(name: &str, path: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        data_type,
        nullable: true,
        origin: ColumnOrigin::Data(Path::parse(path).unwrap()),
    }
}

/// A column of the record's key.
pub fn key(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        data_type,
        nullable: false,
        origin: ColumnOrigin::Key(Path::member(name)),
    }
}

/// A column of a metadata field.
pub fn metadata(name: &str, data_type: DataType) -> Column {
    Column {
        name: format!("m_{name}"),
        data_type,
        nullable: false,
        origin: ColumnOrigin::Metadata(name.into()),
    }
}

/// A column without which a state is a dead letter.
pub fn required(column: Column) -> Column {
    Column {
        nullable: false,
        ..column
    }
}

/// Records of these values, without keys.
pub fn records(values: &[&[u8]]) -> RawRecords {
    keyed(
        &values
            .iter()
            .map(|value| (None, Some(*value)))
            .collect::<Vec<_>>(),
    )
}

/// A key and a value.
pub type KeyValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Records of these keys and values.
pub fn keyed(pairs: &[KeyValue<'_>]) -> RawRecords {
    let mut records = RawRecords::of(PARTITION);
    for (offset, (key, value)) in (FIRST_OFFSET..).zip(pairs) {
        records.push(offset, *key, *value);
    }
    records
}

/// Decodes records; none is lost, and the rows are as was said.
pub fn decode(decoder: &mut dyn Decoder, records: &RawRecords) -> Decoded {
    let decoded = decoder.decode(records, CLOCKS);
    assert_eq!(decoded.rows.schema(), decoder.schema());
    assert_eq!(
        decoded.rows.num_rows()
            + decoded.dead_letters.len()
            + usize::try_from(decoded.ignored).unwrap(),
        records.len()
    );
    decoded
}

/// The rows as text: the operation, then every declared column.
pub fn shown(rows: &RecordBatch) -> Vec<String> {
    let schema = rows.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let names: Vec<_> = names.filter(|name| !name.starts_with("__")).collect();
    let op = rows.column_by_name(system_columns::OP).unwrap();
    let cell = |name: &str, row| {
        let column = rows.column_by_name(name).unwrap();
        if column.is_null(row) {
            "null".to_owned()
        } else {
            array_value_to_string(column, row).unwrap()
        }
    };
    let line = |row| {
        let op = match array_value_to_string(op, row).unwrap().as_str() {
            "0" => "create",
            "1" => "update",
            _ => "delete",
        };
        let cells = names.iter().map(|name| cell(name, row));
        format!("{op} {}", cells.collect::<Vec<_>>().join(" "))
    };
    (0..rows.num_rows()).map(line).collect()
}

/// The reasons of the dead letters.
pub fn reasons(decoded: &Decoded) -> Vec<&str> {
    let letters = decoded.dead_letters.iter();
    letters.map(|letter| letter.reason.as_str()).collect()
}

/// What becomes of records with these keys and the value `{"n": 1}`: rows, and reasons.
pub fn decoded_keys(spec: &Spec, keys: &[Option<&[u8]>]) -> (Vec<String>, Vec<String>) {
    let value = Some(&br#"{"n": 1}"#[..]);
    let records: Vec<_> = keys.iter().map(|key| (*key, value)).collect();
    let decoded = decode(&mut *spec.decoder().unwrap(), &keyed(&records));
    let reasons = reasons(&decoded).into_iter().map(str::to_owned);
    (shown(&decoded.rows), reasons.collect())
}

//! Encoded rows: a row of typed values as bytes whose order is the order of the values.
//!
//! The encoding is arrow-row's (each value starts with a byte that tells null from value, integers are big endian with the sign flipped,
//! strings are cut into terminated blocks), so that concatenated values compare as tuples do. It is what lies in state and in
//! arrangements; a test with frozen bytes guards it against a change of the library.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, DataType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Up to this many bytes lie in the [`Row`] itself: an integer key of one or two columns does not touch the heap.
const INLINE_BYTES: usize = 22;

/// An encoded row. Cheap to clone: short rows are copied, long ones shared.
#[derive(Clone)]
pub struct Row(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Shared(Arc<[u8]>),
}

impl Row {
    /// The encoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Row {
    fn from(source: &[u8]) -> Self {
        match u8::try_from(source.len()) {
            Ok(len) if source.len() <= INLINE_BYTES => {
                let mut bytes = [0; INLINE_BYTES];
                bytes[..source.len()].copy_from_slice(source);
                Self(Repr::Inline { len, bytes })
            }
            _ => Self(Repr::Shared(Arc::from(source))),
        }
    }
}

impl Default for Row {
    fn default() -> Self {
        Self::from(&[][..])
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for Row {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl std::borrow::Borrow<[u8]> for Row {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(Vec::<u8>::deserialize(deserializer)?.as_slice()))
    }
}

/// The first bytes of encoded values as a number of the same order: what to compare first, and mostly all there is to compare.
#[must_use]
pub fn head(encoded: &[u8]) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    let len = encoded.len().min(bytes.len());
    bytes[..len].copy_from_slice(&encoded[..len]);
    u128::from_be_bytes(bytes)
}

/// Turns columns into encoded rows and back, for one list of types.
#[derive(Debug)]
pub struct RowCodec {
    converter: RowConverter,
    width: usize,
}

impl RowCodec {
    /// A codec for columns of these types.
    ///
    /// # Errors
    /// If a type has no order-preserving encoding.
    pub fn new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self, ArrowError> {
        let fields: Vec<_> = types
            .into_iter()
            .map(|data_type| SortField::new(data_type.clone()))
            .collect();
        let width = fields.len();
        Ok(Self {
            converter: RowConverter::new(fields)?,
            width,
        })
    }

    /// Encodes columns, `rows` rows each, in the codec's order of types.
    ///
    /// # Errors
    /// If a column has another type than the codec.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<EncodedRows, ArrowError> {
        if self.width == 0 {
            return Ok(EncodedRows {
                rows: None,
                len: rows,
            });
        }
        let encoded = self.converter.convert_columns(columns)?;
        Ok(EncodedRows {
            len: encoded.num_rows(),
            rows: Some(encoded),
        })
    }

    /// Decodes rows into columns; the inverse of [`RowCodec::encode`].
    ///
    /// # Errors
    /// If the bytes are not valid for the types (a bug, or state of another plan).
    pub fn decode<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        if self.width == 0 {
            return Ok(Vec::new());
        }
        let parser = self.converter.parser();
        self.converter
            .convert_rows(rows.into_iter().map(|bytes| parser.parse(bytes)))
    }
}

/// Encoded rows of a batch, in one buffer.
#[derive(Debug)]
pub struct EncodedRows {
    rows: Option<Rows>,
    len: usize,
}

impl EncodedRows {
    /// The bytes of row `i`; empty for a codec without columns.
    #[must_use]
    pub fn bytes(&self, i: usize) -> &[u8] {
        match &self.rows {
            Some(rows) => rows.row(i).data(),
            None => &[],
        }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True if there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{Int32Builder, ListBuilder};
    use arrow_array::{
        Array, ArrayRef, Decimal128Array, Int32Array, Int64Array, MapArray, StringArray,
        StructArray,
    };
    use arrow_buffer::{NullBuffer, OffsetBuffer};
    use arrow_schema::DataType;

    use super::{Row, RowCodec};
    use crate::sql_type;

    fn columns() -> (Vec<DataType>, Vec<ArrayRef>) {
        let money = Decimal128Array::from(vec![Some(-1), None, Some(12_345)])
            .with_precision_and_scale(18, 2)
            .expect("valid");
        (
            vec![DataType::Int64, DataType::Decimal128(18, 2), DataType::Utf8],
            vec![
                Arc::new(Int64Array::from(vec![-5, 0, 7])),
                Arc::new(money),
                Arc::new(StringArray::from(vec![Some("July"), Some(""), None])),
            ],
        )
    }

    #[test]
    fn decoding_gives_back_what_was_encoded() {
        let (types, columns) = columns();
        let codec = RowCodec::new(&types).expect("types have an encoding");
        let rows = codec.encode(&columns, 3).expect("columns have the types");
        let decoded = codec
            .decode((0..3).map(|i| rows.bytes(i)))
            .expect("bytes are valid");
        assert_eq!(format!("{decoded:?}"), format!("{columns:?}"));
    }

    #[test]
    fn rows_sort_as_their_values_do() {
        let (types, columns) = columns();
        let rows = RowCodec::new(&types)
            .expect("types have an encoding")
            .encode(&columns, 3)
            .expect("encodes");
        let rows: Vec<_> = (0..3).map(|i| Row::from(rows.bytes(i))).collect();
        assert!(rows[0] < rows[1] && rows[1] < rows[2]);
    }

    #[test]
    fn the_encoding_on_disk_is_frozen() {
        let (types, columns) = columns();
        let rows = RowCodec::new(&types)
            .expect("types have an encoding")
            .encode(&columns, 3)
            .expect("encodes");
        let hex: Vec<_> = (0..3)
            .map(|i| format!("{:?}", Row::from(rows.bytes(i))))
            .collect();
        assert_eq!(
            hex, FROZEN,
            "state written by an older build could no longer be read"
        );
    }

    /// A list, a struct and a map; what is null within them, and what is null itself.
    fn nested() -> (Vec<DataType>, Vec<ArrayRef>) {
        let mut lists = ListBuilder::new(Int32Builder::new());
        lists.append_value([Some(1), None]);
        lists.append_value([]);
        lists.append_null();
        let (city, zip) = (
            StringArray::from(vec![Some("Bonn"), None, None]),
            Int32Array::from(vec![Some(53_111), None, None]),
        );
        let DataType::Struct(fields) = sql_type::structure([
            ("city".to_owned(), DataType::Utf8),
            ("zip".to_owned(), DataType::Int32),
        ]) else {
            panic!("a struct");
        };
        let nulls = NullBuffer::from(vec![true, true, false]);
        let structs = StructArray::new(fields, vec![Arc::new(city), Arc::new(zip)], Some(nulls));
        let maps = sql_type::map(DataType::Int64);
        let DataType::Map(entries, _) = &maps else {
            panic!("a map");
        };
        let DataType::Struct(entry) = entries.data_type() else {
            panic!("of entries");
        };
        let keys = StringArray::from(vec!["a", "b"]);
        let values = Int64Array::from(vec![Some(1), None]);
        let content = StructArray::new(entry.clone(), vec![Arc::new(keys), Arc::new(values)], None);
        let ends = OffsetBuffer::from_lengths([2, 0, 0]);
        let nulls = NullBuffer::from(vec![true, true, false]);
        let maps_of = MapArray::new(Arc::clone(entries), ends, content, Some(nulls), false);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(lists.finish()),
            Arc::new(structs),
            Arc::new(maps_of),
        ];
        let types = columns.iter().map(|column| column.data_type().clone());
        (types.collect(), columns)
    }

    #[test]
    fn values_in_values_come_back_as_they_were() {
        let (types, columns) = nested();
        let codec = RowCodec::new(&types).expect("types have an encoding");
        let rows = codec.encode(&columns, 3).expect("columns have the types");
        // In another order than they were, and one of them twice.
        let order = [2, 0, 1, 0];
        let decoded = codec
            .decode(order.iter().map(|&i| rows.bytes(i)))
            .expect("bytes are valid");
        for (decoded, column) in decoded.iter().zip(&columns) {
            assert_eq!(decoded.data_type(), column.data_type());
            for (row, &was) in order.iter().enumerate() {
                assert_eq!(
                    decoded.slice(row, 1).to_data(),
                    column.slice(was, 1).to_data()
                );
            }
        }
    }

    #[test]
    fn the_encoding_of_values_in_values_is_frozen() {
        let (types, columns) = nested();
        let rows = RowCodec::new(&types)
            .expect("types have an encoding")
            .encode(&columns, 3)
            .expect("encodes");
        let hex: Vec<_> = (0..3)
            .map(|i| format!("{:?}", Row::from(rows.bytes(i))))
            .collect();
        assert_eq!(hex, FROZEN_NESTED);
    }

    /// A null is 00 (of a struct), or 00 and nothing else (of a list or a map); an empty one is 01; elements and entries are encoded rows of their
    /// own, cut into blocks as texts are.
    const FROZEN_NESTED: [&str; 3] = [
        "0201800000010000000502000000000000000005010102426f6e6e0000000004018000cf77020261000000000000ff0001018000000000ff000001000000000003020262000000000000ff0001000000000000ff00000000000000000301",
        "010100000000000001",
        "000000000000000000",
    ];

    /// Per value a byte that says null (00) or value (01), then big endian with the sign flipped; a string is 02, blocks of eight bytes and
    /// the length of the last one, an empty string 01 alone.
    const FROZEN: [&str; 3] = [
        "017ffffffffffffffb017fffffffffffffffffffffffffffffff024a756c790000000004",
        "018000000000000000000000000000000000000000000000000001",
        "018000000000000007018000000000000000000000000000303900",
    ];
}

//! Names of schemas that are derived from columns: what Avro and Protobuf alike take for one.

/// What names are.
pub const NAMES: &str = "a name of letters, digits and '_' that begins with none of the digits";

/// True for a name.
pub fn is_name(text: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_letter)
        && bytes
            .iter()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

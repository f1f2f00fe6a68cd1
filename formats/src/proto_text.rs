//! The texts of `.proto` files, compiled: what a registry has instead of descriptors.
//!
//! Promises: it reads no file; a text that is nested without end is refused before it is compiled. What comes with Protobuf itself and with
//! Confluent's registries can be imported without being there.

use prost_reflect::FileDescriptor;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use tidemill_types::format::SchemaText;

/// What the schema's own text is called: nothing can import it.
const MAIN: &str = "tidemill.main.proto";
/// How deep a text may nest: the compiler goes as deep.
const NESTED_MAX: usize = 64;
/// How many angles may be open: comments have some that nothing closes.
const ANGLES_MAX: usize = 200;
/// A file that Confluent's registries have built in, in the part that schemas use: options of fields and messages.
const CONFLUENT_META: &str = r#"
syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
"#;
/// Another one.
const CONFLUENT_DECIMAL: &str = r#"
syntax = "proto3";
package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
"#;

/// Compiles a text with what it refers to.
///
/// ```
/// use tidemill_formats::proto_text;
/// use tidemill_types::format::SchemaText;
///
/// let text = "syntax = \"proto3\"; message Order { int64 id = 1; }".to_owned();
/// let file = proto_text::compile(&SchemaText { text, references: Vec::new() });
/// assert_eq!(file.unwrap().messages().next().unwrap().name(), "Order");
/// ```
///
/// # Errors
/// Why it is no schema, such as where it is broken.
pub fn compile(schema: &SchemaText) -> Result<FileDescriptor, String> {
    let references = schema.references.iter().map(|(_, text)| text);
    for text in std::iter::once(&schema.text).chain(references) {
        check_nesting(text)?;
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(schema.clone()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    let compiled = compiler
        .open_file(MAIN)
        .map(|compiler| compiler.descriptor_pool().get_file_by_name(MAIN))
        .map_err(|error| said(&error))?;
    compiled.ok_or_else(|| "it declares nothing".to_owned())
}

/// What the compiler says, in one line, and without the name that only we gave the file.
fn said(error: &protox::Error) -> String {
    let said = error.to_string().replace(MAIN, "it");
    said.lines().collect::<Vec<_>>().join("; ")
}

/// Refuses what is nested so deep that the compiler could run out of its stack. In the value of an option, angles nest as braces do.
fn check_nesting(text: &str) -> Result<(), String> {
    let (mut depth, mut angles) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'<' => angles += 1,
            b'>' => angles = angles.saturating_sub(1),
            _ => {}
        }
        if depth > NESTED_MAX || angles > ANGLES_MAX {
            return Err(format!("it is nested over {NESTED_MAX} deep"));
        }
    }
    Ok(())
}

/// The texts of a schema and of its references, by the names that they are imported by.
struct Texts(SchemaText);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let references = &self.0.references;
        let text = match name {
            MAIN => &self.0.text,
            _ => match references.iter().find(|(of, _)| of == name) {
                Some((_, text)) => text,
                None if name == "confluent/meta.proto" => CONFLUENT_META,
                None if name == "confluent/type/decimal.proto" => CONFLUENT_DECIMAL,
                None => return Err(protox::Error::file_not_found(name)),
            },
        };
        File::from_source(name, text)
    }
}

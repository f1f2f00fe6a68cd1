//! JSON to types.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidemill_connectors_api::Error;

use super::{AvroSchema, Body, Field, Named, Primitive, Type};
use crate::{Whole, invalid};

/// How deep types may lie in each other.
const DEPTH_MAX: usize = 64;

/// Reads a schema, after those that it refers to.
pub fn schema(whole: &Whole) -> Result<AvroSchema, Error> {
    let mut parser = Parser::default();
    for reference in &whole.references {
        parser
            .text(&reference.schema.text)
            .map_err(|why| invalid(format!("'{}' is no Avro schema: {why}", reference.name)))?;
    }
    let root = parser
        .text(&whole.schema.text)
        .map_err(|why| invalid(format!("the text is no Avro schema: {why}")))?;
    let named = parser.named.into_iter();
    let named = named
        .map(|named| named.ok_or_else(|| invalid("a type lacks its body".to_owned())))
        .collect::<Result<_, _>>()?;
    Ok(AvroSchema { root, named })
}

#[derive(Default)]
struct Parser {
    /// None while the body is being read: a type may hold itself.
    named: Vec<Option<Named>>,
    names: BTreeMap<String, usize>,
}

impl Parser {
    fn text(&mut self, text: &str) -> Result<Type, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        self.of(&json, "", 0)
    }

    fn of(&mut self, json: &Value, namespace: &str, depth: usize) -> Result<Type, String> {
        if depth > DEPTH_MAX {
            return Err(format!("types lie in each other over {DEPTH_MAX} deep"));
        }
        match json {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter();
                let branches = branches.map(|branch| self.of(branch, namespace, depth + 1));
                Ok(Type::Union(branches.collect::<Result<_, _>>()?))
            }
            Value::Object(object) => self.object(object, namespace, depth),
            other => Err(format!("'{other}' is no type")),
        }
    }

    fn by_name(&self, name: &str, namespace: &str) -> Result<Type, String> {
        let mut primitives = Primitive::ALL.into_iter();
        if let Some(primitive) = primitives.find(|primitive| primitive.name() == name) {
            return Ok(Type::Primitive(primitive, None));
        }
        let found = self.names.get(&full_name(name, namespace));
        match found.or_else(|| self.names.get(name)) {
            Some(named) => Ok(Type::Named(*named)),
            None => Err(format!(
                "there is no type '{name}'; declare it before it is used, or refer to the subject that has it"
            )),
        }
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Type, String> {
        let logical = logical(object);
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(inner) => return self.of(inner, namespace, depth + 1),
            None => return Err("a type lacks 'type'".to_owned()),
        };
        match kind {
            "array" => Ok(Type::Array(Box::new(self.of(
                required(object, "items")?,
                namespace,
                depth + 1,
            )?))),
            "map" => Ok(Type::Map(Box::new(self.of(
                required(object, "values")?,
                namespace,
                depth + 1,
            )?))),
            "record" | "error" | "enum" | "fixed" => self.named(kind, object, namespace, depth),
            other => match self.by_name(other, namespace)? {
                Type::Primitive(primitive, _) => Ok(Type::Primitive(primitive, logical)),
                named => Ok(named),
            },
        }
    }

    fn named(
        &mut self,
        kind: &str,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Type, String> {
        let given = text(object, "name")?;
        let namespace = match object.get("namespace") {
            Some(Value::String(own)) if !given.contains('.') => own,
            _ => namespace,
        };
        let name = full_name(given, namespace);
        let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let place = self.named.len();
        self.named.push(None);
        if self.names.insert(name.clone(), place).is_some() {
            return Err(format!("the type '{name}' is declared twice"));
        }
        let body = match kind {
            "enum" => Body::Enum {
                symbols: texts(object, "symbols")?,
                default: text(object, "default").ok().map(str::to_owned),
            },
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                Body::Fixed(size.ok_or("a fixed type lacks its 'size'")?)
            }
            _ => Body::Record(self.fields(object, namespace, depth)?),
        };
        let aliases = texts(object, "aliases").unwrap_or_default().into_iter();
        self.named[place] = Some(Named {
            aliases: aliases.map(|alias| full_name(&alias, namespace)).collect(),
            logical: logical(object),
            name,
            body,
        });
        Ok(Type::Named(place))
    }

    fn fields(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Vec<Field>, String> {
        let Some(Value::Array(fields)) = object.get("fields") else {
            return Err("a record lacks its 'fields'".to_owned());
        };
        let mut found: Vec<Field> = Vec::with_capacity(fields.len());
        for field in fields {
            let Value::Object(field) = field else {
                return Err(format!("'{field}' is no field"));
            };
            let name = text(field, "name")?.to_owned();
            if found.iter().any(|other| other.name == name) {
                return Err(format!("the field '{name}' is declared twice"));
            }
            let of = self.of(required(field, "type")?, namespace, depth + 1);
            found.push(Field {
                of: of.map_err(|why| format!("field '{name}': {why}"))?,
                aliases: texts(field, "aliases").unwrap_or_default(),
                default: field.get("default").cloned(),
                name,
            });
        }
        Ok(found)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn required<'a>(object: &'a Map<String, Value>, member: &str) -> Result<&'a Value, String> {
    let found = object.get(member);
    found.ok_or_else(|| format!("a type or field lacks '{member}'"))
}

fn text<'a>(object: &'a Map<String, Value>, member: &str) -> Result<&'a str, String> {
    let found = required(object, member)?.as_str();
    found.ok_or_else(|| format!("'{member}' is no string"))
}

fn texts(object: &Map<String, Value>, member: &str) -> Result<Vec<String>, String> {
    let texts = required(object, member)?.as_array().map(|texts| {
        let texts = texts.iter();
        texts.map(|text| text.as_str().map(str::to_owned)).collect()
    });
    texts
        .flatten()
        .ok_or_else(|| format!("'{member}' is no list of strings"))
}

/// The logical type in words, a decimal's with precision and scale.
fn logical(object: &Map<String, Value>) -> Option<String> {
    let name = object.get("logicalType")?.as_str()?;
    if name != "decimal" {
        return Some(name.to_owned());
    }
    let precision = object.get("precision")?.as_u64()?;
    let scale = object.get("scale").and_then(Value::as_u64).unwrap_or(0);
    Some(format!("decimal({precision}, {scale})"))
}

//! Messages, by prost-reflect: what may be null is `optional`, so that it is told from a default.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type as Kind};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    OneofDescriptorProto,
};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value as Datum};
use serde_json::{Map, Value as Json};

use super::shape::{Field, Shape};
use crate::value::{Type, Value};

/// The format, as SQL.
pub fn options(shape: &Shape) -> String {
    let descriptors = STANDARD.encode(descriptors(shape).encode_to_vec());
    let name = match shape {
        Shape::Record(name, _) => name,
        Shape::Of(_) | Shape::Array(_) | Shape::Map(_) => "",
    };
    format!(
        "format = 'protobuf', protobuf.message = '{name}', protobuf.descriptors = '{descriptors}'"
    )
}

fn descriptors(shape: &Shape) -> FileDescriptorSet {
    let mut messages = Vec::new();
    declare(shape, &mut messages);
    FileDescriptorSet {
        file: vec![FileDescriptorProto {
            name: Some("it.proto".to_owned()),
            syntax: Some("proto3".to_owned()),
            message_type: messages,
            ..FileDescriptorProto::default()
        }],
    }
}

fn declare(shape: &Shape, messages: &mut Vec<DescriptorProto>) {
    let Shape::Record(name, fields) = shape else {
        return;
    };
    if messages
        .iter()
        .any(|known| known.name.as_deref() == Some(*name))
    {
        return;
    }
    // What is optional lies in a choice of its own; those without have no place among these.
    let optional: Vec<&Field> = fields.iter().filter(|field| field.nullable).collect();
    let place = |field: &Field| optional.iter().position(|of| of.name == field.name);
    let field = |(number, field): (i32, &Field)| FieldDescriptorProto {
        name: Some(field.name.clone()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind(&field.shape).into()),
        type_name: match &field.shape {
            Shape::Record(name, _) => Some(format!(".{name}")),
            Shape::Of(_) | Shape::Array(_) | Shape::Map(_) => None,
        },
        proto3_optional: Some(field.nullable),
        oneof_index: place(field).and_then(|place| i32::try_from(place).ok()),
        ..FieldDescriptorProto::default()
    };
    let oneofs = optional.iter().map(|field| OneofDescriptorProto {
        name: Some(format!("_{}", field.name)),
        options: None,
    });
    messages.push(DescriptorProto {
        name: Some((*name).to_owned()),
        field: (1..).zip(fields).map(field).collect(),
        oneof_decl: oneofs.collect(),
        ..DescriptorProto::default()
    });
    for field in fields {
        declare(&field.shape, messages);
    }
}

const fn kind(shape: &Shape) -> Kind {
    match shape {
        Shape::Record(..) | Shape::Array(_) | Shape::Map(_) | Shape::Of(Type::Nested(_)) => {
            Kind::Message
        }
        Shape::Of(Type::Bool) => Kind::Bool,
        Shape::Of(Type::Int | Type::Time) => Kind::Int64,
        Shape::Of(Type::Decimal(_) | Type::Text | Type::Date | Type::Uuid) => Kind::String,
        Shape::Of(Type::Double) => Kind::Double,
        Shape::Of(Type::Bytes) => Kind::Bytes,
    }
}

fn message(shape: &Shape) -> MessageDescriptor {
    let pool = DescriptorPool::from_file_descriptor_set(descriptors(shape));
    let pool = pool.expect("they are made by the rules of Protobuf");
    let Shape::Record(name, _) = shape else {
        unreachable!("a message is a record");
    };
    let message = pool.get_message_by_name(name);
    message.expect("it was declared")
}

/// An event's bytes; none if a value has no form.
pub fn encode(shape: &Shape, event: &Json) -> Option<Vec<u8>> {
    encoded(shape, &message(shape), event).map(|message| message.encode_to_vec())
}

/// The event that bytes are.
pub fn decode(shape: &Shape, bytes: &[u8]) -> Option<Json> {
    let message = DynamicMessage::decode(message(shape), bytes).ok()?;
    Some(Json::Object(decoded(shape, &message)?))
}

fn encoded(shape: &Shape, of: &MessageDescriptor, event: &Json) -> Option<DynamicMessage> {
    let event = event.as_object()?;
    let mut message = DynamicMessage::new(of.clone());
    for field in shape.fields() {
        let Some(value) = event.get(&field.name).filter(|value| !value.is_null()) else {
            continue;
        };
        let described = of.get_field_by_name(&field.name)?;
        let datum = match &field.shape {
            Shape::Record(..) => {
                let kind = described.kind();
                Datum::Message(encoded(&field.shape, kind.as_message()?, value)?)
            }
            Shape::Of(Type::Bool) => Datum::Bool(value.as_bool()?),
            Shape::Of(Type::Int | Type::Time) => Datum::I64(value.as_i64()?),
            Shape::Of(Type::Decimal(_) | Type::Text | Type::Date | Type::Uuid) => {
                Datum::String(value.as_str()?.to_owned())
            }
            Shape::Of(Type::Double | Type::Bytes | Type::Nested(_))
            | Shape::Array(_)
            | Shape::Map(_) => return None,
        };
        message.set_field(&described, datum);
    }
    Some(message)
}

fn decoded(shape: &Shape, message: &DynamicMessage) -> Option<Map<String, Json>> {
    let mut event = Map::new();
    for field in shape.fields() {
        let value = match message.get_field_by_name(&field.name)?.as_ref() {
            _ if field.nullable && !message.has_field_by_name(&field.name) => Json::Null,
            Datum::Message(inner) => Json::Object(decoded(&field.shape, inner)?),
            Datum::Bool(is) => Json::from(*is),
            Datum::I64(number) => Json::from(*number),
            Datum::F64(number) => Json::from(*number),
            Datum::String(text) => Json::from(text.as_str()),
            Datum::Bytes(bytes) => Value::Bytes(bytes.to_vec()).to_json(),
            _ => return None,
        };
        event.insert(field.name.clone(), value);
    }
    Some(event)
}

//! What changed from one schema to another, whether it does harm or not.

use std::collections::HashSet;

use prost_reflect::{EnumDescriptor, Kind, MessageDescriptor};
use tidemill_connectors_api::registry::Difference;

use super::{DEPTH_MAX, ProtobufSchema, shown};

/// Everything that is otherwise in `new`: message by message, then those that are gone.
pub fn diff(old: &ProtobufSchema, new: &ProtobufSchema) -> Vec<Difference> {
    let mut walk = Walk::default();
    for message in new.messages() {
        let name = message.full_name();
        match old.message(name) {
            Some(before) => walk.message(&before, &message, name),
            None => walk.tell(name, "is a new message".to_owned()),
        }
    }
    for message in old.messages() {
        if new.message(message.full_name()).is_none() {
            walk.tell(message.full_name(), "is gone: it was a message".to_owned());
        }
    }
    walk.found
}

#[derive(Default)]
struct Walk {
    /// What was looked at, by name: what differs is told once.
    seen: HashSet<String>,
    found: Vec<Difference>,
    depth: usize,
}

impl Walk {
    fn message(&mut self, old: &MessageDescriptor, new: &MessageDescriptor, path: &str) {
        if !self.seen.insert(new.full_name().to_owned()) || self.depth == DEPTH_MAX {
            return;
        }
        self.depth += 1;
        for field in new.fields() {
            let path = format!("{path}.{}", field.name());
            let Some(before) = old.get_field(field.number()) else {
                let what = format!("(number {}) is new: {}", field.number(), shown(&field));
                self.tell(&path, what);
                continue;
            };
            if before.name() != field.name() {
                let what = format!("(number {}) was called '{}'", field.number(), before.name());
                self.tell(&path, what);
            }
            let (was, is) = (shown(&before), shown(&field));
            if was != is {
                let what = format!("(number {}) was {was}, is {is}", field.number());
                self.tell(&path, what);
                continue;
            }
            match (before.kind(), field.kind()) {
                (Kind::Message(old), Kind::Message(new)) => self.message(&old, &new, &path),
                (Kind::Enum(old), Kind::Enum(new)) => self.values(&old, &new, &path),
                _ => {}
            }
        }
        for before in old.fields() {
            if new.get_field(before.number()).is_none() {
                let what = format!(
                    "(number {}) is gone: it was {}",
                    before.number(),
                    shown(&before)
                );
                self.tell(&format!("{path}.{}", before.name()), what);
            }
        }
        self.depth -= 1;
    }

    fn values(&mut self, old: &EnumDescriptor, new: &EnumDescriptor, path: &str) {
        if !self.seen.insert(new.full_name().to_owned()) {
            return;
        }
        for value in new.values() {
            match old.get_value(value.number()) {
                None => self.tell(path, format!("has a new value '{}'", value.name())),
                Some(before) if before.name() != value.name() => {
                    let what = format!(
                        "has the value '{}', called '{}' before",
                        value.name(),
                        before.name()
                    );
                    self.tell(path, what);
                }
                Some(_) => {}
            }
        }
        for before in old.values() {
            if new.get_value(before.number()).is_none() {
                self.tell(path, format!("has no value '{}' any more", before.name()));
            }
        }
    }

    fn tell(&mut self, path: &str, what: String) {
        self.found.push(Difference::new(path, what));
    }
}

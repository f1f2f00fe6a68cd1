//! What changed from one schema to another, whether it does harm or not.

use std::collections::HashSet;

use serde_json::Value;
use tidemill_connectors_api::registry::Difference;

use super::{AvroSchema, BEYOND, Body, DEPTH_MAX, Field, Type, branches, within};

/// Everything that is otherwise in `new`, in the order of its fields, then what it lacks.
pub fn diff(old: &AvroSchema, new: &AvroSchema) -> Vec<Difference> {
    let mut walk = Walk {
        old,
        new,
        seen: HashSet::new(),
        found: Vec::new(),
        depth: 0,
    };
    walk.of(&old.root, &new.root, "");
    walk.found
}

struct Walk<'a> {
    old: &'a AvroSchema,
    new: &'a AvroSchema,
    /// Pairs of named types that were looked at: what differs in them is told once, and a type may hold itself.
    seen: HashSet<(usize, usize)>,
    found: Vec<Difference>,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn of(&mut self, old: &'a Type, new: &'a Type, path: &str) {
        if self.depth == DEPTH_MAX {
            return self.tell(path, BEYOND.to_owned());
        }
        self.depth += 1;
        self.pair(old, new, path);
        self.depth -= 1;
    }

    fn pair(&mut self, old: &'a Type, new: &'a Type, path: &str) {
        let (old_branches, old_null) = branches(old);
        let (new_branches, new_null) = branches(new);
        if let ([old_one], [new_one]) = (&old_branches[..], &new_branches[..])
            && self.is_walked_into(old_one, new_one)
        {
            match (old_null, new_null) {
                (false, true) => self.tell(path, "can be null".to_owned()),
                (true, false) => self.tell(path, "can no longer be null".to_owned()),
                _ => {}
            }
            return self.one(old_one, new_one, path);
        }
        let (was, is) = (self.old.shown(old), self.new.shown(new));
        if was != is {
            self.tell(path, format!("was {was}, is {is}"));
        }
        for new in new_branches {
            let same = old_branches.iter().find(|old| self.has_same_name(old, new));
            if let Some(old) = same {
                self.one(old, new, path);
            }
        }
    }

    /// True if two types are told apart by what is in them.
    fn is_walked_into(&self, old: &Type, new: &Type) -> bool {
        matches!(
            (old, new),
            (Type::Array(_), Type::Array(_)) | (Type::Map(_), Type::Map(_))
        ) || self.has_same_name(old, new)
    }

    fn has_same_name(&self, old: &Type, new: &Type) -> bool {
        match (old, new) {
            (Type::Named(_), Type::Named(_)) => self.old.shown(old) == self.new.shown(new),
            _ => false,
        }
    }

    fn one(&mut self, old: &'a Type, new: &'a Type, path: &str) {
        match (old, new) {
            (Type::Array(old), Type::Array(new)) => self.of(old, new, &within(path, "[]")),
            (Type::Map(old), Type::Map(new)) => self.of(old, new, &within(path, "{}")),
            (Type::Named(old), Type::Named(new)) if self.seen.insert((*old, *new)) => {
                match (&self.old.get(*old).body, &self.new.get(*new).body) {
                    (Body::Record(old), Body::Record(new)) => self.fields(old, new, path),
                    (Body::Enum { symbols: old, .. }, Body::Enum { symbols: new, .. }) => {
                        for symbol in new.iter().filter(|symbol| !old.contains(symbol)) {
                            self.tell(path, format!("has a new symbol '{symbol}'"));
                        }
                        for symbol in old.iter().filter(|symbol| !new.contains(symbol)) {
                            self.tell(path, format!("has no symbol '{symbol}' any more"));
                        }
                    }
                    (Body::Fixed(old), Body::Fixed(new)) if old != new => {
                        self.tell(path, format!("had {old} bytes, has {new}"));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, old: &'a [Field], new: &'a [Field], path: &str) {
        let was = |field: &Field, was: &Field| {
            was.name == field.name || field.aliases.contains(&was.name)
        };
        for field in new {
            let path = within(path, &field.name);
            let Some(before) = old.iter().find(|before| was(field, before)) else {
                let of = self.new.shown(&field.of);
                let default = field.default.as_ref();
                let default = default.map_or_else(
                    || "without a default".to_owned(),
                    |value| format!("with the default {value}"),
                );
                self.tell(&path, format!("is new: {of}, {default}"));
                continue;
            };
            if before.name != field.name {
                self.tell(&path, format!("was called '{}'", before.name));
            }
            self.of(&before.of, &field.of, &path);
            self.default(before.default.as_ref(), field.default.as_ref(), &path);
        }
        for before in old {
            if !new.iter().any(|field| was(field, before)) {
                let of = self.old.shown(&before.of);
                self.tell(&within(path, &before.name), format!("is gone: it was {of}"));
            }
        }
    }

    fn default(&mut self, old: Option<&Value>, new: Option<&Value>, path: &str) {
        match (old, new) {
            (None, Some(new)) => self.tell(path, format!("has a default now: {new}")),
            (Some(old), None) => self.tell(path, format!("has no default any more: it was {old}")),
            (Some(old), Some(new)) if old != new => {
                self.tell(path, format!("had the default {old}, has {new}"));
            }
            _ => {}
        }
    }

    fn tell(&mut self, path: &str, what: String) {
        self.found.push(Difference::new(path, what));
    }
}

//! Whether a reader's schema reads all that a writer's writes: Avro's schema resolution, asked of every branch and every field.
//!
//! Stricter than the specification in one thing: a logical type that changes, such as another scale of a decimal, is a difference, since the
//! same bytes would be another value.

use std::collections::HashSet;

use tidemill_connectors_api::registry::Difference;

use super::{
    AvroSchema, BEYOND, Body, DEPTH_MAX, Field, Named, Primitive, STEPS_MAX, Type, within,
};

/// What of the writer the reader cannot read, each with its path.
pub fn unreadable(reader: &AvroSchema, writer: &AvroSchema) -> Vec<Difference> {
    let mut check = Check {
        reader,
        writer,
        under_way: HashSet::new(),
        found: Vec::new(),
        depth: 0,
        steps_left: STEPS_MAX,
    };
    check.of(&reader.root, &writer.root, "");
    check.found
}

struct Check<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    /// Pairs of named types that are looked at already: a type may hold itself.
    under_way: HashSet<(usize, usize)>,
    found: Vec<Difference>,
    depth: usize,
    steps_left: usize,
}

impl<'a> Check<'a> {
    fn of(&mut self, reader: &'a Type, writer: &'a Type, path: &str) {
        if self.depth == DEPTH_MAX || self.steps_left == 0 {
            self.found.push(Difference::new(path, BEYOND));
            return;
        }
        self.depth += 1;
        self.steps_left -= 1;
        self.pair(reader, writer, path);
        self.depth -= 1;
    }

    fn pair(&mut self, reader: &'a Type, writer: &'a Type, path: &str) {
        match (reader, writer) {
            (_, Type::Union(branches)) => {
                for branch in branches {
                    self.of(reader, branch, path);
                }
            }
            (Type::Union(branches), _) => self.union(branches, writer, path),
            (
                Type::Primitive(reader_is, reader_means),
                Type::Primitive(writer_is, writer_means),
            ) => {
                let means = is_same_meaning(reader_means.as_ref(), writer_means.as_ref());
                if !promotes(*writer_is, *reader_is) || !means {
                    self.mismatch(reader, writer, path);
                }
            }
            (Type::Array(reader), Type::Array(writer)) => {
                self.of(reader, writer, &within(path, "[]"));
            }
            (Type::Map(reader), Type::Map(writer)) => {
                self.of(reader, writer, &within(path, "{}"));
            }
            (Type::Named(reader), Type::Named(writer)) => self.named(*reader, *writer, path),
            _ => self.mismatch(reader, writer, path),
        }
    }

    /// Of a union's branches the one that reads it; if none does, what is wrong with the one that comes nearest.
    fn union(&mut self, branches: &'a [Type], writer: &'a Type, path: &str) {
        let mut nearest: Option<Vec<Difference>> = None;
        for branch in branches {
            let mut attempt = Check {
                under_way: self.under_way.clone(),
                found: Vec::new(),
                ..*self
            };
            attempt.of(branch, writer, path);
            self.steps_left = attempt.steps_left;
            if attempt.found.is_empty() {
                self.under_way = attempt.under_way;
                return;
            }
            // A branch of the same kind differs inside, and says more than that the kind is another.
            if self.is_same_kind(branch, writer) {
                nearest = Some(attempt.found);
            }
        }
        match nearest {
            Some(found) => self.found.extend(found),
            None => {
                let union = branches.iter().map(|branch| self.reader.shown(branch));
                let union: Vec<String> = union.collect();
                let what = self.what(&union.join(" or "), writer);
                self.found.push(Difference::new(path, what));
            }
        }
    }

    fn is_same_kind(&self, reader: &Type, writer: &Type) -> bool {
        match (reader, writer) {
            (Type::Array(_), Type::Array(_)) | (Type::Map(_), Type::Map(_)) => true,
            (Type::Named(reader), Type::Named(writer)) => {
                let (reader, writer) = (self.reader.get(*reader), self.writer.get(*writer));
                reader.body.kind() == writer.body.kind() && has_name_of(reader, writer)
            }
            _ => false,
        }
    }

    fn named(&mut self, reader_at: usize, writer_at: usize, path: &str) {
        if !self.under_way.insert((reader_at, writer_at)) {
            return;
        }
        let (reader, writer) = (self.reader.get(reader_at), self.writer.get(writer_at));
        let same_meaning = is_same_meaning(reader.logical.as_ref(), writer.logical.as_ref());
        if reader.body.kind() != writer.body.kind() || !has_name_of(reader, writer) || !same_meaning
        {
            return self.mismatch(&Type::Named(reader_at), &Type::Named(writer_at), path);
        }
        match (&reader.body, &writer.body) {
            (Body::Record(reader), Body::Record(writer)) => self.fields(reader, writer, path),
            (
                Body::Enum { symbols, default },
                Body::Enum {
                    symbols: written, ..
                },
            ) => {
                let unknown = written.iter().filter(|symbol| !symbols.contains(symbol));
                let unknown: Vec<&str> = unknown.map(String::as_str).collect();
                if default.is_none() && !unknown.is_empty() {
                    let what = format!(
                        "is written with '{}', which the reader's enum neither has nor has a default for",
                        unknown.join("', '")
                    );
                    self.found.push(Difference::new(path, what));
                }
            }
            (Body::Fixed(reader), Body::Fixed(writer)) if reader != writer => {
                let what = format!("is written in {writer} bytes and read in {reader}");
                self.found.push(Difference::new(path, what));
            }
            _ => {}
        }
    }

    fn fields(&mut self, reader: &'a [Field], writer: &'a [Field], path: &str) {
        for field in reader {
            let written = writer.iter().find(|written| {
                written.name == field.name || field.aliases.contains(&written.name)
            });
            let path = within(path, &field.name);
            match written {
                Some(written) => self.of(&field.of, &written.of, &path),
                None if field.default.is_some() => {}
                None => {
                    let what = format!(
                        "is read as {} and not written; give it a default",
                        self.reader.shown(&field.of)
                    );
                    self.found.push(Difference::new(path, what));
                }
            }
        }
    }

    fn mismatch(&mut self, reader: &Type, writer: &Type, path: &str) {
        let what = self.what(&self.reader.shown(reader), writer);
        self.found.push(Difference::new(path, what));
    }

    fn what(&self, reader: &str, writer: &Type) -> String {
        format!(
            "is written as {} and read as {reader}",
            self.writer.shown(writer)
        )
    }
}

/// True if the reader's type goes by the writer's name: names count without their namespaces, aliases with them.
fn has_name_of(reader: &Named, writer: &Named) -> bool {
    reader.short_name() == writer.short_name() || reader.aliases.contains(&writer.name)
}

/// True if two logical types don't contradict each other: one that is not there leaves open what the bytes mean.
fn is_same_meaning(reader: Option<&String>, writer: Option<&String>) -> bool {
    reader.is_none() || writer.is_none() || reader == writer
}

/// True if a value of one primitive type can be read as the other.
const fn promotes(from: Primitive, to: Primitive) -> bool {
    use Primitive as P;
    matches!(
        (from, to),
        (P::Null, P::Null)
            | (P::Boolean, P::Boolean)
            | (P::Int, P::Int | P::Long | P::Float | P::Double)
            | (P::Long, P::Long | P::Float | P::Double)
            | (P::Float, P::Float | P::Double)
            | (P::Double, P::Double)
            | (P::Bytes | P::String, P::Bytes | P::String)
    )
}

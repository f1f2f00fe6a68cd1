//! The `WITH` of one source or sink, as the planner reads it: what the environment answers stands in for `${NAME}`,
//! what is wrong is told with its place, and an option of the planner's that does not exist is refused by name.
//!
//! Does not know the connector's options: the connector does.

use crate::dialect::{Name, OptionStatement};
use crate::error::{Error, Location};
use crate::options::{self, Environment, Options};

/// The options of one object.
#[derive(Clone, Copy)]
pub struct With<'a> {
    /// `source` or `sink`.
    kind: &'static str,
    name: &'a Name,
    /// As they stand in the SQL, for places.
    statements: &'a [OptionStatement],
    /// The profile's overrides applied.
    options: &'a Options,
    environment: Environment<'a>,
}

impl<'a> With<'a> {
    /// The options of an object of a kind: as they stand in the SQL, and with the profile's overrides.
    pub const fn new(
        kind: &'static str,
        name: &'a Name,
        statements: &'a [OptionStatement],
        options: &'a Options,
        environment: Environment<'a>,
    ) -> Self {
        Self {
            kind,
            name,
            statements,
            options,
            environment,
        }
    }

    /// Where an option stands, or else the object's name.
    pub fn place(&self, option: &str) -> Location {
        let mut named = self.statements.iter().filter(|of| of.name.text == option);
        named.next().map_or(self.name.at, |of| of.name.at)
    }

    /// The value of an option, if it has one.
    pub fn get(&self, option: &str) -> Result<Option<String>, Error> {
        let value = self.options.get(option);
        let resolve = |value: &String| options::resolve(value, self.environment);
        let value = value.map(resolve).transpose();
        value.map_err(|message| Error::Environment {
            object: self.name.text.clone(),
            option: option.to_owned(),
            message,
        })
    }

    /// The value of an option that must have one.
    pub fn required(&self, option: &str) -> Result<String, Error> {
        let value = self.get(option)?.filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            self.wrong(&format!(
                "{} '{}' has no {option}; add {option} = '…' to its WITH",
                self.kind, self.name.text
            ))
        })
    }

    /// An option for which there is one value, which is also its default.
    pub fn only(&self, option: &str, known: &str) -> Result<String, Error> {
        match self.get(option)? {
            Some(value) if value != known => Err(self.wrong(&format!(
                "{0} '{1}' has {option} '{value}'; the {option}s of a {0} are: '{known}'",
                self.kind, self.name.text
            ))),
            _ => Ok(known.to_owned()),
        }
    }

    /// Milliseconds of an option such as `30 s`.
    pub fn milliseconds(&self, option: &str, default_ms: i64) -> Result<i64, Error> {
        match self.get(option)? {
            Some(text) => {
                options::milliseconds(option, &text).map_err(|message| self.wrong(&message))
            }
            None => Ok(default_ms),
        }
    }

    /// Fails for an option whose name has this beginning, which is the planner's, and that is none of these.
    pub fn refuse_unknown(&self, beginning: &str, known: &[&str]) -> Result<(), Error> {
        let is_unknown =
            |name: &&String| name.starts_with(beginning) && !known.contains(&name.as_str());
        match self.options.keys().find(is_unknown) {
            None => Ok(()),
            Some(name) if known.is_empty() => Err(Error::contradiction(
                self.place(name),
                format!("a {} has no option '{name}'; leave it out", self.kind),
            )),
            Some(name) => {
                let known = known.iter().copied();
                Err(Error::unknown(self.place(name), "option", name, known))
            }
        }
    }

    fn wrong(&self, message: &str) -> Error {
        Error::contradiction(self.name.at, message)
    }
}

/// The options of a statement by name, as they are written.
pub fn declared(options: &[OptionStatement]) -> Options {
    options
        .iter()
        .map(|option| (option.name.text.clone(), option.value.clone()))
        .collect()
}

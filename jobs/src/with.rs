//! The `WITH` of one source or sink: overridden by the profile, `${NAME}` answered by the environment, and split among those who take options.
//!
//! Promises: an option that nobody takes is refused by name, with the nearest that exists, at its place. Does not know what an option means:
//! its owner does.

use tidemill_types::format::{Envelope, Format, Formats, KEY_FORMAT};
use tidemill_types::options::{ConnectorOptions, SinkKind, is_among};

use crate::context::Context;
use crate::contract::PartFormats;
use crate::dialect::{Name, OptionStatement};
use crate::error::{Error, Location};
use crate::options::{self, Options};
use crate::plan::HistoryPlan;

/// Which way records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// In.
    Source,
    /// Out.
    Sink,
}

/// The options of one object.
pub struct With<'a> {
    direction: Direction,
    name: &'a Name,
    /// As they stand in the SQL, for places.
    statements: &'a [OptionStatement],
    options: Options,
    connectors: &'a [ConnectorOptions],
    /// The options that say which registry has the schemas.
    of_registry: &'static [&'static str],
}

/// The options that others than the planner take.
pub struct Split {
    /// The connector's.
    pub connector: Options,
    /// The format's and the envelope's.
    pub format: Options,
    /// The registry's.
    pub registry: Options,
}

/// Begins the options of the history that a source begins with.
const HISTORY: &str = "backfill.";
/// What chooses connector and format.
const CHOICES: [&str; 3] = ["connector", "format", "envelope"];
/// The format of who names none, where the connector has no usual one.
const FORMAT: &str = "json";

impl<'a> With<'a> {
    /// The options of an object as they hold.
    pub fn new(
        direction: Direction,
        name: &'a Name,
        statements: &'a [OptionStatement],
        context: Context<'a>,
    ) -> Result<Self, Error> {
        let declared = statements
            .iter()
            .map(|option| (option.name.text.clone(), option.value.clone()))
            .collect();
        let mut with = Self {
            direction,
            name,
            statements,
            options: declared,
            connectors: context.connectors,
            of_registry: context.contracts.options(),
        };
        let overrides = context.profile.overrides(direction, &name.text);
        for beginning in ["", HISTORY] {
            with.forget_connector(beginning, &overrides);
        }
        with.options.extend(overrides);
        for (option, value) in &mut with.options {
            let resolved = if options::has_secret(value) && !options::is_secret(option) {
                let reason = "it would be shown in plans; a secret may stand in options that never are, such as 'sasl.password'";
                Err(reason.to_owned())
            } else {
                options::resolve(value, context.environment, context.secrets)
            };
            *value = resolved.map_err(|message| Error::Environment {
                object: name.text.clone(),
                option: option.clone(),
                message,
            })?;
        }
        Ok(with)
    }

    /// Where another connector takes over, what was said to the one before, and means nothing to the new one, is forgotten. The names of both
    /// are in options with that beginning, and so is what they are told.
    fn forget_connector(&mut self, beginning: &str, overrides: &Options) {
        let chosen = format!("{beginning}connector");
        let (old, new) = (self.options.get(&chosen), overrides.get(&chosen));
        let Some(new) = new.filter(|new| old != Some(new)) else {
            return;
        };
        let of = |connector: Option<&String>| {
            let mut named = self.connectors.iter();
            let named = named.find(|known| Some(known.name) == connector.map(String::as_str));
            named.map_or(&[][..], |known| self.taken_by(known))
        };
        let (before, after) = (of(old), of(Some(new)));
        let is_past = |name: &String| {
            let name = name.strip_prefix(beginning);
            name.is_some_and(|name| is_among(name, before) && !is_among(name, after))
        };
        let past: Vec<_> = self
            .options
            .keys()
            .filter(|name| is_past(name))
            .cloned()
            .collect();
        self.options.retain(|name, _| !past.contains(name));
    }

    fn taken_by<'c>(&self, connector: &'c ConnectorOptions) -> &'c [&'static str] {
        match self.direction {
            Direction::Source => &connector.source,
            Direction::Sink => &connector.sink,
        }
    }

    const fn kind(&self) -> &'static str {
        match self.direction {
            Direction::Source => "source",
            Direction::Sink => "sink",
        }
    }

    /// Where an option stands, or else the object's name.
    pub fn place(&self, option: &str) -> Location {
        let mut named = self.statements.iter().filter(|of| of.name.text == option);
        named.next().map_or(self.name.at, |of| of.name.at)
    }

    /// The value of an option, if it has one.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// The value of an option that must have one.
    pub fn required(&self, option: &str) -> Result<&str, Error> {
        let value = self.get(option).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            self.wrong(&format!(
                "{} '{}' has no {option}; add {option} = '…' to its WITH",
                self.kind(),
                self.name.text
            ))
        })
    }

    /// The parts of an option such as `a, b`.
    pub fn list(&self, option: &str) -> Vec<String> {
        self.get(option).map_or_else(Vec::new, options::list)
    }

    /// Milliseconds of an option such as `30 s`.
    pub fn milliseconds(&self, option: &str, default_ms: i64) -> Result<i64, Error> {
        match self.get(option) {
            Some(text) => {
                options::milliseconds(option, text).map_err(|message| self.wrong(&message))
            }
            None => Ok(default_ms),
        }
    }

    /// The format, and the envelope: the one that is named, else `upsert` for a sink with a key, else the format's usual one.
    pub fn format(
        &self,
        connector: &ConnectorOptions,
        formats: &'a Formats,
    ) -> Result<(&'a dyn Format, &'static Envelope), Error> {
        let envelopes = |format: &dyn Format| match self.direction {
            Direction::Source => format.read_envelopes(),
            Direction::Sink => format.written_envelopes(),
        };
        let taken = match (connector.sinks, self.direction) {
            (SinkKind::Delivered { formats }, Direction::Sink) => Some(formats),
            _ => None,
        };
        let usual = taken.and_then(|taken| taken.first()).unwrap_or(&FORMAT);
        let name = self.get("format").unwrap_or(usual);
        let is_known = |format: &&dyn Format| {
            let is_taken = taken.is_none_or(|taken| taken.contains(&format.name()));
            is_taken && !envelopes(*format).is_empty()
        };
        let format = formats.named(name).filter(is_known);
        let format = format.ok_or_else(|| {
            let known: Vec<_> = formats.iter().filter(is_known).map(Format::name).collect();
            Error::unknown(self.place("format"), "format", name, known)
        })?;
        let known = envelopes(format);
        let usual = || {
            let is_keyed = self.direction == Direction::Sink && self.get("key").is_some();
            if is_keyed { "upsert" } else { known[0].name }
        };
        let wanted = self.get("envelope").unwrap_or_else(usual);
        let envelope = known.iter().find(|envelope| envelope.name == wanted);
        let envelope = envelope.ok_or_else(|| {
            let known = known.iter().map(|envelope| envelope.name);
            Error::unknown(self.place("envelope"), "envelope", wanted, known)
        })?;
        Ok((format, envelope))
    }

    /// What is known of the connector.
    pub fn connector(&self) -> Result<&'a ConnectorOptions, Error> {
        let connector = self.required("connector")?;
        let known = self.connectors.iter().find(|known| known.name == connector);
        known.ok_or_else(|| {
            let names = self.connectors.iter().map(|known| known.name);
            Error::unknown(self.place("connector"), "connector", connector, names)
        })
    }

    /// What a source reads before: the connector and the options whose names begin so. A profile that names no connector does without.
    pub fn history(&self) -> Result<Option<HistoryPlan>, Error> {
        let named = |(name, value): (&String, &String)| {
            let name = name.strip_prefix(HISTORY)?;
            Some((name.to_owned(), value.clone()))
        };
        let mut options: Options = self.options.iter().filter_map(named).collect();
        let Some(first) = options.keys().next() else {
            return Ok(None);
        };
        let place = |option: &str| self.place(&format!("{HISTORY}{option}"));
        if !options.contains_key("connector") {
            let message = format!(
                "'{HISTORY}{first}' says how to read a history, and nothing says by which connector; add {HISTORY}connector = '…'"
            );
            return Err(Error::contradiction(place(first), &message));
        }
        let connector = options.remove("connector").filter(|name| !name.is_empty());
        let Some(connector) = connector else {
            return Ok(None);
        };
        let with = |names: &[&str]| {
            let names = names.iter().map(|name| format!("{HISTORY}{name}"));
            names.collect::<Vec<_>>()
        };
        let of_sources = self
            .connectors
            .iter()
            .filter(|known| !known.source.is_empty());
        let Some(known) = of_sources.clone().find(|known| known.name == connector) else {
            let names = of_sources.map(|known| known.name);
            return Err(Error::unknown(
                place("connector"),
                "connector",
                &connector,
                names,
            ));
        };
        if let Some(wrong) = options.keys().find(|name| !is_among(name, &known.source)) {
            let known = with(&known.source);
            let name = format!("{HISTORY}{wrong}");
            return Err(Error::unknown(
                place(wrong),
                "option",
                &name,
                known.iter().map(String::as_str),
            ));
        }
        Ok(Some(HistoryPlan { connector, options }))
    }

    /// The format of keys, if there are some, and one is named that there is.
    pub fn key_format(&self, formats: &'a Formats) -> Option<&'a dyn Format> {
        let name = self.get(KEY_FORMAT).filter(|_| self.get("key").is_some());
        formats.named(name?)
    }

    /// Gives every option to who takes it: the connector, the formats of values and of keys, the registry; those of `own` are the planner's.
    pub fn split(
        &self,
        connector: &ConnectorOptions,
        formats: PartFormats<'_>,
        envelope: &Envelope,
        own: &[&'static str],
    ) -> Result<Split, Error> {
        let of_connector = self.taken_by(connector);
        let of_format = match self.direction {
            Direction::Source => {
                let of_keys = formats.key.map_or(&[][..], Format::key_source_options);
                [formats.value.source_options(), envelope.options, of_keys].concat()
            }
            Direction::Sink => {
                let of_keys = formats.key.map_or(&[][..], Format::key_sink_options);
                [formats.value.sink_options(), of_keys].concat()
            }
        };
        let mut split = Split {
            connector: Options::new(),
            format: Options::new(),
            registry: Options::new(),
        };
        for (name, value) in &self.options {
            let is_history = self.direction == Direction::Source && name.starts_with(HISTORY);
            if CHOICES.contains(&name.as_str()) || own.contains(&name.as_str()) || is_history {
                continue;
            }
            let taker = if is_among(name, &of_format) {
                &mut split.format
            } else if is_among(name, of_connector) {
                &mut split.connector
            } else if is_among(name, self.of_registry) {
                &mut split.registry
            } else {
                let known = [&CHOICES, own, &of_format, of_connector, self.of_registry].concat();
                return Err(Error::unknown(self.place(name), "option", name, known));
            };
            taker.insert(name.clone(), value.clone());
        }
        Ok(split)
    }

    fn wrong(&self, message: &str) -> Error {
        Error::contradiction(self.name.at, message)
    }
}

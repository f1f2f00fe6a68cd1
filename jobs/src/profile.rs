//! Profiles: another set of options for the same SQL, such as files instead of Kafka.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::options::Options;
use crate::with::Direction;

/// Overrides of `WITH` options. The default overrides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    sources: Options,
    sinks: Options,
    objects: BTreeMap<String, Options>,
}

impl Profile {
    /// Reads `[profile.NAME.sources]`, `[profile.NAME.sinks]` and `[profile.NAME.objects.OBJECT]`.
    ///
    /// # Errors
    /// If the text is not TOML, has no such profile, or the profile has other sections.
    pub fn from_toml(text: &str, name: &str) -> Result<Self, Error> {
        let error = |message: String| Error::Profile {
            profile: name.to_owned(),
            message,
        };
        let document: toml::Table = text.parse().map_err(|wrong: toml::de::Error| {
            error(format!("not valid TOML: {}", wrong.message()))
        })?;
        let profiles = document.get("profile").and_then(toml::Value::as_table);
        let names = || {
            let names: Vec<_> = profiles
                .into_iter()
                .flat_map(toml::Table::keys)
                .map(String::as_str)
                .collect();
            if names.is_empty() {
                "none".to_owned()
            } else {
                format!("'{}'", names.join("', '"))
            }
        };
        let sections = profiles
            .and_then(|profiles| profiles.get(name))
            .and_then(toml::Value::as_table)
            .ok_or_else(|| error(format!("not in the file; it has {}", names())))?;
        let mut profile = Self::default();
        for (section, value) in sections {
            let table = value
                .as_table()
                .ok_or_else(|| error(format!("'{section}' is not a table")))?;
            match section.as_str() {
                "sources" => flatten("", table, &mut profile.sources).map_err(error)?,
                "sinks" => flatten("", table, &mut profile.sinks).map_err(error)?,
                "objects" => {
                    for (object, options) in table {
                        let options = options
                            .as_table()
                            .ok_or_else(|| error(format!("'objects.{object}' is not a table")))?;
                        flatten(
                            "",
                            options,
                            profile.objects.entry(object.clone()).or_default(),
                        )
                        .map_err(error)?;
                    }
                }
                _ => {
                    return Err(error(format!(
                        "unknown section '{section}'; use 'sources', 'sinks' or 'objects'"
                    )));
                }
            }
        }
        Ok(profile)
    }

    /// What it says of all sources.
    #[must_use]
    pub const fn of_sources(&self) -> &Options {
        &self.sources
    }

    /// What it says of an object: its own overrides before those of all of its kind.
    pub(crate) fn overrides(&self, direction: Direction, object: &str) -> Options {
        let mut overrides = match direction {
            Direction::Source => self.sources.clone(),
            Direction::Sink => self.sinks.clone(),
        };
        let own = self.objects.get(object).into_iter().flatten();
        overrides.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        overrides
    }
}

/// The options that a table of TOML has, where a dotted name is a table in it.
///
/// # Errors
/// If a value is no text, whole number or truth.
pub fn options_of(table: &toml::Table) -> Result<Options, String> {
    let mut options = Options::new();
    flatten("", table, &mut options)?;
    Ok(options)
}

/// A dotted option name is a nested table in TOML.
fn flatten(prefix: &str, table: &toml::Table, options: &mut Options) -> Result<(), String> {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        let text = match value {
            toml::Value::Table(table) => {
                flatten(&format!("{name}."), table, options)?;
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            _ => {
                return Err(format!(
                    "the option '{name}' must be a text, a whole number, true or false"
                ));
            }
        };
        options.insert(name, text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Direction, Profile};

    const PROFILES: &str = r#"
        [profile.local.sources]
        connector = "files"
        path = "/data"
        watermark.max-future = "2 days"
        [profile.local.objects.payment_events]
        path = "/elsewhere"
        [profile.empty]
    "#;

    #[test]
    fn an_object_overrides_its_kind() {
        let profile = Profile::from_toml(PROFILES, "local").expect("valid");
        let of = |direction, object: &str| profile.overrides(direction, object);
        let payment = of(Direction::Source, "payment_events");
        assert_eq!(payment["path"], "/elsewhere");
        assert_eq!(payment["watermark.max-future"], "2 days");
        assert_eq!(of(Direction::Source, "other")["path"], "/data");
        let sink = of(Direction::Sink, "payment_events");
        assert_eq!(sink.keys().collect::<Vec<_>>(), ["path"]);
    }

    #[test]
    fn a_profile_that_does_not_exist_is_named_with_those_that_do() {
        let error = Profile::from_toml(PROFILES, "lokal").expect_err("does not exist");
        assert_eq!(
            error.to_string(),
            "profile 'lokal': not in the file; it has 'empty', 'local'"
        );
        let error =
            Profile::from_toml("[profile.a.source]\nx = 1", "a").expect_err("wrong section");
        assert_eq!(
            error.to_string(),
            "profile 'a': unknown section 'source'; use 'sources', 'sinks' or 'objects'"
        );
    }
}

//! The contracts of sources and sinks: under which subject their schema is, with which version a job is planned, and the columns that it has.
//!
//! Promises: a job that is planned with a version says so in its plan. Does not know a schema's language: the format does.

use tidemill_types::ErrorKind;
use tidemill_types::format::{self, ColumnOrigin, Contract, ContractBook, Envelope, Format, Path};

use crate::error::Error;
use crate::options::Options;
use crate::plan::{Column, RegistryPlan};
use crate::with::With;

/// A part of records that has a contract of its own.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// The option with the subject's name.
    subject: &'static str,
    /// The option with the version to plan with.
    version: &'static str,
    /// How the subject ends that is called after the topic.
    ending: &'static str,
}

/// The values of records.
const VALUE: Part = Part {
    subject: "schema.subject",
    version: "schema.version",
    ending: "value",
};
/// Their keys.
const KEY: Part = Part {
    subject: "key.schema.subject",
    version: "key.schema.version",
    ending: "key",
};
/// The options of a source.
pub const SOURCE_OPTIONS: [&str; 4] = [VALUE.subject, VALUE.version, KEY.subject, KEY.version];
/// The options of a sink.
pub const SINK_OPTIONS: [&str; 2] = [VALUE.subject, KEY.subject];
const NEWEST: &str = "latest";

/// The formats of a source or a sink.
#[derive(Clone, Copy)]
pub struct PartFormats<'a> {
    /// Of its values.
    pub value: &'a dyn Format,
    /// Of its keys; none if there are no keys, or they are in none.
    pub key: Option<&'a dyn Format>,
}

/// The registries of a source or a sink.
#[derive(Debug, Default)]
pub struct PartRegistries {
    /// Of its values, if these have contracts.
    pub value: Option<RegistryPlan>,
    /// Of its keys.
    pub key: Option<RegistryPlan>,
}

/// The registries of a source, asked for the versions that the source is planned with.
pub fn of_source(
    with: &With<'_>,
    registry: &Options,
    formats: PartFormats<'_>,
    contracts: &dyn ContractBook,
) -> Result<PartRegistries, Error> {
    let mut registries = of_sink(with, registry, formats)?;
    for (part, of) in [(VALUE, &mut registries.value), (KEY, &mut registries.key)] {
        if let Some(of) = of {
            of.contract = planned(part, with, of, contracts)?;
        }
    }
    Ok(registries)
}

/// The version of a part's subject that a source is planned with.
fn planned(
    part: Part,
    with: &With<'_>,
    registry: &RegistryPlan,
    contracts: &dyn ContractBook,
) -> Result<Option<Contract>, Error> {
    let name = part.version;
    let version = match with.get(name).unwrap_or(NEWEST) {
        NEWEST => None,
        text => Some(text.parse::<u32>().map_err(|_| {
            let message = format!("{name} is '{text}'; give it a number or '{NEWEST}'");
            Error::contradiction(with.place(name), message)
        })?),
    };
    let (options, subject) = (&registry.options, &registry.subject);
    let contract = contracts
        .contract(options, subject, version)
        .map_err(|error| failed(part, with, &error))?;
    let is_known = contracts.unasked(options).is_none();
    if let (None, Some(version), true) = (&contract, version, is_known) {
        let message = format!("the registry has no version {version} of '{subject}'");
        return Err(Error::contradiction(with.place(name), message));
    }
    Ok(contract)
}

/// The registries of a sink, which are told the schemas when the job is deployed.
pub fn of_sink(
    with: &With<'_>,
    registry: &Options,
    formats: PartFormats<'_>,
) -> Result<PartRegistries, Error> {
    let has_contracts = |format: &&dyn Format| format.schema_kind().is_some();
    let (value, key) = (
        Some(formats.value).filter(has_contracts),
        formats.key.filter(has_contracts),
    );
    if !registry.is_empty() && value.is_none() && key.is_none() {
        let format = formats.value.name();
        return Err(failed(VALUE, with, &format::Error::NoContracts { format }));
    }
    let of = |part: Part, has: bool| {
        let subject = part.subject(with, registry, has)?;
        Ok(subject.map(|subject| RegistryPlan {
            options: registry.clone(),
            subject,
            contract: None,
        }))
    };
    Ok(PartRegistries {
        value: of(VALUE, value.is_some())?,
        key: of(KEY, key.is_some())?,
    })
}

impl Part {
    /// The subject, if there is a registry and the part has contracts: by its name, or by the topic's.
    fn subject(
        self,
        with: &With<'_>,
        registry: &Options,
        has_contracts: bool,
    ) -> Result<Option<String>, Error> {
        let mut named = [self.subject, self.version].into_iter();
        let named = named.find(|option| with.get(option).is_some());
        let lonely = |option: &str, cure: &str| {
            let message = format!("'{option}' needs {cure}, or leave it out");
            Err(Error::contradiction(with.place(option), message))
        };
        match named {
            Some(option) if registry.is_empty() => {
                return lonely(option, "a registry; add schema.registry.url = '…'");
            }
            Some(option) if !has_contracts => {
                let part = self.ending;
                let cure = match part {
                    "key" => {
                        "keys with contracts; say key = '…' and key.format = 'avro' or 'protobuf'"
                    }
                    _ => "values with contracts; say format = 'avro' or 'protobuf'",
                };
                return lonely(option, cure);
            }
            _ if registry.is_empty() || !has_contracts => return Ok(None),
            _ => {}
        }
        match (with.get(self.subject), with.get("topic")) {
            (Some(subject), _) => Ok(Some(subject.to_owned())),
            (None, Some(topics)) if topics.contains(',') => {
                let message = format!(
                    "the topics '{topics}' have a subject each; say with {} = '…' of which the columns are",
                    self.subject
                );
                Err(Error::contradiction(with.place("topic"), message))
            }
            (None, Some(topic)) => Ok(Some(format!("{topic}-{}", self.ending))),
            (None, None) => with
                .required(self.subject)
                .map(|subject| Some(subject.to_owned())),
        }
    }
}

/// Adds, before those that are declared, the columns that a contract has: those of the key that are not, and, where no column is that is read
/// from the records' state, all of the value.
pub fn add_columns(
    columns: &mut Vec<Column>,
    registries: &PartRegistries,
    (formats, envelope, options): (PartFormats<'_>, &Envelope, &Options),
    with: &With<'_>,
    contracts: &dyn ContractBook,
) -> Result<(), Error> {
    let is_of_state = |column: &Column| matches!(column.origin, ColumnOrigin::Data(_));
    let values = registries.value.as_ref();
    let values = values.filter(|_| !columns.iter().any(is_of_state));
    let key = with.list("key");
    let is_declared = |name: &String| columns.iter().any(|column| column.name == *name);
    let mut found = Vec::new();
    if let (Some(registry), Some(format)) = (&registries.key, formats.key)
        && !key.iter().all(is_declared)
        // Where it has no version, the value's contract may have them.
        && (registry.contract.is_some() || values.is_none())
    {
        let contract = contract_of(KEY, registry, with, contracts)?;
        let of_key = format.key_contract_columns(contract, &key, options);
        found = of_key.map_err(|error| failed(KEY, with, &error))?;
        found.retain(|column| !is_declared(&column.name));
    }
    if let Some(registry) = values {
        let contract = contract_of(VALUE, registry, with, contracts)?;
        let of_value = formats
            .value
            .contract_columns(contract, envelope.name, options);
        let of_value = of_value.map_err(|error| failed(VALUE, with, &error))?;
        for column in of_value {
            let is_of_key = found.iter().any(|known: &Column| known.name == column.name);
            if is_of_key || is_declared(&column.name) {
                continue;
            }
            found.push(Column {
                origin: if key.contains(&column.name) {
                    ColumnOrigin::Key(Path::member(&column.name))
                } else {
                    column.origin
                },
                ..column
            });
        }
    }
    found.append(columns);
    *columns = found;
    Ok(())
}

fn contract_of<'a>(
    part: Part,
    registry: &'a RegistryPlan,
    with: &With<'_>,
    contracts: &dyn ContractBook,
) -> Result<&'a Contract, Error> {
    registry.contract.as_ref().ok_or_else(|| {
        let subject = &registry.subject;
        let message = match contracts.unasked(&registry.options) {
            Some(why) => format!(
                "the columns are to be those of '{subject}', and the registry was not asked: {why}; declare them, or plan where it can be asked"
            ),
            None => format!(
                "the registry has no subject '{subject}' to take columns from; declare them, or name another one: {} = '…'",
                part.subject
            ),
        };
        Error::contradiction(with.place(part.subject), message)
    })
}

fn failed(part: Part, with: &With<'_>, error: &format::Error) -> Error {
    Error::Contract {
        at: with.place(part.subject),
        kind: match error.kind() {
            ErrorKind::Retry => ErrorKind::Retry,
            _ => ErrorKind::Invalid,
        },
        message: error.to_string(),
    }
}

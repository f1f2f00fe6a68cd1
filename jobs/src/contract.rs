//! The contracts of sources and sinks: under which subject their schema is, with which version a job is planned, and the columns that it has.
//!
//! Promises: a job that is planned with a version says so in its plan. Does not know a schema's language: the format does.

use tidemill_types::ErrorKind;
use tidemill_types::format::{self, ColumnOrigin, Contract, ContractBook, Envelope, Format, Path};

use crate::error::Error;
use crate::options::Options;
use crate::plan::{Column, RegistryPlan};
use crate::with::With;

/// The option with the subject's name.
pub const SUBJECT: &str = "schema.subject";
/// The option with the version to plan with.
pub const VERSION: &str = "schema.version";
const NEWEST: &str = "latest";

/// The registry of a source, asked for the version that the source is planned with.
pub fn of_source(
    with: &With<'_>,
    registry: Options,
    contracts: &dyn ContractBook,
) -> Result<Option<RegistryPlan>, Error> {
    let Some(subject) = subject(with, &registry)? else {
        return Ok(None);
    };
    let version = match with.get(VERSION).unwrap_or(NEWEST) {
        NEWEST => None,
        text => Some(text.parse::<u32>().map_err(|_| {
            let message = format!("{VERSION} is '{text}'; give it a number or '{NEWEST}'");
            Error::contradiction(with.place(VERSION), message)
        })?),
    };
    let contract = contracts
        .contract(&registry, &subject, version)
        .map_err(|error| failed(with, &error))?;
    let is_known = contracts.unasked(&registry).is_none();
    if let (None, Some(version), true) = (&contract, version, is_known) {
        let message = format!("the registry has no version {version} of '{subject}'");
        return Err(Error::contradiction(with.place(VERSION), message));
    }
    Ok(Some(RegistryPlan {
        options: registry,
        subject,
        contract,
    }))
}

/// The registry of a sink, which is told the schema when the job is deployed.
pub fn of_sink(with: &With<'_>, registry: Options) -> Result<Option<RegistryPlan>, Error> {
    let subject = subject(with, &registry)?;
    Ok(subject.map(|subject| RegistryPlan {
        options: registry,
        subject,
        contract: None,
    }))
}

/// The subject, if there is a registry: by its name, or by the topic's.
fn subject(with: &With<'_>, registry: &Options) -> Result<Option<String>, Error> {
    if registry.is_empty() {
        let mut lonely = [SUBJECT, VERSION].into_iter();
        return match lonely.find(|option| with.get(option).is_some()) {
            Some(option) => {
                let message = format!(
                    "'{option}' needs a registry; add schema.registry.url = '…', or leave it out"
                );
                Err(Error::contradiction(with.place(option), message))
            }
            None => Ok(None),
        };
    }
    match (with.get(SUBJECT), with.get("topic")) {
        (Some(subject), _) => Ok(Some(subject.to_owned())),
        (None, Some(topics)) if topics.contains(',') => {
            let message = format!(
                "the topics '{topics}' have a subject each; say with {SUBJECT} = '…' of which the columns are"
            );
            Err(Error::contradiction(with.place("topic"), message))
        }
        (None, Some(topic)) => Ok(Some(format!("{topic}-value"))),
        (None, None) => with
            .required(SUBJECT)
            .map(|subject| Some(subject.to_owned())),
    }
}

/// Where no column is declared that is read from the records' state, those of the contract, before the declared ones.
pub fn add_columns(
    columns: &mut Vec<Column>,
    registry: &RegistryPlan,
    (format, envelope, options): (&dyn Format, &Envelope, &Options),
    with: &With<'_>,
    contracts: &dyn ContractBook,
) -> Result<(), Error> {
    let key = with.list("key");
    let is_of_state = |column: &Column| matches!(column.origin, ColumnOrigin::Data(_));
    if columns.iter().any(is_of_state) {
        return Ok(());
    }
    let contract = contract_of(registry, with, contracts)?;
    let of_contract = format
        .contract_columns(contract, envelope.name, options)
        .map_err(|error| failed(with, &error))?;
    let declared = std::mem::take(columns);
    let is_declared =
        |column: &Column| declared.iter().any(|declared| declared.name == column.name);
    let of_contract = of_contract
        .into_iter()
        .filter(|column| !is_declared(column));
    columns.extend(of_contract.map(|column| Column {
        origin: if key.contains(&column.name) {
            ColumnOrigin::Key(Path::member(&column.name))
        } else {
            column.origin
        },
        ..column
    }));
    columns.extend(declared);
    Ok(())
}

fn contract_of<'a>(
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
                "the registry has no subject '{subject}' to take columns from; declare them, or name another one: {SUBJECT} = '…'"
            ),
        };
        Error::contradiction(with.place(SUBJECT), message)
    })
}

fn failed(with: &With<'_>, error: &format::Error) -> Error {
    Error::Contract {
        at: with.place(SUBJECT),
        kind: match error.kind() {
            ErrorKind::Retry => ErrorKind::Retry,
            _ => ErrorKind::Invalid,
        },
        message: error.to_string(),
    }
}

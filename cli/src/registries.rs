//! The contracts of a job: the registries that its options name, what is asked of them while planning, and what they are told when the job is
//! deployed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tidemill_connectors_api::registry::{Registry, Schema};
use tidemill_connectors_api::{Error, Options};
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_registry::Cached;
use tidemill_connectors_registry::options::{RegistryOptions, known};
use tidemill_engine::contracts::{CONTRACTS, Known, Registries, contract, look_up, planned, told};
use tidemill_jobs::plan::{JobPlan, RegistryPlan, SourcePlan};
use tidemill_types::format::{self, Contract, ContractBook, Schemas, framed_schema};
use tidemill_types::{DeadLetter, ErrorKind};

use crate::plugins;

/// How many ids a second a registry is asked for that it does not know.
const UNKNOWN_A_SECOND_MAX: usize = 20;

/// The registries that this binary can reach: those of its user, on his network.
pub struct OwnRegistries;

impl Registries for OwnRegistries {
    fn open(&self, options: &Options, kept: &Path) -> Result<Arc<dyn Registry>, Error> {
        let cached = Cached::new(open(options)?, kept);
        Ok(Arc::new(cached.with_unknown_a_second(UNKNOWN_A_SECOND_MAX)))
    }
}

/// The registry that options name, as it answers now.
pub fn open(options: &Options) -> Result<Arc<dyn Registry>, Error> {
    let parsed = RegistryOptions::parse(options)?.ok_or_else(|| {
        let message = "no registry is named; give schema.registry.url or schema.registry.folder";
        Error::new(ErrorKind::Invalid, message)
    })?;
    parsed.open(Policy::OWN)
}

/// True if the options name a server.
pub fn is_server(options: &Options) -> bool {
    matches!(
        RegistryOptions::parse(options),
        Ok(Some(RegistryOptions::Confluent(_)))
    )
}

/// Contracts while planning: as they are now, or as a state directory has them pinned.
#[derive(Debug, Default)]
pub struct Book {
    /// The folder of the answers that were given before; none for a look at what is now.
    pub kept: Option<PathBuf>,
    /// Asks no server: what one would say is not known then.
    pub is_offline: bool,
    /// What stands for the secrets that were not fetched: a registry that is reached by one is not asked.
    pub not_fetched: Option<&'static str>,
}

impl Book {
    /// That of a job's state directory.
    pub fn of(state_dir: &Path) -> Self {
        Self {
            kept: Some(state_dir.join(CONTRACTS)),
            ..Self::default()
        }
    }
}

impl ContractBook for Book {
    fn options(&self) -> &'static [&'static str] {
        known()
    }

    fn contract(
        &self,
        options: &Options,
        subject: &str,
        version: Option<u32>,
    ) -> Result<Option<Contract>, format::Error> {
        if self.unasked(options).is_some() {
            return Ok(None);
        }
        let registry = match &self.kept {
            Some(kept) => OwnRegistries.open(options, kept),
            None => open(options),
        };
        planned(registry.map_err(told)?.as_ref(), subject, version)
    }

    fn unasked(&self, options: &Options) -> Option<String> {
        if self.is_offline && is_server(options) {
            return Some("no server is asked offline".to_owned());
        }
        let not_fetched = self.not_fetched?;
        let mut secrets = options
            .iter()
            .filter(|(_, value)| value.contains(not_fetched));
        let (option, _) = secrets.next()?;
        Some(format!("'{option}' is a secret, and a plan fetches none"))
    }
}

/// A sink's part of the registry: where its schema goes, and what that is.
pub struct SinkContract {
    /// The registry.
    pub registry: RegistryPlan,
    /// The schema of the sink's records.
    pub schema: Schema,
}

/// The contracts of a plan's sinks, by the index of the sink. Each follows the newest version of its subject, of which the book tells.
pub fn of_sinks(plan: &JobPlan, book: &Book) -> anyhow::Result<Vec<(usize, SinkContract)>> {
    let formats = plugins::formats();
    let mut contracts = Vec::new();
    for (index, sink) in plan.sinks.iter().enumerate() {
        let (Some(registry), Some(format)) = (&sink.registry, formats.named(&sink.format.name))
        else {
            continue;
        };
        let columns = sink.columns(&plan.nodes[sink.input].schema);
        let newest = book.contract(&registry.options, &registry.subject, None);
        let schema = newest.and_then(|newest| {
            let text = format.contract_schema(&sink.spec(&columns), newest.as_ref())?;
            let kind = format.schema_kind().ok_or(format::Error::NoContracts {
                format: format.name(),
            })?;
            Ok(Schema::new(kind, text))
        });
        let schema = schema.with_context(|| format!("sink '{}'", sink.name))?;
        contracts.push((
            index,
            SinkContract {
                registry: registry.clone(),
                schema,
            },
        ));
    }
    Ok(contracts)
}

/// Tells the registries the schemas of a plan's sinks, before anything runs. One that is there already stays what it is; a restart asks nobody.
pub fn register(plan: &mut JobPlan, state_dir: &Path) -> anyhow::Result<()> {
    let kept = state_dir.join(CONTRACTS);
    for (index, sink) in of_sinks(plan, &Book::of(state_dir))? {
        let registry = OwnRegistries.open(&sink.registry.options, &kept)?;
        let registered = registry
            .register(&sink.registry.subject, &sink.schema)
            .with_context(|| format!("sink '{}'", plan.sinks[index].name))?;
        // Pinned as well where there was no version before: a restart derives the schema from it, and asks nobody.
        registry.latest(&sink.registry.subject)?;
        let contract = contract(registry.as_ref(), registered)?;
        if let Some(registry) = &mut plan.sinks[index].registry {
            registry.contract = Some(contract);
        }
    }
    Ok(())
}

/// The schemas that the records of a source name, as dead letters come to name them.
pub struct Looked {
    registry: Arc<dyn Registry>,
    known: Arc<Known>,
    /// The same, for the decoder.
    pub schemas: Arc<dyn Schemas>,
}

impl Looked {
    /// Those of a source, if it has a registry.
    pub fn of(source: &SourcePlan, state_dir: &Path) -> Result<Option<Self>, Error> {
        let Some(registry) = &source.registry else {
            return Ok(None);
        };
        let known = Arc::new(Known::default());
        let schemas: Arc<dyn Schemas> = Arc::<Known>::clone(&known);
        Ok(Some(Self {
            registry: OwnRegistries.open(&registry.options, &state_dir.join(CONTRACTS))?,
            known,
            schemas,
        }))
    }

    /// Looks up the schema of a letter's record, before it is decoded.
    pub fn look_up(&self, letter: &DeadLetter) -> Result<(), Error> {
        if let Some(id) = letter.bytes.as_deref().and_then(framed_schema) {
            self.known.learn(id, look_up(self.registry.as_ref(), id)?);
        }
        Ok(())
    }
}

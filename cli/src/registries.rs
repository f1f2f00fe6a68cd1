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
use tidemill_engine::contracts::{
    CONTRACTS, Known, Named, Registries, contract, look_up, planned, told,
};
use tidemill_jobs::plan::{JobPlan, RegistryPlan, SinkPlan, SourcePlan};
use tidemill_types::format::{self, Contract, ContractBook, KEY_FORMAT, Schemas};
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

/// A sink's part of the registry: where a schema of it goes, and what that is.
pub struct SinkContract {
    /// The index of the sink.
    pub sink: usize,
    /// True if it is that of the keys, and not of the values.
    pub is_of_keys: bool,
    /// The registry.
    pub registry: RegistryPlan,
    /// The schema.
    pub schema: Schema,
}

/// The contracts of a plan's sinks. Each follows the newest version of its subject, of which the book tells.
pub fn of_sinks(plan: &JobPlan, book: &Book) -> anyhow::Result<Vec<SinkContract>> {
    let mut contracts = Vec::new();
    for (sink, planned) in plan.sinks.iter().enumerate() {
        for (is_of_keys, registry) in [(false, &planned.registry), (true, &planned.key_registry)] {
            let Some(registry) = registry else { continue };
            let schema = schema(plan, planned, (registry, is_of_keys), book);
            contracts.push(SinkContract {
                sink,
                is_of_keys,
                registry: registry.clone(),
                schema: schema.with_context(|| format!("sink '{}'", planned.name))?,
            });
        }
    }
    Ok(contracts)
}

/// The schema of a sink's values or keys.
fn schema(
    plan: &JobPlan,
    sink: &SinkPlan,
    (registry, is_of_keys): (&RegistryPlan, bool),
    book: &Book,
) -> Result<Schema, format::Error> {
    let formats = plugins::formats();
    let named = |name: &String| formats.named(name);
    let format = if is_of_keys {
        sink.format.options.get(KEY_FORMAT).and_then(named)
    } else {
        named(&sink.format.name)
    };
    let format = format.expect("the planner knows the formats of what has a registry");
    let kind = format.schema_kind().ok_or(format::Error::NoContracts {
        format: format.name(),
    })?;
    let newest = book.contract(&registry.options, &registry.subject, None)?;
    let columns = sink.columns(&plan.nodes[sink.input].schema);
    let spec = sink.spec(&columns);
    let text = if is_of_keys {
        format.key_contract_schema(&spec, newest.as_ref())?
    } else {
        format.contract_schema(&spec, newest.as_ref())?
    };
    Ok(Schema::new(kind, text))
}

/// Tells the registries the schemas of a plan's sinks, before anything runs. One that is there already stays what it is; a restart asks nobody.
pub fn register(plan: &mut JobPlan, state_dir: &Path) -> anyhow::Result<()> {
    let kept = state_dir.join(CONTRACTS);
    for of in of_sinks(plan, &Book::of(state_dir))? {
        let (options, subject) = (&of.registry.options, &of.registry.subject);
        let sink = &mut plan.sinks[of.sink];
        let registry = OwnRegistries.open(options, &kept)?;
        let registered = registry
            .register(subject, &of.schema)
            .with_context(|| format!("sink '{}'", sink.name))?;
        // Pinned as well where there was no version before: a restart derives the schema from it, and asks nobody.
        registry.latest(subject)?;
        let contract = contract(registry.as_ref(), registered)?;
        let planned = if of.is_of_keys {
            &mut sink.key_registry
        } else {
            &mut sink.registry
        };
        if let Some(planned) = planned {
            planned.contract = Some(contract);
        }
    }
    Ok(())
}

/// The schemas that the records of a source name, as dead letters come to name them.
pub struct Looked {
    registry: Arc<dyn Registry>,
    named: Named,
    known: Arc<Known>,
    /// The same, for the decoder.
    pub schemas: Arc<dyn Schemas>,
}

impl Looked {
    /// Those of a source, if it has a registry.
    pub fn of(source: &SourcePlan, state_dir: &Path) -> Result<Option<Self>, Error> {
        let Some(registry) = source.registries().next() else {
            return Ok(None);
        };
        let known = Arc::new(Known::default());
        let schemas: Arc<dyn Schemas> = Arc::<Known>::clone(&known);
        Ok(Some(Self {
            registry: OwnRegistries.open(&registry.options, &state_dir.join(CONTRACTS))?,
            named: Named::of(source),
            known,
            schemas,
        }))
    }

    /// Looks up the schemas of a letter's record, before it is decoded.
    pub fn look_up(&self, letter: &DeadLetter) -> Result<(), Error> {
        let (key, value) = (letter.key.as_deref(), letter.bytes.as_deref());
        for id in self.named.numbers(key, value).into_iter().flatten() {
            self.known.learn(id, look_up(self.registry.as_ref(), id)?);
        }
        Ok(())
    }
}

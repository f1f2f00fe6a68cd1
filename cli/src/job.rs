//! From a file of SQL, and maybe a profile, to a plan.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use tidemill_connectors_api::ConnectorOptions;
use tidemill_engine::Settings;
use tidemill_jobs::plan::JobPlan;
use tidemill_jobs::{self as jobs, Profile, options, plan_job};
use tidemill_terminal::{Failure, environment};
use tidemill_types::format::ContractBook;

use crate::config::Config;
use crate::plugins;
use crate::registries::Book;
use crate::secrets::Secrets;

/// Stands for a secret where none is needed.
const NOT_FETCHED: &str = "***";

/// Which job, and which set of options for it.
#[derive(Debug, Args)]
pub struct JobArguments {
    /// The job: a file of SQL.
    #[arg(value_name = "JOB.sql")]
    sql: PathBuf,
    /// Overrides options of the SQL's sources and sinks by `[profile.P]` of the configuration.
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// The configuration; default: profiles.toml beside JOB.sql, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the job: names its state, its journal and its transactions; default: the name of the file without '.sql'.
    #[arg(long)]
    name: Option<String>,
}

/// A job that can be run.
pub struct Job {
    /// What it does.
    pub plan: JobPlan,
    /// The configuration that goes with it.
    pub config: Config,
    /// Where its state is.
    pub state_dir: PathBuf,
}

impl JobArguments {
    /// Reads the files and plans the job, to run it.
    /// `state_dir` is where its state is, if that is not where the configuration says.
    pub fn load(&self, state_dir: Option<&Path>) -> anyhow::Result<Job> {
        let config = Config::read(self.config.as_deref(), &self.sql)?;
        let state_dir = match state_dir.or(config.engine.state_dir.as_deref()) {
            Some(named) => named.to_owned(),
            None => Settings::default().state_dir.join(self.name()?),
        };
        let contracts = Book::of(&state_dir);
        let plan = self.plan_with_secrets(&config, &contracts)?;
        Ok(Job {
            plan,
            config,
            state_dir,
        })
    }

    /// Reads the files and plans the job, to look at it: no secret is fetched, since none is shown. Besides, which contracts were not looked
    /// up, and why.
    pub fn load_to_show(&self) -> anyhow::Result<(JobPlan, Vec<String>)> {
        let config = Config::read(self.config.as_deref(), &self.sql)?;
        let book = Book {
            not_fetched: Some(NOT_FETCHED),
            ..Book::default()
        };
        let plan = self.plan(&config, &|_| Ok(NOT_FETCHED.to_owned()), &book)?;
        let registries = plan.sources.iter();
        let registries =
            registries.flat_map(|source| source.registries().map(move |of| (source, of)));
        let unasked = registries.filter_map(|(source, registry)| {
            let why = book.unasked(&registry.options)?;
            let (name, subject) = (&source.name, &registry.subject);
            Some(format!(
                "source {name}: the registry was not asked for '{subject}': {why}; 'tidemill contracts check' fetches it and asks"
            ))
        });
        let unasked = unasked.collect();
        Ok((plan, unasked))
    }

    /// Reads the files and plans the job by the contracts that there are now.
    pub fn load_by(&self, contracts: &Book) -> anyhow::Result<JobPlan> {
        let config = Config::read(self.config.as_deref(), &self.sql)?;
        self.plan_with_secrets(&config, contracts)
    }

    fn plan_with_secrets(&self, config: &Config, contracts: &Book) -> anyhow::Result<JobPlan> {
        let folder = config.path.as_deref().and_then(Path::parent);
        let secrets = Secrets::new(&config.secrets, folder.unwrap_or(Path::new("")));
        self.plan(config, &|name| secrets.answer(name), contracts)
    }

    fn plan(
        &self,
        config: &Config,
        secrets: options::Secrets<'_>,
        contracts: &Book,
    ) -> anyhow::Result<JobPlan> {
        let path = self.sql.display();
        let sql = std::fs::read_to_string(&self.sql).map_err(|error| {
            Failure::invalid(format!("cannot read '{path}': {error}; name a file of SQL"))
        })?;
        let profile = self.profile(config)?;
        let connectors = plugins::connectors();
        let connectors: Vec<ConnectorOptions> =
            connectors.iter().map(|known| known.options()).collect();
        let context = jobs::Context {
            profile: &profile,
            environment: &|name| answer(&self.sql, name),
            secrets,
            formats: &plugins::formats(),
            connectors: &connectors,
            contracts,
        };
        let plan = plan_job(&self.name()?, &sql, context);
        plan.map_err(|error| match error.location() {
            // As compilers spell it, so that editors find the place.
            Some(_) => anyhow::Error::new(Failure::new(error.kind(), format!("{path}:{error}"))),
            None => anyhow::Error::new(error).context(format!("'{path}'")),
        })
    }

    fn name(&self) -> Result<String, Failure> {
        let stem = || {
            self.sql
                .file_stem()
                .and_then(|stem| stem.to_str())
                .map(str::to_owned)
        };
        let name = self
            .name
            .clone()
            .or_else(stem)
            .filter(|name| !name.is_empty());
        name.ok_or_else(|| {
            Failure::invalid(format!(
                "'{}' gives the job no name; give it one with --name",
                self.sql.display()
            ))
        })
    }

    fn profile(&self, config: &Config) -> anyhow::Result<Profile> {
        let Some(name) = &self.profile else {
            return Ok(Profile::default());
        };
        let Some(path) = &config.path else {
            let folder = self.sql.with_file_name("profiles.toml");
            let message = format!(
                "there is no '{}' to take profile '{name}' from; name the file with --config",
                folder.display()
            );
            return Err(Failure::invalid(message).into());
        };
        Profile::from_toml(&config.text, name).with_context(|| format!("'{}'", path.display()))
    }
}

/// A variable of the environment, or what a file holds that is named from the folder of the job on.
pub fn answer(job: &Path, name: &str) -> Option<String> {
    let path = |name: &str| job.with_file_name("").join(name);
    if let Some(name) = name.strip_prefix(options::FILE) {
        return std::fs::read_to_string(path(name)).ok();
    }
    if let Some(name) = name.strip_prefix(options::BASE64) {
        let bytes = std::fs::read(path(name)).ok()?;
        return Some(BASE64_STANDARD.encode(bytes));
    }
    environment::variable(name)
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn a_file_is_named_from_the_folder_of_the_job_on() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.desc"), b"\xff\0").unwrap();
        std::fs::write(folder.path().join("a.avsc"), "\"long\"").unwrap();
        let answer = |name| answer(&folder.path().join("job.sql"), name);
        assert_eq!(answer("file:a.avsc").as_deref(), Some("\"long\""));
        assert_eq!(answer("base64:a.desc").as_deref(), Some("/wA="));
        assert_eq!(answer("file:none"), None);
    }
}

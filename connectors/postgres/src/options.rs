//! The `WITH` options that this connector knows.
//!
//! No others come here: the planner refuses what nobody takes. Nothing of a URL that may have a password in it is shown.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tidemill_connectors_api::{ConnectorOptions, Error, Options, Secret, SinkKind};
use tidemill_connectors_http::Trust;
use tidemill_connectors_http::options::{self, CA_LOCATION, CERTIFICATE_LOCATION, KEY_LOCATION};
use tidemill_types::ErrorKind;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::names::{NAME_BYTES_MAX, Table};

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_MINUTES_MAX: u64 = 60;

/// The options that there are.
pub fn known() -> ConnectorOptions {
    ConnectorOptions {
        name: "postgres",
        source: vec![
            "url",
            "user",
            "password",
            "table",
            "slot",
            "snapshot",
            "tls",
            CA_LOCATION,
            CERTIFICATE_LOCATION,
            KEY_LOCATION,
            "timeout",
        ],
        sink: vec![
            "url",
            "user",
            "password",
            "table",
            "create",
            "tls",
            CA_LOCATION,
            CERTIFICATE_LOCATION,
            KEY_LOCATION,
            "timeout",
        ],
        target: "table",
        sinks: SinkKind::Delivered { formats: &["json"] },
    }
}

/// How a database is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<Secret>,
    /// None is no TLS.
    pub tls: Option<Trust>,
    /// How long a connection, and a statement, may take.
    pub timeout: Duration,
}

/// Where a sink writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    pub server: Server,
    pub table: Table,
    /// Whether what is missing is made.
    pub create: bool,
}

impl SinkOptions {
    /// Reads a sink's options.
    pub fn parse(sink: &str, options: &Options) -> Result<Self, Error> {
        let of = Of {
            whose: format!("sink '{sink}'"),
            options,
        };
        Ok(Self {
            server: of.server()?,
            table: of.table()?,
            create: of.one_of("create", ["true", "false"])? != Some("false"),
        })
    }
}

/// What a source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOptions {
    pub server: Server,
    pub table: Table,
    /// The replication slot, and the publication of the same name.
    pub slot: String,
    /// Whether what the table has comes before its changes.
    pub snapshot: bool,
}

impl SourceOptions {
    /// Reads the options of a source of a job.
    pub fn parse(job: &str, source: &str, options: &Options) -> Result<Self, Error> {
        let of = Of {
            whose: format!("source '{source}'"),
            options,
        };
        Ok(Self {
            server: of.server()?,
            table: of.table()?,
            slot: of.slot(job, source)?,
            snapshot: of.one_of("snapshot", ["initial", "never"])? != Some("never"),
        })
    }
}

/// True if PostgreSQL takes a name for a slot.
fn is_slot(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain)
}

/// The options of a sink or a source.
struct Of<'a> {
    whose: String,
    options: &'a Options,
}

impl<'a> Of<'a> {
    fn invalid(&self, message: impl fmt::Display) -> Error {
        let message = format!("{}: {message}", self.whose);
        Error::new(ErrorKind::Invalid, message)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.options.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<&'a str, Error> {
        match self.get(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(self.invalid(format!(
                "the option '{name}' is missing, which connector 'postgres' needs; add {name} = '…' to its WITH"
            ))),
        }
    }

    fn one_of(&self, name: &str, [one, other]: [&str; 2]) -> Result<Option<&'a str>, Error> {
        let value = self.get(name);
        match value {
            Some(value) if value != one && value != other => Err(self.invalid(format!(
                "{name} = '{value}' is not known; it is '{one}' or '{other}'"
            ))),
            value => Ok(value),
        }
    }

    fn server(&self) -> Result<Server, Error> {
        let (host, port, database) = self.place()?;
        Ok(Server {
            tls: self.tls(&host)?,
            user: self.required("user")?.to_owned(),
            password: self.get("password").map(Secret::new),
            timeout: self.timeout()?,
            host,
            port,
            database,
        })
    }

    /// The slot; where none is named, one by the names of job and source, as far as PostgreSQL takes their characters.
    fn slot(&self, job: &str, source: &str) -> Result<String, Error> {
        let named = self.get("slot").map(ToOwned::to_owned);
        let slot = named.unwrap_or_else(|| {
            let name = format!("tidemill_{job}_{source}").to_lowercase();
            let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            name.chars().map(safe).collect()
        });
        if is_slot(&slot) {
            return Ok(slot);
        }
        Err(self.invalid(format!(
            "slot = '{slot}' is no name of a replication slot; name one by 'slot' with lower case letters, digits and '_', at most {NAME_BYTES_MAX} of them"
        )))
    }

    fn place(&self) -> Result<(String, u16, String), Error> {
        let url = self.required("url")?;
        if url.contains('@') || url.contains('?') {
            return Err(self.invalid(
                "'url' has more in it than host, port and database, which would stand in plans and logs; move it to the options 'user', 'password' and their like",
            ));
        }
        let no_url = || {
            self.invalid(
                "'url' is no place of a database; write it as 'postgresql://host:port/database'",
            )
        };
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(no_url());
        }
        let config: Config = url.parse().map_err(|_| no_url())?;
        let ([Host::Tcp(host)], Some(database)) = (config.get_hosts(), config.get_dbname()) else {
            return Err(no_url());
        };
        if host.is_empty() || database.is_empty() || config.get_user().is_some() {
            return Err(no_url());
        }
        let port = config.get_ports().first().copied().unwrap_or(5432);
        Ok((host.clone(), port, database.to_owned()))
    }

    fn tls(&self, host: &str) -> Result<Option<Trust>, Error> {
        let tls = options::trust(self.options).map_err(|wrong| self.invalid(wrong))?;
        let wanted = self.one_of("tls", ["on", "off"])?;
        let on = match wanted {
            Some(wanted) => wanted == "on",
            None => tls != Trust::default() || !is_loopback(host),
        };
        if !on && tls != Trust::default() {
            return Err(
                self.invalid("there are files for TLS, but tls = 'off'; leave one of both out")
            );
        }
        Ok(on.then_some(tls))
    }

    fn table(&self) -> Result<Table, Error> {
        let text = self.required("table")?;
        Table::parse(text).ok_or_else(|| {
            self.invalid(format!(
                "table = '{text}' is no name of a table; write 'name' or 'schema.name', each in double quotes where a '.' or '\"' is part of it (a '\"' twice), and at most {NAME_BYTES_MAX} bytes long"
            ))
        })
    }

    fn timeout(&self) -> Result<Duration, Error> {
        let Some(text) = self.get("timeout") else {
            return Ok(TIMEOUT_DEFAULT);
        };
        options::length_of_time(text, TIMEOUT_MINUTES_MAX).ok_or_else(|| {
            self.invalid(format!(
                "timeout = '{text}' is no length of time; give a number and a unit of 'ms', 's' or 'min', such as '30 s', up to {TIMEOUT_MINUTES_MAX} min"
            ))
        })
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

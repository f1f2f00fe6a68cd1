//! A real PostgreSQL: Debian's, run by `scripts/postgres.sh` in a cluster of its own.
//!
//! *Does not* know what is in it: those that test it ask by a client.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ::postgres::{Client, Config, NoTls};

use crate::ports::{Start, on_free_ports};
use crate::{Error, Script};

/// The password of the superuser `postgres`.
pub const PASSWORD: &str = "a password of tests, with 'quotes'";

/// Files in PEM by which a server has TLS.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// Its certificate.
    pub certificate: &'a Path,
    /// Its key.
    pub key: &'a Path,
    /// Whose certificates it takes for the logins of the role `certified`.
    pub ca: &'a Path,
}

/// A server with its own cluster and port, which has the databases of a new one. The script ends it when this process is gone.
#[derive(Debug)]
pub struct Postgres {
    data: PathBuf,
    port: u16,
    wal_level: &'static str,
}

impl Postgres {
    /// Makes a cluster and starts it; returns when it answers.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(tls: Option<Tls<'_>>) -> Result<Self, Error> {
        Self::start_with(tls, "logical")
    }

    /// The same, whose log tells so much: its `wal_level`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_with(tls: Option<Tls<'_>>, wal_level: &'static str) -> Result<Self, Error> {
        on_free_ports(1, |ports| {
            let postgres = Self {
                data: folder(),
                port: ports[0],
                wal_level,
            };
            let mut variables = postgres.variables();
            if let Some(tls) = tls {
                variables.extend([
                    ("POSTGRES_CERTIFICATE", tls.certificate.into()),
                    ("POSTGRES_KEY", tls.key.into()),
                    ("POSTGRES_CA", tls.ca.into()),
                ]);
            }
            Script::POSTGRES.run("start", &variables)?;
            Ok(postgres)
        })
    }

    fn variables(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("POSTGRES_DATA", self.data.clone().into()),
            ("POSTGRES_PORT", self.port.to_string().into()),
            ("POSTGRES_PASSWORD", PASSWORD.into()),
            ("POSTGRES_WAL_LEVEL", self.wal_level.into()),
        ]
    }

    fn script(&self, command: &str) -> Result<(), Error> {
        let run = Script::POSTGRES.run(command, &self.variables());
        run.map_err(Start::into_error)
    }

    /// Ends it, as somebody who maintains it does.
    ///
    /// # Errors
    /// If that fails.
    pub fn stop(&self) -> Result<(), Error> {
        self.script("stop")
    }

    /// Ends all its processes by `kill -9`.
    ///
    /// # Errors
    /// If that fails.
    pub fn kill(&self) -> Result<(), Error> {
        self.script("kill")
    }

    /// Starts it once more, with what it had.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&self) -> Result<(), Error> {
        self.script("start")
    }

    /// Its port at 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where clients find a database of it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://127.0.0.1:{}/{database}", self.port)
    }
}

/// A client of the superuser, of a database of the server on a port of this machine.
///
/// # Errors
/// If the server is not there.
pub fn connect(port: u16, database: &str) -> Result<Client, ::postgres::Error> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).dbname(database);
    config.user("postgres").password(PASSWORD);
    config.connect(NoTls)
}

/// A folder that PostgreSQL's own user can reach, which he cannot where the target folder is within somebody's home.
fn folder() -> PathBuf {
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("tidemill-postgres-{}-{number}", std::process::id());
    Path::new("/tmp").join(name)
}

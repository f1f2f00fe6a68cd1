//! A real Redis: Debian's, run by `scripts/redis.sh`, which keeps what it took on its disk before it answers.
//!
//! *Does not* speak to it: those that test it use a client.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ports::{Start, on_free_ports};
use crate::{Error, Script};

/// The password of the user `default`.
pub const PASSWORD: &str = "a password of tests, with 'quotes'";

/// Files in PEM by which a server has TLS.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// Its certificate.
    pub certificate: &'a Path,
    /// Its key.
    pub key: &'a Path,
    /// Whose certificates it asks its clients for.
    pub ca: &'a Path,
}

/// A server with its own data and ports, which is empty. The script ends it when this process is gone.
#[derive(Debug)]
pub struct Redis {
    ports: Vec<u16>,
    variables: Vec<(&'static str, OsString)>,
}

impl Redis {
    /// Starts a server; returns when it answers.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start() -> Result<Self, Error> {
        Self::start_with("", None)
    }

    /// The same with more lines of its configuration, and with TLS.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_with(settings: &str, tls: Option<Tls<'_>>) -> Result<Self, Error> {
        on_free_ports(2, |ports| {
            let mut variables: Vec<(&str, OsString)> = vec![
                ("REDIS_DATA", folder().into()),
                ("REDIS_PORT", ports[0].to_string().into()),
                ("REDIS_PASSWORD", PASSWORD.into()),
                ("REDIS_SETTINGS", settings.into()),
            ];
            if let Some(tls) = tls {
                variables.extend([
                    ("REDIS_TLS_PORT", ports[1].to_string().into()),
                    ("REDIS_CERTIFICATE", tls.certificate.into()),
                    ("REDIS_KEY", tls.key.into()),
                    ("REDIS_CA", tls.ca.into()),
                ]);
            }
            Script::REDIS.run("start", &variables)?;
            Ok(Self {
                ports: ports.to_vec(),
                variables,
            })
        })
    }

    fn script(&self, command: &str) -> Result<(), Error> {
        let run = Script::REDIS.run(command, &self.variables);
        run.map_err(Start::into_error)
    }

    /// Ends it, as somebody who maintains it does.
    ///
    /// # Errors
    /// If that fails.
    pub fn stop(&self) -> Result<(), Error> {
        self.script("stop")
    }

    /// Ends it by `kill -9`.
    ///
    /// # Errors
    /// If that fails.
    pub fn kill(&self) -> Result<(), Error> {
        self.script("kill")
    }

    /// Starts it once more, with what it had on its disk.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&self) -> Result<(), Error> {
        self.script("start")
    }

    /// Its port at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Its port of TLS, if it has TLS.
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.ports[1]
    }

    /// Where clients find a database of it.
    #[must_use]
    pub fn url(&self, database: u32) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port())
    }
}

fn folder() -> PathBuf {
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("tidemill-redis-{}-{number}", std::process::id());
    Path::new("/tmp").join(name)
}

//! A real registry of schemas: Apicurio, run by `scripts/registry.sh`, which has Confluent's API.
//!
//! *Does not* read what the registry answers: those that test it use a connector.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::ports::{Start, free_ports};
use crate::{Error, Script};

/// A registry with its own data and ports, without subjects. The script ends it when this process is gone.
#[derive(Debug)]
pub struct Apicurio {
    data: PathBuf,
    port: u16,
    tls_port: u16,
}

impl Apicurio {
    /// Starts a registry whose data lies in `data`; returns when it answers. With the files of a `certificate` and its key in PEM it also
    /// listens by TLS.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(data: &Path, certificate: Option<[&Path; 2]>) -> Result<Self, Error> {
        std::fs::create_dir_all(data)?;
        let ports = free_ports(2)?;
        let registry = Self {
            data: data.to_owned(),
            port: ports[0],
            tls_port: ports[1],
        };
        let mut variables = registry.variables();
        if let Some([certificate, key]) = certificate {
            variables.extend([
                ("REGISTRY_TLS_PORT", ports[1].to_string().into()),
                ("REGISTRY_CERTIFICATE", certificate.into()),
                ("REGISTRY_KEY", key.into()),
            ]);
        }
        Script::REGISTRY
            .run("start", &variables)
            .map_err(Start::into_error)?;
        Ok(registry)
    }

    fn variables(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("REGISTRY_DATA", self.data.clone().into()),
            ("REGISTRY_PORT", self.port.to_string().into()),
        ]
    }

    /// Ends it.
    ///
    /// # Errors
    /// If that fails.
    pub fn stop(&self) -> Result<(), Error> {
        Script::REGISTRY
            .run("stop", &self.variables())
            .map_err(Start::into_error)
    }

    /// Where Confluent's API is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// The same by TLS, if it was started with a certificate.
    #[must_use]
    pub fn tls_url(&self) -> String {
        format!("https://localhost:{}/apis/ccompat/v7/", self.tls_port)
    }

    /// Sets the level of compatibility of a subject, as Confluent's API calls it. (Without one everything is allowed.)
    ///
    /// # Errors
    /// If it is refused.
    pub fn set_level(&self, subject: &str, level: &str) -> Result<(), Error> {
        let set = ureq::put(format!("{}/config/{subject}", self.url()))
            .header("Content-Type", "application/json")
            .send(format!(r#"{{"compatibility":"{level}"}}"#));
        set.map(drop)
            .map_err(|error| io::Error::other(error).into())
    }
}

//! TLS for connectors that speak something else than HTTP over it: whom to trust, and by what to be known, by the same options.
//!
//! Promises that a server's certificate is always checked, and its name, and that a file which is not what it should be is named. Connects to
//! nobody.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tidemill_connectors_api::Error;

use crate::client::Trust;
use crate::invalid;
use crate::options::{CA_LOCATION, CERTIFICATE_LOCATION, KEY_LOCATION};

/// How a client of that trust meets a server.
///
/// # Errors
/// `Invalid` if a file cannot be read, or is not what it should be.
pub fn client_config(trust: &Trust) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match &trust.ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates(path, CA_LOCATION)? {
                let added = roots.add(certificate);
                added.map_err(|error| refused_file(path, CA_LOCATION, &error.to_string()))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for the versions that rustls takes for safe")
        .with_root_certificates(roots);
    let Some((certificate, key)) = &trust.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate, CERTIFICATE_LOCATION)?;
    let pem = read(key, KEY_LOCATION)?;
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| refused_file(key, KEY_LOCATION, "it has no private key in PEM"))?;
    let with = builder.with_client_auth_cert(chain, private);
    with.map_err(|error| refused_file(certificate, CERTIFICATE_LOCATION, &error.to_string()))
}

fn certificates(path: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path, option)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(refused_file(path, option, "it has no certificate in PEM")),
    }
}

fn read(path: &Path, option: &str) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| refused_file(path, option, &error.to_string()))
}

fn refused_file(path: &Path, option: &str, why: &str) -> Error {
    invalid(format!(
        "'{}' cannot be used as '{option}': {why}; name another file",
        path.display()
    ))
}

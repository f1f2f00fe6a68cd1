//! A certificate and its key, from files.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;
use crate::settings::Tls;

/// How clients are spoken to.
pub fn config(tls: &Tls) -> Result<Arc<ServerConfig>, Error> {
    let wrong = |path: &Path, reason: String| Error::Tls {
        path: path.display().to_string(),
        reason,
    };
    let of_certificate = |reason: String| wrong(&tls.certificate, reason);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| of_certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(of_certificate("it has no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key);
    let key = key.map_err(|error| wrong(&tls.key, error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| of_certificate(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| of_certificate(error.to_string()))?;
    Ok(Arc::new(config))
}

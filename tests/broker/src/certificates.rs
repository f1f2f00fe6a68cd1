//! Certificates for servers that have TLS: of an authority, of a server that it vouches for, and of a client that shows whose it is.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Files in PEM: `ca.pem`; `server.pem` and `server.key` of the name `localhost`; and those of the client under its name.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes them, of a client of that name.
    ///
    /// # Panics
    /// If they cannot be made or written.
    #[must_use]
    pub fn new(client: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let write = |name: &str, text: String| {
            fs::write(folder.path().join(name), text).expect("the folder takes files");
        };
        let good = "its names are good";
        let mut params = CertificateParams::new(vec![]).expect(good);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority");
        let made = "a key can be made";
        let signed = "it can be signed";
        let key = KeyPair::generate().expect(made);
        write("ca.pem", params.self_signed(&key).expect(signed).pem());
        let issuer = Issuer::new(params, key);
        for (name, hosts) in [("server", vec!["localhost".to_owned()]), (client, vec![])] {
            let mut params = CertificateParams::new(hosts).expect(good);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect(made);
            let certificate = params.signed_by(&key, &issuer).expect(signed);
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self(folder)
    }

    /// One of the files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

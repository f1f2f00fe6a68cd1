//! A connection by TLS, by the same options as librdkafka's clients and with the same library: what works there works here.

use std::fmt::Display;
use std::fs;
use std::net::TcpStream;
use std::path::Path;

use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    HandshakeError, SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslStream,
    SslVerifyMode,
};
use openssl::x509::X509;
use openssl::x509::store::{X509Lookup, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use rdkafka::ClientConfig;

use super::Failure;

/// What there is instead of a place of certificates for "where the system has them".
const PROBE: &str = "probe";

/// Encrypts a connection to `host`, and checks whose it is.
pub fn connect(
    stream: TcpStream,
    host: &str,
    settings: &ClientConfig,
) -> Result<SslStream<TcpStream>, Failure> {
    let verifies_name = !matches!(
        settings.get("ssl.endpoint.identification.algorithm"),
        Some("none")
    );
    let configured = connector(settings)?.configure()?;
    let configured = configured.verify_hostname(verifies_name);
    configured
        .connect(host, stream)
        .map_err(|error| match error {
            HandshakeError::Failure(stream) => {
                let verified = stream.ssl().verify_result();
                let certificate = match verified.as_raw() {
                    0 => String::new(),
                    _ => format!(": {verified}"),
                };
                Failure::Login(format!("{}{certificate}", stream.error()))
            }
            HandshakeError::WouldBlock(_) => Failure::Io(std::io::ErrorKind::TimedOut.into()),
            HandshakeError::SetupFailure(stack) => stack.into(),
        })
}

fn connector(settings: &ClientConfig) -> Result<SslConnector, Failure> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    if settings.get("enable.ssl.certificate.verification") == Some("false") {
        builder.set_verify(SslVerifyMode::NONE);
    }
    trust(&mut builder, settings)?;
    identify(&mut builder, settings)?;
    if let Some(suites) = settings.get("ssl.cipher.suites") {
        usable("ssl.cipher.suites", builder.set_cipher_list(suites))?;
    }
    if let Some(curves) = settings.get("ssl.curves.list") {
        usable("ssl.curves.list", builder.set_groups_list(curves))?;
    }
    if let Some(algorithms) = settings.get("ssl.sigalgs.list") {
        usable("ssl.sigalgs.list", builder.set_sigalgs_list(algorithms))?;
    }
    Ok(builder.build())
}

/// Whom it trusts: what the settings name, and only if they name nothing what the system does.
fn trust(builder: &mut SslConnectorBuilder, settings: &ClientConfig) -> Result<(), Failure> {
    let named = settings
        .get("ssl.ca.location")
        .filter(|name| *name != PROBE);
    let inline = settings.get("ssl.ca.pem");
    let revoked = settings.get("ssl.crl.location");
    if named.is_none() && inline.is_none() && revoked.is_none() {
        return Ok(());
    }
    let mut store = X509StoreBuilder::new()?;
    if named.is_none() && inline.is_none() {
        store.set_default_paths()?;
    }
    if let Some(path) = named.filter(|path| Path::new(path).is_dir()) {
        let lookup = store.add_lookup(X509Lookup::hash_dir())?;
        usable("ssl.ca.location", lookup.add_dir(path, SslFiletype::PEM))?;
    } else if let Some(path) = named {
        add_all(
            &mut store,
            "ssl.ca.location",
            &read("ssl.ca.location", path)?,
        )?;
    }
    if let Some(text) = inline {
        add_all(&mut store, "ssl.ca.pem", text.as_bytes())?;
    }
    if let Some(path) = revoked {
        let lookup = store.add_lookup(X509Lookup::file())?;
        usable(
            "ssl.crl.location",
            lookup.load_crl_file(path, SslFiletype::PEM),
        )?;
        store.set_flags(X509VerifyFlags::CRL_CHECK)?;
    }
    builder.set_cert_store(store.build());
    Ok(())
}

fn add_all(store: &mut X509StoreBuilder, option: &str, pem: &[u8]) -> Result<(), Failure> {
    for certificate in usable(option, X509::stack_from_pem(pem))? {
        store.add_cert(certificate)?;
    }
    Ok(())
}

/// Who it is itself, if the settings say so.
fn identify(builder: &mut SslConnectorBuilder, settings: &ClientConfig) -> Result<(), Failure> {
    let (mut chain, mut key) = (Vec::new(), None);
    if let Some((option, pem)) = given(settings, "ssl.certificate.location", "ssl.certificate.pem")?
    {
        chain = usable(option, X509::stack_from_pem(&pem))?;
    }
    let password = settings.get("ssl.key.password").unwrap_or_default();
    if let Some((option, pem)) = given(settings, "ssl.key.location", "ssl.key.pem")? {
        // Asked for by a call back even of a key that has none: without, OpenSSL would ask at the terminal.
        let parsed = PKey::private_key_from_pem_passphrase(&pem, password.as_bytes());
        key = Some(usable(option, parsed)?);
    }
    if let Some(path) = settings.get("ssl.keystore.location") {
        (chain, key) = keystore(settings, path)?;
    }
    if let Some((own, above)) = chain.split_first() {
        builder.set_certificate(own)?;
        for certificate in above {
            builder.add_extra_chain_cert(certificate.clone())?;
        }
    }
    if let Some(key) = key {
        usable("ssl.key.location", builder.set_private_key(&key))?;
    }
    Ok(())
}

type Identity = (Vec<X509>, Option<PKey<Private>>);

fn keystore(settings: &ClientConfig, path: &str) -> Result<Identity, Failure> {
    let option = "ssl.keystore.location";
    let password = settings.get("ssl.keystore.password").unwrap_or_default();
    let parsed = usable(option, Pkcs12::from_der(&read(option, path)?))?;
    let parsed = usable("ssl.keystore.password", parsed.parse2(password))?;
    let mut chain: Vec<X509> = parsed.cert.into_iter().collect();
    chain.extend(parsed.ca.into_iter().flatten());
    Ok((chain, parsed.pkey))
}

/// What an option names a file of, or another one has in it.
fn given<'a>(
    settings: &ClientConfig,
    location: &'a str,
    inline: &'a str,
) -> Result<Option<(&'a str, Vec<u8>)>, Failure> {
    if let Some(text) = settings.get(inline) {
        return Ok(Some((inline, text.as_bytes().to_vec())));
    }
    let path = settings.get(location);
    path.map(|path| Ok((location, read(location, path)?)))
        .transpose()
}

fn read(option: &str, path: &str) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| unusable(option, &error))
}

fn usable<T, E: Display>(option: &str, outcome: Result<T, E>) -> Result<T, Failure> {
    outcome.map_err(|error| unusable(option, &error))
}

fn unusable(option: &str, error: &dyn Display) -> Failure {
    Failure::Login(format!("the option '{option}' cannot be used: {error}"))
}

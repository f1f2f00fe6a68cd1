//! The options that say which registry a job uses, called as Confluent's clients call them behind `schema.registry.`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidemill_connectors_api::{Error, Options, Registry, Secret};
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_http::options;

use crate::{Confluent, Folder, invalid};

/// The URL of a registry with Confluent's API.
const URL: &str = "schema.registry.url";
/// A folder that is the registry.
const FOLDER: &str = "schema.registry.folder";
/// `user:password`.
const USER_INFO: &str = "schema.registry.basic.auth.user.info";
const BEARER_TOKEN: &str = "schema.registry.bearer.auth.token";
/// A file of certificates in PEM: of authorities to trust beside nobody else.
const CA_LOCATION: &str = "schema.registry.ssl.ca.location";
/// A file with this client's certificates in PEM, its own first.
const CERTIFICATE_LOCATION: &str = "schema.registry.ssl.certificate.location";
const KEY_LOCATION: &str = "schema.registry.ssl.key.location";
/// How long a question may take, all attempts together.
const TIMEOUT: &str = "schema.registry.timeout";

const KNOWN: [&str; 8] = [
    URL,
    FOLDER,
    USER_INFO,
    BEARER_TOKEN,
    CA_LOCATION,
    CERTIFICATE_LOCATION,
    KEY_LOCATION,
    TIMEOUT,
];
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MINUTES_MAX: u64 = 10;

/// The options that there are.
#[must_use]
pub const fn known() -> &'static [&'static str] {
    &KNOWN
}

/// How a client says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all, or by its certificate.
    None,
    /// `user:password` (RFC 7617).
    Basic(Secret),
    /// A token (RFC 6750).
    Bearer(Secret),
}

/// A client's own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// File of its certificates in PEM, its own first.
    pub certificate: PathBuf,
    /// File of its key in PEM.
    pub key: PathBuf,
}

/// How a server with Confluent's API is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfluentOptions {
    /// `http://…` or `https://…`, without a '/' at its end.
    pub url: String,
    /// Who asks.
    pub credentials: Credentials,
    /// File of the authorities to trust, in PEM; without it those that browsers trust.
    pub ca: Option<PathBuf>,
    /// For servers that ask for a certificate.
    pub identity: Option<Identity>,
    /// How long a question may take, all attempts together.
    pub timeout: Duration,
}

impl ConfluentOptions {
    /// A server by its URL, asked without credentials.
    ///
    /// # Errors
    /// `Invalid` if the URL is none, or has something secret in it.
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self {
            url: checked_url(url)?,
            credentials: Credentials::None,
            ca: None,
            identity: None,
            timeout: TIMEOUT_DEFAULT,
        })
    }
}

/// Which registry a job uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryOptions {
    /// A server.
    Confluent(ConfluentOptions),
    /// A folder.
    Folder(PathBuf),
}

impl RegistryOptions {
    /// Reads the options; `None` if there is none of them. Options of others are not looked at.
    ///
    /// # Errors
    /// `Invalid` for options that don't go together, or have a value that they cannot have.
    pub fn parse(options: &Options) -> Result<Option<Self>, Error> {
        let get = |name: &str| options.get(name).map(String::as_str);
        let url = match (get(URL), get(FOLDER)) {
            (Some(_), Some(_)) => {
                return Err(invalid(format!(
                    "there are both '{URL}' and '{FOLDER}'; a source or sink has one registry, leave one of them out"
                )));
            }
            (Some(url), None) => url,
            (None, folder) => {
                let other = KNOWN
                    .iter()
                    .find(|name| **name != FOLDER && get(name).is_some());
                return match (folder, other) {
                    (Some(_), Some(other)) => Err(invalid(format!(
                        "'{other}' is of a server, and the registry is a folder; leave it out"
                    ))),
                    (None, Some(other)) => Err(invalid(format!(
                        "there is '{other}', but no '{URL}'; add it"
                    ))),
                    (Some(""), None) => Err(invalid(format!(
                        "'{FOLDER}' is empty; give it the path of a folder"
                    ))),
                    (Some(folder), None) => Ok(Some(Self::Folder(folder.into()))),
                    (None, None) => Ok(None),
                };
            }
        };
        Ok(Some(Self::Confluent(ConfluentOptions {
            credentials: credentials(get(USER_INFO), get(BEARER_TOKEN))?,
            ca: get(CA_LOCATION).map(PathBuf::from),
            identity: identity(get(CERTIFICATE_LOCATION), get(KEY_LOCATION))?,
            timeout: get(TIMEOUT).map_or(Ok(TIMEOUT_DEFAULT), timeout)?,
            ..ConfluentOptions::new(url)?
        })))
    }

    /// The registry, for all who ask it. A server is not asked yet.
    ///
    /// # Errors
    /// `Invalid` if a file that an option names cannot be read, or is not what it should be.
    pub fn open(&self, policy: Policy) -> Result<Arc<dyn Registry>, Error> {
        Ok(match self {
            Self::Confluent(options) => Arc::new(Confluent::new(options, policy)?),
            Self::Folder(path) => Arc::new(Folder::new(path)),
        })
    }
}

fn credentials(user_info: Option<&str>, token: Option<&str>) -> Result<Credentials, Error> {
    match (user_info, token) {
        (None, None) => Ok(Credentials::None),
        (Some(_), Some(_)) => Err(invalid(format!(
            "there are both '{USER_INFO}' and '{BEARER_TOKEN}'; leave one of them out"
        ))),
        (Some(user_info), None) if user_info.contains(':') => {
            Ok(Credentials::Basic(Secret::new(user_info)))
        }
        (Some(_), None) => Err(invalid(format!(
            "'{USER_INFO}' lacks a ':'; write it as 'user:password'"
        ))),
        (None, Some(token)) => {
            let token = token.trim();
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(invalid(format!(
                    "'{BEARER_TOKEN}' is no token: it is empty or has blanks in it; give the token alone"
                )));
            }
            Ok(Credentials::Bearer(Secret::new(token)))
        }
    }
}

fn identity(certificate: Option<&str>, key: Option<&str>) -> Result<Option<Identity>, Error> {
    let names = [CERTIFICATE_LOCATION, KEY_LOCATION];
    let identity = options::identity(names, [certificate, key])?;
    Ok(identity.map(|(certificate, key)| Identity { certificate, key }))
}

fn checked_url(url: &str) -> Result<String, Error> {
    let login = &format!("'{USER_INFO}'");
    let parsed = options::Url {
        option: URL,
        of: "a registry",
        login,
    };
    parsed.parse(url)
}

fn timeout(text: &str) -> Result<Duration, Error> {
    options::timeout(TIMEOUT, text, TIMEOUT_MINUTES_MAX)
}

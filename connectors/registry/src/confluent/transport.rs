//! Questions over HTTP: within a time, a number of bytes, and the places that the policy allows.

use std::fmt::Write;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use ureq::http::{HeaderValue, Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use crate::guard::{GuardedResolver, Policy, Refused};
use crate::options::{ConfluentOptions, Credentials, Identity};
use crate::{disk, invalid};

/// How many bytes of an answer are read: a longer one is refused.
pub const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often a question is asked that fails on the way.
const ATTEMPTS_MAX: u32 = 3;
/// The first pause between two attempts; the next is twice as long. Each is shortened at random, so that many who were cut off together don't
/// come back together.
const PAUSE: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// How much of a registry's own words is shown.
const EXCERPT_CHARS: usize = 400;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What a registry answered.
#[derive(Debug)]
pub enum Answer {
    /// With what was asked for.
    Found(Vec<u8>),
    /// That it does not have the id, subject or version.
    Absent,
    /// That it does not take what it was given (409, 422), with its reason.
    Refused(Refusal),
}

/// Why a registry did not take something.
#[derive(Debug)]
pub struct Refusal {
    /// It stands against what is there (409), rather than being wrong in itself (422).
    pub is_conflict: bool,
    /// The registry's words.
    pub words: String,
}

/// An attempt's outcome.
enum Attempt {
    Answered(Answer),
    /// It failed on the way: it can be tried again.
    Failed(String),
}

/// The way to one registry.
#[derive(Debug)]
pub struct Transport {
    url: String,
    agent: Agent,
    /// Marked as sensitive, so that its `Debug` shows nothing of it.
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

/// What a registry says of an error.
#[derive(Debug, Deserialize)]
struct Said {
    error_code: Option<u32>,
    message: Option<String>,
}

impl Transport {
    pub fn new(options: &ConfluentOptions, policy: Policy) -> Result<Self, Error> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("tidemill")
            .max_idle_connections_per_host(4)
            .timeout_connect(Some(CONNECT_TIMEOUT_MAX.min(options.timeout)))
            .tls_config(tls(options)?)
            .build();
        let resolver = GuardedResolver::new(policy);
        Ok(Self {
            url: options.url.clone(),
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            authorization: authorization(&options.credentials)?,
            timeout: options.timeout,
        })
    }

    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks a question: a GET, or a POST of a body.
    pub fn ask(&self, path: &str, body: Option<&Value>) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let failed = match self.attempt(path, body, deadline)? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Failed(why) => why,
            };
            let jittered = jittered(pause);
            if attempt == ATTEMPTS_MAX || Instant::now() + jittered >= deadline {
                return Err(Error::new(
                    ErrorKind::Retry,
                    format!(
                        "the registry at '{}' is away: {failed}; it is asked again, look at it if this stays",
                        self.url
                    ),
                ));
            }
            thread::sleep(jittered);
            pause *= 2;
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        path: &str,
        body: Option<&Value>,
        deadline: Instant,
    ) -> Result<Attempt, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        // A timeout of zero would be none.
        let left = left.max(Duration::from_millis(1));
        let url = format!("{}{path}", self.url);
        let mut builder = ureq::http::Request::builder()
            .uri(&url)
            .header(ACCEPT, format!("{MEDIA_TYPE}, application/json"));
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization.clone());
        }
        let cannot = |error: ureq::http::Error| {
            invalid(format!(
                "'{url}' cannot be asked: {error}; mend 'schema.registry.url'"
            ))
        };
        let answered = match body {
            None => {
                let request = builder.method("GET").body(()).map_err(cannot)?;
                let request = self.agent.configure_request(request);
                self.agent.run(request.timeout_global(Some(left)).build())
            }
            Some(body) => {
                let request = builder
                    .method("POST")
                    .header(CONTENT_TYPE, MEDIA_TYPE)
                    .body(body.to_string())
                    .map_err(cannot)?;
                let request = self.agent.configure_request(request);
                self.agent.run(request.timeout_global(Some(left)).build())
            }
        };
        match answered {
            Ok(response) => self.read(path, response),
            Err(error) => self.failed(&error),
        }
    }

    /// What an answer means.
    fn read(&self, path: &str, mut response: Response<Body>) -> Result<Attempt, Error> {
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION);
            let to = to.map_or("nowhere".into(), |to| {
                String::from_utf8_lossy(to.as_bytes())
            });
            return Err(invalid(format!(
                "the registry at '{}' redirects to '{}', which is not followed; if it moved there, mend 'schema.registry.url'",
                self.url,
                excerpt(&to)
            )));
        }
        let body = response.body_mut().with_config();
        let body = match body.limit(ANSWER_BYTES_MAX).read_to_vec() {
            Ok(body) => body,
            Err(error) => return self.failed(&error),
        };
        let said: Option<Said> = serde_json::from_slice(&body).ok();
        let code = said.as_ref().and_then(|said| said.error_code);
        let message = said.and_then(|said| said.message).unwrap_or_default();
        let message = excerpt(&message);
        let url = &self.url;
        Ok(Attempt::Answered(match (status, code) {
            (status, _) if status.is_success() => Answer::Found(body),
            // No subject, no version, no schema, no level of its own.
            (StatusCode::NOT_FOUND, Some(40401 | 40402 | 40403 | 40408)) => Answer::Absent,
            (StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY, _) => {
                let is_conflict = status == StatusCode::CONFLICT;
                let words = match &*message {
                    "" => format!("status {status}"),
                    _ => message,
                };
                Answer::Refused(Refusal { is_conflict, words })
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                return Err(invalid(format!(
                    "the registry at '{url}' does not let this client in (status {status}): {message}; mend \
                     'schema.registry.basic.auth.user.info' or 'schema.registry.bearer.auth.token', or what they are allowed there"
                )));
            }
            (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, _) => {
                return Ok(Attempt::Failed(format!("status {status}: {message}")));
            }
            (status, _) if status.is_server_error() => {
                return Ok(Attempt::Failed(format!("status {status}: {message}")));
            }
            (StatusCode::NOT_FOUND, _) => {
                return Err(self.garbage(path, "there is no such path"));
            }
            (status, _) => {
                return Err(invalid(format!(
                    "the registry at '{url}' answers with status {status}: {message}; mend 'schema.registry.url'"
                )));
            }
        }))
    }

    /// What it means that there is no answer.
    fn failed(&self, error: &ureq::Error) -> Result<Attempt, Error> {
        use ureq::Error as E;
        let url = &self.url;
        match error {
            E::Other(other) if other.is::<Refused>() => Err(invalid(format!(
                "'{url}' is refused: {other}; mend 'schema.registry.url'"
            ))),
            E::BodyExceedsLimit(_) => Err(invalid(format!(
                "the registry at '{url}' answers with more than {ANSWER_BYTES_MAX} bytes; mend 'schema.registry.url'"
            ))),
            E::Tls(_) | E::Rustls(_) | E::Pem(_) => Err(invalid(format!(
                "the registry at '{url}' cannot be trusted: {error}; name the authority of its certificate in \
                 'schema.registry.ssl.ca.location'"
            ))),
            E::Protocol(_) | E::LargeResponseHeader(..) => Err(invalid(format!(
                "what answers at '{url}' does not speak HTTP: {error}; mend 'schema.registry.url'"
            ))),
            E::Io(io) if is_of_tls(io) => Err(invalid(format!(
                "the registry at '{url}' cannot be trusted: {io}; name the authority of its certificate in \
                 'schema.registry.ssl.ca.location'"
            ))),
            error => Ok(Attempt::Failed(error.to_string())),
        }
    }

    /// An answer in JSON.
    pub fn parsed<A: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<A, Error> {
        serde_json::from_slice(body).map_err(|error| self.garbage(path, &error.to_string()))
    }

    /// The error of an answer that no registry gives.
    pub fn garbage(&self, path: &str, why: &str) -> Error {
        invalid(format!(
            "what answers at '{}{path}' is no schema registry: {}; mend 'schema.registry.url' (of Apicurio it ends in \
             '/apis/ccompat/v7')",
            self.url,
            excerpt(why)
        ))
    }

    /// The error of a question that the registry does not take.
    pub fn refused(&self, why: &str) -> Error {
        invalid(format!(
            "the registry at '{}' does not take it: {why}; mend the schema",
            self.url
        ))
    }
}

/// The beginning of somebody else's words, on one line.
pub fn excerpt(text: &str) -> String {
    let mut excerpt = String::new();
    for c in text.chars().take(EXCERPT_CHARS) {
        excerpt.push(if c.is_control() { ' ' } else { c });
    }
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        // A String takes whatever is written.
        let _ = write!(excerpt, "…");
    }
    excerpt
}

/// Half the pause to all of it.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0);
    let per_mille = u32::try_from(random % 500).unwrap_or(0);
    pause * (500 + per_mille) / 1000
}

fn is_of_tls(error: &std::io::Error) -> bool {
    // rustls wraps what it refuses during the handshake.
    error.kind() == std::io::ErrorKind::InvalidData
}

fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, Error> {
    let value = match credentials {
        Credentials::None => return Ok(None),
        Credentials::Basic(secret) => format!("Basic {}", STANDARD.encode(secret.value())),
        Credentials::Bearer(secret) => format!("Bearer {}", secret.value()),
    };
    let mut header = HeaderValue::from_str(&value).map_err(|_| {
        invalid(
            "the token of the registry has characters that no token has; give it alone".to_owned(),
        )
    })?;
    header.set_sensitive(true);
    Ok(Some(header))
}

fn tls(options: &ConfluentOptions) -> Result<TlsConfig, Error> {
    let mut config = TlsConfig::builder();
    if let Some(ca) = &options.ca {
        config = config.root_certs(RootCerts::new_with_certs(&certificates(ca)?));
    }
    if let Some(Identity { certificate, key }) = &options.identity {
        let certificates = certificates(certificate)?;
        let key = PrivateKey::from_pem(&read(key)?).map_err(|_| {
            invalid(format!(
                "'{}' has no private key in PEM; name its file",
                key.display()
            ))
        })?;
        config = config.client_cert(Some(ClientCert::new_with_certs(&certificates, key)));
    }
    Ok(config.build())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let pem = read(path)?;
    let found: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(invalid(format!(
            "'{}' has no certificate in PEM; name a file that has",
            path.display()
        )));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| {
        let error = disk::io_error("read", path, &error);
        Error::new(ErrorKind::Invalid, error.message)
    })
}

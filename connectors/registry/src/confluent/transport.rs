//! Questions over HTTP: within a time, a number of bytes, and the places that the policy allows.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemill_connectors_api::Error;
use tidemill_connectors_http::client::excerpt;
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_http::{
    self as http, Client, Failure, HeaderValue, Question, StatusCode, Trust,
};
use tidemill_types::ErrorKind;

use crate::invalid;
use crate::options::{ConfluentOptions, Credentials};

/// How many bytes of an answer are read: a longer one is refused.
pub const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often a question is asked that fails on the way.
const ATTEMPTS_MAX: u32 = 3;
/// The first pause between two attempts; the next is twice as long. Each is shortened at random, so that many who were cut off together don't
/// come back together.
const PAUSE: Duration = Duration::from_millis(100);
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
    client: Client,
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
        let identity = options.identity.as_ref();
        let trust = Trust {
            ca: options.ca.clone(),
            identity: identity.map(|of| (of.certificate.clone(), of.key.clone())),
        };
        Ok(Self {
            url: options.url.clone(),
            client: Client::new(&trust, policy, options.timeout)?,
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
        let url = format!("{}{path}", self.url);
        let answered = self.client.ask(Question {
            url: &url,
            accept: &format!("{MEDIA_TYPE}, application/json"),
            method: None,
            body: body.map(|body| (MEDIA_TYPE, body.to_string().into_bytes().into())),
            headers: &[],
            authorization: self.authorization.clone(),
            within: deadline.saturating_duration_since(Instant::now()),
            bytes_max: ANSWER_BYTES_MAX,
        });
        match answered {
            Ok(answer) => self.read(path, answer),
            Err(failure) => self.failed(failure),
        }
    }

    /// What an answer means.
    fn read(&self, path: &str, answer: http::Answer) -> Result<Attempt, Error> {
        let http::Answer {
            status,
            location,
            body,
        } = answer;
        if status.is_redirection() {
            return Err(invalid(format!(
                "the registry at '{}' redirects to '{}', which is not followed; if it moved there, mend 'schema.registry.url'",
                self.url,
                location.as_deref().unwrap_or("nowhere")
            )));
        }
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
    fn failed(&self, failure: Failure) -> Result<Attempt, Error> {
        let url = &self.url;
        match failure {
            Failure::Refused(why) => Err(invalid(format!(
                "'{url}' is refused: {why}; mend 'schema.registry.url'"
            ))),
            Failure::TooLarge => Err(invalid(format!(
                "the registry at '{url}' answers with more than {ANSWER_BYTES_MAX} bytes; mend 'schema.registry.url'"
            ))),
            Failure::Untrusted(why) => Err(invalid(format!(
                "the registry at '{url}' cannot be trusted: {why}; name the authority of its certificate in \
                 'schema.registry.ssl.ca.location'"
            ))),
            Failure::Garbage(why) => Err(invalid(format!(
                "what answers at '{url}' does not speak HTTP: {why}; mend 'schema.registry.url'"
            ))),
            Failure::OnTheWay(why) => Ok(Attempt::Failed(why)),
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

/// Half the pause to all of it.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0);
    let per_mille = u32::try_from(random % 500).unwrap_or(0);
    pause * (500 + per_mille) / 1000
}

fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, Error> {
    let header = match credentials {
        Credentials::None => return Ok(None),
        Credentials::Basic(secret) => {
            http::client::authorization("Basic", &STANDARD.encode(secret.value()))
        }
        Credentials::Bearer(secret) => http::client::authorization("Bearer", secret.value()),
    };
    header.map(Some).ok_or_else(|| {
        invalid(
            "the token of the registry has characters that no token has; give it alone".to_owned(),
        )
    })
}

//! Requests to a server of OpenSearch or Elasticsearch, and what it means if one fails whatever was asked.
//!
//! Promises: a request ends within the timeout of the options; nothing is asked twice; no message has credentials in it.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemill_connectors_api::Error;
use tidemill_connectors_http::client::excerpt;
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_http::target::Target;
use tidemill_connectors_http::{Answer, Client, Failure, Method, Question, StatusCode};

use crate::bulk::Cause;
use crate::{invalid, retry};

/// How many bytes of an answer are read: of a bulk request's, some 30 a record and some hundred more for each that was not taken.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// A server.
#[derive(Debug)]
pub struct Server {
    target: Target,
    client: Client,
}

/// What it answered that who asked has to judge: success, or that it does not have or take what it was asked (400, 404, 409, 413).
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

/// An error as servers put it; what stands before them puts it otherwise.
#[derive(Debug, Deserialize)]
struct Said {
    error: Cause,
}

impl Reply {
    /// Why something was not done, if the server says so.
    pub fn cause(&self) -> Option<Cause> {
        let said: Option<Said> = serde_json::from_slice(&self.body).ok();
        said.map(|said| said.error)
    }

    /// True if it was not done for an error of that type.
    pub fn is_error(&self, name: &str) -> bool {
        self.cause().is_some_and(|cause| cause.name == name)
    }

    /// What it says, in short.
    pub fn words(&self) -> String {
        let words = self.cause().map(|cause| cause.words());
        let words = words.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned());
        excerpt(&format!("status {}: {words}", self.status))
    }
}

impl Server {
    /// A server, which is not asked yet.
    ///
    /// # Errors
    /// `Invalid` if a file of certificates cannot be read, or is none.
    pub fn new(target: Target, policy: Policy) -> Result<Self, Error> {
        Ok(Self {
            client: Client::new(&target.trust, policy, target.timeout)?,
            target,
        })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.target.url
    }

    pub fn get(&self, path: &str) -> Result<Reply, Error> {
        self.ask(Method::GET, path, None)
    }

    pub fn put(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        let body = body.to_string().into_bytes();
        self.ask(Method::PUT, path, Some((JSON, body.into())))
    }

    pub fn post_lines(&self, path: &str, lines: &[u8]) -> Result<Reply, Error> {
        self.ask(Method::POST, path, Some((LINES, lines.into())))
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Cow<'_, [u8]>)>,
    ) -> Result<Reply, Error> {
        let answered = self.client.ask(Question {
            url: &format!("{}{path}", self.target.url),
            accept: JSON,
            method: Some(method),
            body,
            headers: &[],
            authorization: self.target.authorization.clone(),
            within: self.target.timeout,
            bytes_max: ANSWER_BYTES_MAX,
        });
        match answered {
            Ok(answer) => self.read(answer),
            Err(failure) => Err(self.failed(&failure)),
        }
    }

    fn read(&self, answer: Answer) -> Result<Reply, Error> {
        let Answer {
            status,
            location,
            body,
        } = answer;
        let reply = Reply { status, body };
        let url = &self.target.url;
        match status {
            status if status.is_success() => Ok(reply),
            StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE => Ok(reply),
            status if status.is_redirection() => Err(invalid(format!(
                "the server at '{url}' redirects to '{}', which is not followed; if it moved there, mend 'url'",
                location.as_deref().unwrap_or("nowhere")
            ))),
            StatusCode::FORBIDDEN if reply.is_error("cluster_block_exception") => {
                Err(retry(format!(
                    "the server at '{url}' is blocked: {}; free its disk, or lift the block",
                    reply.words()
                )))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(invalid(format!(
                "the server at '{url}' does not let this job in: {}; mend 'user' and 'password' or 'api.key', or what they are allowed there",
                reply.words()
            ))),
            status
                if status.is_server_error()
                    || status == StatusCode::REQUEST_TIMEOUT
                    || status == StatusCode::TOO_MANY_REQUESTS =>
            {
                Err(retry(format!(
                    "the server at '{url}' is busy or in trouble: {}; it is asked again, look at it if this stays",
                    reply.words()
                )))
            }
            _ => Err(self.garbage(&reply.words())),
        }
    }

    fn failed(&self, failure: &Failure) -> Error {
        let url = &self.target.url;
        match failure {
            Failure::Refused(why) => invalid(format!("'{url}' is refused: {why}; mend 'url'")),
            Failure::TooLarge => invalid(format!(
                "the server at '{url}' answers with more than {ANSWER_BYTES_MAX} bytes; mend 'url'"
            )),
            Failure::Untrusted(why) => invalid(format!(
                "the server at '{url}' cannot be trusted: {why}; name the authority of its certificate in 'ssl.ca.location'"
            )),
            Failure::Garbage(why) => invalid(format!(
                "what answers at '{url}' does not speak HTTP: {why}; mend 'url' (a server with TLS has 'https')"
            )),
            Failure::OnTheWay(why) => retry(format!(
                "the server at '{url}' is away: {why}; it is asked again, look at it if this stays"
            )),
        }
    }

    /// An answer in JSON.
    pub fn parsed<A: DeserializeOwned>(&self, reply: &Reply) -> Result<A, Error> {
        serde_json::from_slice(&reply.body).map_err(|error| self.garbage(&error.to_string()))
    }

    /// The error of an answer that no such server gives.
    pub fn garbage(&self, why: &str) -> Error {
        invalid(format!(
            "what answers at '{}' is no server of OpenSearch or Elasticsearch: {}; mend 'url'",
            self.target.url,
            excerpt(why)
        ))
    }
}

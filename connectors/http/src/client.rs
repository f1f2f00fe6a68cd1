//! A client, a question and its answer.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidemill_connectors_api::{Error, error};
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use ureq::http::{HeaderValue, Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use crate::guard::{GuardedResolver, Policy, Refused};
use crate::invalid;

const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// How much of somebody else's words is shown.
const EXCERPT_CHARS: usize = 400;

/// Whom a client trusts, and by what it is known: files in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The authorities to trust; without it those that browsers trust.
    pub ca: Option<PathBuf>,
    /// The client's certificates, its own first, and its key, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question<'a> {
    /// Where, with `http://` or `https://`.
    pub url: &'a str,
    /// As what the answer is wanted.
    pub accept: &'a str,
    /// What is to be done there; none is a POST of a body, and without one a GET.
    pub method: Option<Method>,
    /// Media type and bytes of a body.
    pub body: Option<(&'a str, Cow<'a, [u8]>)>,
    /// More headers, by name.
    pub headers: &'a [(&'a str, &'a str)],
    /// Who asks: see [`authorization`].
    pub authorization: Option<HeaderValue>,
    /// How long it may take.
    pub within: Duration,
    /// How many bytes an answer may have.
    pub bytes_max: u64,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer, in words in which no credentials are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The policy does not allow where the URL leads.
    Refused(String),
    /// What is there cannot be trusted.
    Untrusted(String),
    /// What is there does not speak HTTP, or the URL is none.
    Garbage(String),
    /// The answer has more bytes than it may.
    TooLarge,
    /// It failed on the way: asked again it may be answered.
    OnTheWay(String),
}

/// A client, whose connections are kept.
#[derive(Debug, Clone)]
pub struct Client(Agent);

impl Client {
    /// A client that goes where a policy allows.
    ///
    /// # Errors
    /// `Invalid` if a file cannot be read, or is not what it should be.
    pub fn new(trust: &Trust, policy: Policy, within: Duration) -> Result<Self, Error> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("tidemill")
            .max_idle_connections_per_host(4)
            .timeout_connect(Some(CONNECT_TIMEOUT_MAX.min(within)))
            .tls_config(tls(trust)?)
            .build();
        let resolver = GuardedResolver::new(policy);
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        Ok(Self(agent))
    }

    /// Asks.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn ask(&self, question: Question<'_>) -> Result<Answer, Failure> {
        let mut builder = Request::builder()
            .uri(question.url)
            .header(ACCEPT, question.accept);
        for &(name, value) in question.headers {
            builder = builder.header(name, value);
        }
        if let Some(authorization) = question.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        // A timeout of zero would be none.
        let within = Some(question.within.max(Duration::from_millis(1)));
        let cannot = |error: ureq::http::Error| Failure::Garbage(error.to_string());
        let method = |usual: Method| question.method.unwrap_or(usual);
        let answered = match question.body {
            None => {
                let request = builder.method(method(Method::GET));
                let request = request.body(()).map_err(cannot)?;
                let request = self.0.configure_request(request);
                self.0.run(request.timeout_global(within).build())
            }
            Some((media_type, body)) => {
                let request = builder.method(method(Method::POST));
                let request = request.header(CONTENT_TYPE, media_type);
                let request = request.body(&*body).map_err(cannot)?;
                let request = self.0.configure_request(request);
                self.0.run(request.timeout_global(within).build())
            }
        };
        let response = answered.map_err(|error| failed(&error))?;
        read(response, question.bytes_max).map_err(|error| failed(&error))
    }
}

fn read(mut response: Response<Body>, bytes_max: u64) -> Result<Answer, ureq::Error> {
    let location = response.headers().get(LOCATION);
    let location = location.map(|to| excerpt(&String::from_utf8_lossy(to.as_bytes())));
    let status = response.status();
    let body = response.body_mut().with_config().limit(bytes_max);
    Ok(Answer {
        status,
        location,
        body: body.read_to_vec()?,
    })
}

fn failed(error: &ureq::Error) -> Failure {
    use ureq::Error as E;
    match error {
        E::Other(other) if other.is::<Refused>() => Failure::Refused(other.to_string()),
        E::BodyExceedsLimit(_) => Failure::TooLarge,
        E::Tls(_) | E::Rustls(_) | E::Pem(_) => Failure::Untrusted(error.to_string()),
        E::Protocol(_) | E::LargeResponseHeader(..) => Failure::Garbage(error.to_string()),
        // rustls wraps what it refuses during the handshake.
        E::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            Failure::Untrusted(io.to_string())
        }
        error => Failure::OnTheWay(error.to_string()),
    }
}

/// The header that says who asks, by `scheme` and `credentials`, which its `Debug` does not show; nothing if they have characters that no
/// header has.
#[must_use]
pub fn authorization(scheme: &str, credentials: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("{scheme} {credentials}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The beginning of somebody else's words, on one line.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let shown = text.chars().take(EXCERPT_CHARS);
    let mut excerpt: String = shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        excerpt.push('…');
    }
    excerpt
}

fn tls(trust: &Trust) -> Result<TlsConfig, Error> {
    let mut config = TlsConfig::builder();
    if let Some(ca) = &trust.ca {
        config = config.root_certs(RootCerts::new_with_certs(&certificates(ca)?));
    }
    if let Some((certificate, key)) = &trust.identity {
        let certificates = certificates(certificate)?;
        let key = PrivateKey::from_pem(&read_file(key)?).map_err(|_| {
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
    let pem = read_file(path)?;
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

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|found| invalid(error::io_error("read", path, &found).message))
}

#[cfg(test)]
mod tests {
    use super::{authorization, excerpt};

    #[test]
    fn credentials_are_not_shown() {
        let header = authorization("Bearer", "hunter2").unwrap();
        assert!(!format!("{header:?}").contains("hunter2"));
        assert_eq!(authorization("Bearer", "a\nb"), None);
    }

    #[test]
    fn words_are_cut_and_stay_on_their_line() {
        assert_eq!(excerpt("a\nb"), "a b");
        assert_eq!(excerpt(&"é".repeat(500)).chars().count(), 401);
    }
}

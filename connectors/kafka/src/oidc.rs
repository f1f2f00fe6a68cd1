//! A token of OAUTHBEARER from a server of tokens: the client credentials grant of OAuth 2 (RFC 6749, 4.4), which OpenID Connect has too.
//!
//! *Promises* that a question ends within [`WITHIN`], goes where the guard of `connectors/http` lets it and by TLS to all but this machine, and
//! that no secret is in a message. *Does not* look into a token: what it is worth, the brokers say.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tidemill_connectors_api::{Error, Options};
use tidemill_connectors_http::client::{authorization, excerpt};
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_http::{Answer, Client, Failure, Question, Trust, Uri};
use tidemill_types::ErrorKind;

use crate::options::invalid;

/// The way to a token: `default` or `oidc`.
pub const METHOD: &str = "sasl.oauthbearer.method";
/// Where tokens are asked for.
const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
/// What the token is for, if the server has to be told.
const SCOPE: &str = "sasl.oauthbearer.scope";
/// A file of the authorities that the server is trusted by, in PEM.
const CA: &str = "https.ca.location";
/// The options that are of [`METHOD`] `oidc` alone.
pub const OPTIONS: [&str; 5] = [URL, CLIENT_ID, CLIENT_SECRET, SCOPE, CA];

/// How long a question may take: less than a job waits for brokers.
const WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// For how long a token counts whose server does not say.
const LIFETIME: Duration = Duration::from_secs(300);

/// Where tokens come from, and for whom.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oidc {
    url: String,
    client_id: String,
    client_secret: String,
    scope: Option<String>,
    ca: Option<PathBuf>,
}

/// A token, and for how long it counts.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub text: String,
    /// From now on.
    pub lifetime: Duration,
}

/// What a server of tokens says.
#[derive(Deserialize)]
struct Said {
    access_token: Option<String>,
    expires_in: Option<u64>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Oidc {
    /// Reads the options.
    pub fn parse(what: &str, options: &Options) -> Result<Self, Error> {
        let get = |name: &str| options.get(name).filter(|value| !value.is_empty()).cloned();
        let needed = |name: &str| {
            get(name).ok_or_else(|| {
                invalid(format!(
                    "{what} lacks '{name}', which {METHOD} = 'oidc' needs; add it"
                ))
            })
        };
        let url = needed(URL)?;
        check(&url).map_err(|why| invalid(format!("{what} has a {URL} that {why}")))?;
        Ok(Self {
            url,
            client_id: needed(CLIENT_ID)?,
            client_secret: needed(CLIENT_SECRET)?,
            scope: get(SCOPE),
            ca: get(CA).map(PathBuf::from),
        })
    }

    /// A client to ask with.
    ///
    /// # Errors
    /// `Invalid` if the file of authorities cannot be read.
    pub fn client(&self) -> Result<Client, Error> {
        let trust = Trust {
            ca: self.ca.clone(),
            identity: None,
        };
        Client::new(&trust, Policy::OWN, WITHIN)
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// `Retry` if the server is away, `Invalid` if it gives this client none.
    pub fn ask(&self, client: &Client) -> Result<Token, Error> {
        let coded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut body = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.scope {
            body += &format!("&scope={}", coded(scope));
        }
        let pair = format!("{}:{}", coded(&self.client_id), coded(&self.client_secret));
        let answered = client.ask(Question {
            url: &self.url,
            accept: "application/json",
            method: None,
            body: Some((
                "application/x-www-form-urlencoded",
                body.into_bytes().into(),
            )),
            headers: &[],
            authorization: authorization("Basic", &STANDARD.encode(pair)),
            within: WITHIN,
            bytes_max: ANSWER_BYTES_MAX,
        });
        match answered {
            Ok(answer) => self.read(&answer),
            Err(failure) => Err(self.failed(&failure)),
        }
    }

    fn read(&self, answer: &Answer) -> Result<Token, Error> {
        let (url, status) = (&self.url, answer.status);
        let said: Option<Said> = serde_json::from_slice(&answer.body).ok();
        if status.is_server_error() || [408, 429].contains(&status.as_u16()) {
            return Err(self.away(&format!("status {status}")));
        }
        if status.is_redirection() {
            let to = answer.location.as_deref().unwrap_or("nowhere");
            return Err(invalid(format!(
                "the token endpoint at '{url}' redirects to '{to}', which is not followed; if it moved there, mend '{URL}'"
            )));
        }
        let Some(said) = said else {
            return Err(invalid(format!(
                "what answers at '{url}' (status {status}) is no token endpoint; mend '{URL}'"
            )));
        };
        if let (true, Some(text)) = (status.is_success(), said.access_token) {
            return Ok(Token {
                text,
                lifetime: said.expires_in.map_or(LIFETIME, Duration::from_secs),
            });
        }
        let words = [said.error, said.error_description];
        let words: Vec<_> = words.into_iter().flatten().collect();
        let words = excerpt(&words.join(": ")).replace(&self.client_secret, "…");
        Err(invalid(format!(
            "the token endpoint at '{url}' gives client '{}' no token (status {status}): {words}; mend '{CLIENT_ID}', '{CLIENT_SECRET}' or \
             '{SCOPE}', or what the client is allowed there",
            self.client_id
        )))
    }

    fn failed(&self, failure: &Failure) -> Error {
        let url = &self.url;
        match failure {
            Failure::Refused(why) => invalid(format!("'{url}' is refused: {why}; mend '{URL}'")),
            Failure::Untrusted(why) => invalid(format!(
                "the token endpoint at '{url}' cannot be trusted: {why}; name the authority of its certificate in '{CA}'"
            )),
            Failure::Garbage(why) => invalid(format!(
                "what answers at '{url}' does not speak HTTP: {why}; mend '{URL}'"
            )),
            Failure::TooLarge => invalid(format!(
                "the token endpoint at '{url}' answers with more than {ANSWER_BYTES_MAX} bytes; mend '{URL}'"
            )),
            Failure::OnTheWay(why) => self.away(why),
        }
    }

    fn away(&self, why: &str) -> Error {
        let message = format!(
            "the token endpoint at '{}' is away: {why}; it is asked again, look at it if this stays",
            self.url
        );
        Error::new(ErrorKind::Retry, message)
    }
}

/// What is wrong with a URL. Nothing of it is shown, as it may have a password in it.
fn check(url: &str) -> Result<(), &'static str> {
    let no_url = "is no URL; write it as 'https://host/path'";
    let uri: Uri = url.parse().map_err(|_| no_url)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(no_url)?;
    if url.contains('@') {
        return Err("has a user or password in it; give the client's in the options for them");
    }
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_here => Ok(()),
        Some("http") => {
            Err("would send the client's secret without encryption; write it with 'https://'")
        }
        _ => Err(no_url),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_connectors_api::Options;
    use tidemill_connectors_http::{Answer, StatusCode};
    use tidemill_types::ErrorKind;

    use super::{CLIENT_ID, CLIENT_SECRET, LIFETIME, Oidc, URL, check};

    fn oidc() -> Oidc {
        let options = [
            (URL, "https://id/token"),
            (CLIENT_ID, "job"),
            (CLIENT_SECRET, "hunter2"),
        ];
        let options: Options = (options.into_iter())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Oidc::parse("source 's'", &options).unwrap()
    }

    fn read(status: u16, body: &str) -> Result<(String, u64), (ErrorKind, String)> {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            location: None,
            body: body.as_bytes().to_vec(),
        };
        let token = oidc().read(&answer);
        token
            .map(|token| (token.text, token.lifetime.as_secs()))
            .map_err(|error| (error.kind(), error.message))
    }

    #[test]
    fn an_answer_is_a_token_or_says_what_to_mend() {
        let token = r#"{"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 60}"#;
        assert_eq!(read(200, token), Ok(("a.b.c".to_owned(), 60)));
        let endless = r#"{"access_token": "a.b.c"}"#;
        assert_eq!(
            read(200, endless),
            Ok(("a.b.c".to_owned(), LIFETIME.as_secs()))
        );
        let refused = r#"{"error": "invalid_client", "error_description": "hunter2 is wrong"}"#;
        let (kind, told) = read(401, refused).unwrap_err();
        assert_eq!(kind, ErrorKind::Invalid);
        assert!(
            told.contains("invalid_client: … is wrong") && told.contains(CLIENT_SECRET),
            "{told}"
        );
        assert_eq!(read(503, "").unwrap_err().0, ErrorKind::Retry);
        assert!(
            read(200, "<html>")
                .unwrap_err()
                .1
                .contains("no token endpoint")
        );
        assert_eq!(read(302, "").unwrap_err().0, ErrorKind::Invalid);
    }

    #[test]
    fn a_secret_goes_by_tls_to_all_but_this_machine() {
        for good in [
            "https://id.example/token",
            "http://localhost:80/t",
            "http://127.0.0.1:1/",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "http://id.example/token",
            "https://me:x@id/",
            "id",
            "ftp://id/x",
            "",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}

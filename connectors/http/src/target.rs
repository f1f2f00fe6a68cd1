//! How a server is reached that rows are brought to: what the connectors that do so over HTTP have in common.
//!
//! Promises that no credentials are shown: they are kept as the header that they become, whose `Debug` shows nothing. Asks nobody.

use std::time::Duration;

use tidemill_connectors_api::{Error, Options};
use ureq::http::HeaderValue;

use crate::client::Trust;
use crate::invalid;
use crate::options::{self, CA_LOCATION, CERTIFICATE_LOCATION, KEY_LOCATION, Url};

const URL: &str = "url";
const USER: &str = "user";
const PASSWORD: &str = "password";
const TIMEOUT: &str = "timeout";
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_MINUTES_MAX: u64 = 5;

/// A server.
#[derive(Debug, Clone)]
pub struct Target {
    /// `http://…` or `https://…`, without a '/' at its end.
    pub url: String,
    /// Who asks.
    pub authorization: Option<HeaderValue>,
    /// Whom to trust, and by what to be known.
    pub trust: Trust,
    /// How long a request may take.
    pub timeout: Duration,
}

/// What a connector calls its servers, and their tokens.
#[derive(Debug, Clone, Copy)]
pub struct Kind<'a> {
    /// The connector's name.
    pub connector: &'a str,
    /// What should answer at the URL: `a service`.
    pub of: &'a str,
    /// The option with a token, which stands in for name and password.
    pub token: &'a str,
    /// The scheme that it is a token of.
    pub scheme: &'a str,
}

impl Target {
    /// The options that there are, beside the token.
    pub const OPTIONS: [&str; 7] = [
        URL,
        USER,
        PASSWORD,
        CA_LOCATION,
        CERTIFICATE_LOCATION,
        KEY_LOCATION,
        TIMEOUT,
    ];

    /// Reads them.
    ///
    /// # Errors
    /// `Invalid` for options that are missing, don't go together, or have a value that they cannot have.
    pub fn parse(kind: Kind<'_>, options: &Options) -> Result<Self, Error> {
        let url = Url {
            option: URL,
            of: kind.of,
            login: "'user' and 'password'",
        };
        let timeout = options.get(TIMEOUT).map_or(Ok(TIMEOUT_DEFAULT), |text| {
            options::timeout(TIMEOUT, text, TIMEOUT_MINUTES_MAX)
        });
        Ok(Self {
            url: url.parse(kind.required(options, URL)?)?,
            authorization: kind.login(options)?,
            trust: options::trust(options)?,
            timeout: timeout?,
        })
    }
}

impl Kind<'_> {
    /// The value of an option that has to be there.
    ///
    /// # Errors
    /// `Invalid` if it is not.
    pub fn required<'o>(&self, options: &'o Options, name: &str) -> Result<&'o str, Error> {
        let value = options.get(name).filter(|value| !value.is_empty());
        value.map(String::as_str).ok_or_else(|| {
            invalid(format!(
                "it lacks the option '{name}', which connector '{}' needs; add {name} = '…' to its WITH",
                self.connector
            ))
        })
    }

    fn login(&self, options: &Options) -> Result<Option<HeaderValue>, Error> {
        let get = |name: &str| options.get(name).map(String::as_str);
        let basic = options::basic([USER, PASSWORD], [USER, PASSWORD].map(get))?;
        let token = get(self.token).map(|text| options::token(self.token, self.scheme, text));
        match (basic, token.transpose()?) {
            (Some(_), Some(_)) => Err(invalid(format!(
                "there are both '{}' and '{USER}'; leave one out",
                self.token
            ))),
            (basic, token) => Ok(basic.or(token)),
        }
    }
}

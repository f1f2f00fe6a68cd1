//! The `WITH` options that this connector knows.
//!
//! No others come here: the planner refuses what nobody takes. Credentials are kept as the header that they become, whose `Debug` shows nothing.

use std::time::Duration;

use tidemill_connectors_api::{ConnectorOptions, DeliverySpec, Error, Options, SinkKind};
use tidemill_connectors_http::{HeaderValue, Trust, options};

use crate::invalid;

const URL: &str = "url";
const INDEX: &str = "index";
const USER: &str = "user";
const PASSWORD: &str = "password";
const API_KEY: &str = "api.key";
const CA_LOCATION: &str = "ssl.ca.location";
const CERTIFICATE_LOCATION: &str = "ssl.certificate.location";
const KEY_LOCATION: &str = "ssl.key.location";
const CREATE: &str = "create";
const TIMEOUT: &str = "timeout";

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_MINUTES_MAX: u64 = 5;
/// How long the name of an index may be, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The options that there are.
pub fn known() -> ConnectorOptions {
    ConnectorOptions {
        name: "search",
        source: vec![],
        sink: vec![
            URL,
            INDEX,
            USER,
            PASSWORD,
            API_KEY,
            CA_LOCATION,
            CERTIFICATE_LOCATION,
            KEY_LOCATION,
            CREATE,
            TIMEOUT,
        ],
        target: INDEX,
        sinks: SinkKind::Delivered { formats: &["json"] },
    }
}

/// Where a sink brings its rows.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// `http://…` or `https://…`, without a '/' at its end.
    pub url: String,
    /// An index, or an alias of one.
    pub index: String,
    /// Who asks.
    pub authorization: Option<HeaderValue>,
    /// Whom to trust, and by what to be known.
    pub trust: Trust,
    /// Makes the index if it is not there.
    pub create: bool,
    /// How long a request may take.
    pub timeout: Duration,
}

impl SearchOptions {
    /// Reads a sink's options.
    pub fn parse(spec: &DeliverySpec<'_>) -> Result<Self, Error> {
        Self::of(spec.options)
            .map_err(|wrong| invalid(format!("sink '{}': {}", spec.name, wrong.message)))
    }

    fn of(options: &Options) -> Result<Self, Error> {
        let get = |name: &str| options.get(name).map(String::as_str);
        let url = options::Url {
            option: URL,
            of: "a server of OpenSearch or Elasticsearch",
            login: "'user' and 'password'",
        };
        Ok(Self {
            url: url.parse(required(options, URL)?)?,
            index: index(required(options, INDEX)?)?,
            authorization: login(get(USER), get(PASSWORD), get(API_KEY))?,
            trust: Trust {
                ca: get(CA_LOCATION).map(Into::into),
                identity: options::identity(
                    [CERTIFICATE_LOCATION, KEY_LOCATION],
                    [get(CERTIFICATE_LOCATION), get(KEY_LOCATION)],
                )?,
            },
            create: match get(CREATE) {
                None | Some("true") => true,
                Some("false") => false,
                Some(other) => {
                    return Err(invalid(format!(
                        "'{CREATE}' is '{other}'; it is 'true' or 'false'"
                    )));
                }
            },
            timeout: get(TIMEOUT).map_or(Ok(TIMEOUT_DEFAULT), |text| {
                options::timeout(TIMEOUT, text, TIMEOUT_MINUTES_MAX)
            })?,
        })
    }
}

fn required<'a>(options: &'a Options, name: &str) -> Result<&'a str, Error> {
    match options.get(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(invalid(format!(
            "it lacks the option '{name}', which connector 'search' needs; add {name} = '…' to its WITH"
        ))),
    }
}

/// The name of an index: what servers refuse is refused here, with what more than one index would be, and those that begin with a dot.
fn index(name: &str) -> Result<String, Error> {
    let is_taken = |c: char| {
        !c.is_uppercase() && !c.is_control() && !c.is_whitespace() && !r#"\/*?"<>|,#:"#.contains(c)
    };
    if name.len() > NAME_BYTES_MAX
        || name.starts_with(['.', '-', '_', '+'])
        || !name.chars().all(is_taken)
    {
        return Err(invalid(format!(
            "'{INDEX}' is '{name}', which is no name of an index; use lower case letters, digits, '.', '-', '_', up to {NAME_BYTES_MAX} \
             bytes, and begin with a letter or digit"
        )));
    }
    Ok(name.to_owned())
}

fn login(
    user: Option<&str>,
    password: Option<&str>,
    api_key: Option<&str>,
) -> Result<Option<HeaderValue>, Error> {
    let basic = options::basic([USER, PASSWORD], [user, password])?;
    let key = api_key.map(|key| options::token(API_KEY, "ApiKey", key));
    match (basic, key.transpose()?) {
        (Some(_), Some(_)) => Err(invalid(format!(
            "there are both '{API_KEY}' and '{USER}'; leave one out"
        ))),
        (basic, key) => Ok(basic.or(key)),
    }
}

#[cfg(test)]
mod tests;

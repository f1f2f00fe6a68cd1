//! The `WITH` options that this connector knows.
//!
//! No others come here: the planner refuses what nobody takes. Nothing of a URL that may have a password in it is shown.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use tidemill_connectors_api::{ConnectorOptions, DeliverySpec, Error, Options, Secret, SinkKind};
use tidemill_connectors_http::Trust;
use tidemill_connectors_http::options::{self, CA_LOCATION, CERTIFICATE_LOCATION, KEY_LOCATION};
use tidemill_types::ErrorKind;
use tidemill_types::format::Contents;

const KEY_PREFIX: &str = "key.prefix";
const PORT_DEFAULT: u16 = 6379;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_MINUTES_MAX: u64 = 5;
/// Redis refuses an expiry that its clock cannot reach.
const EXPIRE_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The options that there are.
pub fn known() -> ConnectorOptions {
    ConnectorOptions {
        name: "redis",
        source: vec![],
        sink: vec![
            "url",
            "user",
            "password",
            KEY_PREFIX,
            "type",
            "expire",
            CA_LOCATION,
            CERTIFICATE_LOCATION,
            KEY_LOCATION,
            "timeout",
        ],
        target: KEY_PREFIX,
        sinks: SinkKind::Delivered { formats: &["json"] },
    }
}

/// As what a row is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Its value as it is written, at its key.
    String,
    /// A field for each column that has a value, at its key.
    Hash,
    /// An entry of the stream that all rows are in, with such fields.
    Stream,
}

impl Type {
    /// Its name in the option.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub database: u32,
    /// None is the server's `default`.
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// None is no TLS.
    pub tls: Option<Trust>,
    /// How long connecting may take, and each step.
    pub timeout: Duration,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}:{}/{}'", self.host, self.port, self.database)
    }
}

/// Where a sink's rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    pub server: Server,
    /// What all keys begin with; of a stream, its key.
    pub prefix: String,
    pub kept_as: Type,
    /// When a key goes that is not written any more, in milliseconds.
    pub expire_ms: Option<u64>,
}

impl SinkOptions {
    /// Reads a sink's options.
    pub fn parse(spec: &DeliverySpec<'_>) -> Result<Self, Error> {
        let of = Of(spec.options);
        of.parse(spec.contents, spec.key).map_err(|wrong| {
            let message = format!("sink '{}': {wrong}", spec.name);
            Error::new(ErrorKind::Invalid, message)
        })
    }
}

/// The options of a sink. What is wrong with them is said in words that end in what to do.
struct Of<'a>(&'a Options);

impl<'a> Of<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(String::as_str)
    }

    fn parse(&self, contents: Contents, key: &[String]) -> Result<SinkOptions, String> {
        let server = self.server()?;
        let kept_as = self.kept_as(contents, key)?;
        Ok(SinkOptions {
            server,
            prefix: self.prefix(kept_as)?,
            kept_as,
            expire_ms: self.expire(kept_as)?,
        })
    }

    fn server(&self) -> Result<Server, String> {
        let text = self.get("url").filter(|url| !url.is_empty());
        let text = text.ok_or("the option 'url' is missing, which connector 'redis' needs; add url = 'redis://host:port/0' to its WITH")?;
        if text.contains(['@', '?', '#']) {
            return Err("'url' has more in it than host, port and number of a database, which would stand in plans and logs; move it to the options 'user' and 'password'".to_owned());
        }
        let no_url = "'url' is no place of a Redis; write it as 'redis://host:port/0', or 'rediss://…' for TLS";
        let url = redis::parse_redis_url(text).ok_or(no_url)?;
        let is_tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(no_url.to_owned()),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| no_url)?,
        };
        let (user, password) = (self.get("user"), self.get("password"));
        if user.is_some() && password.is_none() {
            return Err(
                "there is a 'user' without a 'password'; add it, or leave both out".to_owned(),
            );
        }
        Ok(Server {
            host: host.ok_or(no_url)?.to_owned(),
            port: url.port().unwrap_or(PORT_DEFAULT),
            database,
            user: user.map(str::to_owned),
            password: password.map(Secret::new),
            tls: self.tls(is_tls)?,
            timeout: self.timeout()?,
        })
    }

    fn tls(&self, is_tls: bool) -> Result<Option<Trust>, String> {
        let trust = options::trust(self.0).map_err(|wrong| wrong.message)?;
        if !is_tls && trust != Trust::default() {
            return Err("there are files for TLS, but 'url' begins with 'redis://'; write 'rediss://', or leave the files out".to_owned());
        }
        Ok(is_tls.then_some(trust))
    }

    fn timeout(&self) -> Result<Duration, String> {
        let text = self.get("timeout");
        let timeout = text.map(|text| options::timeout("timeout", text, TIMEOUT_MINUTES_MAX));
        let timeout = timeout.unwrap_or(Ok(TIMEOUT_DEFAULT));
        timeout.map_err(|wrong| wrong.message)
    }

    fn kept_as(&self, contents: Contents, key: &[String]) -> Result<Type, String> {
        let has_states = match contents {
            Contents::States if key.is_empty() => {
                return Err("states are kept by their key, and the sink has none; add key = '…' to its WITH".to_owned());
            }
            Contents::States => true,
            Contents::Rows => false,
            Contents::Changes => {
                return Err("Redis is given rows or states, and the sink's envelope writes changes; use envelope = 'plain' or 'upsert'".to_owned());
            }
        };
        match (self.get("type"), has_states) {
            (None | Some("string"), true) => Ok(Type::String),
            (Some("hash"), true) => Ok(Type::Hash),
            (None | Some("stream"), false) => Ok(Type::Stream),
            (Some("stream"), true) => Err("type = 'stream' is of rows that are added, and the sink has states of a key; use type = 'string' or 'hash'".to_owned()),
            (Some(kept @ ("string" | "hash")), false) => Err(format!(
                "type = '{kept}' has one value for each key, and the sink's rows are added, whatever their keys; use envelope = 'upsert' with a key, or type = 'stream'"
            )),
            (Some(other), _) => Err(format!(
                "type = '{other}' is not known; it is 'string', 'hash' or 'stream'"
            )),
        }
    }

    fn prefix(&self, kept_as: Type) -> Result<String, String> {
        let needs = match kept_as {
            Type::String | Type::Hash => "what its keys begin with, such as 'production:'",
            Type::Stream => "the key of the stream, such as 'payments'",
        };
        match self.get(KEY_PREFIX) {
            Some("") if kept_as == Type::Stream => {
                Err(format!("'{KEY_PREFIX}' is empty; give it {needs}"))
            }
            Some(prefix) => Ok(prefix.to_owned()),
            None => Err(format!(
                "the option '{KEY_PREFIX}' is missing, which connector 'redis' needs; give it {needs}"
            )),
        }
    }

    fn expire(&self, kept_as: Type) -> Result<Option<u64>, String> {
        let Some(text) = self.get("expire") else {
            return Ok(None);
        };
        if kept_as == Type::Stream {
            return Err("'expire' is of keys, and a stream is one key; leave it out, and trim the stream by XTRIM".to_owned());
        }
        let parsed = humantime::parse_duration(text).ok();
        let parsed = parsed.filter(|time| (Duration::from_millis(1)..=EXPIRE_MAX).contains(time));
        let ms = parsed.and_then(|time| u64::try_from(time.as_millis()).ok());
        ms.map(Some).ok_or_else(|| {
            format!("expire = '{text}' is no length of time; give one such as '1 day' or '90 s', up to 100 years")
        })
    }
}

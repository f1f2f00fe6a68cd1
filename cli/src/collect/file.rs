//! The configuration of `tidemill collect`, from its file to settings: what is spelled as in a job's profile means the same, `${NAME}` and
//! `${secret:name}` in every text included.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tidemill_collect::settings::{Endpoint, Key, Limits, Settings, Tls, Token};
use tidemill_jobs::options::resolve;
use tidemill_jobs::profile_options;
use tidemill_terminal::Failure;

use crate::job::answer;
use crate::parse;
use crate::secrets::{Secrets, SecretsTable};

/// Where is listened unless anything is said.
const PORT: u16 = 8088;

/// All that the file may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectFile {
    listen: Option<String>,
    #[serde(default)]
    tokens: Vec<String>,
    kafka: toml::Table,
    tls: Option<TlsTable>,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    endpoint: BTreeMap<String, EndpointTable>,
    #[serde(default)]
    secrets: SecretsTable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct LimitsTable {
    event_bytes: Option<String>,
    events: Option<usize>,
    request_bytes: Option<String>,
    in_flight_bytes: Option<String>,
    connections: Option<usize>,
    request_time: Option<String>,
    kafka_time: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EndpointTable {
    topic: String,
    key: Option<String>,
    key_header: Option<String>,
    #[serde(default)]
    tokens: Vec<String>,
}

impl CollectFile {
    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::invalid(format!(
                "cannot read '{shown}': {error}; name another file with --config"
            ))
        })?;
        Self::parse(&text).with_context(|| format!("'{shown}'"))
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        toml::from_str(text)
            .map_err(|error: toml::de::Error| Failure::invalid(error.to_string().trim_end()))
    }

    /// The settings, with what the environment and the places of secrets have. Paths are from the folder of the file on.
    pub fn settings(self, path: &Path, listen: Option<SocketAddr>) -> anyhow::Result<Settings> {
        let shown = path.display().to_string();
        let settings = self.resolved(path, listen);
        settings.map_err(|why| Failure::invalid(format!("'{shown}': {why}")).into())
    }

    fn resolved(self, path: &Path, listen: Option<SocketAddr>) -> Result<Settings, String> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let secrets = Secrets::new(&self.secrets, folder);
        let text = |what: &str, value: &str| {
            let resolved = resolve(value, &|name| answer(path, name), &|name| {
                secrets.answer(name)
            });
            resolved.map_err(|why| format!("{what}: {why}"))
        };
        let tokens = |what: &str, tokens: &[String]| {
            let tokens = tokens
                .iter()
                .map(|token| token_of(what, &text(what, token)?));
            tokens.collect::<Result<Vec<Token>, String>>()
        };
        let listen = match (listen, &self.listen) {
            (Some(listen), _) => listen,
            (None, None) => SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            (None, Some(listen)) => text("listen", listen)?.parse().map_err(|_| {
                format!("listen = '{listen}' is no address; write one such as '127.0.0.1:8088'")
            })?,
        };
        let mut kafka = profile_options(&self.kafka).map_err(|why| format!("[kafka]: {why}"))?;
        for (name, value) in &mut kafka {
            *value = text(&format!("[kafka] {name}"), value)?;
        }
        let mut endpoints = BTreeMap::new();
        for (name, table) in &self.endpoint {
            let what = format!("[endpoint.{name}]");
            let endpoint = Endpoint {
                topic: text(&what, &table.topic)?,
                key: table.key(&what)?,
                tokens: tokens(&what, &table.tokens)?,
            };
            endpoints.insert(name.clone(), endpoint);
        }
        Ok(Settings {
            listen,
            kafka,
            endpoints,
            tokens: tokens("tokens", &self.tokens)?,
            tls: self.tls.map(|tls| Tls {
                certificate: folder.join(tls.certificate),
                key: folder.join(tls.key),
            }),
            limits: self.limits.limits()?,
        })
    }
}

fn token_of(what: &str, text: &str) -> Result<Token, String> {
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token
        .then(|| Token::new(text.as_bytes()))
        .ok_or_else(|| {
            format!(
                "{what}: a token is empty, or has white space or what is no ASCII; give another one"
            )
        })
}

impl EndpointTable {
    fn key(&self, what: &str) -> Result<Key, String> {
        match (&self.key, &self.key_header) {
            (None, None) => Ok(Key::None),
            (Some(_), Some(_)) => Err(format!(
                "{what} has 'key' and 'key-header', and a record has one key; leave one out"
            )),
            (None, Some(header)) => Ok(Key::Header(header.to_ascii_lowercase())),
            (Some(path), None) => {
                let names: Vec<String> = path.split('.').map(str::to_owned).collect();
                if names.iter().any(String::is_empty) {
                    return Err(format!(
                        "{what} has key = '{path}'; give the names on the way to the member, such as 'data.id'"
                    ));
                }
                Ok(Key::Member(names))
            }
        }
    }
}

impl LimitsTable {
    fn limits(&self) -> Result<Limits, String> {
        let default = Limits::default();
        let bytes = |name, set: &Option<String>, default| match set {
            Some(text) => parse::bytes(text).map_err(|why| format!("[limits] {name}: {why}")),
            None => Ok(default),
        };
        let time = |name, set: &Option<String>, default| match set {
            Some(text) => parse::milliseconds(text)
                .map(Duration::from_millis)
                .map_err(|why| format!("[limits] {name}: {why}")),
            None => Ok(default),
        };
        let count = |name, set: Option<usize>, default| match set {
            Some(0) => Err(format!("[limits] {name}: the least is 1")),
            set => Ok(set.unwrap_or(default)),
        };
        Ok(Limits {
            event_bytes_max: bytes("event-bytes", &self.event_bytes, default.event_bytes_max)?,
            events_max: count("events", self.events, default.events_max)?,
            request_bytes_max: bytes(
                "request-bytes",
                &self.request_bytes,
                default.request_bytes_max,
            )?,
            in_flight_bytes_max: bytes(
                "in-flight-bytes",
                &self.in_flight_bytes,
                default.in_flight_bytes_max,
            )?,
            connections_max: count("connections", self.connections, default.connections_max)?,
            request_wait_max: time("request-time", &self.request_time, default.request_wait_max)?,
            kafka_wait_max: time("kafka-time", &self.kafka_time, default.kafka_wait_max)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tidemill_collect::settings::{Key, Settings, Token};

    use super::CollectFile;

    fn settings(text: &str) -> Result<Settings, String> {
        let file = CollectFile::parse(text).map_err(|error| error.to_string())?;
        let settings = file.settings(Path::new("etc/collect.toml"), None);
        settings.map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_says_where_kafka_is_and_which_events_go_where() {
        let settings = settings(
            "listen = '127.0.0.1:9000'
            [kafka]
            bootstrap.servers = '${TIDEMILL_NO_SUCH_VARIABLE:-broker}:9092'
            linger.ms = 10
            [endpoint.payments]
            topic = 'studio.payment'
            key = 'data.id'
            tokens = ['${secret:studio}']
            [endpoint.clicks]
            topic = 'clicks'
            key-header = 'X-Visitor'
            [limits]
            event-bytes = '64 KiB'
            kafka-time = '3 s'
            [secrets]
            studio = { command = ['echo', 'hunter2'] }",
        )
        .unwrap();
        assert_eq!(settings.listen.port(), 9000);
        assert_eq!(settings.kafka["bootstrap.servers"], "broker:9092");
        assert_eq!(settings.kafka["linger.ms"], "10");
        let payments = &settings.endpoints["payments"];
        assert_eq!(
            payments.key,
            Key::Member(vec!["data".to_owned(), "id".to_owned()])
        );
        assert_eq!(payments.tokens, [Token::new(b"hunter2")]);
        assert_eq!(
            settings.endpoints["clicks"].key,
            Key::Header("x-visitor".to_owned())
        );
        assert_eq!(settings.limits.event_bytes_max, 64 << 10);
        assert_eq!(settings.limits.kafka_wait_max, Duration::from_secs(3));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |rest: &str| settings(&format!("[kafka]\n{rest}")).unwrap_err();
        assert!(said("[endpoint.a]\ntopik = 'a'").contains("topik"));
        assert!(said("[endpoint.a]\ntopic = 'a'\nkey = 'a..b'").contains("'a..b'"));
        assert!(said("[endpoint.a]\ntopic = 'a'\nkey = 'a'\nkey-header = 'b'").contains("one key"));
        assert!(
            said("[endpoint.a]\ntopic = '${TIDEMILL_NO_SUCH_VARIABLE}'").contains("[endpoint.a]")
        );
        assert!(said("[limits]\nevents = 0").contains("[limits] events"));
        assert!(said("[limits]\nkafka-time = '3'").contains("[limits] kafka-time"));
        let said = said("[endpoint.a]\ntopic = 'a'\ntokens = ['hunter 2']");
        assert!(
            said.contains("white space") && !said.contains("hunter"),
            "{said}"
        );
    }
}

//! The `WITH` options that this connector knows.
//!
//! No others come here: the planner refuses what nobody takes. Credentials are kept as the header that they become, whose `Debug` shows nothing.

use std::path::PathBuf;
use std::time::Duration;

use tidemill_connectors_api::{ConnectorOptions, DeliverySpec, Error, Options, SinkKind};
use tidemill_connectors_http::{HeaderValue, Trust, options};

use crate::invalid;

const URL: &str = "url";
const PROGRESS_PATH: &str = "progress.path";
const USER: &str = "user";
const PASSWORD: &str = "password";
const BEARER_TOKEN: &str = "bearer.token";
const CA_LOCATION: &str = "ssl.ca.location";
const CERTIFICATE_LOCATION: &str = "ssl.certificate.location";
const KEY_LOCATION: &str = "ssl.key.location";
const TIMEOUT: &str = "timeout";

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_MINUTES_MAX: u64 = 5;

/// The options that there are.
pub fn known() -> ConnectorOptions {
    ConnectorOptions {
        name: "webhook",
        source: vec![],
        sink: vec![
            URL,
            PROGRESS_PATH,
            USER,
            PASSWORD,
            BEARER_TOKEN,
            CA_LOCATION,
            CERTIFICATE_LOCATION,
            KEY_LOCATION,
            TIMEOUT,
        ],
        target: URL,
        sinks: SinkKind::Delivered { formats: &["json"] },
    }
}

/// Where a sink posts its records.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// `http://…` or `https://…`.
    pub url: String,
    /// The file that says how far the service has come.
    pub progress: PathBuf,
    /// Who posts.
    pub authorization: Option<HeaderValue>,
    /// Whom to trust, and by what to be known.
    pub trust: Trust,
    /// How long a request may take.
    pub timeout: Duration,
}

impl WebhookOptions {
    /// Reads a sink's options.
    pub fn parse(spec: &DeliverySpec<'_>) -> Result<Self, Error> {
        Self::of(spec.options)
            .map_err(|wrong| invalid(format!("sink '{}': {}", spec.name, wrong.message)))
    }

    fn of(options: &Options) -> Result<Self, Error> {
        let get = |name: &str| options.get(name).map(String::as_str);
        let url = options::Url {
            option: URL,
            of: "a service",
            login: "'user' and 'password'",
        };
        let basic = options::basic([USER, PASSWORD], [get(USER), get(PASSWORD)])?;
        let bearer = get(BEARER_TOKEN).map(|token| options::token(BEARER_TOKEN, "Bearer", token));
        let authorization = match (basic, bearer.transpose()?) {
            (Some(_), Some(_)) => {
                return Err(invalid(format!(
                    "there are both '{BEARER_TOKEN}' and '{USER}'; leave one out"
                )));
            }
            (basic, bearer) => basic.or(bearer),
        };
        Ok(Self {
            url: url.parse(required(options, URL)?)?,
            progress: required(options, PROGRESS_PATH)?.into(),
            authorization,
            trust: Trust {
                ca: get(CA_LOCATION).map(Into::into),
                identity: options::identity(
                    [CERTIFICATE_LOCATION, KEY_LOCATION],
                    [get(CERTIFICATE_LOCATION), get(KEY_LOCATION)],
                )?,
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
            "it lacks the option '{name}', which connector 'webhook' needs; add {name} = '…' to its WITH"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tidemill_connectors_api::{ConnectorOptions, Options};

    use super::{WebhookOptions, known};

    fn options(more: &[(&str, &str)]) -> Options {
        let base = [("url", "https://host/hook"), ("progress.path", "hook.json")];
        let given = base.iter().chain(more);
        given
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_login_is_a_header_that_is_not_shown() {
        for (login, header) in [
            (
                &[("user", "job"), ("password", "hunter2")][..],
                "Basic am9iOmh1bnRlcjI=",
            ),
            (&[("bearer.token", "hunter2")], "Bearer hunter2"),
        ] {
            let parsed = WebhookOptions::of(&options(login)).unwrap();
            assert_eq!(parsed.authorization.as_ref().unwrap(), header);
            let shown = format!("{parsed:?}");
            assert!(
                !shown.contains("hunter2") && !shown.contains("am9i"),
                "{shown}"
            );
        }
    }

    #[test]
    fn wrong_options_are_refused_with_what_to_do() {
        for (more, told) in [
            (&[("url", "")][..], "lacks the option 'url'"),
            (&[("progress.path", "")], "lacks the option 'progress.path'"),
            (&[("url", "https://me:hunter2@host")], "move them to 'user'"),
            (&[("user", "job")], "add the other one"),
            (&[("bearer.token", "hunter2 x")], "give it alone"),
            (
                &[
                    ("bearer.token", "x"),
                    ("user", "job"),
                    ("password", "hunter2"),
                ],
                "leave one out",
            ),
            (&[("ssl.key.location", "key.pem")], "add the other one"),
            (&[("timeout", "1 h")], "up to 5 min"),
        ] {
            let said = WebhookOptions::of(&options(more)).unwrap_err().message;
            assert!(said.contains(told) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn the_page_of_the_connector_has_every_option_that_there_is_and_no_other() {
        let page = include_str!("../../../docs/connectors/webhook.md");
        let (_, table) = page.split_once("\n## Options\n").unwrap();
        let table = table.split("\n## ").next().unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let names = rows.flat_map(|row| row.split(" | ").next().unwrap().split(", "));
        let documented: BTreeSet<&str> = names.map(|name| name.trim_matches('`')).collect();
        let ConnectorOptions { source, sink, .. } = known();
        assert_eq!(documented, sink.into_iter().collect());
        assert_eq!(source, Vec::<&str>::new());
    }
}

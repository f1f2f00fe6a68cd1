//! The `WITH` options that this connector knows.
//!
//! No others come here: the planner refuses what nobody takes.

use std::path::PathBuf;

use tidemill_connectors_api::{ConnectorOptions, DeliverySpec, Error, Options, SinkKind};
use tidemill_connectors_http::target::{Kind, Target};

use crate::invalid;

const PROGRESS_PATH: &str = "progress.path";
const BEARER_TOKEN: &str = "bearer.token";
const SERVICE: Kind<'_> = Kind {
    connector: "webhook",
    of: "a service",
    token: BEARER_TOKEN,
    scheme: "Bearer",
};

/// The options that there are.
pub fn known() -> ConnectorOptions {
    ConnectorOptions {
        name: SERVICE.connector,
        source: vec![],
        sink: [&Target::OPTIONS[..], &[PROGRESS_PATH, BEARER_TOKEN]].concat(),
        target: "url",
        sinks: SinkKind::Delivered { formats: &["json"] },
    }
}

/// Where a sink posts its records.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The service.
    pub service: Target,
    /// The file that says how far the service has come.
    pub progress: PathBuf,
}

impl WebhookOptions {
    /// Reads a sink's options.
    pub fn parse(spec: &DeliverySpec<'_>) -> Result<Self, Error> {
        Self::of(spec.options)
            .map_err(|wrong| invalid(format!("sink '{}': {}", spec.name, wrong.message)))
    }

    fn of(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            service: Target::parse(SERVICE, options)?,
            progress: SERVICE.required(options, PROGRESS_PATH)?.into(),
        })
    }
}

#[cfg(test)]
mod tests {

    use tidemill_connectors_api::Options;

    use super::WebhookOptions;

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
            assert_eq!(parsed.service.authorization.as_ref().unwrap(), header);
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
}

//! The `WITH` options that this connector knows.
//!
//! No others come here: the planner refuses what nobody takes.

use tidemill_connectors_api::{ConnectorOptions, DeliverySpec, Error, Options, SinkKind};
use tidemill_connectors_http::target::{Kind, Target};

use crate::invalid;

const INDEX: &str = "index";
const API_KEY: &str = "api.key";
const CREATE: &str = "create";
const SERVER: Kind<'_> = Kind {
    connector: "search",
    of: "a server of OpenSearch or Elasticsearch",
    token: API_KEY,
    scheme: "ApiKey",
};
/// How long the name of an index may be, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The options that there are.
pub fn known() -> ConnectorOptions {
    ConnectorOptions {
        name: SERVER.connector,
        source: vec![],
        sink: [&Target::OPTIONS[..], &[INDEX, API_KEY, CREATE]].concat(),
        target: INDEX,
        sinks: SinkKind::Delivered { formats: &["json"] },
    }
}

/// Where a sink brings its rows.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// The server.
    pub server: Target,
    /// An index, or an alias of one.
    pub index: String,
    /// Makes the index if it is not there.
    pub create: bool,
}

impl SearchOptions {
    /// Reads a sink's options.
    pub fn parse(spec: &DeliverySpec<'_>) -> Result<Self, Error> {
        Self::of(spec.options)
            .map_err(|wrong| invalid(format!("sink '{}': {}", spec.name, wrong.message)))
    }

    fn of(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            server: Target::parse(SERVER, options)?,
            index: index(SERVER.required(options, INDEX)?)?,
            create: match options.get(CREATE).map(String::as_str) {
                None | Some("true") => true,
                Some("false") => false,
                Some(other) => {
                    return Err(invalid(format!(
                        "'{CREATE}' is '{other}'; it is 'true' or 'false'"
                    )));
                }
            },
        })
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

#[cfg(test)]
mod tests;

//! How a client makes itself known, as its settings say it: the protocol, the mechanism, and the token of OAUTHBEARER.
//!
//! librdkafka takes everything but a token by its own options. Ours, or where it comes from, travels in the one that it leaves to the
//! application (`sasl.oauthbearer.config`), and is given to each client when it is made.
//! *Promises* that what cannot work, or would send less securely than it looks, is refused before anything connects. *Does not* ask for a
//! token.

use rdkafka::ClientConfig;
use tidemill_connectors_api::{Error, Options};

use crate::oidc::{self, Oidc};
use crate::options::invalid;

/// Our own option, for what librdkafka takes by a call.
pub const TOKEN_OPTION: &str = "sasl.oauthbearer.token";
/// The mechanism that takes it.
pub const OAUTHBEARER: &str = "OAUTHBEARER";
/// Where the settings of a client keep the token. librdkafka does not read it.
const TOKEN: &str = "sasl.oauthbearer.config";
/// Those with a name and a password.
const WITH_PASSWORD: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Checks what the settings of a client have to say of this, and adds the token.
///
/// # Errors
/// `Invalid`: says which option to mend, and no secret.
pub fn configure(what: &str, options: &Options, settings: &mut ClientConfig) -> Result<(), Error> {
    set_grant(what, options, settings)?;
    let wrong = |reason: String| Err(invalid(format!("{what} {reason}")));
    let protocol = protocol(settings);
    let (is_encrypted, logs_in) = match protocol.as_str() {
        "plaintext" => (false, false),
        "ssl" => (true, false),
        "sasl_plaintext" => (false, true),
        "sasl_ssl" => (true, true),
        _ => {
            return wrong(format!(
                "has security.protocol = '{protocol}'; it is one of 'plaintext', 'ssl', 'sasl_plaintext' and 'sasl_ssl'"
            ));
        }
    };
    let set = |start: &str| options.keys().find(|name| name.starts_with(start));
    if let Some(name) = set("sasl.").filter(|_| !logs_in) {
        return wrong(format!(
            "has '{name}' but security.protocol = '{protocol}', which tells the brokers nothing of it; set it to 'sasl_ssl'"
        ));
    }
    if let Some(name) = set("ssl.").filter(|_| !is_encrypted) {
        return wrong(format!(
            "has '{name}' but security.protocol = '{protocol}', which encrypts nothing; set it to '{}'",
            if logs_in { "sasl_ssl" } else { "ssl" }
        ));
    }
    if !logs_in {
        return Ok(());
    }
    if options.contains_key("sasl.mechanism") && options.contains_key("sasl.mechanisms") {
        return wrong(
            "has 'sasl.mechanism' and 'sasl.mechanisms', which are one; leave one out".to_owned(),
        );
    }
    let mechanism = mechanism(settings);
    let needed: &[&str] = match mechanism.as_str() {
        OAUTHBEARER => &[TOKEN],
        known if WITH_PASSWORD.contains(&known) => &["sasl.username", "sasl.password"],
        _ => {
            return wrong(format!(
                "has sasl.mechanism = '{mechanism}'; with security.protocol = '{protocol}' it is one of 'PLAIN', 'SCRAM-SHA-256', \
                 'SCRAM-SHA-512' and 'OAUTHBEARER'"
            ));
        }
    };
    let missing = needed
        .iter()
        .find(|name| settings.get(name).unwrap_or_default().is_empty());
    match missing {
        None => Ok(()),
        Some(&name) => {
            let name = match name {
                TOKEN => "sasl.oauthbearer.token', or 'sasl.oauthbearer.method",
                name => name,
            };
            wrong(format!(
                "lacks '{name}', which sasl.mechanism = '{mechanism}' needs; add it"
            ))
        }
    }
}

/// How a client comes by its token.
pub enum Grant {
    /// It was given it.
    Token(String),
    /// It asks a server.
    Oidc(Oidc),
}

/// How a client with these settings comes by its token.
pub fn grant(settings: &ClientConfig) -> Grant {
    let set = settings.get(TOKEN).unwrap_or_default();
    // No token is JSON.
    serde_json::from_str(set).map_or_else(|_| Grant::Token(set.to_owned()), Grant::Oidc)
}

fn set_grant(what: &str, options: &Options, settings: &mut ClientConfig) -> Result<(), Error> {
    let token = options.get(TOKEN_OPTION);
    let method = options.get(oidc::METHOD).map_or("default", String::as_str);
    let wrong = |reason: String| Err(invalid(format!("{what} {reason}")));
    match (method, token) {
        ("oidc", Some(_)) => wrong(format!(
            "has '{TOKEN_OPTION}' and {} = 'oidc', which asks for one; leave one out",
            oidc::METHOD
        )),
        ("oidc", None) if mechanism(settings) != OAUTHBEARER => wrong(format!(
            "has {} = 'oidc', which is for sasl.mechanism = '{OAUTHBEARER}'; set that",
            oidc::METHOD
        )),
        ("oidc", None) => {
            let oidc = Oidc::parse(what, options)?;
            let text =
                serde_json::to_string(&oidc).expect("texts and paths that were texts are JSON");
            settings.set(TOKEN, text);
            Ok(())
        }
        ("default", token) => {
            if let Some(name) = oidc::OPTIONS
                .iter()
                .find(|name| options.contains_key(**name))
            {
                return wrong(format!(
                    "has '{name}', which only {} = 'oidc' needs; set that, or leave it out",
                    oidc::METHOD
                ));
            }
            if let Some(token) = token {
                settings.set(TOKEN, token);
            }
            Ok(())
        }
        (other, _) => wrong(format!(
            "has {} = '{other}'; it is 'default', with '{TOKEN_OPTION}', or 'oidc'",
            oidc::METHOD
        )),
    }
}

/// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`, or what else the settings have.
pub fn protocol(settings: &ClientConfig) -> String {
    let set = settings.get("security.protocol").unwrap_or("plaintext");
    set.to_ascii_lowercase()
}

/// The SASL mechanism, in the case that Kafka has it; empty where the settings name none.
pub fn mechanism(settings: &ClientConfig) -> String {
    let set = ["sasl.mechanism", "sasl.mechanisms"].map(|name| settings.get(name));
    let set = set.into_iter().flatten().next().unwrap_or_default();
    set.to_ascii_uppercase()
}

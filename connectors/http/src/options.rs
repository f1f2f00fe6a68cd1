//! The values of options that connectors over HTTP have in common: a URL, a time, a file of a certificate and that of its key, a login.
//!
//! Messages name the option, and show nothing of a URL that may have a password in it.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidemill_connectors_api::{Error, Options};
use ureq::http::{HeaderValue, Uri};

use crate::client::{Trust, authorization};
use crate::invalid;

/// A file in PEM of authorities to trust.
pub const CA_LOCATION: &str = "ssl.ca.location";
/// A file in PEM with this client's certificates, its own first.
pub const CERTIFICATE_LOCATION: &str = "ssl.certificate.location";
/// A file in PEM with the key of that certificate. (`key` alone is the key of a sink's rows.)
pub const KEY_LOCATION: &str = "ssl.key.location";

/// What a URL is of, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Url<'a> {
    /// The option that it stands in.
    pub option: &'a str,
    /// What should answer there: `a registry`.
    pub of: &'a str,
    /// The options that a name and a password belong into.
    pub login: &'a str,
}

impl Url<'_> {
    /// Reads it: `http://…` or `https://…`, without a '/' at its end.
    ///
    /// # Errors
    /// `Invalid` if it is none, or has something secret in it.
    pub fn parse(self, text: &str) -> Result<String, Error> {
        let Self { option, of, login } = self;
        if text.contains('@') {
            return Err(invalid(format!(
                "'{option}' has a user or password in it, which would stand in plans and logs; move them to {login}"
            )));
        }
        let no_url = |why: &str| {
            invalid(format!(
                "'{option}' is no URL of {of}: {why}; write it as 'https://host:port/path'"
            ))
        };
        let uri: Uri = text.parse().map_err(|_| no_url("it cannot be read"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(no_url(
                "it begins neither with 'https://' nor with 'http://'",
            ));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(no_url("it has no host"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(no_url("it has a '?' or '#' in it"));
        }
        Ok(text.trim_end_matches('/').to_owned())
    }
}

/// Reads a time such as `10 s`, above zero and up to a number of minutes; none if it is no such time.
#[must_use]
pub fn length_of_time(text: &str, minutes_max: u64) -> Option<Duration> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit_ms = match text[split..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        _ => 0,
    };
    let count = text[..split].parse::<u64>().unwrap_or(0);
    let time = Duration::from_millis(count.saturating_mul(unit_ms));
    (!time.is_zero() && time <= Duration::from_secs(60 * minutes_max)).then_some(time)
}

/// Reads a [`length_of_time`] that an option has.
///
/// # Errors
/// `Invalid` if it is none, or too long.
pub fn timeout(option: &str, text: &str, minutes_max: u64) -> Result<Duration, Error> {
    length_of_time(text, minutes_max).ok_or_else(|| {
        invalid(format!(
            "'{option}' is '{text}'; give a number and a unit of 'ms', 's' or 'min', such as '10 s', up to {minutes_max} min"
        ))
    })
}

/// The files of a client's certificates and of its key, from the options with these names: both or none.
///
/// # Errors
/// `Invalid` if only one is there.
pub fn identity(
    names: [&str; 2],
    files: [Option<&str>; 2],
) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    match files {
        [None, None] => Ok(None),
        [Some(certificate), Some(key)] => Ok(Some((certificate.into(), key.into()))),
        _ => Err(invalid(format!(
            "'{}' and '{}' go together; add the other one",
            names[0], names[1]
        ))),
    }
}

/// Whom to trust, and by what to be known, from the options that connectors have for it: [`CA_LOCATION`] and its like.
///
/// # Errors
/// As [`identity`].
pub fn trust(options: &Options) -> Result<Trust, Error> {
    let get = |name: &str| options.get(name).map(String::as_str);
    let names = [CERTIFICATE_LOCATION, KEY_LOCATION];
    Ok(Trust {
        ca: get(CA_LOCATION).map(Into::into),
        identity: identity(names, names.map(get))?,
    })
}

/// The header of a login by name and password, from the options with these names: both or none.
///
/// # Errors
/// `Invalid` if only one is there, or the name is none.
pub fn basic(names: [&str; 2], login: [Option<&str>; 2]) -> Result<Option<HeaderValue>, Error> {
    let [user, password] = names;
    match login {
        [None, None] => Ok(None),
        [Some(name), Some(_)] if name.contains(':') => Err(invalid(format!(
            "'{user}' has a ':' in it, which no name can have; give the password in '{password}'"
        ))),
        [Some(name), Some(secret)] => {
            let pair = STANDARD.encode(format!("{name}:{secret}"));
            Ok(authorization("Basic", &pair))
        }
        _ => Err(invalid(format!(
            "'{user}' and '{password}' go together; add the other one"
        ))),
    }
}

/// The header of a login by a token, or whatever a scheme calls it.
///
/// # Errors
/// `Invalid` if it is none.
pub fn token(option: &str, scheme: &str, text: &str) -> Result<HeaderValue, Error> {
    let text = text.trim();
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let header = authorization(scheme, text).filter(|_| is_token);
    header.ok_or_else(|| {
        invalid(format!(
            "'{option}' is empty or has blanks in it; give it alone, as it was handed out"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::{Url, identity, timeout};

    #[test]
    fn a_url_is_read_or_refused_without_being_shown() {
        let url = Url {
            option: "url",
            of: "a server",
            login: "'user'",
        };
        assert_eq!(
            url.parse("https://host:9200/search/").unwrap(),
            "https://host:9200/search"
        );
        for (wrong, why) in [
            ("https://me:hunter2@host", "move them to 'user'"),
            ("host:9200", "begins neither"),
            ("ftp://host", "begins neither"),
            ("https://host/?q=hunter2", "'?' or '#'"),
            ("http://ho st/", "cannot be read"),
        ] {
            let said = url.parse(wrong).unwrap_err().message;
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_time_has_a_unit_and_a_bound() {
        assert_eq!(timeout("timeout", "90 s", 2).unwrap().as_secs(), 90);
        assert_eq!(timeout("timeout", "5ms", 2).unwrap().as_millis(), 5);
        for wrong in ["", "0 s", "3 min", "10", "ten s", "99999999999999999999 s"] {
            let said = timeout("timeout", wrong, 2).unwrap_err().message;
            assert!(said.ends_with("up to 2 min"), "{said}");
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert_eq!(identity(["a", "b"], [None, None]).unwrap(), None);
        let both = identity(["a", "b"], [Some("c.pem"), Some("k.pem")]).unwrap();
        assert_eq!(both, Some(("c.pem".into(), "k.pem".into())));
        let said = identity(["a", "b"], [Some("c.pem"), None]).unwrap_err();
        assert_eq!(said.message, "'a' and 'b' go together; add the other one");
    }
}

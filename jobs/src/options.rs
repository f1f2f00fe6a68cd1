//! The options of a `WITH`: `${ENV}` and secrets in values, lists, lengths of time, and which of them are secret.

use crate::dialect::duration;

pub use tidemill_types::options::Options;

/// Begins the name of a file whose text is meant.
pub const FILE: &str = "file:";
/// Begins the name of a file whose bytes are meant, in base64.
pub const BASE64: &str = "base64:";

/// Reads one variable of the environment, or a file.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Begins the name of a secret: what `secret('name')` is in a value.
pub const SECRET: &str = "secret:";

/// Fetches a secret, or says why there is none and what to do.
pub type Secrets<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// For who has none.
///
/// # Errors
/// Always.
pub fn no_secrets(name: &str) -> Result<String, String> {
    Err(format!(
        "there is no secret '{name}' here; give the value itself"
    ))
}

/// The value that stands for a secret; nothing if that is no name of one.
#[must_use]
pub fn secret(name: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = !name.is_empty() && !name.starts_with('.') && name.chars().all(legal);
    is_name.then(|| format!("${{{SECRET}{name}}}"))
}

/// True if a value has a secret in it.
#[must_use]
pub fn has_secret(value: &str) -> bool {
    value.contains(&format!("${{{SECRET}"))
}

const SECRET_WORDS: [&str; 8] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "key.pem",
    "access.key",
    "sasl.jaas",
];

/// True if an option of that name must not be shown.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase().replace(['_', '-'], ".");
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// A value as it may be shown: a URL loses its user and password.
#[must_use]
pub fn shown(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => value.to_owned(),
    }
}

/// Replaces `${NAME}` and `${NAME:-default}` in a value, and `${file:PATH}` and `${base64:PATH}` by what a file holds; the environment answers
/// all of them; and `${secret:NAME}` by a secret. The error says what is wrong with the value.
pub fn resolve(
    value: &str,
    environment: Environment<'_>,
    secrets: Secrets<'_>,
) -> Result<String, String> {
    let mut resolved = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        resolved.push_str(&rest[..start]);
        let reference = &rest[start + 2..];
        let end = reference
            .find('}')
            .ok_or("'${' without '}'; write ${NAME} or ${NAME:-default}")?;
        let (name, default) = match reference[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&reference[..end], None),
        };
        if let Some(name) = reference[..end].strip_prefix(SECRET) {
            if secret(name).is_none() {
                return Err(format!(
                    "'{name}' names no secret: use a-z, A-Z, 0-9, '.', '_' and '-', and no default"
                ));
            }
            resolved.push_str(&secrets(name)?);
            rest = &reference[end + 1..];
            continue;
        }
        match (environment(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => resolved.push_str(&value),
            (None, Some(default)) => resolved.push_str(default),
            (None, None) if name.starts_with(FILE) || name.starts_with(BASE64) => {
                return Err(format!(
                    "'{name}' cannot be read; name a file, from the folder of the job on"
                ));
            }
            (None, None) => {
                return Err(format!(
                    "the environment has no '{name}'; set it, or give a default: ${{{name}:-default}}"
                ));
            }
        }
        rest = &reference[end + 1..];
    }
    resolved.push_str(rest);
    Ok(resolved)
}

/// The parts of a list such as `a, b`.
pub fn list(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Milliseconds of an option's text such as `30 s`; the error says what is expected.
pub fn milliseconds(name: &str, text: &str) -> Result<i64, String> {
    duration::milliseconds(text, None).ok_or_else(|| {
        format!(
            "option '{name}' is '{text}'; expected {}",
            duration::EXPECTED
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{has_secret, is_secret, no_secrets, resolve, secret, shown};

    fn environment(name: &str) -> Option<String> {
        (name == "HOST").then(|| "broker".to_owned())
    }

    #[test]
    fn references_to_the_environment_are_replaced() {
        let resolve = |value| resolve(value, &environment, &no_secrets);
        assert_eq!(resolve("a-${HOST}:9092"), Ok("a-broker:9092".to_owned()));
        assert_eq!(
            resolve("${PORT:-9092}${HOST:-x}"),
            Ok("9092broker".to_owned())
        );
        assert_eq!(resolve("plain $ {}"), Ok("plain $ {}".to_owned()));
        assert!(resolve("${PORT}").is_err_and(|error| error.contains("'PORT'")));
        assert!(resolve("${PORT").is_err());
        assert_eq!(
            resolve("${file:a.avsc}"),
            Err(
                "'file:a.avsc' cannot be read; name a file, from the folder of the job on"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_secret_is_put_in_as_it_is() {
        let vault = |name: &str| match name {
            "a.b" => Ok("p${HOST}w".to_owned()),
            _ => no_secrets(name),
        };
        let resolve = |value: &str| resolve(value, &environment, &vault);
        let value = secret("a.b").expect("is a name");
        assert!(has_secret(&value));
        assert_eq!(resolve(&value), Ok("p${HOST}w".to_owned()));
        assert!(resolve("${secret:c}").is_err_and(|said| said.contains("'c'")));
        assert!(resolve("${secret:a.b:-x}").is_err_and(|said| said.contains("no default")));
        for name in ["", "../a", "a}", "a b"] {
            assert_eq!(secret(name), None, "{name}");
        }
    }

    #[test]
    fn secrets_are_told_by_their_name() {
        for name in [
            "sasl.password",
            "ssl.key.pem",
            "API_TOKEN",
            "client-secret",
            "aws_access_key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["topic", "key", "bootstrap.servers", "path"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_user() {
        assert_eq!(
            shown("postgres://me:pw@host/db?x=a@b"),
            "postgres://***@host/db?x=a@b"
        );
        assert_eq!(shown("http://host/path@x"), "http://host/path@x");
        assert_eq!(shown("127.0.0.1:9092"), "127.0.0.1:9092");
    }
}

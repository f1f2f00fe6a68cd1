//! What a failure means: to the caller, and to one record.
//!
//! By PostgreSQL's own codes (SQLSTATE, its manual's appendix A): their class says whether the data is wrong, the settings, or the moment.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use tidemill_connectors_api::Error;
use tidemill_connectors_http::client::excerpt;
use tidemill_types::ErrorKind;
use tokio_postgres::error::{DbError, SqlState};

/// What happened to a step.
#[derive(Debug)]
pub enum Failure {
    /// The client says it, or the server through it.
    Postgres(tokio_postgres::Error),
    /// The server says it where its log is read.
    Server(ServerError),
    /// It took too long.
    Late(Duration),
    /// No socket, no address.
    Io(io::Error),
    /// What was asked for must not be, or cannot: in words that end in what to do.
    Refused(String),
}

/// What a server says, as its protocol has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    /// Its words, with the detail if there is one.
    pub words: String,
}

/// What a code of PostgreSQL means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A record is not taken, whoever gives it and however often.
    Record,
    /// A person has to change something: what, in words.
    Invalid(&'static str),
    /// It may be otherwise a moment later.
    Retry,
}

/// What a code means.
pub fn meaning(code: &str) -> Meaning {
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        // Values, constraints, a second row of a key, views with check, sizes; and what triggers raise.
        ("21" | "22" | "23" | "44" | "54", _) | (_, "P0001") => Meaning::Record,
        (_, "42501") => Meaning::Invalid("grant it to the option 'user', or name another one"),
        (_, "42P01" | "42703" | "42804" | "42P10" | "3F000") => Meaning::Invalid(
            "put the table back as it was when the sink was opened: it is looked at again and what is missing is named",
        ),
        ("28", _) => Meaning::Invalid(
            "look at the options 'user', 'password', 'tls' and 'ssl.certificate.location', and at the server's pg_hba.conf",
        ),
        (_, "3D000") => Meaning::Invalid("make the database, or name another one in 'url'"),
        ("0A" | "42" | "0L" | "2B" | "3B" | "F0", _) | (_, "55000") => Meaning::Invalid(MENDED),
        _ => Meaning::Retry,
    }
}

impl Failure {
    /// Why a record is not taken, in PostgreSQL's words; else the failure, which is not about one.
    pub fn into_reason(self) -> Result<String, Self> {
        let Self::Postgres(error) = &self else {
            return Err(self);
        };
        match error.as_db_error() {
            Some(error) if meaning(error.code().code()) == Meaning::Record => Ok(words(error)),
            _ => Err(self),
        }
    }

    /// The code that the server gave it.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.code().map(SqlState::code),
            Self::Server(error) => Some(&error.code),
            Self::Late(_) | Self::Io(_) | Self::Refused(_) => None,
        }
    }

    /// The error of the port: what could not be done, for which sink or source, why, and what to do.
    pub fn into_error(self, whose: &str, action: &str) -> Error {
        let (kind, why, advice) = match &self {
            Self::Postgres(error) => judged(error),
            Self::Server(error) => judged_code(&error.code, &excerpt(&error.words)),
            Self::Late(within) => {
                let why = format!("there was no answer within {} s", within.as_secs_f64());
                (ErrorKind::Retry, why, RETRIED)
            }
            Self::Io(error) => (ErrorKind::Retry, error.to_string(), RETRIED),
            Self::Refused(why) => {
                let message = format!("{whose}: {why}");
                return Error::new(ErrorKind::Invalid, message);
            }
        };
        Error::new(kind, format!("{whose} cannot {action}: {why}; {advice}"))
    }
}

const MENDED: &str = "mend it at the server; it goes on by itself";
const RETRIED: &str = "it is tried again; look at the server and the way to it if this stays";

fn judged_code(code: &str, words: &str) -> (ErrorKind, String, &'static str) {
    let why = format!("{words} (SQLSTATE {code})");
    match meaning(code) {
        Meaning::Retry => (ErrorKind::Retry, why, RETRIED),
        Meaning::Invalid(advice) => (ErrorKind::Invalid, why, advice),
        // Said of a statement that brings no record.
        Meaning::Record => (ErrorKind::Invalid, why, MENDED),
    }
}

fn judged(error: &tokio_postgres::Error) -> (ErrorKind, String, &'static str) {
    if let Some(error) = error.as_db_error() {
        return judged_code(error.code().code(), &words(error));
    }
    let why = chain(error);
    if let Some(tls) = within::<rustls::Error>(error) {
        let why = format!("by TLS, {tls}");
        return (
            ErrorKind::Invalid,
            why,
            "name the authority of the server's certificate by 'ssl.ca.location', the host as the certificate does, and where the server asks for one the job's 'ssl.certificate.location' and 'ssl.key.location'",
        );
    }
    match error.to_string().as_str() {
        // The client's errors of these kinds have no name but this.
        "error performing TLS handshake" if why.contains("does not support TLS") => (
            ErrorKind::Invalid,
            why,
            "turn TLS on at the server (ssl = on), or say tls = 'off' where nobody listens on the way",
        ),
        "invalid configuration" | "authentication error" => (
            ErrorKind::Invalid,
            why,
            "look at the options 'user' and 'password'",
        ),
        _ => (ErrorKind::Retry, why, RETRIED),
    }
}

/// PostgreSQL's words of an error, on one line.
fn words(error: &DbError) -> String {
    match error.detail() {
        Some(detail) => excerpt(&format!("{}: {detail}", error.message())),
        None => excerpt(error.message()),
    }
}

/// An error with its causes.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        said = format!("{said}: {next}");
        cause = next.source();
    }
    excerpt(&said)
}

/// An error of a type among the causes of one; those that `io` wraps are causes, too.
fn within<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref::<E>() {
        return Some(found);
    }
    if let Some(inner) = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        return within::<E>(inner);
    }
    error.source().and_then(within::<E>)
}

#[cfg(test)]
mod tests {
    use super::{Meaning, meaning};

    #[test]
    fn a_code_says_whose_fault_it_is() {
        for code in [
            "22003", "22P05", "23505", "23514", "21000", "54000", "P0001",
        ] {
            assert_eq!(meaning(code), Meaning::Record, "{code}");
        }
        for code in [
            "57P01", "57P03", "40001", "40P01", "53300", "08006", "57014", "55P03", "25006",
            "XX000",
        ] {
            assert_eq!(meaning(code), Meaning::Retry, "{code}");
        }
        for code in [
            "42P01", "42703", "42501", "28P01", "28000", "3D000", "0A000",
        ] {
            assert!(matches!(meaning(code), Meaning::Invalid(_)), "{code}");
        }
    }
}

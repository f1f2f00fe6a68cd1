//! What a failure means to the caller.
//!
//! By the first word of Redis's own errors, which is their code: whether a person has to change something, or a moment has to pass. What is
//! wrong with one record never comes here: a step tells that in its answer.

use std::io;
use std::time::Duration;

use redis::ServerError;
use tidemill_connectors_api::Error;
use tidemill_connectors_http::client::excerpt;
use tidemill_types::ErrorKind;

/// What happened to a step.
#[derive(Debug)]
pub enum Failure {
    /// The server says so.
    Server { code: String, words: String },
    /// It took too long.
    Late(Duration),
    /// No socket, no address, or a connection that ended.
    Io(io::Error),
    /// Who is there cannot be trusted, or does not trust the job.
    Untrusted(String),
    /// What is there does not speak as Redis does.
    Garbage(String),
    /// What was asked for must not be, or cannot: in words that end in what to do.
    Refused(String),
}

const RETRIED: &str = "it is tried again; look at the server and the way to it if this stays";
const UNANSWERED: &str = "it is tried again; look at the server, the way to it, and whether it has TLS there ('rediss://') or not ('redis://') if this stays";
const OTHERWISE: &str = "mend it at the server; the sink goes on by itself";

/// What an error of the server means, and what to do.
fn meaning(code: &str, words: &str) -> (ErrorKind, &'static str) {
    use ErrorKind::{Invalid, Retry};
    match code {
        "WRONGPASS" | "NOAUTH" => (Invalid, "look at the options 'user' and 'password'"),
        "NOPERM" => (
            Invalid,
            "let the user of the option 'user' run the commands that docs/connectors/redis.md names, on all keys that begin with 'key.prefix'",
        ),
        "DENIED" => (
            Invalid,
            "give the server a password, and the job that one in 'password'",
        ),
        "READONLY" => (Invalid, "it is a replica; name the primary in 'url'"),
        "MOVED" | "ASK" | "CROSSSLOT" => (
            Invalid,
            "it is a node of a cluster; name a server in 'url' that is none",
        ),
        "OOM" => (
            Retry,
            "it is tried again; raise the server's 'maxmemory', or take keys away",
        ),
        "MISCONF" => (Retry, "it is tried again; look at the server's disk"),
        "ERR" if words.contains("max number of clients") => (Retry, RETRIED),
        "ERR" if words.contains("DB index") => {
            (Invalid, "name a database in 'url' that the server has")
        }
        "ERR" if words.contains("AUTH") => (Invalid, "look at the options 'user' and 'password'"),
        "ERR" => (Invalid, OTHERWISE),
        // It loads, runs a script of somebody else, waits for replicas.
        _ => (Retry, RETRIED),
    }
}

impl Failure {
    /// What the server said.
    pub fn server(error: &ServerError) -> Self {
        let code = error.code().to_owned();
        let words = match error.details() {
            Some(details) => format!("{code} {details}"),
            None => code.clone(),
        };
        Self::Server { code, words }
    }

    /// What became of a socket in a step that may take so long; what TLS does not allow is wrapped in that.
    pub fn of_io(error: io::Error, within: Duration) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::Late(within);
        }
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Self::Untrusted(tls.to_string()),
            None => Self::Io(error),
        }
    }

    /// The same without a secret that the server may have repeated: it does with what it does not understand.
    pub fn without(self, secret: &str) -> Self {
        match self {
            Self::Server { code, words } if words.contains(secret) => {
                let words = format!("{code} (with the password in its words)");
                Self::Server { code, words }
            }
            failure => failure,
        }
    }

    /// True if the server does not let this user do it.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Server { code, .. } if code == "NOPERM")
    }

    /// The error of the port: what could not be done at which sink, why, and what to do.
    pub fn into_error(self, sink: &str, action: &str) -> Error {
        let (kind, why, advice) = match self {
            Self::Server { code, words } => {
                let (kind, advice) = meaning(&code, &words);
                (kind, excerpt(&words), advice)
            }
            Self::Late(within) => {
                let why = format!("there was no answer within {} s", within.as_secs_f64());
                (ErrorKind::Retry, why, UNANSWERED)
            }
            Self::Io(error) if is_end(&error) => {
                let why = format!("the connection ended ({})", excerpt(&error.to_string()));
                (ErrorKind::Retry, why, UNANSWERED)
            }
            Self::Io(error) => (ErrorKind::Retry, excerpt(&error.to_string()), RETRIED),
            Self::Untrusted(why) => (
                ErrorKind::Invalid,
                format!("by TLS, {}", excerpt(&why)),
                "name the authority of the server's certificate by 'ssl.ca.location', the host as the certificate does, and where the server asks for one the job's 'ssl.certificate.location' and 'ssl.key.location'; where there is no TLS write 'redis://'",
            ),
            Self::Garbage(why) => (
                ErrorKind::Invalid,
                format!("what answers is no Redis: {}", excerpt(&why)),
                "mend 'url'",
            ),
            Self::Refused(why) => {
                return Error::new(ErrorKind::Invalid, format!("sink '{sink}': {why}"));
            }
        };
        let message = format!("sink '{sink}' cannot {action}: {why}; {advice}");
        Error::new(kind, message)
    }
}

/// True if the server hung up.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use tidemill_types::ErrorKind;

    use super::{Failure, meaning};

    #[test]
    fn a_code_says_whether_a_person_has_to_do_something() {
        for code in [
            "WRONGPASS",
            "NOAUTH",
            "NOPERM",
            "DENIED",
            "READONLY",
            "MOVED",
            "CROSSSLOT",
            "ERR",
        ] {
            assert_eq!(meaning(code, "").0, ErrorKind::Invalid, "{code}");
        }
        for code in [
            "OOM",
            "MISCONF",
            "LOADING",
            "BUSY",
            "NOREPLICAS",
            "MASTERDOWN",
            "UNKNOWN",
        ] {
            assert_eq!(meaning(code, "").0, ErrorKind::Retry, "{code}");
        }
        let full = meaning("ERR", "ERR max number of clients reached");
        assert_eq!(full.0, ErrorKind::Retry);
    }

    #[test]
    fn what_the_server_repeats_of_a_password_is_not_shown() {
        let failure = Failure::Server {
            code: "ERR".to_owned(),
            words: "ERR unknown command 'AUTH', with args beginning with: 'hunter2'".to_owned(),
        };
        let said = failure
            .without("hunter2")
            .into_error("s", "connect")
            .message;
        assert!(!said.contains("hunter2"), "{said}");
    }
}

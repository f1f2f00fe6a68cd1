//! What an error of librdkafka means to the caller.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;

use crate::context::Refusal;
use crate::options::shown;

/// What a caller must do about an error code. What is not known to be final is worth another try.
pub const fn kind_of(code: RDKafkaErrorCode) -> ErrorKind {
    use RDKafkaErrorCode as Code;
    match code {
        Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced => ErrorKind::Fenced,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::MessageSizeTooLarge
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::SecurityDisabled => ErrorKind::Invalid,
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage => ErrorKind::Corrupt,
        _ => ErrorKind::Retry,
    }
}

/// The error for a failed `action` ("commit to kafka at 'host:9092'").
pub fn failed(action: &str, error: &KafkaError) -> Error {
    if let KafkaError::ClientConfig(_, reason, name, value) = error {
        return Error::new(
            ErrorKind::Invalid,
            format!(
                "cannot {action}: option '{name}' = '{}': {reason}; change it",
                shown(name, value)
            ),
        );
    }
    if let KafkaError::ClientCreation(reason) = error {
        return Error::new(
            ErrorKind::Invalid,
            format!("cannot {action}: {reason}; change the options of the connector"),
        );
    }
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    };
    let kind = code.map_or(ErrorKind::Retry, kind_of);
    Error::new(kind, format!("cannot {action}: {error}; {}", advice(kind)))
}

/// The error for an `action` of a client that the brokers do not let in, or that does not trust them: says which options to look at.
pub fn refused(action: &str, refusal: &Refusal) -> Error {
    let Refusal { code, reason } = refusal;
    let has = |words: &[&str]| words.iter().any(|words| reason.contains(words));
    if has(&["token endpoint"]) {
        return Error::new(ErrorKind::Invalid, format!("cannot {action}: {reason}"));
    }
    let options = if *code != RDKafkaErrorCode::SSL {
        "'sasl.mechanism', and 'sasl.username' and 'sasl.password' or 'sasl.oauthbearer.token'"
    } else if has(&["verify failed", "could not be verified"]) {
        "'ssl.ca.location' (or 'ssl.ca.pem'), and that 'bootstrap.servers' has the name that stands in the brokers' certificate"
    } else if has(&["certificate required", "bad certificate", "unknown ca"]) {
        "'ssl.certificate.location' and 'ssl.key.location': the brokers want a certificate that they know"
    } else {
        "'security.protocol', and whether 'bootstrap.servers' names a port for TLS"
    };
    Error::new(
        ErrorKind::Invalid,
        format!("cannot {action}: {reason}; check {options}"),
    )
}

/// What to do next.
pub const fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Fenced => "a newer process of the job took over, this one exits",
        ErrorKind::Invalid => {
            "change the options of the connector, or the rights and settings on the brokers"
        }
        ErrorKind::Corrupt => "check the brokers' logs and disks, a record cannot be read",
        ErrorKind::Retry | ErrorKind::Data | ErrorKind::Bug => {
            "it is tried again; look at the brokers if this stays"
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};
    use rdkafka::types::RDKafkaConfRes;
    use tidemill_types::ErrorKind;

    use super::{failed, refused};
    use crate::context::Refusal;

    #[test]
    fn an_option_that_librdkafka_refuses_is_named_and_a_secret_is_not_shown() {
        let said = |name: &str| {
            let result = RDKafkaConfRes::RD_KAFKA_CONF_INVALID;
            let (reason, value) = ("no".to_owned(), "hunter2".to_owned());
            let error = KafkaError::ClientConfig(result, reason, name.to_owned(), value);
            failed("read", &error).message
        };
        assert!(said("client.id").contains("'client.id' = 'hunter2'"));
        for secret in ["sasl.password", "ssl.key.pem", "sasl.oauthbearer.config"] {
            let said = said(secret);
            assert!(said.contains(secret) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_refusal_names_the_options_that_it_is_about() {
        for (code, reason, option) in [
            (RDKafkaErrorCode::Authentication, "bad", "'sasl.password'"),
            (
                RDKafkaErrorCode::SSL,
                "certificate verify failed",
                "'ssl.ca.location'",
            ),
            (
                RDKafkaErrorCode::SSL,
                "alert certificate required",
                "'ssl.key.location'",
            ),
            (
                RDKafkaErrorCode::SSL,
                "wrong version number",
                "'security.protocol'",
            ),
        ] {
            let reason = reason.to_owned();
            let error = refused("look", &Refusal { code, reason });
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.message.contains(option), "{error}");
        }
    }
}

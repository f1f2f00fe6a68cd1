//! Telling a broker who one is, by the mechanism that the settings name.

use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use openssl::hash::MessageDigest;
use rdkafka::ClientConfig;

use super::connection::Connection;
use super::scram::Exchange;
use super::{Failure, refused};
use crate::login::{self, Grant};

/// How many random bytes a nonce has.
const NONCE_BYTES: usize = 24;

/// Logs in over a connection on which nothing else was asked yet.
pub fn log_in(connection: &mut Connection, settings: &ClientConfig) -> Result<(), Failure> {
    let mechanism = login::mechanism(settings);
    let handshake =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from(mechanism.clone()));
    refused(connection.call(&handshake, 1)?.error_code)?;
    let setting = |name| settings.get(name).unwrap_or_default();
    let (user, password) = (setting("sasl.username"), setting("sasl.password"));
    match mechanism.as_str() {
        "PLAIN" => {
            answer(connection, format!("\0{user}\0{password}"))?;
            Ok(())
        }
        "SCRAM-SHA-256" => scram(connection, MessageDigest::sha256(), user, password),
        "SCRAM-SHA-512" => scram(connection, MessageDigest::sha512(), user, password),
        "OAUTHBEARER" => {
            // RFC 7628: a token, and nothing about whose it is.
            let token = token(settings)?;
            let told = answer(connection, format!("n,,\x01auth=Bearer {token}\x01\x01"))?;
            if told.is_empty() {
                Ok(())
            } else {
                Err(Failure::Login(
                    "the brokers do not accept the token".to_owned(),
                ))
            }
        }
        other => Err(Failure::Security(format!("sasl.mechanism = '{other}'"))),
    }
}

fn token(settings: &ClientConfig) -> Result<String, Failure> {
    let oidc = match login::grant(settings) {
        Grant::Token(token) => return Ok(token),
        Grant::Oidc(oidc) => oidc,
    };
    let asked = oidc.client().and_then(|client| oidc.ask(&client));
    asked
        .map(|token| token.text)
        .map_err(|error| Failure::Login(error.message))
}

fn scram(
    connection: &mut Connection,
    digest: MessageDigest,
    user: &str,
    password: &str,
) -> Result<(), Failure> {
    let mut nonce = [0; NONCE_BYTES];
    openssl::rand::rand_bytes(&mut nonce)?;
    let nonce = openssl::base64::encode_block(&nonce);
    let exchange = Exchange::new(digest, user, password, nonce);
    let challenge = answer(connection, exchange.first())?;
    let proof = exchange.prove(&challenge)?;
    let told = answer(connection, proof.message.clone())?;
    proof.check(&told)
}

/// The broker's answer to a message.
fn answer(connection: &mut Connection, message: String) -> Result<String, Failure> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into_bytes().into());
    let answer = connection.call(&request, 1)?;
    if answer.error_code != 0 {
        // Of what the broker says only whether: its words may repeat what was sent.
        return Err(match refused(answer.error_code) {
            Err(Failure::Refused(code)) => Failure::Login(code.to_string()),
            _ => Failure::Protocol("the login was refused for an unknown reason".to_owned()),
        });
    }
    String::from_utf8(answer.auth_bytes.to_vec())
        .map_err(|_| Failure::Protocol("the broker's answer to a login is no text".to_owned()))
}

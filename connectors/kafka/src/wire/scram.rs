//! The client's side of SCRAM (RFC 5802, RFC 7677): proving that one knows a password, and that the broker knows it, without sending it.
//!
//! As the brokers have it: without channel binding, and names and passwords as they are (Kafka prepares neither by SASLprep).

use openssl::base64::{decode_block, encode_block};
use openssl::hash::{MessageDigest, hash};
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use super::Failure;

/// No channel binding, nobody else's identity; and the same in base64.
const HEADER: &str = "n,,";
const HEADER_BASE64: &str = "biws";
/// Fewer rounds than any broker keeps (RFC 7677), and more than one would make a client do.
const ROUNDS: std::ops::RangeInclusive<usize> = 4_096..=1_000_000;

/// An exchange, from the client's first message on.
pub struct Exchange<'a> {
    digest: MessageDigest,
    password: &'a str,
    nonce: String,
    /// The client's first message without the header.
    first: String,
}

/// The client's last message, and how the broker must answer it.
pub struct Proof {
    /// What is sent.
    pub message: String,
    /// What the broker signs with if it knows the password, too.
    expected: Vec<u8>,
}

impl<'a> Exchange<'a> {
    /// `nonce` is printable, without a comma, and never the same again.
    pub fn new(digest: MessageDigest, user: &str, password: &'a str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self {
            digest,
            password,
            first: format!("n={user},r={nonce}"),
            nonce,
        }
    }

    /// The first message.
    pub fn first(&self) -> String {
        format!("{HEADER}{}", self.first)
    }

    /// The last message, to the broker's first one.
    pub fn prove(&self, challenge: &str) -> Result<Proof, Failure> {
        let nonce = attribute(challenge, "r")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(not_scram(
                "the broker's nonce does not go on from the client's",
            ));
        }
        let salt = decode_block(attribute(challenge, "s")?)?;
        let rounds = attribute(challenge, "i")?.parse().ok();
        let Some(rounds) = rounds.filter(|rounds| ROUNDS.contains(rounds)) else {
            return Err(not_scram("the broker asks for an unusual number of rounds"));
        };
        let mut salted = vec![0; self.digest.size()];
        pbkdf2_hmac(
            self.password.as_bytes(),
            &salt,
            rounds,
            self.digest,
            &mut salted,
        )?;
        let last = format!("c={HEADER_BASE64},r={nonce}");
        let signed = format!("{},{challenge},{last}", self.first);
        let client_key = self.sign(&salted, b"Client Key")?;
        let stored_key = hash(self.digest, &client_key)?;
        let signature = self.sign(&stored_key, signed.as_bytes())?;
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = self.sign(&salted, b"Server Key")?;
        Ok(Proof {
            message: format!("{last},p={}", encode_block(&proof)),
            expected: self.sign(&server_key, signed.as_bytes())?,
        })
    }

    fn sign(&self, key: &[u8], what: &[u8]) -> Result<Vec<u8>, Failure> {
        let key = PKey::hmac(key)?;
        Ok(Signer::new(self.digest, &key)?.sign_oneshot_to_vec(what)?)
    }
}

impl Proof {
    /// Whether the broker's last message shows that it knows the password.
    pub fn check(&self, answer: &str) -> Result<(), Failure> {
        let signature = decode_block(attribute(answer, "v")?)?;
        let is_right = signature.len() == self.expected.len()
            && openssl::memcmp::eq(&signature, &self.expected);
        if is_right {
            Ok(())
        } else {
            Err(not_scram("the broker does not know the user's password"))
        }
    }
}

fn attribute<'a>(message: &'a str, name: &str) -> Result<&'a str, Failure> {
    let mut attributes = message.split(',').filter_map(|part| part.split_once('='));
    let found = attributes.find(|(found, _)| *found == name);
    found
        .map(|(_, value)| value)
        .ok_or_else(|| not_scram("the broker's message is incomplete"))
}

fn not_scram(reason: &str) -> Failure {
    Failure::Protocol(format!("{reason}; it may be no broker of Kafka"))
}

#[cfg(test)]
mod tests {
    use openssl::hash::MessageDigest;

    use super::Exchange;

    /// RFC 5802, section 5, and RFC 7677, section 3.
    #[test]
    fn the_examples_of_the_standards_come_out() {
        let exchange = Exchange::new(
            MessageDigest::sha256(),
            "user",
            "pencil",
            "rOprNGfwEbeRWgbNEkqO".to_owned(),
        );
        assert_eq!(exchange.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = exchange
            .prove("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
            .unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof
            .check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
            .unwrap();
        assert!(
            proof
                .check("v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
                .is_err()
        );

        let nonce = "fyko+d2lbbFgONRv9qkxdawL".to_owned();
        let exchange = Exchange::new(MessageDigest::sha1(), "user", "pencil", nonce);
        let challenge = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let proof = exchange.prove(challenge).unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        proof.check("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").unwrap();
    }

    #[test]
    fn a_broker_that_is_none_is_found_out() {
        let exchange = Exchange::new(MessageDigest::sha256(), "a,b=c", "secret", "abc".to_owned());
        assert_eq!(exchange.first(), "n,,n=a=2Cb=3Dc,r=abc");
        for challenge in [
            "",
            "r=abc,s=QSXCR+Q6sek8bf92,i=4096",
            "r=xyz123,s=QSXCR+Q6sek8bf92,i=4096",
            "r=abc1,s=QSXCR+Q6sek8bf92,i=1",
            "r=abc1,s=QSXCR+Q6sek8bf92,i=99999999999",
            "r=abc1,s=!,i=4096",
            "e=other-error",
        ] {
            let failure = exchange.prove(challenge).err().unwrap();
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }
}

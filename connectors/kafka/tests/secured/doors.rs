//! A broker with a door for each way in which clients make themselves known.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tidemill_tests_broker::{Broker, Setup};

use crate::certificates;

/// What the broker knows the job by.
pub const USER: &str = "job";
pub const PASSWORD: &str = "of-the-user";
/// `{"alg":"none"}` and `{"sub":"job","exp":4102444800}`, which a broker without a validator of its own takes.
pub const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2IiLCJleHAiOjQxMDI0NDQ4MDB9.";

/// The doors, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// TLS; whoever trusts the broker may come in.
    Tls,
    /// TLS; only who has a certificate.
    Mutual,
    /// TLS and SASL.
    Login,
    /// SASL alone.
    OpenLogin,
}

pub struct Secured {
    pub broker: Broker,
    folder: PathBuf,
}

impl Secured {
    /// Where clients find a door.
    pub fn door(&self, door: Door) -> String {
        self.broker.door(door as usize)
    }

    /// Where a certificate lies.
    pub fn certificate(&self, name: &str) -> String {
        certificates::path(&self.folder, name).display().to_string()
    }

    /// Where the client's keystore lies.
    pub fn keystore(&self) -> String {
        self.folder.join("client.p12").display().to_string()
    }
}

/// The broker that the tests of this process share.
pub fn shared() -> &'static Secured {
    static SECURED: OnceLock<Secured> = OnceLock::new();
    SECURED.get_or_init(|| {
        let data = |name| {
            let name = format!("{name}-{}", std::process::id());
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
        };
        let folder = data("kafka-certificates");
        certificates::make(&folder);
        let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .map(|mechanism| format!("{mechanism}=[name={USER},password={PASSWORD}]"))
            .join(" ");
        let setup = Setup {
            variables: &[("KAFKA_SCRAM", &users)],
            doors: 4,
            properties: &|ports| properties(&folder, ports),
        };
        let broker = Broker::start(&data("kafka-secured"), &setup).unwrap();
        Secured { broker, folder }
    })
}

fn properties(folder: &Path, ports: &[u16]) -> String {
    let names = [
        "PLAINTEXT",
        "CONTROLLER",
        "TLS",
        "MUTUAL",
        "LOGIN",
        "OPENLOGIN",
    ];
    let listeners: Vec<_> = names
        .iter()
        .zip(ports)
        .map(|(name, port)| format!("{name}://127.0.0.1:{port}"))
        .collect();
    let advertised: Vec<_> = names
        .iter()
        .zip(ports)
        .filter(|(name, _)| **name != "CONTROLLER")
        .map(|(name, port)| format!("{name}://localhost:{port}"))
        .collect();
    let module = "org.apache.kafka.common.security";
    let logins: String = ["login", "openlogin"]
        .map(|door| {
            format!(
                "listener.name.{door}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
listener.name.{door}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;
listener.name.{door}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;
listener.name.{door}.oauthbearer.connections.max.reauth.ms=20000
listener.name.{door}.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";
"
            )
        })
        .concat();
    format!(
        "listeners={}
advertised.listeners={}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL,MUTUAL:SSL,LOGIN:SASL_SSL,OPENLOGIN:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.mutual.ssl.client.auth=required
{logins}",
        listeners.join(","),
        advertised.join(","),
        certificates::path(folder, "broker").display(),
        certificates::path(folder, "ca").display(),
    )
}

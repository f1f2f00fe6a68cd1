//! The connector against a real Kafka that lets in only whom it knows: by TLS, by certificates, and by every mechanism of SASL that there is.
//!
//! Catches: a way in that does not work for one of the clients of a job (readers, the transactional producer, the administration, and our own
//! connections to the coordinator), and what is said where there is no way in. Cannot catch: what other brokers than Apache's do.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

#[path = "secured/certificates.rs"]
mod certificates;
#[path = "secured/doors.rs"]
mod doors;
#[path = "secured/tokens.rs"]
mod tokens;

use std::time::{Duration, Instant};

use doors::{Door, PASSWORD, Secured, TOKEN, USER, shared};
use tidemill_connectors_api::{
    Committer, Connector, EpochOutput, Error, Options, OutputRecords, SinkSpec, Source, SourceSpec,
};
use tidemill_connectors_kafka::Kafka;
use tidemill_connectors_kafka::tools::{Bulk, TopicSpec, create_topics, read_topic};
use tidemill_types::{Epoch, ErrorKind};
use tokens::{CLIENT_SECRET, Tokens};

/// How long a job may take to say that it is not let in.
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(30);

type Pairs<'a> = Vec<(&'a str, String)>;

fn options(secured: &Secured, topic: &str, door: Door, more: &Pairs<'_>) -> Options {
    let base = [
        ("topic", topic.to_owned()),
        ("bootstrap.servers", secured.door(door)),
    ];
    let all = base.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn source(options: &Options) -> Result<Box<dyn Source>, Error> {
    Kafka.source(&SourceSpec::new("secured", "input", options))
}

fn committer(job: &str, options: &Options) -> Box<dyn Committer> {
    let sink = SinkSpec {
        name: "output".to_owned(),
        options: options.clone(),
        compacted: false,
    };
    Kafka.committer(job, &[sink]).unwrap()
}

fn epoch(number: u64, records: &[(Vec<u8>, Vec<u8>)]) -> EpochOutput {
    let mut output = OutputRecords::default();
    for (key, value) in records {
        output.push(key, Some(value));
    }
    EpochOutput {
        epoch: Epoch(number),
        sinks: vec![output],
        journal: format!("journal {number}").into_bytes(),
        source_offsets: Vec::new(),
    }
}

/// What a job does: reads its input, becomes the owner of its output twice, commits each record once, and is fenced.
fn reads_and_writes_exactly_once(name: &str, door: Door, more: &Pairs<'_>) {
    let secured = shared();
    let (input, output) = (format!("{name}-in"), format!("{name}-out"));
    let specs = [&input, &output].map(|name| TopicSpec {
        name,
        partitions: 1,
        settings: Vec::new(),
    });
    create_topics(&secured.broker.bootstrap(), &specs).unwrap();
    let mut producer = Bulk::new(&secured.broker.bootstrap()).unwrap();
    for number in 0..100 {
        let value = number.to_string();
        producer
            .produce(
                &input,
                Some(0),
                Some(value.as_bytes()),
                Some(value.as_bytes()),
            )
            .unwrap();
    }
    producer.flush().unwrap();

    let mut reader = source(&options(secured, &input, door, more)).unwrap();
    assert_eq!(reader.describe("").unwrap().partitions, [0]);
    reader.open(&[(0, None)]).unwrap();
    let mut records = Vec::new();
    let deadline = Instant::now() + REFUSAL_WAIT_MAX;
    while records.len() < 100 {
        assert!(Instant::now() < deadline, "{} records came", records.len());
        let mut batches = Vec::new();
        reader
            .poll(Duration::from_millis(100), 1 << 20, &mut batches)
            .unwrap();
        for batch in &batches {
            let of_batch = batch.records.iter();
            records.extend(of_batch.map(|record| {
                let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
                (bytes(record.key), bytes(record.value))
            }));
        }
    }

    let sink = options(secured, &output, door, more);
    let mut first = committer(name, &sink);
    first.fence().unwrap();
    first.claim(Epoch(0), b"claim").unwrap();
    first.commit(&[epoch(1, &records[..50])]).unwrap();
    let mut second = committer(name, &sink);
    second.fence().unwrap();
    assert_eq!(second.read_journal(Epoch(0)).unwrap().len(), 2);
    let late = first.commit(&[epoch(2, &records[50..])]).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced, "{late}");
    second.commit(&[epoch(2, &records[50..])]).unwrap();
    second.fence().unwrap();

    let mut written = Vec::new();
    read_topic(&secured.broker.bootstrap(), &output, true, |record| {
        written.push((
            record.key.to_vec(),
            record.value.unwrap_or_default().to_vec(),
        ));
    })
    .unwrap();
    assert_eq!(written, records);
}

fn trusting(secured: &Secured, protocol: &str) -> Pairs<'static> {
    vec![
        ("security.protocol", protocol.to_owned()),
        ("ssl.ca.location", secured.certificate("ca")),
    ]
}

fn with_password(mechanism: &str) -> Pairs<'static> {
    vec![
        ("sasl.mechanism", mechanism.to_owned()),
        ("sasl.username", USER.to_owned()),
        ("sasl.password", PASSWORD.to_owned()),
    ]
}

fn with_certificate(secured: &Secured) -> Pairs<'static> {
    vec![
        ("ssl.certificate.location", secured.certificate("client")),
        ("ssl.key.location", secured.certificate("client-key")),
        ("ssl.key.password", certificates::PASSWORD.to_owned()),
    ]
}

#[test]
fn over_tls() {
    reads_and_writes_exactly_once("tls", Door::Tls, &trusting(shared(), "ssl"));
}

#[test]
fn over_tls_with_everything_in_the_options_themselves() {
    let secured = shared();
    let text = |name| std::fs::read_to_string(secured.certificate(name)).unwrap();
    let inline = vec![
        ("security.protocol", "SSL".to_owned()),
        ("ssl.ca.pem", text("ca")),
        ("ssl.certificate.pem", text("client")),
        ("ssl.key.pem", text("client-key")),
        ("ssl.key.password", certificates::PASSWORD.to_owned()),
    ];
    reads_and_writes_exactly_once("inline", Door::Mutual, &inline);
}

#[test]
fn over_tls_with_a_certificate_of_the_client() {
    let secured = shared();
    let all = [trusting(secured, "ssl"), with_certificate(secured)].concat();
    reads_and_writes_exactly_once("mutual", Door::Mutual, &all);
}

#[test]
fn over_tls_with_a_keystore_of_the_client() {
    let secured = shared();
    let keystore = vec![
        ("ssl.keystore.location", secured.keystore()),
        ("ssl.keystore.password", certificates::PASSWORD.to_owned()),
    ];
    let all = [trusting(secured, "ssl"), keystore].concat();
    reads_and_writes_exactly_once("keystore", Door::Mutual, &all);
}

#[test]
fn over_tls_with_a_name_and_a_password() {
    let secured = shared();
    for (name, mechanism) in [
        ("plain", "PLAIN"),
        ("scram-256", "SCRAM-SHA-256"),
        ("scram-512", "SCRAM-SHA-512"),
    ] {
        let all = [trusting(secured, "sasl_ssl"), with_password(mechanism)].concat();
        reads_and_writes_exactly_once(name, Door::Login, &all);
    }
}

#[test]
fn over_tls_with_a_token() {
    let token = vec![
        ("sasl.mechanism", "OAUTHBEARER".to_owned()),
        ("sasl.oauthbearer.token", TOKEN.to_owned()),
    ];
    let all = [trusting(shared(), "sasl_ssl"), token].concat();
    reads_and_writes_exactly_once("token", Door::Login, &all);
}

fn from(tokens: &Tokens, secret: &str) -> Pairs<'static> {
    let mut all = trusting(shared(), "sasl_ssl");
    all.extend([
        ("sasl.mechanism", "OAUTHBEARER".to_owned()),
        ("sasl.oauthbearer.method", "oidc".to_owned()),
        ("sasl.oauthbearer.token.endpoint.url", tokens.url()),
        ("sasl.oauthbearer.client.id", "the job".to_owned()),
        ("sasl.oauthbearer.client.secret", secret.to_owned()),
        (
            "sasl.oauthbearer.scope",
            "kafka:read kafka:write".to_owned(),
        ),
    ]);
    all
}

#[test]
fn over_tls_with_tokens_from_a_server() {
    let tokens = Tokens::lasting(Duration::from_secs(300));
    reads_and_writes_exactly_once("oidc", Door::Login, &from(&tokens, CLIENT_SECRET));
    let asked = tokens.asked();
    let body = "grant_type=client_credentials&scope=kafka%3Aread%20kafka%3Awrite";
    assert!(asked.iter().all(|asked| asked == body), "{asked:?}");
}

#[test]
fn a_token_is_replaced_before_it_runs_out_while_the_job_reads() {
    let (secured, tokens) = (shared(), Tokens::lasting(Duration::from_secs(6)));
    let spec = TopicSpec {
        name: "replaced",
        partitions: 1,
        settings: Vec::new(),
    };
    create_topics(&secured.broker.bootstrap(), &[spec]).unwrap();
    let options = options(
        secured,
        "replaced",
        Door::Login,
        &from(&tokens, CLIENT_SECRET),
    );
    let mut reader = source(&options).unwrap();
    reader.open(&[(0, None)]).unwrap();
    let mut producer = Bulk::new(&secured.broker.bootstrap()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut batches = Vec::new();
    // By the third one the first is over, and so is what the broker let the connection live for.
    while tokens.asked().len() < 3 {
        assert!(Instant::now() < deadline, "{:?}", tokens.asked());
        reader
            .poll(Duration::from_millis(100), 1 << 20, &mut batches)
            .unwrap();
    }
    producer
        .produce("replaced", Some(0), None, Some(b"late"))
        .unwrap();
    producer.flush().unwrap();
    while batches.iter().all(|batch| batch.records.is_empty()) {
        assert!(Instant::now() < deadline, "the record does not come");
        reader
            .poll(Duration::from_millis(100), 1 << 20, &mut batches)
            .unwrap();
    }
}

#[test]
fn a_client_that_the_server_of_tokens_does_not_know_is_told_so() {
    let tokens = Tokens::lasting(Duration::from_secs(300));
    let all = from(&tokens, "not-the-password");
    is_refused(Door::Login, &all, "'sasl.oauthbearer.client.secret'");
}

#[test]
fn a_server_of_tokens_that_is_away_is_named() {
    let mut all = from(&Tokens::lasting(Duration::from_secs(300)), CLIENT_SECRET);
    for (name, value) in &mut all {
        if *name == "sasl.oauthbearer.token.endpoint.url" {
            "http://127.0.0.1:9/token".clone_into(value);
        }
    }
    let options = options(shared(), "nothing", Door::Login, &all);
    let error = source(&options).unwrap().describe("").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(error.message.contains("token endpoint"), "{error}");
}

#[test]
fn with_a_name_and_a_password_and_no_encryption() {
    let mut all = vec![("security.protocol", "sasl_plaintext".to_owned())];
    all.extend(with_password("SCRAM-SHA-256"));
    reads_and_writes_exactly_once("open-login", Door::OpenLogin, &all);
}

/// That a source and a committer with these options are refused in time, as the options' fault, with a hint at one of them, and no secret.
fn is_refused(door: Door, more: &Pairs<'_>, hint: &str) {
    let secured = shared();
    let options = options(secured, "nothing", door, more);
    let since = Instant::now();
    let of_source = source(&options).unwrap().describe("").unwrap_err();
    let of_sink = committer("refused", &options)
        .read_journal(Epoch(0))
        .unwrap_err();
    assert!(since.elapsed() < REFUSAL_WAIT_MAX, "{:?}", since.elapsed());
    for error in [of_source, of_sink] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let text = error.to_string();
        assert!(text.contains(hint), "{text}");
        for secret in ["not-the-password", "not.a.token", certificates::PASSWORD] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn a_wrong_password_is_said_to_be_wrong() {
    let secured = shared();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut all = trusting(secured, "sasl_ssl");
        all.extend([
            ("sasl.mechanism", mechanism.to_owned()),
            ("sasl.username", USER.to_owned()),
            ("sasl.password", "not-the-password".to_owned()),
        ]);
        is_refused(Door::Login, &all, "'sasl.password'");
    }
}

#[test]
fn a_wrong_token_is_said_to_be_wrong() {
    let mut all = trusting(shared(), "sasl_ssl");
    all.extend([
        ("sasl.mechanism", "OAUTHBEARER".to_owned()),
        ("sasl.oauthbearer.token", "not.a.token".to_owned()),
    ]);
    is_refused(Door::Login, &all, "'sasl.oauthbearer.token'");
}

#[test]
fn a_broker_of_another_authority_is_not_trusted() {
    let all = vec![
        ("security.protocol", "ssl".to_owned()),
        ("ssl.ca.location", shared().certificate("other-ca")),
    ];
    is_refused(Door::Tls, &all, "'ssl.ca.location'");
}

#[test]
fn a_missing_certificate_of_the_client_is_asked_for() {
    let all = trusting(shared(), "ssl");
    is_refused(Door::Mutual, &all, "'ssl.certificate.location'");
}

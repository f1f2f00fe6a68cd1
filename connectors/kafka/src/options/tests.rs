//! Options that are passed on, those that are refused, and what is said then.

use std::collections::BTreeSet;
use std::time::Duration;

use tidemill_connectors_api::{ConnectorOptions, Error, Options, SinkSpec, SourceSpec};
use tidemill_types::ErrorKind;

use rdkafka::ClientConfig;

use super::{CONNECTION, CONSUMER, CommitterOptions, PRODUCER, SourceOptions, duration, known};
use crate::login::{Grant, grant};

fn options(pairs: &[(&str, &str)]) -> Options {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn sink(name: &str, pairs: &[(&str, &str)]) -> SinkSpec {
    SinkSpec {
        name: name.to_owned(),
        options: options(pairs),
        compacted: true,
    }
}

fn message<T>(result: Result<T, Error>) -> String {
    let error = result.err().expect("the options are wrong");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.message
}

const BASE: [(&str, &str); 2] = [("topic", "t"), ("bootstrap.servers", "b:1")];

#[test]
fn a_source_takes_its_own_options_and_those_of_librdkafka() {
    let own = [
        ("topic.wait", "30 s"),
        ("fetch.wait.max.ms", "7"),
        ("group.id", "g"),
    ];
    let options = options(&[&BASE[..], &own].concat());
    let source = SourceOptions::parse(&SourceSpec::new("job", "s", &options)).unwrap();
    assert_eq!(
        (source.topics.to_string().as_str(), source.topic_wait),
        ("t", Duration::from_secs(30))
    );
    assert_eq!(source.client.get("fetch.wait.max.ms"), Some("7"));
    assert_eq!(source.client.get("group.id"), Some("g"));
    assert_eq!(source.client.get("isolation.level"), Some("read_committed"));
}

#[test]
fn options_that_load_code_or_break_a_promise_are_not_known() {
    for name in [
        "plugin.library.paths",
        "ssl.engine.location",
        "ssl.providers",
        "sasl.kerberos.kinit.cmd",
        "isolation.level",
        "enable.auto.commit",
        "auto.offset.reset",
        "acks",
        "enable.idempotence",
        "partitioner",
        "debug",
    ] {
        let ConnectorOptions { source, sink, .. } = known();
        assert!(!source.contains(&name) && !sink.contains(&name), "{name}");
    }
}

#[test]
fn the_sinks_of_a_job_share_a_producer_and_may_not_disagree_about_it() {
    let a = sink(
        "a",
        &[&BASE[..], &[("linger.ms", "9"), ("partitions", "2")]].concat(),
    );
    let b = sink(
        "b",
        &[&BASE[..1], &[("bootstrap.servers", "other:1")]].concat(),
    );
    assert!(
        message(CommitterOptions::parse("job", &[a.clone(), b]))
            .contains("give all of them the same 'bootstrap.servers'")
    );
    let c = sink("c", &BASE);
    let committer = CommitterOptions::parse("job", &[a, c]).unwrap();
    assert_eq!(
        committer
            .sinks
            .iter()
            .map(|sink| sink.partitions)
            .collect::<Vec<_>>(),
        [2, 4]
    );
    assert_eq!(committer.journal_topic, "tidemill.journal.job");
    assert_eq!(committer.producer.get("linger.ms"), Some("9"));
    assert_eq!(
        committer.producer.get("transactional.id"),
        Some("tidemill-job")
    );
    assert_eq!(committer.transaction_timeout, Duration::from_secs(60));
}

#[test]
fn a_secret_never_shows_in_an_error() {
    let a = sink("a", &[&BASE[..], &[("sasl.password", "hunter2")]].concat());
    let b = sink(
        "b",
        &[&BASE[..], &[("sasl.password", "swordfish")]].concat(),
    );
    let message = message(CommitterOptions::parse("job", &[a, b]));
    assert!(
        message.contains("sasl.password")
            && !message.contains("hunter2")
            && !message.contains("swordfish"),
        "{message}"
    );
}

#[test]
fn a_sink_may_not_write_to_the_journal() {
    let a = sink(
        "a",
        &[
            ("topic", "tidemill.journal.job"),
            ("bootstrap.servers", "b:1"),
        ],
    );
    assert!(message(CommitterOptions::parse("job", &[a])).contains("the job's journal"));
}

#[test]
fn lengths_of_time_have_a_unit() {
    assert_eq!(
        duration("x", "y", "250 ms").unwrap(),
        Duration::from_millis(250)
    );
    assert_eq!(
        duration("x", "y", "2min").unwrap(),
        Duration::from_secs(120)
    );
    assert!(message(duration("x", "y", "5")).contains("such as '30 s'"));
}

#[test]
fn librdkafka_knows_every_option_of_the_lists() {
    for name in [&CONNECTION[..], &CONSUMER, &PRODUCER].concat() {
        let mut config = ClientConfig::new();
        let error = config
            .set(name, "no such value")
            .create_native_config()
            .err()
            .map(|e| e.to_string());
        assert!(
            !error
                .as_deref()
                .unwrap_or_default()
                .contains("No such configuration property"),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn what_cannot_work_or_would_send_less_securely_than_it_looks_is_refused() {
    let said = |more: &[(&str, &str)]| {
        let options = options(&[&BASE[..], more].concat());
        message(SourceOptions::parse(&SourceSpec::new("job", "s", &options)))
    };
    for (more, hint) in [
        (&[("sasl.password", "secret")][..], "set it to 'sasl_ssl'"),
        (&[("ssl.ca.location", "ca.pem")], "set it to 'ssl'"),
        (&[("security.protocol", "tls")], "it is one of 'plaintext'"),
        (&[("security.protocol", "sasl_ssl")], "'SCRAM-SHA-512'"),
        (
            &[
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanism", "GSSAPI"),
            ],
            "'SCRAM-SHA-512'",
        ),
        (
            &[
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "job"),
            ],
            "lacks 'sasl.password'",
        ),
        (
            &[
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanism", "oauthbearer"),
            ],
            "lacks 'sasl.oauthbearer.token'",
        ),
        (
            &[
                ("security.protocol", "sasl_plaintext"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "job"),
                ("sasl.password", "secret"),
                ("ssl.ca.location", "ca.pem"),
            ],
            "'ssl.ca.location' but security.protocol = 'sasl_plaintext'",
        ),
    ] {
        let said = said(more);
        assert!(said.contains(hint) && !said.contains("secret"), "{said}");
    }
}

/// The options in the tables below the headings `Options of …` of the connector's page: those of both, of a source, of a sink.
fn documented() -> [BTreeSet<String>; 3] {
    let page = include_str!("../../../../docs/connectors/kafka.md");
    let tables = ["both", "a source", "a sink"].map(|of| {
        let (_, table) = page.split_once(&format!("\n## Options of {of}\n")).unwrap();
        table.split("\n## ").next().unwrap()
    });
    tables.map(|table| {
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let names = rows.flat_map(|row| row.split(" | ").next().unwrap().split(", "));
        names
            .map(|name| name.trim_matches('`').to_owned())
            .collect()
    })
}

#[test]
fn the_page_of_the_connector_has_every_option_that_there_is_and_no_other() {
    let [both, of_source, of_sink] = documented();
    let ConnectorOptions { source, sink, .. } = known();
    let known = |names: Vec<&str>| {
        names
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(known(source), both.union(&of_source).cloned().collect());
    assert_eq!(known(sink), both.union(&of_sink).cloned().collect());
}

#[test]
fn a_token_is_given_or_asked_for_and_what_is_missing_is_named() {
    let login = [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "OAUTHBEARER"),
    ];
    let parse = |more: &[(&str, &str)]| {
        let options = options(&[&BASE[..], &login, more].concat());
        SourceOptions::parse(&SourceSpec::new("job", "s", &options)).map(|parsed| parsed.client)
    };
    let oidc = [
        ("sasl.oauthbearer.method", "oidc"),
        ("sasl.oauthbearer.token.endpoint.url", "https://id/token"),
        ("sasl.oauthbearer.client.id", "job"),
        ("sasl.oauthbearer.client.secret", "hunter2"),
    ];
    let client = parse(&oidc).unwrap();
    assert!(matches!(grant(&client), Grant::Oidc(_)));
    let given = parse(&[("sasl.oauthbearer.token", "a.b.c")]).unwrap();
    assert!(matches!(grant(&given), Grant::Token(token) if token == "a.b.c"));
    let token = ("sasl.oauthbearer.token", "a.b.c");
    for (wrong, told) in [
        (&oidc[..3], "lacks 'sasl.oauthbearer.client.secret'"),
        (&oidc[1..], "only sasl.oauthbearer.method = 'oidc' needs"),
        (&[oidc[0], token], "leave one out"),
        (&[], "'sasl.oauthbearer.method'"),
        (&[("sasl.oauthbearer.method", "x")], "it is 'default'"),
    ] {
        let said = message(parse(wrong));
        assert!(said.contains(told) && !said.contains("hunter2"), "{said}");
    }
}

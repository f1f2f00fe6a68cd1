//! TLS to a real server: whom the job trusts, by what it is known, and what it says where that does not fit.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

mod common;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use common::{Database, Sink};
use tidemill_connectors_api::SourceBatch;
use tidemill_tests_broker::certificates::Certificates;
use tidemill_tests_broker::postgres::{Postgres as Server, Tls};
use tidemill_types::ErrorKind;

fn shared() -> &'static (Certificates, Server) {
    static SHARED: OnceLock<(Certificates, Server)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let files = Certificates::new("certified");
        let server = Server::start(Some(Tls {
            certificate: &files.path("server.pem"),
            key: &files.path("server.key"),
            ca: &files.path("ca.pem"),
        }));
        (files, server.unwrap())
    })
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A sink that reaches the server by its certificate's name and trusts its authority.
fn trusting(database: &Database) -> Sink {
    let url = database.url().replace("127.0.0.1", "localhost");
    let ca = shared().0.path("ca.pem");
    database
        .sink()
        .with("url", &url)
        .with("ssl.ca.location", text(&ca))
}

#[test]
fn a_server_that_the_authority_vouches_for_is_reached() {
    let mut database = Database::on(&shared().1);
    let (_open, _) = trusting(&database).open().unwrap();
    let encrypted = database.ask(
        "SELECT ssl::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tidemill' AND datname = current_database()",
    );
    assert_eq!(encrypted, ["true"]);
}

#[test]
fn the_log_is_read_by_tls_from_who_can_be_trusted_alone() {
    let mut database = Database::on(&shared().1);
    database.run(
        "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1)",
    );
    let url = database.url().replace("127.0.0.1", "localhost");
    let reader = database.reader("t").with("url", &url);
    let error = reader.clone().with("tls", "on").refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("'ssl.ca.location'"), "{error}");
    let ca = shared().0.path("ca.pem");
    let reader = reader.with("ssl.ca.location", text(&ca));
    let mut source = reader.open(None).unwrap();
    let mut batches = Vec::new();
    while batches
        .iter()
        .all(|batch: &SourceBatch| batch.records.is_empty())
    {
        let wait = Duration::from_millis(50);
        source.poll(wait, 1 << 20, &mut batches).unwrap();
    }
    let encrypted = database.ask(
        "SELECT DISTINCT ssl::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tidemill' AND datname = current_database()",
    );
    assert_eq!(encrypted, ["true"]);
}

#[test]
fn a_server_that_cannot_be_trusted_is_not_given_the_password() {
    let database = Database::on(&shared().1);
    let by_address = trusting(&database).with("url", &database.url());
    let mut by_the_world = trusting(&database).with("tls", "on");
    by_the_world.options.remove("ssl.ca.location");
    for (sink, told) in [
        (by_address, "not valid for name"),
        (by_the_world, "UnknownIssuer"),
    ] {
        let error = sink.refusal();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(
            error.message.contains(told) && error.message.contains("'ssl.ca.location'"),
            "{error}"
        );
    }
}

#[test]
fn a_server_without_tls_is_refused_where_it_is_wanted() {
    let sink = Database::new().sink().with("tls", "on");
    let error = sink.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("tls = 'off'"), "{error}");
}

#[test]
fn a_certificate_of_the_job_is_its_login() {
    let (files, server) = shared();
    let mut database = Database::on(server);
    database.run(
        "DO $$ BEGIN CREATE ROLE certified LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN END $$",
    );
    let mut sink = trusting(&database).with("user", "certified");
    sink.options.remove("password");
    let error = sink.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let sink = sink
        .with(
            "ssl.certificate.location",
            text(&files.path("certified.pem")),
        )
        .with("ssl.key.location", text(&files.path("certified.key")));
    sink.open().unwrap();
    let others = sink
        .with("ssl.certificate.location", text(&files.path("server.pem")))
        .with("ssl.key.location", text(&files.path("server.key")));
    let error = others.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn a_file_that_is_none_is_named() {
    let database = Database::on(&shared().1);
    let files = &shared().0;
    for (option, file) in [
        ("ssl.ca.location", "nothing.pem"),
        ("ssl.ca.location", "server.key"),
        ("ssl.key.location", "ca.pem"),
    ] {
        let sink = trusting(&database)
            .with(
                "ssl.certificate.location",
                text(&files.path("certified.pem")),
            )
            .with("ssl.key.location", text(&files.path("certified.key")))
            .with(option, text(&files.path(file)));
        let error = sink.refusal();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(
            error.message.contains(file) && error.message.contains("name another file"),
            "{error}"
        );
    }
}

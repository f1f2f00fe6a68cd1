//! What the options of a sink come to, and what is refused.

use std::time::Duration;

use tidemill_connectors_api::Options;

use super::{SinkOptions, SourceOptions, Trust, known};

const BASE: [(&str, &str); 3] = [
    ("url", "postgresql://127.0.0.1:5432/finance"),
    ("user", "tidemill"),
    ("table", "totals"),
];

fn parse(more: &[(&str, &str)]) -> Result<SinkOptions, String> {
    let all = BASE.iter().chain(more);
    let options: Options = all
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    SinkOptions::parse("s", &options).map_err(|error| error.message)
}

#[test]
fn what_is_left_out_has_its_default() {
    let parsed = parse(&[]).unwrap();
    assert!(parsed.create);
    assert_eq!(parsed.server.timeout, Duration::from_secs(30));
    assert_eq!((parsed.server.port, parsed.server.tls), (5432, None));
    let parsed = parse(&[("url", "postgresql://db.example/finance")]).unwrap();
    assert_eq!(parsed.server.port, 5432);
    assert_eq!(parsed.server.database, "finance");
}

#[test]
fn tls_is_on_but_for_this_machine() {
    for (url, on) in [
        ("postgresql://db.example:5432/x", true),
        ("postgres://10.0.0.7/x", true),
        ("postgresql://localhost/x", false),
        ("postgresql://[::1]:5432/x", false),
    ] {
        let default = parse(&[("url", url)]).unwrap().server.tls;
        assert_eq!(default.is_some(), on, "{url}");
        let off = parse(&[("url", url), ("tls", "off")]).unwrap();
        assert_eq!(off.server.tls, None);
        let by_ca = parse(&[("url", url), ("ssl.ca.location", "ca.pem")]).unwrap();
        let ca = Some("ca.pem".into());
        assert_eq!(by_ca.server.tls, Some(Trust { ca, identity: None }));
    }
}

#[test]
fn a_wrong_option_is_told_with_what_to_do_and_without_a_secret() {
    for (more, told) in [
        (
            ("url", "postgresql://me:hunter2@db/x"),
            "'user', 'password'",
        ),
        (
            ("url", "postgresql://db/x?password=hunter2"),
            "'user', 'password'",
        ),
        (("url", "mysql://db/x"), "postgresql://host:port/database"),
        (
            ("url", "postgresql://db"),
            "postgresql://host:port/database",
        ),
        (
            ("url", "postgresql:///x"),
            "postgresql://host:port/database",
        ),
        (
            ("url", "postgresql://a,b/x"),
            "postgresql://host:port/database",
        ),
        (
            ("url", "postgresql://%2Ftmp/x"),
            "postgresql://host:port/database",
        ),
        (("user", ""), "add user = '…'"),
        (("table", "a.b.c"), "'schema.name'"),
        (("create", "yes"), "it is 'true' or 'false'"),
        (("tls", "prefer"), "it is 'on' or 'off'"),
        (("timeout", "30"), "such as '30 s'"),
        (("timeout", "0 s"), "such as '30 s'"),
        (("timeout", "2 h"), "such as '30 s'"),
        (("ssl.key.location", "key.pem"), "add the other one"),
    ] {
        let said = parse(&[("password", "hunter2"), more]).unwrap_err();
        assert!(said.contains(told) && !said.contains("hunter2"), "{said}");
    }
    let both = parse(&[("tls", "off"), ("ssl.ca.location", "ca.pem")]).unwrap_err();
    assert!(both.contains("leave one of both out"), "{both}");
}

#[test]
fn a_password_is_not_shown() {
    let parsed = parse(&[("password", "hunter2")]).unwrap();
    assert!(!format!("{parsed:?}").contains("hunter2"));
}

#[test]
fn no_option_has_a_name_that_every_sink_has_for_something_else() {
    for name in [
        "connector",
        "format",
        "envelope",
        "key",
        "headers",
        "timestamp",
    ] {
        assert!(!known().sink.contains(&name), "{name}");
        assert!(!known().source.contains(&name), "{name}");
    }
}

#[test]
fn a_slot_has_the_names_of_job_and_source_unless_it_is_named() {
    let parse = |job: &str, more: &[(&str, &str)]| {
        let all = BASE.iter().chain(more);
        let options: Options = all
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        SourceOptions::parse(job, "Pay-ment", &options).map_err(|error| error.message)
    };
    let parsed = parse("my job", &[]).unwrap();
    assert_eq!(parsed.slot, "tidemill_my_job_pay_ment");
    assert!(parsed.snapshot);
    let parsed = parse("j", &[("slot", "s_1"), ("snapshot", "never")]).unwrap();
    assert_eq!((parsed.slot.as_str(), parsed.snapshot), ("s_1", false));
    let long = "x".repeat(60);
    for (job, more) in [("j", ("slot", "A-b")), (&long, ("tls", "off"))] {
        let said = parse(job, &[more]).unwrap_err();
        assert!(said.contains("name one by 'slot'"), "{said}");
    }
    let said = parse("j", &[("snapshot", "always")]).unwrap_err();
    assert!(said.contains("it is 'initial' or 'never'"), "{said}");
}

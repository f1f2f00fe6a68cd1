//! What options come to, and what is said of those that cannot be.

use tidemill_connectors_api::Options;
use tidemill_types::format::Contents;

use super::{Of, SinkOptions, Type};

fn parsed(contents: Contents, more: &[(&str, &str)]) -> Result<SinkOptions, String> {
    let base = [("url", "redis://cache.example"), ("key.prefix", "film:")];
    let given = base.iter().chain(more);
    let options: Options = given
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let key = match contents {
        Contents::States => vec!["id".to_owned()],
        Contents::Rows | Contents::Changes => vec![],
    };
    Of(&options).parse(contents, &key)
}

#[test]
fn a_place_is_read_with_its_defaults() {
    for (url, host, port, database, is_tls) in [
        ("redis://cache.example", "cache.example", 6379, 0, false),
        ("redis://cache.example/", "cache.example", 6379, 0, false),
        ("rediss://10.0.0.7:7000/3", "10.0.0.7", 7000, 3, true),
        ("redis://[::1]:7000/3", "[::1]", 7000, 3, false),
    ] {
        let server = parsed(Contents::States, &[("url", url)]).unwrap().server;
        let found = (server.host.as_str(), server.port, server.database);
        assert_eq!(found, (host, port, database), "{url}");
        assert_eq!(server.tls.is_some(), is_tls, "{url}");
    }
}

#[test]
fn what_a_row_is_kept_as_follows_from_whether_it_has_a_key() {
    let kept_as = |contents, more| parsed(contents, more).unwrap().kept_as;
    assert_eq!(kept_as(Contents::States, &[]), Type::String);
    assert_eq!(kept_as(Contents::States, &[("type", "hash")]), Type::Hash);
    assert_eq!(kept_as(Contents::Rows, &[]), Type::Stream);
    let expiring = parsed(Contents::States, &[("expire", "1 day")]).unwrap();
    assert_eq!(expiring.expire_ms, Some(86_400_000));
}

#[test]
fn wrong_options_are_refused_with_what_to_do() {
    use Contents::{Changes, Rows, States};
    for (contents, more, told) in [
        (States, &[("url", "")][..], "add url ="),
        (States, &[("url", "redis://me:hunter2@host")], "move it to"),
        (States, &[("url", "http://host")], "write it as"),
        (States, &[("url", "unix:///run/redis")], "write it as"),
        (States, &[("url", "redis:///0")], "write it as"),
        (States, &[("url", "redis://host/hunter2")], "write it as"),
        (States, &[("user", "me")], "without a 'password'"),
        (
            States,
            &[("ssl.ca.location", "ca.pem")],
            "write 'rediss://'",
        ),
        (States, &[("type", "list")], "'string', 'hash' or 'stream'"),
        (States, &[("type", "stream")], "use type = 'string'"),
        (Rows, &[("type", "hash")], "or type = 'stream'"),
        (Rows, &[("key.prefix", "")], "the key of the stream"),
        (Rows, &[("expire", "1 day")], "XTRIM"),
        (Changes, &[], "use envelope ="),
        (States, &[("expire", "soon")], "such as '1 day'"),
        (States, &[("expire", "0 s")], "such as '1 day'"),
        (States, &[("expire", "900 years")], "up to 100 years"),
        (States, &[("timeout", "1 h")], "up to 5 min"),
    ] {
        let said = parsed(contents, more).unwrap_err();
        assert!(said.contains(told) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_password_is_not_shown() {
    let login = [("user", "me"), ("password", "hunter2")];
    let parsed = parsed(Contents::States, &login).unwrap();
    assert_eq!(parsed.server.password.as_ref().unwrap().value(), "hunter2");
    assert!(!format!("{parsed:?}").contains("hunter2"));
}

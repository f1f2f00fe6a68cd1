//! What the options may be.

use tidemill_connectors_api::Options;

use super::SearchOptions;

const BASE: [(&str, &str); 2] = [("url", "http://localhost:9200/"), ("index", "films")];

fn options(more: &[(&str, &str)]) -> Options {
    let given = BASE.iter().chain(more);
    given
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn said(more: &[(&str, &str)]) -> String {
    SearchOptions::of(&options(more)).unwrap_err().message
}

#[test]
fn what_is_not_given_has_its_usual_value() {
    let options = SearchOptions::of(&options(&[])).unwrap();
    assert_eq!(options.server.url, "http://localhost:9200");
    assert_eq!(options.index, "films");
    assert_eq!(options.server.authorization, None);
    assert!(options.create);
    assert_eq!(options.server.timeout.as_secs(), 30);
}

#[test]
fn a_login_is_a_header_that_is_not_shown() {
    let by_password = SearchOptions::of(&options(&[("user", "job"), ("password", "hunter2")]));
    let header = by_password
        .as_ref()
        .unwrap()
        .server
        .authorization
        .as_ref()
        .unwrap();
    assert_eq!(header.to_str().unwrap(), "Basic am9iOmh1bnRlcjI=");
    let by_key = SearchOptions::of(&options(&[("api.key", "am9iOmh1bnRlcjI=")])).unwrap();
    let header = by_key.server.authorization.as_ref().unwrap();
    assert_eq!(header.to_str().unwrap(), "ApiKey am9iOmh1bnRlcjI=");
    for shown in [format!("{by_password:?}"), format!("{by_key:?}")] {
        assert!(
            !shown.contains("am9i") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn wrong_options_are_refused_with_what_to_do() {
    for (more, told) in [
        (&[("url", "")][..], "lacks the option 'url'"),
        (&[("index", "")], "lacks the option 'index'"),
        (&[("url", "http://me:hunter2@host")], "move them to 'user'"),
        (&[("user", "job")], "add the other one"),
        (&[("password", "hunter2")], "add the other one"),
        (&[("user", "a:b"), ("password", "hunter2")], "has a ':'"),
        (&[("api.key", "hunter2 x")], "give it alone"),
        (
            &[("api.key", "x"), ("user", "job"), ("password", "hunter2")],
            "leave one out",
        ),
        (&[("ssl.key.location", "key.pem")], "add the other one"),
        (&[("create", "maybe")], "it is 'true' or 'false'"),
        (&[("timeout", "1 h")], "up to 5 min"),
    ] {
        let said = said(more);
        assert!(said.contains(told) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn an_index_has_one_name() {
    for name in [
        "Films",
        "films,actors",
        "films*",
        "_all",
        ".hidden",
        "a b",
        "a/b",
        "<a-{now}>",
    ] {
        let said = said(&[("index", name)]);
        assert!(said.contains("no name of an index"), "{said}");
    }
    for name in ["films", "films-2026.11_b", "фильмы"] {
        assert!(SearchOptions::of(&options(&[("index", name)])).is_ok());
    }
}

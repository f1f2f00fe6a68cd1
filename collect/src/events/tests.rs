//! Bodies, and the events that they have.

use super::{Rules, Shape, Wrong, read};
use crate::settings::Key;

fn rules(shape: Shape, key: &Key) -> Rules<'_> {
    Rules {
        shape,
        key,
        key_of_all: None,
        events_max: 4,
        event_bytes_max: 60,
    }
}

fn texts(shape: Shape, body: &str) -> Result<Vec<&str>, Wrong> {
    let events = read(body.as_bytes(), &rules(shape, &Key::None))?;
    Ok(events.into_iter().map(|event| event.text).collect())
}

fn key(path: &str) -> Key {
    Key::Member(path.split('.').map(str::to_owned).collect())
}

#[test]
fn events_are_taken_byte_for_byte() {
    let odd = r#"{ "a" : 1.50, "a":"\u00e9", "b":[ ] }"#;
    for (shape, body) in [
        (Shape::Json, format!(" {odd}\n")),
        (Shape::Json, format!("[\t{odd} ]")),
        (Shape::Lines, format!("{odd}\r\n")),
        (Shape::Lines, odd.to_owned()),
    ] {
        assert_eq!(texts(shape, &body), Ok(vec![odd]), "{body}");
    }
    let two = Ok(vec!["{}", r#"{"b":1}"#]);
    assert_eq!(texts(Shape::Json, r#"[{},{"b":1}]"#), two);
    assert_eq!(texts(Shape::Lines, "\n{}\n\n{\"b\":1}\n"), two);
    assert_eq!(texts(Shape::Json, "[]"), Ok(Vec::new()));
    assert_eq!(texts(Shape::Lines, "\n"), Ok(Vec::new()));
}

#[test]
fn the_event_that_is_wrong_is_named() {
    let wrong = |shape, body: &str| {
        let wrong = texts(shape, body).unwrap_err();
        (wrong.event, wrong.is_too_large)
    };
    assert_eq!(wrong(Shape::Json, ""), (None, false));
    assert_eq!(wrong(Shape::Json, "7"), (Some(1), false));
    assert_eq!(wrong(Shape::Json, "{} {}"), (Some(1), false));
    assert_eq!(wrong(Shape::Json, "[{},{},7]"), (Some(3), false));
    assert_eq!(wrong(Shape::Json, "[{},{},{]"), (Some(3), false));
    assert_eq!(wrong(Shape::Json, "[{},{}"), (Some(3), false));
    assert_eq!(wrong(Shape::Json, "[{},[{}]]"), (Some(2), false));
    assert_eq!(wrong(Shape::Json, "[{}] []"), (Some(2), false));
    assert_eq!(wrong(Shape::Json, "[{},{},{},{},{}]"), (None, true));
    assert_eq!(wrong(Shape::Lines, "{}\n{}{}\n"), (Some(2), false));
    assert_eq!(wrong(Shape::Lines, "{}\n{}\n{}\n{}\n{}"), (None, true));
    let long = format!(r#"[{{}},{{"a":"{}"}}]"#, "x".repeat(60));
    assert_eq!(wrong(Shape::Json, &long), (Some(2), true));
    let utf8 = read(b"{}\n\xff\n", &rules(Shape::Lines, &Key::None)).unwrap_err();
    assert_eq!(utf8.reason, "line 2 of the body is no UTF-8");
}

#[test]
fn a_key_is_a_member_without_quotes_and_escapes() {
    let of = |path: &str, event: &str| -> Result<String, String> {
        let key = key(path);
        let events = read(event.as_bytes(), &rules(Shape::Json, &key));
        let events = events.map_err(|wrong| wrong.reason)?;
        let bytes = events[0].key.clone().unwrap().into_owned();
        Ok(String::from_utf8(bytes).unwrap())
    };
    assert_eq!(of("id", r#"{"x":{"id":1},"id":"a"}"#), Ok("a".to_owned()));
    assert_eq!(of("id", r#"{"i\u0064":"\u00e9\n"}"#), Ok("é\n".to_owned()));
    assert_eq!(of("id", r#"{"id":-1.50}"#), Ok("-1.50".to_owned()));
    assert_eq!(
        of("a.b", r#"{"b":1,"a":{"c":2,"b":3}}"#),
        Ok("3".to_owned())
    );
    let failed = |path: &str, event: &str| of(path, event).unwrap_err();
    assert!(failed("a.b", r#"{"a":{"c":2}}"#).contains("lacks the member 'a.b'"));
    assert!(failed("a.b", r#"{"a":[1]}"#).contains("'a' is no object"));
    for value in ["null", "true", "{}", "[]"] {
        let event = format!(r#"{{"id":{value}}}"#);
        assert!(
            failed("id", &event).contains("no text and no number"),
            "{value}"
        );
    }
    assert!(failed("id", r#"{"id":1,"id":2}"#).contains("twice"));
    assert!(failed("id", r#"{"id":1,}"#).contains("no JSON"));
    assert!(failed("id", r#"{"id":1,"x":{"y":tru}}"#).contains("no JSON"));
    assert!(failed("id", r#"{"id":"\ud800"}"#).contains("no JSON"));
}

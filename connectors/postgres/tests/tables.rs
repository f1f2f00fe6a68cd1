//! What a table does not take is told, and what a table has to be is said with the SQL that makes it so.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

mod common;

use common::{Database, HISTORY, labelled, parcel};
use tidemill_types::ErrorKind;

#[test]
fn what_breaks_a_constraint_is_told_in_postgresql_s_words_and_the_rest_is_there() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE t (id smallint PRIMARY KEY, label varchar(8) NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED CHECK (label <> 'checked')); \
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not %', NEW.label; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON t FOR EACH ROW WHEN (NEW.label = 'trigger') EXECUTE FUNCTION refuse(); \
         INSERT INTO t VALUES (1, 'theirs'), (2, 'held'); \
         CREATE TABLE other (id smallint REFERENCES t DEFERRABLE INITIALLY DEFERRED); INSERT INTO other VALUES (2)",
    );
    let (mut delivery, _) = database.sink().open().unwrap();
    let mut records = vec![("2".to_owned(), None)];
    let labels = [
        "good",
        "checked",
        "theirs",
        "far too long",
        "trigger",
        "a\0b",
        "fine",
    ];
    records.extend((3..).zip(labels).map(|(id, label)| labelled(id, label)));
    records.push((
        "90000".into(),
        Some(r#"{"id":90000,"label":"range"}"#.into()),
    ));
    records.push(("10".into(), Some(r#"{"id":10,"label":null}"#.into())));
    let rejected = delivery.deliver(&[parcel(1, records)]).unwrap();
    let words = [
        (0, "foreign key constraint"),
        (2, "check constraint"),
        (3, "duplicate key value"),
        (4, "value too long for type character varying(8)"),
        (5, "not trigger"),
        (6, "\\u0000 cannot be converted to text"),
        (8, "smallint out of range"),
        (9, "not-null constraint"),
    ];
    let told = rejected.iter().map(|rejected| rejected.record);
    assert_eq!(told.collect::<Vec<_>>(), words.map(|(record, _)| record));
    for (rejected, (_, words)) in rejected.iter().zip(words) {
        assert!(rejected.reason.contains(words), "{}", rejected.reason);
    }
    let there = database.ask("SELECT id::text, label FROM t ORDER BY id");
    assert_eq!(there, ["1 theirs", "2 held", "3 good", "9 fine"]);
    assert_eq!(delivery.open(HISTORY).unwrap().0, 1);
}

/// What `run: ` says in an error.
fn cure(message: &str) -> &str {
    let (_, sql) = message.split_once("run: ").unwrap();
    &sql[..=sql.rfind(';').unwrap()]
}

#[test]
fn a_table_that_does_not_fit_is_refused_with_the_sql_that_cures_it() {
    let usual = "id bigint PRIMARY KEY, label text";
    for (columns, told) in [
        ("id bigint PRIMARY KEY", "no column \"label\""),
        (
            "id bigint PRIMARY KEY, label integer",
            "which does not hold every value of text",
        ),
        (
            "id bigint PRIMARY KEY, label char(3)",
            "which does not hold every value of text",
        ),
        (
            "id double precision PRIMARY KEY, label text",
            "is double precision",
        ),
        ("id bigint NOT NULL, label text", "unique by (\"id\")"),
        ("id bigint, label text, UNIQUE (id)", "may be null"),
        (
            "id bigint NOT NULL, label text, UNIQUE (id) DEFERRABLE",
            "may be deferred",
        ),
        (
            "id bigint NOT NULL, label text, UNIQUE (id, label)",
            "unique by (\"id\")",
        ),
        (
            "id bigint PRIMARY KEY, label text GENERATED ALWAYS AS ('x') STORED",
            "by the table itself",
        ),
        (&format!("{usual}, more text NOT NULL"), "column \"more\""),
    ] {
        let mut database = Database::new();
        database.run(&format!("CREATE TABLE t ({columns})"));
        let error = database.sink().refusal();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message.contains(told), "{error}");
        database.run(cure(&error.message));
        let (mut delivery, _) = database.sink().open().unwrap();
        let delivered = delivery.deliver(&[parcel(1, [labelled(1, "a")])]);
        assert_eq!(delivered.unwrap(), [], "{columns}");
    }
}

#[test]
fn a_column_whose_collation_takes_different_texts_for_the_same_is_no_key() {
    let mut database = Database::new();
    database.run(
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE t (id bigint, label text COLLATE loose PRIMARY KEY)",
    );
    let mut sink = database.sink();
    sink.key = vec!["label".to_owned()];
    let error = sink.refusal();
    assert!(error.message.contains("collation"), "{error}");
    database.run(cure(&error.message));
    sink.open().unwrap();
}

#[test]
fn views_and_schemas_that_are_not_there_are_refused() {
    let mut database = Database::new();
    database.run("CREATE VIEW t AS SELECT 1::bigint AS id, ''::text AS label");
    let error = database.sink().refusal();
    assert!(error.message.contains("is no table"), "{error}");
    let elsewhere = database.sink().with("table", "elsewhere.t");
    let error = elsewhere.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    database.run(cure(&error.message));
    elsewhere.open().unwrap();
}

#[test]
fn with_create_false_nothing_is_made_and_the_message_has_what_would_be() {
    let mut database = Database::new();
    let sink = database.sink().with("create", "false");
    for table in ["tidemill_deliveries", "t"] {
        let error = sink.refusal();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(
            error
                .message
                .contains(&format!("no table \"public\".\"{table}\"")),
            "{error}"
        );
        assert!(database.ask(&format!("SELECT to_regclass('{table}')::text")) == ["-"]);
        database.run(cure(&error.message));
    }
    sink.open().unwrap();
}

#[test]
fn a_user_who_may_not_is_told_the_grant_that_he_needs() {
    let mut database = Database::new();
    let user = format!("user_of_{}", database.name);
    database.run(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'his'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE TABLE t (id bigint PRIMARY KEY, label text)"
    ));
    let sink = database.sink().with("user", &user).with("password", "his");
    let error = sink.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(
        error
            .message
            .contains("permission denied for schema public"),
        "{error}"
    );
    // Somebody else makes it, and grants one after the other.
    let made = database.sink().with("create", "false").refusal();
    database.run(cure(&made.message));
    for table in ["tidemill_deliveries", "t"] {
        let error = sink.refusal();
        assert!(
            error
                .message
                .contains(&format!("ON \"public\".\"{table}\" TO")),
            "{error}"
        );
        database.run(cure(&error.message));
    }
    sink.open().unwrap();
}

#[test]
fn a_table_that_is_dropped_is_not_made_again_in_silence() {
    let mut database = Database::new();
    let sink = database.sink();
    let (mut delivery, _) = sink.open().unwrap();
    let one = [parcel(1, [labelled(1, "a")])];
    delivery.deliver(&one).unwrap();
    database.run("DROP TABLE t");
    let error = delivery
        .deliver(&[parcel(2, [labelled(2, "b")])])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = delivery.open(HISTORY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("backup"), "{error}");
    assert_eq!(database.ask("SELECT to_regclass('t')::text"), ["-"]);
    database.run(cure(&error.message));
    assert_eq!(delivery.open(HISTORY).unwrap().0, 0);
    delivery.deliver(&one).unwrap();
    assert_eq!(database.ask("SELECT label FROM t"), ["a"]);
}

#[test]
fn a_column_that_goes_away_is_named_when_the_sink_is_opened_again() {
    let mut database = Database::new();
    let sink = database.sink();
    let (mut delivery, _) = sink.open().unwrap();
    database.run("ALTER TABLE t DROP COLUMN label");
    let one = [parcel(1, [labelled(1, "a")])];
    let error = delivery.deliver(&one).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = delivery.open(HISTORY).unwrap_err();
    database.run(cure(&error.message));
    assert_eq!(delivery.open(HISTORY).unwrap().0, 0);
    assert_eq!(delivery.deliver(&one).unwrap(), []);
}

#[test]
fn another_table_is_not_taken_for_the_one_that_was_written() {
    let mut database = Database::new();
    let sink = database.sink();
    let (mut delivery, _) = sink.open().unwrap();
    delivery.deliver(&[parcel(1, [labelled(1, "a")])]).unwrap();
    let renamed = sink.with("table", "renamed");
    let error = renamed.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(
        error.message.contains("wrote \"public\".\"t\" before"),
        "{error}"
    );
    database.run("ALTER TABLE t RENAME TO renamed");
    database.run(cure(&error.message));
    assert_eq!(renamed.open().unwrap().1, 1);
}

#[test]
fn whoever_opened_last_is_the_owner_and_the_one_before_is_told() {
    let mut database = Database::new();
    let sink = database.sink();
    let (mut before, _) = sink.open().unwrap();
    before.deliver(&[parcel(1, [labelled(1, "a")])]).unwrap();
    let (mut owner, epoch) = sink.open().unwrap();
    assert_eq!(epoch, 1);
    let error = before
        .deliver(&[parcel(2, [labelled(1, "late")])])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    owner.deliver(&[parcel(2, [labelled(1, "b")])]).unwrap();
    assert_eq!(database.ask("SELECT label FROM t"), ["b"]);
}

#[test]
fn owners_who_open_and_deliver_at_once_leave_what_one_alone_would() {
    let mut database = Database::new();
    let sink = database.sink();
    let deliver = |number: u64| {
        let parcels: Vec<_> = (1..=20)
            .map(|epoch| parcel(epoch, [labelled(epoch % 5, &epoch.to_string())]))
            .collect();
        for _ in 0..5 {
            let (mut delivery, epoch) = sink.open().unwrap();
            for one in parcels.iter().filter(|parcel| parcel.epoch.0 > epoch) {
                match delivery.deliver(std::slice::from_ref(one)) {
                    Ok(rejected) => assert_eq!(rejected, [], "{number}"),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                        break;
                    }
                }
            }
        }
        let (mut delivery, epoch) = sink.open().unwrap();
        let rest: Vec<_> = parcels
            .into_iter()
            .filter(|parcel| parcel.epoch.0 > epoch)
            .collect();
        let last = delivery.deliver(&rest);
        assert!(last.is_ok() || last.is_err_and(|error| error.kind() == ErrorKind::Fenced));
    };
    std::thread::scope(|scope| {
        let owners = (0..4).map(|number| scope.spawn(move || deliver(number)));
        for owner in owners.collect::<Vec<_>>() {
            owner.join().unwrap();
        }
    });
    assert_eq!(sink.open().unwrap().1, 20);
    let there = database.ask("SELECT label FROM t ORDER BY id");
    assert_eq!(there, ["20", "16", "17", "18", "19"]);
}

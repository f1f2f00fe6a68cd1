//! Plans, and what is said about SQL that has none.

use std::fs;

use tempfile::TempDir;

use crate::{Outcome, call, flagship, text, tidemill};

#[test]
fn the_flagship_has_a_plan_with_all_its_sinks() {
    let plan = call(&["plan", text(&flagship())]).good();
    for topic in [
        "studio.payment",
        "finance.production",
        "finance.payment_audit",
        "finance.dead_letters",
    ] {
        assert!(plan.contains(topic), "'{topic}' is not in:\n{plan}");
    }
    let json = call(&["plan", text(&flagship()), "--json"]).json();
    assert_eq!(
        (&json["name"], &json["text"]),
        (&"studio_finance".into(), &plan.into())
    );
    assert_eq!(json["sources"].as_array().unwrap().len(), 6);
    assert_eq!(json["sinks"].as_array().unwrap().len(), 7);
}

#[test]
fn a_profile_moves_the_flagship_to_files() {
    let mut command = tidemill(&["plan", text(&flagship()), "--profile", "local"]);
    command.env("TIDEMILL_DATA", "/somewhere/else");
    let plan = Outcome::of(command).good();
    assert!(
        plan.contains("/somewhere/else") && !plan.contains("bootstrap"),
        "{plan}"
    );
}

#[test]
fn the_movie_search_reads_a_database_and_keeps_its_password() {
    let job = flagship().with_file_name("movie_search.sql");
    let mut command = tidemill(&["plan", text(&job), "--profile", "search-demo"]);
    command.env("MOVIES_URL", "postgresql://127.0.0.1:5432/movies");
    command.env("MOVIES_PASSWORD", "hunter2");
    command.env("SEARCH_URL", "http://127.0.0.1:9200");
    let plan = Outcome::of(command).good();
    for part in [
        "source deal_changes: postgres, debezium json",
        "sink credit_index: search 'credit', upsert json by id",
        "sink large_deals: files 'movies.large-deals'",
    ] {
        assert!(plan.contains(part), "'{part}' is not in:\n{plan}");
    }
    assert!(!plan.contains("hunter2"), "{plan}");
}

#[test]
fn wrong_sql_ends_with_two_and_its_line_and_column() {
    let folder = TempDir::new().unwrap();
    let job = folder.path().join("wrong.sql");
    fs::write(&job, "CREATE SOURCE s (id BIGINT)\n  WITH (connector = 'files', topic = 's', format = 'json', envelope = 'crud');\nCREATE NONSENSE x;\n").unwrap();
    let outcome = call(&["plan", text(&job)]);
    assert_eq!(outcome.code, Some(2), "{outcome:#?}");
    assert!(
        outcome
            .stderr
            .starts_with(&format!("error: {}:3:", job.display())),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_plan_fetches_no_secret_and_a_run_says_which_is_missing() {
    let folder = TempDir::new().unwrap();
    let job = folder.path().join("job.sql");
    let fetched = folder.path().join("fetched");
    let sql = "CREATE SOURCE s (id BIGINT) WITH (connector = 'kafka', topic = 's', bootstrap.servers = '127.0.0.1:1',
                   security.protocol = 'sasl_ssl', sasl.mechanism = 'PLAIN', sasl.username = 'job', sasl.password = secret('kafka'));
               CREATE STREAM e FROM s;
               CREATE SINK o WITH (connector = 'files', topic = 'o', path = 'o') AS SELECT id FROM e;";
    fs::write(&job, sql).unwrap();
    let command = format!("touch '{}'; echo sealed >&2; exit 1", fetched.display());
    let config = format!("[secrets]\nkafka = {{ command = ['sh', '-c', \"{command}\"] }}\n");
    fs::write(folder.path().join("profiles.toml"), config).unwrap();
    let plan = call(&["plan", text(&job)]).good();
    assert!(
        plan.contains("sasl.username = 'job'") && !plan.contains("sasl.password"),
        "{plan}"
    );
    assert!(!fetched.exists(), "a plan needs no secret");

    let state = folder.path().join("state");
    let outcome = call(&["run", text(&job), "--state-dir", text(&state)]);
    assert_eq!(outcome.code, Some(2), "{outcome:#?}");
    let said = "option 'sasl.password' of 's': the command of the secret 'kafka' failed";
    assert!(
        outcome.stderr.contains(said) && outcome.stderr.contains("sealed"),
        "{}",
        outcome.stderr
    );
    assert!(fetched.exists());
}

#[test]
fn a_profile_that_does_not_exist_is_named_with_those_that_do() {
    let folder = TempDir::new().unwrap();
    let job = folder.path().join("job.sql");
    fs::write(&job, "").unwrap();
    let outcome = call(&["plan", text(&job), "--profile", "local"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome
            .stderr
            .contains("profiles.toml' to take profile 'local' from; name the file with --config"),
        "{}",
        outcome.stderr
    );

    fs::write(
        folder.path().join("profiles.toml"),
        "[profile.near.sources]\nconnector = 'files'\n",
    )
    .unwrap();
    let outcome = call(&["plan", text(&job), "--profile", "local"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome
            .stderr
            .contains("profile 'local': not in the file; it has 'near'"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let outcome = call(&["plan", "nowhere.sql"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome
            .stderr
            .starts_with("error: cannot read 'nowhere.sql': "),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_plan_says_which_registry_it_did_not_ask_and_why() {
    let folder = TempDir::new().unwrap();
    let job = folder.path().join("job.sql");
    let sql = |columns: &str| {
        format!(
            "CREATE SOURCE orders {columns} WITH (connector = 'kafka', bootstrap.servers = 'b:1', topic = 'orders', format = 'avro',\n\
             schema.registry.url = 'https://registry.invalid', schema.registry.bearer.auth.token = secret('registry'));\n\
             CREATE STREAM every_order FROM orders;\n\
             CREATE SINK copies WITH (connector = 'kafka', bootstrap.servers = 'b:1', topic = 'copies') AS SELECT id FROM every_order;\n"
        )
    };
    fs::write(&job, sql("(id BIGINT)")).unwrap();
    let outcome = call(&["plan", text(&job)]);
    for part in [
        "note: source orders: the registry was not asked for 'orders-value'",
        "'schema.registry.bearer.auth.token' is a secret",
    ] {
        assert!(outcome.stderr.contains(part), "{outcome:#?}");
    }
    assert!(outcome.good().contains("contract 'orders-value'"));
    let json = call(&["plan", text(&job), "--json"]).json();
    assert_eq!(json["unasked"].as_array().unwrap().len(), 1);
    fs::write(&job, sql("")).unwrap();
    let refused = call(&["plan", text(&job)]).refused();
    assert!(
        refused.contains("was not asked") && refused.contains("is a secret"),
        "{refused}"
    );
}

//! Golden plans: the text of each plan under `tests/golden/plans`, rewritten by `UPDATE_GOLDEN=1`. They catch any change of a plan, wanted or
//! not; whether a plan computes the right thing, the engine's tests say. Each plan is also held to what `plan.rs` promises.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidemill_jobs::Profile;
use tidemill_jobs::plan::{self, JobPlan, NodeOp};

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn plan(name: &str, sql: &str, profile: &Profile) -> JobPlan {
    common::plan(name, sql, profile, &|_| None).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn small_jobs() -> Vec<(String, String)> {
    let declarations = read(&folder("tests/jobs/declarations.sql"));
    let mut jobs = Vec::new();
    for entry in std::fs::read_dir(folder("tests/jobs")).expect("the folder of small jobs exists") {
        let path = entry.expect("readable").path();
        let name = path
            .file_stem()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        if name != "declarations" {
            jobs.push((name, format!("{declarations}{}", read(&path))));
        }
    }
    jobs.sort();
    jobs
}

fn flagship(profile: Option<&str>) -> JobPlan {
    let profiles = read(&folder("catalog/profiles.toml"));
    let profile = profile.map_or_else(Profile::default, |name| {
        Profile::from_toml(&profiles, name).expect("valid")
    });
    plan(
        "studio_finance",
        &read(&folder("catalog/studio_finance.sql")),
        &profile,
    )
}

fn compare(name: &str, plan: &JobPlan) -> Result<(), String> {
    let path = folder("../tests/golden/plans").join(format!("{name}.txt"));
    let text = plan.to_string();
    #[expect(
        clippy::disallowed_methods,
        reason = "how a person asks for new golden files"
    )]
    let update = std::env::var("UPDATE_GOLDEN").is_ok_and(|update| update == "1");
    if update {
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("can be made");
        std::fs::write(&path, &text).expect("can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = golden
        .lines()
        .zip(text.lines())
        .find(|(golden, text)| golden != text);
    match differs {
        Some((golden, text)) => Err(format!("{name}\n  golden {golden}\n  now    {text}")),
        None if golden != text => Err(format!("{name}: lines were added or taken away")),
        None => Ok(()),
    }
}

#[test]
fn plans_are_as_they_were_read() {
    let mut differing = Vec::new();
    for (name, sql) in small_jobs() {
        differing.extend(compare(&name, &plan(&name, &sql, &Profile::default())).err());
    }
    differing.extend(compare("studio_finance", &flagship(None)).err());
    differing.extend(compare("studio_finance.local", &flagship(Some("local"))).err());
    assert!(
        differing.is_empty(),
        "UPDATE_GOLDEN=1 rewrites; read the diff.\n{}",
        differing.join("\n")
    );
}

#[test]
fn plans_keep_what_they_promise() {
    let small = small_jobs()
        .into_iter()
        .map(|(name, sql)| plan(&name, &sql, &Profile::default()));
    for plan in small.chain([flagship(None)]) {
        let mut names = BTreeSet::new();
        for (id, node) in plan.nodes.iter().enumerate() {
            assert!(
                names.insert(&node.name),
                "{}: '{}' twice",
                plan.name,
                node.name
            );
            let columns: BTreeSet<_> = node
                .schema
                .fields()
                .iter()
                .map(|field| field.name())
                .collect();
            assert_eq!(
                columns.len(),
                node.schema.fields().len(),
                "{}: columns of '{}'",
                plan.name,
                node.name
            );
            for input in node.op.inputs() {
                assert!(
                    input < id,
                    "{}: '{}' reads a later node",
                    plan.name,
                    node.name
                );
            }
            if let NodeOp::Project(plan::Project { input, columns }) = &node.op {
                let schema =
                    datafusion_common::DFSchema::try_from(plan.nodes[*input].schema.clone())
                        .expect("unique");
                for ((expr, name), field) in columns.iter().zip(node.schema.fields()) {
                    let data_type =
                        datafusion_expr::ExprSchemable::get_type(expr, &schema).expect("typed");
                    assert_eq!(
                        (name, &data_type),
                        (field.name(), field.data_type()),
                        "{}: '{}'",
                        plan.name,
                        node.name
                    );
                }
            }
        }
    }
}

/// A star's keys are columns of its fact and of its dimensions; where they differ, the fact's rows can be told apart.
#[test]
fn a_star_joins_columns_of_one_fact() {
    let mut stars = 0;
    let small = small_jobs()
        .into_iter()
        .map(|(name, sql)| plan(&name, &sql, &Profile::default()));
    for plan in small.chain([flagship(None)]) {
        for node in &plan.nodes {
            let NodeOp::StarJoin(plan::StarJoin {
                fact,
                unique,
                dimensions,
            }) = &node.op
            else {
                continue;
            };
            stars += 1;
            let keys: BTreeSet<Vec<&String>> = (dimensions.iter())
                .map(|dimension| dimension.on.iter().map(|(key, _)| key).collect())
                .collect();
            let is_findable = keys.len() == 1 || !unique.is_empty();
            assert!(dimensions.len() > 1 && is_findable, "'{}'", node.name);
            let of_dimensions = dimensions
                .iter()
                .flat_map(|dimension| dimension.on.iter().map(|(_, key)| (dimension.input, key)));
            let of_fact = keys.into_iter().flatten().chain(unique);
            for (input, column) in of_fact.map(|key| (*fact, key)).chain(of_dimensions) {
                let schema = &plan.nodes[input].schema;
                assert!(
                    schema.field_with_name(column).is_ok(),
                    "'{}' has no '{column}'",
                    plan.nodes[input].name
                );
            }
        }
    }
    assert!(stars > 0, "no plan has a star");
}

/// Every path from a source to an operator that remembers rows passes one durable stage, and no path passes two.
#[test]
fn what_differential_remembers_can_be_had_again_after_a_restart() {
    fn roots(plan: &JobPlan, id: usize) -> BTreeSet<bool> {
        match &plan.nodes[id].op {
            NodeOp::Table(_) | NodeOp::Image(_) | NodeOp::WindowAggregate(_) => {
                BTreeSet::from([true])
            }
            op if op.inputs().is_empty() => BTreeSet::from([false]),
            NodeOp::Late(_) => BTreeSet::from([false]),
            op => op
                .inputs()
                .into_iter()
                .flat_map(|input| roots(plan, input))
                .collect(),
        }
    }
    let small = small_jobs()
        .into_iter()
        .map(|(name, sql)| plan(&name, &sql, &Profile::default()));
    for plan in small.chain([flagship(None)]) {
        for node in &plan.nodes {
            let expected = match node.op {
                NodeOp::Join(_)
                | NodeOp::StarJoin(_)
                | NodeOp::Aggregate(_)
                | NodeOp::Distinct(_) => true,
                NodeOp::Image(_) => false,
                _ => continue,
            };
            for input in node.op.inputs() {
                assert_eq!(
                    roots(&plan, input),
                    BTreeSet::from([expected]),
                    "{}: '{}'",
                    plan.name,
                    node.name
                );
            }
        }
    }
}

#[test]
fn the_identity_survives_a_move_of_the_broker_but_not_a_change_of_the_connector() {
    let sql = read(&folder("catalog/studio_finance.sql"));
    let at = |address: &'static str| {
        common::plan("studio_finance", &sql, &Profile::default(), &|name| {
            (name == "TIDEMILL_KAFKA").then(|| address.to_owned())
        })
        .expect("valid")
    };
    assert_ne!(at("a:1").to_string(), at("b:2").to_string());
    assert_eq!(at("a:1").hash(), at("b:2").hash());
    assert_ne!(at("a:1").hash(), flagship(Some("local")).hash());
    assert_eq!(at("a:1").hash(), flagship(Some("kafka")).hash());
}

#[test]
fn secrets_never_reach_the_text() {
    let sql = "CREATE SOURCE e (id BIGINT METADATA FROM 'id') WITH (envelope = 'crud', connector = 'kafka', topic = 't', sasl.password = '${PW}',
                   schema.url = 'http://me:hunter2@host/x');
               CREATE STREAM s FROM e;
               CREATE SINK o WITH (connector = 'kafka', topic = 'u', ssl.key.pem = 'hunter2') AS SELECT id FROM s;";
    let environment = |name: &str| (name == "PW").then(|| "hunter2".to_owned());
    let plan = common::plan("job", sql, &Profile::default(), &environment).expect("valid");
    assert_eq!(plan.sources[0].options["sasl.password"], "hunter2");
    let text = plan.to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("schema.url = 'http://***@host/x'"), "{text}");
}

#[test]
fn a_secret_is_in_the_options_alone_and_only_where_nothing_is_shown() {
    let plan = |option: &str, value: &str| {
        let sql = format!(
            "CREATE SOURCE e (id BIGINT) WITH (connector = 'kafka', topic = 't', {option} = {value});
             CREATE STREAM s FROM e;
             CREATE SINK o WITH (connector = 'kafka', topic = 'u') AS SELECT id FROM s;"
        );
        common::plan("job", &sql, &Profile::default(), &|_| None)
    };
    let with_secret = plan("sasl.password", "secret('kafka')").expect("valid");
    assert_eq!(with_secret.sources[0].options["sasl.password"], "hunter2");
    let before = plan("sasl.password", "'the one before'").expect("valid");
    assert_eq!(with_secret.hash(), before.hash(), "a secret may change");
    assert_eq!(with_secret.to_string(), before.to_string());
    for (option, value, said) in [
        ("sasl.password", "secret('db')", "no secret 'db'"),
        ("sasl.password", "'${secret:db}'", "no secret 'db'"),
        ("bootstrap.servers", "secret('kafka')", "shown in plans"),
        ("topic.x", "'a-${secret:kafka}'", "shown in plans"),
        ("sasl.password", "secret('../kafka')", "1:"),
        ("sasl.password", "secret(kafka)", "1:"),
    ] {
        let error = plan(option, value).expect_err("refused").to_string();
        assert!(
            error.contains(said) && !error.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn what_the_planner_reads_may_stand_in_the_environment() {
    let sql = "CREATE SOURCE e (id BIGINT METADATA FROM 'id', ts TIMESTAMP METADATA FROM 'ts', WATERMARK FOR ts AS ts)
                   WITH (envelope = 'crud', connector = 'x', topic = 't', entity = '${ENTITY}', format = '${FORMAT:-json}',
                         watermark.idle-timeout = '${IDLE}', watermark.max-future = '${FUTURE:-2 s}');
               CREATE TABLE t (PRIMARY KEY (id)) FROM e;
               CREATE SINK o WITH (connector = 'x', topic = 'u', key = '${KEY}', envelope = '${ENVELOPE:-upsert}') AS SELECT id FROM t;";
    let environment = |name: &str| {
        let value = match name {
            "ENTITY" => "order",
            "IDLE" => "7 s",
            "KEY" => "id",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let plan = common::plan("job", sql, &Profile::default(), &environment).expect("valid");
    let source = &plan.sources[0];
    let watermark = source.watermark.as_ref().expect("declared");
    assert_eq!(source.format.options["entity"], "order");
    assert_eq!(
        (watermark.idle_timeout_ms, watermark.max_future_ms),
        (7_000, 2_000)
    );
    assert_eq!(plan.sinks[0].key, ["id"]);
    let without = |name: &str| environment(name).filter(|value| value != "7 s");
    let error = common::plan("job", sql, &Profile::default(), &without).expect_err("no IDLE");
    assert_eq!(
        error.to_string(),
        "option 'watermark.idle-timeout' of 'e': the environment has no 'IDLE'; set it, or give a default: ${IDLE:-default}"
    );
}

#[test]
fn a_missing_variable_is_named() {
    let sql = "CREATE SOURCE e (id BIGINT METADATA FROM 'id') WITH (envelope = 'crud', connector = 'kafka', topic = '${TOPIC}');
               CREATE STREAM s FROM e;
               CREATE SINK o WITH (connector = 'kafka', topic = 'u') AS SELECT id FROM s;";
    let error = common::plan("job", sql, &Profile::default(), &|_| None).expect_err("no variable");
    assert_eq!(
        error.to_string(),
        "option 'topic' of 'e': the environment has no 'TOPIC'; set it, or give a default: ${TOPIC:-default}"
    );
}

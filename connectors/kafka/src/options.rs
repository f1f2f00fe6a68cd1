//! The `WITH` options that this connector knows: its own, and librdkafka's by their own names from a closed list.
//!
//! The list has nothing that loads code, runs a command or calls out (`plugin.library.paths`, `sasl.kerberos.kinit.cmd`,
//! `ssl.engine.location`), and nothing that a promise of this crate rests on (`isolation.level`, `enable.idempotence`, `acks`).

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use tidemill_connectors_api::{ConnectorOptions, Error, Options, SinkKind, SinkSpec, SourceSpec};
use tidemill_types::ErrorKind;

use crate::login;
use crate::oidc;
use crate::selection::Selection;
use crate::start::Start;

/// Largest record that is written, and that topics made here accept. Larger ones written by others are read up to librdkafka's 100 MB.
const MESSAGE_BYTES_MAX: &str = "16842752";
/// This connector's own options of a source.
const SOURCE: [&str; 5] = [
    "topic",
    "topic.pattern",
    "bootstrap.servers",
    "topic.wait",
    "start",
];
/// This connector's own options of a sink, of which each may have its own value.
const SINK: [&str; 2] = ["topic", "partitions"];
/// This connector's own options of a sink that hold for all sinks of a job.
const SINKS: [&str; 3] = ["bootstrap.servers", "journal.topic", "group.id"];
/// How long a transaction may take, unless `transaction.timeout.ms` says otherwise.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// This connector's own options of every client.
const LOGIN: [&str; 2] = [login::TOKEN_OPTION, oidc::METHOD];

/// librdkafka's options for every client.
const CONNECTION: [&str; 45] = [
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "enable.ssl.certificate.verification",
    "log.connection.close",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "metadata.max.age.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.sigalgs.list",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
];

/// librdkafka's options for reading.
const CONSUMER: [&str; 12] = [
    "check.crcs",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
];

/// librdkafka's options for writing.
const PRODUCER: [&str; 17] = [
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.timeout.ms",
    "linger.ms",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.timeout.ms",
    "retries",
    "transaction.timeout.ms",
    "transactional.id",
];

/// librdkafka's options for appending: those for writing without what belongs to transactions, and without times, of which there is one.
const APPENDER: [&str; 9] = [
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "linger.ms",
    "message.max.bytes",
    "queue.buffering.max.kbytes",
    "request.timeout.ms",
];

/// The options that there are.
pub fn known() -> ConnectorOptions {
    ConnectorOptions {
        name: "kafka",
        source: [&SOURCE[..], &LOGIN, &oidc::OPTIONS, &CONNECTION, &CONSUMER].concat(),
        sink: [
            &SINK[..],
            &SINKS,
            &LOGIN,
            &oidc::OPTIONS,
            &CONNECTION,
            &PRODUCER,
        ]
        .concat(),
        target: "topic",
        sinks: SinkKind::Transactional,
    }
}

/// How a source reads.
#[derive(Clone)]
pub struct SourceOptions {
    /// The topics.
    pub topics: Selection,
    /// Where the brokers are, for messages.
    pub bootstrap: String,
    /// How long to wait for a topic that isn't there.
    pub topic_wait: Duration,
    /// Where it begins as long as no epoch has read of it.
    pub start: Start,
    /// The client's settings.
    pub client: ClientConfig,
}

/// One sink.
#[derive(Clone)]
pub struct SinkOptions {
    /// Name of the `CREATE SINK`, for messages.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// Partitions of the topic if it has to be created.
    pub partitions: u32,
    /// True if only the newest record per key matters: the topic is created compacted.
    pub compacted: bool,
}

/// How the sinks of a job are written.
#[derive(Clone)]
pub struct CommitterOptions {
    /// Where the brokers are, for messages.
    pub bootstrap: String,
    /// Consumer group that the source offsets are kept under.
    pub group_id: String,
    /// Topic of the journal.
    pub journal_topic: String,
    /// How long a transaction may take.
    pub transaction_timeout: Duration,
    /// In order of the [`SinkSpec`]s.
    pub sinks: Vec<SinkOptions>,
    /// Settings of clients that neither read nor write.
    pub admin: ClientConfig,
    /// Settings for reading the journal.
    pub reader: ClientConfig,
    /// Settings of the transactional producer.
    pub producer: ClientConfig,
}

impl SourceOptions {
    /// Reads a source's options.
    pub fn parse(spec: &SourceSpec<'_>) -> Result<Self, Error> {
        let SourceSpec {
            job,
            name: source,
            options,
            ..
        } = *spec;
        let what = format!("source '{source}'");
        let bootstrap = required(&what, options, "bootstrap.servers")?;
        let mut client = consumer_config(bootstrap);
        client
            .set("client.id", format!("tidemill-{job}-{source}"))
            .set("group.id", group_id(job));
        // Enough to read on while a fetch is under way, whatever the number of partitions; more would only leave the processor's caches.
        client
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", "8192");
        copy(options, &[&CONNECTION, &CONSUMER], &mut client);
        login::configure(&what, options, &mut client)?;
        Ok(Self {
            topics: Selection::parse(&what, options)?,
            bootstrap: bootstrap.to_owned(),
            topic_wait: options
                .get("topic.wait")
                .map_or(Ok(Duration::ZERO), |text| {
                    duration(&what, "topic.wait", text)
                })?,
            start: options
                .get("start")
                .map_or(Ok(Start::default()), |text| Start::parse(&what, text))?,
            client,
        })
    }
}

impl CommitterOptions {
    /// Everything that is written to: the topic of each sink, then the journal's.
    pub fn topics(&self) -> Vec<&str> {
        let sinks = self.sinks.iter().map(|sink| sink.topic.as_str());
        sinks.chain([self.journal_topic.as_str()]).collect()
    }

    /// Reads the options of all sinks of a job, which share one producer: what one of them sets holds for all.
    pub fn parse(job: &str, specs: &[SinkSpec]) -> Result<Self, Error> {
        let mut sinks = Vec::with_capacity(specs.len());
        for spec in specs {
            let what = format!("sink '{}'", spec.name);
            required(&what, &spec.options, "bootstrap.servers")?;
            sinks.push(SinkOptions {
                name: spec.name.clone(),
                topic: topic(&what, "topic", required(&what, &spec.options, "topic")?)?,
                partitions: partitions(&what, &spec.options)?,
                compacted: spec.compacted,
            });
        }
        let shared = shared_options(specs)?;
        let Some(bootstrap) = shared.get("bootstrap.servers") else {
            return Err(invalid(
                "the job has no sink with connector 'kafka'; add a CREATE SINK".to_owned(),
            ));
        };
        let what = format!("job '{job}'");
        let journal_topic = match shared.get("journal.topic") {
            Some(name) => topic(&what, "journal.topic", name)?,
            None => topic(&what, "journal.topic", &format!("tidemill.journal.{job}"))?,
        };
        if let Some(sink) = sinks.iter().find(|sink| sink.topic == journal_topic) {
            return Err(invalid(format!(
                "sink '{}' writes to '{journal_topic}', the job's journal; give it another topic",
                sink.name
            )));
        }
        let transaction_timeout = match shared.get("transaction.timeout.ms") {
            Some(text) => duration(&what, "transaction.timeout.ms", &format!("{text} ms"))?,
            None => TRANSACTION_TIMEOUT,
        };
        let group_id = shared
            .get("group.id")
            .cloned()
            .unwrap_or_else(|| group_id(job));
        let client_id = format!("tidemill-{job}");
        let mut admin = client_config(bootstrap);
        let mut reader = consumer_config(bootstrap);
        let mut producer = producer_config(bootstrap);
        reader.set("group.id", &group_id);
        producer.set("transactional.id", &client_id).set(
            "transaction.timeout.ms",
            transaction_timeout.as_millis().to_string(),
        );
        for config in [&mut admin, &mut reader, &mut producer] {
            config.set("client.id", &client_id);
            copy(&shared, &[&CONNECTION], config);
            login::configure(&what, &shared, config)?;
        }
        copy(&shared, &[&PRODUCER], &mut producer);
        let bootstrap = bootstrap.clone();
        Ok(Self {
            bootstrap,
            group_id,
            journal_topic,
            transaction_timeout,
            sinks,
            admin,
            reader,
            producer,
        })
    }
}

/// How records are appended for who has no job.
pub struct AppenderOptions {
    /// Where the brokers are, for messages.
    pub bootstrap: String,
    /// Settings of clients that neither read nor write.
    pub admin: ClientConfig,
    /// Settings for looking at topics.
    pub reader: ClientConfig,
    /// Settings of the producer.
    pub producer: ClientConfig,
}

impl AppenderOptions {
    /// Reads options. A record that is not acknowledged within `patience` is given up.
    pub fn parse(options: &Options, patience: Duration) -> Result<Self, Error> {
        let what = "the table [kafka]";
        let known = [
            &["bootstrap.servers"][..],
            &LOGIN,
            &oidc::OPTIONS,
            &CONNECTION,
            &APPENDER,
        ]
        .concat();
        if let Some(name) = options.keys().find(|name| !known.contains(&name.as_str())) {
            let near = known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, name), known));
            let near = near.min().filter(|(distance, _)| *distance <= 3);
            let hint = near.map_or_else(
                || "see docs/connectors/kafka.md".to_owned(),
                |(_, known)| format!("did you mean '{known}'?"),
            );
            return Err(invalid(format!(
                "{what} has '{name}', which is no option of it; {hint}"
            )));
        }
        let bootstrap = options
            .get("bootstrap.servers")
            .filter(|set| !set.is_empty());
        let Some(bootstrap) = bootstrap else {
            return Err(invalid(format!("{what} lacks 'bootstrap.servers'; add it")));
        };
        let mut admin = client_config(bootstrap);
        let mut reader = consumer_config(bootstrap);
        let mut producer = producer_config(bootstrap);
        reader.set("group.id", "tidemill-collect");
        producer
            .set("delivery.report.only.error", "false")
            .set("linger.ms", "5")
            .set("retry.backoff.ms", "100")
            // Who appends bounds what is under way.
            .set("queue.buffering.max.kbytes", "1048576")
            .set("message.timeout.ms", patience.as_millis().to_string());
        for config in [&mut admin, &mut reader, &mut producer] {
            config.set("client.id", "tidemill-collect");
            copy(options, &[&CONNECTION], config);
            login::configure(what, options, config)?;
        }
        copy(options, &[&APPENDER], &mut producer);
        Ok(Self {
            bootstrap: bootstrap.clone(),
            admin,
            reader,
            producer,
        })
    }
}

/// The options that the sinks' common clients take, which no two sinks may set differently.
fn shared_options(specs: &[SinkSpec]) -> Result<Options, Error> {
    let mut shared: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for spec in specs {
        for (name, value) in &spec.options {
            if SINK.contains(&name.as_str()) {
                continue;
            }
            let (first, set) = *shared.entry(name).or_insert((&spec.name, value));
            if set != value {
                return Err(invalid(format!(
                    "sink '{first}' has {name} = '{}' but sink '{}' has '{}': the sinks of a job are written in one transaction by one \
                     producer, give all of them the same '{name}'",
                    shown(name, set),
                    spec.name,
                    shown(name, value)
                )));
            }
        }
    }
    Ok(shared
        .into_iter()
        .map(|(name, (_, value))| (name.to_owned(), value.to_owned()))
        .collect())
}

/// An option's value for a message: never a secret.
pub fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    if ["password", "pem", "token", "oauthbearer"]
        .iter()
        .any(|secret| name.contains(secret))
    {
        "…"
    } else {
        value
    }
}

fn group_id(job: &str) -> String {
    format!("tidemill-{job}")
}

/// What all clients have in common.
pub fn client_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "tidemill");
    // A broker that restarts is found again within a second rather than ten.
    config
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        // Nothing is told to the brokers about this client.
        .set("enable.metrics.push", "false");
    config
}

/// What all readers have in common.
pub fn consumer_config(bootstrap: &str) -> ClientConfig {
    let mut config = client_config(bootstrap);
    config
        .set("group.id", "tidemill")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        // The end of a partition is told with its position, which may lie beyond the last record.
        .set("enable.partition.eof", "true")
        // Never jump: a position that is gone is an error.
        .set("auto.offset.reset", "error")
        // A broker answers as soon as there is one byte; an idle one is asked ten times a second.
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        // A larger record is fetched all the same. What is fetched together is decompressed together, and should fit into caches.
        .set("fetch.message.max.bytes", "1048576")
        .set("fetch.max.bytes", "33554432")
        // When the local queue was full, look again soon: the default is a second.
        .set("fetch.queue.backoff.ms", "5")
        .set("check.crcs", "true");
    config
}

/// What all writers have in common.
pub fn producer_config(bootstrap: &str) -> ClientConfig {
    let mut config = client_config(bootstrap);
    config
        .set("enable.idempotence", "true")
        // The partitions that Java's producer chooses.
        .set("partitioner", "murmur2_random")
        // A delivered record costs no call back; what failed does.
        .set("delivery.report.only.error", "true")
        .set("compression.type", "lz4")
        // The brokers still write the last transaction's markers when the next one begins, and ask to come again a moment later.
        .set("retry.backoff.ms", "10")
        // A commit flushes, which cuts the lingering short. Shorter, librdkafka would send a part of a partition's records at once and then poll
        // without pause until that is answered, since it has one request per partition under way.
        .set("linger.ms", "1000")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "131072")
        .set("message.max.bytes", MESSAGE_BYTES_MAX);
    config
}

/// Settings of a topic that a job creates.
pub fn topic_settings(compacted: bool) -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "cleanup.policy",
            if compacted { "compact" } else { "delete" },
        ),
        ("max.message.bytes", MESSAGE_BYTES_MAX),
    ]
}

/// An error of the options.
pub fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn copy(options: &Options, lists: &[&[&str]], config: &mut ClientConfig) {
    for (name, value) in options {
        if lists.iter().any(|list| list.contains(&name.as_str())) {
            config.set(name, value);
        }
    }
}

fn required<'a>(what: &str, options: &'a Options, name: &str) -> Result<&'a str, Error> {
    match options.get(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(invalid(format!(
            "{what} lacks the option '{name}', which connector 'kafka' needs; add {name} = '…' to its WITH"
        ))),
    }
}

/// A name that a topic can have.
pub fn topic(what: &str, option: &str, name: &str) -> Result<String, Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() > 249 || matches!(name, "" | "." | "..") || !name.chars().all(legal) {
        return Err(invalid(format!(
            "{what} has {option} '{name}', which is no topic name: use up to 249 of a-z, A-Z, 0-9, '.', '_' and '-'"
        )));
    }
    Ok(name.to_owned())
}

fn partitions(what: &str, options: &Options) -> Result<u32, Error> {
    let Some(text) = options.get("partitions") else {
        return Ok(4);
    };
    match text.parse() {
        Ok(count) if (1..=10_000).contains(&count) => Ok(count),
        _ => Err(invalid(format!(
            "{what} has partitions = '{text}'; give a number from 1 to 10000"
        ))),
    }
}

fn duration(what: &str, name: &str, text: &str) -> Result<Duration, Error> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit_ms = match text[split..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match text[..split].parse::<u64>() {
        Ok(count) if unit_ms > 0 => Ok(Duration::from_millis(count.saturating_mul(unit_ms))),
        _ => Err(invalid(format!(
            "{what} has {name} = '{text}'; give a number and a unit of 'ms', 's', 'min' or 'h', such as '30 s'"
        ))),
    }
}

#[cfg(test)]
mod tests;

//! What is done for a request: who may ask for what, and events on their way to Kafka.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use tidemill_connectors_kafka::append::{AppendRecord, Appender};

use crate::answer::{Answer, Outcome};
use crate::body::unpacked;
use crate::budget::Share;
use crate::events::{self, Rules, Shape, Wrong};
use crate::head::Head;
use crate::metrics::Metrics;
use crate::settings::{Endpoint, Key, Limits, Token};

/// Begins the path of every endpoint.
const EVENTS: &str = "/events/";

/// What there is to ask for.
pub struct Service {
    /// By name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Who may ask, where an endpoint does not say.
    pub tokens: Vec<Token>,
    /// How much.
    pub limits: Limits,
    /// To Kafka.
    pub appender: Appender,
    /// What happened.
    pub metrics: Metrics,
}

/// What a request is about.
pub enum Wish<'a> {
    /// Events, for which its body is to be read.
    Collect(Collect<'a>),
    /// The metrics.
    Metrics,
    /// Nothing that there is, or nothing more than this answer.
    Answered(Option<&'a str>, Answer),
}

/// A request with events.
pub struct Collect<'a> {
    /// The endpoint's name.
    pub name: &'a str,
    endpoint: &'a Endpoint,
    shape: Shape,
    is_packed: bool,
}

impl Service {
    /// What a request is about, as far as its head says.
    pub fn wish(&self, head: &Head) -> Wish<'_> {
        let refused = |of, status, outcome, why: &str| {
            Wish::Answered(of, Answer::refused(status, outcome, why))
        };
        if head.path == "/healthz" {
            return if is_read(head) {
                Wish::Answered(None, self.health())
            } else {
                refused(None, 405, Outcome::NotFound, "only GET")
            };
        }
        let found = head.path.strip_prefix(EVENTS);
        let found = found.and_then(|name| self.endpoints.get_key_value(name));
        let name = found.map(|(name, _)| name.as_str());
        if !self.lets_in(head, found.map(|(_, endpoint)| endpoint)) {
            let why = "a valid token is needed: Authorization: Bearer TOKEN";
            let answer = Answer {
                headers: "WWW-Authenticate: Bearer\r\n",
                ..Answer::refused(401, Outcome::Unauthorized, why)
            };
            return Wish::Answered(name, answer);
        }
        if head.path == "/metrics" && is_read(head) {
            return Wish::Metrics;
        }
        let Some((name, endpoint)) = found else {
            let why = "there is nothing of this name; events go to POST /events/NAME";
            return refused(None, 404, Outcome::NotFound, why);
        };
        if head.method != "POST" {
            return refused(Some(name), 405, Outcome::NotFound, "only POST");
        }
        match shape_of(head) {
            Ok((shape, is_packed)) => Wish::Collect(Collect {
                name,
                endpoint,
                shape,
                is_packed,
            }),
            Err(why) => refused(Some(name), 415, Outcome::Malformed, why),
        }
    }

    /// Without an endpoint: who may ask of any learns what there is not.
    fn lets_in(&self, head: &Head, endpoint: Option<&Endpoint>) -> bool {
        let given = head.header("authorization").and_then(bearer);
        let given = given.map(Token::new);
        let is_among =
            |tokens: &[Token]| given.as_ref().is_some_and(|given| tokens.contains(given));
        match endpoint {
            Some(endpoint) if !endpoint.tokens.is_empty() => is_among(&endpoint.tokens),
            Some(_) => self.tokens.is_empty() || is_among(&self.tokens),
            None => {
                let own = || self.endpoints.values().map(|endpoint| &endpoint.tokens);
                let is_open = self.tokens.is_empty() && own().all(Vec::is_empty);
                is_open || is_among(&self.tokens) || own().any(|tokens| is_among(tokens))
            }
        }
    }

    fn health(&self) -> Answer {
        match self.appender.ended() {
            None => Answer::json(200, Outcome::Ok, &json!({"health": "ok"})),
            Some(_) => {
                let body = json!({"health": "unavailable"});
                Answer::json(503, Outcome::Unavailable, &body)
            }
        }
    }

    /// Puts the events of a body into Kafka, and answers when they are there.
    pub fn collect(
        &self,
        wish: &Collect<'_>,
        head: &Head,
        body: &[u8],
        share: &mut Share<'_>,
        since: Instant,
    ) -> Answer {
        let body = if wish.is_packed {
            match unpacked(body, share, self.limits.request_bytes_max) {
                Ok(body) => Cow::Owned(body),
                Err(answer) => return answer,
            }
        } else {
            Cow::Borrowed(body)
        };
        let key_of_all = match &wish.endpoint.key {
            Key::Header(name) => match head.header(name) {
                Some(key) if !key.is_empty() => Some(key),
                _ => {
                    let why =
                        format!("the header '{name}', the key of these events, is needed once");
                    return Answer::malformed(400, &why);
                }
            },
            Key::None | Key::Member(_) => None,
        };
        let topic = &wish.endpoint.topic;
        let of_topic = self.appender.record_bytes_max(topic);
        let rules = Rules {
            shape: wish.shape,
            key: &wish.endpoint.key,
            key_of_all,
            events_max: self.limits.events_max,
            event_bytes_max: of_topic.map_or(self.limits.event_bytes_max, |of_topic| {
                of_topic.min(self.limits.event_bytes_max)
            }),
        };
        let events = match events::read(&body, &rules) {
            Ok(events) => events,
            Err(wrong) => return told(&wrong),
        };
        let records: Vec<AppendRecord<'_>> = events
            .iter()
            .map(|event| AppendRecord {
                key: event.key.as_deref(),
                value: event.text.as_bytes(),
            })
            .collect();
        match self.appender.append(topic, &records) {
            Ok(ends) => {
                let bytes = records.iter().map(|record| record.value.len()).sum();
                (self.metrics).on_written(wish.name, records.len(), bytes, since.elapsed());
                let ends = ends.into_iter();
                let offsets: Value = ends
                    .map(|(partition, offset)| (partition.to_string(), offset.into()))
                    .collect::<serde_json::Map<_, _>>()
                    .into();
                let body = json!({"events": records.len(), "offsets": offsets});
                Answer::json(200, Outcome::Ok, &body)
            }
            Err(failed) => {
                tracing::warn!(endpoint = wish.name, error = %failed.error, "events were not all taken");
                let why = "kafka did not take all events in time: those that are not counted here may be there as well; send the request again";
                let body = json!({"error": why, "written": failed.acknowledged});
                Answer::later(503, Outcome::Unavailable, &body)
            }
        }
    }
}

fn is_read(head: &Head) -> bool {
    matches!(head.method.as_str(), "GET" | "HEAD")
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// How events come, by the headers: a browser sends nothing of this kind to another site without asking first.
fn shape_of(head: &Head) -> Result<(Shape, bool), &'static str> {
    let media = head.header("content-type").unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default();
    let shape = match media.trim_ascii().to_ascii_lowercase().as_slice() {
        b"application/json" => Shape::Json,
        b"application/x-ndjson" => Shape::Lines,
        _ => {
            return Err(
                "the Content-Type is 'application/json', with an object or an array of them, or 'application/x-ndjson', with an object a line",
            );
        }
    };
    match head
        .header("content-encoding")
        .map(<[u8]>::to_ascii_lowercase)
        .as_deref()
    {
        None | Some(b"identity") => Ok((shape, false)),
        Some(b"gzip") => Ok((shape, true)),
        Some(_) => Err("the only Content-Encoding that is taken is 'gzip'"),
    }
}

fn told(wrong: &Wrong) -> Answer {
    let reason = &wrong.reason;
    let why = match wrong.event {
        Some(event) => format!("event {event}: {reason}; nothing of the request was written"),
        None => format!("{reason}; nothing of the request was written"),
    };
    let body = json!({"error": why, "event": wrong.event, "written": 0});
    if wrong.is_too_large {
        Answer::json(413, Outcome::TooLarge, &body)
    } else {
        Answer::json(400, Outcome::Malformed, &body)
    }
}

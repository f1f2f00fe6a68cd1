//! What a request is answered with.

use serde_json::{Value, json};

/// How a request ended, as the metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// All events are in Kafka; or what was asked for is told.
    Ok,
    /// It is not what is taken here.
    Malformed,
    /// No valid token.
    Unauthorized,
    /// Nothing of that name, or not by that method.
    NotFound,
    /// Too many bytes or events.
    TooLarge,
    /// The client took too long.
    TooSlow,
    /// Too much is in flight.
    Busy,
    /// Kafka did not take it in time.
    Unavailable,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Malformed,
        Self::Unauthorized,
        Self::NotFound,
        Self::TooLarge,
        Self::TooSlow,
        Self::Busy,
        Self::Unavailable,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Malformed => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The code of HTTP.
    pub status: u16,
    /// What it comes to.
    pub outcome: Outcome,
    /// Header lines beside the usual ones, each with its end.
    pub headers: &'static str,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

const JSON: &str = "application/json";
/// Tells who is refused for a while when to come again.
const LATER: &str = "Retry-After: 1\r\n";

impl Answer {
    /// With a body of JSON.
    pub fn json(status: u16, outcome: Outcome, body: &Value) -> Self {
        Self {
            status,
            outcome,
            headers: "",
            content_type: JSON,
            body: format!("{body}\n"),
        }
    }

    /// Of a request of which nothing was written.
    pub fn refused(status: u16, outcome: Outcome, why: &str) -> Self {
        Self::json(status, outcome, &json!({"error": why, "written": 0}))
    }

    /// Of a request that is not what is taken here.
    pub fn malformed(status: u16, why: &str) -> Self {
        Self::refused(status, Outcome::Malformed, why)
    }

    /// Of one that is welcome later.
    pub fn later(status: u16, outcome: Outcome, body: &Value) -> Self {
        Self {
            headers: LATER,
            ..Self::json(status, outcome, body)
        }
    }

    /// Too much is in flight.
    pub fn busy() -> Self {
        let why = "too much is in flight; send it again later";
        Self::later(429, Outcome::Busy, &json!({"error": why, "written": 0}))
    }

    /// The client took too long.
    pub fn too_slow() -> Self {
        let why = "the request did not come in time; send it faster, or in smaller parts";
        Self::refused(408, Outcome::TooSlow, why)
    }

    /// The whole of it, as it goes over the wire.
    pub fn encode(&self, closes: bool, is_without_body: bool) -> Vec<u8> {
        let Self {
            status,
            headers,
            content_type,
            body,
            ..
        } = self;
        let reason = reason(*status);
        let connection = if closes { "close" } else { "keep-alive" };
        let size = body.len();
        let body = if is_without_body { "" } else { body };
        format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\nConnection: {connection}\r\n{headers}\r\n{body}"
        )
        .into_bytes()
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

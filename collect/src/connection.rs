//! One client: its requests, one after the other.

use std::io;
use std::time::{Duration, Instant};

use crate::answer::{Answer, Outcome};
use crate::body::{Failure, Reading};
use crate::head::{Framing, Head};
use crate::server::Shared;
use crate::service::{Collect, Wish};
use crate::stream::Stream;

/// How long a client may do nothing between two requests.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long it may take for the head of a request, and a new one until it begins.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How a request went.
struct Exchange {
    answer: Answer,
    endpoint: Option<String>,
    /// True if another one may follow.
    goes_on: bool,
    is_without_body: bool,
}

impl Exchange {
    const fn last(answer: Answer) -> Self {
        Self {
            answer,
            endpoint: None,
            goes_on: false,
            is_without_body: false,
        }
    }
}

/// Answers requests until the client goes, or must.
pub fn serve(mut stream: Stream, shared: &Shared) {
    let mut patience = HEAD_WAIT_MAX;
    while wait(&mut stream, shared, patience) {
        let Some(exchange) = exchange(&mut stream, shared) else {
            return;
        };
        let Exchange {
            answer,
            endpoint,
            goes_on,
            is_without_body,
        } = exchange;
        let metrics = &shared.service.metrics;
        metrics.on_answer(endpoint.as_deref(), answer.outcome);
        let goes_on = goes_on && !shared.is_stopping();
        let written = stream.write(&answer.encode(!goes_on, is_without_body));
        if !goes_on && written.is_ok() {
            stream.close();
            return;
        }
        if written.is_err() {
            return;
        }
        patience = IDLE_WAIT_MAX;
    }
}

/// Waits for a request to begin; false if there will be none.
fn wait(stream: &mut Stream, shared: &Shared, patience: Duration) -> bool {
    if !stream.buffered().is_empty() {
        return true;
    }
    let Some(_idle) = shared.idle(stream.socket()) else {
        return false;
    };
    matches!(stream.fill(Instant::now() + patience), Ok(true))
}

/// Reads a request and finds its answer; nothing if the client is gone.
fn exchange(stream: &mut Stream, shared: &Shared) -> Option<Exchange> {
    let since = Instant::now();
    let head = match read_head(stream, since + HEAD_WAIT_MAX) {
        Ok(head) => head,
        Err(Failure::Gone) => return None,
        Err(Failure::Refused(answer)) => return Some(Exchange::last(answer)),
    };
    let has_no_body = head.framing == Framing::Length(0);
    let (endpoint, answer, is_read) = match shared.service.wish(&head) {
        Wish::Answered(endpoint, answer) => (endpoint, answer, has_no_body),
        Wish::Metrics => (None, shared.metrics(), has_no_body),
        Wish::Collect(wish) => {
            let (answer, is_read) = collect(stream, shared, &wish, &head, since)?;
            (Some(wish.name), answer, is_read)
        }
    };
    Some(Exchange {
        answer,
        endpoint: endpoint.map(str::to_owned),
        goes_on: is_read && head.keeps_alive,
        is_without_body: head.method == "HEAD",
    })
}

fn read_head(stream: &mut Stream, deadline: Instant) -> Result<Head, Failure> {
    loop {
        if let Some((head, size)) = Head::parse(stream.buffered())? {
            stream.consume(size);
            return Ok(head);
        }
        match stream.fill(deadline) {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Answer::too_slow().into());
            }
            Ok(false) | Err(_) => return Err(Failure::Gone),
        }
    }
}

/// The answer to events, and whether all of their request was read; nothing if the client is gone.
fn collect(
    stream: &mut Stream,
    shared: &Shared,
    wish: &Collect<'_>,
    head: &Head,
    since: Instant,
) -> Option<(Answer, bool)> {
    let limits = &shared.service.limits;
    let bytes_max = limits.request_bytes_max;
    let is_too_large = matches!(head.framing, Framing::Length(length) if length > bytes_max as u64);
    if head.expects_continue && !is_too_large && stream.buffered().is_empty() {
        stream.write(CONTINUE).ok()?;
    }
    let mut share = shared.budget.share();
    let reading = Reading {
        stream,
        share: &mut share,
        bytes_max,
        deadline: since + limits.request_wait_max,
    };
    match reading.read(head.framing) {
        Ok(body) => {
            let answer = (shared.service).collect(wish, head, &body, &mut share, since);
            Some((answer, true))
        }
        Err(Failure::Refused(answer)) => Some((answer, false)),
        Err(Failure::Gone) => {
            (shared.service.metrics).on_answer(Some(wish.name), Outcome::TooSlow);
            None
        }
    }
}

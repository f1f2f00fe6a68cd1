//! `/metrics` and `/healthz` over HTTP, on this machine only.

use std::sync::Arc;
use std::thread::JoinHandle;

use tidemill_engine::{Phase, Status};
use tidemill_terminal::Failure;
use tiny_http::{Header, Method, Request, Response, Server};

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// A server in a thread of its own.
pub struct Endpoint {
    server: Arc<Server>,
    thread: JoinHandle<()>,
}

/// What a request is answered with.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    code: u16,
    content_type: &'static str,
    body: String,
}

impl Endpoint {
    /// Listens on 127.0.0.1; port 0 is any free one. Prints the address to standard error.
    pub fn open(port: u16, status: &Arc<Status>) -> Result<Self, Failure> {
        let server = Server::http(("127.0.0.1", port)).map_err(|error| {
            Failure::invalid(format!(
                "cannot serve metrics at port {port}: {error}; choose another --metrics-port"
            ))
        })?;
        eprintln!("metrics: http://{}/metrics", server.server_addr());
        let server = Arc::new(server);
        let (serving, status) = (Arc::clone(&server), Arc::clone(status));
        let thread = std::thread::spawn(move || {
            serving
                .incoming_requests()
                .for_each(|request| respond(request, &status))
        });
        Ok(Self { server, thread })
    }

    /// Stops listening.
    pub fn close(self) {
        self.server.unblock();
        // A panic while answering is not the job's: it has ended well or said why.
        drop(self.thread.join());
    }
}

fn respond(request: Request, status: &Status) {
    let Answer {
        code,
        content_type,
        body,
    } = answer(request.method(), request.url(), status);
    let header = Header::from_bytes("Content-Type", content_type)
        .expect("content types are valid header values");
    // Who asked may be gone.
    drop(
        request.respond(
            Response::from_string(body)
                .with_status_code(code)
                .with_header(header),
        ),
    );
}

fn answer(method: &Method, url: &str, status: &Status) -> Answer {
    let text = |code, body: &str| Answer {
        code,
        content_type: TEXT,
        body: body.to_owned(),
    };
    if !matches!(method, Method::Get | Method::Head) {
        return text(405, "only GET\n");
    }
    match url.split('?').next().unwrap_or_default() {
        "/metrics" => Answer {
            code: 200,
            content_type: PROMETHEUS,
            body: status.prometheus(),
        },
        "/healthz" => health(status),
        _ => text(404, "there are /metrics and /healthz\n"),
    }
}

/// Healthy is who reads and commits; a job that recovers or ends is not, yet or any more.
fn health(status: &Status) -> Answer {
    #[derive(serde::Serialize)]
    struct Health {
        health: &'static str,
        #[serde(flatten)]
        snapshot: tidemill_engine::Snapshot,
    }
    let (code, health) = match status.phase() {
        Phase::Running | Phase::CaughtUp => (200, "ok"),
        Phase::Recovering | Phase::Stopping => (503, "unavailable"),
    };
    let body = serde_json::to_string(&Health {
        health,
        snapshot: status.snapshot(),
    })
    .expect("a snapshot has names for keys");
    Answer {
        code,
        content_type: JSON,
        body,
    }
}

#[cfg(test)]
mod tests {
    use tidemill_engine::{Phase, Status};
    use tiny_http::Method;

    use super::{JSON, answer};

    fn status() -> Status {
        Status::new("j", vec!["in".to_owned()], vec!["out".to_owned()])
    }

    #[test]
    fn a_job_is_healthy_once_it_has_recovered() {
        let status = status();
        assert_eq!(answer(&Method::Get, "/healthz", &status).code, 503);
        status.set_phase(Phase::Running);
        let healthy = answer(&Method::Get, "/healthz", &status);
        assert_eq!((healthy.code, healthy.content_type), (200, JSON));
        assert!(
            healthy
                .body
                .starts_with(r#"{"health":"ok","state":"running","epoch":0,"#),
            "{}",
            healthy.body
        );
    }

    #[test]
    fn metrics_are_text_and_anything_else_is_not_found() {
        let status = status();
        assert!(
            answer(&Method::Get, "/metrics?x", &status)
                .body
                .contains("tidemill_")
        );
        assert_eq!(answer(&Method::Get, "/", &status).code, 404);
        assert_eq!(answer(&Method::Post, "/metrics", &status).code, 405);
    }
}

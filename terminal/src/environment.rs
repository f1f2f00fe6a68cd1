//! The one place that reads the environment, and, for what people see, the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::EnvFilter;

/// What is logged, and from where.
const LOG: &str = "TIDEMILL_LOG";

/// A variable of the environment; one that is not text does not exist.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// librdkafka warns of every try that it repeats by itself.
const LOG_DEFAULT: &str = "warn,librdkafka=error";

/// Logs to standard error, so that standard output is the command's own.
pub fn start_logging() {
    let filter = EnvFilter::builder().parse_lossy(variable(LOG).as_deref().unwrap_or(LOG_DEFAULT));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

/// Now, in milliseconds since 1970, for the age of a checkpoint and the like. No job depends on it.
#[expect(
    clippy::disallowed_methods,
    reason = "outside of any job: nothing is replayed"
)]
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

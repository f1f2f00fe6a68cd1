//! How a running job shows itself on standard output: one line that is rewritten in place on a terminal, a line each few seconds elsewhere,
//! or JSON, an object a line.
//!
//! Does not promise to be read: when standard output is closed, the job goes on.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use tidemill_engine::{Phase, Snapshot, Status};
use tidemill_terminal::show::{BAD, GOOD, bytes, counted, duration, grouped, per_second};

/// How often a change of state is looked for.
const TICK: Duration = Duration::from_millis(20);
/// The rate is the mean over so long.
const RATE_WINDOW: Duration = Duration::from_secs(2);
/// Between two samples of the rate.
const RATE_SAMPLE: Duration = Duration::from_millis(100);

/// Where the status goes, which decides on its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An object a line.
    Json,
    /// A line that is rewritten.
    Terminal,
    /// Lines.
    Plain,
}

/// Shows one job.
pub struct Display {
    shape: Shape,
    rate: Rate,
}

/// A snapshot as it stands in `--json`.
#[derive(serde::Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    events_per_s: u64,
}

impl Display {
    /// A display on standard output.
    pub fn new(json: bool) -> Self {
        let shape = match (json, std::io::stdout().is_terminal()) {
            (true, _) => Shape::Json,
            (false, true) => Shape::Terminal,
            (false, false) => Shape::Plain,
        };
        Self {
            shape,
            rate: Rate::default(),
        }
    }

    /// Shows the status until the other side of `end` is gone, then once more.
    pub fn follow(&mut self, status: &Status, end: &Receiver<()>) {
        let mut shown: Option<(Phase, Instant)> = None;
        loop {
            let over = end.recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected);
            let (now, phase) = (Instant::now(), status.phase());
            let due =
                shown.is_none_or(|(before, at)| before != phase || now - at >= self.interval());
            // Lines for a person end with `say_goodbye`.
            if due || (over && self.shape != Shape::Plain) {
                shown = Some((phase, now));
                self.show(status, phase, now);
            }
            if over {
                break;
            }
        }
        if self.shape == Shape::Terminal {
            drop(writeln!(anstream::stdout()));
        }
    }

    const fn interval(&self) -> Duration {
        match self.shape {
            Shape::Json => Duration::from_millis(180),
            Shape::Terminal => Duration::from_millis(200),
            Shape::Plain => Duration::from_secs(5),
        }
    }

    fn show(&mut self, status: &Status, phase: Phase, now: Instant) {
        let snapshot = status.snapshot();
        let events_per_s = self.rate.of(now, snapshot.records_in);
        let mut out = anstream::stdout();
        let written = match self.shape {
            Shape::Json => {
                let line = serde_json::to_string(&Line {
                    snapshot: &snapshot,
                    events_per_s,
                });
                writeln!(out, "{}", line.expect("a snapshot has names for keys"))
            }
            // Wrapping is off meanwhile: a line that is too long is cut, and stays one line.
            Shape::Terminal => {
                write!(
                    out,
                    "\r\x1b[?7l{}\x1b[K\x1b[?7h",
                    line(&snapshot, phase, events_per_s)
                )
            }
            Shape::Plain => writeln!(out, "{}", line(&snapshot, phase, events_per_s)),
        };
        // Nobody reads any more; that is no reason to stop a job.
        drop(written.and_then(|()| out.flush()));
    }
}

/// Events a second, over the last moments.
#[derive(Debug, Default)]
struct Rate {
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn of(&mut self, now: Instant, count: u64) -> u64 {
        if self
            .samples
            .back()
            .is_none_or(|&(at, _)| now - at >= RATE_SAMPLE)
        {
            self.samples.push_back((now, count));
        }
        while self
            .samples
            .get(1)
            .is_some_and(|&(at, _)| now - at >= RATE_WINDOW)
        {
            self.samples.pop_front();
        }
        match self.samples.front() {
            Some(&(at, before)) if now - at >= RATE_SAMPLE => {
                per_second(count.saturating_sub(before), now - at)
            }
            _ => 0,
        }
    }
}

/// The status line; what matters most comes first, because a narrow terminal cuts the rest.
fn line(snapshot: &Snapshot, phase: Phase, events_per_s: u64) -> String {
    let (style, state) = match phase {
        Phase::Recovering => (
            Style::new().fg_color(Some(AnsiColor::Yellow.into())).bold(),
            "recovering",
        ),
        Phase::Running => (GOOD, "running"),
        Phase::CaughtUp => (GOOD, "caught up"),
        Phase::Stopping => (Style::new().bold(), "stopping"),
    };
    let dead = if snapshot.dead_letters > 0 {
        BAD
    } else {
        Style::new()
    };
    format!(
        "{style}{state}{style:#} · {}/s · epoch {} · lag {} · commit {:.0} ms · state {} · memory {} · read {} · written {} · duplicates {} · late {} · \
         {dead}dead {}{dead:#} · checkpoint {}",
        grouped(events_per_s),
        grouped(snapshot.epoch),
        grouped(snapshot.lag),
        snapshot.commit_ms,
        bytes(snapshot.state_bytes),
        bytes(snapshot.resident_bytes),
        grouped(snapshot.records_in),
        grouped(snapshot.records_out),
        grouped(snapshot.duplicates),
        grouped(snapshot.late),
        grouped(snapshot.dead_letters),
        grouped(snapshot.checkpoint_epoch),
    )
}

/// The last words of a job that ended well.
pub fn say_goodbye(snapshot: &Snapshot, took: Duration, stopped: bool) {
    let how = if stopped { "stopped" } else { "caught up" };
    let written = writeln!(
        anstream::stdout(),
        "{GOOD}{how}{GOOD:#} after {}: {} read ({}/s), {} written; committed up to epoch {}, checkpoint {}",
        duration(took),
        counted(snapshot.records_in, "record"),
        grouped(per_second(snapshot.records_in, took)),
        counted(snapshot.records_out, "record"),
        grouped(snapshot.epoch),
        grouped(snapshot.checkpoint_epoch),
    );
    drop(written);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tidemill_engine::{Phase, Snapshot, Status};

    use super::{Rate, line};

    #[test]
    fn the_rate_is_that_of_the_last_moments() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = Rate::default();
        assert_eq!(rate.of(at(0), 0), 0);
        assert_eq!(rate.of(at(1_000), 5_000), 5_000);
        assert_eq!(rate.of(at(2_000), 5_000), 2_500);
        assert_eq!(rate.of(at(3_000), 5_000), 0);
    }

    #[test]
    fn the_status_line_reads_as_documented() {
        let status = Status::new("j", vec!["in".to_owned()], vec!["out".to_owned()]);
        let snapshot = Snapshot {
            resident_bytes: 200 << 20,
            ..status.snapshot()
        };
        let plain =
            anstream::adapter::strip_str(&line(&snapshot, Phase::Running, 98_110)).to_string();
        assert_eq!(
            plain,
            "running · 98,110/s · epoch 0 · lag 0 · commit 0 ms · state 0 B · memory 200.0 MiB · read 0 · written 0 · duplicates 0 · late 0 · dead 0 · \
             checkpoint 0"
        );
    }
}

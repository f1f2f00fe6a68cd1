//! What the turns have measured: a table for people, and the line of JSON. Nothing is left out for being bad, of whomever.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::outputs::{Impossible, Verified};
use super::system::Kind;
use crate::report::{Latencies, grouped, rounded};

/// One system's turn.
#[derive(Debug)]
pub struct Turn {
    /// Whose.
    pub kind: Kind,
    /// The first phase.
    pub catch_up: Option<CatchUp>,
    /// A load each.
    pub freshness: Vec<Freshness>,
    /// From a kill to the first new commit, a kill each.
    pub recoveries: Vec<Duration>,
    /// Most resident memory, over all phases.
    pub peak_bytes: u64,
    /// Totals that cannot be.
    pub impossible: Option<Impossible>,
    /// The final rows against the oracle.
    pub verified: Option<Verified>,
    /// Why the turn ended early.
    pub failure: Option<String>,
}

impl Turn {
    /// A turn that has not begun.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            catch_up: None,
            freshness: Vec::new(),
            recoveries: Vec::new(),
            peak_bytes: 0,
            impossible: None,
            verified: None,
            failure: None,
        }
    }
}

/// How a system caught up.
#[derive(Debug)]
pub struct CatchUp {
    /// Events there were.
    pub events: u64,
    /// From the first record to the last output committed.
    pub took: Duration,
    /// Processor time of the system from its start until then.
    pub cpu_s: f64,
    /// Of the broker.
    pub broker_cpu_s: f64,
}

impl CatchUp {
    #[expect(clippy::cast_precision_loss, reason = "a rate to be read")]
    fn events_per_s(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64().max(1e-9)
    }

    #[expect(clippy::cast_precision_loss, reason = "a cost to be read")]
    fn per_million(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.events as f64
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events/s ({:.1} s), processor time {:.1} s, broker {:.1} s",
            grouped(self.events_per_s()),
            self.took.as_secs_f64(),
            self.cpu_s,
            self.broker_cpu_s
        )
    }
}

/// How fresh outputs were under a load.
#[derive(Debug)]
pub struct Freshness {
    /// Payments a second.
    pub rate: u64,
    /// From due to visible.
    pub latencies: Latencies,
    /// Payments that were not visible some seconds after the window.
    pub late: u64,
    /// Payments that never were.
    pub missing: u64,
    /// How often a row of a payment came again.
    pub repeated: u64,
    /// Processors that the system kept busy.
    pub cpus: f64,
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (
            self.latencies.quantile_ms(500),
            self.latencies.quantile_ms(990),
        );
        write!(
            f,
            "at {}/s p50 {p50:.0} ms, p99 {p99:.0} ms, {:.2} processors",
            self.rate, self.cpus
        )?;
        if self.late > 0 {
            write!(
                f,
                "; falling behind: {} not visible in time, {} never",
                self.late, self.missing
            )?;
        }
        Ok(())
    }
}

/// All turns of a system.
#[derive(Debug)]
struct Row<'a> {
    kind: Kind,
    turns: Vec<&'a Turn>,
}

/// The middle one; `None` if there is none.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

impl Row<'_> {
    fn median_of(&self, figure: impl Fn(&Turn) -> Option<f64>) -> Option<f64> {
        median(self.turns.iter().filter_map(|turn| figure(turn)).collect())
    }

    fn of_catch_up(&self, figure: impl Fn(&CatchUp) -> f64) -> Option<f64> {
        self.median_of(|turn| turn.catch_up.as_ref().map(&figure))
    }

    fn events_per_s(&self) -> Option<f64> {
        self.of_catch_up(CatchUp::events_per_s)
    }

    fn at(&self, rate: u64, figure: impl Fn(&Freshness) -> f64) -> Option<f64> {
        self.median_of(|turn| {
            let of_rate = turn
                .freshness
                .iter()
                .find(|freshness| freshness.rate == rate);
            of_rate.map(&figure)
        })
    }

    fn falls_behind(&self, rate: u64) -> bool {
        let mut all = self.turns.iter().flat_map(|turn| &turn.freshness);
        all.any(|freshness| freshness.rate == rate && freshness.late > 0)
    }

    fn recovery_s(&self) -> Option<f64> {
        let all = self.turns.iter().flat_map(|turn| &turn.recoveries);
        median(all.map(Duration::as_secs_f64).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "a size to be read")]
    fn peak_mib(&self) -> Option<f64> {
        self.median_of(|turn| (turn.peak_bytes > 0).then_some((turn.peak_bytes >> 20) as f64))
    }

    /// Over all turns: impossible totals, and how many were compared.
    fn impossible(&self) -> (u64, u64) {
        let all = self
            .turns
            .iter()
            .filter_map(|turn| turn.impossible.as_ref());
        all.fold((0, 0), |sum, of| {
            (sum.0 + of.impossible, sum.1 + of.compared)
        })
    }

    fn failures(&self) -> Vec<&str> {
        self.turns
            .iter()
            .filter_map(|turn| turn.failure.as_deref())
            .collect()
    }

    /// Wrong rows over all turns; `None` if a turn was not verified.
    fn wrong(&self) -> Option<u64> {
        self.turns
            .iter()
            .map(|turn| turn.verified.as_ref().map(Verified::wrong))
            .sum()
    }

    fn cells(&self, reference: Option<f64>, rates: &[u64]) -> Vec<String> {
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let ratio = self
            .events_per_s()
            .zip(reference)
            .map(|(own, reference)| own / reference);
        let (impossible, compared) = self.impossible();
        let mut cells = vec![
            self.kind.name().to_owned(),
            self.events_per_s().map_or_else(|| "-".to_owned(), grouped),
            shown(ratio, 2),
            shown(self.of_catch_up(|of| of.per_million(of.cpu_s)), 1),
            shown(self.of_catch_up(|of| of.per_million(of.broker_cpu_s)), 1),
            shown(self.peak_mib(), 0),
        ];
        for &rate in rates {
            let behind = if self.falls_behind(rate) {
                " behind"
            } else {
                ""
            };
            let p50 = shown(self.at(rate, |of| of.latencies.quantile_ms(500)), 0);
            let p99 = shown(self.at(rate, |of| of.latencies.quantile_ms(990)), 0);
            cells.push(format!("{p50} / {p99}{behind}"));
        }
        cells.push(shown(self.recovery_s(), 1));
        cells.push(format!(
            "{} of {}",
            grouped_count(impossible),
            grouped_count(compared)
        ));
        cells.push(match (self.failures().is_empty(), self.wrong()) {
            (true, Some(0)) => "all".to_owned(),
            (true, Some(wrong)) => format!("{} rows differ", grouped_count(wrong)),
            (false, Some(wrong)) => format!("failed; {} rows differ", grouped_count(wrong)),
            (_, None) => "failed".to_owned(),
        });
        cells
    }

    fn to_json(&self, reference: Option<f64>, rates: &[u64]) -> Value {
        let number = |value: Option<f64>| value.map(rounded);
        let latencies = rates.iter().map(|&rate| {
            let found = json!({
                "p50_ms": number(self.at(rate, |of| of.latencies.quantile_ms(500))),
                "p99_ms": number(self.at(rate, |of| of.latencies.quantile_ms(990))),
                "processors": number(self.at(rate, |of| of.cpus)),
                "falling_behind": self.falls_behind(rate),
            });
            (rate.to_string(), found)
        });
        let (impossible, compared) = self.impossible();
        json!({
            "events_per_s": self.events_per_s().map(f64::round),
            "ratio": number(self.events_per_s().zip(reference).map(|(own, reference)| own / reference)),
            "cpu_s_per_million": number(self.of_catch_up(|of| of.per_million(of.cpu_s))),
            "broker_cpu_s_per_million": number(self.of_catch_up(|of| of.per_million(of.broker_cpu_s))),
            "resident_peak_mib": self.peak_mib(),
            "latencies": latencies.collect::<serde_json::Map<_, _>>(),
            "kill_to_first_commit_s": number(self.recovery_s()),
            "impossible_totals": impossible,
            "totals_compared": compared,
            "rows_wrong": self.wrong(),
            "failures": self.failures(),
            "turns": self.turns.iter().map(|turn| turn.to_json()).collect::<Vec<_>>(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^52")]
fn grouped_count(count: u64) -> String {
    grouped(count as f64)
}

impl Turn {
    fn to_json(&self) -> Value {
        let freshness = |of: &Freshness| {
            json!({"rate": of.rate, "latencies": of.latencies.to_json(), "late": of.late, "missing": of.missing,
                "repeated": of.repeated, "processors": rounded(of.cpus)})
        };
        let impossible = self.impossible.as_ref();
        json!({
            "events_per_s": self.catch_up.as_ref().map(|of| of.events_per_s().round()),
            "catch_up_s": self.catch_up.as_ref().map(|of| rounded(of.took.as_secs_f64())),
            "freshness": self.freshness.iter().map(freshness).collect::<Vec<_>>(),
            "kill_to_first_commit_s": self.recoveries.iter().map(|of| rounded(of.as_secs_f64())).collect::<Vec<_>>(),
            "impossible": impossible.map(|of| json!({
                "cuts": of.cuts, "compared": of.compared, "impossible": of.impossible, "examples": of.examples})),
            "verified": self.verified.as_ref().map(Verified::to_json),
            "failure": self.failure,
        })
    }
}

/// All turns of a run.
#[derive(Debug)]
pub struct Figures {
    /// Loads, in payments a second.
    pub rates: Vec<u64>,
    /// In the order in which they were taken.
    pub turns: Vec<Turn>,
}

impl Figures {
    fn rows(&self) -> Vec<Row<'_>> {
        let row = |kind| Row {
            kind,
            turns: self.turns.iter().filter(|turn| turn.kind == kind).collect(),
        };
        let rows = Kind::ALL.into_iter().map(row);
        rows.filter(|row| !row.turns.is_empty()).collect()
    }

    /// Tidemill's events a second, to which the others are compared.
    fn reference(&self) -> Option<f64> {
        let rows = self.rows();
        rows.iter()
            .find(|row| row.kind == Kind::Tidemill)
            .and_then(Row::events_per_s)
    }

    /// True unless Tidemill itself failed or has a wrong row or total. What is wrong with others is a figure.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        let rows = self.rows();
        let mut own = rows.iter().filter(|row| row.kind == Kind::Tidemill);
        own.all(|row| row.failures().is_empty() && row.wrong() == Some(0))
    }

    /// For the line of JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let reference = self.reference();
        let systems = self.rows().into_iter().map(|row| {
            let found = row.to_json(reference, &self.rates);
            (row.kind.name().to_owned(), found)
        });
        json!({
            "events_per_s": reference.map(f64::round),
            "systems": systems.collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// A table in Markdown.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = [
            "system",
            "events/s",
            "ratio",
            "CPU s/M events",
            "broker CPU s/M",
            "peak MiB",
        ]
        .map(str::to_owned)
        .to_vec();
        head.extend(
            self.rates
                .iter()
                .map(|&rate| format!("p50 / p99 ms at {}/s", grouped_count(rate))),
        );
        head.extend(["kill -9 to commit, s", "impossible totals", "verified"].map(str::to_owned));
        writeln!(f, "| {} |", head.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(head.len()))?;
        for row in self.rows() {
            writeln!(
                f,
                "| {} |",
                row.cells(self.reference(), &self.rates).join(" | ")
            )?;
        }
        for row in self.rows() {
            for failure in row.failures() {
                let first = failure.lines().next().unwrap_or_default();
                writeln!(f, "{} failed: {first}", row.kind.name())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Turn, median};
    use crate::peers::system::Kind;

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![2.0, 1.0]), Some(1.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_turn_that_failed_has_a_row_with_what_it_got_to() {
        let mut turn = Turn::new(Kind::FlinkHeap);
        turn.failure = Some("no memory\nmore words".to_owned());
        let figures = Figures {
            rates: vec![1_000],
            turns: vec![turn],
        };
        let table = figures.to_string();
        assert!(
            table.contains("| flink-heap | - | - | - | - | - | - / - | - | 0 of 0 | failed |"),
            "{table}"
        );
        assert!(table.ends_with("flink-heap failed: no memory\n"), "{table}");
        assert!(figures.is_correct(), "Tidemill had no turn");
    }
}

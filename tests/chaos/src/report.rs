//! What a run comes to: what happened how often, what was found, and the one line of JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidemill_studio::Report;
use tidemill_studio::epochs::AtomicReport;

use crate::verdict::Verdict;

/// Seconds that a job may take to commit again after a danger.
const COME_BACK_FLOOR_S: f64 = 120.0;
const COME_BACK_GOAL_S: f64 = 30.0;

/// How often a danger was.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Done.
    pub times: u64,
    /// Could not be done.
    pub not_done: u64,
    /// The longest time until the jobs were back.
    pub come_back_max: Duration,
}

/// All that is known at the end.
#[derive(Debug, Default)]
pub struct Findings {
    /// By name of the danger.
    pub dangers: BTreeMap<&'static str, Tally>,
    /// What must not have happened.
    pub faults: Vec<String>,
    /// Records that the loads published.
    pub records: u64,
    /// How often a job ended with "this may pass".
    pub restarts: u64,
    /// The studio's rows and totals; none if they could not be read.
    pub studio: Option<(Report, AtomicReport)>,
    /// The second job's topics.
    pub stages: Vec<Verdict>,
    /// Epochs and keys of every topic.
    pub once: Vec<Verdict>,
}

/// A figure beside what it must be and what it should be.
struct Figure {
    name: &'static str,
    value: f64,
    floor: Option<f64>,
    goal: Option<f64>,
    /// True if less is better.
    is_cost: bool,
}

impl Figure {
    const fn told(name: &'static str, value: f64) -> Self {
        Self {
            name,
            value,
            floor: None,
            goal: None,
            is_cost: false,
        }
    }

    const fn at_most(name: &'static str, value: f64, floor: f64, goal: f64) -> Self {
        Self {
            name,
            value,
            floor: Some(floor),
            goal: Some(goal),
            is_cost: true,
        }
    }

    const fn at_least(name: &'static str, value: f64, floor: f64) -> Self {
        Self {
            name,
            value,
            floor: Some(floor),
            goal: Some(floor),
            is_cost: false,
        }
    }

    fn is_met(&self) -> bool {
        self.floor.is_none_or(|floor| {
            if self.is_cost {
                self.value <= floor
            } else {
                self.value >= floor
            }
        })
    }
}

impl Findings {
    fn figures(&self) -> Vec<Figure> {
        let studio = self.studio.as_ref();
        let wrong = |verdicts: &[Verdict]| verdicts.iter().map(Verdict::wrong).sum::<u64>();
        let equal = |verdicts: &[Verdict]| verdicts.iter().map(|found| found.equal).sum::<u64>();
        let studio_wrong = studio.map_or(u64::MAX, |(rows, _)| {
            let sinks = rows.sinks.iter();
            sinks
                .map(|sink| sink.missing + sink.extra + sink.different + sink.disordered)
                .sum()
        });
        let impossible = studio.map_or(u64::MAX, |(_, totals)| totals.violations);
        let stages_wrong = if self.stages.is_empty() {
            u64::MAX
        } else {
            wrong(&self.stages)
        };
        let times = self.dangers.values().map(|tally| tally.times).sum();
        let slowest = self.dangers.values().map(|tally| tally.come_back_max).max();
        let none = |name, count| Figure::at_most(name, float(count), 0.0, 0.0);
        vec![
            Figure::at_least("dangers", float(times), 1.0),
            Figure::told("events", float(self.records)),
            Figure::told(
                "studio_rows_equal",
                float(studio.map_or(0, |(rows, _)| rows.rows_equal())),
            ),
            none("studio_rows_wrong", studio_wrong),
            Figure::told(
                "studio_rows_late",
                float(studio.map_or(0, |(rows, _)| rows.late_rows)),
            ),
            Figure::told(
                "studio_epochs",
                float(studio.map_or(0, |(_, totals)| totals.epochs)),
            ),
            none("impossible_totals", impossible),
            Figure::told("stages_rows_equal", float(equal(&self.stages))),
            none("stages_rows_wrong", stages_wrong),
            Figure::told("records_in_order", float(equal(&self.once))),
            none("records_repeated", wrong(&self.once)),
            none("faults", self.faults.len() as u64),
            Figure::told("restarts", float(self.restarts)),
            Figure::at_most(
                "come_back_s_max",
                (slowest.unwrap_or_default().as_secs_f64() * 10.0).round() / 10.0,
                COME_BACK_FLOOR_S,
                COME_BACK_GOAL_S,
            ),
        ]
    }

    /// True if nothing is wrong.
    #[must_use]
    pub fn floors_met(&self) -> bool {
        self.figures().iter().all(Figure::is_met)
    }

    /// The one line at the end.
    #[must_use]
    pub fn to_json(&self, commit: &str, seed: u64) -> Value {
        let figures = self.figures().into_iter().map(|figure| {
            let Figure {
                name,
                value,
                floor,
                goal,
                ..
            } = figure;
            (
                name.to_owned(),
                json!({"value": value, "floor": floor, "goal": goal}),
            )
        });
        let dangers = self.dangers.iter();
        let dangers = dangers.map(|(name, tally)| ((*name).to_owned(), tally.times.into()));
        json!({
            "bench": "chaos",
            "commit": commit,
            "seed": seed,
            "dangers": dangers.collect::<Map<_, _>>(),
            "figures": figures.collect::<Map<_, _>>(),
            "floors_met": self.floors_met(),
        })
    }

    /// For people.
    pub fn print(&self) {
        println!(
            "\n{:<28} {:>10} {:>9} {:>22}",
            "danger", "times", "not done", "back after, at most"
        );
        for (name, tally) in &self.dangers {
            let back = format!("{:.1} s", tally.come_back_max.as_secs_f64());
            println!(
                "{name:<28} {:>10} {:>9} {back:>22}",
                tally.times, tally.not_done
            );
        }
        println!(
            "\n{:<28} {:>10} {:>9} {:>7} {:>9}",
            "topic", "equal", "missing", "extra", "different"
        );
        for verdict in self
            .stages
            .iter()
            .chain(self.once.iter().filter(|once| once.wrong() > 0))
        {
            println!("{verdict}");
        }
        if let Some((rows, totals)) = &self.studio {
            println!("\n{rows}\n{totals}");
        }
        for fault in &self.faults {
            println!("FAULT: {fault}");
        }
        println!(
            "\n{:<28} {:>14} {:>8} {:>8}",
            "figure", "value", "floor", "goal"
        );
        for figure in self.figures() {
            let shown =
                |bound: Option<f64>| bound.map_or_else(String::new, |bound| bound.to_string());
            let verdict = if figure.is_met() { "" } else { "   NOT MET" };
            println!(
                "{:<28} {:>14} {:>8} {:>8}{verdict}",
                figure.name,
                figure.value,
                shown(figure.floor),
                shown(figure.goal)
            );
        }
        println!();
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts to be read")]
const fn float(count: u64) -> f64 {
    count as f64
}

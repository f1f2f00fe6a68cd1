//! The budget of each stage: how many instructions it may take per event, as `benches/baseline.json` says, and whether it still keeps to it.
//!
//! Instructions are counted by callgrind, which runs the program on a processor of its own: a count does not depend on what else the machine
//! does, and differs from run to run by well under a percent (hash maps have random seeds). It says nothing about caches or waiting.

mod callgrind;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use callgrind::count;

/// So many percent more than the baseline are a regression.
pub const MORE_MAX_PERCENT: f64 = 10.0;
/// So many percent less: the baseline should follow, or a later regression hides behind it.
pub const LESS_MAX_PERCENT: f64 = 10.0;

/// Checked-in counts, and all that they depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of the compiler.
    pub rustc: String,
    /// Target that it compiled for.
    pub target: String,
    /// Events in all.
    pub events: u64,
    /// Seed of the generator.
    pub seed: u64,
    /// By stage, per event of the whole mix.
    pub instructions_per_event: BTreeMap<String, f64>,
}

/// How a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Within the budget.
    Kept,
    /// Far below it.
    Better,
    /// Above it.
    Exceeded,
    /// The baseline does not know the stage.
    New,
    /// The baseline knows it, but it was not measured.
    Gone,
}

/// A stage, what it may take, and what it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name.
    pub stage: String,
    /// Instructions per event of the baseline.
    pub baseline: Option<f64>,
    /// Instructions per event now.
    pub measured: Option<f64>,
    /// What that means.
    pub standing: Standing,
}

impl Line {
    fn new(stage: &str, baseline: Option<f64>, measured: Option<f64>) -> Self {
        let standing = match (baseline, measured) {
            (None, _) => Standing::New,
            (_, None) => Standing::Gone,
            (Some(before), Some(now)) => match percent_more(before, now) {
                more if more > MORE_MAX_PERCENT => Standing::Exceeded,
                more if more < -LESS_MAX_PERCENT => Standing::Better,
                _ => Standing::Kept,
            },
        };
        Self {
            stage: stage.to_owned(),
            baseline,
            measured,
            standing,
        }
    }
}

/// Compares counts with a baseline, stage by stage, those of the baseline first.
#[must_use]
pub fn compare(baseline: &BTreeMap<String, f64>, measured: &BTreeMap<String, f64>) -> Vec<Line> {
    let known = baseline
        .iter()
        .map(|(stage, before)| Line::new(stage, Some(*before), measured.get(stage).copied()));
    let new = measured
        .iter()
        .filter(|(stage, _)| !baseline.contains_key(*stage))
        .map(|(stage, now)| Line::new(stage, None, Some(*now)));
    known.chain(new).collect()
}

/// True if no stage takes more than it may, none is missing, and none is without a budget.
#[must_use]
pub fn is_kept(lines: &[Line]) -> bool {
    lines
        .iter()
        .all(|line| matches!(line.standing, Standing::Kept | Standing::Better))
}

fn percent_more(before: f64, now: f64) -> f64 {
    (now - before) * 100.0 / before
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Better => "better: lower its baseline",
            Self::Exceeded => "EXCEEDED",
            Self::New => "NEW: has no baseline",
            Self::Gone => "GONE: was not measured",
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |figure: Option<f64>| figure.map_or("-".to_owned(), |it| format!("{it:.0}"));
        let more = match (self.baseline, self.measured) {
            (Some(before), Some(now)) => format!("{:+.1} %", percent_more(before, now)),
            _ => "-".to_owned(),
        };
        write!(
            f,
            "{:<15} {:>12} {:>12} {more:>10}  {}",
            self.stage,
            shown(self.baseline),
            shown(self.measured),
            self.standing
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Standing, compare, is_kept};

    fn counts(of: &[(&str, f64)]) -> BTreeMap<String, f64> {
        of.iter()
            .map(|(stage, count)| ((*stage).to_owned(), *count))
            .collect()
    }

    fn standings(baseline: &[(&str, f64)], measured: &[(&str, f64)]) -> Vec<Standing> {
        compare(&counts(baseline), &counts(measured))
            .iter()
            .map(|line| line.standing)
            .collect()
    }

    #[test]
    fn a_tenth_more_is_kept_and_anything_above_is_not() {
        let baseline = [("decode", 1_000.0)];
        assert_eq!(
            standings(&baseline, &[("decode", 1_100.0)]),
            [Standing::Kept]
        );
        assert_eq!(
            standings(&baseline, &[("decode", 1_101.0)]),
            [Standing::Exceeded]
        );
        assert_eq!(standings(&baseline, &[("decode", 900.0)]), [Standing::Kept]);
        assert_eq!(
            standings(&baseline, &[("decode", 800.0)]),
            [Standing::Better]
        );
    }

    #[test]
    fn a_stage_without_a_counterpart_fails_the_check() {
        let lines = compare(
            &counts(&[("decode", 1.0), ("window", 2.0)]),
            &counts(&[("decode", 1.0), ("rank", 3.0)]),
        );
        let standings: Vec<_> = lines
            .iter()
            .map(|line| (line.stage.as_str(), line.standing))
            .collect();
        assert_eq!(
            standings,
            [
                ("decode", Standing::Kept),
                ("window", Standing::Gone),
                ("rank", Standing::New)
            ]
        );
        assert!(!is_kept(&lines[1..2]) && !is_kept(&lines[2..]) && is_kept(&lines[..1]));
    }

    #[test]
    fn one_stage_over_its_budget_is_enough_to_fail() {
        let lines = compare(
            &counts(&[("decode", 100.0), ("dedup", 100.0)]),
            &counts(&[("decode", 50.0), ("dedup", 120.0)]),
        );
        assert!(!is_kept(&lines));
        assert_eq!(
            lines[1].to_string(),
            "dedup                    100          120    +20.0 %  EXCEEDED"
        );
    }
}

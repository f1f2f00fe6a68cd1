//! What a run of the generator produces.

use crate::Error;
use crate::calendar::DAY_MS;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
/// Share of `read` events; they change nothing.
pub const READ_SHARE: f64 = 0.005;

/// Settings of the generator. Shares are parts of 1 of all records.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Records in all, duplicates and garbage included. Default 1,000,000.
    pub events: u64,
    /// Everything follows from it. Default 42.
    pub seed: u64,
    /// Share of records that repeat an earlier one of the same partition byte for byte. Default 5 %.
    pub duplicates: f64,
    /// Share of records that arrive later than their event time says. Default 5 %.
    pub disorder: f64,
    /// Share of records that cannot be decoded. Default 0.1 %.
    pub garbage: f64,
    /// Share of events that update an existing entity. Default 10 %.
    pub updates: f64,
    /// Share of events that delete an existing entity. Default 1 %.
    pub deletes: f64,
    /// Partitions of each topic. Default 4.
    pub partitions: u32,
    /// Time of the first event, in milliseconds since 1970. Default 2026-01-01.
    pub start_ms: i64,
    /// Event time between the first and the last event, in milliseconds. Default 30 days. Ignored with a rate.
    pub span_ms: i64,
    /// Events per second of event time, evenly spread, for a live run: set `start_ms` to now.
    pub rate: Option<f64>,
    /// `movies.json`: each film becomes a production, warts and all.
    pub slate: Option<String>,
    /// Threads that generate. Changes nothing in the output. Default: one per processor.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            events: 1_000_000,
            seed: 42,
            duplicates: 0.05,
            disorder: 0.05,
            garbage: 0.001,
            updates: 0.10,
            deletes: 0.01,
            partitions: 4,
            start_ms: START_MS,
            span_ms: 30 * DAY_MS,
            rate: None,
            slate: None,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

impl Settings {
    /// Refuses what cannot be generated.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |setting, problem: &str| {
            Err(Error::Setting {
                setting,
                problem: problem.to_owned(),
            })
        };
        let shares = [
            ("duplicates", self.duplicates),
            ("disorder", self.disorder),
            ("garbage", self.garbage),
            ("updates", self.updates),
            ("deletes", self.deletes),
        ];
        for (setting, share) in shares {
            if !(0.0..=0.5).contains(&share) {
                return refuse(setting, "must lie between 0% and 50%");
            }
        }
        if self.updates + self.deletes > 0.9 {
            return refuse(
                "updates",
                "leaves no room for new entities; updates and deletes together must stay below 90%",
            );
        }
        if self.duplicates + self.garbage > 0.9 {
            return refuse(
                "duplicates",
                "leaves no room for events; duplicates and garbage together must stay below 90%",
            );
        }
        if self.partitions == 0 {
            return refuse("partitions", "must be at least 1");
        }
        if self.threads == 0 {
            return refuse("threads", "must be at least 1");
        }
        if self.span_ms < 0 {
            return refuse("span", "must not be negative");
        }
        if self
            .rate
            .is_some_and(|rate| !(rate > 0.0 && rate.is_finite()))
        {
            return refuse("rate", "must be a number of events per second above 0");
        }
        Ok(())
    }
}

/// Reads a share such as `5%` or `0.05`.
///
/// # Errors
/// [`Error::Setting`] if it is no number.
pub fn parse_share(setting: &'static str, text: &str) -> Result<f64, Error> {
    let (number, unit) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text.trim(), 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value / unit),
        _ => Err(Error::Setting {
            setting,
            problem: format!("is '{text}'; write a share such as '5%' or '0.05'"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, parse_share};

    #[test]
    fn shares_are_percentages_or_fractions() {
        assert_eq!(parse_share("garbage", "0.1%").expect("is a share"), 0.001);
        assert_eq!(parse_share("updates", "0.25").expect("is a share"), 0.25);
        assert!(parse_share("updates", "many").is_err());
    }

    #[test]
    fn impossible_settings_are_refused_by_name() {
        let settings = Settings {
            duplicates: 0.7,
            ..Settings::default()
        };
        assert_eq!(
            settings.check().expect_err("is refused").to_string(),
            "setting 'duplicates' must lie between 0% and 50%"
        );
    }
}

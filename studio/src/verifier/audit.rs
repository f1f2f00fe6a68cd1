//! The audit: every accepted change of a payment exactly once, here or in the late ledger, and in order per payment.

use hashbrown::HashMap;
use serde::Deserialize;
use uuid::Uuid;

use super::ledgers::Ledger;
use super::{Progress, SinkReport, VerifySettings};
use crate::oracle::Seen;
use crate::oracle::rows::{Text, Time};
use crate::{Error, OutputReader, Topic, topic};

/// A change that the audit must hold.
struct Change {
    id: i64,
    ts: i64,
    found: bool,
}

/// Of a row of the audit only what identifies and orders it; what else stands in it is the job's choice.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow, alias = "event_uuid")]
    uuid: Text<'a>,
    #[serde(alias = "id")]
    payment_id: i64,
    #[serde(alias = "ts")]
    changed_at: Time,
}

/// Collects what the audit must hold, then compares.
pub struct Audit {
    within_ms: i64,
    changes: HashMap<u128, Change>,
    progress: Progress,
    pub unexplained_late: u64,
}

impl Audit {
    pub fn new(within_ms: i64) -> Self {
        Self {
            within_ms,
            changes: HashMap::new(),
            progress: Progress::default(),
            unexplained_late: 0,
        }
    }

    /// An accepted change: expected here unless the late ledger has it.
    pub fn expect(&mut self, seen: Seen<'_>, late: &mut Ledger) {
        if late.take(Topic::Payment, seen.partition, seen.offset, seen.bytes) {
            let explained = self
                .progress
                .highest_in(seen.partition)
                .is_some_and(|highest| highest >= seen.ts + self.within_ms);
            self.unexplained_late += u64::from(!explained);
        } else {
            self.changes.insert(
                seen.uuid,
                Change {
                    id: seen.id,
                    ts: seen.ts,
                    found: false,
                },
            );
        }
        self.progress.see(seen);
    }

    pub fn compare(
        mut self,
        outputs: &dyn OutputReader,
        settings: &VerifySettings,
    ) -> Result<SinkReport, Error> {
        let mut report = SinkReport::new(topic::PAYMENT_AUDIT);
        let mut last: HashMap<i64, i64> = HashMap::new();
        outputs.read(
            topic::PAYMENT_AUDIT,
            &mut |partition, offset, _epoch, _key, value| {
                let at = || {
                    format!(
                        "{partition}/{offset}: {}",
                        String::from_utf8_lossy(value.unwrap_or_default())
                    )
                };
                let row = value.and_then(|value| serde_json::from_slice::<Row<'_>>(value).ok());
                let uuid = row
                    .as_ref()
                    .and_then(|row| Uuid::try_parse(&row.uuid.0).ok());
                let (Some(row), Some(uuid)) = (row, uuid) else {
                    report.extra += 1;
                    report.example(|| format!("extra: no row of the audit at {}", at()));
                    return;
                };
                let last = last.entry(row.payment_id).or_insert(i64::MIN);
                if row.changed_at.0 < *last {
                    report.disordered += 1;
                    report.example(|| format!("out of order: at {}", at()));
                }
                *last = row.changed_at.0;
                match self.changes.get_mut(&uuid.as_u128()) {
                    Some(change) if !change.found => {
                        change.found = true;
                        if (change.id, change.ts) == (row.payment_id, row.changed_at.0) {
                            report.equal += 1;
                        } else {
                            report.different += 1;
                            report.example(|| {
                                format!(
                                    "different: not payment {} at {} ms, at {}",
                                    change.id,
                                    change.ts,
                                    at()
                                )
                            });
                        }
                    }
                    Some(_) => {
                        report.extra += 1;
                        report.example(|| format!("extra: a second time at {}", at()));
                    }
                    None => {
                        report.extra += 1;
                        report.example(|| {
                            format!("extra: no accepted change, or late as well, at {}", at())
                        });
                    }
                }
            },
        )?;
        self.count_missing(settings, &mut report);
        Ok(report)
    }

    fn count_missing(&self, settings: &VerifySettings, report: &mut SinkReport) {
        let reached = self.progress.reached(settings);
        for (uuid, change) in self.changes.iter().filter(|(_, change)| !change.found) {
            if reached.is_some_and(|reached| change.ts.saturating_add(self.within_ms) < reached) {
                report.missing += 1;
                report.example(|| {
                    format!(
                        "missing: payment {} at {} ms, event {}",
                        change.id,
                        change.ts,
                        Uuid::from_u128(*uuid)
                    )
                });
            } else {
                report.pending += 1;
            }
        }
    }
}

//! The payments that lie in the broker: each is a function of its id, and so is the row that the job must write for it.

use std::io::Write;

use anyhow::{Result, ensure};
use tidemill_connectors_kafka::tools::{Bulk, TopicRecord, TopicSpec, create_topics, read_topic};

/// Where the payments lie.
const INPUT: &str = "studio.payment";
/// 2026-01-01T00:00:00Z, the time of the first payment, in milliseconds.
const FIRST_MS: u64 = 1_767_225_600_000;
const CURRENCIES: [&str; 4] = ["USD", "EUR", "GBP", "JPY"];
const STATUSES: [&str; 4] = ["planned", "approved", "paid", "cancelled"];

/// What was written into the broker.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    /// Bytes of the values.
    pub bytes: u64,
    /// Payments that the job must pass on.
    pub kept: u64,
    /// The sum of their amounts, in hundredths.
    pub amount: u64,
}

/// What the job has written, compared with what it must write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows.
    pub rows: u64,
    /// The sum of their amounts, in hundredths.
    pub amount: u64,
    /// Rows that are not, byte for byte, what the payment of their key gives.
    pub wrong: u64,
    /// Rows of a key that had one already.
    pub repeated: u64,
    /// Rows without the epoch in their header, or with a smaller one than a row before them in their partition.
    pub misplaced: u64,
}

impl Found {
    /// True if every payment that must be there is there, once.
    #[must_use]
    pub const fn is(&self, written: &Written) -> bool {
        self.rows == written.kept
            && self.amount == written.amount
            && self.wrong == 0
            && self.repeated == 0
            && self.misplaced == 0
    }
}

struct Payment {
    id: u64,
    bits: u64,
}

impl Payment {
    const fn new(id: u64) -> Self {
        // SplitMix64: as good as random, and the same for the same id.
        let mut bits = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self {
            id,
            bits: bits ^ (bits >> 31),
        }
    }

    const fn production(&self) -> u64 {
        1 + self.bits % 5_000
    }

    /// In hundredths.
    const fn amount(&self) -> u64 {
        100 + (self.bits >> 16) % 10_000_000
    }

    const fn currency(&self) -> &'static str {
        CURRENCIES[(self.bits >> 48) as usize % 4]
    }

    const fn status(&self) -> &'static str {
        STATUSES[(self.bits >> 52) as usize % 4]
    }

    const fn month_and_day(&self) -> (u64, u64) {
        (1 + (self.bits >> 40) % 12, 1 + (self.bits >> 44) % 28)
    }

    const fn ms(&self) -> u64 {
        FIRST_MS + self.id
    }

    fn is_kept(&self) -> bool {
        self.status() != "cancelled"
    }

    /// The event, as a producer publishes it.
    fn write_event(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        let (amount, (month, day)) = (self.amount(), self.month_and_day());
        write!(
            out,
            "{{\"uuid\":\"{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}\",\"type\":\"create\",\"ts\":{},\"entity\":\"payment\",\"id\":{},",
            self.bits >> 32,
            (self.bits >> 16) & 0xffff,
            self.bits & 0xfff,
            (self.bits >> 12) & 0xfff,
            self.id,
            self.ms(),
            self.id
        )?;
        write!(
            out,
            "\"data\":{{\"production_id\":{},\"budget_id\":{},\"talent_id\":{},\"amount\":\"{}.{:02}\",\"currency\":\"{}\",\"due_on\":\"2026-{month:02}-{day:02}\",\
             \"status\":\"{}\"}}}}",
            self.production(),
            self.bits % 40_000,
            self.bits % 90_000,
            amount / 100,
            amount % 100,
            self.currency(),
            self.status()
        )
    }

    /// The row that the job must write.
    fn write_row(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        let (amount, gross, (month, day)) =
            (self.amount(), self.amount() * 125, self.month_and_day());
        let seconds = (self.ms() - FIRST_MS) / 1000;
        write!(
            out,
            "{{\"id\":{},\"production_id\":{},\"amount\":\"{}.{:02}\",\"gross\":\"{}.{:04}\",\"currency\":\"{}\",\"due_on\":\"2026-{month:02}-{day:02}\",\
             \"status\":\"{}\",\"ts\":\"2026-01-01T{:02}:{:02}:{:02}.{:03}Z\"}}",
            self.id,
            self.production(),
            amount / 100,
            amount % 100,
            gross / 10_000,
            gross % 10_000,
            self.currency(),
            self.status(),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            self.ms() % 1000
        )
    }
}

/// The most payments whose times lie on the first day, which is what the rows' times are written for.
pub const COUNT_MAX: u64 = 86_000_000;

/// Writes the payments 1 to `count`, each to the partition of its id; and makes the topics that jobs will write.
///
/// # Errors
/// If the broker refuses.
pub fn write(bootstrap: &str, count: u64, partitions: u32, outputs: &[&str]) -> Result<Written> {
    ensure!(
        count <= COUNT_MAX,
        "{count} payments are more than a day has milliseconds"
    );
    let topics = [&[INPUT], outputs]
        .concat()
        .into_iter()
        .map(|name| TopicSpec {
            name,
            partitions,
            settings: Vec::new(),
        });
    create_topics(bootstrap, &topics.collect::<Vec<_>>())?;
    let mut bulk = Bulk::new(bootstrap)?;
    let mut written = Written::default();
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for id in 1..=count {
        let payment = Payment::new(id);
        key.clear();
        value.clear();
        write!(key, "{id}")?;
        payment.write_event(&mut value)?;
        bulk.produce(INPUT, None, Some(&key), Some(&value))?;
        written.bytes += value.len() as u64;
        if payment.is_kept() {
            written.kept += 1;
            written.amount += payment.amount();
        }
    }
    bulk.flush()?;
    Ok(written)
}

/// Reads all that is committed in the topic `output`.
///
/// # Errors
/// If the broker does not answer.
pub fn find(bootstrap: &str, output: &str, count: u64) -> Result<Found> {
    let mut checker = Checker {
        found: Found::default(),
        seen: vec![false; usize::try_from(count)? + 1],
        epochs: Vec::new(),
        expected: Vec::new(),
    };
    read_topic(bootstrap, output, true, |record| checker.take(&record))?;
    Ok(checker.found)
}

struct Checker {
    found: Found,
    /// By id, whether a row was there.
    seen: Vec<bool>,
    /// By partition, the epoch of the row before.
    epochs: Vec<u64>,
    expected: Vec<u8>,
}

impl Checker {
    fn take(&mut self, record: &TopicRecord<'_>) {
        self.found.rows += 1;
        let partition = record.partition as usize;
        if self.epochs.len() <= partition {
            self.epochs.resize(partition + 1, 0);
        }
        match record.epoch {
            Some(epoch) if epoch.0 >= self.epochs[partition] => self.epochs[partition] = epoch.0,
            _ => self.found.misplaced += 1,
        }
        let id = std::str::from_utf8(record.key)
            .ok()
            .and_then(|key| key.parse::<usize>().ok())
            .filter(|&id| id > 0 && id < self.seen.len());
        let Some(id) = id else {
            self.found.wrong += 1;
            return;
        };
        let payment = Payment::new(id as u64);
        self.expected.clear();
        let is_written = payment.write_row(&mut self.expected).is_ok();
        if !is_written || !payment.is_kept() || record.value != Some(&self.expected[..]) {
            self.found.wrong += 1;
            return;
        }
        self.found.amount += payment.amount();
        self.found.repeated += u64::from(std::mem::replace(&mut self.seen[id], true));
    }
}

#[cfg(test)]
mod tests {
    use tidemill_connectors_kafka::tools::TopicRecord;
    use tidemill_types::Epoch;

    use super::{Checker, Found, Payment, Written};

    fn row(id: u64) -> Vec<u8> {
        let mut row = Vec::new();
        Payment::new(id).write_row(&mut row).unwrap();
        row
    }

    fn found(count: u64, records: &[(u64, &[u8], u64)]) -> Found {
        let mut checker = Checker {
            found: Found::default(),
            seen: vec![false; usize::try_from(count).unwrap() + 1],
            epochs: Vec::new(),
            expected: Vec::new(),
        };
        for &(id, value, epoch) in records {
            checker.take(&TopicRecord {
                partition: 0,
                offset: 0,
                key: id.to_string().as_bytes(),
                value: Some(value),
                epoch: Some(Epoch(epoch)),
            });
        }
        checker.found
    }

    #[test]
    fn a_row_is_right_once_and_in_the_order_of_epochs() {
        let kept: Vec<u64> = (1..100)
            .filter(|&id| Payment::new(id).is_kept())
            .take(2)
            .collect();
        let (first, second) = (row(kept[0]), row(kept[1]));
        let right = found(100, &[(kept[0], &first, 1), (kept[1], &second, 1)]);
        let amount = Payment::new(kept[0]).amount() + Payment::new(kept[1]).amount();
        assert!(right.is(&Written {
            bytes: 0,
            kept: 2,
            amount
        }));
        assert_eq!(
            found(100, &[(kept[0], &first, 1), (kept[0], &first, 1)]).repeated,
            1
        );
        assert_eq!(found(100, &[(kept[0], &second, 1)]).wrong, 1);
        assert_eq!(
            found(100, &[(kept[0], &first, 2), (kept[1], &second, 1)]).misplaced,
            1
        );
    }

    #[test]
    fn an_event_has_some_250_bytes() {
        let mut event = Vec::new();
        Payment::new(1_234_567).write_event(&mut event).unwrap();
        assert!((235..=265).contains(&event.len()), "{}", event.len());
    }
}

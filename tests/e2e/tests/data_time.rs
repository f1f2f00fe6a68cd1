//! Time is the data's, not the job's: what lies in a partition unread is no silence, however long nothing came before, and an empty partition
//! holds nothing back once it is known to be empty.
//!
//! Over files. What a partition's end says, and when, is tested with the engine; that a watermark follows it, with the operators.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tidemill_tests_e2e::files;
use tidemill_tests_e2e::jobs::FilesJob;
use tidemill_tests_e2e::process::Live;

const METERS: u32 = 8;
/// More than a megabyte for each meter: no epoch can hold some of all.
const BACKLOG: u64 = 9_000;
/// 2026-01-05 10:00, in milliseconds.
const START_MS: u64 = 1_767_607_200_000;

/// Readings of meters, one partition for each, put in order.
struct Meters {
    job: FilesJob,
    _scratch: TempDir,
}

impl Meters {
    fn new(idle_timeout: &str) -> Self {
        let scratch = TempDir::new().unwrap();
        let sql = scratch.path().join("meters.sql");
        let with = "connector = 'files', path = '${TIDEMILL_DATA}'";
        let statements = format!(
            "CREATE SOURCE meter_events (
                 id BIGINT NOT NULL METADATA FROM 'id', reading BIGINT, ts TIMESTAMP METADATA FROM 'ts', uuid UUID METADATA FROM 'uuid',
                 WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
             ) WITH (envelope = 'crud', {with}, topic = 'meters', watermark.idle-timeout = '{idle_timeout}');
             CREATE STREAM meter FROM meter_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;
             CREATE SINK trail WITH ({with}, topic = 'trail', key = 'id', envelope = 'plain') AS SELECT id, reading, ts FROM meter;
             CREATE SINK minutes WITH ({with}, topic = 'minutes', key = 'id, minute') AS
                 SELECT id, window_start AS minute, count(*) AS readings
                 FROM TABLE(TUMBLE(TABLE meter, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY id, window_start, window_end;
             CREATE SINK late WITH ({with}, topic = 'late') AS SELECT \"partition\", \"offset\", reason FROM tidemill_late;\n"
        );
        fs::write(&sql, statements).unwrap();
        let job = FilesJob::below(scratch.path(), &sql, "meters");
        (0..METERS).for_each(|meter| files::append(&job.data, "meters", meter, b""));
        Self {
            job,
            _scratch: scratch,
        }
    }

    /// A reading every 100 ms.
    fn feed(&self, meter: u32, readings: std::ops::Range<u64>) {
        let mut lines = String::new();
        for reading in readings {
            let ts = START_MS + reading * 100;
            writeln!(
                lines,
                r#"{{"uuid": "00000000-0000-4000-{meter:04}-{reading:012}", "type": "create", "ts": {ts}, "entity": "meter", "id": {meter}, "data": {{"reading": {reading}}}}}"#
            )
            .unwrap();
        }
        files::append(&self.job.data, "meters", meter, lines.as_bytes());
    }

    fn feed_all(&self, readings: std::ops::Range<u64>) {
        (0..METERS).for_each(|meter| self.feed(meter, readings.clone()));
    }

    fn catch_up(&self) {
        let command = self.job.run(2, &["--until-caught-up"]);
        Live::start(command).ends().good();
    }

    /// The readings in the trail, by meter.
    fn trail(&self) -> BTreeMap<u64, Vec<u64>> {
        let mut trail: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for row in files::rows(&self.job.data, "trail") {
            let number = |name: &str| row[name].as_u64().unwrap();
            trail
                .entry(number("id"))
                .or_default()
                .push(number("reading"));
        }
        trail
    }

    /// Nothing was late, and the trail of every meter is its first so many readings.
    fn is_in_order(&self, readings: u64) {
        assert_eq!(files::rows(&self.job.data, "late"), Vec::<Value>::new());
        let trail = self.trail();
        assert_eq!(trail.len(), METERS as usize);
        for (meter, trail) in trail {
            assert!(
                trail.iter().copied().eq(0..readings),
                "meter {meter}: {} readings of {readings}, or not in order",
                trail.len()
            );
        }
    }
}

/// How many partitions the last journalled epoch calls idle.
fn idle(data: &Path) -> usize {
    let record = files::last_record(data).unwrap_or_default();
    let idle = record["time"]["idle"]["meter_events"].as_array();
    idle.map_or(0, Vec::len)
}

#[test]
fn a_backlog_after_a_stop_is_put_in_order_and_nothing_of_it_is_late() {
    let meters = Meters::new("1 ms");
    meters.feed_all(0..100);
    meters.catch_up();
    meters.feed_all(100..BACKLOG);
    meters.catch_up();
    meters.feed_all(BACKLOG..BACKLOG + 200);
    meters.catch_up();
    // The watermark stands five seconds behind the last reading, and the resequencer waits for no more than that.
    meters.is_in_order(BACKLOG + 200 - 51);
}

#[test]
fn a_backlog_after_a_silence_is_put_in_order_and_nothing_of_it_is_late() {
    let meters = Meters::new("1 ms");
    meters.feed_all(0..100);
    let mut live = Live::start(meters.job.run(2, &[]));
    live.until("an epoch in which all is idle", || {
        idle(&meters.job.data) == METERS as usize
    });
    meters.feed_all(100..BACKLOG);
    live.wait_for("the end of the backlog", |status| {
        status["state"] == "caught_up" && status["records_in"] == u64::from(METERS) * BACKLOG
    });
    live.stop().good();
    meters.feed_all(BACKLOG..BACKLOG + 200);
    meters.catch_up();
    meters.is_in_order(BACKLOG + 200 - 51);
}

#[test]
fn an_empty_partition_holds_no_bounded_run_back() {
    let meters = Meters::new("1 day");
    (1..METERS).for_each(|meter| meters.feed(meter, 0..1_500));
    meters.catch_up();
    let trail = meters.trail();
    assert_eq!(trail.len(), METERS as usize - 1);
    for (meter, trail) in trail {
        assert!(trail.into_iter().eq(0..1_449), "meter {meter}");
    }
    let minutes = files::records(&meters.job.data, "minutes");
    assert_eq!(
        minutes.len(),
        2 * (METERS as usize - 1),
        "two minutes are over"
    );
    // A second run has nothing to do, and does nothing.
    let epoch = files::committed_epoch(&meters.job.data);
    meters.catch_up();
    assert_eq!(files::committed_epoch(&meters.job.data), epoch);
}

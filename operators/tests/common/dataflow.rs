//! A timely run on some number of workers, fed epoch by epoch. The inputs progress apart from each other, as a schedule says, so that
//! operators with several inputs see one ahead of the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow_schema::SchemaRef;
use tidemill_operators::{Changes, Failure, Packet, Tick, Ticks};
use timely::Config;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::operators::{Input, Inspect, Probe, probe};
use timely::worker::Worker;

use super::{Multiset, Values, add, add_batches, batches, tick};

type Handle<T> = InputHandle<u64, CapacityContainerBuilder<Vec<T>>>;

/// One input: its columns, and the changes of each epoch.
#[derive(Clone)]
pub struct Feed {
    pub schema: SchemaRef,
    pub epochs: Vec<Vec<(Values, i64)>>,
}

/// How a run goes.
#[derive(Debug, Clone)]
pub struct Run {
    pub workers: usize,
    pub batch_rows: usize,
    /// Which input gets its next epoch; a number behind the inputs' is a step of the dataflow. The ticks are the last input.
    pub schedule: Vec<usize>,
}

/// Per output the contents after each epoch.
pub type Contents = Vec<Vec<Multiset>>;

/// Builds the dataflow from the inputs.
pub trait Build:
    for<'scope> Fn(Vec<Changes<'scope>>, Ticks<'scope>, &Failure) -> Vec<Changes<'scope>>
    + Send
    + Sync
    + 'static
{
}

impl<B> Build for B where
    B: for<'scope> Fn(Vec<Changes<'scope>>, Ticks<'scope>, &Failure) -> Vec<Changes<'scope>>
        + Send
        + Sync
        + 'static
{
}

/// Tells the other workers of a panic: they would wait for ever.
#[derive(Clone, Default)]
struct Alarm(Arc<AtomicBool>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The changes of each output by epoch.
type Collected = Arc<Mutex<BTreeMap<(usize, u64), Multiset>>>;

/// Runs the dataflow to its end. The first epoch is 1; all feeds have the same number of epochs.
pub fn run(run: &Run, feeds: &[Feed], outputs: usize, build: impl Build) -> Contents {
    let epochs = feeds[0].epochs.len();
    let collected = Collected::default();
    let (alarm, sink, feeds, of_run) = (
        Alarm::default(),
        Arc::clone(&collected),
        feeds.to_vec(),
        run.clone(),
    );
    let config = if run.workers == 1 {
        Config::thread()
    } else {
        Config::process(run.workers)
    };
    let workers = timely::execute(config, move |worker| {
        let alarm = alarm.clone();
        let (mut driver, probe, failure) = install(worker, &of_run, &feeds, &build, &sink);
        for &input in &of_run.schedule {
            driver.feed(input, worker);
        }
        for epoch in 0..=epochs {
            (0..=feeds.len()).for_each(|input| driver.feed_up_to(input, epoch, worker));
        }
        drop(driver);
        while !probe.done() {
            worker.step();
            assert!(!alarm.0.load(Ordering::Relaxed), "another worker panicked");
            if let Some(error) = failure.take() {
                panic!("{error}");
            }
        }
    });
    workers
        .expect("workers start")
        .join()
        .into_iter()
        .for_each(|worker| worker.expect("no worker panics"));
    let mut changes = std::mem::take(&mut *collected.lock().expect("no worker panicked"));
    let contents = |output: usize| {
        let mut rows = Multiset::new();
        let mut after = |epoch: u64| {
            changes
                .remove(&(output, epoch))
                .unwrap_or_default()
                .into_iter()
                .for_each(|(row, diff)| add(&mut rows, row, diff));
            rows.clone()
        };
        (1..=epochs as u64).map(&mut after).collect()
    };
    (0..outputs).map(contents).collect()
}

fn install(
    worker: &mut Worker,
    run: &Run,
    feeds: &[Feed],
    build: &impl Build,
    sink: &Collected,
) -> (Driver, probe::Handle<u64>, Failure) {
    let (probe, failure) = (probe::Handle::new(), Failure::default());
    let (index, peers) = (worker.index(), worker.peers());
    let driver = worker.dataflow::<u64, _, _>(|scope| {
        let (ticks_handle, ticks) = scope.new_input::<Vec<Tick>>();
        let (handles, streams): (Vec<_>, Vec<_>) = feeds
            .iter()
            .map(|_| scope.new_input::<Vec<Packet>>())
            .unzip();
        for (output, stream) in build(streams, ticks, &failure).into_iter().enumerate() {
            let sink = Arc::clone(sink);
            stream
                .inspect_core(move |event| {
                    if let Ok((stamp, packets)) = event {
                        let mut sink = sink.lock().expect("no worker panicked");
                        let changes = sink.entry((output, stamp.elements()[0])).or_default();
                        packets.iter().for_each(|packet| {
                            add_batches(changes, std::slice::from_ref(&packet.changes))
                        });
                    }
                })
                .probe_with(&probe);
        }
        let own = |feed: &Feed| Feed {
            schema: feed.schema.clone(),
            epochs: feed
                .epochs
                .iter()
                .map(|changes| share(changes, index, peers))
                .collect(),
        };
        let feeds: Vec<Feed> = feeds.iter().map(own).collect();
        Driver {
            done: vec![0; feeds.len() + 1],
            epochs: feeds[0].epochs.len(),
            feeds,
            handles,
            ticks: ticks_handle,
            batch_rows: run.batch_rows,
        }
    });
    (driver, probe, failure)
}

/// A worker's part of an epoch's changes.
fn share(changes: &[(Values, i64)], worker: usize, workers: usize) -> Vec<(Values, i64)> {
    changes
        .iter()
        .skip(worker)
        .step_by(workers)
        .cloned()
        .collect()
}

struct Driver {
    feeds: Vec<Feed>,
    handles: Vec<Handle<Packet>>,
    ticks: Handle<Tick>,
    /// How many epochs each input got.
    done: Vec<usize>,
    epochs: usize,
    batch_rows: usize,
}

impl Driver {
    fn feed_up_to(&mut self, input: usize, epochs: usize, worker: &mut Worker) {
        while self.done[input] < epochs {
            self.feed(input, worker);
        }
    }

    /// Gives an input its next epoch.
    fn feed(&mut self, input: usize, worker: &mut Worker) {
        let Some(&done) = self.done.get(input).filter(|&&done| done < self.epochs) else {
            worker.step();
            return;
        };
        self.done[input] += 1;
        let epoch = done as u64 + 1;
        if input == self.feeds.len() {
            self.ticks.advance_to(epoch);
            self.ticks.send(tick(0, None));
            self.ticks.advance_to(epoch + 1);
        } else {
            let (handle, feed) = (&mut self.handles[input], &self.feeds[input]);
            handle.advance_to(epoch);
            batches(&feed.schema, &feed.epochs[done], self.batch_rows)
                .into_iter()
                .for_each(|changes| handle.send(Packet::from(changes)));
            handle.advance_to(epoch + 1);
        }
    }
}

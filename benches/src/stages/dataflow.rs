//! A timely dataflow with one worker, fed epoch by epoch; only what happens between an epoch's input and its completion is timed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidemill_operators::{Changes, Error, Failure, Packet, Tick, Ticks};
use tidemill_types::ChangeBatch;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::operators::{Input, Inspect, Probe, probe};
use timely::worker::Worker;

/// Per epoch its batches.
pub type Epochs = Vec<Vec<ChangeBatch>>;

type Handle<T> = InputHandle<u64, CapacityContainerBuilder<Vec<T>>>;

/// Builds the dataflow under measurement from its inputs.
pub trait Build:
    for<'scope> FnOnce(
        Vec<Changes<'scope>>,
        Ticks<'scope>,
        &Failure,
    ) -> Result<Changes<'scope>, Error>
    + Send
    + Sync
    + 'static
{
}

impl<B> Build for B where
    B: for<'scope> FnOnce(
            Vec<Changes<'scope>>,
            Ticks<'scope>,
            &Failure,
        ) -> Result<Changes<'scope>, Error>
        + Send
        + Sync
        + 'static
{
}

/// Runs all epochs through the dataflow: what comes out of each, and the time it took.
///
/// # Errors
/// If the dataflow cannot be built, or fails.
pub fn run(inputs: Vec<Epochs>, build: impl Build) -> Result<(Epochs, Duration), Error> {
    timely::execute_directly(move |worker| {
        Dataflow::install(worker, inputs.len(), build)?.run(worker, inputs)
    })
}

struct Dataflow {
    handles: Vec<Handle<Packet>>,
    ticks: Handle<Tick>,
    probe: probe::Handle<u64>,
    failure: Failure,
    output: Rc<RefCell<Vec<ChangeBatch>>>,
}

impl Dataflow {
    fn install(worker: &mut Worker, inputs: usize, build: impl Build) -> Result<Self, Error> {
        let (probe, failure, output) = (
            probe::Handle::new(),
            Failure::default(),
            Rc::new(RefCell::new(Vec::new())),
        );
        let (handles, ticks) = worker.dataflow::<u64, _, _>(|scope| {
            let (ticks_handle, ticks) = scope.new_input::<Vec<Tick>>();
            let (handles, streams): (Vec<_>, Vec<_>) = (0..inputs)
                .map(|_| scope.new_input::<Vec<Packet>>())
                .unzip();
            let into = Rc::clone(&output);
            let built = build(streams, ticks, &failure)?;
            built
                .inspect(move |packet| into.borrow_mut().push(packet.changes.clone()))
                .probe_with(&probe);
            Ok::<_, Error>((handles, ticks_handle))
        })?;
        Ok(Self {
            handles,
            ticks,
            probe,
            failure,
            output,
        })
    }

    fn run(
        mut self,
        worker: &mut Worker,
        inputs: Vec<Epochs>,
    ) -> Result<(Epochs, Duration), Error> {
        let (mut outputs, mut took) = (Vec::new(), Duration::ZERO);
        let count = inputs.iter().map(Vec::len).max().unwrap_or(0);
        let mut inputs: Vec<_> = inputs.into_iter().map(Vec::into_iter).collect();
        for epoch in 1..=count as u64 {
            self.advance_to(epoch);
            let started = Instant::now();
            self.ticks.send(Tick {
                clock_ms: 0,
                restored: false,
                watermark: None,
            });
            for (handle, input) in self.handles.iter_mut().zip(&mut inputs) {
                input
                    .next()
                    .into_iter()
                    .flatten()
                    .for_each(|changes| handle.send(Packet::from(changes)));
            }
            self.advance_to(epoch + 1);
            while self.probe.less_than(&(epoch + 1)) {
                worker.step();
                if let Some(error) = self.failure.take() {
                    return Err(error);
                }
            }
            took += started.elapsed();
            outputs.push(self.output.take());
        }
        Ok((outputs, took))
    }

    fn advance_to(&mut self, epoch: u64) {
        self.ticks.advance_to(epoch);
        for handle in &mut self.handles {
            handle.advance_to(epoch);
        }
    }
}

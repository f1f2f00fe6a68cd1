//! The stages that keep arrangements, in a timely dataflow of one worker or more, fed epoch by epoch; only what happens between an epoch's
//! input and its completion is measured.
//!
//! All that the benches know about differential's operators stands here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arrow_schema::{ArrowError, SchemaRef};
use differential_dataflow::trace::TraceReader;
use tidemill_operators::keyed::KeyedLayout;
use tidemill_operators::{
    Changes, Error, Failure, Packet, Tick, Ticks, arrange, join, lookup, reduce,
};
use tidemill_types::ChangeBatch;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Input, Inspect, Probe, probe};
use timely::worker::Worker;

use super::section::{Took, measured};

/// Per epoch its batches.
pub type Epochs = Vec<Vec<ChangeBatch>>;
/// What one worker is fed: per input its epochs.
pub type Share = Vec<Epochs>;

type Handle<T> = InputHandle<u64, CapacityContainerBuilder<Vec<T>>>;

/// How long a worker sleeps that waits for the others, before it looks whether one of them has failed.
const NAP_MAX: Duration = Duration::from_millis(10);

/// One input of a join, or of an arrangement.
#[derive(Debug, Clone)]
pub struct Side {
    /// Its columns.
    pub schema: SchemaRef,
    /// The column that it is indexed by.
    pub key: String,
}

impl Side {
    /// Where the key stands.
    fn position(&self) -> Result<usize, Error> {
        self.schema
            .index_of(&self.key)
            .map_err(|source| self.columns_error(source))
    }

    fn columns_error(&self, source: ArrowError) -> Error {
        Error::Columns {
            operator: self.key.clone(),
            source,
        }
    }
}

/// What is measured.
#[derive(Debug, Clone)]
pub enum Stage {
    /// An index, read by nothing.
    Arrange(Side),
    /// A join of two indexes; `padded` keeps left rows without a match.
    Join {
        /// Left and right.
        sides: [Side; 2],
        /// A left join.
        padded: bool,
        /// All columns of both.
        output: SchemaRef,
    },
    /// Rows of the left side, of which nothing is kept, each with what an index of the right side holds.
    Lookup {
        /// Left and right.
        sides: [Side; 2],
        /// All columns of both.
        output: SchemaRef,
    },
    /// Groups and their sums.
    Reduce {
        /// What is computed.
        settings: reduce::Settings,
        /// The columns of the input.
        schema: SchemaRef,
        /// The columns of the result.
        output: SchemaRef,
    },
}

impl Stage {
    fn build<'scope>(
        self,
        mut inputs: Vec<Changes<'scope>>,
        ticks: Ticks<'scope>,
        failure: &Failure,
    ) -> Result<Changes<'scope>, Error> {
        match self {
            Self::Arrange(side) => arranged(inputs.remove(0), &side, failure),
            Self::Join {
                sides: [left, right],
                padded,
                output,
            } => {
                let right = join::Side {
                    arrangement: index(inputs.remove(1), &right, failure)?,
                    padded,
                };
                let left = join::Side {
                    arrangement: index(inputs.remove(0), &left, failure)?,
                    padded: false,
                };
                let settings = join::Settings {
                    name: "join".to_owned(),
                    output,
                    follows: join::Follows::AllSides,
                    unneeded_through: None,
                };
                join::join(vec![left, right], settings, failure)
            }
            Self::Lookup {
                sides: [left, right],
                output,
            } => {
                let right = index(inputs.remove(1), &right, failure)?;
                let settings = lookup::Settings {
                    name: "lookup".to_owned(),
                    key: vec![left.position()?],
                    within_key: Vec::new(),
                    version: lookup::Version::After,
                    padded: true,
                    output,
                    unneeded_through: None,
                };
                lookup::lookup(inputs.remove(0), &left.schema, right, settings, failure)
            }
            Self::Reduce {
                settings,
                schema,
                output,
            } => {
                let input = inputs.remove(0);
                reduce::aggregate(input, ticks, settings, &schema, &output, failure)
                    .map(|(rows, _)| rows)
            }
        }
    }
}

fn index<'scope>(
    input: Changes<'scope>,
    side: &Side,
    failure: &Failure,
) -> Result<arrange::Arrangement<'scope>, Error> {
    let layout = KeyedLayout::new(&side.schema, std::slice::from_ref(&side.key));
    let layout = layout.map_err(|source| side.columns_error(source))?;
    arrange::arrange(input, layout, &side.key, failure)
}

/// An index whose reader keeps up, so that it is merged and compacted as in a job. Gives out nothing.
fn arranged<'scope>(
    input: Changes<'scope>,
    side: &Side,
    failure: &Failure,
) -> Result<Changes<'scope>, Error> {
    let index = index(input, side, failure)?.arranged;
    let mut trace = index.trace;
    let reader = index
        .stream
        .unary_frontier::<CapacityContainerBuilder<Vec<Packet>>, _, _, _>(
            Pipeline,
            "reader",
            move |_, _| {
                move |(input, frontier), _| {
                    input.for_each(|_, batches| batches.clear());
                    trace.set_logical_compaction(frontier.frontier());
                    trace.set_physical_compaction(frontier.frontier());
                }
            },
        );
    Ok(reader)
}

/// What a stage gave out, per worker, and what it took.
pub struct Ran {
    /// Per worker and epoch, without the epochs that were loaded.
    pub outputs: Vec<Epochs>,
    /// Of all workers together, without the epochs that were loaded.
    pub took: Took,
}

/// Runs all epochs through a stage, a worker for each share. The first `loaded` epochs are state that is there before: they are not measured.
///
/// # Errors
/// If the dataflow cannot be built, or fails.
pub fn run(mut shares: Vec<Share>, loaded: usize, stage: Stage) -> Result<Ran> {
    let results = if shares.len() == 1 {
        let (share, failed) = (shares.remove(0), AtomicBool::new(false));
        vec![timely::execute_directly(move |worker| {
            Dataflow::install(worker, share.len(), stage)?.run(worker, share, loaded, &failed)
        })]
    } else {
        side_by_side(shares, loaded, stage)?
    };
    let mut ran = Ran {
        outputs: Vec::new(),
        took: Took::default(),
    };
    for result in results {
        let (output, took) = result?;
        ran.outputs.push(output);
        ran.took = ran.took.beside(took);
    }
    Ok(ran)
}

fn side_by_side(
    shares: Vec<Share>,
    loaded: usize,
    stage: Stage,
) -> Result<Vec<Result<(Epochs, Took)>>> {
    let config = timely::Config::process(shares.len());
    let shares: Mutex<Vec<Option<Share>>> = Mutex::new(shares.into_iter().map(Some).collect());
    let failed = Arc::new(AtomicBool::new(false));
    let guards = timely::execute(config, move |worker| {
        let share = shares.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()]
            .take()
            .context("a worker takes its share once")?;
        let ran = Dataflow::install(worker, share.len(), stage.clone())
            .and_then(|dataflow| dataflow.run(worker, share, loaded, &failed));
        failed.fetch_or(ran.is_err(), Ordering::Relaxed);
        ran
    });
    let guards = guards.map_err(anyhow::Error::msg)?;
    let joined = guards.join().into_iter();
    Ok(joined
        .map(|result| result.map_err(anyhow::Error::msg)?)
        .collect())
}

struct Dataflow {
    handles: Vec<Handle<Packet>>,
    ticks: Handle<Tick>,
    probe: probe::Handle<u64>,
    failure: Failure,
    output: Rc<RefCell<Vec<ChangeBatch>>>,
}

impl Dataflow {
    fn install(worker: &mut Worker, inputs: usize, stage: Stage) -> Result<Self> {
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
            let built = stage.build(streams, ticks, &failure)?;
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
        inputs: Share,
        loaded: usize,
        failed: &AtomicBool,
    ) -> Result<(Epochs, Took)> {
        let (mut outputs, mut sum) = (Vec::new(), Took::default());
        let count = inputs.iter().map(Vec::len).max().unwrap_or(0);
        let mut inputs: Vec<_> = inputs.into_iter().map(Vec::into_iter).collect();
        for epoch in 0..count {
            let input: Vec<_> = inputs
                .iter_mut()
                .map(|input| input.next().unwrap_or_default())
                .collect();
            if epoch < loaded {
                self.epoch(worker, epoch as u64 + 1, input, failed)?;
                self.output.take();
            } else {
                let (done, took) = measured(|| self.epoch(worker, epoch as u64 + 1, input, failed));
                done?;
                sum += took;
                outputs.push(self.output.take());
            }
        }
        Ok((outputs, sum))
    }

    fn epoch(
        &mut self,
        worker: &mut Worker,
        epoch: u64,
        input: Vec<Vec<ChangeBatch>>,
        failed: &AtomicBool,
    ) -> Result<()> {
        self.advance_to(epoch);
        self.ticks.send(Tick::default());
        for (handle, batches) in self.handles.iter_mut().zip(input) {
            for changes in batches {
                handle.send(Packet::from(changes));
            }
        }
        self.advance_to(epoch + 1);
        while self.probe.less_than(&(epoch + 1)) {
            if worker.peers() == 1 {
                worker.step();
            } else {
                worker.step_or_park(Some(NAP_MAX));
            }
            if let Some(error) = self.failure.take() {
                return Err(error.into());
            }
            ensure!(
                !failed.load(Ordering::Relaxed),
                "another worker of the bench failed"
            );
        }
        Ok(())
    }

    fn advance_to(&mut self, epoch: u64) {
        self.ticks.advance_to(epoch);
        for handle in &mut self.handles {
            handle.advance_to(epoch);
        }
    }
}

//! The timely shell of all operators that work epoch by epoch.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::{Error, Tick, Ticks};

/// Where the operators of a worker report that they cannot go on; the worker looks after each step. An operator that failed keeps its
/// capability, so that the epoch never completes and nothing of it can be committed.
#[derive(Debug, Clone, Default)]
pub struct Failure(Rc<RefCell<Option<Error>>>);

impl Failure {
    /// Keeps the first error.
    pub fn report(&self, error: Error) {
        self.0.borrow_mut().get_or_insert(error);
    }

    /// Takes the error, if one was reported.
    #[must_use]
    pub fn take(&self) -> Option<Error> {
        self.0.borrow_mut().take()
    }

    fn is_set(&self) -> bool {
        self.0.borrow().is_some()
    }
}

/// An epoch that is not complete yet: its tick, the capabilities to answer it, and the input so far.
struct Open<D> {
    tick: Option<(Tick, Capability<u64>, Capability<u64>)>,
    input: Vec<D>,
}

/// A stream of batches of `T`.
pub type Batches<'scope, T> = Stream<'scope, u64, Vec<T>>;

/// Gathers an epoch's input and calls `logic(epoch, tick, input, output, side)` once per epoch, in order, when the epoch is complete on
/// both inputs, even if it brought no input. Returns the output and the side output.
pub fn epoch_operator<'scope, D, A, B, P, L>(
    input: Batches<'scope, D>,
    pact: P,
    ticks: Ticks<'scope>,
    name: &str,
    failure: Failure,
    mut logic: L,
) -> (Batches<'scope, A>, Batches<'scope, B>)
where
    D: 'static,
    A: 'static,
    B: 'static,
    P: ParallelizationContract<u64, Vec<D>>,
    L: FnMut(u64, &Tick, Vec<D>, &mut Vec<A>, &mut Vec<B>) -> Result<(), Error> + 'static,
{
    let mut builder = OperatorBuilder::new(name.to_owned(), input.scope());
    let mut input = builder.new_input(input, pact);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (main, main_stream) = builder.new_output::<Vec<A>>();
    let (side, side_stream) = builder.new_output::<Vec<B>>();
    let mut main = OutputBuilder::<_, CapacityContainerBuilder<Vec<A>>>::from(main);
    let mut side = OutputBuilder::<_, CapacityContainerBuilder<Vec<B>>>::from(side);

    builder.build(move |_| {
        let mut open: BTreeMap<u64, Open<D>> = BTreeMap::new();
        move |frontiers| {
            input.for_each(|capability, data| {
                let epoch = *capability.least().expect("a message carries its epoch");
                open.entry(epoch)
                    .or_insert_with(|| Open {
                        tick: None,
                        input: Vec::new(),
                    })
                    .input
                    .append(data);
            });
            ticks.for_each(|capability, data| {
                let epoch = *capability.least().expect("a tick carries its epoch");
                let tick = *data.last().expect("a tick message has a tick");
                let entry = open.entry(epoch).or_insert_with(|| Open {
                    tick: None,
                    input: Vec::new(),
                });
                entry.tick = Some((
                    tick,
                    capability.delayed(&epoch, 0),
                    capability.delayed(&epoch, 1),
                ));
            });
            while let Some(entry) = open.first_entry() {
                let epoch = *entry.key();
                if failure.is_set() || frontiers.iter().any(|frontier| frontier.less_equal(&epoch))
                {
                    return;
                }
                let Open { tick, input } = entry.remove();
                let (tick, main_capability, side_capability) =
                    tick.expect("every epoch has a tick on every worker");
                let (mut output, mut late) = (Vec::new(), Vec::new());
                if let Err(error) = logic(epoch, &tick, input, &mut output, &mut late) {
                    failure.report(error);
                    open.insert(
                        epoch,
                        Open {
                            tick: Some((tick, main_capability, side_capability)),
                            input: Vec::new(),
                        },
                    );
                    return;
                }
                if !output.is_empty() {
                    main.activate()
                        .session(&main_capability)
                        .give_container(&mut output);
                }
                if !late.is_empty() {
                    side.activate()
                        .session(&side_capability)
                        .give_container(&mut late);
                }
            }
        }
    });
    (main_stream, side_stream)
}

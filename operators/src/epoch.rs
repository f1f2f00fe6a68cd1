//! Stages that work epoch by epoch: what such a stage is to the dataflow, whatever it keeps.

use tidemill_types::ChangeBatch;

use crate::{Error, Tick};

/// The logic of one worker's part of a stage: a plain struct that tests drive without timely.
pub trait EpochOperator {
    /// One epoch, whose input is a set: nothing may depend on how it is cut into batches, or on their order. In the epoch of a restored
    /// checkpoint what comes in is the image of a stage before, which is not for this one.
    ///
    /// # Errors
    /// If state cannot be read or written.
    fn on_epoch(
        &mut self,
        tick: &Tick,
        input: &[ChangeBatch],
        output: &mut Output,
    ) -> Result<(), Error>;
}

/// What a stage gives out at the end of an epoch.
#[derive(Debug, Default)]
pub struct Output {
    /// Its rows.
    pub rows: Vec<ChangeBatch>,
    /// What it set aside, as rows of a ledger: what came too late, or what cannot be computed or applied.
    pub aside: Vec<ChangeBatch>,
}

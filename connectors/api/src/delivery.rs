//! The port of sinks that cannot join the journal's transaction: a [`Delivery`] is given what is committed, afterwards.

use tidemill_types::format::Contents;
use tidemill_types::{Epoch, Parcel};

use crate::{Error, Options};

/// One delivered sink.
#[derive(Debug, Clone)]
pub struct DeliverySpec<'a> {
    /// Name of the job.
    pub job: &'a str,
    /// Name of the `CREATE SINK`.
    pub name: &'a str,
    /// Its options.
    pub options: &'a Options,
    /// The columns of its values.
    pub schema: &'a arrow_schema::Schema,
    /// Those of them that make the records' key, in order; none if records have no key. Rows may have one, and several of them the same.
    pub key: &'a [String],
    /// What its records are: rows are added, whatever their keys; of states only the newest of a key counts.
    pub contents: Contents,
}

/// A record that the target does not take, whoever gives it and however often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which of the parcels.
    pub epoch: Epoch,
    /// Which of its records, from 0 on.
    pub record: usize,
    /// Why, in the target's words.
    pub reason: String,
}

/// Brings one sink's records to its target. One value per run of a job; used from one thread.
///
/// The order: [`open`](Delivery::open), then [`bring`](Delivery::bring) of what is newer than its answer and [`settle`](Delivery::settle), as often
/// as there is something; after any error `open` again, and again what is newer than its answer. So a target needs no transaction with the journal; it has to remember
/// how far it came. Whoever opens later is the owner, and an owner before brings nothing there any more that a reader could tell from what the
/// newer one brings: all of them give the same records for the same epoch.
pub trait Delivery: Send {
    /// Connects, makes at the target what is missing there, takes it over from an owner before, and answers the newest epoch of which
    /// everything is certainly there: 0 for none. It may say less than is there, never more. A parcel above it may come again, and then
    /// changes nothing.
    ///
    /// `history` names the journal that the epochs are counted in: a job that begins anew counts from 1 again, in another history.
    ///
    /// # Errors
    /// `Retry` if the target is away or busy. `Invalid` if it is not what the sink needs, or has what another history brought: says what to
    /// do. `Fenced` if a newer owner is there.
    fn open(&mut self, history: &str) -> Result<Epoch, Error>;

    /// Brings parcels of ascending epochs, newer than all before, but for the records that are answered: those the target does not take, and all
    /// others are brought although they are not. `open` does not answer their epochs yet: who asked keeps what was rejected first, so that
    /// nobody who dies in between takes it along.
    ///
    /// # Errors
    /// As [`Delivery::open`]; some of the parcels may be there then, whole or in part.
    fn bring(&mut self, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error>;

    /// Makes what was brought count. When it returns, all of it is there for certain.
    ///
    /// # Errors
    /// As [`Delivery::bring`].
    fn settle(&mut self) -> Result<(), Error>;

    /// Both, for who keeps nothing.
    ///
    /// # Errors
    /// As [`Delivery::bring`].
    fn deliver(&mut self, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error> {
        let rejected = self.bring(parcels)?;
        self.settle()?;
        Ok(rejected)
    }
}

//! The ports between the engine and the outside world: a [`Source`] yields batches of raw records, a [`Committer`] makes an epoch's
//! outputs and its journal record visible together or not at all, a [`Delivery`] brings them to where no transaction reaches, a [`Replay`] puts records back where they were read, and a [`Connector`] builds
//! them from options. A [`Registry`] has the schemas of topics.
//!
//! Promises: positions are exact (a source opened at an offset yields that record first, or refuses), and a commit is atomic over all sinks.
//! Does not promise that a commit's outcome is known: see [`Committer::commit`].

pub mod committer;
pub mod connector;
pub mod delivery;
pub mod error;
pub mod partition_map;
pub mod registry;
pub mod replay;
pub mod seam;
pub mod secret;
pub mod source;

pub use committer::{Committer, EpochOutput, SinkSpec, SourceOffset};
pub use connector::{Connector, ConnectorOptions, Options, SinkKind, SourceSpec};
pub use delivery::{Delivery, DeliverySpec, Rejected};
pub use error::Error;
pub use partition_map::PartitionMap;
pub use registry::Registry;
pub use replay::{Replay, ReplayRecord};
pub use secret::Secret;
pub use source::{Described, Source, SourceBatch};
pub use tidemill_types::{OutputRecords, Parcel};

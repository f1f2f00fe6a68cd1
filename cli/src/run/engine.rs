//! Where the connectors meet the engine.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tidemill_connectors_api::Connector;
use tidemill_connectors_files::Files;
use tidemill_connectors_kafka::Kafka;
use tidemill_engine::{Settings, Status};
use tidemill_jobs::plan::JobPlan;

/// Runs the job until it has caught up, was stopped, or failed.
pub fn run(
    plan: JobPlan,
    settings: &Settings,
    status: &Arc<Status>,
    stop: &Arc<AtomicBool>,
) -> Result<(), tidemill_engine::Error> {
    let connectors: [Arc<dyn Connector>; 2] = [Arc::new(Kafka), Arc::new(Files)];
    tidemill_engine::run(plan, &connectors, settings, status, stop)
}

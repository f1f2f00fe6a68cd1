//! Tidemill itself: one process, followed by its lines of status.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{JOB, Place, System};
use crate::job::{Job, Line};
use crate::launch::{self, Launch};

/// The default of `tidemill run`, said outright.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);

pub struct Tidemill {
    place: Place,
    launch: Launch,
    /// None only between a kill and the restart.
    job: Option<Job>,
}

impl Tidemill {
    pub fn start(place: &Place) -> Result<Self> {
        let launch = Launch {
            binaries: place.binaries.clone(),
            root: place.root.clone(),
            job: PathBuf::from(JOB),
            work: place.work.clone(),
            place: launch::Place::Kafka(place.bootstrap.clone()),
            workers: place.workers,
            checkpoint_interval: CHECKPOINT_INTERVAL,
            state_memory_bytes: None,
        };
        let job = Some(launch.run(&[])?);
        Ok(Self {
            place: place.clone(),
            launch,
            job,
        })
    }

    fn job(&self) -> Result<&Job> {
        self.job
            .as_ref()
            .context("the job could not be started again")
    }
}

impl System for Tidemill {
    /// The last line without a record: exact to a fifth of a second, and not in the job's favour.
    fn first_record(&mut self) -> Result<Instant> {
        let job = self.job()?;
        let mut idle = job.started;
        self.place.wait_for("Tidemill read a record", || {
            for Line { at, status } in job.lines_so_far() {
                if status.records_in > 0 {
                    return Ok(Some(idle));
                }
                idle = at;
            }
            Ok(None)
        })
    }

    fn check(&mut self) -> Result<()> {
        self.job.as_mut().map_or(Ok(()), Job::check)
    }

    fn processes(&self) -> Vec<u32> {
        self.job.iter().map(Job::process).collect()
    }

    fn kill_and_restart(&mut self) -> Result<Instant> {
        let killed = Instant::now();
        self.job
            .take()
            .context("the job could not be started again")?
            .kill()?;
        self.job = Some(self.launch.run(&[])?);
        Ok(killed)
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.job.take().map_or(Ok(()), Job::stop)
    }
}

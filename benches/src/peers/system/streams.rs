//! Kafka Streams: one Java process.

use std::time::Instant;

use anyhow::Result;

use super::{Place, Process, System, instant_of, truncate};

const NAME: &str = "kafka-streams";
/// What the program says before the time, in milliseconds since 1970.
const FIRST_RECORD: &str = "first record ";

pub struct Streams {
    place: Place,
    process: Process,
}

impl Streams {
    pub fn start(place: &Place) -> Result<Self> {
        Ok(Self {
            place: place.clone(),
            process: launch(place)?,
        })
    }
}

fn launch(place: &Place) -> Result<Process> {
    Process::start(NAME, place.script("kafka-streams.sh"), &place.work)
}

impl System for Streams {
    fn first_record(&mut self) -> Result<Instant> {
        let process = &mut self.process;
        self.place.wait_for("Kafka Streams read a record", || {
            process.check()?;
            let said = std::fs::read_to_string(&process.log)?;
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix(FIRST_RECORD));
            line.map(|ms| instant_of(ms.parse()?)).transpose()
        })
    }

    fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.process.id()]
    }

    fn kill_and_restart(&mut self) -> Result<Instant> {
        let killed = Instant::now();
        self.process.kill()?;
        truncate(&self.process.log)?;
        self.process = launch(&self.place)?;
        Ok(killed)
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.process.stop()
    }
}

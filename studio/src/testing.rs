//! Topics in memory, for this crate's tests.

use std::collections::{BTreeMap, HashMap};

use crate::ports::{OnInput, OnOutput};
use crate::{Error, EventSink, InputReader, OutputReader, Topic};

/// Input topics; offsets count from 0 in each partition.
#[derive(Default)]
pub struct Inputs(pub BTreeMap<(String, u32), Vec<Vec<u8>>>);

impl Inputs {
    pub fn push(&mut self, topic: Topic, partition: u32, bytes: impl AsRef<[u8]>) {
        self.0
            .entry((topic.name().to_owned(), partition))
            .or_default()
            .push(bytes.as_ref().to_vec());
    }
}

impl EventSink for Inputs {
    fn write(
        &mut self,
        topic: Topic,
        partition: u32,
        _key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        self.push(topic, partition, value);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl InputReader for Inputs {
    fn read(&self, topic: &str, on_record: &mut OnInput<'_>) -> Result<(), Error> {
        for ((_, partition), records) in self.0.iter().filter(|((name, _), _)| name == topic) {
            for (offset, record) in (0..).zip(records) {
                on_record(*partition, offset, record);
            }
        }
        Ok(())
    }
}

/// A committed record: epoch, key, value.
pub type Record = (u64, Vec<u8>, Option<Vec<u8>>);

/// Output topics of one partition each.
#[derive(Default, Clone)]
pub struct Outputs(pub HashMap<&'static str, Vec<Record>>);

impl Outputs {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better where it is called"
    )]
    pub fn push(
        &mut self,
        topic: &'static str,
        epoch: u64,
        key: impl ToString,
        value: Option<String>,
    ) {
        self.0.entry(topic).or_default().push((
            epoch,
            key.to_string().into_bytes(),
            value.map(String::into_bytes),
        ));
    }
}

impl OutputReader for Outputs {
    fn read(&self, topic: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error> {
        for (offset, (epoch, key, value)) in (0..).zip(self.0.get(topic).into_iter().flatten()) {
            on_record(0, offset, *epoch, key, value.as_deref());
        }
        Ok(())
    }
}

//! The contracts, on files.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemill_connectors_api::{Committer, Connector, Options, SinkSpec, Source, SourceSpec};
use tidemill_connectors_files::{Files, read_committed};
use tidemill_tests_contract::{Abilities, World, Written, contracts};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn input(&self, topic: &str, partition: u32) -> PathBuf {
        self.0
            .path()
            .join("in")
            .join(topic)
            .join(format!("{partition}.jsonl"))
    }

    fn output(&self, job: &str) -> PathBuf {
        self.0.path().join("out").join(job)
    }
}

fn options(path: &Path, topic: &str) -> Options {
    Options::from([
        ("path".to_owned(), path.display().to_string()),
        ("topic".to_owned(), topic.to_owned()),
    ])
}

fn append(path: &Path, bytes: &[u8]) {
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(bytes).unwrap();
}

impl World for Folder {
    fn abilities(&self) -> Abilities {
        Abilities {
            takes_over: false,
            retains: false,
            tells_growth: false,
            trims_after: 20_000,
        }
    }

    fn make_topic(&mut self, topic: &str, partitions: u32) {
        fs::create_dir_all(self.input(topic, 0).parent().unwrap()).unwrap();
        self.add_partitions(topic, partitions);
    }

    fn make_topic_again(&mut self, topic: &str, partitions: u32) {
        fs::remove_dir_all(self.input(topic, 0).parent().unwrap()).unwrap();
        self.make_topic(topic, partitions);
    }

    fn add_partitions(&mut self, topic: &str, partitions: u32) {
        for partition in 0..partitions {
            append(&self.input(topic, partition), b"");
        }
    }

    fn produce(&mut self, topic: &str, partition: u32, values: &[&str]) {
        for value in values {
            append(
                &self.input(topic, partition),
                format!("{value}\n").as_bytes(),
            );
        }
    }

    fn delete_before(&mut self, _: &str, _: u32, _: i64) {
        unreachable!("files keep all of their lines")
    }

    fn source(&mut self, topic: &str) -> Box<dyn Source> {
        let options = options(&self.0.path().join("in"), topic);
        Files
            .source(&SourceSpec::new("job", topic, &options))
            .unwrap()
    }

    fn matching(&mut self, _: &str) -> Option<Box<dyn Source>> {
        None
    }

    fn committer(&mut self, job: &str, sink: &str) -> Box<dyn Committer> {
        let spec = SinkSpec {
            name: sink.to_owned(),
            options: options(&self.output(job), sink),
            compacted: true,
        };
        Files.committer(job, &[spec]).unwrap()
    }

    fn die_within_a_commit(&mut self, job: &str, sink: &str) {
        let folder = self.output(job);
        append(
            &folder.join(sink).join("0.jsonl"),
            b"{\"epoch\":9,\"key\":1,\"val",
        );
        append(&folder.join("_committed"), b"12345678 {\"version\":1,\"jo");
    }

    fn written(&mut self, sink: &str) -> Vec<Written> {
        let mut written = Vec::new();
        for job in fs::read_dir(self.0.path().join("out")).unwrap() {
            let folder = job.unwrap().path();
            read_committed(&folder, sink, |record| {
                let value = record.value.map(<[u8]>::to_vec);
                written.push((record.epoch, record.key.to_vec(), value));
            })
            .unwrap();
        }
        written
    }
}

contracts!(Folder::new());

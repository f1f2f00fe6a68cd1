//! A real Kafka for one run, by `scripts/kafka.sh`: on free ports, with the whole of Java's compiler, its data in the run's folder. It ends
//! with the run: when the value goes, or, should this process be killed, by the script's own watch.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A running broker.
pub struct Broker {
    script: PathBuf,
    data: PathBuf,
    ports: [u16; 2],
}

impl Broker {
    /// Starts a broker whose data lies in `data`; returns when it answers.
    ///
    /// # Errors
    /// If it does not start; the script's words are in the message.
    pub fn start(root: &Path, data: PathBuf) -> Result<Self> {
        // Both are held until both are chosen, so that they differ.
        let listeners = [
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        ];
        let [broker, controller] = &listeners;
        let ports = [broker.local_addr()?.port(), controller.local_addr()?.port()];
        drop(listeners);
        let broker = Self {
            script: root.join("scripts/kafka.sh"),
            data,
            ports,
        };
        broker.run("start")?;
        Ok(broker)
    }

    /// Where clients find it.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Its process.
    ///
    /// # Errors
    /// If it runs no more.
    pub fn process(&self) -> Result<u32> {
        let path = self.data.join("broker.pid");
        let text = std::fs::read_to_string(&path).context("the broker has ended")?;
        Ok(text.trim().parse()?)
    }

    fn run(&self, command: &str) -> Result<()> {
        let log = self.data.with_extension("script.log");
        // Not a pipe: the script's watch outlives it, and would keep a pipe open.
        let output = std::fs::File::create(&log)?;
        let status = Command::new(&self.script)
            .arg(command)
            .env("KAFKA_DATA", &self.data)
            .env("KAFKA_PORT", self.ports[0].to_string())
            .env("KAFKA_CONTROLLER_PORT", self.ports[1].to_string())
            .env("KAFKA_OWNER", std::process::id().to_string())
            .env("KAFKA_C2", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .with_context(|| format!("cannot run '{}'", self.script.display()))?;
        ensure!(
            status.success(),
            "'{} {command}' failed: {}",
            self.script.display(),
            std::fs::read_to_string(&log).unwrap_or_default()
        );
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Err(error) = self.run("stop") {
            eprintln!("the broker could not be stopped: {error:#}");
        }
    }
}

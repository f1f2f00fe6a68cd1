//! Flink: a job manager and a task manager, and for a moment the SQL client that submits the job.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tidemill_tests_broker::ports::free_ports;

use super::{Place, Process, System};

/// How long the job manager may take to answer a question.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

pub struct Flink {
    place: Place,
    state: &'static str,
    /// Of its REST interface, and of its own protocol.
    ports: [u16; 2],
    job_manager: Process,
    task_manager: Process,
}

impl Flink {
    pub fn start(place: &Place, state: &'static str) -> Result<Self> {
        let ports = free_ports(2)?;
        let ports = [ports[0], ports[1]];
        let mut job_manager = launch(place, state, ports, "jobmanager")?;
        place.wait_for("Flink's job manager answered", || {
            job_manager.check()?;
            Ok(ask(ports[0], "/overview").ok())
        })?;
        let task_manager = launch(place, state, ports, "taskmanager")?;
        let mut flink = Self {
            place: place.clone(),
            state,
            ports,
            job_manager,
            task_manager,
        };
        place.wait_for("Flink's task manager was known", || {
            flink.check()?;
            let known = ask(ports[0], "/overview")?["taskmanagers"].as_u64();
            Ok(known.filter(|&count| count > 0))
        })?;
        flink.submit()?;
        Ok(flink)
    }

    fn submit(&mut self) -> Result<()> {
        let mut client = launch(&self.place, self.state, self.ports, "submit")?;
        self.place.wait_for("the SQL client ended", || {
            client.child.try_wait().map_err(Into::into)
        })?;
        if self.jobs()?.len() == 1 {
            return Ok(());
        }
        bail!(
            "the job was not submitted; the SQL client said:\n{}",
            client.last_words()
        )
    }

    fn jobs(&self) -> Result<Vec<Value>> {
        let overview = ask(self.ports[0], "/jobs/overview")?;
        Ok(overview["jobs"].as_array().cloned().unwrap_or_default())
    }
}

fn launch(
    place: &Place,
    state: &str,
    [rest, rpc]: [u16; 2],
    role: &'static str,
) -> Result<Process> {
    let mut command = place.script("flink.sh");
    command
        .arg(role)
        .env("STATE", state)
        .env("REST_PORT", rest.to_string())
        .env("RPC_PORT", rpc.to_string());
    Process::start(role, command, &place.work)
}

/// An answer of the job manager's REST interface.
fn ask(port: u16, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
    // Version 1.0: the connection ends with the answer.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("Flink has no answer to '{path}'"))?;
    serde_json::from_str(body).with_context(|| format!("Flink answered '{path}' with '{body}'"))
}

impl System for Flink {
    /// When all tasks ran: until then nothing can reach a sink.
    fn first_record(&mut self) -> Result<Instant> {
        let place = self.place.clone();
        place.wait_for("Flink's tasks ran", || {
            self.check()?;
            let jobs = self.jobs()?;
            let tasks = jobs.first().map(|job| &job["tasks"]);
            let all_run = tasks.is_some_and(|tasks| tasks["running"] == tasks["total"]);
            Ok(all_run.then(Instant::now))
        })
    }

    fn check(&mut self) -> Result<()> {
        self.job_manager.check()?;
        self.task_manager.check()
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.job_manager.id(), self.task_manager.id()]
    }

    /// The task manager only: the job manager stays, as it would on another machine.
    fn kill_and_restart(&mut self) -> Result<Instant> {
        let killed = Instant::now();
        self.task_manager.kill()?;
        self.task_manager = launch(&self.place, self.state, self.ports, "taskmanager")?;
        Ok(killed)
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.task_manager.stop()?;
        self.job_manager.stop()
    }
}

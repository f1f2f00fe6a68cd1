//! Three brokers at replication 3, each a process of its own by `scripts/kafka.sh`, on free ports of 127.0.0.1.
//!
//! Every broker has two doors: one for the tools and for its peers, and one that only the [proxy](crate::proxy) of
//! that broker uses, whose port is the one that the broker tells to clients which came in there. So the jobs see the
//! brokers through the proxies alone. All brokers are killed when the value goes; should this process be killed, the
//! script's own watch does it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// How many brokers there are.
pub const NODES: usize = 3;

/// One broker.
struct Node {
    data: PathBuf,
    properties: PathBuf,
    /// Of the tools and the peers.
    port: u16,
    /// Of the proxy.
    client_port: u16,
    controller_port: u16,
}

/// The brokers.
pub struct Cluster {
    script: PathBuf,
    nodes: Vec<Node>,
}

impl Cluster {
    /// Starts all brokers, with their data below `folder`; each tells clients that it is found at its port of
    /// `advertised`.
    ///
    /// # Errors
    /// If one does not start; the script's words are in the message.
    pub fn start(root: &Path, folder: &Path, advertised: [u16; NODES]) -> Result<Self> {
        let ports = free_ports(3 * NODES)?;
        let mut nodes = Vec::new();
        for (number, ports) in (1..=NODES).zip(ports.chunks(3)) {
            nodes.push(Node {
                data: folder.join(format!("broker-{number}")),
                properties: folder.join(format!("broker-{number}.properties")),
                port: ports[0],
                client_port: ports[1],
                controller_port: ports[2],
            });
        }
        fs::create_dir_all(folder)?;
        for (number, (node, advertised)) in nodes.iter().zip(advertised).enumerate() {
            let text = properties(number + 1, &nodes, node, advertised);
            fs::write(&node.properties, text)?;
        }
        let cluster = Self {
            script: root.join("scripts/kafka.sh"),
            nodes,
        };
        // None of them answers before most of them are there.
        std::thread::scope(|scope| {
            let starts: Vec<_> = (0..NODES)
                .map(|node| {
                    let cluster = &cluster;
                    scope.spawn(move || cluster.run(node, "start"))
                })
                .collect();
            starts
                .into_iter()
                .try_for_each(|start| start.join().expect("running a script does not panic"))
        })?;
        Ok(cluster)
    }

    /// Where the tools find it, past the proxies.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        addresses.join(",")
    }

    /// Where the proxy of a broker goes.
    #[must_use]
    pub fn client_port(&self, node: usize) -> u16 {
        self.nodes[node].client_port
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If it did not run.
    pub fn kill(&self, node: usize) -> Result<()> {
        self.run(node, "kill")
    }

    /// Starts a broker that was killed; returns when it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn restart(&self, node: usize) -> Result<()> {
        self.run(node, "start")
    }

    /// Copies the brokers' logs, which go with their data.
    pub fn keep_logs(&self, folder: &Path) {
        for (number, node) in (1..).zip(&self.nodes) {
            let kept = folder.join(format!("broker-{number}.log"));
            // A broker that never started has none.
            drop(fs::copy(node.data.join("broker.log"), kept));
        }
    }

    fn run(&self, node: usize, command: &str) -> Result<()> {
        let node = &self.nodes[node];
        let log = node.properties.with_extension(format!("{command}.log"));
        // Not a pipe: the script's watch outlives it, and would keep a pipe open.
        let output = File::create(&log)?;
        let status = Command::new(&self.script)
            .arg(command)
            .env("KAFKA_DATA", &node.data)
            .env("KAFKA_PORT", node.port.to_string())
            .env("KAFKA_CONTROLLER_PORT", node.controller_port.to_string())
            .env("KAFKA_PROPERTIES", &node.properties)
            .env("KAFKA_CLUSTER_ID", "TidemillChaosCluster0w")
            .env("KAFKA_OWNER", std::process::id().to_string())
            .env("KAFKA_HEAP", "256m")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .with_context(|| format!("cannot run '{}'", self.script.display()))?;
        ensure!(
            status.success(),
            "'{} {command}' failed: {}",
            self.script.display(),
            fs::read_to_string(&log).unwrap_or_default()
        );
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            // One that is away already need not be killed.
            drop(self.kill(node));
        }
    }
}

/// Ports that nobody listens on, all different: each is held until all are chosen.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let ports = listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()));
    Ok(ports.collect::<Result<_, _>>()?)
}

/// What a broker of three has otherwise than one alone.
fn properties(number: usize, nodes: &[Node], node: &Node, advertised: u16) -> String {
    let voters: Vec<_> = (1..)
        .zip(nodes)
        .map(|(number, node)| format!("{number}@127.0.0.1:{}", node.controller_port))
        .collect();
    let Node {
        port,
        client_port,
        controller_port,
        ..
    } = node;
    let voters = voters.join(",");
    format!(
        "node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CLIENT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CLIENT://127.0.0.1:{advertised}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CLIENT:PLAINTEXT
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
broker.session.timeout.ms=6000
log.message.timestamp.after.max.ms=9223372036854775807
"
    )
}

//! Three brokers at replication 3, each a process of its own by `scripts/kafka.sh`, on free ports of 127.0.0.1.
//!
//! Every broker has two doors: one for the tools and for its peers, and one that only the [proxy](crate::proxy) of
//! that broker uses, whose port is the one that the broker tells to clients which came in there. So the jobs see the
//! brokers through the proxies alone. All brokers are killed when the value goes; should this process be killed, the
//! script's own watch does it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tidemill_tests_broker::ports::{Start, on_free_ports};
use tidemill_tests_broker::{Error, script};

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
    nodes: Vec<Node>,
}

impl Cluster {
    /// Starts all brokers, with their data below `folder`; each tells clients that it is found at its port of
    /// `advertised`.
    ///
    /// # Errors
    /// If one does not start; the script's words are in the message.
    pub fn start(folder: &Path, advertised: [u16; NODES]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let started = on_free_ports(3 * NODES, |ports| {
            let cluster = Self::configure(folder, advertised, ports);
            let cluster = cluster.map_err(|error| Start::Failed(Error::from(error)))?;
            cluster.start_all()?;
            Ok(cluster)
        });
        Ok(started?)
    }

    fn configure(folder: &Path, advertised: [u16; NODES], ports: &[u16]) -> io::Result<Self> {
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
        for (number, (node, advertised)) in nodes.iter().zip(advertised).enumerate() {
            let text = properties(number + 1, &nodes, node, advertised);
            fs::write(&node.properties, text)?;
        }
        Ok(Self { nodes })
    }

    /// All at once: none of them answers before most of them are there.
    fn start_all(&self) -> Result<(), Start<Error>> {
        std::thread::scope(|scope| {
            let starts: Vec<_> = (0..NODES)
                .map(|node| scope.spawn(move || self.run(node, "start")))
                .collect();
            let outcomes: Vec<_> = starts
                .into_iter()
                .map(|start| start.join().expect("running a script does not panic"))
                .collect();
            // One that has no port keeps the others waiting until they give up.
            let (taken, others): (Vec<_>, Vec<_>) = outcomes
                .into_iter()
                .partition(|outcome| matches!(outcome, Err(Start::PortTaken(_))));
            taken.into_iter().chain(others).collect()
        })
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
        self.told(node, "kill")
    }

    /// Starts a broker that was killed; returns when it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn restart(&self, node: usize) -> Result<()> {
        self.told(node, "start")
    }

    /// Copies the brokers' logs, which go with their data.
    pub fn keep_logs(&self, folder: &Path) {
        for (number, node) in (1..).zip(&self.nodes) {
            let kept = folder.join(format!("broker-{number}.log"));
            // A broker that never started has none.
            drop(fs::copy(node.data.join("broker.log"), kept));
        }
    }

    fn told(&self, node: usize, command: &str) -> Result<()> {
        Ok(self.run(node, command).map_err(Start::into_error)?)
    }

    fn run(&self, node: usize, command: &str) -> Result<(), Start<Error>> {
        let node = &self.nodes[node];
        let variables = [
            ("KAFKA_DATA", node.data.clone().into()),
            ("KAFKA_PORT", node.port.to_string().into()),
            (
                "KAFKA_CONTROLLER_PORT",
                node.controller_port.to_string().into(),
            ),
            ("KAFKA_PROPERTIES", node.properties.clone().into()),
            ("KAFKA_CLUSTER_ID", "TidemillChaosCluster0w".into()),
            ("KAFKA_HEAP", "256m".into()),
        ];
        script(command, &variables)
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

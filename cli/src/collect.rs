//! `tidemill collect`: takes events over HTTP, and answers when Kafka has them.

mod file;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tidemill_collect::Collector;

use crate::signals::stop_on_signals;
use file::CollectFile;

const EXAMPLES: &str = "\
Examples:
  tidemill collect --config collect.toml
  tidemill collect --config collect.toml --listen 127.0.0.1:9000

A configuration:
  [kafka]                                  # options as in the WITH of a sink
  bootstrap.servers = 'broker:9092'

  [endpoint.payments]                      # POST /events/payments
  topic = 'studio.payment'
  key = 'data.id'                          # a member of the event; or key-header = 'X-Key', or neither
  tokens = ['${secret:studio}']            # who may post: Authorization: Bearer TOKEN

Then:
  curl -H 'Content-Type: application/json' -d '{\"uuid\":\"…\",\"data\":{\"id\":7}}' http://127.0.0.1:8088/events/payments
  curl -H 'Content-Type: application/x-ndjson' --data-binary @events.ndjson http://127.0.0.1:8088/events/payments

200 means that Kafka has all events of the request; 4xx that none of them was written; 503 that some may have been: send the request again, with
the same events, and let the job drop what came twice (DEDUPLICATE BY uuid).

/healthz says whether it works, /metrics what it did. To stop it: Ctrl-C or SIGTERM; who has asked gets an answer first.
Elsewhere than on this machine's own address it listens only with [tls] and tokens. All settings: docs/operate/collect.md.";

/// Take events over HTTP and put them into Kafka, durably before they are answered.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The configuration: where Kafka is, and which events go where.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where to listen; default: what the configuration says, else 127.0.0.1:8088. Port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

impl Arguments {
    /// Collects until it is stopped.
    pub fn execute(&self) -> anyhow::Result<()> {
        let settings = CollectFile::read(&self.config)?.settings(&self.config, self.listen)?;
        let scheme = if settings.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let endpoints: Vec<_> = settings
            .endpoints
            .iter()
            .map(|(name, endpoint)| (name.clone(), endpoint.topic.clone()))
            .collect();
        let stop = stop_on_signals()?;
        let collector = Collector::open(settings)?;
        let address = collector.address();
        for (name, topic) in endpoints {
            eprintln!("POST {scheme}://{address}/events/{name} goes to topic '{topic}'");
        }
        eprintln!("metrics: {scheme}://{address}/metrics");
        Ok(collector.run(&stop)?)
    }
}

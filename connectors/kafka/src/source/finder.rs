//! Looks for topics that were made since a source was opened.
//!
//! librdkafka lists topics only to who waits for it, so a thread of its own does, with a connection of its own. It ends soon after its owner
//! let go of it. Promises nothing of how soon a topic is seen: every few seconds the brokers are asked.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use tidemill_connectors_api::{Error, PartitionMap};
use tidemill_types::ErrorKind;

use crate::error::failed;
use crate::native::Fetcher;
use crate::selection::Selection;
use crate::topics;

/// How long between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// The looking.
#[derive(Debug)]
pub struct Finder {
    found: Receiver<String>,
    /// The thread ends when this is gone.
    _stop: Sender<()>,
}

impl Finder {
    /// Looks for topics of a selection that a map does not have, until it finds one.
    pub fn start(
        settings: ClientConfig,
        selection: Selection,
        known: PartitionMap,
    ) -> Result<Self, Error> {
        let (tell, found) = channel();
        let (stop, stopped) = channel();
        let body = move || {
            let reader = Fetcher::new(&settings)
                .map_err(|error| failed(&format!("look for topics '{selection}'"), &error))?;
            look(&reader, &selection, &known, &stopped, &tell)
        };
        let body = move || {
            if let Err(error) = body() {
                tracing::warn!(%error, "new topics are not looked for any more; the next start reads them");
            }
        };
        let named = thread::Builder::new().name("topics".to_owned());
        named.spawn(body).map_err(|error| {
            let message = format!(
                "cannot start a thread that looks for topics: {error}; raise the limit of threads"
            );
            Error::new(ErrorKind::Retry, message)
        })?;
        Ok(Self { found, _stop: stop })
    }

    /// A topic that is new, once.
    pub fn found(&self) -> Option<String> {
        self.found.try_recv().ok()
    }
}

fn look(
    reader: &Fetcher,
    selection: &Selection,
    known: &PartitionMap,
    stopped: &Receiver<()>,
    tell: &Sender<String>,
) -> Result<(), Error> {
    loop {
        if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return Ok(());
        }
        reader.drain_events();
        let names = match topics::names(reader) {
            Ok(names) => names,
            // They are asked again.
            Err(error) if error.kind == ErrorKind::Retry => continue,
            Err(error) => return Err(error),
        };
        let is_new = |name: &String| selection.takes(name) && known.count(name) == 0;
        if let Some(name) = names.into_iter().find(is_new) {
            // Whoever let go of it needs to know nothing more.
            let _ = tell.send(name);
            return Ok(());
        }
    }
}

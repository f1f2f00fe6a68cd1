//! One sink's records to its index.
//!
//! A delivery is `_bulk` requests and then the index's [`Progress`]. Before each turn of requests the owner looks whether it still is the owner,
//! so an owner before can be late by no more than one turn, which ends within the timeout; for that long an index knows the versions of what
//! was deleted (`index.gc_deletes`), and of what was not for ever. So nothing that comes late is taken.
//!
//! Promises what the port does. Does not ask again what failed: the engine opens again, and what was done already is then there.

use std::panic::resume_unwind;
use std::thread;

use tidemill_connectors_api::{Delivery, DeliverySpec, Error, Parcel, Rejected};
use tidemill_connectors_http::StatusCode;
use tidemill_connectors_http::client::excerpt;
use tidemill_connectors_http::guard::Policy;
use tidemill_types::format::Contents;
use tidemill_types::{Epoch, ErrorKind};

use crate::batch::{Batch, Ids};
use crate::bulk::{Body, Results, Verdict};
use crate::index::{Found, Index};
use crate::mapping::mapping;
use crate::options::SearchOptions;
use crate::progress::{self, Claim, Progress, Seen, There};
use crate::server::{Reply, Server};
use crate::{invalid, retry};

/// How many bytes a request has, but for one record that has more: below what small servers of the clouds take, 10 MiB.
const BULK_BYTES_MAX: usize = 4 << 20;
/// How many requests are sent at the same time: a server works on each with one thread per shard.
const REQUESTS: usize = 2;

/// Brings records to an index.
#[derive(Debug)]
pub struct SearchDelivery {
    job: String,
    sink: String,
    server: Server,
    index: Index,
    /// Its documents have the ids of their keys.
    is_keyed: bool,
    /// How many bytes a request has; less where the server takes less.
    bulk_bytes_max: usize,
    /// The path of `_bulk` requests.
    bulk_path: String,
    /// Of the requests that are sent at the same time.
    bodies: [Body; REQUESTS],
    opened: Option<Opened>,
}

/// An index that is owned.
#[derive(Debug)]
struct Opened {
    found: Found,
    progress: Progress,
    seen: Seen,
    /// The newest epoch that was brought, if that is not noted yet.
    brought: Option<u64>,
}

impl SearchDelivery {
    /// A delivery that asks nothing yet.
    ///
    /// # Errors
    /// `Invalid` for an option or a column that cannot be.
    pub fn new(spec: &DeliverySpec<'_>, policy: Policy) -> Result<Self, Error> {
        let options = SearchOptions::parse(spec)?;
        let of_sink =
            |wrong: Error| Error::new(wrong.kind, format!("sink '{}': {wrong}", spec.name));
        let is_keyed = match spec.contents {
            Contents::Rows => false,
            Contents::States if !spec.key.is_empty() => true,
            Contents::States => {
                return Err(of_sink(invalid(
                    "it has states without a key, which no documents can be; add the option 'key'"
                        .to_owned(),
                )));
            }
            Contents::Changes => {
                return Err(of_sink(invalid(
                    "its envelope says what happened to rows, which no documents are; use envelope = 'upsert' or 'plain'"
                        .to_owned(),
                )));
            }
        };
        let mapping = mapping(spec.schema).map_err(of_sink)?;
        let index = Index {
            make: options.create.then(|| Index::body(&mapping)),
            timeout: options.server.timeout,
            name: options.index,
        };
        // A server that waits for a shard gives up before the client does, so that nothing is done after it is thought to have failed.
        let bulk_path = format!(
            "/{}/_bulk?timeout={}ms&filter_path=items.*.status,items.*.error",
            index.segment(),
            index.timeout.as_millis() / 2
        );
        let server = Server::new(options.server, policy).map_err(of_sink)?;
        Ok(Self {
            job: spec.job.to_owned(),
            sink: spec.name.to_owned(),
            server,
            index,
            is_keyed,
            bulk_bytes_max: BULK_BYTES_MAX,
            bulk_path,
            bodies: Default::default(),
            opened: None,
        })
    }

    /// Who goes on with the index, and the epoch that it has come to.
    fn claimed(&self, there: Option<&Progress>, history: &str) -> Result<Progress, Error> {
        let name = &self.index.name;
        let (epoch, begun) = match progress::claim(there, [&self.job, &self.sink, history]) {
            Claim::GoOn(epoch) => (epoch.0, true),
            Claim::Begin if self.index.is_empty(&self.server)? => (0, false),
            Claim::Begin => {
                return Err(invalid(format!(
                    "index '{name}' has documents that this sink did not bring, whose versions could stand above its own; delete the index, \
                     or name another one"
                )));
            }
            Claim::Foreign { job, sink } => {
                return Err(invalid(format!(
                    "index '{name}' is that of sink '{sink}' of job '{job}'; name another one, or delete the index"
                )));
            }
            Claim::OtherHistory => {
                return Err(invalid(format!(
                    "index '{name}' has what the job brought there before it began anew, and would take its new records for old ones; \
                     delete the index, or name another one"
                )));
            }
        };
        Ok(Progress {
            index: name.clone(),
            job: self.job.clone(),
            sink: self.sink.clone(),
            history: history.to_owned(),
            epoch,
            begun,
            owner: there.map_or(0, |there| there.owner) + 1,
        })
    }

    /// That the index is still the one that was opened.
    fn check_index(&self, opened: &Opened) -> Result<(), Error> {
        match self.index.find(&self.server)? {
            Some(found) if found == opened.found => Ok(()),
            _ => Err(retry(format!(
                "index '{}' was deleted while records were brought there; it is opened again, look who does that",
                self.index.name
            ))),
        }
    }

    /// That nobody else has become the owner.
    fn check_owner(&self, opened: &Opened) -> Result<(), Error> {
        match progress::read(&self.server, &opened.found.uuid)? {
            There::Some(_, seen) if seen == opened.seen => Ok(()),
            There::Some(..) => Err(progress::fenced(&self.index.name)),
            There::None | There::Nothing => Err(retry(format!(
                "what says how far index '{}' is was deleted from index '{}'; it is opened again, look who does that",
                self.index.name,
                progress::INDEX
            ))),
        }
    }

    fn write(&self, opened: &mut Opened) -> Result<(), Error> {
        let uuid = &opened.found.uuid;
        opened.seen = progress::write(&self.server, uuid, &opened.progress, Some(opened.seen))?;
        Ok(())
    }

    /// Sends the records of parcels; those that the index does not take.
    fn send(&mut self, parcels: &[Parcel], opened: &mut Opened) -> Result<Vec<Rejected>, Error> {
        let (through, history) = (opened.progress.epoch, opened.progress.history.clone());
        let new = parcels.iter().filter(|parcel| parcel.epoch.0 > through);
        let Some(newest) = new.clone().map(|parcel| parcel.epoch.0).max() else {
            return Ok(Vec::new());
        };
        self.check_index(opened)?;
        if !opened.progress.begun {
            opened.progress.begun = true;
            self.write(opened)?;
        }
        let ids = if self.is_keyed {
            Ids::OfKeys
        } else {
            Ids::OfPlaces(&history)
        };
        let mut batch = Batch::new(new, ids);
        let mut bodies = std::mem::take(&mut self.bodies);
        loop {
            for body in &mut bodies {
                body.fill(&mut batch, self.bulk_bytes_max);
            }
            if bodies[0].records.is_empty() {
                break;
            }
            self.check_owner(opened)?;
            for (body, reply) in bodies.iter().zip(self.post(&bodies)) {
                self.judge(&reply?, body, &mut batch)?;
            }
        }
        self.bodies = bodies;
        opened.brought = Some(newest);
        Ok(batch.into_rejected())
    }

    /// Notes what was brought.
    fn note(&self, opened: &mut Opened) -> Result<(), Error> {
        let Some(newest) = opened.brought.take() else {
            return Ok(());
        };
        // Where the index was deleted meanwhile, a request has made one of that name.
        self.check_index(opened)?;
        opened.progress.epoch = newest;
        self.write(opened)
    }

    fn taken(&mut self) -> Result<Opened, Error> {
        self.opened.take().ok_or_else(|| {
            retry(format!(
                "index '{}' is not open; open it first",
                self.index.name
            ))
        })
    }

    /// Sends bodies at the same time, but those without records; the answers in the bodies' order.
    fn post(&self, bodies: &[Body]) -> Vec<Result<Reply, Error>> {
        let full = bodies.iter().filter(|body| !body.records.is_empty());
        thread::scope(|scope| {
            let asked: Vec<_> = full
                .map(|body| scope.spawn(|| self.server.post_lines(&self.bulk_path, &body.bytes)))
                .collect();
            let answers = asked.into_iter().map(|asked| asked.join());
            answers
                .map(|answer| answer.unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        })
    }

    /// Takes what an answer says of each record.
    fn judge(&mut self, reply: &Reply, body: &Body, batch: &mut Batch<'_>) -> Result<(), Error> {
        let name = &self.index.name;
        if reply.status == StatusCode::PAYLOAD_TOO_LARGE {
            match body.records[..] {
                [only] => batch.reject(
                    only,
                    format!("the server does not take so much: {}", reply.words()),
                ),
                _ => {
                    self.bulk_bytes_max = body.bytes.len() / 2;
                    body.records.iter().rev().for_each(|&at| batch.put_back(at));
                }
            }
            return Ok(());
        }
        if !reply.status.is_success() {
            return Err(invalid(format!(
                "index '{name}' does not take records: {}; mend 'url' and 'index', or the index",
                reply.words()
            )));
        }
        let results = Results::parse(&reply.body, body.records.len());
        let results = results.ok_or_else(|| {
            self.server
                .garbage("it does not say what became of each record")
        })?;
        for (&at, verdict) in body.records.iter().zip(results.verdicts()) {
            match verdict {
                Verdict::There => {}
                Verdict::Rejected(reason) => batch.reject(at, excerpt(&reason)),
                Verdict::Busy(why) => {
                    return Err(retry(format!(
                        "index '{name}' does not take records now: {}; it is tried again, look at the server if this stays",
                        excerpt(&why)
                    )));
                }
                Verdict::Wrong(why) => {
                    return Err(invalid(format!(
                        "index '{name}' does not take records: {}; mend the index, and it goes on by itself",
                        excerpt(&why)
                    )));
                }
            }
        }
        Ok(())
    }
}

impl Delivery for SearchDelivery {
    fn open(&mut self, history: &str) -> Result<Epoch, Error> {
        self.opened = None;
        let found = self.index.find_or_make(&self.server)?;
        let there = match progress::read(&self.server, &found.uuid)? {
            There::Nothing => {
                progress::make_index(&self.server)?;
                None
            }
            There::None => None,
            There::Some(progress, seen) => Some((progress, seen)),
        };
        let progress = self.claimed(there.as_ref().map(|(progress, _)| progress), history)?;
        let seen = there.map(|(_, seen)| seen);
        let written = progress::write(&self.server, &found.uuid, &progress, seen);
        // Also a request of our own that was thought to have failed can have been quicker.
        let seen = written.map_err(|error| match error.kind {
            ErrorKind::Fenced => Error::new(ErrorKind::Retry, error.message),
            _ => error,
        })?;
        let epoch = Epoch(progress.epoch);
        self.opened = Some(Opened {
            found,
            progress,
            seen,
            brought: None,
        });
        Ok(epoch)
    }

    fn bring(&mut self, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error> {
        let mut opened = self.taken()?;
        let rejected = self.send(parcels, &mut opened)?;
        self.opened = Some(opened);
        Ok(rejected)
    }

    fn settle(&mut self) -> Result<(), Error> {
        let mut opened = self.taken()?;
        self.note(&mut opened)?;
        self.opened = Some(opened);
        Ok(())
    }
}

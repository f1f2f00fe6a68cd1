//! The delivery: records in steps, each with how far the sink came.

use redis::Value;
use tidemill_connectors_api::{Delivery, DeliverySpec, Error, Parcel, Rejected};
use tidemill_connectors_http::guard::Policy;
use tidemill_types::{Epoch, ErrorKind};
use tracing::warn;
use uuid::Uuid;

use crate::error::Failure;
use crate::options::SinkOptions;
use crate::progress::{Place, Progress, Standing, write_rejected};
use crate::records::{Change, Record, fit, records};
use crate::script::{Outcome, Step};
use crate::session::Session;

/// Brings the records of one sink to a server.
pub struct RedisDelivery {
    progress: Progress,
    options: SinkOptions,
    policy: Policy,
    /// The server's settings were looked at.
    warned: bool,
    /// What is open; nothing before `open`, and after an error.
    open: Option<Open>,
}

/// What a delivery has between `open` and the next error.
struct Open {
    session: Session,
    owner: String,
    standing: Standing,
    /// The newest epoch that was brought, if that does not count yet.
    brought: Option<Epoch>,
}

impl RedisDelivery {
    /// Reads the options of a sink. Does not connect yet.
    pub fn new(spec: &DeliverySpec<'_>, policy: Policy) -> Result<Self, Error> {
        let options = SinkOptions::parse(spec)?;
        Ok(Self {
            progress: Progress {
                job: spec.job.to_owned(),
                sink: spec.name.to_owned(),
                prefix: options.prefix.clone(),
            },
            options,
            policy,
            warned: false,
            open: None,
        })
    }

    fn sink(&self) -> &str {
        &self.progress.sink
    }

    fn failed(&self, failure: Failure, action: &str) -> Error {
        failure.into_error(self.sink(), action)
    }

    /// Refuses a server that cannot be written to, and warns of one that forgets.
    fn look_at(&mut self, session: &mut Session) -> Result<(), Error> {
        let info = match session.ask(&redis::cmd("INFO")) {
            // A user who may not ask that may deliver all the same.
            Err(failure) if failure.is_forbidden() => return Ok(()),
            info => info.map_err(|failure| self.failed(failure, "look at the server"))?,
        };
        let info = match &info {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes),
            _ => return Ok(()),
        };
        let says = |line: &str| info.lines().any(|said| said.trim_end() == line);
        let invalid = |why: &str| {
            let (sink, server) = (self.sink(), &self.options.server);
            let message = format!("sink '{sink}': {server} is {why}");
            Err(Error::new(ErrorKind::Invalid, message))
        };
        if says("redis_mode:cluster") {
            return invalid(
                "a node of a cluster, where keys that change together lie on different nodes; name a server in 'url' that is none",
            );
        }
        if says("role:slave") {
            return invalid("a replica; name the primary in 'url'");
        }
        if !self.warned {
            let sink = self.sink();
            for warning in warnings(&info) {
                warn!(sink, "{warning}");
            }
        }
        self.warned = true;
        Ok(())
    }

    fn opened(&mut self, history: &str) -> Result<Open, Error> {
        let action = format!("connect to {}", self.options.server);
        let session = Session::connect(&self.options.server, self.policy);
        let mut session = session.map_err(|failure| self.failed(failure, &action))?;
        self.look_at(&mut session)?;
        let owner = Uuid::new_v4().to_string();
        let claimed = session.ask(&self.progress.claim(history, &owner));
        let claimed = claimed.map_err(|failure| self.failed(failure, "take its keys over"))?;
        Ok(Open {
            standing: self.progress.claimed(history, claimed)?,
            session,
            owner,
            brought: None,
        })
    }

    fn taken(&mut self) -> Result<Open, Error> {
        self.open.take().ok_or_else(|| {
            let message = format!("sink '{}' was not opened; report this", self.sink());
            Error::new(ErrorKind::Bug, message)
        })
    }

    /// Brings what is newer than what is there; what was not taken.
    fn bring_newer(&self, open: &mut Open, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error> {
        let known = parcels.partition_point(|parcel| parcel.epoch <= open.standing.through);
        let newer = &parcels[known..];
        let Some(last) = newer.last() else {
            return Ok(Vec::new());
        };
        let kept_as = self.options.kept_as;
        let all = records(newer);
        let there = all.partition_point(|record| record.place < open.standing.at);
        let (there, mut rest) = all.split_at(there);
        let unfit = |record: &Record<'_>| {
            let reason = record.change(kept_as).err();
            reason.map(|reason| record.rejected(reason))
        };
        let mut rejected: Vec<Rejected> = there.iter().filter_map(unfit).collect();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(fit(rest));
            rest = behind;
            let mut changes = Vec::with_capacity(batch.len());
            for record in batch {
                match record.change(kept_as) {
                    Ok(change) => changes.push((record, change)),
                    Err(reason) => rejected.push(record.rejected(reason)),
                }
            }
            let to = rest
                .first()
                .map_or(Place::behind(last.epoch), |next| next.place);
            self.step(open, changes, open.standing.at.max(to), None)?;
        }
        open.brought = Some(last.epoch);
        let told = open.standing.rejected.iter();
        let told = told.filter(|rejected| rejected.epoch <= last.epoch);
        rejected.extend(told.cloned());
        rejected.sort_by_key(|rejected| (rejected.epoch, rejected.record));
        Ok(rejected)
    }

    /// Makes what was brought count.
    fn note(&self, open: &mut Open) -> Result<(), Error> {
        let Some(last) = open.brought.take() else {
            return Ok(());
        };
        self.step(
            open,
            Vec::new(),
            open.standing.at.max(Place::behind(last)),
            Some(last),
        )?;
        let standing = &mut open.standing;
        standing.rejected.retain(|rejected| rejected.epoch > last);
        Ok(())
    }

    /// Does one step up to a place, and notes that the sink is there then; with an epoch, that everything through it counts.
    fn step<'a>(
        &self,
        open: &mut Open,
        records: Vec<(&Record<'a>, Change<'a>)>,
        to: Place,
        through: Option<Epoch>,
    ) -> Result<(), Error> {
        let standing = &mut open.standing;
        let later = |through: Epoch| {
            let later = standing.rejected.iter();
            let later = later.filter(|rejected| rejected.epoch > through);
            (
                through.0,
                write_rejected(&later.cloned().collect::<Vec<_>>()),
            )
        };
        let step = Step {
            owner: &open.owner,
            from: standing.at,
            to,
            through: through.map(later),
            records,
        };
        let outcome = step.run(&mut open.session, &self.progress, &self.options);
        let outcome = outcome.map_err(|failure| self.failed(failure, "write its keys"))?;
        match outcome {
            Outcome::Fenced => Err(self.progress.fenced()),
            Outcome::Lost => Err(self.progress.lost()),
            Outcome::Done(told) => {
                standing.at = to;
                standing.through = through.unwrap_or(standing.through);
                standing.rejected.extend(told);
                Ok(())
            }
        }
    }
}

/// What a server may lose, by its `INFO`.
fn warnings(info: &str) -> Vec<&'static str> {
    let setting = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
    };
    let mut warnings = Vec::new();
    if setting("aof_enabled") == Some("0") {
        warnings.push("the Redis has no append-only file: what it took since its last snapshot it loses with a crash, and then the sink cannot go on; set 'appendonly yes' there");
    }
    if setting("maxmemory_policy").is_some_and(|policy| policy != "noeviction") {
        warnings.push("the Redis takes keys away where memory is short, also the sink's; set 'maxmemory-policy noeviction' there if they are to stay");
    }
    warnings
}

impl Delivery for RedisDelivery {
    fn open(&mut self, history: &str) -> Result<Epoch, Error> {
        self.open = None;
        let open = self.opened(history)?;
        let through = open.standing.through;
        self.open = Some(open);
        Ok(through)
    }

    fn bring(&mut self, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error> {
        let mut open = self.taken()?;
        let rejected = self.bring_newer(&mut open, parcels)?;
        self.open = Some(open);
        Ok(rejected)
    }

    fn settle(&mut self) -> Result<(), Error> {
        let mut open = self.taken()?;
        self.note(&mut open)?;
        self.open = Some(open);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::warnings;

    #[test]
    fn a_server_that_forgets_is_warned_of() {
        let info = |aof: &str, policy: &str| {
            format!("# Persistence\r\naof_enabled:{aof}\r\nmaxmemory_policy:{policy}\r\n")
        };
        assert!(warnings(&info("1", "noeviction")).is_empty());
        assert!(warnings("# Server\r\n").is_empty());
        let without_file = warnings(&info("0", "noeviction"));
        assert!(without_file[0].contains("'appendonly yes'"));
        let evicting = warnings(&info("1", "allkeys-lru"));
        assert!(evicting[0].contains("noeviction") && evicting.len() == 1);
    }
}

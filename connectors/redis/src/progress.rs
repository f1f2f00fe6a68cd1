//! How far a sink came: a hash at the prefix's own key, which changes in the steps of the records that it tells of.
//!
//! It says who brings records there: job, sink and history; and the owner, a name that a run takes when it takes the sink over. A step that
//! finds another owner, or another place than the one that it continues from, changes nothing. So the places of a sink's records are gone
//! through one after the other, each once: an owner that was replaced finds that it was, however late its step arrives; and a step whose answer
//! got lost is found done, or not, by who reads the place.
//!
//! An epoch that needs several steps has a place within it. The epoch that counts as delivered goes on with a step of its own, without records,
//! so that what Redis did not take of the steps before, which is noted in `rejected`, can be told then even by another run.

use redis::{Cmd, Value};
use tidemill_connectors_api::{Error, Rejected};
use tidemill_types::{Epoch, ErrorKind};

use crate::script::{CLAIM, script, texts};

/// The key of the progress, behind the prefix.
pub const OWN_KEY: &str = ".tidemill";

/// Where a record is: its epoch, and its number among the epoch's records. Also: the first record that is not there yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub epoch: u64,
    pub record: u64,
}

impl Place {
    /// Behind all records of an epoch.
    pub const fn behind(epoch: Epoch) -> Self {
        Self {
            epoch: epoch.0 + 1,
            record: 0,
        }
    }
}

/// Whose progress it is.
#[derive(Debug, Clone)]
pub struct Progress {
    pub job: String,
    pub sink: String,
    pub prefix: String,
}

/// How far a sink came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Everything through it was delivered.
    pub through: Epoch,
    /// All records before this place are there.
    pub at: Place,
    /// What was not taken of those that are newer than `through`.
    pub rejected: Vec<Rejected>,
}

impl Progress {
    /// Its key.
    pub fn key(&self) -> String {
        format!("{}{OWN_KEY}", self.prefix)
    }

    /// The question that takes the sink over for an owner.
    pub fn claim(&self, history: &str, owner: &str) -> Cmd {
        let mut claim = script(CLAIM, [self.key().as_bytes()]);
        claim.arg(&[&self.job, &self.sink, history, owner]);
        claim
    }

    /// What the answer to that says.
    pub fn claimed(&self, history: &str, answer: Value) -> Result<Standing, Error> {
        let key = self.key();
        let answer = texts(answer).unwrap_or_default();
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["yours", through, epoch, record, rejected] => {
                let standing = standing([through, epoch, record], rejected);
                standing.ok_or_else(|| self.invalid(&format!(
                    "key '{key}' does not say how far the sink came in words of this version; bring it back from a backup, or use the version that wrote it"
                )))
            }
            ["foreign", job, sink, _, epoch] if job != self.job || sink != self.sink => {
                Err(self.invalid(&format!(
                    "the keys that begin with '{}' are of sink '{sink}' of job '{job}', which wrote them up to epoch {epoch}; give this sink another 'key.prefix', or if it was renamed run: HSET {} job {} sink {}",
                    self.prefix, quoted(&key), quoted(&self.job), quoted(&self.sink)
                )))
            }
            ["foreign", job, _, theirs, epoch] => Err(self.invalid(&format!(
                "the keys that begin with '{}' are what history '{theirs}' of job '{job}' brought, up to epoch {epoch}, and the job counts anew, in history '{history}'; delete those keys, {} with them, to begin anew there too, or name another 'key.prefix'",
                self.prefix, quoted(&key)
            ))),
            ["other", kind] => Err(self.invalid(&format!(
                "key '{key}', where the sink would note how far it came, is a {kind} of somebody else; move it away, or name another 'key.prefix'"
            ))),
            _ => Err(Error::new(
                ErrorKind::Bug,
                format!("sink '{}': its script answered something else; report this", self.sink),
            )),
        }
    }

    /// That a newer owner is there.
    pub fn fenced(&self) -> Error {
        let message = format!(
            "sink '{}': another run of job '{}' has taken the keys that begin with '{}' over; this one has to end",
            self.sink, self.job, self.prefix
        );
        Error::new(ErrorKind::Fenced, message)
    }

    /// That the server does not know any more how far it came, or says less.
    pub fn lost(&self) -> Error {
        let message = format!(
            "sink '{}': key '{}' does not say any more what it did; it is opened again, and what is there is seen then",
            self.sink,
            self.key()
        );
        Error::new(ErrorKind::Retry, message)
    }

    fn invalid(&self, why: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("sink '{}': {why}", self.sink))
    }
}

/// A text as `redis-cli` reads it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn standing(numbers: [&str; 3], rejected: &str) -> Option<Standing> {
    let [through, epoch, record] = numbers.map(|text| text.parse::<u64>().ok());
    Some(Standing {
        through: Epoch(through?),
        at: Place {
            epoch: epoch?,
            record: record?,
        },
        rejected: read_rejected(rejected)?,
    })
}

/// A line for each: epoch, number, reason.
pub fn read_rejected(text: &str) -> Option<Vec<Rejected>> {
    let lines = text.lines().map(|line| {
        let mut parts = line.splitn(3, ' ');
        Some(Rejected {
            epoch: Epoch(parts.next()?.parse().ok()?),
            record: parts.next()?.parse().ok()?,
            reason: parts.next()?.to_owned(),
        })
    });
    lines.collect()
}

/// The same as a text.
pub fn write_rejected(rejected: &[Rejected]) -> String {
    let lines = rejected.iter().map(|rejected| {
        let Rejected {
            epoch,
            record,
            reason,
        } = rejected;
        format!("{} {record} {reason}\n", epoch.0)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use tidemill_connectors_api::Rejected;
    use tidemill_types::Epoch;

    use super::{Place, read_rejected, standing, write_rejected};

    #[test]
    fn the_layout_of_the_progress_stays_readable() {
        let frozen = "5 0 WRONGTYPE Operation against a key\n6 17 no\n";
        let rejected = |epoch, record, reason: &str| Rejected {
            epoch: Epoch(epoch),
            record,
            reason: reason.to_owned(),
        };
        let expected = vec![
            rejected(5, 0, "WRONGTYPE Operation against a key"),
            rejected(6, 17, "no"),
        ];
        let read = standing(["4", "6", "18"], frozen).unwrap();
        assert_eq!(read.through, Epoch(4));
        assert_eq!(
            read.at,
            Place {
                epoch: 6,
                record: 18
            }
        );
        assert_eq!(read.rejected, expected);
        assert_eq!(write_rejected(&expected), frozen);
        assert_eq!(read_rejected(""), Some(vec![]));
        for wrong in ["5 x no", "5", "words of somebody else"] {
            assert_eq!(read_rejected(wrong), None, "{wrong}");
        }
        assert_eq!(standing(["", "6", "18"], ""), None);
    }

    #[test]
    fn places_are_in_the_order_of_epochs() {
        let place = |epoch, record| Place { epoch, record };
        assert!(place(1, 9) < place(2, 0) && place(2, 0) < place(2, 1));
    }
}

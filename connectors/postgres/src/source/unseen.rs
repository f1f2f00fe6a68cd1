//! Which rows of a snapshot's chunk are stale: the log told of their keys already, by transactions that the chunk did not see.
//!
//! A chunk is read by one statement, and told of in the log at a later place. Between what its snapshot sees and that place lie transactions
//! that it does not see: their commits may come before the chunk in the log, and what they did to a key is newer than the chunk's row. A
//! transaction that comes later in the log corrects the row by itself. So a row is stale exactly if its key was changed by a transaction that
//! came earlier in the log, and that the snapshot does not see: also by one whose commit was in the log, but not yet visible.
//!
//! Holds the keys of such transactions until a chunk sees them: the memory is that of what is changed between two chunks, and of what is
//! changed while a transaction stays open.

use hashbrown::HashSet;

/// What a statement sees: PostgreSQL's `pg_snapshot`, `xmin:xmax:xip,…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sees {
    xmin: u32,
    xmax: u32,
    /// Those between that are not done.
    running: Vec<u32>,
}

impl Sees {
    /// Reads PostgreSQL's text. Of its numbers of 64 bits the log has the lower half.
    pub fn parse(text: &str) -> Option<Self> {
        let low = |text: &str| Some(text.parse::<u64>().ok()? as u32);
        let mut parts = text.split(':');
        let (xmin, xmax) = (low(parts.next()?)?, low(parts.next()?)?);
        let running = match parts.next()? {
            "" => Vec::new(),
            some => some.split(',').map(low).collect::<Option<_>>()?,
        };
        Some(Self {
            xmin,
            xmax,
            running,
        })
    }

    /// Whether it sees a transaction that is committed.
    fn has(&self, xid: u32) -> bool {
        is_before(xid, self.xmax) && !self.running.contains(&xid)
    }
}

/// Numbers of transactions go round.
const fn is_before(xid: u32, other: u32) -> bool {
    (xid.wrapping_sub(other).cast_signed()) < 0
}

/// The keys that transactions of the log changed.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    transactions: Vec<Transaction>,
}

#[derive(Debug, Clone)]
struct Transaction {
    xid: u32,
    keys: HashSet<Box<[u8]>>,
    /// The table was truncated.
    all: bool,
}

impl Changed {
    fn of(&mut self, xid: u32) -> &mut Transaction {
        if self.transactions.last().is_none_or(|last| last.xid != xid) {
            self.transactions.push(Transaction {
                xid,
                keys: HashSet::new(),
                all: false,
            });
        }
        let last = self.transactions.last_mut();
        last.expect("there is one, it was pushed just now")
    }

    /// A transaction changed a key.
    pub fn note(&mut self, xid: u32, key: &[u8]) {
        let keys = &mut self.of(xid).keys;
        if !keys.contains(key) {
            keys.insert(key.into());
        }
    }

    /// A transaction truncated the table.
    pub fn note_all(&mut self, xid: u32) {
        self.of(xid).all = true;
    }

    /// A chunk came that sees this: what it and all later ones see is forgotten.
    pub fn forget(&mut self, sees: &Sees) {
        let unseen = |transaction: &Transaction| !is_before(transaction.xid, sees.xmin);
        self.transactions.retain(unseen);
    }

    /// Those of the keys that a chunk does not know to be changed.
    pub fn unseen(&self, sees: &Sees) -> Stale {
        let unseen = self.transactions.iter().filter(|of| !sees.has(of.xid));
        let mut stale = Stale::default();
        for transaction in unseen {
            stale.all |= transaction.all;
            stale.keys.extend(transaction.keys.iter().cloned());
        }
        stale
    }
}

/// The keys whose rows in a chunk are stale.
#[derive(Debug, Clone, Default)]
pub struct Stale {
    keys: HashSet<Box<[u8]>>,
    all: bool,
}

impl Stale {
    /// Whether a key's row is.
    pub fn has(&self, key: &[u8]) -> bool {
        self.all || self.keys.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::{Changed, Sees};

    #[test]
    fn what_a_chunk_does_not_see_is_stale_and_what_every_later_one_sees_is_forgotten() {
        let mut changed = Changed::default();
        changed.note(10, b"seen");
        changed.note(12, b"running");
        changed.note(20, b"later");
        let sees = Sees::parse("12:20:12,15").unwrap();
        let stale = changed.unseen(&sees);
        assert!(!stale.has(b"seen") && stale.has(b"running") && stale.has(b"later"));
        changed.forget(&sees);
        let later = Sees::parse("30:30:").unwrap();
        assert!(!changed.unseen(&later).has(b"later"));
        let before = Sees::parse("5:5:").unwrap();
        let kept = changed.unseen(&before);
        assert!(!kept.has(b"seen") && kept.has(b"running") && kept.has(b"later"));
        changed.note_all(21);
        assert!(changed.unseen(&sees).has(b"any"));
    }

    #[test]
    fn numbers_of_transactions_go_round() {
        let sees = Sees::parse("4294967290:4294967300:4294967297").unwrap();
        assert!(sees.has(u32::MAX) && sees.has(3) && !sees.has(1) && !sees.has(4));
        for wrong in ["", "1:2", "1:x:", "1:2:a"] {
            assert_eq!(Sees::parse(wrong), None);
        }
    }
}

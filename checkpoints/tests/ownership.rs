//! What a run in doubt concludes, as a table: what the journal says, and what follows.

use tidemill_checkpoints::ownership::{Decision, Facts, decide};
use tidemill_checkpoints::{Claim, Journal, Record};
use tidemill_types::Epoch;

fn record(owner: &str, epoch: u64) -> Vec<u8> {
    Record::new(Epoch(epoch), owner.to_owned(), "plan".to_owned(), 0).encode()
}

fn claim(owner: &str, epoch: u64) -> Vec<u8> {
    Claim::new(Epoch(epoch), owner.to_owned()).encode()
}

fn decision(entries: &[Vec<u8>], fenced: bool) -> Decision {
    let journal = Journal::decode(entries).expect("readable");
    decide(&Facts {
        owner: "mine",
        journal: &journal,
        fenced,
    })
}

#[test]
fn only_records_of_ones_own_say_that_a_commit_stands() {
    let journal = [record("before", 4), claim("mine", 4)];
    assert_eq!(
        decision(&journal, true),
        Decision::Stands { through: Epoch(0) },
        "epoch 4 is of the run before"
    );
    let journal = [record("before", 4), claim("mine", 4), record("mine", 5)];
    assert_eq!(
        decision(&journal, true),
        Decision::Stands { through: Epoch(5) }
    );
}

#[test]
fn nothing_is_concluded_before_fencing_but_that_one_was_replaced() {
    let own = [claim("mine", 0), record("mine", 1)];
    assert_eq!(decision(&own, false), Decision::FenceAndReadAgain);
    assert_eq!(decision(&[], false), Decision::FenceAndReadAgain);
    let by = "other".to_owned();
    let replaced = Decision::Replaced { by };
    for fenced in [false, true] {
        let claimed = [record("mine", 1), claim("other", 1)];
        assert_eq!(decision(&claimed, fenced), replaced);
        let went_on = [record("mine", 1), claim("other", 1), record("other", 2)];
        assert_eq!(decision(&went_on, fenced), replaced);
    }
}

#[test]
fn a_journal_that_has_nothing_of_a_run_that_claimed_it_was_lost() {
    assert_eq!(decision(&[], true), Decision::JournalLost);
}

//! Whether a record may be put back: only if the job counts it once afterwards.
//!
//! What a later stage refused has come into the job: another table, stream or sink may have counted it, and would count it again. The same holds
//! for a record that another source of the topic took. What another plan of the job refused, this one has read itself: a changed job begins
//! anew, and reads its topics from their beginning.

use tidemill_types::DeadLetter;
use tidemill_types::dead_letter::Stage;

/// Whether a letter's record may be put back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It may.
    PutBack,
    /// It was refused by a later stage.
    LaterStage,
    /// Only its beginning is known.
    Truncated,
    /// Another plan of the job refused it.
    OtherPlan,
    /// The job reads the topic by no such source.
    NoSource,
    /// This source of the same topic did not refuse it.
    TakenBy(String),
    /// The job would refuse it again, for this cause.
    Again(String),
}

/// What is known beside the letter.
#[derive(Debug, Clone, Default)]
pub struct Facts<'a> {
    /// Hash of the job's plan as it is now.
    pub plan_hash: &'a str,
    /// True if what other plans refused is to be put back all the same.
    pub other_plans: bool,
    /// True if the job has the letter's source, and it reads the letter's topic.
    pub is_read: bool,
    /// A source that reads the same topic and did not refuse the record.
    pub taken_by: Option<&'a str>,
}

/// Decides about a letter, before it is tried whether the job can read it now.
pub fn decide(letter: &DeadLetter, facts: &Facts<'_>) -> Verdict {
    if letter.stage != Stage::Decode {
        return Verdict::LaterStage;
    }
    if !facts.is_read {
        return Verdict::NoSource;
    }
    if letter.plan != facts.plan_hash && !facts.other_plans {
        return Verdict::OtherPlan;
    }
    if letter.truncated {
        return Verdict::Truncated;
    }
    match facts.taken_by {
        Some(source) => Verdict::TakenBy(source.to_owned()),
        None => Verdict::PutBack,
    }
}

impl Verdict {
    /// Why not, and what to do instead.
    pub fn why(&self) -> String {
        match self {
            Self::PutBack => "is put back".to_owned(),
            Self::LaterStage => {
                "a later stage refused it: other parts of the job may have counted the record, and would count it twice; let its producer send \
                 a new event"
                    .to_owned()
            }
            Self::Truncated => {
                "only the beginning of the record is kept; take it from its topic, or have it sent again".to_owned()
            }
            Self::OtherPlan => {
                "another plan of the job refused it: the job as it is now begins anew and reads the record itself, so run it, and replay what it \
                 refuses (--other-plans, if the topic had retained the record no longer by then)"
                    .to_owned()
            }
            Self::NoSource => "the job has no source of that name and topic".to_owned(),
            Self::TakenBy(source) => {
                format!("source '{source}' reads the topic, too, and did not refuse the record: it would count it twice")
            }
            Self::Again(cause) => format!("the job would refuse it again: {cause}; mend the record ('export') or the job"),
        }
    }

    /// A word for scripts.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::PutBack => "put-back",
            Self::LaterStage => "later-stage",
            Self::Truncated => "truncated",
            Self::OtherPlan => "other-plan",
            Self::NoSource => "no-source",
            Self::TakenBy(_) => "taken",
            Self::Again(_) => "refused-again",
        }
    }
}

#[cfg(test)]
mod tests {
    use tidemill_types::DeadLetter;
    use tidemill_types::dead_letter::Stage;

    use super::{Facts, Verdict, decide};

    const FACTS: Facts<'_> = Facts {
        plan_hash: "now",
        other_plans: false,
        is_read: true,
        taken_by: None,
    };

    fn letter() -> DeadLetter {
        DeadLetter {
            plan: "now".to_owned(),
            topic: "orders".to_owned(),
            ..DeadLetter::default()
        }
    }

    #[test]
    fn what_the_only_source_of_its_topic_refused_may_be_put_back() {
        assert_eq!(decide(&letter(), &FACTS), Verdict::PutBack);
    }

    #[test]
    fn what_a_later_stage_refused_may_have_been_counted_elsewhere() {
        for stage in Stage::ALL
            .into_iter()
            .filter(|stage| *stage != Stage::Decode)
        {
            let letter = DeadLetter { stage, ..letter() };
            let facts = Facts {
                other_plans: true,
                ..FACTS
            };
            assert_eq!(decide(&letter, &facts), Verdict::LaterStage, "{stage}");
        }
    }

    #[test]
    fn what_another_plan_refused_is_put_back_only_on_demand() {
        let letter = DeadLetter {
            plan: "before".to_owned(),
            ..letter()
        };
        assert_eq!(decide(&letter, &FACTS), Verdict::OtherPlan);
        let facts = Facts {
            other_plans: true,
            ..FACTS
        };
        assert_eq!(decide(&letter, &facts), Verdict::PutBack);
    }

    #[test]
    fn what_is_not_whole_or_has_no_source_or_was_taken_is_not_put_back() {
        let truncated = DeadLetter {
            truncated: true,
            ..letter()
        };
        assert_eq!(decide(&truncated, &FACTS), Verdict::Truncated);
        let facts = Facts {
            is_read: false,
            ..FACTS
        };
        assert_eq!(decide(&letter(), &facts), Verdict::NoSource);
        let facts = Facts {
            taken_by: Some("also"),
            ..FACTS
        };
        assert_eq!(
            decide(&letter(), &facts),
            Verdict::TakenBy("also".to_owned())
        );
    }
}

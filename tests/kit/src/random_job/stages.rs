//! The stages of a job by name, and which stand behind which: what has to have been run before one may say that all of
//! them work together.

use std::collections::BTreeSet;

use super::job::{Expr, Job, JoinKind, Op, Relation};

/// A stage and the one that reads it.
pub type Pair = (&'static str, &'static str);

/// The stages that can read others, by what they need of them.
const ANY: [&str; 9] = [
    "project",
    "failing project",
    "filter",
    "aggregate",
    "distinct",
    "union",
    "join",
    "outer join",
    "star join",
];

/// What rows can come from.
const READABLE: [&str; 17] = [
    "source",
    "dedup",
    "resequence",
    "table",
    "dead letters",
    "late",
    "tumble",
    "project",
    "failing project",
    "filter",
    "aggregate",
    "window",
    "distinct",
    "union",
    "join",
    "outer join",
    "star join",
];

/// Three stages behind one another that are known to be hard.
pub const HARD_CHAINS: [[&str; 3]; 9] = [
    ["tumble", "join", "window"],
    ["window", "join", "window"],
    ["window", "join", "upsert"],
    ["resequence", "join", "aggregate"],
    ["union", "distinct", "upsert"],
    ["dead letters", "aggregate", "upsert"],
    ["late", "aggregate", "upsert"],
    ["failing project", "aggregate", "upsert"],
    ["aggregate", "failing project", "join"],
];

/// The pairs of stages that stand behind one another in a job.
#[must_use]
pub fn pairs(job: &Job) -> BTreeSet<Pair> {
    pairs_among(job, &vec![true; job.relations.len()])
}

/// The pairs of stages that stand behind one another in a job, among those relations that are counted.
#[must_use]
pub fn pairs_among(job: &Job, counted: &[bool]) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    for (index, relation) in job.relations.iter().enumerate() {
        if !counted[index] {
            continue;
        }
        let stage = stage(relation);
        match relation.op {
            Op::Table { dedup, .. } => {
                pairs.extend(events(dedup, "table"));
            }
            Op::Stream {
                dedup,
                resequence_ms,
                ..
            } => {
                if resequence_ms.is_some() {
                    pairs.extend(events(dedup, "resequence"));
                } else if dedup {
                    pairs.insert(("source", "dedup"));
                }
            }
            _ => {
                let inputs = relation
                    .op
                    .inputs()
                    .into_iter()
                    .filter(|&input| counted[input]);
                pairs.extend(inputs.map(|input| (self::stage(&job.relations[input]), stage)));
            }
        }
    }
    for sink in job.sinks.iter().filter(|sink| counted[sink.input]) {
        let mode = if sink.upsert { "upsert" } else { "append" };
        pairs.insert((stage(&job.relations[sink.input]), mode));
    }
    pairs
}

/// The paths of three stages that a job has, through relations and into sinks.
#[must_use]
pub fn chains(job: &Job) -> BTreeSet<[&'static str; 3]> {
    let mut chains = BTreeSet::new();
    let before = |relation: usize| {
        let inputs = job.relations[relation].op.inputs();
        inputs.into_iter().map(|input| stage(&job.relations[input]))
    };
    for (index, relation) in job.relations.iter().enumerate() {
        for input in relation.op.inputs() {
            let middle = stage(&job.relations[input]);
            chains.extend(before(input).map(|first| [first, middle, stage(relation)]));
        }
        for sink in job.sinks.iter().filter(|sink| sink.input == index) {
            let mode = if sink.upsert { "upsert" } else { "append" };
            chains.extend(before(index).map(|first| [first, stage(relation), mode]));
        }
    }
    chains
}

fn events(dedup: bool, reader: &'static str) -> Vec<Pair> {
    if dedup {
        vec![("source", "dedup"), ("dedup", reader)]
    } else {
        vec![("source", reader)]
    }
}

/// The last stage of a relation.
#[must_use]
pub fn stage(relation: &Relation) -> &'static str {
    match &relation.op {
        Op::Table { .. } => "table",
        Op::Stream {
            resequence_ms: Some(_),
            ..
        } => "resequence",
        Op::Stream { dedup: true, .. } => "dedup",
        Op::Stream { .. } => "source",
        Op::DeadLetters { .. } => "dead letters",
        Op::Late => "late",
        Op::Tumble { .. } => "tumble",
        Op::Project { columns, .. } if columns.iter().any(Expr::may_fail) => "failing project",
        Op::Project { .. } => "project",
        Op::Filter { .. } => "filter",
        Op::Aggregate {
            window: Some(_), ..
        } => "window",
        Op::Aggregate { .. } => "aggregate",
        Op::Join { steps, .. } if steps.len() > 1 => "star join",
        Op::Join { steps, .. } if steps[0].kind == JoinKind::Inner => "join",
        Op::Join { .. } => "outer join",
        Op::Distinct { .. } => "distinct",
        Op::Union { .. } => "union",
    }
}

/// The pairs that the planner accepts and the generator makes.
#[must_use]
pub fn accepted() -> BTreeSet<Pair> {
    let mut accepted: BTreeSet<Pair> = events(true, "table")
        .into_iter()
        .chain(events(false, "table"))
        .chain(events(true, "resequence"))
        .chain(events(false, "resequence"))
        .collect();
    for before in READABLE {
        accepted.extend(ANY.map(|after| (before, after)));
        // What a stream is made of has no key; what changes cannot be appended.
        if !["source", "dedup", "resequence", "dead letters", "late"].contains(&before) {
            accepted.insert((before, "upsert"));
        }
        if !["table", "aggregate", "window", "outer join"].contains(&before) {
            accepted.insert((before, "append"));
        }
        if ["source", "dedup", "resequence", "table"].contains(&before) {
            accepted.insert((before, "tumble"));
        }
        let keeps_windows = [
            "tumble",
            "project",
            "failing project",
            "filter",
            "distinct",
            "union",
        ];
        if keeps_windows.contains(&before) || before.ends_with("join") {
            accepted.insert((before, "window"));
        }
    }
    // What fails in front of the ledger of what failed would have to be in it.
    accepted.remove(&("dead letters", "failing project"));
    // A filter over what fails could be asked first, and then less would fail.
    accepted.remove(&("failing project", "filter"));
    // Over windows it is closed by them.
    accepted.remove(&("tumble", "aggregate"));
    accepted
}

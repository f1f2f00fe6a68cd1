//! The seam of a source that begins with a history and goes on live: which partitions are whose, and where the history ends.
//!
//! The history's partitions keep their numbers, those of the live system count from [`LIVE`] on: whatever is ordered by partition has the
//! history first. Where each partition of the history ends is fixed when the source is first described, and stands with the incarnations of
//! both in the source's own, so in every journal record and checkpoint: whoever starts the job again reads the same history.
//! Promises that the text never changes its meaning: it lies on disk.

use std::collections::BTreeMap;
use std::fmt;

use tidemill_types::TopicPartition;

use crate::PartitionMap;

/// The number of the live system's first partition.
pub const LIVE: u32 = 1 << 16;
/// Begins the text of a seam: no other incarnation begins so.
const BEGINNING: &str = "history ";

/// What is known of both sides.
///
/// ```
/// use tidemill_connectors_api::seam::{LIVE, Seam, place};
///
/// let seam = Seam {
///     ends: [(0, 120), (1, 40)].into(),
///     history: "past@x:0-1".to_owned(),
///     live: "orders@y:0-2".to_owned(),
/// };
/// assert_eq!(seam.to_string(), "history 0:120,1:40 10 past@x:0-1orders@y:0-2");
/// assert_eq!(place(&seam.to_string(), 1).unwrap().to_string(), "past/1");
/// assert_eq!(place(&seam.to_string(), LIVE + 2).unwrap().to_string(), "orders/2");
/// assert_eq!(place("orders@y:0-2", 2).unwrap().to_string(), "orders/2");
/// assert_eq!(Seam::parse(&seam.to_string()), Some(seam));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seam {
    /// By partition of the history, the offset after the last record that is read of it.
    pub ends: BTreeMap<u32, i64>,
    /// The history's incarnation.
    pub history: String,
    /// The live system's.
    pub live: String,
}

impl Seam {
    /// Reads what `to_string` wrote; none if it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix(BEGINNING)?.splitn(3, ' ');
        let ends = words.next()?.split(',').filter(|end| !end.is_empty());
        let ends = ends.map(|end| {
            let (partition, offset) = end.split_once(':')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        });
        let ends = ends.collect::<Option<_>>()?;
        let length = words.next()?.parse().ok()?;
        let (history, live) = words.next()?.split_at_checked(length)?;
        Some(Self {
            ends,
            history: history.to_owned(),
            live: live.to_owned(),
        })
    }
}

impl fmt::Display for Seam {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = self.ends.iter();
        let ends: Vec<_> = ends
            .map(|(partition, end)| format!("{partition}:{end}"))
            .collect();
        let Self { history, live, .. } = self;
        let (ends, length) = (ends.join(","), history.len());
        write!(out, "{BEGINNING}{ends} {length} {history}{live}")
    }
}

/// The topic and partition that a number stands for, by a source's incarnation; none if that tells of no topics.
#[must_use]
pub fn place(incarnation: &str, number: u32) -> Option<TopicPartition> {
    let of = |incarnation: &str, number| PartitionMap::parse(incarnation)?.place(number);
    match Seam::parse(incarnation) {
        Some(seam) => match number.checked_sub(LIVE) {
            Some(number) => of(&seam.live, number),
            None => of(&seam.history, number),
        },
        None => of(incarnation, number),
    }
}

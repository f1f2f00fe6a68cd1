//! Windowed aggregates: a group is first emitted when the watermark closes its window, and corrected whenever its input changes after that.
//!
//! The group's key holds the end of its window. A change to a closed window is a correction, at once. What is emitted follows from the sums and
//! the watermark alone: a group is visible if its window is closed and it has rows.
//!
//! Of an input that only appends, corrections are taken until the watermark has passed the window's end by more than the allowed lateness. Then
//! the window is *over*: its sums are forgotten, its last row stands, and a row that comes for it after that is late: it is counted, and makes no
//! new window. (Where something behind the windows is rebuilt from them at a restore, the sums are kept.) Of an input that retracts nothing is
//! ever over, because a row may be taken back at any time: its windows are kept as the table is that they are made of.
//!
//! State: group → its sums. In memory: the groups whose window is still open, and those that are closed and not over, by its end.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::SchemaRef;
use hashbrown::HashMap;
use tidemill_types::{ChangeBatch, Row, RowCodec, key_group};

use crate::accumulators::{AccumulatorPlan, Accumulators, AggregateSpec};
use crate::error::Context;
use crate::group_rows::GroupRows;
use crate::uncomputed::Uncomputed;
use crate::{Counter, EpochOperator, Error, Output, Tick, columns};

/// Settings of a windowed aggregate.
#[derive(Debug)]
pub struct Settings {
    /// Name of the operator, in errors.
    pub name: String,
    /// Group columns of the input.
    pub group: Vec<usize>,
    /// Which of the group columns (index into `group`) is the end of the window.
    pub window_end: usize,
    /// The aggregates, all accumulable.
    pub aggregates: Vec<AggregateSpec>,
    /// How long after its window's end a row of an input that only appends is taken; `None` for an input that retracts.
    pub lateness_ms: Option<i64>,
    /// True if something behind the windows needs all rows after a restore.
    pub emits_image: bool,
    /// Where groups go that have a sum beyond its type.
    pub uncomputed: Uncomputed,
}

/// The state and logic of one worker's windows.
pub struct Window {
    name: String,
    group: Vec<usize>,
    window_end: usize,
    input: SchemaRef,
    keys: RowCodec,
    plan: AccumulatorPlan,
    open: Groups,
    /// Closed and not over; only where they are to be forgotten.
    closed: Groups,
    lateness_ms: Option<i64>,
    emits_image: bool,
    rows: GroupRows,
    watermark_ms: Option<i64>,
    state: tidemill_state::Table,
    late: Counter,
}

/// Groups by the end of their window.
type Groups = BTreeMap<i64, BTreeSet<Row>>;

/// A group whose sums changed in an epoch.
struct Touched {
    window_end_ms: i64,
    delta: Accumulators,
}

impl Window {
    /// Windows over rows of `input`; the output has the group columns and then the aggregates.
    ///
    /// # Errors
    /// If an aggregate cannot be kept as a sum, or a type has no encoding.
    pub fn new(
        settings: Settings,
        input: &SchemaRef,
        output: &SchemaRef,
        state: tidemill_state::Table,
        late: Counter,
    ) -> Result<Self, Error> {
        let Settings {
            name,
            group,
            window_end,
            aggregates,
            lateness_ms,
            emits_image,
            uncomputed,
        } = settings;
        if !aggregates.iter().all(AggregateSpec::is_accumulable) {
            return Err(Error::Plan {
                operator: name,
                reason: "a windowed aggregate is a sum, count or average of exact numbers"
                    .to_owned(),
            });
        }
        let keys = RowCodec::new(group.iter().map(|&i| input.field(i).data_type())).of(&name)?;
        let rows = GroupRows::new(&name, &aggregates, input, output, uncomputed);
        let (input, plan) = (input.clone(), AccumulatorPlan::new(aggregates));
        Ok(Self {
            name,
            group,
            window_end,
            input,
            keys,
            plan,
            open: Groups::new(),
            closed: Groups::new(),
            lateness_ms,
            emits_image,
            rows,
            watermark_ms: None,
            state,
            late,
        })
    }

    fn is_closed(&self, window_end_ms: i64) -> bool {
        self.watermark_ms
            .is_some_and(|watermark| window_end_ms <= watermark)
    }

    /// True if no row is taken for such a window any more.
    fn is_over(&self, window_end_ms: i64) -> bool {
        let passed = self.lateness_ms.zip(self.watermark_ms);
        passed.is_some_and(|(lateness_ms, watermark)| {
            window_end_ms.saturating_add(lateness_ms) < watermark
        })
    }

    /// True if windows that are over are forgotten.
    const fn forgets(&self) -> bool {
        self.lateness_ms.is_some() && !self.emits_image
    }

    /// The change of each group's sums; what comes for windows that are over is counted and left out.
    fn touched(&self, input: &[ChangeBatch]) -> Result<BTreeMap<Row, Touched>, Error> {
        let changes = columns::concat(&self.input, input).of(&self.name)?;
        let columns: Vec<_> = self
            .group
            .iter()
            .map(|&i| changes.rows.column(i).clone())
            .collect();
        let keys = self.keys.encode(&columns, changes.len()).of(&self.name)?;
        let ends = columns::ordinals(&columns[self.window_end]).of(&self.name)?;
        let arguments = self.plan.arguments(&changes.rows).of(&self.name)?;
        let mut touched: HashMap<&[u8], Touched> = HashMap::new();
        for (row, end) in ends.into_iter().enumerate() {
            let window_end_ms = end.unwrap_or(i64::MAX);
            if self.is_over(window_end_ms) {
                self.late.add(1);
                continue;
            }
            let entry = touched.entry(keys.bytes(row)).or_insert_with(|| Touched {
                window_end_ms,
                delta: self.plan.zero(),
            });
            self.plan
                .add(&mut entry.delta, &arguments, row, changes.diff(row));
        }
        Ok(touched
            .into_iter()
            .map(|(key, touched)| (Row::from(key), touched))
            .collect())
    }

    fn apply(
        &mut self,
        touched: &BTreeMap<Row, Touched>,
        changes: &mut Changed,
    ) -> Result<(), Error> {
        let name = self.name.clone();
        let lookups: Vec<(u16, &[u8])> = touched
            .keys()
            .map(|key| (key_group(key.as_bytes()), key.as_bytes()))
            .collect();
        let before = read(&mut self.state, &lookups, &self.plan, &name)?;
        for ((key, touched), (before, (group, bytes))) in
            touched.iter().zip(before.into_iter().zip(&lookups))
        {
            let mut after = before.clone();
            differential_dataflow::difference::Semigroup::plus_equals(&mut after, &touched.delta);
            if after == before {
                continue;
            }
            if after.0.iter().all(|&sum| sum == 0) {
                self.state.delete(*group, bytes).of(&name)?;
            } else {
                self.state.put(*group, bytes, &after.to_bytes()).of(&name)?;
            }
            if self.is_closed(touched.window_end_ms) {
                changes.push(key, before, -1);
                changes.push(key, after, 1);
            }
            self.remember(touched.window_end_ms, key.clone());
        }
        Ok(())
    }

    /// Keeps a group in mind until the watermark closes its window, or until that is over.
    fn remember(&mut self, window_end_ms: i64, key: Row) {
        let groups = if !self.is_closed(window_end_ms) {
            &mut self.open
        } else if self.forgets() {
            &mut self.closed
        } else {
            return;
        };
        groups.entry(window_end_ms).or_default().insert(key);
    }

    /// Emits every group whose window the watermark has just closed.
    fn close(&mut self, changes: &mut Changed) -> Result<(), Error> {
        let Some(watermark) = self.watermark_ms else {
            return Ok(());
        };
        let still_open = self.open.split_off(&watermark.saturating_add(1));
        let closed = std::mem::replace(&mut self.open, still_open);
        let ends = closed
            .iter()
            .flat_map(|(&end, keys)| keys.iter().map(move |key| (end, key)));
        let keys: Vec<Row> = ends.clone().map(|(_, key)| key.clone()).collect();
        if self.forgets() {
            for (end, key) in ends {
                self.closed.entry(end).or_default().insert(key.clone());
            }
        }
        let lookups: Vec<(u16, &[u8])> = keys
            .iter()
            .map(|key| (key_group(key.as_bytes()), key.as_bytes()))
            .collect();
        let sums = read(&mut self.state, &lookups, &self.plan, &self.name)?;
        for (key, sums) in keys.iter().zip(sums) {
            changes.push(key, sums, 1);
        }
        Ok(())
    }

    /// Forgets the groups whose window is over.
    fn forget(&mut self) -> Result<(), Error> {
        while let Some(&end) = self.closed.keys().next()
            && self.is_over(end)
        {
            for key in self.closed.remove(&end).unwrap_or_default() {
                self.state
                    .delete(key_group(key.as_bytes()), key.as_bytes())
                    .of(&self.name)?;
            }
        }
        Ok(())
    }

    /// Reads which groups there are, and emits those whose window is closed, if need be.
    fn restore(&mut self, output: &mut Output) -> Result<(), Error> {
        let (name, slots) = (self.name.clone(), self.plan.slots());
        let mut groups = Vec::new();
        let mut broken = false;
        self.state
            .scan(|_, key, entry| -> Result<(), tidemill_state::Error> {
                match Accumulators::from_bytes(entry, slots) {
                    Some(sums) => groups.push((Row::from(key), sums)),
                    None => broken = true,
                }
                Ok(())
            })
            .of(&name)?;
        if broken {
            return Err(Error::Entry { operator: name });
        }
        let columns = self
            .keys
            .decode(groups.iter().map(|(key, _)| key.as_bytes()))
            .of(&name)?;
        let ends = columns::ordinals(&columns[self.window_end]).of(&name)?;
        let mut changes = Changed::default();
        for ((key, sums), end) in groups.into_iter().zip(ends) {
            let end = end.unwrap_or(i64::MAX);
            if self.is_closed(end) && self.emits_image {
                changes.push(&key, sums, 1);
            }
            self.remember(end, key);
        }
        self.emit(&changes, output)
    }

    fn emit(&self, changes: &Changed, output: &mut Output) -> Result<(), Error> {
        if changes.diffs.is_empty() {
            return Ok(());
        }
        let keys = self
            .keys
            .decode(changes.keys.iter().map(Row::as_bytes))
            .of(&self.name)?;
        let sums: Vec<_> = changes.sums.iter().collect();
        let finished = self.plan.finish(&sums).of(&self.name)?;
        let (rows, letters) = self.rows.assemble(keys, finished, changes.diffs.clone())?;
        output
            .rows
            .extend(Some(rows).filter(|rows| !rows.is_empty()));
        output.aside.extend(letters);
        Ok(())
    }
}

impl EpochOperator for Window {
    /// Rows of windows that close, and corrections of closed ones; and aside, groups with a sum beyond its type.
    fn on_epoch(
        &mut self,
        tick: &Tick,
        input: &[ChangeBatch],
        output: &mut Output,
    ) -> Result<(), Error> {
        if tick.restored {
            self.watermark_ms = tick.watermark;
            return self.restore(output);
        }
        let mut changes = Changed::default();
        if !input.is_empty() {
            let touched = self.touched(input)?;
            self.apply(&touched, &mut changes)?;
        }
        if tick.watermark > self.watermark_ms {
            self.watermark_ms = tick.watermark;
            self.close(&mut changes)?;
            self.forget()?;
        }
        self.emit(&changes, output)
    }
}

/// Rows to emit; a group without rows is none.
#[derive(Default)]
struct Changed {
    keys: Vec<Row>,
    sums: Vec<Accumulators>,
    diffs: Vec<i64>,
}

impl Changed {
    fn push(&mut self, key: &Row, sums: Accumulators, diff: i64) {
        if sums.rows() > 0 {
            self.keys.push(key.clone());
            self.sums.push(sums);
            self.diffs.push(diff);
        }
    }
}

/// The sums of each key; zero for a key without an entry.
fn read(
    state: &mut tidemill_state::Table,
    lookups: &[(u16, &[u8])],
    plan: &AccumulatorPlan,
    name: &str,
) -> Result<Vec<Accumulators>, Error> {
    let mut sums = vec![plan.zero(); lookups.len()];
    let mut broken = false;
    state
        .get_many(lookups, |i, entry| {
            if let Some(entry) = entry {
                match Accumulators::from_bytes(entry, plan.slots()) {
                    Some(found) => sums[i] = found,
                    None => broken = true,
                }
            }
        })
        .of(name)?;
    if broken {
        Err(Error::Entry {
            operator: name.to_owned(),
        })
    } else {
        Ok(sums)
    }
}

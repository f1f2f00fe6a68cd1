//! The relations of a job, each computed from whole relations before it.

use std::collections::BTreeMap;

use super::expression::value;
use super::{Letter, Oracle, aggregate};
use crate::random_job::job::{Expr, JoinKind, Op, Relation, Step};
use crate::value::{Row, Rows, Value};

impl Oracle<'_> {
    /// Computes all relations anew. What reads the dead letters comes last: every other relation may add to them.
    pub(super) fn evaluate(&mut self) {
        let before = std::mem::replace(
            &mut self.relations,
            vec![Rows::new(); self.job.relations.len()],
        );
        let mut behind = vec![false; self.job.relations.len()];
        for (index, relation) in self.job.relations.iter().enumerate() {
            let inputs = relation.op.inputs();
            behind[index] = matches!(relation.op, Op::DeadLetters { .. })
                || inputs.iter().any(|&input| behind[input]);
        }
        for turn in [false, true] {
            for (index, relation) in self.job.relations.iter().enumerate() {
                if behind[index] == turn {
                    self.relations[index] = self.rows_of(index, relation, &before);
                }
            }
        }
    }

    fn rows_of(&mut self, index: usize, relation: &Relation, before: &[Rows]) -> Rows {
        let of = |input: usize| &self.relations[input];
        match &relation.op {
            Op::Table { .. } | Op::Stream { .. } => self
                .held
                .get(&index)
                .map(super::state::Held::content)
                .unwrap_or_default(),
            Op::DeadLetters { rows } => {
                let letters = self
                    .dead
                    .iter()
                    .filter(|letter| *rows || letter.offset >= 0);
                counted(letters.map(|letter| (of_dead_letter(letter), 1)))
            }
            Op::Late => counted(self.late.iter().map(|letter| (of_late(letter), 1))),
            Op::Tumble {
                input,
                time,
                size_ms,
            } => counted(of(*input).iter().filter_map(|(row, count)| {
                let Value::Time(time) = row[*time] else {
                    return None;
                };
                let start = time - time.rem_euclid(*size_ms);
                let bounds = [Value::Time(start), Value::Time(start + size_ms)];
                Some((row.iter().cloned().chain(bounds).collect(), *count))
            })),
            Op::Project { input, columns } => {
                let rows = of(*input).iter();
                let rows = counted(
                    rows.filter_map(|(row, count)| Some((computed(columns, row)?, *count))),
                );
                self.report_failures(columns, *input, before);
                rows
            }
            Op::Filter { input, predicate } => {
                let rows = of(*input).iter();
                let kept = rows.filter(|(row, _)| value(predicate, row) == Some(Value::Bool(true)));
                kept.map(|(row, count)| (row.clone(), *count)).collect()
            }
            Op::Aggregate { .. } => self.groups(index, relation, before),
            Op::Join {
                first,
                steps,
                select,
            } => self.join(*first, steps, select),
            Op::Distinct { input } => of(*input).keys().map(|row| (row.clone(), 1)).collect(),
            Op::Union { inputs, distinct } => {
                let rows = inputs.iter().flat_map(|(input, columns)| {
                    of(*input)
                        .iter()
                        .map(|(row, count)| (chosen(row, columns), *count))
                });
                let rows = counted(rows);
                if *distinct {
                    rows.into_keys().map(|row| (row, 1)).collect()
                } else {
                    rows
                }
            }
        }
    }

    /// A letter for every row that is new and cannot be computed.
    fn report_failures(&mut self, columns: &[Expr], input: usize, before: &[Rows]) {
        for (row, count) in &self.relations[input] {
            let new = count - before[input].get(row).copied().unwrap_or_default();
            if new > 0 && computed(columns, row).is_none() {
                let letter = Letter {
                    stage: "row",
                    origin: "row".to_owned(),
                    partition: 0,
                    offset: -1,
                    reason: String::new(),
                    key: None,
                    bytes: None,
                };
                self.dead.extend((0..new).map(|_| letter.clone()));
            }
        }
    }

    fn groups(&mut self, index: usize, relation: &Relation, before: &[Rows]) -> Rows {
        let Op::Aggregate {
            input,
            group,
            aggregates,
            window,
        } = &relation.op
        else {
            return Rows::new();
        };
        let bound = window.map(|place| {
            let column = group[place];
            let bound = self.job.relations[*input].columns[column].bound;
            (column, bound.expect("a window is closed by its bound"))
        });
        let end_of = |row: &Row| match bound {
            Some((column, bound)) => match row[column] {
                Value::Time(time) if bound.is_end => time,
                Value::Time(time) => time + bound.size_ms,
                _ => i64::MAX,
            },
            None => i64::MIN,
        };
        let source = bound.map(|(_, bound)| &self.sources[bound.source]);
        let (passed_ms, before_ms) = source.map_or((Some(i64::MAX), None), |source| {
            (source.watermark_ms, source.before_ms)
        });
        let lateness_ms = bound.and_then(|(_, bound)| self.lateness_ms(*input, bound.source));
        let all = &self.relations[*input];
        let rows = match lateness_ms {
            Some(lateness_ms) => {
                let in_time = self.in_time.entry(index).or_default();
                for (row, count) in all {
                    let new = count - before[*input].get(row).copied().unwrap_or_default();
                    let end = end_of(row).saturating_add(lateness_ms);
                    if new > 0 && before_ms.is_none_or(|watermark| end >= watermark) {
                        *in_time.entry(row.clone()).or_default() += new;
                    }
                }
                &*in_time
            }
            None => all,
        };
        let mut groups: BTreeMap<Row, Vec<(&Row, i64)>> = BTreeMap::new();
        if group.is_empty() {
            groups.insert(Row::new(), Vec::new());
        }
        let is_closed = |row: &Row| passed_ms.is_some_and(|passed_ms| end_of(row) <= passed_ms);
        for (row, count) in rows.iter().filter(|(row, _)| is_closed(row)) {
            groups
                .entry(chosen(row, group))
                .or_default()
                .push((row, *count));
        }
        let row = |(mut key, rows): (Row, Vec<(&Row, i64)>)| {
            key.extend(aggregates.iter().map(|one| aggregate::of(one, &rows)));
            (key, 1)
        };
        groups.into_iter().map(row).collect()
    }

    /// How long after its window's end a row is taken; none for rows that change, or are not of the watermark's source
    /// alone: those always are.
    fn lateness_ms(&self, input: usize, source: usize) -> Option<i64> {
        let watermark = self.job.sources[source].watermark?;
        let mut lateness_ms = watermark.allowed_lateness_ms;
        let mut above = vec![input];
        let mut of_source = false;
        while let Some(index) = above.pop() {
            let relation = &self.job.relations[index];
            if relation.retracts {
                return None;
            }
            match relation.op {
                Op::Stream {
                    source: of,
                    resequence_ms,
                    ..
                } if of == source => {
                    of_source = true;
                    // What a resequencer holds back for longer than the watermark is no later for it.
                    let held_ms = resequence_ms.unwrap_or_default() - watermark.delay_ms;
                    lateness_ms = lateness_ms.max(held_ms);
                }
                Op::Stream { .. } => return None,
                Op::Late => above.extend(self.resequenced()),
                _ => above.extend(relation.op.inputs()),
            }
        }
        of_source.then_some(lateness_ms)
    }

    /// The streams that may have late events.
    fn resequenced(&self) -> impl Iterator<Item = usize> {
        let relations = self.job.relations.iter().enumerate();
        let ordered = relations.filter(|(_, relation)| {
            matches!(
                relation.op,
                Op::Stream {
                    resequence_ms: Some(_),
                    ..
                }
            )
        });
        ordered.map(|(index, _)| index)
    }

    fn join(&self, first: usize, steps: &[Step], select: &[(usize, usize)]) -> Rows {
        // A row of all columns so far, and where those of the first relation end.
        let width = self.job.relations[first].columns.len();
        let mut starts = vec![0];
        let mut joined: Vec<(Row, i64)> = (self.relations[first].iter())
            .map(|(row, count)| (row.clone(), *count))
            .collect();
        let mut columns = width;
        for step in steps {
            starts.push(columns);
            let other = &self.job.relations[step.input];
            joined = join_one(
                &joined,
                columns,
                &self.relations[step.input],
                other.columns.len(),
                step,
            );
            columns += other.columns.len();
        }
        let places: Vec<usize> = (select.iter())
            .map(|&(part, index)| starts[part] + index)
            .collect();
        counted(
            joined
                .iter()
                .map(|(row, count)| (chosen(row, &places), *count)),
        )
    }
}

fn join_one(
    left: &[(Row, i64)],
    left_width: usize,
    right: &Rows,
    right_width: usize,
    step: &Step,
) -> Vec<(Row, i64)> {
    let matches = |a: &Row, b: &Row| {
        step.on
            .iter()
            .all(|&(left, right)| !a[left].is_null() && a[left] == b[right])
    };
    let mut joined = Vec::new();
    for (a, count) in left {
        let mut found = false;
        for (b, times) in right {
            if matches(a, b) {
                found = true;
                joined.push((a.iter().chain(b).cloned().collect(), count * times));
            }
        }
        if !found && matches!(step.kind, JoinKind::Left | JoinKind::Full) {
            let nulls = vec![Value::Null; right_width];
            joined.push((a.iter().cloned().chain(nulls).collect(), *count));
        }
    }
    if matches!(step.kind, JoinKind::Right | JoinKind::Full) {
        for (b, times) in right {
            if !left.iter().any(|(a, _)| matches(a, b)) {
                let nulls = vec![Value::Null; left_width];
                joined.push((nulls.into_iter().chain(b.iter().cloned()).collect(), *times));
            }
        }
    }
    joined
}

/// The columns of a projection; none if one of them cannot be computed.
fn computed(columns: &[Expr], row: &[Value]) -> Option<Row> {
    columns.iter().map(|expr| value(expr, row)).collect()
}

fn chosen(row: &[Value], columns: &[usize]) -> Row {
    columns.iter().map(|&index| row[index].clone()).collect()
}

fn of_dead_letter(letter: &Letter) -> Row {
    vec![
        Value::Text(letter.origin.clone()),
        Value::Int(i64::from(letter.partition)),
        Value::Int(letter.offset),
        Value::Text(letter.stage.to_owned()),
        bytes(letter.key.as_ref()),
        bytes(letter.bytes.as_ref()),
    ]
}

fn of_late(letter: &Letter) -> Row {
    vec![
        Value::Text(letter.origin.clone()),
        Value::Int(i64::from(letter.partition)),
        Value::Int(letter.offset),
        Value::Text(letter.reason.clone()),
        bytes(letter.bytes.as_ref()),
    ]
}

fn bytes(part: Option<&Vec<u8>>) -> Value {
    part.map_or(Value::Null, |bytes| Value::Bytes(bytes.clone()))
}

fn counted(rows: impl Iterator<Item = (Row, i64)>) -> Rows {
    let mut counted = Rows::new();
    for (row, count) in rows {
        *counted.entry(row).or_default() += count;
    }
    counted
}

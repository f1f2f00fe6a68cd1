//! Draws what a job writes: everything that nobody else reads, and all columns of every source.

use rand::RngExt;

use super::Draft;
use super::job::{Encoding, Expr, Op, Relation, Sink, Written};
use super::relations::{distinct, has_nested};
use crate::value::{Type, Value};

impl Draft {
    /// The sinks. The first relation of each source has one, so that all of its columns are decoded.
    pub(super) fn sinks(&mut self) {
        self.settle_letters();
        let mut seen = Vec::new();
        for index in 0..self.job.relations.len() {
            let relation = &self.job.relations[index];
            let first = match relation.op {
                Op::Table { source, .. } | Op::Stream { source, .. } => {
                    let first = !seen.contains(&source);
                    seen.push(source);
                    first
                }
                _ => false,
            };
            let shared = !relation.fails && self.rng.random_range(0..100) < 10;
            if first || self.uses[index] == 0 || shared {
                self.sink(index);
            }
        }
    }

    /// Where a row fails more or less often than its inputs change, nobody counts the rows that failed.
    fn settle_letters(&mut self) {
        let relations = &self.job.relations;
        let exact = relations.iter().all(|relation| match &relation.op {
            Op::Project { input, columns } if columns.iter().any(Expr::may_fail) => {
                self.is_event(*input)
            }
            _ => true,
        });
        for relation in &mut self.job.relations {
            if let Op::DeadLetters { rows } = &mut relation.op {
                *rows = exact;
            }
        }
    }

    /// True if a relation has the rows of a table or stream as they are.
    fn is_event(&self, relation: usize) -> bool {
        match self.job.relations[relation].op {
            Op::Table { .. } | Op::Stream { .. } => true,
            Op::Filter { input, .. } | Op::Tumble { input, .. } => self.is_event(input),
            _ => false,
        }
    }

    fn sink(&mut self, input: usize) {
        let relation = self.job.relations[input].clone();
        let (input, key, upsert) = match &relation.key {
            Some(key) if relation.durable && (relation.retracts || self.chance(60)) => {
                if key.is_empty() {
                    let input = self.with_a_name(input);
                    (input, vec![0], true)
                } else {
                    (input, key.clone(), true)
                }
            }
            _ if !relation.retracts => {
                let keyed = self.chance(20);
                let first = relation
                    .columns
                    .iter()
                    .position(|column| !column.ty.is_nested());
                let key = first.filter(|_| keyed).into_iter().collect();
                (input, key, false)
            }
            _ => {
                let flat = self.flat(input);
                let relation = self.job.relations[flat].clone();
                let set = self.view(distinct(&relation, flat));
                (set, (0..relation.columns.len()).collect(), true)
            }
        };
        let number = self.job.sinks.len();
        let (headers, timestamp) = self.metadata(input, &key);
        self.job.sinks.push(Sink {
            name: format!("sink{number}"),
            topic: format!("out{number}"),
            input,
            key,
            headers,
            timestamp,
            upsert,
            written: if upsert {
                Written::Upsert
            } else {
                Written::Plain
            },
            encoding: Encoding::Json,
            is_delivered: false,
        });
    }

    /// What stands beside the values of a sink: in each second one a time, and up to two headers, of columns that neither the key nor the
    /// value needs.
    fn metadata(&self, input: usize, key: &[usize]) -> (Vec<usize>, Option<usize>) {
        let columns = &self.job.relations[input].columns;
        let mut spare: Vec<usize> = (0..columns.len())
            .filter(|index| !key.contains(index))
            .collect();
        if key.is_empty() && !spare.is_empty() {
            spare.remove(0);
        }
        spare.retain(|&index| !columns[index].ty.is_nested());
        let number = self.job.sinks.len();
        // A record without a time of its own has that of writing, which nobody expects.
        let is_time = |index: &usize| columns[*index].ty == Type::Time && !columns[*index].nullable;
        let timestamp = spare.iter().copied().find(is_time);
        let timestamp = timestamp.filter(|_| number.is_multiple_of(2));
        spare.retain(|index| Some(*index) != timestamp);
        spare.reverse();
        spare.truncate(number % 3);
        (spare, timestamp)
    }

    /// A relation without the columns that have values in their values, which are no keys.
    fn flat(&mut self, input: usize) -> usize {
        let relation = self.job.relations[input].clone();
        if !has_nested(&relation) {
            return input;
        }
        let columns = relation.columns.iter().enumerate();
        let kept = columns.filter(|(_, column)| !column.ty.is_nested());
        let kept: Vec<usize> = kept.map(|(index, _)| index).collect();
        let place = |index: &usize| kept.iter().position(|kept| kept == index);
        let key = relation.key.as_ref();
        let key = key.and_then(|key| key.iter().map(place).collect::<Option<Vec<_>>>());
        let needed = relation.needed.iter().filter_map(place).collect();
        let exprs = kept.iter().map(|&index| Expr::Column(index)).collect();
        let columns = kept
            .iter()
            .map(|&index| self.renamed(&relation.columns[index]));
        let columns = columns.collect();
        self.view(Relation {
            columns,
            key,
            needed,
            op: Op::Project {
                input,
                columns: exprs,
            },
            ..relation
        })
    }

    /// A relation of one row, with a column that names it.
    fn with_a_name(&mut self, input: usize) -> usize {
        let relation = self.job.relations[input].clone();
        let mut exprs = vec![Expr::Literal(Value::Text("all".to_owned()))];
        let mut columns = vec![self.column(Type::Text, false)];
        for (index, column) in relation.columns.iter().enumerate() {
            exprs.push(Expr::Column(index));
            columns.push(self.column(column.ty, column.nullable));
        }
        let needed = relation.needed.iter().map(|index| index + 1).collect();
        self.view(Relation {
            columns,
            key: Some(vec![0]),
            key_may_be_null: false,
            needed,
            op: Op::Project {
                input,
                columns: exprs,
            },
            ..relation
        })
    }
}

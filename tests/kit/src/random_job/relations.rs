//! Draws relations over relations: each step takes what is there and puts one more operator behind it.

use rand::RngExt;

use super::Draft;
use super::expressions::Columns;
use super::job::{Aggregate, Bound, Column, Expr, Function, Op, Relation};
use super::sources::plain;
use crate::value::Type;

/// Above so many rows a relation is not made.
const ROWS_MAX: usize = 4_000;
/// How often an operator is drawn again when what was drawn does not fit.
const TRIES: usize = 12;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Tumble,
    Project,
    Failing,
    Filter,
    Aggregate,
    Join,
    Star,
    Distinct,
    Union,
}

const KINDS: [Kind; 12] = [
    Kind::Tumble,
    Kind::Tumble,
    Kind::Project,
    Kind::Failing,
    Kind::Filter,
    Kind::Aggregate,
    Kind::Aggregate,
    Kind::Join,
    Kind::Join,
    Kind::Star,
    Kind::Distinct,
    Kind::Union,
];

impl Draft {
    /// The relations behind the tables and streams.
    pub(super) fn relations(&mut self) {
        if self.chance(40) {
            self.dead_letters();
        }
        if self.is_resequenced() && self.chance(50) {
            self.late();
        }
        for _ in 0..self.rng.random_range(3..=8) {
            let made = (0..TRIES).any(|_| {
                let kind = self.pick(&KINDS);
                self.relation(kind).is_some()
            });
            if !made {
                return;
            }
        }
    }

    fn is_resequenced(&self) -> bool {
        let mut relations = self.job.relations.iter();
        relations.any(|relation| {
            matches!(
                relation.op,
                Op::Stream {
                    resequence_ms: Some(_),
                    ..
                }
            )
        })
    }

    fn relation(&mut self, kind: Kind) -> Option<usize> {
        // Windows are few, and what stands behind them is what fails most.
        let input = match kind {
            Kind::Tumble => self.one_of(is_declared)?,
            Kind::Aggregate if self.chance(40) => self.one_of(has_windows)?,
            Kind::Join if self.chance(40) => {
                self.one_of(|one| is_window(one) || has_windows(one))?
            }
            _ => self.input_relation()?,
        };
        let relation = match kind {
            Kind::Tumble => self.tumble(input)?,
            Kind::Project => self.project(input, false)?,
            Kind::Failing => self.project(input, true)?,
            Kind::Filter => self.filter(input)?,
            Kind::Aggregate => self.aggregate(input)?,
            Kind::Join => self.join(input, false)?,
            Kind::Star => self.join(input, true)?,
            Kind::Distinct if has_nested(&self.job.relations[input]) => return None,
            Kind::Distinct => distinct(&self.job.relations[input], input),
            Kind::Union => self.union(input)?,
        };
        (relation.rows_max <= ROWS_MAX).then(|| self.view(relation))
    }

    /// Adds a relation under a name of its own.
    pub(super) fn view(&mut self, relation: Relation) -> usize {
        let name = format!("view{}", self.job.relations.len());
        self.add(Relation { name, ..relation })
    }

    /// A relation that can be read; newer ones rather than older ones.
    fn input_relation(&mut self) -> Option<usize> {
        let relations = self.job.relations.iter().enumerate();
        let free: Vec<usize> = relations
            .filter(|(index, relation)| !relation.fails || self.uses[*index] == 0)
            .map(|(index, _)| index)
            .collect();
        let from = if self.chance(50) {
            free.len().saturating_sub(3)
        } else {
            0
        };
        (!free.is_empty()).then(|| self.pick(&free[from..]))
    }

    /// One of some relations, none that fails among them.
    pub(super) fn one_of(&mut self, fits: impl Fn(&Relation) -> bool) -> Option<usize> {
        let relations = self.job.relations.iter().enumerate();
        let fitting: Vec<usize> = relations
            .filter(|(_, relation)| !relation.fails && fits(relation))
            .map(|(index, _)| index)
            .collect();
        (!fitting.is_empty()).then(|| self.pick(&fitting))
    }

    pub(super) fn other_relation(&mut self, than: usize) -> Option<usize> {
        let other = self.input_relation()?;
        let relation = &self.job.relations[other];
        (other != than || !relation.fails).then_some(other)
    }

    /// A name that no other column of the job has.
    pub(super) fn column(&mut self, ty: Type, nullable: bool) -> Column {
        self.names += 1;
        Column {
            name: format!("c{}", self.names),
            ty,
            nullable,
            bound: None,
        }
    }

    pub(super) fn renamed(&mut self, column: &Column) -> Column {
        Column {
            bound: column.bound,
            ..self.column(column.ty, column.nullable)
        }
    }

    fn dead_letters(&mut self) {
        let columns = vec![
            self.column(Type::Text, false),
            self.column(Type::Int, false),
            self.column(Type::Int, false),
            self.column(Type::Text, false),
            self.column(Type::Bytes, true),
            self.column(Type::Bytes, true),
        ];
        self.view(plain(Op::DeadLetters { rows: true }, columns));
    }

    fn late(&mut self) {
        let types = [Type::Text, Type::Int, Type::Int, Type::Text, Type::Bytes];
        let columns = types.map(|ty| self.column(ty, ty == Type::Bytes)).into();
        self.view(plain(Op::Late, columns));
    }

    fn tumble(&mut self, input: usize) -> Option<Relation> {
        let relation = self.job.relations[input].clone();
        let (Op::Table { source, .. } | Op::Stream { source, .. }) = relation.op else {
            return None;
        };
        let time = self.job.sources[source].watermark?.column;
        let size_ms = self.pick(&[60_000, 600_000, 3_600_000]);
        let mut columns: Vec<Column> = (relation.columns.iter())
            .map(|column| self.renamed(column))
            .collect();
        for is_end in [false, true] {
            columns.push(Column {
                bound: Some(Bound {
                    is_end,
                    size_ms,
                    source,
                }),
                ..self.column(Type::Time, false)
            });
        }
        let op = Op::Tumble {
            input,
            time,
            size_ms,
        };
        Some(Relation {
            columns,
            op,
            ..relation
        })
    }

    fn project(&mut self, input: usize, fails: bool) -> Option<Relation> {
        let relation = self.job.relations[input].clone();
        let from_letters = self.reads_dead_letters(input);
        if fails
            && (from_letters || (is_stateful(&relation.op) && !self.shapes.failures_behind_state))
        {
            return None;
        }
        let kept_key = relation.key.clone().unwrap_or_default();
        let drops_key = self.chance(15);
        let mut kept = Vec::new();
        for (index, column) in relation.columns.iter().enumerate() {
            let must = relation.needed.contains(&index)
                || column.bound.is_some()
                || (kept_key.contains(&index) && !drops_key);
            if must || self.chance(65) {
                kept.push(index);
            }
        }
        let mut exprs: Vec<Expr> = kept.iter().map(|&index| Expr::Column(index)).collect();
        let mut columns: Vec<Column> = (kept.iter())
            .map(|&index| self.renamed(&relation.columns[index]))
            .collect();
        let usable = Columns {
            all: &relation.columns,
            except: &relation.needed,
        };
        for _ in 0..self.rng.random_range(u32::from(!fails)..=2) {
            if let Some((expr, ty)) = self.computed(&usable) {
                exprs.push(expr);
                columns.push(self.column(ty, true));
            }
        }
        let place = |index: &usize| kept.iter().position(|kept| kept == index);
        let mut needed: Vec<usize> = relation.needed.iter().filter_map(place).collect();
        if fails {
            needed.push(exprs.len());
            exprs.push(self.failing(&usable)?);
            columns.push(self.column(Type::Int, true));
        }
        let key = relation.key.as_ref();
        let key = key.and_then(|key| key.iter().map(place).collect::<Option<Vec<_>>>());
        (!exprs.is_empty()).then_some(Relation {
            columns,
            op: Op::Project {
                input,
                columns: exprs,
            },
            key,
            needed,
            fails: relation.fails || fails,
            ..relation
        })
    }

    /// True if a relation is made of the dead letters: what fails there is in no ledger.
    fn reads_dead_letters(&self, relation: usize) -> bool {
        let op = &self.job.relations[relation].op;
        matches!(op, Op::DeadLetters { .. })
            || op
                .inputs()
                .iter()
                .any(|&input| self.reads_dead_letters(input))
    }

    fn filter(&mut self, input: usize) -> Option<Relation> {
        let relation = self.job.relations[input].clone();
        if relation.fails || relation.lost_windows {
            return None;
        }
        let usable = Columns {
            all: &relation.columns,
            except: &[],
        };
        let predicate = self.predicate(&usable, 2)?;
        let columns = (relation.columns.iter())
            .map(|column| self.renamed(column))
            .collect();
        Some(Relation {
            columns,
            op: Op::Filter { input, predicate },
            ..relation
        })
    }

    fn aggregate(&mut self, input: usize) -> Option<Relation> {
        let relation = self.job.relations[input].clone();
        // The number of rows of what always has one row is a constant, which no source reaches.
        if relation.key.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let columns = &relation.columns;
        let bounds: Vec<usize> = (0..columns.len())
            .filter(|&index| columns[index].bound.is_some())
            .collect();
        let mut group = Vec::new();
        if !bounds.is_empty() {
            group.push(self.pick(&bounds));
        }
        let groupable: Vec<usize> = (0..columns.len())
            .filter(|&index| {
                !matches!(columns[index].ty, Type::Double | Type::Nested(_))
                    && columns[index].bound.is_none()
            })
            .filter(|index| !relation.needed.contains(index))
            .collect();
        let wanted = self.pick(&[0, 1, 1, 1, 2]);
        for _ in 0..wanted.min(groupable.len()) {
            let drawn = self.pick(&groupable);
            if !group.contains(&drawn) {
                group.push(drawn);
            }
        }
        let mut aggregates = Vec::new();
        let mut needed = Vec::new();
        for &index in &relation.needed {
            if columns[index].ty == Type::Int && self.chance(60) {
                aggregates.push((Function::Sum, Some(index)));
            } else {
                group.push(index);
            }
        }
        needed.extend((0..group.len()).filter(|&place| relation.needed.contains(&group[place])));
        needed.extend(group.len()..group.len() + aggregates.len());
        let windowed = !bounds.is_empty();
        let mut aggregates: Vec<Aggregate> = (aggregates.into_iter())
            .map(|(function, argument)| Aggregate {
                function,
                argument,
                distinct: false,
                filter: None,
            })
            .collect();
        let least = u32::from(group.is_empty());
        for _ in 0..self.rng.random_range(least..=3) {
            aggregates.push(self.one_aggregate(&relation, windowed));
        }
        if group.is_empty() && aggregates.is_empty() {
            return None;
        }
        Some(self.grouped(input, &relation, group, aggregates, needed))
    }

    fn grouped(
        &mut self,
        input: usize,
        relation: &Relation,
        group: Vec<usize>,
        aggregates: Vec<Aggregate>,
        needed: Vec<usize>,
    ) -> Relation {
        let of = |place: &usize| &relation.columns[group[*place]];
        let places = || 0..group.len();
        let is = |is_end: bool| {
            places().find(|place| of(place).bound.is_some_and(|bound| bound.is_end == is_end))
        };
        let window = is(true).or_else(|| is(false));
        let key_may_be_null = places().all(|place| of(&place).nullable);
        let mut columns: Vec<Column> = (places())
            .map(|place| {
                let column = of(&place).clone();
                self.column(column.ty, column.nullable)
            })
            .collect();
        for aggregate in &aggregates {
            let argument = aggregate.argument.map(|index| relation.columns[index].ty);
            let (ty, nullable) = result(aggregate.function, argument);
            columns.push(self.column(ty, nullable));
        }
        Relation {
            key: Some(places().collect()),
            key_may_be_null,
            columns,
            retracts: true,
            durable: true,
            grows: false,
            needed,
            op: Op::Aggregate {
                input,
                group,
                aggregates,
                window,
            },
            ..relation.clone()
        }
    }

    fn one_aggregate(&mut self, relation: &Relation, windowed: bool) -> Aggregate {
        let usable = Columns {
            all: &relation.columns,
            except: &relation.needed,
        };
        let exact = usable.of(|ty| matches!(ty, Type::Int | Type::Decimal(_)));
        let decimals = usable.of(|ty| matches!(ty, Type::Decimal(0..=6)));
        let ordered = usable.of(|ty| {
            matches!(
                ty,
                Type::Int | Type::Decimal(_) | Type::Text | Type::Date | Type::Time
            )
        });
        let any = usable.of(|ty| !ty.is_nested());
        let (function, among) = match self.rng.random_range(0..7) {
            0 | 1 => (Function::Sum, &exact),
            2 if windowed => (Function::Avg, &decimals),
            2 => (Function::Avg, &exact),
            3 if !windowed => (Function::Min, &ordered),
            4 if !windowed => (Function::Max, &ordered),
            5 => (Function::Count, &any),
            _ => (Function::Count, &Vec::new()),
        };
        let argument = (!among.is_empty()).then(|| self.pick(among));
        let function = if argument.is_none() {
            Function::Count
        } else {
            function
        };
        let may_be_distinct = matches!(function, Function::Sum | Function::Count);
        let distinct = !windowed && argument.is_some() && may_be_distinct && self.chance(20);
        let filter = if self.chance(15) && !distinct {
            self.predicate(&usable, 0)
        } else {
            None
        };
        Aggregate {
            function,
            argument,
            distinct,
            filter,
        }
    }

    fn union(&mut self, input: usize) -> Option<Relation> {
        let relation = self.job.relations[input].clone();
        // Windows are united with the same ones only, and those are easily had of one relation.
        let other = if self.chance(25) && !relation.fails {
            input
        } else {
            self.other_relation(input)?
        };
        let second = self.job.relations[other].clone();
        if second.fails {
            return None;
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let keeps_windows = self.chance(60);
        for (index, column) in relation.columns.iter().enumerate() {
            let must = relation.needed.contains(&index)
                || (input == other && keeps_windows && column.bound.is_some());
            let fits = |place: &usize| {
                let twin = &second.columns[*place];
                let is_alike = twin.ty == column.ty && twin.bound == column.bound;
                !right.contains(place) && is_alike && !column.ty.is_nested()
            };
            let twin = (0..second.columns.len()).find(fits);
            match twin {
                Some(twin) if must || (left.len() < 4 && self.chance(60)) => {
                    left.push(index);
                    right.push(twin);
                }
                None if must => return None,
                _ => {}
            }
        }
        if left.is_empty() {
            return None;
        }
        let distinct = self.chance(40);
        let columns: Vec<Column> = (left.iter().zip(&right))
            .map(|(&a, &b)| {
                let (a, b) = (&relation.columns[a], &second.columns[b]);
                Column {
                    nullable: a.nullable || b.nullable,
                    ..self.renamed(a)
                }
            })
            .collect();
        let needed = (0..left.len())
            .filter(|&place| relation.needed.contains(&left[place]))
            .collect();
        Some(Relation {
            key: distinct.then(|| (0..columns.len()).collect()),
            key_may_be_null: columns.iter().all(|column| column.nullable),
            columns,
            retracts: relation.retracts || second.retracts,
            durable: distinct || (relation.durable && second.durable),
            grows: !distinct && (relation.grows || second.grows),
            lost_windows: relation.lost_windows || second.lost_windows,
            needed,
            rows_max: relation.rows_max + second.rows_max,
            op: Op::Union {
                inputs: vec![(input, left), (other, right)],
                distinct,
            },
            ..relation
        })
    }
}

/// `SELECT DISTINCT` of a relation.
pub(super) fn distinct(relation: &Relation, input: usize) -> Relation {
    Relation {
        key: Some((0..relation.columns.len()).collect()),
        key_may_be_null: relation.columns.iter().all(|column| column.nullable),
        durable: true,
        grows: false,
        op: Op::Distinct { input },
        ..relation.clone()
    }
}

/// True if a column has values in its values, so that no two rows can be told to be one.
pub(super) fn has_nested(relation: &Relation) -> bool {
    relation.columns.iter().any(|column| column.ty.is_nested())
}

/// True if an operator keeps state, so that what it emits in an epoch is more than its change.
fn is_stateful(op: &Op) -> bool {
    matches!(
        op,
        Op::Aggregate { .. } | Op::Join { .. } | Op::Distinct { .. } | Op::Union { .. }
    )
}

/// True for tables and streams.
const fn is_declared(relation: &Relation) -> bool {
    matches!(relation.op, Op::Table { .. } | Op::Stream { .. })
}

/// True if a column holds an end of a window, so that one can be aggregated.
pub(super) fn has_windows(relation: &Relation) -> bool {
    relation.columns.iter().any(|column| column.bound.is_some())
}

/// True for an aggregate over windows.
pub(super) const fn is_window(relation: &Relation) -> bool {
    matches!(
        relation.op,
        Op::Aggregate {
            window: Some(_),
            ..
        }
    )
}

/// Type and nullability of an aggregate.
fn result(function: Function, argument: Option<Type>) -> (Type, bool) {
    match (function, argument) {
        (Function::Count, _) | (_, None) => (Type::Int, false),
        (Function::Avg, Some(Type::Decimal(scale))) => (Type::Decimal(scale + 4), true),
        (Function::Avg, Some(_)) => (Type::Double, true),
        (_, Some(ty)) => (ty, true),
    }
}

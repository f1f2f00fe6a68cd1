//! Which columns tell the rows of a node apart: the proof that a sink's key is a key of what it writes.
//!
//! Two questions, each answered from the node backwards. *Determined*: which columns are functions of some others,
//! because a table's key or the columns of a group determine the row, a join makes two columns equal, or an expression
//! computes one from the others. *Unique*: whether no two rows are alike in some columns, because a table, a group or
//! DISTINCT says so of its own, and what lies above neither loses those columns nor multiplies rows: a join multiplies
//! no row of the side whose every row meets at most one of the other.
//!
//! A row that an outer join pads is null in all columns of a side, also in those that determine others where they are
//! not. So on a padded side nothing is concluded from its own columns, only from the columns that it is joined on.
//!
//! Promises: what is called unique is. Does not promise to find every key: filters to one value, unions of what can be
//! told apart, and casts are not looked through, and a question that takes too many steps is answered with no.

use std::cell::Cell;
use std::collections::BTreeSet;

use datafusion_expr::Expr;

use super::graph::Graph;
use super::{WINDOW_END, WINDOW_START};
use crate::plan::{self, Dimension, JoinKind, NodeId, NodeOp};

/// Nodes that one question may visit.
const STEPS_MAX: u32 = 20_000;

/// Names of columns of one node.
type Columns = BTreeSet<String>;

/// Equal columns of two sides, as pairs.
type On = [(String, String)];

impl Graph {
    /// True if no two rows of a node can be alike in these columns.
    pub fn is_unique(&self, id: NodeId, columns: &[String]) -> bool {
        let proof = Proof {
            graph: self,
            steps_left: Cell::new(STEPS_MAX),
        };
        proof.is_unique(id, &columns.iter().cloned().collect())
    }
}

/// One question, with what it may still cost.
struct Proof<'a> {
    graph: &'a Graph,
    steps_left: Cell<u32>,
}

/// One input of a join, and whether its rows may be missing.
#[derive(Clone, Copy)]
struct Side {
    id: NodeId,
    padded: bool,
}

/// What two sides of a join are joined on.
struct Joined<'a> {
    /// Indices of the sides.
    ends: [usize; 2],
    on: &'a On,
}

impl Joined<'_> {
    /// The other end and, per pair, that end's column and the one of this end; nothing if the side is not one of the
    /// ends.
    fn seen_from(&self, side: usize) -> Option<(usize, Vec<(&String, &String)>)> {
        let [left, right] = self.ends;
        if side == right {
            Some((left, self.on.iter().map(|(of, own)| (of, own)).collect()))
        } else if side == left {
            Some((right, self.on.iter().map(|(own, of)| (of, own)).collect()))
        } else {
            None
        }
    }

    /// True if all that a side is joined on here is known of the other end, whose rows are all there: those that are
    /// alike in it meet the same rows of this side, or none.
    fn meets(&self, side: usize, sides: &[Side], known: &Columns) -> bool {
        self.seen_from(side).is_some_and(|(other, pairs)| {
            !sides[other].padded && pairs.iter().all(|(of, _)| known.contains(*of))
        })
    }

    /// Adds columns that are equal to known ones.
    fn equate(&self, sides: &[Side], met: &[bool], known: &mut Columns) {
        for side in self.ends {
            let Some((other, pairs)) = self.seen_from(side) else {
                continue;
            };
            if sides[other].padded || (sides[side].padded && !met[side]) {
                continue;
            }
            let equal = pairs.into_iter().filter(|(of, _)| known.contains(*of));
            let equal: Vec<String> = equal.map(|(_, own)| own.clone()).collect();
            known.extend(equal);
        }
    }
}

impl Proof<'_> {
    fn step(&self) -> bool {
        let left = self.steps_left.get();
        self.steps_left.set(left.saturating_sub(1));
        left > 0
    }

    /// Those of the columns that a node has.
    fn of_node(&self, id: NodeId, columns: &Columns) -> Columns {
        let schema = &self.graph.node(id).schema;
        let has = |name: &&String| schema.field_with_name(name).is_ok();
        columns.iter().filter(has).cloned().collect()
    }

    fn all(&self, id: NodeId) -> Columns {
        let fields = self.graph.node(id).schema.fields();
        fields.iter().map(|field| field.name().clone()).collect()
    }

    /// The columns of a node that are functions of the known ones, which are among them.
    fn determined(&self, id: NodeId, known: &Columns) -> Columns {
        if !self.step() {
            return known.clone();
        }
        match &self.graph.node(id).op {
            NodeOp::Table(plan::Table { key, .. }) if contains(known, key) => self.all(id),
            NodeOp::Filter(plan::Filter { input, .. })
            | NodeOp::Image(plan::Image { input })
            | NodeOp::Distinct(plan::Distinct { input }) => self.determined(*input, known),
            NodeOp::Project(plan::Project { input, columns }) => {
                let below = self.determined(*input, &passed(columns, known));
                let follows = |expr: &Expr| {
                    expr.column_refs()
                        .iter()
                        .all(|of| below.contains(of.name()))
                };
                let followed = columns.iter().filter(|(expr, _)| follows(expr));
                let followed = followed.map(|(_, name)| name.clone());
                known.iter().cloned().chain(followed).collect()
            }
            NodeOp::Tumble(plan::Tumble { input, time, .. }) => {
                let bounds = [WINDOW_START, WINDOW_END].map(str::to_owned);
                let mut columns = self.determined(*input, &self.of_node(*input, known));
                if columns.contains(time) || bounds.iter().any(|bound| known.contains(bound)) {
                    columns.extend(bounds);
                }
                columns
            }
            NodeOp::Join(plan::Join {
                left,
                right,
                kind,
                on,
            }) => {
                let joined = Joined { ends: [0, 1], on };
                self.determined_by_joins(&sides([*left, *right], *kind), &[joined], known)
            }
            NodeOp::StarJoin(plan::StarJoin {
                fact, dimensions, ..
            }) => {
                let (sides, joins) = star(*fact, dimensions);
                self.determined_by_joins(&sides, &joins, known)
            }
            NodeOp::Aggregate(plan::Aggregate { input, group, .. })
            | NodeOp::WindowAggregate(plan::WindowAggregate { input, group, .. }) => {
                let of_group = group.iter().filter(|name| known.contains(*name));
                let of_input = self.determined(*input, &of_group.cloned().collect());
                if contains(&of_input, group) {
                    return self.all(id);
                }
                let found = group.iter().filter(|name| of_input.contains(*name));
                known.iter().chain(found).cloned().collect()
            }
            NodeOp::Table(_)
            | NodeOp::UnionAll(_)
            | NodeOp::Source(_)
            | NodeOp::Dedup(_)
            | NodeOp::Resequence(_)
            | NodeOp::Late(_)
            | NodeOp::DeadLetters(plan::DeadLetters) => known.clone(),
        }
    }

    fn determined_by_joins(
        &self,
        sides: &[Side],
        joins: &[Joined<'_>],
        known: &Columns,
    ) -> Columns {
        let mut known = known.clone();
        // Per side, what was known of it when it was asked.
        let mut asked = vec![None; sides.len()];
        loop {
            let met: Vec<bool> = (0..sides.len())
                .map(|i| joins.iter().any(|joined| joined.meets(i, sides, &known)))
                .collect();
            for joined in joins {
                joined.equate(sides, &met, &mut known);
            }
            let next = sides.iter().enumerate().find(|(i, side)| {
                (!side.padded || met[*i]) && asked[*i] != Some(self.of_node(side.id, &known))
            });
            let Some((i, side)) = next else {
                return known;
            };
            known.extend(self.determined(side.id, &self.of_node(side.id, &known)));
            asked[i] = Some(self.of_node(side.id, &known));
        }
    }

    fn is_unique(&self, id: NodeId, by: &Columns) -> bool {
        if !self.step() {
            return false;
        }
        let by = &self.determined(id, by);
        match &self.graph.node(id).op {
            NodeOp::Table(plan::Table { key, .. }) => contains(by, key),
            NodeOp::Aggregate(plan::Aggregate { group, .. })
            | NodeOp::WindowAggregate(plan::WindowAggregate { group, .. }) => contains(by, group),
            NodeOp::Distinct(plan::Distinct { input }) => {
                self.all(id).is_subset(by) || self.is_unique(*input, by)
            }
            NodeOp::Filter(plan::Filter { input, .. }) | NodeOp::Image(plan::Image { input }) => {
                self.is_unique(*input, by)
            }
            NodeOp::Tumble(plan::Tumble { input, .. }) => {
                self.is_unique(*input, &self.of_node(*input, by))
            }
            NodeOp::Project(plan::Project { input, columns }) => {
                self.is_unique(*input, &passed(columns, by))
            }
            NodeOp::Join(plan::Join {
                left,
                right,
                kind,
                on,
            }) => self.is_unique_join(sides([*left, *right], *kind), on, by),
            NodeOp::StarJoin(plan::StarJoin {
                fact, dimensions, ..
            }) => self.is_unique_star(*fact, dimensions, by),
            NodeOp::UnionAll(_)
            | NodeOp::Source(_)
            | NodeOp::Dedup(_)
            | NodeOp::Resequence(_)
            | NodeOp::Late(_)
            | NodeOp::DeadLetters(plan::DeadLetters) => false,
        }
    }

    /// True if at most one row of a node is alike in `by` and in what it is joined on.
    fn is_single(&self, id: NodeId, by: &Columns, keys: &[String]) -> bool {
        let mut by = self.of_node(id, by);
        by.extend(keys.iter().cloned());
        self.is_unique(id, &by)
    }

    fn is_unique_join(&self, [left, right]: [Side; 2], on: &On, by: &Columns) -> bool {
        let (of_left, of_right): (Vec<_>, Vec<_>) = on.iter().cloned().unzip();
        let from_left =
            || self.is_single(left.id, by, &[]) && self.is_single(right.id, by, &of_right);
        let from_right =
            || self.is_single(right.id, by, &[]) && self.is_single(left.id, by, &of_left);
        match (left.padded, right.padded) {
            (false, false) => from_left() || from_right(),
            (false, true) => from_left(),
            (true, false) => from_right(),
            // A row of the left side alone and one of the right side alone are alike where both have nothing but nulls.
            (true, true) => {
                let is_told = |side: Side| {
                    let schema = &self.graph.node(side.id).schema;
                    let mut of_side = schema.fields().iter().filter(|of| by.contains(of.name()));
                    of_side.any(|field| !field.is_nullable())
                };
                (is_told(left) || is_told(right)) && from_left() && from_right()
            }
        }
    }

    /// Of a star one side is told by `by`, and every other side has at most one row for it.
    fn is_unique_star(&self, fact: NodeId, dimensions: &[Dimension], by: &Columns) -> bool {
        let keys = |dimension: &Dimension| -> (Vec<String>, Vec<String>) {
            dimension.on.iter().cloned().unzip()
        };
        let single =
            |dimension: &Dimension| self.is_single(dimension.input, by, &keys(dimension).1);
        if self.is_single(fact, by, &[]) {
            return dimensions.iter().all(single);
        }
        (dimensions.iter().enumerate()).any(|(first, dimension)| {
            !dimension.optional
                && self.is_single(dimension.input, by, &[])
                && self.is_single(fact, by, &keys(dimension).0)
                && (dimensions.iter().enumerate()).all(|(i, other)| i == first || single(other))
        })
    }
}

fn sides([left, right]: [NodeId; 2], kind: JoinKind) -> [Side; 2] {
    let side = |id, padded| Side { id, padded };
    [
        side(left, matches!(kind, JoinKind::Right | JoinKind::Full)),
        side(right, matches!(kind, JoinKind::Left | JoinKind::Full)),
    ]
}

/// The fact is the first side.
fn star(fact: NodeId, dimensions: &[Dimension]) -> (Vec<Side>, Vec<Joined<'_>>) {
    let side = |id, padded| Side { id, padded };
    let of_dimensions = dimensions.iter().map(|of| side(of.input, of.optional));
    let sides = std::iter::once(side(fact, false)).chain(of_dimensions);
    let joins = (1..).zip(dimensions).map(|(i, dimension)| Joined {
        ends: [0, i],
        on: &dimension.on,
    });
    (sides.collect(), joins.collect())
}

fn contains(columns: &Columns, names: &[String]) -> bool {
    names.iter().all(|name| columns.contains(name))
}

/// The columns of a projection's input that it lets pass under a name in `known`.
fn passed(columns: &[(Expr, String)], known: &Columns) -> Columns {
    let wanted = columns.iter().filter(|(_, name)| known.contains(name));
    let column = |(expr, _): &(Expr, String)| Some(expr.try_as_col()?.name().to_owned());
    wanted.filter_map(column).collect()
}

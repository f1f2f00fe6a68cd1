//! Draws joins: of one relation with another, or with several on columns of its own.

use rand::RngExt;

use super::Draft;
use super::job::{Column, JoinKind, Op, Relation, Step};
use super::relations::{has_windows, is_window};
use crate::value::Type;

impl Draft {
    /// A relation joined with another, or with two or three.
    pub(super) fn join(&mut self, first: usize, star: bool) -> Option<Relation> {
        let relation = self.job.relations[first].clone();
        let wanted = if star {
            self.rng.random_range(2..=3)
        } else {
            1
        };
        let mut steps: Vec<Step> = Vec::new();
        let mut grows = relation.grows;
        // Only of rows that never change are the joined ones appended.
        let appends = !relation.retracts && self.chance(40);
        for _ in 0..wanted {
            let input = match steps.last() {
                Some(step) if self.chance(35) => step.input,
                _ if is_window(&relation) && self.chance(40) => self.one_of(has_windows)?,
                _ => self.other_relation(first)?,
            };
            let other = self.job.relations[input].clone();
            if appends && other.retracts {
                return None;
            }
            if other.fails && (relation.fails || steps.iter().any(|step| step.input == input)) {
                return None;
            }
            if grows && other.grows && !self.shapes.stream_joins {
                return None;
            }
            grows |= other.grows;
            let on = self.equal_columns(&relation, &other)?;
            let kind = match self.rng.random_range(0..10) {
                _ if appends => JoinKind::Inner,
                0..=3 => JoinKind::Inner,
                4..=6 => JoinKind::Left,
                7 if !star => JoinKind::Right,
                8 if !star => JoinKind::Full,
                _ => JoinKind::Inner,
            };
            steps.push(Step { input, kind, on });
        }
        self.joined(first, &relation, steps)
    }

    fn equal_columns(&mut self, a: &Relation, b: &Relation) -> Option<Vec<(usize, usize)>> {
        let mut pairs = Vec::new();
        for (left, of_a) in a.columns.iter().enumerate() {
            for (right, of_b) in b.columns.iter().enumerate() {
                let fits = of_a.ty == of_b.ty
                    && matches!(of_a.ty, Type::Int | Type::Text | Type::Time)
                    && !a.needed.contains(&left)
                    && !b.needed.contains(&right);
                // Numbers meet more often than texts or times, but for the ends of windows.
                let times = match (of_a.ty, of_a.bound, of_b.bound) {
                    (Type::Int, ..) => 6,
                    (_, Some(_), Some(_)) => 4,
                    _ => 1,
                };
                if fits {
                    pairs.extend(std::iter::repeat_n((left, right), times));
                }
            }
        }
        if pairs.is_empty() {
            return None;
        }
        let mut on = vec![self.pick(&pairs)];
        if self.chance(20) {
            let second = self.pick(&pairs);
            if second.0 != on[0].0 && second.1 != on[0].1 {
                on.push(second);
            }
        }
        Some(on)
    }

    fn joined(&mut self, first: usize, relation: &Relation, steps: Vec<Step>) -> Option<Relation> {
        let others: Vec<Relation> = (steps.iter())
            .map(|step| self.job.relations[step.input].clone())
            .collect();
        let mut select = Vec::new();
        let mut columns = Vec::new();
        let mut needed = Vec::new();
        let parts = || std::iter::once(relation).chain(&others).enumerate();
        let mut key = Some(Vec::new());
        for (part, side) in parts() {
            let padded = pads(&steps, part);
            for (index, column) in side.columns.iter().enumerate() {
                let in_key = side.key.iter().flatten().any(|key| *key == index);
                let must = in_key || column.bound.is_some() || side.needed.contains(&index);
                if !must && !self.chance(50) {
                    continue;
                }
                if in_key && let Some(key) = &mut key {
                    key.push(select.len());
                }
                if side.needed.contains(&index) {
                    needed.push(select.len());
                }
                select.push((part, index));
                columns.push(Column {
                    nullable: column.nullable || padded,
                    bound: column.bound.filter(|_| !padded),
                    ..self.renamed(column)
                });
            }
            if side.key.is_none() {
                key = None;
            }
        }
        let full = steps[0].kind == JoinKind::Full;
        let nulls: Vec<bool> = parts().map(|(_, side)| side.key_may_be_null).collect();
        let all_null = nulls.iter().all(|&may_be| may_be);
        if full && all_null {
            key = None;
        }
        let outer = steps.iter().any(|step| step.kind != JoinKind::Inner);
        let lost = parts().any(|(part, side)| {
            pads(&steps, part) && side.columns.iter().any(|column| column.bound.is_some())
        });
        let rows_max = (others.iter()).fold(relation.rows_max, |rows, other| {
            rows + other.rows_max + rows * other.rows_max / 5
        });
        (!select.is_empty()).then(|| Relation {
            columns,
            key,
            key_may_be_null: nulls[0] || outer,
            retracts: outer || parts().any(|(_, side)| side.retracts),
            durable: true,
            grows: parts().any(|(_, side)| side.grows),
            fails: parts().any(|(_, side)| side.fails),
            lost_windows: lost || parts().any(|(_, side)| side.lost_windows),
            needed,
            rows_max,
            op: Op::Join {
                first,
                steps,
                select,
            },
            ..relation.clone()
        })
    }
}

/// True if a part of joins (0 is the first) may be missing in a row.
fn pads(steps: &[Step], part: usize) -> bool {
    match part {
        0 => matches!(steps[0].kind, JoinKind::Right | JoinKind::Full),
        part => matches!(steps[part - 1].kind, JoinKind::Left | JoinKind::Full),
    }
}

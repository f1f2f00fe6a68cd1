//! Draws expressions over the columns of a relation.

use rand::RngExt;

use super::Draft;
use super::job::{Calculation, Column, Comparison, Expr};
use crate::value::{Type, Value};

/// The columns that an expression may use.
pub(super) struct Columns<'a> {
    pub(super) all: &'a [Column],
    /// Those that must be computed whatever a condition says, and so stand in no expression.
    pub(super) except: &'a [usize],
}

impl Columns<'_> {
    pub(super) fn of(&self, fits: impl Fn(Type) -> bool) -> Vec<usize> {
        let columns = self.all.iter().enumerate();
        columns
            .filter(|(index, column)| fits(column.ty) && !self.except.contains(index))
            .map(|(index, _)| index)
            .collect()
    }
}

impl Draft {
    /// A predicate, if there is a column to ask.
    pub(super) fn predicate(&mut self, columns: &Columns<'_>, depth: u32) -> Option<Expr> {
        if depth > 0 && self.chance(40) {
            let a = Box::new(self.predicate(columns, depth - 1)?);
            if self.chance(25) {
                return Some(Expr::Not(a));
            }
            let b = Box::new(self.predicate(columns, depth - 1)?);
            return Some(if self.chance(50) {
                Expr::And(a, b)
            } else {
                Expr::Or(a, b)
            });
        }
        let asked =
            columns.of(|ty| matches!(ty, Type::Bool | Type::Int | Type::Decimal(2) | Type::Text));
        if asked.is_empty() {
            return None;
        }
        let index = self.pick(&asked);
        let column = Box::new(Expr::Column(index));
        let Column { ty, nullable, .. } = columns.all[index];
        if nullable && self.chance(15) {
            return Some(Expr::IsNull(column));
        }
        if ty == Type::Bool {
            return Some(*column);
        }
        let others = columns.of(|other| other == ty && ty == Type::Int);
        let other = if others.len() > 1 && self.chance(30) {
            Expr::Column(self.pick(&others))
        } else {
            Expr::Literal(self.literal(ty))
        };
        if matches!(other, Expr::Column(other) if other == index) {
            return Some(Expr::Not(Box::new(Expr::IsNull(column))));
        }
        let comparison = self.pick(&[
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::AtLeast,
        ]);
        Some(Expr::Compare(column, comparison, Box::new(other)))
    }

    pub(super) fn literal(&mut self, ty: Type) -> Value {
        match ty {
            Type::Decimal(scale) => Value::Decimal(self.rng.random_range(-500..2_000), scale),
            Type::Text => Value::Text(self.pick(&["a", "b", "7", "create"]).to_owned()),
            _ => Value::Int(self.rng.random_range(-1..6)),
        }
    }

    /// A computed column that cannot fail, if there is what to compute it of.
    pub(super) fn computed(&mut self, columns: &Columns<'_>) -> Option<(Expr, Type)> {
        let (ints, decimals, texts, times) = (
            columns.of(|ty| ty == Type::Int),
            columns.of(|ty| ty == Type::Decimal(2)),
            columns.of(|ty| ty == Type::Text),
            columns.of(|ty| ty == Type::Time),
        );
        let column = |index: usize| Box::new(Expr::Column(index));
        let what = self.rng.random_range(0..8);
        Some(match what {
            0 if !ints.is_empty() => {
                let calculation = self.pick(&[Calculation::Add, Calculation::Subtract]);
                let b = if self.chance(50) {
                    Expr::Column(self.pick(&ints))
                } else {
                    Expr::Literal(self.literal(Type::Int))
                };
                let a = column(self.pick(&ints));
                (Expr::Calculate(a, calculation, Box::new(b)), Type::Int)
            }
            1 if !decimals.is_empty() => {
                let a = column(self.pick(&decimals));
                let calculation = self.pick(&[Calculation::Add, Calculation::Subtract]);
                let b = column(self.pick(&decimals));
                (Expr::Calculate(a, calculation, b), Type::Decimal(2))
            }
            2 if !ints.is_empty() => {
                let cast = Expr::Cast(column(self.pick(&ints)), Type::Text);
                (cast, Type::Text)
            }
            3 if !texts.is_empty() => {
                let tail = if self.chance(50) {
                    Expr::Column(self.pick(&texts))
                } else {
                    Expr::Literal(Value::Text("!".to_owned()))
                };
                let concat = Expr::Concat(column(self.pick(&texts)), Box::new(tail));
                (concat, Type::Text)
            }
            4 if !times.is_empty() => {
                let cast = Expr::Cast(column(self.pick(&times)), Type::Date);
                (cast, Type::Date)
            }
            5 if !decimals.is_empty() => {
                let zero = Expr::Literal(Value::Decimal(0, 2));
                let coalesce = Expr::Coalesce(column(self.pick(&decimals)), Box::new(zero));
                (coalesce, Type::Decimal(2))
            }
            6 if !ints.is_empty() => {
                let zero = Expr::Literal(Value::Int(0));
                let coalesce = Expr::Coalesce(column(self.pick(&ints)), Box::new(zero));
                (coalesce, Type::Int)
            }
            _ => {
                let condition = Box::new(self.predicate(columns, 1)?);
                let (some, ty) = if decimals.is_empty() || self.chance(50) {
                    (
                        self.pick(&Some(ints).filter(|ints| !ints.is_empty())?),
                        Type::Int,
                    )
                } else {
                    (self.pick(&decimals), Type::Decimal(2))
                };
                let other = Box::new(Expr::Literal(self.literal(ty)));
                (Expr::Case(condition, column(some), other), ty)
            }
        })
    }

    /// An integer that cannot be computed of every row: a division by what may be zero, or a cast of what may be no
    /// number.
    pub(super) fn failing(&mut self, columns: &Columns<'_>) -> Option<Expr> {
        let ints = columns.of(|ty| ty == Type::Int);
        let texts = columns.of(|ty| ty == Type::Text);
        let column = |index: usize| Box::new(Expr::Column(index));
        if !texts.is_empty() && (ints.is_empty() || self.chance(40)) {
            return Some(Expr::Cast(column(self.pick(&texts)), Type::Int));
        }
        if ints.is_empty() {
            return None;
        }
        let number = if self.chance(50) {
            Expr::Literal(Value::Int(60))
        } else {
            Expr::Column(self.pick(&ints))
        };
        let by = column(self.pick(&ints));
        if matches!((&number, &*by), (Expr::Column(a), Expr::Column(b)) if a == b) {
            return Some(Expr::Calculate(
                Box::new(Expr::Literal(Value::Int(60))),
                Calculation::Divide,
                by,
            ));
        }
        Some(Expr::Calculate(Box::new(number), Calculation::Divide, by))
    }
}

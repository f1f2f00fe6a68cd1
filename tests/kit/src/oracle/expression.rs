//! Values of expressions, with SQL's NULL.

use crate::random_job::job::{Calculation, Comparison, Expr};
use crate::value::{Type, Value};

/// The value of an expression for a row; none if it cannot be computed.
pub(super) fn value(expr: &Expr, row: &[Value]) -> Option<Value> {
    Some(match expr {
        Expr::Column(index) => row[*index].clone(),
        Expr::Literal(value) => value.clone(),
        Expr::Calculate(a, calculation, b) => {
            return calculated(&value(a, row)?, *calculation, &value(b, row)?);
        }
        Expr::Compare(a, comparison, b) => compared(&value(a, row)?, *comparison, &value(b, row)?),
        Expr::And(a, b) => match (value(a, row)?, value(b, row)?) {
            (Value::Bool(false), _) | (_, Value::Bool(false)) => Value::Bool(false),
            (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
            _ => Value::Null,
        },
        Expr::Or(a, b) => match (value(a, row)?, value(b, row)?) {
            (Value::Bool(true), _) | (_, Value::Bool(true)) => Value::Bool(true),
            (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
            _ => Value::Null,
        },
        Expr::Not(a) => match value(a, row)? {
            Value::Bool(is) => Value::Bool(!is),
            _ => Value::Null,
        },
        Expr::IsNull(a) => Value::Bool(value(a, row)?.is_null()),
        Expr::Case(condition, some, other) => {
            let holds = value(condition, row)? == Value::Bool(true);
            value(if holds { some } else { other }, row)?
        }
        Expr::Coalesce(a, b) => match value(a, row)? {
            Value::Null => value(b, row)?,
            some => some,
        },
        Expr::Concat(a, b) => match (value(a, row)?, value(b, row)?) {
            (Value::Text(a), Value::Text(b)) => Value::Text(a + &b),
            _ => Value::Null,
        },
        Expr::Cast(a, ty) => return cast(value(a, row)?, *ty),
    })
}

fn calculated(a: &Value, calculation: Calculation, b: &Value) -> Option<Value> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(match calculation {
            Calculation::Add => a.checked_add(*b)?,
            Calculation::Subtract => a.checked_sub(*b)?,
            Calculation::Multiply => a.checked_mul(*b)?,
            Calculation::Divide => a.checked_div(*b)?,
        }),
        (Value::Decimal(a, scale), Value::Decimal(b, same)) if scale == same => Value::Decimal(
            match calculation {
                Calculation::Add => a.checked_add(*b)?,
                _ => a.checked_sub(*b)?,
            },
            *scale,
        ),
        _ => Value::Null,
    })
}

fn compared(a: &Value, comparison: Comparison, b: &Value) -> Value {
    if a.is_null() || b.is_null() {
        return Value::Null;
    }
    Value::Bool(match comparison {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        Comparison::Less => a < b,
        Comparison::AtLeast => a >= b,
    })
}

fn cast(value: Value, ty: Type) -> Option<Value> {
    const DAY_MS: i64 = 86_400_000;
    Some(match (value, ty) {
        (Value::Text(text), Type::Int) => Value::Int(text.parse().ok()?),
        (Value::Int(number), Type::Text) => Value::Text(number.to_string()),
        (Value::Time(ms), Type::Date) => Value::Date(i32::try_from(ms.div_euclid(DAY_MS)).ok()?),
        (other, _) => other,
    })
}

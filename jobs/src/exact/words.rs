//! Expressions and errors in the words of SQL, for a person.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{BinaryExpr, Cast, Expr, TryCast};

use tidemill_types::sql_type;

use super::checked::{Checked, Kind};
use super::nested;

/// Of a long expression so many characters are shown.
const CHARACTERS_MAX: usize = 200;

/// An expression, shortened.
#[must_use]
pub fn sql(expr: &Expr) -> String {
    let text = long(expr);
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// An expression in quotes, with the place of its first column in the job's text, where that is known.
pub(super) fn placed(expr: &Expr) -> String {
    let mut place = None;
    // The walk only looks; it cannot fail.
    let _ = expr.apply(|part| {
        place = part.try_as_col().and_then(|column| column.spans.first());
        Ok(if place.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    match place {
        Some(span) => {
            let at = span.start;
            format!("'{}' at {}:{}", sql(expr), at.line, at.column)
        }
        None => format!("'{}'", sql(expr)),
    }
}

fn long(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => format!("'{text}'"),
        Expr::Literal(value, _) => value.to_string(),
        Expr::Alias(alias) => long(&alias.expr),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            format!("{} {op} {}", operand(left), operand(right))
        }
        Expr::Negative(inner) => format!("-{}", operand(inner)),
        Expr::Cast(Cast { expr, field }) => {
            format!(
                "CAST({} AS {})",
                long(expr),
                sql_type::name(field.data_type())
            )
        }
        Expr::TryCast(TryCast { expr, field }) => {
            let data_type = sql_type::name(field.data_type());
            format!("TRY_CAST({} AS {data_type})", long(expr))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            match func.inner().downcast_ref::<Checked>() {
                Some(checked) => of_checked(checked, args),
                None => called(func.name(), args),
            }
        }
        other => super::plain(other.clone()).map_or_else(
            |_| other.human_display().to_string(),
            |plain| plain.data.human_display().to_string(),
        ),
    }
}

fn of_checked(checked: &Checked, args: &[Expr]) -> String {
    match (checked.kind(), args) {
        (Kind::Operator(op), [left, right]) => format!("{} {op} {}", operand(left), operand(right)),
        (Kind::Negate, [inner]) => format!("-{}", operand(inner)),
        (Kind::Cast(to), [inner]) => {
            format!("CAST({} AS {})", long(inner), sql_type::name(to))
        }
        (Kind::TryCast(to), [inner]) => {
            format!("TRY_CAST({} AS {})", long(inner), sql_type::name(to))
        }
        (Kind::Call(function), args) => called(function.name(), args),
        (_, args) => called("", args),
    }
}

fn called(name: &str, args: &[Expr]) -> String {
    if let (nested::PART, [of, key]) = (name, args) {
        return format!("{}[{}]", operand(of), long(key));
    }
    let args: Vec<_> = args.iter().map(long).collect();
    format!("{name}({})", args.join(", "))
}

/// An operand, in parentheses if it is an operation itself.
fn operand(expr: &Expr) -> String {
    let is_operation = match expr {
        Expr::BinaryExpr(_) => true,
        Expr::ScalarFunction(ScalarFunction { func, .. }) => func
            .inner()
            .downcast_ref::<Checked>()
            .is_some_and(|checked| matches!(checked.kind(), Kind::Operator(_))),
        _ => false,
    };
    if is_operation {
        format!("({})", long(expr))
    } else {
        long(expr)
    }
}

/// What an error of a library says, as the end of one of our sentences.
pub(super) fn reason(error: &DataFusionError) -> String {
    let message = match error.find_root() {
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::Execution(message)
        | DataFusionError::Plan(message)
        | DataFusionError::Internal(message)
        | DataFusionError::NotImplemented(message) => message.clone(),
        DataFusionError::External(error) => error.to_string(),
        other => other.strip_backtrace(),
    };
    let message = message.lines().next().unwrap_or_default();
    let kinds = [
        "Arithmetic overflow: ",
        "Cast error: ",
        "Compute error: ",
        "Invalid argument error: ",
        "Parser error: ",
    ];
    let message = kinds.iter().fold(message, |message, kind| {
        message.strip_prefix(kind).unwrap_or(message)
    });
    crate::dialect::cursor::lower_first(message)
}

//! An operation whose result is right, or an error that names it. As a function it can stand in a plan in the place of
//! the operation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result, exec_err};
use datafusion_expr::binary::BinaryTypeCoercer;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::{Fault, domain, operations, words};

/// What is computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An operator of two operands.
    Operator(Operator),
    /// Unary minus.
    Negate,
    /// A cast; what does not fit is an error.
    Cast(DataType),
    /// A cast; what does not fit is null.
    TryCast(DataType),
    /// A function.
    Call(Arc<ScalarUDF>),
}

/// An operation that never lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checked {
    kind: Kind,
    /// The operation in SQL's words, for its errors.
    text: Option<String>,
    signature: Signature,
}

impl Checked {
    /// An operation; `text` is what its errors name.
    #[must_use]
    pub fn new(kind: Kind, text: Option<String>) -> Self {
        let signature = match &kind {
            Kind::Call(function) => function.signature().clone(),
            _ => Signature::variadic_any(Volatility::Immutable),
        };
        Self {
            kind,
            text,
            signature,
        }
    }

    /// What is computed.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What its errors name.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    fn compute(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        match &self.kind {
            Kind::Operator(op) => operations::operate(*op, args.args, rows),
            Kind::Negate => operations::negate(&args.args),
            Kind::Cast(to) => operations::cast(&args.args, to),
            Kind::TryCast(to) => operations::try_cast(&args.args, to),
            Kind::Call(function) => {
                operations::check_length(function.name(), &args.args, rows)?;
                // A library that panics on a row must not end the job.
                catch_unwind(AssertUnwindSafe(|| function.invoke_with_args(args))).unwrap_or_else(
                    |_| exec_err!("'{}' does not take these arguments", function.name()),
                )
            }
        }
    }

    fn fault(&self, error: &DataFusionError) -> DataFusionError {
        let expression = self.text.as_deref().unwrap_or_else(|| self.name());
        DataFusionError::External(Box::new(Fault {
            expression: expression.to_owned(),
            reason: words::reason(error),
        }))
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match &self.kind {
            Kind::Operator(Operator::Plus) => "+",
            Kind::Operator(Operator::Multiply) => "*",
            Kind::Operator(Operator::Divide) => "/",
            Kind::Operator(Operator::Modulo) => "%",
            Kind::Operator(Operator::BitwiseShiftLeft) => "<<",
            Kind::Operator(Operator::BitwiseShiftRight) => ">>",
            Kind::Operator(_) | Kind::Negate => "-",
            Kind::Cast(_) => "cast",
            Kind::TryCast(_) => "try_cast",
            Kind::Call(function) => function.name(),
        }
    }

    fn aliases(&self) -> &[String] {
        match &self.kind {
            Kind::Call(function) => function.aliases(),
            _ => &[],
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        // The names of columns must not depend on who computes them.
        Ok(match (&self.kind, args) {
            (Kind::Call(function), args) => function.schema_name(args)?,
            (Kind::Operator(op), [left, right]) => {
                format!("{} {op} {}", left.schema_name(), right.schema_name())
            }
            (Kind::Negate, [operand]) => format!("(- {})", operand.schema_name()),
            (_, args) => args
                .iter()
                .map(|arg| arg.schema_name().to_string())
                .collect(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match (&self.kind, arg_types) {
            (Kind::Operator(op), [left, right]) => {
                BinaryTypeCoercer::new(left, op, right).get_result_type()
            }
            (Kind::Negate, [operand]) => Ok(operand.clone()),
            (Kind::Cast(to) | Kind::TryCast(to), _) => Ok(to.clone()),
            (Kind::Call(function), _) => function.return_type(arg_types),
            _ => exec_err!("'{}' with {} operands", self.name(), arg_types.len()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Kind::Call(function) = &self.kind {
            return function.return_field_from_args(args);
        }
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let nullable = matches!(self.kind, Kind::TryCast(_))
            || args.arg_fields.iter().any(|field| field.is_nullable());
        let data_type = self.return_type(&types)?;
        Ok(Arc::new(Field::new(self.name(), data_type, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.compute(args)
            .and_then(|value| domain::check(&value).map(|()| value))
            .map_err(|error| self.fault(&error))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match &self.kind {
            Kind::Call(function) => function.simplify(args, info),
            _ => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn short_circuits(&self) -> bool {
        matches!(&self.kind, Kind::Call(function) if function.short_circuits())
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match &self.kind {
            Kind::Call(function) => function.coerce_types(arg_types),
            _ => Ok(arg_types.to_vec()),
        }
    }
}

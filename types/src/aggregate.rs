//! The aggregate functions that there are: what a plan names and an operator computes.

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// Sum of the non-null arguments; null if there is none.
    Sum,
    /// Number of rows, or of non-null arguments.
    Count,
    /// Average of the non-null arguments, rounded as DataFusion does; null if there is none.
    Avg,
    /// Least non-null argument.
    Min,
    /// Greatest non-null argument.
    Max,
}

impl AggregateFunction {
    /// Its name, as plans and reasons write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

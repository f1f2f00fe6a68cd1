//! From a query's text to an optimised logical plan, with DataFusion's parser, binder and rules. What streams cannot be asked is refused
//! before ([`supported`]), so that nothing reaches the lowering by accident.

mod constants;
pub mod functions;
mod milliseconds;
pub mod optimise;
pub mod relation;
pub mod supported;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::datatype::DataTypeExt;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{
    DataFusionError, Result as PlanResult, SchemaError, TableReference, plan_err,
};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast;

use crate::catalog::{Catalog, TIMESTAMP};
use crate::dialect::QueryText;
use crate::dialect::cursor::lower_first;
use crate::error::{Error, Location};
use functions::Functions;
use relation::Relation;

/// Binds a query to the catalog: names, types, functions. Not yet optimised.
///
/// # Errors
/// For whatever is wrong with the query, at its place.
pub fn bind(
    query: &QueryText,
    catalog: &Catalog,
    functions: &Functions,
) -> Result<LogicalPlan, Error> {
    supported::check(query, catalog, functions)?;
    let scope = Scope::new(query, catalog, functions)?;
    let options = ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_map_string_types_to_utf8view(false)
        .with_collect_spans(true);
    SqlToRel::new_with_options(&scope, options)
        .sql_statement_to_plan(ast::Statement::Query(query.tree.clone()))
        .map_err(|error| explain(&error, query))
}

/// What a query can name.
struct Scope<'a> {
    catalog: &'a Catalog,
    functions: &'a Functions,
    windows: HashMap<&'a str, Arc<Relation>>,
    settings: ConfigOptions,
}

impl<'a> Scope<'a> {
    fn new(
        query: &'a QueryText,
        catalog: &'a Catalog,
        functions: &'a Functions,
    ) -> Result<Self, Error> {
        let mut windows = HashMap::new();
        for window in &query.windows {
            windows.insert(
                window.name.as_str(),
                Arc::new(Relation::tumble(catalog, window)?),
            );
        }
        Ok(Self {
            catalog,
            functions,
            windows,
            settings: ConfigOptions::default(),
        })
    }
}

impl ContextProvider for Scope<'_> {
    fn get_table_source(&self, name: TableReference) -> PlanResult<Arc<dyn TableSource>> {
        if let Some(window) = self.windows.get(name.table()) {
            return Ok(Arc::<Relation>::clone(window));
        }
        match self
            .catalog
            .object(name.table())
            .and_then(|object| Relation::of(self.catalog, object))
        {
            Some(relation) => Ok(Arc::new(relation)),
            None => plan_err!("unknown table '{name}'"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.functions.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.settings
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The dialect's types where they differ from DataFusion's.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> PlanResult<Option<FieldRef>> {
        let data_type = match sql_type {
            ast::DataType::Timestamp(
                _,
                ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone,
            ) => TIMESTAMP,
            ast::DataType::Uuid => DataType::FixedSizeBinary(16),
            _ => return Ok(None),
        };
        Ok(Some(data_type.into_nullable_field_ref()))
    }
}

/// An error of DataFusion as one of ours: with the place, as far as it is known, and the nearest column for an unknown one.
pub fn explain(error: &DataFusionError, query: &QueryText) -> Error {
    let place = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let place = place.map(|span| Location {
        line: span.start.line,
        column: span.start.column,
    });
    let message = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match &**schema {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let at = place
                    .or_else(|| span_of(field))
                    .unwrap_or_else(|| place_of_word(query, &field.name));
                let known = valid_fields.iter().map(|column| column.name.as_str());
                let name = field.flat_name();
                let name = if field.relation.is_some() {
                    name.as_str()
                } else {
                    field.name.as_str()
                };
                return unknown_column(at, name, &field.name, known);
            }
            SchemaError::AmbiguousReference { field } => {
                let at = place
                    .or_else(|| span_of(field))
                    .unwrap_or_else(|| place_of_word(query, &field.name));
                let message = format!(
                    "'{}' is ambiguous; write the table before it, as in t.{0}",
                    field.name
                );
                return Error::contradiction(at, message);
            }
            other => other.to_string(),
        },
        _ if error
            .diagnostic()
            .is_some_and(|diagnostic| diagnostic.span.is_some()) =>
        {
            error
                .diagnostic()
                .map(|diagnostic| diagnostic.message.clone())
                .unwrap_or_default()
        }
        DataFusionError::Plan(message)
        | DataFusionError::Internal(message)
        | DataFusionError::NotImplemented(message)
        | DataFusionError::Execution(message) => message.clone(),
        other => other.strip_backtrace(),
    };
    let message = bare(&message);
    // Without a place, the first thing that the message quotes may stand in the query.
    let quoted = message
        .split('\'')
        .nth(1)
        .map(|word| place_of_word(query, &word.to_lowercase()));
    Error::contradiction(place.or(quoted).unwrap_or(query.at), lower_first(message))
}

/// The first sentence of a message, without what DataFusion says around it.
fn bare(message: &str) -> &str {
    let message = message.lines().next().unwrap_or_default();
    let message = message.split(", errors:").next().unwrap_or_default();
    let prefixes = [
        "Error during planning: ",
        "Internal error: ",
        "This feature is not implemented: ",
    ];
    let message = prefixes.iter().fold(message, |message, prefix| {
        message.strip_prefix(prefix).unwrap_or(message)
    });
    message.trim_end_matches('.')
}

fn unknown_column<'a>(
    at: Location,
    shown: &str,
    bare: &str,
    known: impl Iterator<Item = &'a str>,
) -> Error {
    match Error::unknown(at, "column", bare, known) {
        Error::Unknown { at, what, hint, .. } => Error::Unknown {
            at,
            what,
            name: shown.to_owned(),
            hint,
        },
        other => other,
    }
}

/// Where a column stands in the text.
pub fn span_of(column: &datafusion_common::Column) -> Option<Location> {
    let span = column.spans.first()?;
    Some(Location {
        line: span.start.line,
        column: span.start.column,
    })
}

/// Where an expression stands: the first of its columns with a known place.
pub fn place_in(expr: &Expr) -> Option<Location> {
    let mut found = None;
    // The walk only looks; it cannot fail.
    let _ = expr.apply(|part| {
        found = part.try_as_col().and_then(span_of);
        Ok(if found.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    found
}

/// Where a word first stands in the query, or else where the query begins.
pub fn place_of_word(query: &QueryText, word: &str) -> Location {
    query
        .words
        .iter()
        .find(|name| name.text == word)
        .map_or(query.at, |name| name.at)
}

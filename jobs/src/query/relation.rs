//! What a query reads, as DataFusion sees it: columns, or the plan of a view.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_expr::{LogicalPlan, TableSource};
use tidemill_types::dead_letter::ledger_schema;

use crate::catalog::{self, Catalog, Object, TIMESTAMP};
use crate::dialect::tumble::TumbleText;
use crate::error::Error;

/// Column with the first instant of a window.
pub const WINDOW_START: &str = "window_start";
/// Column with the first instant after a window.
pub const WINDOW_END: &str = "window_end";

/// What rows come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowsOf {
    /// The table of that index.
    Table(usize),
    /// The stream of that index.
    Stream(usize),
    /// Undecodable records.
    DeadLetters,
    /// Events too late to be resequenced.
    Late,
}

/// A tumbling window over a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tumble {
    /// The event-time column.
    pub time: String,
    /// The size.
    pub size_ms: i64,
}

/// Something that stands after `FROM`.
#[derive(Debug)]
pub enum Relation {
    /// Rows.
    Rows {
        /// Where they come from.
        rows_of: RowsOf,
        /// The window, which adds two columns.
        tumble: Option<Tumble>,
        /// The columns.
        schema: SchemaRef,
    },
    /// A view: its plan takes its place.
    View(Arc<LogicalPlan>),
}

impl Relation {
    /// What an object of the catalog is to a query; nothing for sources and sinks.
    pub fn of(catalog: &Catalog, object: &Object) -> Option<Self> {
        let (rows_of, schema) = match object {
            Object::Source(_) | Object::Sink => return None,
            Object::View(plan) => return Some(Self::View(Arc::clone(plan))),
            Object::Table(index) => {
                let source = &catalog.sources[catalog.tables[*index].source];
                (
                    RowsOf::Table(*index),
                    catalog::table_schema(&source.columns),
                )
            }
            Object::Stream(index) => {
                let source = &catalog.sources[catalog.streams[*index].source];
                (
                    RowsOf::Stream(*index),
                    catalog::stream_schema(&source.columns, source.envelope),
                )
            }
            Object::DeadLetters => (RowsOf::DeadLetters, ledger_schema()),
            Object::Late => (RowsOf::Late, ledger_schema()),
        };
        Some(Self::Rows {
            rows_of,
            tumble: None,
            schema,
        })
    }

    /// A window over a table or stream whose source has its watermark on the window's time.
    pub fn tumble(catalog: &Catalog, window: &TumbleText) -> Result<Self, Error> {
        let name = &window.table;
        let (object, source) = match catalog.object(&name.text) {
            Some(object @ Object::Table(index)) => (object, catalog.tables[*index].source),
            Some(object @ Object::Stream(index)) => (object, catalog.streams[*index].source),
            Some(_) => {
                let what = format!(
                    "TUMBLE over '{}', which is not a table or stream, is",
                    name.text
                );
                return Err(Error::unsupported(
                    name.at,
                    what,
                    "window the table or stream, then query it",
                ));
            }
            None => {
                return Err(Error::unknown(
                    name.at,
                    "table",
                    &name.text,
                    catalog.readable(),
                ));
            }
        };
        catalog::column(&catalog.sources[source].columns, &window.time)?;
        catalog.require_watermark(source, &window.time, "TUMBLE over")?;
        let Some(Self::Rows {
            rows_of, schema, ..
        }) = Self::of(catalog, object)
        else {
            return Err(Error::planner(
                window.at,
                format!("'{}' has no rows", name.text),
            ));
        };
        if let Some(taken) = schema
            .fields()
            .iter()
            .find(|field| [WINDOW_START, WINDOW_END].contains(&field.name().as_str()))
        {
            let message = format!(
                "TUMBLE adds the column '{0}'; rename '{0}' of '{1}'",
                taken.name(),
                name.text
            );
            return Err(Error::contradiction(name.at, message));
        }
        let bounds =
            [WINDOW_START, WINDOW_END].map(|bound| Arc::new(Field::new(bound, TIMESTAMP, false)));
        let fields: Vec<_> = schema.fields().iter().cloned().chain(bounds).collect();
        let tumble = Some(Tumble {
            time: window.time.text.clone(),
            size_ms: window.size_ms,
        });
        Ok(Self::Rows {
            rows_of,
            tumble,
            schema: Arc::new(Schema::new(fields)),
        })
    }
}

impl TableSource for Relation {
    fn schema(&self) -> SchemaRef {
        match self {
            Self::Rows { schema, .. } => Arc::clone(schema),
            Self::View(plan) => Arc::clone(plan.schema().inner()),
        }
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        match self {
            Self::Rows { .. } => None,
            Self::View(plan) => Some(Cow::Borrowed(plan)),
        }
    }
}

//! Whether a table is what a sink needs, and the SQL that would make it so.
//!
//! What is found in the catalog is facts; what they come to is a pure function of them.

use tokio_postgres::Row;

use crate::columns::Column;
use crate::error::Failure;
use crate::names::{Qualified, quoted};
use crate::session::Session;

/// A table as the catalog has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What it is: `r` and `p` are tables.
    pub kind: String,
    pub columns: Vec<FoundColumn>,
    /// The indexes that keep all rows unique, by columns.
    pub unique: Vec<Unique>,
    /// Whether the user may read, insert, update and delete.
    pub may: bool,
}

/// An index that keeps rows unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    pub name: String,
    pub columns: Vec<String>,
    /// It may wait until the end of a transaction.
    pub deferrable: bool,
}

/// A column as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundColumn {
    pub name: String,
    /// As SQL has it.
    pub sql_type: String,
    /// Its name in the catalog, if it is one of PostgreSQL's own; and its modifier.
    pub type_name: Option<String>,
    pub modifier: i32,
    pub not_null: bool,
    pub has_default: bool,
    /// Computed, or numbered by the table alone.
    pub generated: bool,
    /// Texts that differ may be equal to it.
    pub loose: bool,
}

/// The table of that name in a schema; none if there is nothing.
pub fn find(session: &Session, table: &Qualified) -> Result<Option<Found>, Failure> {
    let names = [table.schema.as_str(), table.name.as_str()];
    let rows = session.ask(RELATION, &names)?;
    let Some(relation) = rows.first() else {
        return Ok(None);
    };
    let columns = session.ask(COLUMNS, &names)?;
    let columns = columns.iter().map(|row| FoundColumn {
        name: row.get(0),
        sql_type: row.get(1),
        type_name: row.get(2),
        modifier: row.get(3),
        not_null: row.get(4),
        has_default: row.get(5),
        generated: row.get(6),
        loose: row.get(7),
    });
    let columns = columns.collect();
    let unique = session.ask(UNIQUE, &names)?;
    Ok(Some(Found {
        kind: relation.get(0),
        may: relation.get(1),
        columns,
        unique: unique.iter().map(unique_index).collect(),
    }))
}

fn unique_index(row: &Row) -> Unique {
    Unique {
        columns: row.get(0),
        name: row.get(1),
        deferrable: row.get(2),
    }
}

const RELATION: &str = "SELECT c.relkind::text, \
        has_any_column_privilege(c.oid, 'SELECT') AND has_any_column_privilege(c.oid, 'INSERT') \
        AND has_any_column_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relname = $2";

const COLUMNS: &str = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), \
        CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname::text END, a.atttypmod, a.attnotnull, \
        a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a', \
        coalesce(NOT l.collisdeterministic, false) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const UNIQUE: &str = "SELECT array(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) k \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]), \
        x.relname::text, NOT i.indimmediate \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_index i ON i.indrelid = c.oid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
     WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indisvalid \
        AND i.indpred IS NULL AND i.indexprs IS NULL";

/// The statement that makes the table of a sink.
pub fn create(table: &Qualified, columns: &[Column], key: &[String]) -> String {
    let columns = columns.iter().map(|column| {
        let null = if column.nullable { "" } else { " NOT NULL" };
        format!("{} {}{null}", column.quoted(), column.kind.sql())
    });
    let mut parts: Vec<String> = columns.collect();
    if !key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", list(key)));
    }
    format!("CREATE TABLE IF NOT EXISTS {table} ({})", parts.join(", "))
}

/// Names as SQL lists them.
pub fn list(names: &[String]) -> String {
    let names = names.iter().map(|name| quoted(name));
    names.collect::<Vec<_>>().join(", ")
}

/// What is wrong with a table, and what would cure it: SQL where there is some.
pub fn misfit(
    table: &Qualified,
    found: &Found,
    columns: &[Column],
    key: &[String],
    user: &str,
) -> Option<String> {
    if !matches!(found.kind.as_str(), "r" | "p") {
        return Some(format!("{table} is no table; name one by 'table'"));
    }
    if !found.may {
        return Some(format!(
            "user '{user}' may not do in {table} what a sink does; run: GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {};",
            quoted(user)
        ));
    }
    let wrong = columns.iter().find_map(|column| {
        let is_key = key.contains(&column.name);
        let found = found.columns.iter().find(|found| found.name == column.name);
        misfit_of_column(table, column, found, is_key)
    });
    wrong
        .or_else(|| unwritten(table, found, columns))
        .or_else(|| without_key(table, found, key))
}

fn misfit_of_column(
    table: &Qualified,
    column: &Column,
    found: Option<&FoundColumn>,
    is_key: bool,
) -> Option<String> {
    let (name, sql_type) = (column.quoted(), column.kind.sql());
    let Some(found) = found else {
        return Some(format!(
            "{table} has no column {name}; run: ALTER TABLE {table} ADD COLUMN {name} {sql_type};"
        ));
    };
    let fits = found.type_name.as_ref();
    if !fits.is_some_and(|own| column.kind.fits(own, found.modifier)) {
        return Some(format!(
            "column {name} of {table} is {}, which does not hold every value of {sql_type} as it is; run: ALTER TABLE {table} ALTER COLUMN {name} TYPE {sql_type} USING {name}::{sql_type};",
            found.sql_type
        ));
    }
    if found.generated {
        return Some(format!(
            "column {name} of {table} is given its values by the table itself; run: ALTER TABLE {table} DROP COLUMN {name}, ADD COLUMN {name} {sql_type};"
        ));
    }
    if is_key && found.loose {
        return Some(format!(
            "column {name} of {table} is of the key, and its collation takes different texts for the same; run: ALTER TABLE {table} ALTER COLUMN {name} TYPE {} COLLATE \"C\";",
            found.sql_type
        ));
    }
    (is_key && !found.not_null).then(|| {
        format!(
            "column {name} of {table} is of the key and may be null, of which an index keeps many; run: ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL;"
        )
    })
}

/// A column that the sink does not write, and that nobody else gives a value.
fn unwritten(table: &Qualified, found: &Found, columns: &[Column]) -> Option<String> {
    let mut others = found.columns.iter().filter(|found| {
        let written = columns.iter().any(|column| column.name == found.name);
        !written && found.not_null && !found.has_default && !found.generated
    });
    let name = quoted(&others.next()?.name);
    Some(format!(
        "{table} has a column {name}, which the sink does not write, which may not be null and has no default; run: ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL; or add it to the SELECT"
    ))
}

fn without_key(table: &Qualified, found: &Found, key: &[String]) -> Option<String> {
    if key.is_empty() {
        return None;
    }
    let of_key: Vec<&Unique> = found
        .unique
        .iter()
        .filter(|unique| {
            let columns = &unique.columns;
            columns.len() == key.len() && columns.iter().all(|name| key.contains(name))
        })
        .collect();
    let key = list(key);
    // One of them is enough for PostgreSQL to refuse the statement, whatever others there are.
    if let Some(unique) = of_key.iter().find(|unique| unique.deferrable) {
        let name = quoted(&unique.name);
        return Some(format!(
            "constraint {name} of {table}, by which its rows are unique by ({key}), may be deferred; run: ALTER TABLE {table} DROP CONSTRAINT {name}, ADD UNIQUE ({key});"
        ));
    }
    of_key.is_empty().then(|| {
        format!(
            "{table} does not keep its rows unique by ({key}), the key of the sink; run: CREATE UNIQUE INDEX ON {table} ({key});"
        )
    })
}

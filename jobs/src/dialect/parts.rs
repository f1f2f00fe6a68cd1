//! Parts of values in a query (`items[1].price`, `address.city`), as the query planner takes them: after an index only `['name']` leads on,
//! and what `SELECT` takes of a value is called as the part is, as in PostgreSQL and DuckDB.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Query, Select, SelectItem, Subscript, TableFactor, TableWithJoins,
    Value, VisitMut, VisitorMut,
};

/// Rewrites a query.
pub fn prepare(query: &mut Query) {
    // The walk breaks nowhere.
    let _ = query.visit(&mut Parts);
}

struct Parts;

impl VisitorMut for Parts {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let tables = tables(select);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some(alias) = last_name(expr, &tables)
            {
                let expr = expr.clone();
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::CompoundFieldAccess { root, access_chain } = expr else {
            return ControlFlow::Continue(());
        };
        // Names that follow a name may say of which table a column is.
        let mut may_be_column = matches!(**root, Expr::Identifier(_));
        for access in access_chain {
            match access {
                AccessExpr::Dot(Expr::Identifier(name)) if !may_be_column => {
                    let index = Expr::value(Value::SingleQuotedString(normal(name)));
                    *access = AccessExpr::Subscript(Subscript::Index { index });
                }
                AccessExpr::Dot(_) => {}
                AccessExpr::Subscript(_) => may_be_column = false,
            }
        }
        ControlFlow::Continue(())
    }
}

/// The names that a column can be qualified by.
fn tables(select: &Select) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    select.from.iter().for_each(|from| add(from, &mut names));
    names
}

fn add(from: &TableWithJoins, names: &mut BTreeSet<String>) {
    let joined = from.joins.iter().map(|join| &join.relation);
    for table in std::iter::once(&from.relation).chain(joined) {
        let alias = match table {
            TableFactor::Table { name, alias, .. } => {
                let own = name.0.last().and_then(|part| part.as_ident());
                names.extend(own.filter(|_| alias.is_none()).map(normal));
                alias
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                add(table_with_joins, names);
                alias
            }
            TableFactor::Derived { alias, .. } => alias,
            _ => continue,
        };
        names.extend(alias.iter().map(|alias| normal(&alias.name)));
    }
}

/// The name of the part that an expression is; none if it is a column or something else.
fn last_name(expr: &Expr, tables: &BTreeSet<String>) -> Option<Ident> {
    match expr {
        Expr::CompoundIdentifier(names) => {
            let is_column = names.len() == 2 && tables.contains(&normal(names.first()?));
            names.last().filter(|_| !is_column).cloned()
        }
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last()? {
            AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
            AccessExpr::Subscript(Subscript::Index {
                index: Expr::Value(name),
            }) => match &name.value {
                Value::SingleQuotedString(name) => Some(Ident::with_quote('"', name)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() {
        name.value.clone()
    } else {
        name.value.to_lowercase()
    }
}

//! `ryzed tables`: the synced tables, one a line; what they are, as JSON; or the DDL of one.

use anyhow::anyhow;
use clap::Args;
use ryzed_adapters::{Registry, ScopeRule, Table};
use serde_json::{Value, json};

use super::{Failure, Outcome, print, store};
use crate::config::Config;
use crate::store::{postgres, sqlite};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ryzed tables                         the tables and their columns
  ryzed tables --sql sleep_logs        how the table would be made, on SQLite and on PostgreSQL
  ryzed tables --json                  what each table is, with the JSON Schema of its rows")]
pub(super) struct Options {
    /// Print the statements that make a table, for both databases
    #[arg(long, value_name = "TABLE", conflicts_with = "json")]
    sql: Option<String>,
    /// Print what each table is, with the JSON Schema of its rows
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: &Config, options: &Options) -> Outcome {
    let registry = store::own_tables(config)?;
    match &options.sql {
        Some(name) => match registry.get(name) {
            Some(table) => print(&sql(table)),
            None => Err(Failure::Usage(anyhow!("--sql {name}: there is no such table; `ryzed tables` lists them"))),
        },
        None if options.json => {
            let specs: Vec<Value> = registry.iter().map(spec).collect();
            let text = serde_json::to_string_pretty(&specs).map_err(anyhow::Error::new)?;
            print(&(text + "\n"))
        }
        None => print(&list(&registry)),
    }
}

/// The statements for both databases; the line before each part names its database.
fn sql(table: &Table) -> String {
    let part = |name: &str, statements: Vec<String>| format!("-- {name}\n{};\n", statements.join(";\n\n"));
    part("SQLite", sqlite::ddl::create(table)) + "\n" + &part("PostgreSQL", postgres::ddl::create(table))
}

fn spec(table: &Table) -> Value {
    let mut spec = json!({
        "name": table.name,
        "domain": table.domain,
        "scope": table.scope.label(),
        "conflict_strategy": table.strategy,
        "ordered": table.ordered,
        "schema": table.schema,
    });
    if let ScopeRule::Via { column, parent } = table.scope {
        spec["via"] = json!({"column": column, "table": parent});
    }
    spec
}

fn list(registry: &Registry) -> String {
    let mut lines = vec![["TABLE", "DOMAIN", "SCOPE", "COLUMNS"].map(str::to_owned)];
    for table in registry.iter() {
        let scope = match table.scope {
            ScopeRule::Via { column, parent } => format!("via {column} -> {parent}"),
            rule => rule.label().replace('_', " "),
        };
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        lines.push([table.name.to_owned(), table.domain.to_owned(), scope, columns.join(", ")]);
    }
    aligned(&lines)
}

/// Columns as wide as their widest cell; the last one is left as it is.
fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|i| lines.iter().map(|line| line[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    for line in lines {
        for (i, cell) in line.iter().enumerate() {
            let width = if i + 1 == N { 0 } else { widths[i] + 2 };
            text.push_str(&format!("{cell:width$}"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let lines = [["a", "bb"], ["ccc", "d"]].map(|line| line.map(str::to_owned));
        assert_eq!(aligned(&lines), "a    bb\nccc  d\n");
    }
}

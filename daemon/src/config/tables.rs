//! `[tables.<table>]`: how a database that was there before names a table and its columns.

use std::collections::{BTreeMap, BTreeSet};

use ryzed_adapters::Registry;
use serde::{Deserialize, Serialize};

use super::Config;

/// `[tables.<table>]`: how an adopted database names one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableNames {
    /// The table there, `table` or `schema.table`; none means the same name in the schema `public`.
    pub relation: Option<String>,
    /// Columns that have other names there: name on the wire to name there.
    pub columns: BTreeMap<String, String>,
    /// Whether the table is left alone although it is there.
    pub skip: bool,
}

impl TableNames {
    /// Schema and name of the table there.
    #[must_use]
    pub fn place(&self, table: &str) -> (String, String) {
        let relation = self.relation.as_deref().unwrap_or(table);
        let (schema, name) = relation.split_once('.').unwrap_or(("public", relation));
        (schema.to_owned(), name.to_owned())
    }
}

impl Config {
    /// Names of tables and columns that do not exist, with what to do about them.
    pub(super) fn check_tables(&self) -> Result<(), (String, String)> {
        if self.tables.is_empty() {
            return Ok(());
        }
        if self.database_server().is_none() {
            let complaint = "names the tables of an adopted PostgreSQL database, and database.url is none";
            return Err(("tables".into(), complaint.into()));
        }
        let registry = Registry::standard();
        let mut places = BTreeSet::new();
        for (table, names) in &self.tables {
            let key = format!("tables.{table}");
            let Some(adapter) = registry.get(table) else {
                let known: Vec<&str> = registry.iter().map(|table| table.name).collect();
                return Err((key, format!("there is no such table; the tables are {}", known.join(", "))));
            };
            if names
                .relation
                .as_deref()
                .is_some_and(|name| name.split('.').any(str::is_empty) || name.matches('.').count() > 1)
            {
                return Err((format!("{key}.relation"), "must be <table> or <schema>.<table>".into()));
            }
            if !places.insert(names.place(table)) {
                return Err((format!("{key}.relation"), "two tables can't be the same one of the database".into()));
            }
            names.check_columns(&key, |name| adapter.column(name).is_some())?;
        }
        Ok(())
    }
}

impl TableNames {
    fn check_columns(&self, key: &str, is_known: impl Fn(&str) -> bool) -> Result<(), (String, String)> {
        let mut there = BTreeSet::new();
        for (name, column) in &self.columns {
            let key = format!("{key}.columns.{name}");
            if !is_known(name) {
                let complaint = "there is no such column; on the left stands a name that `ryzed tables` lists".into();
                return Err((key, complaint));
            }
            if name == "id" {
                return Err((key, "the row's key must be the column id of the database".into()));
            }
            if column.is_empty() || !there.insert(column) {
                return Err((key, "must name a column of the database that no other is mapped to".into()));
            }
        }
        Ok(())
    }
}

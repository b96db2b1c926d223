//! `[tables.<table>]`: which columns of a table travel and who writes them; and how a database that was there before names it.

use std::collections::{BTreeMap, BTreeSet};

use ryzed_adapters::{Registry, TableRules};
use serde::{Deserialize, Serialize};

use super::Config;

/// `[tables.<table>]`: what is said of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableConfig {
    /// The table in an adopted database, `table` or `schema.table`; none means the same name in the schema `public`.
    pub relation: Option<String>,
    /// Columns that have other names in an adopted database: name on the wire to name there.
    pub columns: BTreeMap<String, String>,
    /// Whether a table of an adopted database is left alone although it is there.
    pub skip: bool,
    /// Columns that stay home.
    pub hidden: BTreeSet<String>,
    /// Columns that devices may not write.
    pub read_only: BTreeSet<String>,
    /// Columns of an adopted database that are let out although they would stay home.
    pub send: BTreeSet<String>,
    /// Columns of an adopted database that devices may write although they would be read-only.
    pub write: BTreeSet<String>,
    /// What columns of an adopted database may refer to beside what their person sees.
    pub references: BTreeMap<String, Reach>,
}

/// What a reference may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Any row.
    Any,
}

impl TableConfig {
    /// Schema and name of the table there.
    #[must_use]
    pub fn place(&self, table: &str) -> (String, String) {
        let relation = self.relation.as_deref().unwrap_or(table);
        let (schema, name) = relation.split_once('.').unwrap_or(("public", relation));
        (schema.to_owned(), name.to_owned())
    }

    /// Whether something is said that only an adopted database has.
    #[must_use]
    pub fn is_of_adopted(&self) -> bool {
        self.relation.is_some() || !self.columns.is_empty() || self.skip
    }

    /// What is said of columns.
    #[must_use]
    pub fn rules(&self) -> TableRules {
        TableRules {
            hidden: self.hidden.clone(),
            read_only: self.read_only.clone(),
            send: self.send.clone(),
            write: self.write.clone(),
            references: self.references.keys().cloned().collect(),
        }
    }
}

impl Config {
    /// What is said of columns, table by table.
    #[must_use]
    pub fn rules(&self) -> BTreeMap<String, TableRules> {
        self.tables.iter().map(|(table, said)| (table.clone(), said.rules())).collect()
    }

    /// Names of tables and columns that do not exist, and rules that contradict, with what to do about them. What columns an
    /// adopted database has is only known once it is there.
    pub(super) fn check_tables(&self) -> Result<(), (String, String)> {
        let registry = Registry::standard();
        let mut places = BTreeSet::new();
        for (table, said) in &self.tables {
            let key = format!("tables.{table}");
            let Some(adapter) = registry.get(table) else {
                let known: Vec<&str> = registry.iter().map(|table| table.name).collect();
                return Err((key, format!("there is no such table; the tables are {}", known.join(", "))));
            };
            if said.is_of_adopted() && self.database_server().is_none() {
                let complaint = "names the tables of an adopted PostgreSQL database, and database.url is none";
                return Err((key, complaint.into()));
            }
            if said
                .relation
                .as_deref()
                .is_some_and(|name| name.split('.').any(str::is_empty) || name.matches('.').count() > 1)
            {
                return Err((format!("{key}.relation"), "must be <table> or <schema>.<table>".into()));
            }
            if !places.insert(said.place(table)) {
                return Err((format!("{key}.relation"), "two tables can't be the same one of the database".into()));
            }
            said.check_columns(&key, |name| adapter.column(name).is_some())?;
            if let Some((list, complaint)) = said.rules().contradictions().into_iter().next() {
                return Err((format!("{key}.{list}"), complaint));
            }
        }
        if self.database_server().is_none() {
            registry.ruled(&self.rules())?;
        }
        Ok(())
    }
}

impl TableConfig {
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

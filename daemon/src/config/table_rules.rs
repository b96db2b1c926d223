//! `[tables.<table>]`: the columns of a table that travel and who writes them; and the names that an adopted database
//! has for it.

use std::collections::{BTreeMap, BTreeSet};

use ryzed_adapters::{Registry, TableRules};
use serde::{Deserialize, Serialize};

use super::Config;
use super::check::{Complaints, complain};

/// `[tables.<table>]`: the settings of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableConfig {
    /// The table in an adopted database, `table` or `schema.table`; none means the same name in the schema `public`.
    pub relation: Option<String>,
    /// Columns that have other names in an adopted database: name on the wire to name there.
    pub columns: BTreeMap<String, String>,
    /// True if a table of an adopted database is left alone although it is there.
    pub skip: bool,
    /// The hours ahead of the server's clock that its rows' times may lie, where that is more than for all tables.
    pub future_hours: Option<u32>,
    /// Columns that stay home.
    pub hidden: BTreeSet<String>,
    /// Columns that devices may not write.
    pub read_only: BTreeSet<String>,
    /// Columns of an adopted database that are let out although they would stay home.
    pub send: BTreeSet<String>,
    /// Columns of an adopted database that devices may write although they would be read-only.
    pub write: BTreeSet<String>,
    /// The rows that columns of an adopted database may refer to beside those that their person sees.
    pub references: BTreeMap<String, Reach>,
}

/// The rows that a reference may name.
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

    /// True if it has settings for adopted databases.
    #[must_use]
    pub fn is_of_adopted(&self) -> bool {
        self.relation.is_some() || !self.columns.is_empty() || self.skip
    }

    /// The rules of its columns.
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
    /// The rules of columns, table by table.
    #[must_use]
    pub fn rules(&self) -> BTreeMap<String, TableRules> {
        self.tables.iter().map(|(table, said)| (table.clone(), said.rules())).collect()
    }

    /// The hours ahead of the server's clock that the times of a table's rows may lie.
    #[must_use]
    pub fn future_hours(&self, table: &str) -> u32 {
        let own = self.tables.get(table).and_then(|said| said.future_hours);
        own.unwrap_or_default().max(self.sync.future_hours)
    }

    /// Names of tables and columns that do not exist, and rules that contradict, with what to do about them. What columns an
    /// adopted database has is only known once it is there.
    pub(super) fn check_tables(&self, complaints: &mut Complaints) {
        let registry = Registry::standard();
        let mut places = BTreeSet::new();
        for (table, said) in &self.tables {
            let key = format!("tables.{table}");
            let Some(adapter) = registry.get(table) else {
                let known: Vec<&str> = registry.iter().map(|table| table.name).collect();
                complain(complaints, key, format!("there is no such table; the tables are {}", known.join(", ")));
                continue;
            };
            if said.is_of_adopted() && self.database_server().is_none() {
                let complaint = "names the tables of an adopted PostgreSQL database, and database.url is none";
                complain(complaints, key, complaint);
                continue;
            }
            if said
                .relation
                .as_deref()
                .is_some_and(|name| name.split('.').any(str::is_empty) || name.matches('.').count() > 1)
            {
                let found = said.relation.as_deref().unwrap_or_default();
                let complaint = format!("must be <table> or <schema>.<table>, and is {found:?}");
                complain(complaints, format!("{key}.relation"), complaint);
            }
            if !places.insert(said.place(table)) {
                let complaint = "two tables can't be the same one of the database";
                complain(complaints, format!("{key}.relation"), complaint);
            }
            said.check_columns(&key, |name| adapter.column(name).is_some(), complaints);
            for (list, complaint) in said.rules().contradictions() {
                complain(complaints, format!("{key}.{list}"), complaint);
            }
        }
        if self.database_server().is_none()
            && let Err((key, complaint)) = registry.ruled(&self.rules())
        {
            complain(complaints, key, complaint);
        }
    }
}

impl TableConfig {
    fn check_columns(&self, key: &str, is_known: impl Fn(&str) -> bool, complaints: &mut Complaints) {
        let mut there = BTreeSet::new();
        for (name, column) in &self.columns {
            let key = format!("{key}.columns.{name}");
            if !is_known(name) {
                let complaint = "there is no such column; on the left stands a name that `ryzed tables` lists";
                complain(complaints, key, complaint);
            } else if name == "id" {
                complain(complaints, key, "the row's key must be the column id of the database");
            } else if column.is_empty() || !there.insert(column) {
                complain(complaints, key, "must name a column of the database that no other is mapped to");
            }
        }
    }
}

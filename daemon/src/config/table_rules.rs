//! `[tables.<table>]`: the columns of a table that travel and who writes them; the names that an adopted database has for it; or,
//! in a database of the daemon's own, a table that is declared here and nowhere else.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use ryzed_adapters::{Registry, Table, TableBlock, TableRules};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Config;
use super::check::{Complaints, complain};

/// `[tables.<table>]`: the settings of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableConfig {
    /// The table in an adopted database, `table` or `schema.table`; none means the same name in the schema `public`.
    pub relation: Option<String>,
    /// The rule for the owner of a row of a declared table.
    pub owner: Option<Value>,
    /// The strategy for conflicts of a declared table.
    pub strategy: Option<Value>,
    /// Pairs of columns of a declared table, of which the later one must not be less than the earlier one.
    pub ordered: Option<Value>,
    /// The name of the part of the app that a declared table belongs to.
    pub domain: Option<Value>,
    /// The columns of a declared table, each with what it is; or those that have other names in an adopted database: name on the
    /// wire to name there.
    pub columns: BTreeMap<String, Value>,
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
        self.relation.is_some() || self.columns.values().any(Value::is_string) || self.skip
    }

    /// The names that an adopted database has for columns, by their names on the wire.
    #[must_use]
    pub fn column_names(&self) -> BTreeMap<String, String> {
        let names = self.columns.iter().filter_map(|(name, there)| Some((name.clone(), there.as_str()?.to_owned())));
        names.collect()
    }

    /// The first key that declares a table, if one does.
    fn declaring(&self) -> Option<&'static str> {
        let keys = [
            ("owner", self.owner.is_some()),
            ("strategy", self.strategy.is_some()),
            ("ordered", self.ordered.is_some()),
            ("domain", self.domain.is_some()),
            ("columns", self.columns.values().any(|column| !column.is_string())),
        ];
        keys.into_iter().find(|(_, is_there)| *is_there).map(|(key, _)| key)
    }

    fn block(&self) -> TableBlock {
        TableBlock {
            owner: self.owner.clone(),
            strategy: self.strategy.clone(),
            ordered: self.ordered.clone(),
            domain: self.domain.clone(),
            columns: self.columns.clone(),
        }
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

    /// The tables that are declared here and nowhere else.
    #[must_use]
    pub fn declared(&self) -> BTreeMap<String, TableBlock> {
        // Made only where something is declared.
        let known = LazyCell::new(Registry::standard);
        let declared =
            self.tables.iter().filter(|(table, said)| said.declaring().is_some() && known.get(table).is_none());
        declared.map(|(table, said)| (table.clone(), said.block())).collect()
    }

    /// The tables of a database of the daemon's own: those of the program, and those that are declared.
    ///
    /// # Errors
    /// Everything in the declarations that makes no sense: the key, and what to do.
    pub fn registry(&self) -> Result<Registry, Vec<(String, String)>> {
        let registry = Registry::standard().declaring(&self.declared())?;
        Ok(registry.allowing_ahead(|table| self.future_hours(table)))
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
        let declared = self.declared();
        let mut places = BTreeSet::new();
        for (table, said) in &self.tables {
            let key = format!("tables.{table}");
            match registry.get(table) {
                Some(adapter) => self.check_known(&key, adapter, said, &mut places, complaints),
                None if !declared.contains_key(table) => {
                    let known: Vec<&str> = registry.iter().map(|table| table.name).collect();
                    let complaint = format!(
                        "there is no such table; the tables are {}. A table of your own says whose its rows are, owner = \"user_id\", \
                         and has [{key}.columns]",
                        known.join(", ")
                    );
                    complain(complaints, key, complaint);
                }
                None if said.relation.is_some() || said.skip => {
                    let complaint =
                        "is declared here, and `relation` and `skip` are for the tables of an adopted database";
                    complain(complaints, key, complaint);
                }
                None => {}
            }
            for (list, complaint) in said.rules().contradictions() {
                complain(complaints, format!("tables.{table}.{list}"), complaint);
            }
        }
        match registry.declaring(&declared) {
            Err(found) => complaints.extend(found),
            Ok(registry) if self.database_server().is_none() => {
                if let Err((key, complaint)) = registry.ruled(&self.rules()) {
                    complain(complaints, key, complaint);
                }
            }
            Ok(_) => {}
        }
    }

    /// The block of a table that the program has.
    fn check_known(
        &self,
        key: &str,
        adapter: &Table,
        said: &TableConfig,
        places: &mut BTreeSet<(String, String)>,
        complaints: &mut Complaints,
    ) {
        if let Some(declaring) = said.declaring() {
            let complaint =
                "the program has this table with its owner and its columns; give a table of your own another name";
            complain(complaints, format!("{key}.{declaring}"), complaint);
        }
        if said.is_of_adopted() && self.database_server().is_none() {
            let complaint = "names the tables of an adopted PostgreSQL database, and database.url is none";
            return complain(complaints, key, complaint);
        }
        let relation = said.relation.as_deref().unwrap_or_default();
        if said.relation.is_some() && (relation.split('.').any(str::is_empty) || relation.matches('.').count() > 1) {
            let complaint = format!("must be <table> or <schema>.<table>, and is {relation:?}");
            complain(complaints, format!("{key}.relation"), complaint);
        }
        if !places.insert(said.place(adapter.name)) {
            let complaint = "two tables can't be the same one of the database";
            complain(complaints, format!("{key}.relation"), complaint);
        }
        said.check_columns(key, |name| adapter.column(name).is_some(), complaints);
    }
}

impl TableConfig {
    fn check_columns(&self, key: &str, is_known: impl Fn(&str) -> bool, complaints: &mut Complaints) {
        let mut there = BTreeSet::new();
        for (name, column) in self.column_names() {
            let key = format!("{key}.columns.{name}");
            if !is_known(&name) {
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

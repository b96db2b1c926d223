//! The list of all tables. A new table is one line in [`Registry::standard`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::{ScopeRule, Table, TableAdapter, TableRules, TableSpec};
use crate::{account::*, cardio::*, hiit::*, nutrition::*, workout::*};

/// All synced tables, parents before children.
#[derive(Debug)]
pub struct Registry {
    tables: Vec<Table>,
    by_name: HashMap<&'static str, usize>,
}

impl Registry {
    /// The tables of the fitness app.
    #[must_use]
    pub fn standard() -> Self {
        Self::of(vec![
            table::<User>(),
            table::<Food>(),
            table::<Recipe>(),
            table::<FoodEntry>(),
            table::<Exercise>(),
            table::<WorkoutSession>(),
            table::<WorkoutExercise>(),
            table::<ExerciseSet>(),
            table::<WorkoutTemplate>(),
            table::<WorkoutTemplateExercise>(),
            table::<HiitWorkout>(),
            table::<HiitSession>(),
            table::<CardioActivity>(),
            table::<CardioSession>(),
            table::<LocationPoint>(),
        ])
    }

    /// A registry of these tables, in this order.
    ///
    /// # Panics
    /// When a table references one that does not stand before it, or two share a name. An application's tables refer to each
    /// other as it likes.
    #[must_use]
    pub fn of(tables: Vec<Table>) -> Self {
        let mut by_name = HashMap::new();
        for (rank, table) in tables.iter().enumerate() {
            for (column, parent) in table.references() {
                assert!(
                    by_name.contains_key(parent) || parent == table.name || table.is_external,
                    "{}.{column} references {parent}, which must stand before it in the registry",
                    table.name
                );
            }
            assert!(by_name.insert(table.name, rank).is_none(), "two tables are named {}", table.name);
        }
        Self { tables, by_name }
    }

    /// The same tables, and behind them those of the specs.
    pub(crate) fn and(mut self, specs: Vec<TableSpec>) -> Self {
        self.tables.extend(specs.into_iter().map(Table::new));
        Self::of(self.tables)
    }

    /// The same tables, whose rows' times may lie so many hours ahead of the server's clock; more where an adapter says so.
    #[must_use]
    pub fn allowing_ahead(mut self, hours: impl Fn(&str) -> u32) -> Self {
        self.tables.iter_mut().for_each(|table| table.allow_ahead(hours(table.name)));
        self
    }

    /// The same tables under the rules of the configuration, where they are our own.
    ///
    /// # Errors
    /// What makes no sense: the key of the configuration, and what to do.
    pub fn ruled(&self, rules: &BTreeMap<String, TableRules>) -> Result<Self, (String, String)> {
        let tables = self.tables.iter().map(|table| {
            let none = TableRules::default();
            let rules = rules.get(table.name).unwrap_or(&none);
            table.ruled(rules).map_err(|(list, complaint)| (format!("tables.{}.{list}", table.name), complaint))
        });
        Ok(Self::of(tables.collect::<Result<_, _>>()?))
    }

    /// The table of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Table> {
        self.rank(name).map(|rank| &self.tables[rank])
    }

    /// The table's place in the order "parents before children".
    #[must_use]
    pub fn rank(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// All tables, parents before children.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Table> + Clone {
        self.tables.iter()
    }

    /// The names of these tables, as the registry has them, and the names that are of none.
    pub fn resolve<'n, N: AsRef<str>>(&self, names: &'n [N]) -> (Vec<&'static str>, Vec<UnknownTable<'n>>) {
        let (mut found, mut unknown) = (Vec::with_capacity(names.len()), Vec::new());
        for name in names {
            match self.get(name.as_ref()) {
                Some(table) => found.push(table.name),
                None => unknown.push(UnknownTable(name.as_ref())),
            }
        }
        (found, unknown)
    }

    /// True if rows of the table can be in the catalogue: by its own rule, or by its parent's.
    #[must_use]
    pub fn has_catalogue(&self, table: &Table) -> bool {
        match table.scope {
            ScopeRule::OwnerOrGlobal => true,
            ScopeRule::Via { parent, .. } => self.get(parent).is_some_and(|parent| self.has_catalogue(parent)),
            ScopeRule::Person | ScopeRule::Owner => false,
        }
    }

    /// The tables whose rows take their owner from a row of `parent`.
    pub fn children_of<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (&'a Table, &'static str)> {
        self.tables.iter().filter_map(move |table| match table.scope {
            ScopeRule::Via { column, parent: via } if via == parent => Some((table, column)),
            _ => None,
        })
    }
}

/// A name that no table has. As a text it says so, and quotes the name's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownTable<'n>(pub &'n str);

/// The most of an unknown name that is quoted, in characters.
const LONGEST_NAME: usize = 64;

impl fmt::Display for UnknownTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(LONGEST_NAME).collect();
        write!(f, "there is no table {shown:?}")
    }
}

fn table<T: TableAdapter>() -> Table {
    Table::of::<T>()
}

//! The places of the tables in a database, and the names of their columns there. In a database of the daemon's own both
//! follow the adapters; in an adopted one they are the application's. On the wire only the adapters' names are known.

use std::collections::BTreeMap;

use ryzed_adapters::{ColumnFacts, Kind, Registry, Travel};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::Rights;

/// Every synced table of a database, parents before children. Of a table every column is in it whose values could travel; which
/// of them do, is the adapters' to say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Their places.
    pub tables: Vec<Place>,
}

/// What the role `authenticated` may do with a table, as itself, as a member of others and as anybody; columns as the table
/// names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct FoundRights {
    /// The columns that it may read.
    pub select: Vec<String>,
    /// The columns that it may give values when it makes a row.
    pub insert: Vec<String>,
    /// The columns that it may change.
    pub update: Vec<String>,
    /// Whether it may delete rows.
    pub delete: bool,
}

/// Where one table is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Its name on the wire.
    pub table: String,
    /// The schema that it is in.
    pub schema: String,
    /// Its name there.
    pub name: String,
    /// Its columns that are known on the wire, those that stay home included.
    pub columns: Vec<PlacedColumn>,
    /// True if a row may exist before the one that it hangs on.
    #[serde(default)]
    pub allows_orphans: bool,
    /// Whom policies of the application let in.
    #[serde(default)]
    pub permits: Permits,
    /// True if the application has granted anything to its people.
    #[serde(default)]
    pub is_granted: bool,
    /// Those grants. The application may change them, so they are read anew at each look.
    #[serde(skip)]
    pub rights: Option<FoundRights>,
}

/// Whom policies of the application let in, where row level security is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permits {
    /// Nobody that the daemon works for: its own rules decide alone.
    #[default]
    Nobody,
    /// Everybody, and so the daemon's role.
    Everybody,
    /// At least in part only the role `authenticated`, which the daemon's role has to belong to.
    Authenticated,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacedColumn {
    /// Its name on the wire.
    pub name: String,
    /// Its name in the table.
    pub column: String,
    /// Its type, as SQL writes it.
    pub sql_type: String,
    /// The type without length and domain, as the catalogue names it: `numeric`, `_text`.
    pub base: String,
    /// True if it takes NULL.
    pub nullable: bool,
    /// True if the database fills it in a row that does not bring a value.
    pub fills_itself: bool,
    /// True if the database alone decides the value.
    pub read_only: bool,
    /// The most characters that it takes.
    pub longest: Option<u32>,
    /// Its JSON Schema, when the adapter does not know it.
    pub property: Option<Value>,
    /// Its default as SQL. The application may change it, so it is read anew at each start.
    #[serde(skip)]
    pub default: Option<String>,
    /// The way that it travels: judged at each start, since rules and configuration change.
    #[serde(skip)]
    pub travel: Travel,
}

impl Layout {
    /// The layout of a database which the daemon's migrations have made.
    pub(super) fn own(registry: &Registry) -> Self {
        let place = |table: &ryzed_adapters::Table| Place {
            table: table.name.into(),
            schema: "public".into(),
            name: table.name.into(),
            columns: table.every_column().map(own_column).collect(),
            allows_orphans: false,
            permits: Permits::Nobody,
            is_granted: false,
            rights: None,
        };
        Self { tables: registry.iter().map(place).collect() }
    }

    /// The adapters whose tables are there, with the columns that are there.
    #[must_use]
    pub fn fit(&self, adapters: &Registry) -> Registry {
        let has_table = |name: &str| self.of(name).is_some();
        let tables = adapters.iter().filter_map(|table| {
            let place = self.of(table.name)?;
            Some(table.restricted_to(&place.columns.iter().map(facts_of).collect::<Vec<_>>(), has_table))
        });
        Registry::of(tables.collect())
    }

    /// The place of the table with this name on the wire.
    #[must_use]
    pub fn of(&self, table: &str) -> Option<&Place> {
        self.tables.iter().find(|place| place.table == table)
    }

    /// True if any table has policies of the application for the role `authenticated`.
    pub(super) fn is_for_authenticated(&self) -> bool {
        self.tables.iter().any(|place| place.permits == Permits::Authenticated)
    }
}

impl Place {
    /// The table as SQL names it.
    pub(super) fn relation(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// The table as people name it.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The name in the table of a column on the wire.
    pub(super) fn physical<'p>(&'p self, name: &'p str) -> &'p str {
        self.columns.iter().find(|column| column.name == name).map_or(name, |column| &column.column)
    }

    /// The column whose name in the table this is.
    pub(super) fn at(&self, physical: &str) -> Option<&PlacedColumn> {
        self.columns.iter().find(|column| column.column == physical)
    }

    /// True if people may read this column, as the table names it.
    pub(super) fn shows(&self, physical: &str) -> bool {
        self.rights.as_ref().is_none_or(|rights| rights.select.iter().any(|column| column == physical))
    }

    /// The rights of people on rows, where grants limit them; by the names on the wire.
    pub(super) fn rights(&self) -> Option<Rights> {
        let found = self.rights.as_ref()?;
        let named = |granted: &[String]| {
            let columns = self.columns.iter().filter(|column| granted.contains(&column.column));
            columns.map(|column| column.name.clone()).collect()
        };
        Some(Rights { insert: named(&found.insert), update: named(&found.update), delete: found.delete })
    }

    /// True if every column has the same name on the wire.
    pub(super) fn is_plain(&self) -> bool {
        self.columns.iter().all(|column| column.column == column.name)
    }

    /// True if devices that knew rows from `old` see other columns now.
    pub(super) fn has_other_columns(&self, old: &Self) -> bool {
        let columns = |place: &Self| -> BTreeMap<String, PlacedColumn> {
            let bare = |c: &PlacedColumn| {
                (c.name.clone(), PlacedColumn { default: None, travel: Travel::default(), ..c.clone() })
            };
            place.columns.iter().map(bare).collect()
        };
        columns(self) != columns(old)
    }
}

fn own_column(column: &ryzed_adapters::Column) -> PlacedColumn {
    let (sql_type, base) = type_of(column.kind);
    PlacedColumn {
        name: column.name.clone(),
        column: column.name.clone(),
        sql_type: sql_type.into(),
        base: base.into(),
        nullable: column.nullable,
        fills_itself: false,
        read_only: false,
        longest: None,
        property: None,
        default: None,
        travel: Travel::default(),
    }
}

fn facts_of(column: &PlacedColumn) -> ColumnFacts {
    ColumnFacts {
        name: column.name.clone(),
        property: column.property.clone(),
        longest: column.longest,
        nullable: column.nullable,
        fills_itself: column.fills_itself,
        is_computed: column.read_only,
        is_hidden: column.travel.home.is_some(),
        read_only: column.read_only || column.travel.read_only.is_some(),
        references: column.travel.references.clone(),
    }
}

/// The type of a column of our own, as SQL writes it and as the catalogue names it.
pub(super) fn type_of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Uuid => ("uuid", "uuid"),
        Kind::Time => ("timestamptz", "timestamptz"),
        Kind::Number => ("numeric", "numeric"),
        Kind::Integer => ("integer", "int4"),
        Kind::Bool => ("boolean", "bool"),
        Kind::Text => ("text", "text"),
        Kind::TextList => ("text[]", "_text"),
        Kind::Json => ("jsonb", "jsonb"),
    }
}

/// A name as SQL takes it, whatever it is made of.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL takes it.
pub(super) fn literal(text: &str) -> String {
    // Backslashes mean themselves only in the plain form, which is the standard and the default.
    format!("'{}'", text.replace('\'', "''"))
}

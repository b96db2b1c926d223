//! Edits of an application's rows: an `UPDATE` that names the columns that are set and no others, since triggers of the
//! application may be for some of them (`UPDATE OF`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ryzed_adapters::Table;

use super::layout::{Place, quoted};

/// The number of a table's statements that are kept; a connection keeps each prepared.
const KEPT: usize = 64;

/// The statements that set some columns of one table.
#[derive(Debug)]
pub(super) struct Sets {
    relation: String,
    writes: String,
    /// By the names of the wire: the column, and its type.
    columns: HashMap<String, (String, String)>,
    kept: Mutex<HashMap<Vec<String>, String>>,
}

impl Sets {
    /// The statements of one table; `writes` checks the table and the row `t`.
    pub(super) fn of_table(table: &Table, place: &Place, writes: &str) -> Self {
        let written = place.columns.iter().filter(|column| !column.read_only && table.column(&column.name).is_some());
        let columns = written.map(|column| (column.name.clone(), (quoted(&column.column), column.sql_type.clone())));
        let (relation, writes) = (place.relation(), writes.to_owned());
        Self { relation, writes, columns: columns.collect(), kept: Mutex::default() }
    }

    /// The statement that sets these fields as the parts of rows in `?1` say, and whether it is one of those that are kept.
    pub(super) fn of(&self, fields: &[String]) -> (Cow<'_, str>, bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = kept.get(fields) {
            return (Cow::Owned(statement.clone()), true);
        }
        let statement = self.statement(fields);
        let is_kept = kept.len() < KEPT;
        if is_kept {
            kept.insert(fields.to_vec(), statement.clone());
        }
        (Cow::Owned(statement), is_kept)
    }

    fn statement(&self, fields: &[String]) -> String {
        let known: Vec<(String, &(String, String))> =
            fields.iter().filter_map(|name| Some((quoted(name), self.columns.get(name)?))).collect();
        let sets: Vec<String> = known.iter().map(|(name, (column, _))| format!("{column} = r.{name}")).collect();
        let typed: Vec<String> = known.iter().map(|(name, (_, sql_type))| format!(", {name} {sql_type}")).collect();
        format!(
            "UPDATE {} t SET {} FROM jsonb_array_elements(?1::jsonb) AS j (brought) \
             CROSS JOIN LATERAL jsonb_to_record(j.brought) AS r (\"id\" uuid{}) WHERE t.id = r.id AND {}",
            self.relation,
            sets.join(", "),
            typed.concat(),
            self.writes
        )
    }
}

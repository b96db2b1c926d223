//! The rows and deletions of a page, and the JSON that is spliced from them.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::store::StoreError;
use crate::sync::wire::Deletion;
use crate::sync::{RowId, Version};

/// A row or a deletion of the page.
pub(super) struct Item {
    pub table: &'static str,
    pub id: RowId,
    pub version: Version,
    /// None: deleted.
    pub json: Option<String>,
}

impl Item {
    pub(super) fn size(&self) -> usize {
        const DELETION: usize = 70;
        self.json.as_ref().map_or(DELETION, String::len)
    }
}

type ByTable = (Box<RawValue>, BTreeMap<&'static str, Vec<Deletion>>);

/// Splices the rows, which the database has made as JSON, without taking them apart, and lets each go as it is written.
pub(super) fn by_table(items: Vec<Item>) -> Result<ByTable, StoreError> {
    /// Bytes around a row, and around a table, in JSON.
    const COMMA: usize = 1;
    const NAME: usize = 100;
    let mut rows: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mut deletions: BTreeMap<&'static str, Vec<Deletion>> = BTreeMap::new();
    let mut size = 2;
    for item in items {
        match item.json {
            Some(json) => {
                size += json.len() + COMMA;
                rows.entry(item.table).or_default().push(json);
            }
            None => deletions.entry(item.table).or_default().push(Deletion { id: item.id, version: item.version }),
        }
    }
    let mut text = String::with_capacity(size + rows.len() * NAME);
    text.push('{');
    for (at, (table, rows)) in rows.into_iter().enumerate() {
        text.push_str(if at > 0 { ",\"" } else { "\"" });
        text.push_str(table);
        text.push_str("\":[");
        for (at, row) in rows.into_iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(&row);
        }
        text.push(']');
    }
    text.push('}');
    let changes = RawValue::from_string(text).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok((changes, deletions))
}

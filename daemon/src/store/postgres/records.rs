//! The changes of a scope with their rows, as sockets and exports get them.

use std::sync::Arc;

use super::Schema;
use super::reads;
use super::session::PostgresTransaction;
use super::transaction::length;
use super::wire_format::Form;
use crate::store::decode::{former_said, raw};
use crate::store::{PAGE_BYTES, Records, StoreError};
use crate::sync::{ChangeRecord, Operation, Scope, Version};

/// The text in place of a row of which only the change was read.
const NOT_READ: &str = "";
/// The size from which a former value is left out, in bytes; its id alone remains.
const LONGEST_OLD: usize = 16 << 10;

impl PostgresTransaction<'_> {
    /// The query for changes that most likely serves: after changes of rows of one table, or a hint at them, the one
    /// that joins that table.
    pub(super) fn likely_records<'s>(&self, schema: &'s Schema) -> &'s str {
        let mut changed = self.changed.iter().filter_map(|name| schema.of(schema.registry.get(name)?).ok());
        match (changed.next(), changed.next()) {
            (Some(only), None) => &only.records,
            _ => &schema.records,
        }
    }

    /// The changes after a version; of stopped tables none.
    pub(super) async fn records_of(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        type Row = (i64, String, String, String, Option<String>, Option<String>, Option<String>);
        let schema = Arc::clone(self.schema);
        let size_of = |row: &Row| length(&row.5) + length(&row.6);
        let likely = reads::records(self.likely_records(&schema), scope, after, limit);
        let (mut rows, mut is_whole): (Vec<Row>, bool) = self.load_some(likely, PAGE_BYTES, size_of).await?;
        if rows.iter().any(|row| row.6.as_deref() == Some(NOT_READ)) {
            let all = reads::records(&schema.records, scope, after, limit);
            (rows, is_whole) = self.load_some(all, PAGE_BYTES, size_of).await?;
        }
        let has_more = !is_whole || i64::try_from(rows.len()).is_ok_and(|count| count == limit);
        let reached = rows.last().map_or(after, |row| row.0);
        let mut records = Vec::with_capacity(rows.len());
        for (version, table, id, operation, device, old, row) in rows {
            let Some(table) = schema.registry.get(&table).filter(|table| !schema.stopped.has(table.name)) else {
                continue;
            };
            let is_seen = row.is_some() || operation == Operation::Delete.as_str();
            records.push(ChangeRecord {
                scope,
                version,
                table: table.name,
                operation: Operation::of(&operation).unwrap_or(Operation::Update),
                source_device: device.and_then(|device| device.parse().ok()),
                row: row.map(raw).transpose()?,
                old: old
                    // Who does not see the row does not see what it was.
                    .filter(|_| is_seen)
                    .map(|old| match old.len() {
                        0..=LONGEST_OLD => {
                            raw(former_said(table, Form::of(&schema, table).to_wire(Operation::Delete, &old)))
                        }
                        _ => raw(serde_json::json!({"id": id}).to_string()),
                    })
                    .transpose()?,
                id: id.into(),
            });
        }
        Ok(Records { records, reached, has_more })
    }
}

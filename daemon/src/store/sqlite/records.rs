//! Changes with the rows that they are about.

use std::sync::Arc;

use super::json::Json;
use super::reads;
use super::transaction::SqliteTransaction;
use crate::store::decode::{former_said, raw};
use crate::store::{IndexOperations, PAGE_BYTES, Range, Records, StoreError};
use crate::sync::{ChangeRecord, Operation, Scope, Version};

impl SqliteTransaction<'_> {
    /// Changes of `scope` after `after`, whole, at most `limit`.
    pub(super) async fn records_of(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        type Row = (i64, String, String, String, Option<String>, Option<Json>);
        let rows: Vec<Row> = self.load(reads::records(scope, after, limit))?;
        let has_more = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
        let upto = rows.last().map_or(after, |row| row.0);
        let mut records = Vec::with_capacity(rows.len());
        for (version, table, id, operation, device, old) in rows {
            let Some(table) = self.schema.registry.get(&table) else { continue };
            records.push(ChangeRecord {
                scope,
                version,
                table: table.name,
                operation: Operation::of(&operation).unwrap_or(Operation::Update),
                id: id.into(),
                source_device: device.and_then(|device| device.parse().ok()),
                row: None,
                old: old.map(|Json(old)| raw(former_said(table, old))).transpose()?,
            });
        }
        let range = Range { after, upto, bytes: PAGE_BYTES };
        let cut = self.fill(scope, range, &mut records).await?;
        if let Some(cut) = cut {
            records.retain(|record| record.version <= cut);
        }
        Ok(Records { records, reached: cut.unwrap_or(upto), has_more: has_more || cut.is_some() })
    }

    /// Reads the rows of all records at once, a statement a table. Returns where it had to stop.
    async fn fill(
        &mut self,
        scope: Scope,
        range: Range,
        records: &mut [ChangeRecord],
    ) -> Result<Option<Version>, StoreError> {
        let schema = Arc::clone(self.schema);
        let mut cut: Option<Version> = None;
        for table in schema.registry.iter() {
            if !records.iter().any(|record| record.table == table.name) {
                continue;
            }
            let found = self.rows(table, scope, range).await?;
            cut = [cut, found.cut].into_iter().flatten().min();
            for (version, row) in found.rows {
                if let Ok(at) = records.binary_search_by_key(&version, |record| record.version) {
                    records[at].row = Some(raw(row)?);
                }
            }
        }
        Ok(cut)
    }
}

//! Changes with the rows that they are about.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::json::Json;
use super::reads;
use super::transaction::{SqliteTransaction, at};
use crate::store::combine::Span;
use crate::store::decode::{former_said, raw};
use crate::store::{IndexOperations, PAGE_BYTES, Range, Records, StoreError, unsaid};
use crate::sync::{ChangeRecord, Operation, Scope, Version};

/// An entry of the index as [`reads::records`] tells it.
type Row = (i64, i64, String, String, String, Option<String>, Option<Json>);

impl SqliteTransaction<'_> {
    /// Changes of `scope` after `after`, whole, at most `limit`.
    pub(super) async fn records_of(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        let rows: Vec<Row> = self.load(reads::records(&[(scope, after)], limit))?;
        let has_more = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
        let upto = rows.last().map_or(after, |row| row.1);
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            records.extend(self.record(scope, row)?);
        }
        let range = Range { after, upto, bytes: PAGE_BYTES };
        let cut = self.fill(scope, range, &mut records).await?;
        if let Some(cut) = cut {
            records.retain(|record| record.version <= cut);
        }
        Ok(Records { records, reached: cut.unwrap_or(upto), has_more: has_more || cut.is_some() })
    }

    /// Everything behind the version of each span: a statement for the entries, and one a table for the rows.
    pub(super) fn all_records_of(&mut self, spans: &[Span]) -> Result<Vec<Records>, StoreError> {
        let rows: Vec<Row> = self.load(reads::records(spans, -1))?;
        let mut found: Vec<Records> =
            spans.iter().map(|(_, after)| Records { reached: *after, ..Records::default() }).collect();
        let mut tables = BTreeSet::new();
        for row in rows {
            let place = row.0;
            let Some((scope, _)) = usize::try_from(place).ok().and_then(|place| spans.get(place)) else { continue };
            let (version, record) = (row.1, self.record(*scope, row)?);
            let Some(of) = at(&mut found, place) else { continue };
            of.reached = version;
            tables.extend(record.as_ref().and_then(|record| self.schema.registry.rank(record.table)));
            of.records.extend(record);
        }
        let schema = Arc::clone(self.schema);
        for table in tables.into_iter().filter_map(|rank| schema.registry.iter().nth(rank)) {
            let rows: Vec<(i64, i64, Json)> = self.load(reads::all_rows(&schema, table, spans)?)?;
            for (place, version, Json(json)) in rows {
                unsaid::note(table, &json);
                let Some(of) = at(&mut found, place) else { continue };
                put_row(&mut of.records, version, json)?;
            }
        }
        Ok(found)
    }

    /// The change that an entry is about; none when its table is not synced.
    fn record(&self, scope: Scope, row: Row) -> Result<Option<ChangeRecord>, StoreError> {
        let (_, version, table, id, operation, device, old) = row;
        let Some(table) = self.schema.registry.get(&table) else { return Ok(None) };
        Ok(Some(ChangeRecord {
            scope,
            version,
            table: table.name,
            operation: Operation::of(&operation).unwrap_or(Operation::Update),
            id: id.into(),
            source_device: device.and_then(|device| device.parse().ok()),
            row: None,
            old: old.map(|Json(old)| raw(former_said(table, old))).transpose()?,
        }))
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
                put_row(records, version, row)?;
            }
        }
        Ok(cut)
    }
}

/// Gives its row to the change with this version.
fn put_row(records: &mut [ChangeRecord], version: Version, row: String) -> Result<(), StoreError> {
    if let Ok(place) = records.binary_search_by_key(&version, |record| record.version) {
        records[place].row = Some(raw(row)?);
    }
    Ok(())
}

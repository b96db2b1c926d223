//! The operations for several people at once.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use ryzed_adapters::{Registry, Table};
use uuid::Uuid;

use super::super::reads::{self, json};
use super::SqliteTransaction;
use crate::store::combine::{KeptReceipts, KeptUses, NewUser, Sets, Span, Writer};
use crate::store::decode::{DeviceTuple, NOT_TAKEN, count, device_of, receipts_of};
use crate::store::statement::statement;
use crate::store::{DeviceRow, Entry, Receipts, Records, StoreError};
use crate::sync::{DeviceId, Operation, RowId, UserId};

#[async_trait]
impl Sets for SqliteTransaction<'_> {
    fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.schema.registry)
    }

    async fn all_receipts(&mut self, wanted: &[(UserId, Vec<Uuid>)]) -> Result<Vec<Receipts>, StoreError> {
        let rows: Vec<(i64, String, String)> = self.load(reads::receipts(wanted))?;
        let mut found: Vec<Vec<(String, String)>> = vec![Vec::new(); wanted.len()];
        for (place, id, result) in rows {
            if let Some(of) = at(&mut found, place) {
                of.push((id, result));
            }
        }
        Ok(found.into_iter().map(receipts_of).collect())
    }

    async fn all_entries(&mut self, spans: &[Span]) -> Result<Vec<Vec<Entry>>, StoreError> {
        let rows: Vec<(i64, i64, String, String, String)> = self.load(reads::all_entries(spans))?;
        let mut found: Vec<Vec<Entry>> = vec![Vec::new(); spans.len()];
        for (place, version, table, id, operation) in rows {
            let Some(of) = at(&mut found, place) else { continue };
            of.push(Entry {
                version,
                table: self.schema.registry.get(&table).map(|table| table.name),
                id: id.into(),
                operation: Operation::of(&operation).unwrap_or(Operation::Update),
            });
        }
        Ok(found)
    }

    async fn all_records(&mut self, spans: &[Span]) -> Result<Vec<Records>, StoreError> {
        self.all_records_of(spans)
    }

    async fn keep_all_receipts(&mut self, kept: &[KeptReceipts]) -> Result<(), StoreError> {
        let rows: Vec<_> = kept
            .iter()
            .flat_map(|of| of.receipts.iter().map(move |(id, result)| (of.user, id, result, &of.now)))
            .collect();
        let new: Vec<String> = self.load(
            statement::<Text>(
                "INSERT INTO sync_receipts (user_id, mutation_id, result, created_at) \
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1) WHERE TRUE \
                 ON CONFLICT DO NOTHING RETURNING user_id",
            )
            .text(json(&rows)),
        )?;
        self.run(
            statement(
                "INSERT INTO sync_counts SELECT 'receipts', value, count(*) FROM json_each(?1) WHERE TRUE GROUP BY value \
                 ON CONFLICT (kind, whose) DO UPDATE SET count = count + excluded.count",
            )
            .text(json(&new)),
        )?;
        Ok(())
    }

    async fn upsert_all(&mut self, table: &Table, rows: &str, by: &[Writer]) -> Result<(), StoreError> {
        self.upsert_by(table, rows, by)
    }

    async fn update_all(&mut self, table: &Table, parts: &str, by: &[Writer]) -> Result<(), StoreError> {
        let written = self.update_by(table, parts, by)?;
        if written < count(parts) { Err(StoreError::Constraint(NOT_TAKEN.into())) } else { Ok(()) }
    }

    async fn delete_all(&mut self, table: &Table, ids: &[RowId], by: &[Writer]) -> Result<(), StoreError> {
        self.delete_by(table, ids, by).await
    }

    async fn ensure_users(&mut self, new: &[NewUser]) -> Result<bool, StoreError> {
        let rows: Vec<_> = new.iter().map(|new| (new.user, &new.email, &new.now)).collect();
        let insert = "INSERT INTO users (id, email, created_at, updated_at) \
                      SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 2 FROM json_each(?1) WHERE TRUE \
                      ON CONFLICT (id) DO NOTHING";
        self.attempt(statement(insert).text(json(&rows)), (rows.len(), 0), &[]).map(|made| made > 0)
    }

    async fn all_devices(&mut self, wanted: &[(UserId, DeviceId)]) -> Result<Vec<Option<DeviceRow>>, StoreError> {
        let mut found: Vec<Option<DeviceRow>> = vec![None; wanted.len()];
        for (place, device) in self.load::<_, (i64, DeviceTuple)>(reads::all_devices(wanted))? {
            if let Some(of) = at(&mut found, place) {
                *of = device_of(device);
            }
        }
        Ok(found)
    }

    async fn count_all_devices(&mut self, people: &[UserId]) -> Result<Vec<i64>, StoreError> {
        self.load(
            statement::<BigInt>(
                "SELECT (SELECT count(*) FROM sync_devices WHERE user_id = i.value AND revoked_at IS NULL) \
                 FROM json_each(?1) i ORDER BY i.key",
            )
            .text(json(&people)),
        )
    }

    async fn keep_devices(&mut self, kept: &[(UserId, DeviceRow)]) -> Result<(), StoreError> {
        self.write_devices(kept.iter().map(|(user, device)| (*user, device)))
    }

    async fn keep_all_uses(&mut self, kept: &[KeptUses]) -> Result<(), StoreError> {
        self.write_uses(kept)
    }
}

/// The element at a place that SQL has told.
pub(in crate::store::sqlite) fn at<T>(list: &mut [T], place: i64) -> Option<&mut T> {
    list.get_mut(usize::try_from(place).ok()?)
}

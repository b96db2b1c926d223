//! Writes the decided changes to the database: a statement a table, or a row where a rule of the database refuses one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ryzed_adapters::{FieldError, Row, Table};

use super::super::request::ParsedChange;
use super::rights::{forbidden, referring, unknown_reference};
use super::row_cache::Key;
use super::run::PushRun;
use super::to_json;
use crate::store::{NOT_TAKEN, StoreError, Transaction};
use crate::sync::RowId;
use crate::sync::decide::{Decision, PendingRow};

/// The code of a row that a rule of the database refused.
pub(super) const CONSTRAINT: &str = "constraint";
/// The error for a row that has vanished from the database and from its change index.
const GONE: &str = "the database has it no more";

/// Rows of one table that are written alike.
struct Group<'t> {
    table: &'t Table,
    rank: usize,
    /// The fields that are set, in rows that are there; none in rows that are made.
    fields: Option<Vec<String>>,
}

impl PushRun<'_> {
    /// Writes what was decided since the last time.
    pub(super) async fn write(&mut self, tx: &mut dyn Transaction, ready: &[&ParsedChange]) -> Result<(), StoreError> {
        let dirty = self.cache.drain_dirty();
        let registry = Arc::clone(&self.push.registry);
        let mut gone: Vec<(usize, &Table, Vec<RowId>)> = Vec::new();
        for (rank, table) in registry.iter().enumerate() {
            let Some(ids) = dirty.get(&rank) else { continue };
            let (puts, deletes): (Vec<RowId>, Vec<RowId>) =
                ids.iter().cloned().partition(|id| self.row(rank, id).is_some());
            for (fields, ids) in self.alike(table, rank, puts) {
                self.put(tx, &Group { table, rank, fields }, &ids, ready).await?;
            }
            if !deletes.is_empty() {
                gone.push((rank, table, deletes));
            }
        }
        for (rank, table, ids) in gone.into_iter().rev() {
            self.remove(tx, table, rank, &ids, ready).await?;
        }
        Ok(())
    }

    /// Rows parted by what is set of them, those that are made first. In a table of our own one statement sets any fields.
    fn alike(&self, table: &Table, rank: usize, ids: Vec<RowId>) -> BTreeMap<Option<Vec<String>>, Vec<RowId>> {
        let mut alike: BTreeMap<Option<Vec<String>>, Vec<RowId>> = BTreeMap::new();
        for id in ids {
            let is_stored = self.working(rank, &id).is_some_and(PendingRow::is_stored);
            let fields = is_stored.then(|| if table.is_external { self.fields(table, rank, &id) } else { Vec::new() });
            alike.entry(fields).or_default().push(id);
        }
        alike
    }

    /// The fields of a row that is there which are to be set.
    fn fields(&self, table: &Table, rank: usize, id: &RowId) -> Vec<String> {
        let part = self.part(table, rank, id).unwrap_or_default();
        let mut fields: Vec<String> = part.into_iter().map(|(name, _)| name).filter(|name| name != "id").collect();
        fields.sort_unstable();
        fields
    }

    /// One statement; where a rule of the database refuses a row, one a row, to find out which.
    async fn put(
        &mut self,
        tx: &mut dyn Transaction,
        group: &Group<'_>,
        ids: &[RowId],
        ready: &[&ParsedChange],
    ) -> Result<(), StoreError> {
        let Err(error) = self.put_all(tx, group, ids).await else {
            ids.iter().for_each(|id| self.cache.wrote(&(group.rank, id.clone())));
            return Ok(());
        };
        if let [id] = ids {
            return self.refuse(group.table, &(group.rank, id.clone()), error, ready);
        }
        refusal(group.table, error)?;
        for id in ids {
            let key = (group.rank, id.clone());
            match self.put_all(tx, group, std::slice::from_ref(id)).await {
                Ok(()) => self.cache.wrote(&key),
                Err(error) => self.refuse(group.table, &key, error, ready)?,
            }
        }
        Ok(())
    }

    async fn put_all(&self, tx: &mut dyn Transaction, group: &Group<'_>, ids: &[RowId]) -> Result<(), StoreError> {
        let Group { table, rank, fields } = group;
        let device = self.push.device.as_ref();
        if let Some(fields) = fields {
            let parts: Vec<Row> = ids.iter().filter_map(|id| self.part(table, *rank, id)).collect();
            if tx.update(table, fields, &to_json(&parts)?, device).await? == parts.len() {
                return Ok(());
            }
            if ids.len() > 1 || !tx.standing(table, ids).await?.is_empty() {
                return Err(StoreError::Constraint(NOT_TAKEN.into()));
            }
            if table.is_external {
                return Err(StoreError::Constraint(GONE.into()));
            }
            // Somebody with SQL has deleted it meanwhile: then it is made again, as it was.
        }
        let rows: Vec<Row> = ids.iter().filter_map(|id| self.whole(table, *rank, id)).collect();
        if rows.is_empty() { Ok(()) } else { tx.upsert(table, &to_json(&rows)?, device).await }
    }

    /// The changed columns of a stored row. An application's own columns stay as they are, in every digit, unless they
    /// are brought.
    fn part(&self, table: &Table, rank: usize, id: &RowId) -> Option<Row> {
        let mut part = self.working(rank, id)?.changed();
        part.retain(|name, _| is_written(table, name));
        part.insert("id".into(), id.as_str().into());
        Some(part)
    }

    /// A row that is made.
    fn whole(&self, table: &Table, rank: usize, id: &RowId) -> Option<Row> {
        let mut row = self.row(rank, id)?.clone();
        row.retain(|name, _| is_written(table, name));
        Some(row)
    }

    /// The same for rows that go.
    async fn remove(
        &mut self,
        tx: &mut dyn Transaction,
        table: &Table,
        rank: usize,
        ids: &[RowId],
        ready: &[&ParsedChange],
    ) -> Result<(), StoreError> {
        let device = self.push.device.as_ref();
        let Err(error) = tx.delete(table, ids, device).await else {
            ids.iter().for_each(|id| self.cache.wrote(&(rank, id.clone())));
            return Ok(());
        };
        refusal(table, error)?;
        for id in ids {
            let key = (rank, id.clone());
            match tx.delete(table, std::slice::from_ref(id), device).await {
                Ok(()) => self.cache.wrote(&key),
                Err(error) => self.refuse(table, &key, error, ready)?,
            }
        }
        Ok(())
    }

    /// The changes of a row that a rule of the database refused come to nothing.
    fn refuse(
        &mut self,
        table: &Table,
        key: &Key,
        error: StoreError,
        ready: &[&ParsedChange],
    ) -> Result<(), StoreError> {
        if let StoreError::Denied(_) = &error {
            tracing::error!(%error, "row-level security rejected a write that the daemon had allowed (bug)");
        }
        // Where people's rows can't be made for now, a row may lack its person's.
        let waits = matches!(error, StoreError::Reference(_)) && self.stopped.has("users");
        let rule = error.to_string();
        let refused = Decision::rejected(vec![refusal(table, error)?]);
        tracing::info!(table = table.name, "a rule of the database refused a row");
        let alone = self.alone;
        let of_row = |change: &ParsedChange| change.rank == key.0 && change.id == key.1;
        let is_meant = |index: usize| alone.is_none_or(|alone| alone == index);
        for (index, _) in ready.iter().enumerate().filter(|(index, change)| is_meant(*index) && of_row(change)) {
            if waits {
                self.outcomes.remove(&index);
                self.waiting.insert(key.clone());
            } else {
                self.outcomes.insert(index, refused.clone());
                self.refused.insert(index, rule.clone());
            }
        }
        if alone.is_none() {
            self.cache.undo(key);
            self.changed.remove(key);
        }
        Ok(())
    }
}

/// True if a column of a row is the daemon's to write.
fn is_written(table: &Table, name: &str) -> bool {
    !table.is_external || table.column(name).is_some_and(|column| !column.is_computed)
}

/// The error for a row that a rule of the database refused.
pub(super) fn refusal(table: &Table, error: StoreError) -> Result<FieldError, StoreError> {
    Ok(match error {
        StoreError::Constraint(rule) => FieldError::new("", CONSTRAINT, rule),
        // Somebody with SQL deleted it after we had looked.
        StoreError::Reference(key) => unknown_reference(referring(table, &key)),
        StoreError::Denied(_) => forbidden("id"),
        other => return Err(other),
    })
}

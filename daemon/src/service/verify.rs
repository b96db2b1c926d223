//! Holds the change index against the tables, batch by batch while everybody goes on, and mends it with changes that every
//! device gets. `ryzed verify` does so with all of it; the daemon takes a sample at each sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Service, ServiceError};
use crate::metrics::metrics;
use crate::store::Access;
use crate::store::compare::{BlindNote, COMPARED, Difference};
use crate::sync::RowId;

/// Rows that are looked at in one transaction, which only reads.
const BATCH: i64 = 500;
/// Rows that are mended in one transaction, which keeps others from writing to their scopes.
const MENDED_AT_ONCE: usize = 100;
/// Scopes that are counted in one transaction.
const SCOPES: i64 = 50;
/// The number of tries for rows that somebody was changing.
const TRIES: usize = 3;
/// Rows of a table that a sweep looks at.
const SAMPLE: i64 = 200;
/// Rows of a table of which the daemon keeps in mind that they differ.
const KEPT_IN_MIND: usize = 1000;

/// The result of comparing the index with one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rows, and entries without one, that were looked at.
    pub rows: u64,
    /// The number of differing rows, by kind of difference.
    pub found: BTreeMap<Difference, u64>,
    /// The number of mended rows.
    pub mended: u64,
    /// The noted reason for unseen changes of rows, unless the note was taken back.
    pub note: Option<String>,
}

impl Verdict {
    /// The number of differing rows.
    #[must_use]
    pub fn differ(&self) -> u64 {
        self.found.values().sum()
    }

    /// True if nothing is left to be mended.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.note.is_none() && self.mended >= self.differ()
    }
}

/// The differences that samples have found.
#[derive(Debug, Default)]
pub(super) struct Samples {
    tables: Mutex<BTreeMap<&'static str, Sampled>>,
}

#[derive(Debug, Default)]
struct Sampled {
    /// The last row that the round has checked.
    upto: Option<RowId>,
    /// Rows that differed and were not mended yet.
    differ: BTreeSet<RowId>,
}

impl Samples {
    fn tables(&self) -> MutexGuard<'_, BTreeMap<&'static str, Sampled>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Holds the index against a table, and mends it where it is to be repaired. `watch` hears after each batch how many rows
    /// were looked at.
    ///
    /// # Errors
    /// Those of the database; what was mended until then stays so.
    pub async fn verify(
        &self,
        table: &'static str,
        repair: bool,
        mut watch: impl FnMut(u64) + Send,
    ) -> Result<Verdict, ServiceError> {
        if repair {
            // First, so that nothing is missed behind the place that was reached.
            self.switch_on(table).await?;
        }
        let note = self.blind_note(table).await?;
        let (mut verdict, mut after) = (Verdict::default(), None);
        loop {
            let (ids, found) = self.look(table, after, BATCH).await?;
            verdict.rows += ids.len() as u64;
            found.iter().for_each(|(_, kind)| *verdict.found.entry(*kind).or_default() += 1);
            if repair {
                verdict.mended += self.mend(table, &found).await?;
            }
            watch(verdict.rows);
            after = ids.last().cloned();
            if after.is_none() {
                break;
            }
        }
        let Some(note) = note else { return Ok(verdict) };
        let is_settled = repair && verdict.mended >= verdict.differ() && self.take_back(table, &note).await?;
        verdict.note = (!is_settled).then_some(note.reason);
        Ok(verdict)
    }

    /// Holds what digests say against the index, some scopes at a time, and counts anew where it is to be repaired. The tables of
    /// which digests said something else.
    ///
    /// # Errors
    /// Those of the database; what was counted until then stays so.
    pub async fn verify_digests(&self, repair: bool) -> Result<BTreeSet<String>, ServiceError> {
        let (mut tables, mut after) = (BTreeSet::new(), String::new());
        loop {
            let (scopes, found) = self.miscounted(after).await?;
            let Some(last) = scopes.last().cloned() else { return Ok(tables) };
            if repair && !found.is_empty() {
                self.recount(scopes).await?;
            }
            tables.extend(found);
            after = last;
        }
    }

    /// The next scopes, and the tables that are miscounted in them.
    async fn miscounted(&self, after: String) -> Result<(Vec<String>, Vec<String>), ServiceError> {
        self.store
            .read(Access::Daemon, move |tx| {
                let after = after.clone();
                Box::pin(async move {
                    let scopes = tx.scopes_after(&after, SCOPES).await?;
                    let found = if scopes.is_empty() { Vec::new() } else { tx.miscounted(&scopes).await? };
                    Ok::<_, ServiceError>((scopes, found))
                })
            })
            .await
    }

    async fn recount(&self, scopes: Vec<String>) -> Result<(), ServiceError> {
        self.store
            .write(Access::Daemon, move |tx| {
                let scopes = scopes.clone();
                Box::pin(async move { Ok::<_, ServiceError>(tx.recount(&scopes).await?) })
            })
            .await
    }

    /// Looks at some rows of each table, other ones each time, and says what differs. What is noted to have changed unseen, on a
    /// database whose tables do not stop for it, is mended.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn sample(&self) -> Result<(), ServiceError> {
        let stopped = self.stopped();
        for table in self.registry.iter().map(|table| table.name).filter(|table| !stopped.has(table)) {
            if let Some(note) = self.blind_note(table).await? {
                self.see_again(table, &note).await?;
            }
            let (after, known) = {
                let mut tables = self.samples.tables();
                let sampled = tables.entry(table).or_default();
                (sampled.upto.clone(), sampled.differ.iter().cloned().collect::<Vec<_>>())
            };
            let (ids, found) = self.look(table, after, SAMPLE).await?;
            let still = if known.is_empty() { Vec::new() } else { self.differences(table, known).await? };
            self.note(table, &ids, &found, &still);
        }
        Ok(())
    }

    /// The tables of which samples have found rows that differ from the index, and how many.
    #[must_use]
    pub fn differing(&self) -> Vec<(&'static str, usize)> {
        let tables = self.samples.tables();
        let differ = tables.iter().map(|(table, sampled)| (*table, sampled.differ.len()));
        differ.filter(|(_, rows)| *rows > 0).collect()
    }

    fn note(&self, table: &'static str, ids: &[RowId], found: &[(RowId, Difference)], still: &[(RowId, Difference)]) {
        let mut tables = self.samples.tables();
        let sampled = tables.entry(table).or_default();
        let new = found.iter().filter(|(id, _)| !sampled.differ.contains(id)).count();
        if new > 0 {
            tracing::warn!(
                table,
                rows = new,
                "rows differ from the change index, and devices have them otherwise: run `ryzed verify --repair`"
            );
        }
        sampled.differ = found.iter().chain(still).map(|(id, _)| id.clone()).take(KEPT_IN_MIND).collect();
        // Behind the last row the next round begins.
        sampled.upto = ids.last().cloned();
        metrics().index_differences.set(tables.values().map(|sampled| sampled.differ.len() as i64).sum());
    }

    /// Mends a table whose rows may have changed while no trigger stood.
    async fn see_again(&self, table: &'static str, note: &BlindNote) -> Result<(), ServiceError> {
        let verdict = self.verify(table, true, |_| {}).await?;
        tracing::warn!(table, rows = verdict.rows, mended = verdict.mended, reason = note.reason, "{COMPARED}");
        if let Some(hints) = self.hints.get() {
            hints.others_may_have_moved();
        }
        Ok(())
    }

    /// The next ids, and what is the matter with some of them, at one moment.
    async fn look(
        &self,
        table: &'static str,
        after: Option<RowId>,
        most: i64,
    ) -> Result<(Vec<RowId>, Vec<(RowId, Difference)>), ServiceError> {
        self.store
            .read(Access::Daemon, move |tx| {
                let after = after.clone();
                Box::pin(async move {
                    let ids = tx.ids_after(table, after.as_ref(), most).await?;
                    let found = if ids.is_empty() { Vec::new() } else { tx.differences(table, &ids).await? };
                    Ok::<_, ServiceError>((ids, found))
                })
            })
            .await
    }

    async fn differences(
        &self,
        table: &'static str,
        ids: Vec<RowId>,
    ) -> Result<Vec<(RowId, Difference)>, ServiceError> {
        self.store
            .read(Access::Daemon, move |tx| {
                let ids = ids.clone();
                Box::pin(async move { Ok::<_, ServiceError>(tx.differences(table, &ids).await?) })
            })
            .await
    }

    /// Mends these rows, in small transactions; how many.
    async fn mend(&self, table: &'static str, found: &[(RowId, Difference)]) -> Result<u64, ServiceError> {
        let mut all = 0;
        for part in found.chunks(MENDED_AT_ONCE) {
            let ids: Vec<RowId> = part.iter().map(|(id, _)| id.clone()).collect();
            let mut mended = 0;
            for _ in 0..TRIES {
                let ids = ids.clone();
                let mending = self.store.write(Access::Daemon, move |tx| {
                    let ids = ids.clone();
                    Box::pin(async move { Ok::<_, ServiceError>(tx.mend(table, &ids).await?) })
                });
                mended += mending.await? as u64;
                if mended >= part.len() as u64 {
                    break;
                }
            }
            // What was mended otherwise meanwhile does not differ any more.
            let left = if mended < part.len() as u64 { self.differences(table, ids).await?.len() as u64 } else { 0 };
            all += part.len() as u64 - left;
        }
        metrics().index_mended.inc_by(all);
        Ok(all)
    }

    async fn switch_on(&self, table: &'static str) -> Result<(), ServiceError> {
        self.store
            .write(Access::Daemon, move |tx| Box::pin(async move { Ok::<_, ServiceError>(tx.switch_on(table).await?) }))
            .await
    }

    async fn blind_note(&self, table: &'static str) -> Result<Option<BlindNote>, ServiceError> {
        self.store
            .read(Access::Daemon, move |tx| Box::pin(async move { Ok::<_, ServiceError>(tx.blind_note(table).await?) }))
            .await
    }

    async fn take_back(&self, table: &'static str, note: &BlindNote) -> Result<bool, ServiceError> {
        let note = note.clone();
        self.store
            .write(Access::Daemon, move |tx| {
                let note = note.clone();
                Box::pin(async move { Ok::<_, ServiceError>(tx.settle(table, &note).await?) })
            })
            .await
    }
}

//! Enters the rows that existed before the triggers: batch by batch, parents before children, each batch so small that
//! it holds the scopes for a moment only. Each batch notes its progress, so that the work can be interrupted at any
//! time.

use super::super::layout::literal;
use super::super::sql_text::texts;
use super::super::triggers::Placed;
use super::{AdoptError, Worker};
use crate::store::StoreError;

/// Rows of the first batch; later ones follow the time that it took.
const FIRST_BATCH: u64 = 200;
/// No batch is larger or smaller.
const BATCHES: std::ops::RangeInclusive<u64> = 100..=5_000;
/// The time that a batch should hold the scopes of its rows, in milliseconds; a fifth of what an application may feel.
const HOLD_MS: f64 = 10.0;

/// The result of entering rows into the index.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Entered {
    /// Rows that were looked at.
    pub rows: u64,
    /// Rows that the index had and the table has not.
    pub gone: u64,
    /// The longest that a batch held the scopes of its rows, in milliseconds.
    pub longest_hold_ms: f64,
}

impl Worker<'_> {
    pub(super) async fn enter_all(&mut self, placed: Placed<'_>) -> Result<Entered, AdoptError> {
        let mut entered = Entered::default();
        for (table, place) in placed.iter() {
            let open = format!(
                "SELECT rows::text FROM ryzed.entering WHERE table_name = {} AND NOT done",
                literal(table.name)
            );
            let Some(so_far) = texts(&mut self.connection, &open).await?.first().and_then(|rows| rows.parse().ok())
            else {
                continue;
            };
            let all = texts(&mut self.connection, &format!("SELECT count(*)::text FROM {}", place.relation())).await?;
            let all = all.first().and_then(|rows| rows.parse().ok()).unwrap_or(0);
            self.enter(table.name, so_far, all, &mut entered).await?;
            self.enter_gone(table.name, &mut entered).await?;
        }
        Ok(entered)
    }

    async fn enter(&mut self, table: &str, mut so_far: u64, all: u64, entered: &mut Entered) -> Result<(), StoreError> {
        let what = format!("rows of {table}");
        let mut size = FIRST_BATCH;
        loop {
            let call =
                format!("SELECT concat_ws(' ', seen, is_done, held_ms) FROM ryzed.enter({}, {size})", literal(table));
            let answer = self.patiently_reading(&what, "", &call).await?;
            let batch = answer.first().and_then(|answer| BackfillBatch::read(answer));
            let Some(batch) = batch else {
                return Err(StoreError::Failed(format!("{what}: {answer:?} is no answer")));
            };
            so_far += batch.seen;
            entered.rows += batch.seen;
            entered.longest_hold_ms = entered.longest_hold_ms.max(batch.held_ms);
            self.watch.entered(table, so_far, all.max(so_far));
            if batch.is_done {
                return Ok(());
            }
            size = next_size(size, batch.held_ms);
        }
    }

    /// Rows that went while no trigger stood.
    async fn enter_gone(&mut self, table: &str, entered: &mut Entered) -> Result<(), StoreError> {
        let call = format!("SELECT ryzed.enter_gone({}, {})::text", literal(table), BATCHES.end());
        loop {
            let gone = self.patiently_reading("rows that are gone", "", &call).await?;
            match gone.first().and_then(|gone| gone.parse().ok()).unwrap_or(0) {
                0 => return Ok(()),
                gone => entered.gone += gone,
            }
        }
    }
}

struct BackfillBatch {
    seen: u64,
    is_done: bool,
    held_ms: f64,
}

impl BackfillBatch {
    fn read(answer: &str) -> Option<Self> {
        let mut parts = answer.split(' ');
        let seen = parts.next()?.parse().ok()?;
        let is_done = matches!(parts.next()?, "t" | "true");
        Some(Self { seen, is_done, held_ms: parts.next()?.parse().ok()? })
    }
}

/// As many rows as take the time wanted, by the last batch; at most twice as many, since a batch may have been lucky.
fn next_size(size: u64, held_ms: f64) -> u64 {
    let fitting = size as f64 * HOLD_MS / held_ms.max(0.1);
    (fitting.min(size as f64 * 2.0) as u64).clamp(*BATCHES.start(), *BATCHES.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_follow_the_time_that_they_took() {
        assert_eq!(next_size(1000, HOLD_MS), 1000);
        assert_eq!(next_size(1000, HOLD_MS * 2.0), 500);
        assert_eq!(next_size(1000, 0.0), 2000, "no more than twice");
        assert_eq!(next_size(150, 10_000.0), 100);
        assert_eq!(next_size(5_000, 1.0), 5_000);
    }

    #[test]
    fn an_answer_is_read() {
        let batch = BackfillBatch::read("200 t 3.25").unwrap();
        assert_eq!((batch.seen, batch.is_done), (200, true));
        assert!(BackfillBatch::read("200").is_none());
    }
}

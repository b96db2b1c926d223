//! From rows to the database, a bounded batch at a time: one thread reads the next while one is being written.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::sync::Arc;

use ryzed_adapters::{FieldError, Registry, Row, code};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;

use super::owner::Owner;
use super::source::Incoming;
use super::{FilePlace, Refusal, Rows, Summary, TransferError, Watch};
use crate::service::{Pushed, Service, ServiceError};
use crate::sync::raw::Uploads;
use crate::sync::wire::{ChangeResult, Status};

/// The bytes of rows, as the file has them, after which a batch is full.
const BATCH_BYTES: usize = 4 << 20;
/// Batches that wait while one is being written.
const BATCHES_AHEAD: usize = 1;
/// The number of times that a batch is tried while the database is busy.
const TRIES: u32 = 5;

/// Writes rows on behalf of an owner.
pub(super) struct Loader<'a> {
    service: &'a Service,
    owner: Owner,
    watch: &'a mut dyn Watch,
    summary: Summary,
    waiting: Waiting,
}

/// Rows that are pushed together.
#[derive(Default)]
struct ImportBatch {
    rows: Vec<Pending>,
    refused: Vec<Refusal>,
    bytes: usize,
}

/// A row that is ready to be pushed.
#[derive(Serialize, Deserialize)]
struct Pending {
    place: FilePlace,
    table: String,
    row: Row,
    size: usize,
    #[serde(default)]
    errors: Vec<FieldError>,
}

impl<'a> Loader<'a> {
    /// A loader that has nothing yet.
    pub(super) fn new(service: &'a Service, owner: Owner, watch: &'a mut dyn Watch) -> Self {
        Self { service, owner, watch, summary: Summary::default(), waiting: Waiting::default() }
    }

    /// Writes all of `rows`. One whose parent stands further down in the file is tried again at the end, as often as
    /// that helps any.
    pub(super) async fn load(mut self, rows: Rows) -> Result<Summary, TransferError> {
        self.pass(rows, true).await?;
        let mut before = u64::MAX;
        while self.waiting.count > 0 && self.waiting.count < before {
            before = self.waiting.count;
            let again = std::mem::take(&mut self.waiting).rows()?;
            self.pass(Box::new(again.map(|pending| Ok(pending?.again()))), false).await?;
        }
        for pending in std::mem::take(&mut self.waiting).rows()? {
            let Pending { place, errors, .. } = pending?;
            self.refuse(&Refusal { place, errors });
        }
        self.watch.moved(&self.summary);
        Ok(self.summary)
    }

    async fn pass(&mut self, rows: Rows, is_first: bool) -> Result<(), TransferError> {
        let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
        let (owner, registry) = (self.owner, Arc::clone(&self.service.registry));
        let most = self.service.limits.changes_per_request.max(1);
        let reading = tokio::task::spawn_blocking(move || {
            for batch in (Batches { rows, owner, registry, most }) {
                if sender.blocking_send(batch).is_err() {
                    break;
                }
            }
        });
        while let Some(batch) = receiver.recv().await {
            let batch = batch?;
            if is_first {
                self.summary.read += (batch.rows.len() + batch.refused.len()) as u64;
            }
            self.write(batch).await?;
            self.watch.moved(&self.summary);
        }
        reading.await.map_err(|error| TransferError::Content(format!("reading ended early: {error}")))
    }

    async fn write(&mut self, batch: ImportBatch) -> Result<(), TransferError> {
        for refusal in &batch.refused {
            self.refuse(refusal);
        }
        if batch.rows.is_empty() {
            return Ok(());
        }
        let scope = self.owner.scope();
        let before = self.service.heads(&[scope]).await?.first().map_or(0, |(_, version)| *version);
        let results = self.push(&batch.rows).await?;
        for (pending, result) in batch.rows.into_iter().zip(results) {
            if result.status != Status::Rejected {
                // A version that was there before says that the row needed no change.
                let is_new = result.version.is_none_or(|version| version > before);
                *(if is_new { &mut self.summary.written } else { &mut self.summary.unchanged }) += 1;
            } else if result.errors.iter().all(|error| error.code == code::INVALID_REFERENCE) {
                self.waiting.keep(&Pending { errors: result.errors, ..pending })?;
            } else {
                self.refuse(&Refusal { place: pending.place, errors: result.errors });
            }
        }
        Ok(())
    }

    /// Pushes, in halves where the rows are too much together.
    async fn push(&self, rows: &[Pending]) -> Result<Vec<ChangeResult>, TransferError> {
        let (mut results, mut halves) = (Vec::with_capacity(rows.len()), vec![rows]);
        while let Some(rows) = halves.pop() {
            match self.push_once(&uploads(rows)?).await {
                Err(ServiceError::Limit { .. }) if rows.len() > 1 => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    halves.extend([second, first]);
                }
                pushed => results.extend(pushed?.results),
            }
        }
        Ok(results)
    }

    /// Pushes, again while the database is busy: nothing is doubled by that.
    async fn push_once(&self, changes: &Uploads) -> Result<Pushed, ServiceError> {
        let caller = self.owner.caller();
        let mut tries = 1;
        loop {
            match self.service.push(&caller, None, changes.clone()).await {
                Err(ServiceError::Unavailable { retry_after }) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(retry_after).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.summary.refused += 1;
        self.watch.refused(refusal);
    }
}

fn uploads(rows: &[Pending]) -> Result<Uploads, TransferError> {
    let list = rows.iter().map(Pending::change).collect::<Result<Vec<_>, _>>();
    let list = list.map_err(|error| TransferError::Content(format!("a row is no JSON: {error}")))?;
    Ok(Uploads { count: list.len(), list, ..Uploads::default() })
}

impl Pending {
    /// The change that a device would send: the whole row, which wins over the stored one.
    fn change(&self) -> serde_json::Result<Box<RawValue>> {
        let change =
            json!({"table": self.table, "operation": "UPSERT", "data": self.row, "conflict_strategy": "client_wins"});
        to_raw_value(&change)
    }

    fn again(self) -> Incoming {
        Incoming { place: self.place, size: self.size, row: Ok((self.table, self.row)) }
    }
}

/// Rows in batches.
struct Batches {
    rows: Rows,
    owner: Owner,
    registry: Arc<Registry>,
    most: usize,
}

impl Batches {
    fn pending(&self, incoming: Incoming) -> Result<Pending, Refusal> {
        let Incoming { place, size, row } = incoming;
        let refuse = |errors| Refusal { place, errors };
        let (table, mut row) = row.map_err(refuse)?;
        let Some(known) = self.registry.get(&table) else {
            let error =
                FieldError::new("table", code::NOT_ALLOWED, "there is no such table; `ryzed tables` lists them");
            return Err(refuse(vec![error]));
        };
        self.owner.claim(&self.registry, known, &mut row).map_err(|error| refuse(vec![error]))?;
        Ok(Pending { place, table, row, size, errors: Vec::new() })
    }
}

impl Iterator for Batches {
    type Item = Result<ImportBatch, TransferError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = ImportBatch::default();
        while batch.rows.len() + batch.refused.len() < self.most && batch.bytes < BATCH_BYTES {
            let incoming = match self.rows.next() {
                Some(Ok(incoming)) => incoming,
                // What stands before the fault is written first; the reader tells of the fault only once.
                Some(Err(error)) if batch.rows.is_empty() && batch.refused.is_empty() => return Some(Err(error)),
                Some(Err(error)) => {
                    self.rows = Box::new(std::iter::once(Err(error)));
                    break;
                }
                None => break,
            };
            batch.bytes += incoming.size;
            match self.pending(incoming) {
                Ok(pending) => batch.rows.push(pending),
                Err(refusal) => batch.refused.push(refusal),
            }
        }
        (!batch.rows.is_empty() || !batch.refused.is_empty()).then_some(Ok(batch))
    }
}

/// Rows that wait for their parents, in a temporary file: there may be as many as the import has.
#[derive(Default)]
struct Waiting {
    count: u64,
    file: Option<BufWriter<File>>,
}

impl Waiting {
    fn keep(&mut self, pending: &Pending) -> Result<(), TransferError> {
        if self.file.is_none() {
            self.file = Some(BufWriter::new(tempfile::tempfile().map_err(spool)?));
        }
        if let Some(file) = &mut self.file {
            serde_json::to_writer(&mut *file, pending).map_err(|error| spool(error.into()))?;
            file.write_all(b"\n").map_err(spool)?;
            self.count += 1;
        }
        Ok(())
    }

    fn rows(self) -> Result<impl Iterator<Item = Result<Pending, TransferError>> + Send + 'static, TransferError> {
        let file = match self.file {
            None => None,
            Some(file) => {
                let mut file = file.into_inner().map_err(|error| spool(error.into_error()))?;
                file.rewind().map_err(spool)?;
                Some(file)
            }
        };
        let lines = file.into_iter().flat_map(|file| BufReader::new(file).lines());
        Ok(lines.map(|line| serde_json::from_str(&line.map_err(spool)?).map_err(|error| spool(error.into()))))
    }
}

fn spool(source: std::io::Error) -> TransferError {
    TransferError::File { path: std::env::temp_dir(), error: source }
}

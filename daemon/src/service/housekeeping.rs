//! What is forgotten when its time is over: tombstones, receipts, devices that never came back.

use ryzed_adapters::format_time;

use super::{Service, ServiceError};
use crate::store::Access;

/// Entries that are forgotten in one transaction, so that nobody waits for it.
const BATCH: i64 = 200;

/// How much was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Tombstones; the floors of their scopes were raised.
    pub tombstones: usize,
    /// Results of mutations.
    pub receipts: usize,
    /// Devices.
    pub devices: usize,
}

impl Service {
    /// Forgets what is older than the time that things are kept for, in small batches.
    ///
    /// # Errors
    /// Those of the database; what was forgotten until then stays forgotten.
    pub async fn collect(&self) -> Result<Forgotten, ServiceError> {
        let before = format_time(self.clock.now() - self.keep);
        let mut all = Forgotten::default();
        loop {
            let before = before.clone();
            let batch = self
                .store
                .write(Access::Daemon, move |tx| {
                    let before = before.clone();
                    Box::pin(async move {
                        Ok::<_, ServiceError>(Forgotten {
                            tombstones: tx.prune_tombstones(&before, BATCH).await?,
                            receipts: tx.prune_receipts(&before, BATCH).await?,
                            devices: tx.prune_devices(&before, BATCH).await?,
                        })
                    })
                })
                .await?;
            all.tombstones += batch.tombstones;
            all.receipts += batch.receipts;
            all.devices += batch.devices;
            let full = [batch.tombstones, batch.receipts, batch.devices].iter().any(|count| *count as i64 == BATCH);
            if !full {
                return Ok(all);
            }
        }
    }
}

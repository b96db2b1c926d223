//! Everything that a person owns, as NDJSON, a page at a time.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{Service, ServiceError};
use crate::auth::Caller;
use crate::budget::{Held, Kind, Turn};
use crate::store::Access;
use crate::sync::{Scope, UserId, Version};

/// Rows that are read at once.
const PAGE: i64 = 500;

impl Service {
    /// Everything in `scope`: lines of `{"table":…,"row":{…}}`, parents before their children where both are as they were
    /// made. Each page is a snapshot; a row that changes meanwhile comes again, with its new version. Each page of a person's
    /// takes a turn of theirs, and is held in their share of memory.
    ///
    /// # Errors
    /// As the stream's last item: when a page can't be read. [`ServiceError::Busy`] comes first or not at all: what has begun
    /// waits for as long as it takes.
    pub fn export(self: &Arc<Self>, scope: Scope) -> BoxStream<'static, Result<Bytes, ServiceError>> {
        self.export_as(scope, scope.into())
    }

    /// Everything that the caller owns, in the same form, for as long as the caller is not refused.
    ///
    /// # Errors
    /// As the stream's last item: when a page can't be read.
    pub fn export_own(self: &Arc<Self>, caller: &Caller) -> BoxStream<'static, Result<Bytes, ServiceError>> {
        self.export_as(Scope::User(caller.user), caller.into())
    }

    fn export_as(self: &Arc<Self>, scope: Scope, access: Access) -> BoxStream<'static, Result<Bytes, ServiceError>> {
        let service = Arc::clone(self);
        stream::try_unfold((service, access, 0), move |(service, access, after)| async move {
            let page = match scope {
                Scope::User(user) => service.export_in_turn(user, access.clone(), after).await?,
                Scope::Global => {
                    let page = service.export_page(scope, access.clone(), after).await?;
                    page.map(|(lines, at)| (lines.into(), at))
                }
            };
            Ok(page.map(|(lines, reached)| (lines, (service, access, reached))))
        })
        .boxed()
    }

    async fn export_in_turn(
        &self,
        user: UserId,
        access: Access,
        after: Version,
    ) -> Result<Option<(Bytes, Version)>, ServiceError> {
        let has_begun = after > 0;
        let mut turn: Turn = patiently(has_begun, || self.budget.turn(user, Kind::LongRead)).await?;
        let page = self.export_page(Scope::User(user), access, after).await?;
        turn.has_read();
        let Some((lines, reached)) = page else { return Ok(None) };
        let memory: Held = patiently(has_begun, || self.budget.answer(user, lines.len())).await?;
        Ok(Some((memory.keep(lines.into_bytes()), reached)))
    }

    async fn export_page(
        &self,
        scope: Scope,
        access: Access,
        after: Version,
    ) -> Result<Option<(String, Version)>, ServiceError> {
        let page = self
            .store
            .read(access, move |tx| {
                Box::pin(async move {
                    // What is not whole is no export.
                    if let Some(table) = tx.stopped().names().next() {
                        return Err(ServiceError::Stopped(table));
                    }
                    Ok(tx.records(scope, after, PAGE).await?)
                })
            })
            .await?;
        if page.reached <= after {
            return Ok(None);
        }
        let mut lines = String::new();
        for record in &page.records {
            if let Some(row) = &record.row {
                lines += &format!("{{\"table\":\"{}\",\"row\":{}}}\n", record.table, row.get());
            }
        }
        Ok(Some((lines, page.reached)))
    }
}

/// Asks the budget, and again after each refusal once the export has begun and can't be refused any more.
async fn patiently<T, F>(has_begun: bool, ask: impl Fn() -> F) -> Result<T, ServiceError>
where
    F: Future<Output = Result<T, crate::budget::Refused>>,
{
    loop {
        match ask().await {
            Err(_) if has_begun => {}
            outcome => return Ok(outcome?),
        }
    }
}

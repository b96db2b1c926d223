//! Everything that a person owns, as NDJSON, a page at a time.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{Service, ServiceError};
use crate::auth::Caller;
use crate::store::Access;
use crate::sync::{Scope, Version};

/// Rows that are read at once.
const PAGE: i64 = 500;

impl Service {
    /// Everything in `scope`: lines of `{"table":…,"row":{…}}`, parents before their children where both are as they were
    /// made. Each page is a snapshot; a row that changes meanwhile comes again, with its new version.
    ///
    /// # Errors
    /// As the stream's last item: when a page can't be read.
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
            let Some((lines, reached)) = service.export_page(scope, access.clone(), after).await? else {
                return Ok(None);
            };
            Ok(Some((lines, (service, access, reached))))
        })
        .boxed()
    }

    async fn export_page(
        &self,
        scope: Scope,
        access: Access,
        after: Version,
    ) -> Result<Option<(Bytes, Version)>, ServiceError> {
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
        Ok(Some((lines.into(), page.reached)))
    }
}

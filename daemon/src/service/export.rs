//! Everything that a person owns, as NDJSON, a page at a time.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{Service, ServiceError};
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
        let service = Arc::clone(self);
        stream::try_unfold((service, 0), move |(service, after)| async move {
            let Some((lines, reached)) = service.export_page(scope, after).await? else { return Ok(None) };
            Ok(Some((lines, (service, reached))))
        })
        .boxed()
    }

    async fn export_page(&self, scope: Scope, after: Version) -> Result<Option<(Bytes, Version)>, ServiceError> {
        let page = self
            .store
            .read(scope, move |tx| {
                Box::pin(async move { Ok::<_, ServiceError>(tx.records(scope, after, PAGE).await?) })
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

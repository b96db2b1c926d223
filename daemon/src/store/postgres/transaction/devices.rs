//! Devices of people.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::reads;
use super::super::session::PostgresTransaction;
use crate::store::decode::{DeviceColumns, device_of};
use crate::store::statement::statement;
use crate::store::{DeviceOperations, DeviceRow, StoreError};
use crate::sync::{DeviceId, UserId};

#[async_trait]
impl DeviceOperations for PostgresTransaction<'_> {
    async fn devices(&mut self, user: UserId) -> Result<Vec<DeviceRow>, StoreError> {
        let schema = Arc::clone(self.schema);
        let rows = self.load(statement::<DeviceColumns>(&schema.devices).text(user.to_string())).await?;
        Ok(rows.into_iter().filter_map(device_of).collect())
    }

    async fn device(&mut self, user: UserId, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        let schema = Arc::clone(self.schema);
        let rows = self.load(reads::device(&schema, user, device)).await?;
        Ok(rows.into_iter().find_map(device_of))
    }

    async fn keep_device(&mut self, user: UserId, device: &DeviceRow) -> Result<(), StoreError> {
        self.pipeline(
            statement(
                "INSERT INTO ryzed.devices (user_id, device_id, device_type, app_version, name, first_seen, last_seen, \
                 last_sync, pending_uploads, cursor, revoked_at) VALUES (?1::uuid, ?2, ?3, ?4, ?5, ?6::timestamptz, \
                 ?7::timestamptz, ?8::timestamptz, ?9, ?10::jsonb, ?11::timestamptz) ON CONFLICT (user_id, device_id) \
                 DO UPDATE SET device_type = excluded.device_type, app_version = excluded.app_version, name = excluded.name, \
                 first_seen = excluded.first_seen, last_seen = excluded.last_seen, last_sync = excluded.last_sync, \
                 pending_uploads = excluded.pending_uploads, cursor = excluded.cursor, revoked_at = excluded.revoked_at",
            )
            .text(user.to_string())
            .text(device.id.as_str())
            .maybe(device.device_type.as_deref())
            .maybe(device.app_version.as_deref())
            .maybe(device.name.as_deref())
            .text(&device.first_seen)
            .text(&device.last_seen)
            .maybe(device.last_sync.as_deref())
            .int(device.pending_uploads)
            .maybe(device.cursor.as_deref())
            .maybe(device.revoked_at.as_deref()),
        )
        .await
    }

    async fn count_devices(&mut self, user: Option<UserId>) -> Result<i64, StoreError> {
        match user {
            Some(user) => {
                let of = "SELECT count(*) FROM ryzed.devices WHERE user_id = ?1::uuid AND revoked_at IS NULL";
                self.number(statement(of).text(user.to_string())).await
            }
            None => {
                let kept = "SELECT coalesce(sum(count), 0)::bigint FROM ryzed.counts WHERE kind = 'devices'";
                self.number(statement(kept)).await
            }
        }
    }

    async fn see_devices(&mut self, seen: &[(UserId, DeviceId)], now: &str, before: &str) -> Result<(), StoreError> {
        let see = "UPDATE ryzed.devices d SET last_seen = ?2::timestamptz FROM json_array_elements(?1::json) s \
                   WHERE d.user_id = (s->>0)::uuid AND d.device_id = s->>1 AND d.last_seen < ?3::timestamptz";
        self.run(statement(see).text(serde_json::json!(seen).to_string()).text(now).text(before)).await.map(|_| ())
    }
}

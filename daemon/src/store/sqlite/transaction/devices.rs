//! Devices of people.

use async_trait::async_trait;

use super::super::reads::{self};
use super::SqliteTransaction;
use crate::store::decode::device_of;
use crate::store::statement::statement;
use crate::store::{DeviceOperations, DeviceRow, StoreError};
use crate::sync::{DeviceId, UserId};

#[async_trait]
impl DeviceOperations for SqliteTransaction<'_> {
    async fn devices(&mut self, user: UserId) -> Result<Vec<DeviceRow>, StoreError> {
        Ok(self.load(reads::devices(user, None))?.into_iter().filter_map(device_of).collect())
    }

    async fn device(&mut self, user: UserId, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        Ok(self.load(reads::devices(user, Some(device)))?.into_iter().find_map(device_of))
    }

    async fn keep_device(&mut self, user: UserId, device: &DeviceRow) -> Result<(), StoreError> {
        let user = user.to_string();
        self.run(
            statement(
                "INSERT INTO sync_devices (user_id, device_id, device_type, app_version, name, first_seen, last_seen, \
                 last_sync, pending_uploads, cursor, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
                 ON CONFLICT (user_id, device_id) DO UPDATE SET device_type = excluded.device_type, \
                 app_version = excluded.app_version, name = excluded.name, first_seen = excluded.first_seen, \
                 last_seen = excluded.last_seen, last_sync = excluded.last_sync, \
                 pending_uploads = excluded.pending_uploads, cursor = excluded.cursor, revoked_at = excluded.revoked_at",
            )
            .text(&user)
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
        )?;
        Ok(())
    }

    async fn count_devices(&mut self, user: Option<UserId>) -> Result<i64, StoreError> {
        self.number(reads::count_devices(user.map(|user| user.to_string()).as_deref()))
    }

    async fn see_devices(&mut self, seen: &[(UserId, DeviceId)], now: &str, before: &str) -> Result<(), StoreError> {
        let see = "UPDATE sync_devices SET last_seen = ?2 WHERE last_seen < ?3 AND (user_id, device_id) IN \
                   (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?1))";
        self.run(statement(see).text(serde_json::json!(seen).to_string()).text(now).text(before)).map(|_| ())
    }
}

//! Devices of people.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::reads::{self, json};
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
        self.write_devices([(user, device)].into_iter())
    }

    async fn count_devices(&mut self, user: Option<UserId>) -> Result<i64, StoreError> {
        self.number(reads::count_devices(user.map(|user| user.to_string()).as_deref()))
    }

    async fn see_devices(&mut self, seen: &[(UserId, DeviceId)], now: &str, before: &str) -> Result<(), StoreError> {
        let see = "UPDATE sync_devices SET last_seen = ?2 WHERE last_seen < ?3 AND (user_id, device_id) IN \
                   (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?1))";
        self.run(statement(see).text(json!(seen).to_string()).text(now).text(before)).map(|_| ())
    }
}

impl SqliteTransaction<'_> {
    /// Writes devices of people, new or not.
    pub(super) fn write_devices<'d>(
        &mut self,
        devices: impl Iterator<Item = (UserId, &'d DeviceRow)>,
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = devices.map(|(user, device)| columns(user, device)).collect();
        self.run(
            statement(
                "INSERT INTO sync_devices (user_id, device_id, device_type, app_version, name, first_seen, last_seen, \
                 last_sync, pending_uploads, cursor, revoked_at) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, \
                 value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10 \
                 FROM json_each(?1) WHERE TRUE \
                 ON CONFLICT (user_id, device_id) DO UPDATE SET device_type = excluded.device_type, \
                 app_version = excluded.app_version, name = excluded.name, first_seen = excluded.first_seen, \
                 last_seen = excluded.last_seen, last_sync = excluded.last_sync, \
                 pending_uploads = excluded.pending_uploads, cursor = excluded.cursor, revoked_at = excluded.revoked_at",
            )
            .text(json(&rows)),
        )
        .map(|_| ())
    }
}

/// A device's columns as JSON, behind the person's id.
fn columns(user: UserId, device: &DeviceRow) -> Value {
    json!([
        user,
        device.id,
        device.device_type,
        device.app_version,
        device.name,
        device.first_seen,
        device.last_seen,
        device.last_sync,
        device.pending_uploads,
        device.cursor,
        device.revoked_at,
    ])
}

//! Devices: who has called, from where on, and who may not come back.

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, code, format_time};

use super::{DeviceInfo, DeviceSeen, Service, ServiceError, SyncStatus};
use crate::auth::Caller;
use crate::budget::Kind;
use crate::store::{Access, DeviceRow, StoreError, Transaction};
use crate::sync::{Cursor, DeviceId, Scope, UserId};

/// The length limit of a device's name, in characters.
const LONGEST_NAME: usize = 100;
/// The limit up to which pending changes for a device are counted in each scope.
const MOST_COUNTED: i64 = 100_000;
/// The kinds of device that there are.
const DEVICE_TYPES: [&str; 4] = ["mobile", "web", "desktop", "watch"];

impl Service {
    /// Makes the caller's `users` row unless it is there, without a device.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn create_user(&self, caller: &Caller) -> Result<(), ServiceError> {
        let (access, caller, now) = (Access::from(caller), caller.clone(), format_time(self.clock.now()));
        let _turn = self.budget.turn(caller.user, Kind::Write).await?;
        self.store
            .write(access, move |tx| {
                let (caller, now) = (caller.clone(), now.clone());
                Box::pin(async move {
                    Ok::<_, ServiceError>(tx.ensure_user(caller.user, caller.email.as_deref(), &now).await?)
                })
            })
            .await
    }

    /// Registers a device that calls, and makes the caller's `users` row on first contact.
    ///
    /// # Errors
    /// [`ServiceError::Limit`] when it may not call, and those of [`admit`](Self::admit).
    pub async fn seen(&self, caller: &Caller, seen: DeviceSeen) -> Result<(), ServiceError> {
        check_seen(&seen)?;
        let _turn = self.budget.turn(caller.user, Kind::Write).await?;
        let access = Access::of(caller, Some(&seen.device));
        let (now, most) = (format_time(self.clock.now()), self.limits.devices_per_user);
        let (who, device, coming) = (caller.clone(), seen.device.clone(), self.coming(caller, &seen.device));
        self.store
            .write(access, move |tx| {
                let (who, now, seen, coming) = (who.clone(), now.clone(), seen.clone(), coming.clone());
                Box::pin(async move {
                    tx.ensure_user(who.user, who.email.as_deref(), &now).await?;
                    register(tx, &who, &seen, &now, most, false).await?;
                    Ok::<_, ServiceError>(coming.keep(tx, &now).await?)
                })
            })
            .await?;
        self.noted.note(caller, &device);
        Ok(())
    }

    /// The caller's devices.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn devices(&self, caller: &Caller) -> Result<Vec<DeviceInfo>, ServiceError> {
        let user = caller.user;
        let rows: Vec<DeviceRow> = self
            .store
            .read(caller, move |tx| Box::pin(async move { Ok::<_, ServiceError>(tx.devices(user).await?) }))
            .await?;
        Ok(rows.into_iter().map(info).collect())
    }

    /// Gives a device another name (`Some(None)` takes it away), and lets a revoked one come back. What it came with before
    /// stays refused.
    ///
    /// # Errors
    /// When there is no such device or the name is too long, or when a device is to come back by a token that is older than
    /// its revocation.
    pub async fn patch_device(
        &self,
        caller: &Caller,
        device: &DeviceId,
        name: Option<Option<String>>,
        allow: bool,
    ) -> Result<DeviceInfo, ServiceError> {
        if let Some(Some(name)) = &name {
            check_name("name", name)?;
        }
        let (user, device) = (caller.user, device.clone());
        let issued_at = caller.token.as_ref().map(|token| token.issued_at);
        self.store
            .write(caller, move |tx| {
                let (device, name) = (device.clone(), name.clone());
                Box::pin(async move {
                    let mut row = tx.device(user, &device).await?.ok_or(ServiceError::NotFound("device"))?;
                    if let Some(name) = name {
                        row.name = name;
                    }
                    let revoked_at = if allow { row.revoked_at.take() } else { None };
                    if let Some(revoked_at) = &revoked_at
                        && issued_at.is_some_and(|issued_at| !is_later(issued_at, revoked_at))
                    {
                        return Err(ServiceError::TokenTooOld);
                    }
                    tx.keep_device(user, &row).await?;
                    if let Some(revoked_at) = revoked_at {
                        tx.bar(user, &device, &revoked_at).await?;
                    }
                    Ok::<_, ServiceError>(info(row))
                })
            })
            .await
    }

    /// Keeps a device from coming back under its id, and whatever it came with from opening anything. Whoever calls this
    /// closes the sockets.
    ///
    /// # Errors
    /// When there is no such device.
    pub async fn revoke_device(&self, caller: &Caller, device: &DeviceId) -> Result<(), ServiceError> {
        let (user, device, now) = (caller.user, device.clone(), format_time(self.clock.now()));
        self.store
            .write(caller, move |tx| {
                let (device, now) = (device.clone(), now.clone());
                Box::pin(async move {
                    let row = tx.device(user, &device).await?.ok_or(ServiceError::NotFound("device"))?;
                    tx.keep_device(user, &DeviceRow { revoked_at: Some(now.clone()), ..row }).await?;
                    Ok::<_, ServiceError>(tx.bar(user, &device, &now).await?)
                })
            })
            .await
    }

    /// True if a device is revoked in the database.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn is_revoked(&self, user: UserId, device: &DeviceId) -> Result<bool, ServiceError> {
        let device = device.clone();
        self.store
            .read(Access::Daemon, move |tx| {
                let device = device.clone();
                Box::pin(async move {
                    let row = tx.device(user, &device).await?;
                    Ok::<_, ServiceError>(row.is_some_and(|row| row.revoked_at.is_some()))
                })
            })
            .await
    }

    /// Reads the database's part of `/sync-status`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn sync_status(&self, caller: &Caller, device: &DeviceId) -> Result<SyncStatus, ServiceError> {
        let (user, device) = (caller.user, device.clone());
        let _turn = self.budget.turn(caller.user, Kind::Read).await?;
        let _turn = self.budget.turn(caller.user, Kind::LongRead).await?;
        self.store
            .read(caller, move |tx| {
                let device = device.clone();
                Box::pin(async move {
                    let row = tx.device(user, &device).await?;
                    let last_sync = row.as_ref().and_then(|row| row.last_sync.clone());
                    let info = row.map(info);
                    let cursor = info.as_ref().and_then(|info| info.cursor.clone()).unwrap_or_default();
                    let mut pending_downloads = 0;
                    for scope in [Scope::Global, Scope::User(user)] {
                        pending_downloads += tx.count_after(scope, cursor.at(scope), MOST_COUNTED).await?;
                    }
                    Ok::<_, ServiceError>(SyncStatus { device: info, last_sync, pending_downloads })
                })
            })
            .await
    }

    /// Counts all registered devices.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn total_devices(&self) -> Result<i64, ServiceError> {
        self.store
            .read(Access::Daemon, |tx| Box::pin(async move { Ok::<_, ServiceError>(tx.count_devices(None).await?) }))
            .await
    }
}

/// True if a token was issued after a device was revoked. Tokens tell whole seconds: one of the same second may be
/// older.
fn is_later(issued_at: Option<DateTime<Utc>>, revoked_at: &str) -> bool {
    let revoked_at = DateTime::parse_from_rfc3339(revoked_at).ok();
    issued_at.zip(revoked_at).is_some_and(|(issued, revoked)| issued.timestamp() > revoked.timestamp())
}

/// Refuses what a device says of itself when it makes no sense.
pub(super) fn check_seen(seen: &DeviceSeen) -> Result<(), ServiceError> {
    if let Some(name) = &seen.name {
        check_name("device_name", name)?;
    }
    if let Some(version) = &seen.app_version {
        check_name("app_version", version)?;
    }
    match seen.device_type.as_deref() {
        None => Ok(()),
        Some(kind) if DEVICE_TYPES.contains(&kind) => Ok(()),
        Some(_) => {
            let message = format!("must be one of {}", DEVICE_TYPES.join(", "));
            Err(ServiceError::field("device_type", code::NOT_ALLOWED, message))
        }
    }
}

/// Notes in the running transaction that a device has called; `synced` when it came to sync. That it is not revoked was
/// looked at when the transaction began.
pub(super) async fn register(
    tx: &mut dyn Transaction,
    caller: &Caller,
    seen: &DeviceSeen,
    now: &str,
    most: usize,
    synced: bool,
) -> Result<(), ServiceError> {
    let known = tx.device(caller.user, &seen.device).await?;
    let is_full =
        known.is_none() && tx.count_devices(Some(caller.user)).await? >= i64::try_from(most).unwrap_or(i64::MAX);
    // An app whose storage fails is another device at each start; what came once makes room for what stays.
    if is_full && tx.forget_passing_device(caller.user, now).await? == 0 {
        let detail = format!("a person may have {most} devices; revoke one of GET /api/realtime/devices first");
        return Err(ServiceError::Limit { limit: "devices_per_user", detail });
    }
    let mut row = known.unwrap_or_else(|| fresh(seen.device.clone(), now));
    update(&mut row, seen, now, synced)?;
    tx.keep_device(caller.user, &row).await?;
    Ok(())
}

fn update(row: &mut DeviceRow, seen: &DeviceSeen, now: &str, synced: bool) -> Result<(), StoreError> {
    let replace = |old: &mut Option<String>, new: &Option<String>| {
        if new.is_some() {
            old.clone_from(new);
        }
    };
    replace(&mut row.device_type, &seen.device_type);
    replace(&mut row.app_version, &seen.app_version);
    replace(&mut row.name, &seen.name);
    row.last_seen = now.to_owned();
    if synced {
        row.last_sync = Some(now.to_owned());
    }
    if let Some(pending) = seen.pending_uploads {
        row.pending_uploads = i64::from(pending);
    }
    if let Some(cursor) = &seen.cursor {
        row.cursor = Some(serde_json::to_string(cursor).map_err(|error| StoreError::Failed(error.to_string()))?);
    }
    Ok(())
}

fn fresh(id: DeviceId, now: &str) -> DeviceRow {
    DeviceRow {
        id,
        device_type: None,
        app_version: None,
        name: None,
        first_seen: now.to_owned(),
        last_seen: now.to_owned(),
        last_sync: None,
        pending_uploads: 0,
        cursor: None,
        revoked_at: None,
    }
}

fn info(row: DeviceRow) -> DeviceInfo {
    DeviceInfo {
        device_id: row.id,
        device_type: row.device_type,
        app_version: row.app_version,
        last_seen: row.last_seen,
        name: row.name,
        pending_uploads: u32::try_from(row.pending_uploads).unwrap_or(u32::MAX),
        cursor: row.cursor.and_then(|json| serde_json::from_str::<Cursor>(&json).ok()),
        is_revoked: row.revoked_at.is_some(),
    }
}

fn check_name(field: &str, name: &str) -> Result<(), ServiceError> {
    if name.chars().count() > LONGEST_NAME || name.contains('\0') {
        let message = format!("must be at most {LONGEST_NAME} characters without U+0000");
        return Err(ServiceError::Invalid(vec![FieldError::new(field, code::LENGTH, message)]));
    }
    Ok(())
}

//! Devices of people.

use async_trait::async_trait;

use crate::store::{DeviceRow, StoreError};
use crate::sync::{DeviceId, UserId};

/// The operations on devices.
#[async_trait]
pub trait DeviceOperations: Send {
    /// The person's devices.
    async fn devices(&mut self, user: UserId) -> Result<Vec<DeviceRow>, StoreError>;
    /// One device.
    async fn device(&mut self, user: UserId, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError>;
    /// Writes one device, new or not.
    async fn keep_device(&mut self, user: UserId, device: &DeviceRow) -> Result<(), StoreError>;
    /// Notes that devices were seen `now`, those of them that were last seen before `before`.
    async fn see_devices(&mut self, seen: &[(UserId, DeviceId)], now: &str, before: &str) -> Result<(), StoreError>;
    /// The number of the person's devices that are not revoked.
    async fn count_devices(&mut self, user: Option<UserId>) -> Result<i64, StoreError>;
}

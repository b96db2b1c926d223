//! The operations on devices and their tokens, of which those are shared that a device asks for when it connects.

use async_trait::async_trait;

use super::call::{Answer, Call, KeptUses};
use super::member::{Member, answer};
use crate::store::tokens::{Tokens, Use};
use crate::store::{DeviceOperations, DeviceRow, StoreError};
use crate::sync::token::{Presented, Refusal};
use crate::sync::{DeviceId, UserId};

#[async_trait]
impl DeviceOperations for Member {
    async fn devices(&mut self, _user: UserId) -> Result<Vec<DeviceRow>, StoreError> {
        self.leave()
    }

    async fn device(&mut self, user: UserId, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        answer!(self.ask(Call::Device { user, device: device.clone() }).await?, Device)
    }

    async fn keep_device(&mut self, user: UserId, device: &DeviceRow) -> Result<(), StoreError> {
        self.ask(Call::KeepDevice { user, device: device.clone() }).await.map(|_| ())
    }

    async fn see_devices(&mut self, _seen: &[(UserId, DeviceId)], _now: &str, _before: &str) -> Result<(), StoreError> {
        self.leave()
    }

    async fn count_devices(&mut self, user: Option<UserId>) -> Result<i64, StoreError> {
        let Some(user) = user else { return self.leave() };
        answer!(self.ask(Call::CountDevices(user)).await?, Count)
    }
}

#[async_trait]
impl Tokens for Member {
    async fn keep_uses(
        &mut self,
        user: UserId,
        device: &DeviceId,
        uses: &[Use],
        now: &str,
        most: i64,
    ) -> Result<(), StoreError> {
        let kept = KeptUses { user, device: device.clone(), uses: uses.to_vec(), now: now.into(), most };
        self.ask(Call::KeepUses(kept)).await.map(|_| ())
    }

    async fn bar(&mut self, _user: UserId, _device: &DeviceId, _at: &str) -> Result<(), StoreError> {
        self.leave()
    }

    async fn refused(&mut self, _presented: &[Presented]) -> Result<Vec<(usize, Refusal)>, StoreError> {
        self.leave()
    }

    async fn prune_uses(&mut self, _before: &str, _limit: i64) -> Result<usize, StoreError> {
        self.leave()
    }
}

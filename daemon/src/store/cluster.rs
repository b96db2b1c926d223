//! The instances that work on a shared database and the devices that are connected to each: what such a database offers
//! besides [`super::Transaction`].

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::sync::presence::{
    Arrival, ClusterView, Compared, DevicePlace, Differs, Entered, Gone, Lease, Other, Renewed,
};
use crate::sync::{DeviceId, UserId};

/// The registry of instances and their devices, in the database. Times are the database's. Arguments are owned, so that
/// a transaction that is run again can be given them again.
#[async_trait]
pub trait Presence: Send {
    /// Says that an instance is alive, for `seconds` from now.
    async fn renew(&mut self, lease: Lease) -> Result<Renewed, StoreError>;
    /// The other instances that are alive.
    async fn others(&mut self, me: Uuid) -> Result<Vec<Other>, StoreError>;
    /// Forgets instances whose lease has ended, with their devices, which are returned; but nothing that somebody else has
    /// locked, which the next sweep finds.
    async fn sweep(&mut self) -> Result<Vec<Gone>, StoreError>;
    /// Finds out about the others, and forgets those that are no longer alive.
    async fn look_around(&mut self, me: Uuid) -> Result<ClusterView, StoreError> {
        let gone = self.sweep().await?;
        Ok(ClusterView { others: self.others(me).await?, gone })
    }
    /// Forgets an instance and its devices.
    async fn retire(&mut self, me: Uuid) -> Result<(), StoreError>;

    /// Registers devices that have connected to `me`; returns where they were before. Each at most once.
    async fn enter(&mut self, me: Uuid, arrivals: Vec<Arrival>) -> Result<Vec<Entered>, StoreError>;
    /// Removes devices that have left `me`; returns those that are connected nowhere else. Each at most once.
    async fn leave(&mut self, me: Uuid, gone: Vec<DevicePlace>) -> Result<Vec<DevicePlace>, StoreError>;
    /// Compares the devices that `me` holds with the registry. Forgets those of `me` that it does not hold.
    async fn compare(&mut self, me: Uuid, held: Vec<DevicePlace>) -> Result<Compared, StoreError>;
    /// The devices of `held` about which the registry differs. Changes nothing.
    async fn differing(&mut self, me: Uuid, held: Vec<DevicePlace>) -> Result<Vec<(DevicePlace, Differs)>, StoreError>;

    /// The person's devices that are connected anywhere but at `me`.
    async fn on_other_instances(&mut self, me: Uuid, user: UserId) -> Result<Vec<DeviceId>, StoreError>;
    /// The number of devices that are connected anywhere but at `me`.
    async fn count_on_other_instances(&mut self, me: Uuid) -> Result<i64, StoreError>;
    /// The people with devices that are connected anywhere but at `me`, and how many.
    async fn users_elsewhere(&mut self, me: Uuid) -> Result<Vec<(UserId, i64)>, StoreError>;

    /// Gives notice to all instances, once the transaction is committed; each message has at most
    /// [`LARGEST_NOTICE`](crate::sync::presence::LARGEST_NOTICE) bytes.
    async fn notify(&mut self, messages: Vec<String>) -> Result<(), StoreError>;
}

/// The key with which instances seal their messages to each other. Only the owner of the database reads it there.
#[derive(Clone)]
pub struct BridgeKey(pub Vec<u8>);

impl std::fmt::Debug for BridgeKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("BridgeKey")
    }
}

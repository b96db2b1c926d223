//! The instances that work on a shared database and the devices that are connected to each: what such a database offers
//! besides [`super::Transaction`].

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::sync::{DeviceId, UserId};

/// The registry of instances and their devices, in the database. Times are the database's.
#[async_trait]
pub trait Presence: Send {
    /// Says that an instance is alive, for `seconds` from now.
    async fn renew(&mut self, lease: &Lease) -> Result<Renewed, StoreError>;
    /// The other instances that are alive.
    async fn others(&mut self, me: Uuid) -> Result<Vec<Other>, StoreError>;
    /// Forgets instances whose lease has ended, with their devices, which are returned; but nothing that somebody else has
    /// locked, which the next sweep finds.
    async fn sweep(&mut self) -> Result<Vec<Gone>, StoreError>;
    /// Forgets an instance and its devices.
    async fn retire(&mut self, me: Uuid) -> Result<(), StoreError>;

    /// Registers devices that have connected to `me`; returns where they were before. Each at most once.
    async fn enter(&mut self, me: Uuid, arrivals: &[Arrival]) -> Result<Vec<Entered>, StoreError>;
    /// Removes devices that have left `me`; returns those that are connected nowhere else. Each at most once.
    async fn leave(&mut self, me: Uuid, gone: &[DevicePlace]) -> Result<Vec<DevicePlace>, StoreError>;
    /// Compares the devices that `me` holds with the registry. Forgets those of `me` that it does not hold.
    async fn compare(&mut self, me: Uuid, held: &[DevicePlace]) -> Result<Compared, StoreError>;
    /// The devices of `held` about which the registry differs. Changes nothing.
    async fn differing(&mut self, me: Uuid, held: &[DevicePlace]) -> Result<Vec<(DevicePlace, Differs)>, StoreError>;

    /// The person's devices that are connected anywhere but at `me`.
    async fn on_other_instances(&mut self, me: Uuid, user: UserId) -> Result<Vec<DeviceId>, StoreError>;
    /// The number of devices that are connected anywhere but at `me`.
    async fn count_on_other_instances(&mut self, me: Uuid) -> Result<i64, StoreError>;
    /// The people with devices that are connected anywhere but at `me`, and how many.
    async fn users_elsewhere(&mut self, me: Uuid) -> Result<Vec<(UserId, i64)>, StoreError>;

    /// Gives notice to all instances, once the transaction is committed; each message has at most [`LARGEST_NOTICE`] bytes.
    async fn notify(&mut self, messages: &[String]) -> Result<(), StoreError>;
}

/// The largest message that a notice can hold, in bytes.
pub const LARGEST_NOTICE: usize = 7900;

/// The key with which instances seal their messages to each other. Only the owner of the database reads it there.
#[derive(Clone)]
pub struct BridgeKey(pub Vec<u8>);

impl std::fmt::Debug for BridgeKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("BridgeKey")
    }
}

/// An instance, as it describes itself.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The instance's id.
    pub me: Uuid,
    /// The name that people see.
    pub name: String,
    /// The time from now for which the lease lasts, in seconds.
    pub seconds: u64,
    /// True if messages over Redis reach the instance.
    pub hears_redis: bool,
}

/// The result of renewing a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// The instance was not known, or its lease had ended: then its devices may have been forgotten.
    pub is_new: bool,
    /// The database's time, in microseconds since 1970.
    pub now: i64,
}

/// Another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// The instance's id.
    pub id: Uuid,
    /// True if messages over Redis reach the instance.
    pub hears_redis: bool,
    /// True if the instance seals its messages and reads sealed ones; one of an older release does not.
    pub seals: bool,
}

/// One socket of a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DevicePlace {
    /// The device's owner.
    pub user: UserId,
    /// The device's id.
    pub device: DeviceId,
    /// The number of the socket, by its instance's count.
    pub link: u64,
}

/// A device that has connected.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its socket.
    pub place: DevicePlace,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub device_type: Option<String>,
}

/// The registry's answer for a device that has connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Its socket.
    pub place: DevicePlace,
    /// The device's former instance and socket, while that instance is alive.
    pub former: Option<(Uuid, u64)>,
}

/// The result of comparing an instance's devices with the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Devices that are held, and of which something else is known.
    pub differing: Vec<(DevicePlace, Differs)>,
    /// Devices that were known and are not held.
    pub gone: Vec<Gone>,
}

/// A device that is no longer where it was known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The device's owner.
    pub user: UserId,
    /// The device's id.
    pub device: DeviceId,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub device_type: Option<String>,
}

/// The difference between an instance and the registry about one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differs {
    /// The registry has no socket of it, or an older one.
    Missing,
    /// It has connected elsewhere since.
    OnOtherInstance,
}

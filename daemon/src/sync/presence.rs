//! The devices that are connected to each of several instances on one database, as the instances tell each other of them.

use uuid::Uuid;

use super::ids::{DeviceId, UserId};

/// The largest message that a notice can hold, in bytes.
pub const LARGEST_NOTICE: usize = 7900;

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

/// The other instances on the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// The others that are alive.
    pub others: Vec<Other>,
    /// Devices of instances that have ended without a word.
    pub gone: Vec<Gone>,
}

//! The directory of instances on the database, and of the devices connected to each. Only a database that several can
//! share has one.

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use uuid::Uuid;

use super::{Service, ServiceError};
use crate::store::cluster::{
    Arrival, BridgeKey, Compared, DevicePlace, Differs, Entered, Gone, Lease, Other, Presence, Renewed,
};
use crate::store::{Access, Mode, OnNotice, StoreError, Transaction};
use crate::sync::{DeviceId, UserId};

/// The other instances on the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// The others that are alive.
    pub others: Vec<Other>,
    /// Devices of instances that have ended without a word.
    pub gone: Vec<Gone>,
}

/// The directory of instances in the database: the questions that they ask about each other.
#[async_trait]
pub trait InstanceDirectory: Send + Sync + 'static {
    /// Says that this instance is alive. Nothing that others do keeps it waiting.
    ///
    /// # Errors
    /// Those of the database.
    async fn renew(&self, lease: &Lease) -> Result<Renewed, ServiceError>;

    /// Finds out about the others, and forgets those that are no longer alive.
    ///
    /// # Errors
    /// Those of the database.
    async fn look_around(&self, me: Uuid) -> Result<ClusterView, ServiceError>;

    /// Forgets this instance, which is about to end.
    ///
    /// # Errors
    /// Those of the database.
    async fn retire(&self, me: Uuid) -> Result<(), ServiceError>;

    /// Devices have connected to `me`.
    ///
    /// # Errors
    /// Those of the database.
    async fn enter(&self, me: Uuid, arrivals: Vec<Arrival>) -> Result<Vec<Entered>, ServiceError>;

    /// Devices have gone from `me`; those that are nowhere else.
    ///
    /// # Errors
    /// Those of the database.
    async fn leave(&self, me: Uuid, gone: Vec<DevicePlace>) -> Result<Vec<DevicePlace>, ServiceError>;

    /// Compares the devices that `me` holds with the database, and returns the differences.
    ///
    /// # Errors
    /// Those of the database.
    async fn compare(&self, me: Uuid, held: Vec<DevicePlace>) -> Result<Compared, ServiceError>;

    /// Those of these devices that `me` holds, and of which something else is known. Changes nothing.
    ///
    /// # Errors
    /// Those of the database.
    async fn differing(&self, me: Uuid, held: Vec<DevicePlace>) -> Result<Vec<(DevicePlace, Differs)>, ServiceError>;

    /// The person's devices that are connected anywhere but at `me`.
    ///
    /// # Errors
    /// Those of the database.
    async fn on_other_instances(&self, me: Uuid, user: UserId) -> Result<Vec<DeviceId>, ServiceError>;

    /// Counts the devices that are connected anywhere but at `me`.
    ///
    /// # Errors
    /// Those of the database.
    async fn count_on_other_instances(&self, me: Uuid) -> Result<i64, ServiceError>;

    /// Everybody with devices that are connected anywhere but at `me`, and how many.
    ///
    /// # Errors
    /// Those of the database.
    async fn users_elsewhere(&self, me: Uuid) -> Result<Vec<(UserId, i64)>, ServiceError>;

    /// Gives notice to all instances.
    ///
    /// # Errors
    /// Those of the database.
    async fn notify(&self, messages: Vec<String>) -> Result<(), ServiceError>;

    /// Subscribes a listener to notices, from now on. Once.
    fn subscribe(&self, ear: OnNotice);
}

#[async_trait]
impl InstanceDirectory for Service {
    async fn renew(&self, lease: &Lease) -> Result<Renewed, ServiceError> {
        let lease = lease.clone();
        self.presence(Mode::Write, move |presence| {
            let lease = lease.clone();
            Box::pin(async move { presence.renew(&lease).await })
        })
        .await
    }

    async fn look_around(&self, me: Uuid) -> Result<ClusterView, ServiceError> {
        self.presence(Mode::Write, move |presence| {
            Box::pin(async move {
                let gone = presence.sweep().await?;
                Ok(ClusterView { others: presence.others(me).await?, gone })
            })
        })
        .await
    }

    async fn retire(&self, me: Uuid) -> Result<(), ServiceError> {
        self.presence(Mode::Write, move |presence| Box::pin(async move { presence.retire(me).await })).await
    }

    async fn enter(&self, me: Uuid, arrivals: Vec<Arrival>) -> Result<Vec<Entered>, ServiceError> {
        self.presence(Mode::Write, move |presence| {
            let arrivals = arrivals.clone();
            Box::pin(async move { presence.enter(me, &arrivals).await })
        })
        .await
    }

    async fn leave(&self, me: Uuid, gone: Vec<DevicePlace>) -> Result<Vec<DevicePlace>, ServiceError> {
        self.presence(Mode::Write, move |presence| {
            let gone = gone.clone();
            Box::pin(async move { presence.leave(me, &gone).await })
        })
        .await
    }

    async fn compare(&self, me: Uuid, held: Vec<DevicePlace>) -> Result<Compared, ServiceError> {
        self.presence(Mode::Write, move |presence| {
            let held = held.clone();
            Box::pin(async move { presence.compare(me, &held).await })
        })
        .await
    }

    async fn differing(&self, me: Uuid, held: Vec<DevicePlace>) -> Result<Vec<(DevicePlace, Differs)>, ServiceError> {
        self.presence(Mode::Read, move |presence| {
            let held = held.clone();
            Box::pin(async move { presence.differing(me, &held).await })
        })
        .await
    }

    async fn on_other_instances(&self, me: Uuid, user: UserId) -> Result<Vec<DeviceId>, ServiceError> {
        self.presence(Mode::Read, move |presence| Box::pin(async move { presence.on_other_instances(me, user).await }))
            .await
    }

    async fn count_on_other_instances(&self, me: Uuid) -> Result<i64, ServiceError> {
        self.presence(Mode::Read, move |presence| Box::pin(async move { presence.count_on_other_instances(me).await }))
            .await
    }

    async fn users_elsewhere(&self, me: Uuid) -> Result<Vec<(UserId, i64)>, ServiceError> {
        self.presence(Mode::Read, move |presence| Box::pin(async move { presence.users_elsewhere(me).await })).await
    }

    async fn notify(&self, messages: Vec<String>) -> Result<(), ServiceError> {
        self.presence(Mode::Write, move |presence| {
            let messages = messages.clone();
            Box::pin(async move { presence.notify(&messages).await })
        })
        .await
    }

    fn subscribe(&self, ear: OnNotice) {
        self.store.subscribe(ear);
    }
}

impl Service {
    /// The key that seals messages between instances; none where there can't be several.
    #[must_use]
    pub fn bridge_key(&self) -> Option<&BridgeKey> {
        self.store.bridge_key()
    }

    async fn presence<T, F>(&self, mode: Mode, work: F) -> Result<T, ServiceError>
    where
        F: for<'t> Fn(&'t mut dyn Presence) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
        T: Send + 'static,
    {
        match mode {
            Mode::Read => self.store.read(Access::Daemon, asking(work)).await,
            Mode::Write => self.store.write(Access::Daemon, asking(work)).await,
        }
    }
}

/// The work of a transaction that asks for what is known of instances.
fn asking<T, F>(
    work: F,
) -> impl for<'t> Fn(&'t mut dyn Transaction) -> BoxFuture<'t, Result<T, ServiceError>> + Send + Sync + 'static
where
    F: for<'t> Fn(&'t mut dyn Presence) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    T: Send + 'static,
{
    move |tx| match tx.presence() {
        Some(presence) => work(presence).map(|done| done.map_err(ServiceError::from)).boxed(),
        None => {
            let alone = StoreError::Failed("no other instance can work on this database".into());
            ready(Err(alone.into())).boxed()
        }
    }
}

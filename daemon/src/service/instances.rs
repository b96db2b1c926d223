//! The directory of instances on the database, and of the devices connected to each. Only a database that several can
//! share has one.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::{Service, ServiceError};
use crate::store::cluster::{BridgeKey, Presence};
use crate::store::{Access, OnNotice, StoreError, Transaction};

/// The directory of instances in the database: each question is a transaction of its own.
#[derive(Clone)]
pub struct InstanceDirectory(Arc<Service>);

impl InstanceDirectory {
    /// The directory in this service's database.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        Self(service)
    }

    /// Asks what changes nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read<T, F>(&self, question: F) -> Result<T, ServiceError>
    where
        F: for<'t> Fn(&'t mut dyn Presence) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
        T: Send + 'static,
    {
        self.0.store.read(Access::Daemon, asking(question)).await
    }

    /// Asks, and has the answer's cause kept.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn write<T, F>(&self, question: F) -> Result<T, ServiceError>
    where
        F: for<'t> Fn(&'t mut dyn Presence) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
        T: Send + 'static,
    {
        self.0.store.write(Access::Daemon, asking(question)).await
    }

    /// Subscribes a listener to notices, from now on. Once.
    pub fn subscribe(&self, ear: OnNotice) {
        self.0.store.subscribe(ear);
    }
}

impl Service {
    /// The key that seals messages between instances; none where there can't be several.
    #[must_use]
    pub fn bridge_key(&self) -> Option<&BridgeKey> {
        self.store.bridge_key()
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

//! Checks that the database answers, on a connection of its own, which does not depend on the load of the others.

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio::sync::Mutex;

use super::fault::judge;
use super::server::connect;
use crate::store::StoreError;

/// Asks. The connection is made when it is first needed, and anew after it was lost.
pub(super) struct Probe {
    url: String,
    connection: Mutex<Option<AsyncPgConnection>>,
}

impl Probe {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), connection: Mutex::default() }
    }

    /// A round trip. Who asks while another does waits for it.
    pub(super) async fn ask(&self) -> Result<(), StoreError> {
        let mut held = self.connection.lock().await;
        // Out of its place until it has answered: who gives up in between leaves none that is in the middle of something.
        let known = held.take();
        let is_known = known.is_some();
        let mut connection = match known {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut answered = connection.batch_execute("SELECT 1").await;
        if answered.is_err() && is_known {
            // It was lost since the last time, which says nothing about now.
            connection = self.connect().await?;
            answered = connection.batch_execute("SELECT 1").await;
        }
        answered.map_err(|error| judge(&error).0)?;
        *held = Some(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncPgConnection, StoreError> {
        connect(&self.url)
            .await
            .map_err(|error| StoreError::Unavailable(format!("no connection to the database: {error}")))
    }
}

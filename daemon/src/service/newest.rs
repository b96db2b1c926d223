//! Reads for the realtime layer: versions, and changes to pass on.

use super::pull::stand;
use super::{ScopePage, Service, ServiceError};
use crate::auth::Caller;
use crate::budget::Kind;
use crate::store::{Access, Passed, Query};
use crate::sync::page::can_serve;
use crate::sync::{Cursor, DeviceId, Scope, UserId, Version};

/// Changes that are read at once for live delivery.
const PAGE: i64 = 500;

impl Service {
    /// The newest cursor of the scopes that the caller reads from this device.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub async fn newest(&self, caller: &Caller, device: &DeviceId) -> Result<Cursor, ServiceError> {
        // Without a turn: those may wait for devices that read slowly, and this is next to nothing.
        let scopes = [Scope::Global, Scope::User(caller.user)];
        let states = self
            .store
            .read(Access::of(caller, Some(device)), move |tx| {
                Box::pin(async move { Ok::<_, ServiceError>(tx.scopes(&scopes).await?) })
            })
            .await?;
        let mut cursor = Cursor::zero(self.epoch());
        states.into_iter().for_each(|state| cursor.set(state.scope, state.version));
        Ok(cursor)
    }

    /// True if every change after `cursor` is still known; if not, the client has to start over.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn can_serve(&self, caller: &Caller, cursor: &Cursor) -> Result<bool, ServiceError> {
        let scopes = [Scope::Global, Scope::User(caller.user)];
        let states = self
            .store
            .read(caller, move |tx| Box::pin(async move { Ok::<_, ServiceError>(tx.scopes(&scopes).await?) }))
            .await?;
        let stands: Vec<_> = states.iter().map(stand).collect();
        Ok(can_serve(cursor, self.epoch(), &stands))
    }

    /// A page of a scope's changes after `after`; cheaper when all are of the `likely` table.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn scope_page(
        &self,
        scope: Scope,
        after: Version,
        likely: Option<&'static str>,
    ) -> Result<ScopePage, ServiceError> {
        let (page, stopped) = self
            .store
            .read(scope, move |tx| {
                Box::pin(async move {
                    tx.expect_rows_of(likely);
                    tx.prefetch(&[Query::Scopes(&[scope]), Query::Records(scope, after, PAGE)]).await?;
                    let newest = tx.scopes(&[scope]).await?.first().map_or(0, |state| state.version);
                    let page = tx.records(scope, after, PAGE).await?;
                    let version = if page.has_more { page.reached } else { newest };
                    let page = ScopePage { records: page.records, version, has_more: page.has_more };
                    Ok::<_, ServiceError>((page, tx.stopped()))
                })
            })
            .await?;
        if !stopped.is_empty() && page.version > after {
            let tables = stopped.names().collect();
            self.pass_over(vec![Passed { scope, after, upto: page.version, tables }]).await?;
        }
        Ok(page)
    }

    /// The same on behalf of one of this person's devices, in their turn.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn replay_page(&self, user: UserId, scope: Scope, after: Version) -> Result<ScopePage, ServiceError> {
        let _turn = self.budget.turn(user, Kind::Read).await?;
        self.scope_page(scope, after, None).await
    }

    /// The newest versions of these scopes, in one query; scopes that have none are 0.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn heads(&self, scopes: &[Scope]) -> Result<Vec<(Scope, Version)>, ServiceError> {
        let scopes = scopes.to_vec();
        let states = self
            .store
            .read(Access::Daemon, move |tx| {
                let scopes = scopes.clone();
                Box::pin(async move { Ok::<_, ServiceError>(tx.scopes(&scopes).await?) })
            })
            .await?;
        Ok(states.into_iter().map(|state| (state.scope, state.version)).collect())
    }
}

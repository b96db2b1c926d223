//! Reads for the realtime layer: versions, and changes to pass on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::pull::stand;
use super::{ScopePage, Service, ServiceError, Standing};
use crate::auth::Caller;
use crate::budget::Kind;
use crate::store::{Access, Passed, Query, ScopeState, Store, StoreError};
use crate::sync::page::can_serve;
use crate::sync::token::{Credentials, Presented, Refusal};
use crate::sync::{Cursor, DeviceId, Scope, UserId, Version};

/// Changes that are read at once for live delivery.
const PAGE: i64 = 500;

/// The states of the scopes that somebody reads, or why they may not.
pub(super) type Place = Result<Vec<ScopeState>, Refusal>;
/// The newest versions of scopes.
pub(super) type Heads = Vec<(Scope, Version)>;

impl Service {
    /// The stand of a device that connects, with the cursor that it brings.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub async fn standing(
        &self,
        caller: &Caller,
        device: &DeviceId,
        cursor: Option<&Cursor>,
    ) -> Result<Standing, ServiceError> {
        // Without a turn: those may wait for devices that read slowly, and this is next to nothing.
        let credentials = Credentials { token: caller.token.clone(), device: Some(device.clone()) };
        let presented = Presented { user: caller.user, credentials };
        let store = Arc::clone(&self.store);
        let read = move |presented| {
            let store = Arc::clone(&store);
            async move { places(&*store, presented).await.ok() }
        };
        let states = match self.arrivals.ask(presented.clone(), read).await {
            Some(place) => place,
            // Somebody else's may be what failed.
            None => places(&*self.store, vec![presented]).await?.pop().unwrap_or_else(|| Ok(Vec::new())),
        };
        let states = states.map_err(StoreError::Refused)?;
        let mut newest = Cursor::zero(self.epoch());
        states.iter().for_each(|state| newest.set(state.scope, state.version));
        let stands: Vec<_> = states.iter().map(stand).collect();
        Ok(Standing { newest, can_resume: cursor.is_some_and(|cursor| can_serve(cursor, self.epoch(), &stands)) })
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

    /// The newest versions of these scopes; scopes that have none are 0.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn heads(&self, scopes: &[Scope]) -> Result<Heads, ServiceError> {
        let store = Arc::clone(&self.store);
        let read = move |asked| {
            let store = Arc::clone(&store);
            async move { heads(&*store, asked).await.ok() }
        };
        match self.heads.ask(scopes.to_vec(), read).await {
            Some(heads) => Ok(heads),
            None => Ok(heads(&*self.store, vec![scopes.to_vec()]).await?.pop().unwrap_or_default()),
        }
    }
}

/// The states of the scopes that each of these people reads, or why they may not.
async fn places(store: &dyn Store, presented: Vec<Presented>) -> Result<Vec<Place>, ServiceError> {
    let people: HashSet<Scope> = presented.iter().map(|presented| Scope::User(presented.user)).collect();
    let scopes: Vec<Scope> = [Scope::Global].into_iter().chain(people).collect();
    let asked = presented.clone();
    let (refused, states) = store
        .read(Access::Daemon, move |tx| {
            let (presented, scopes) = (asked.clone(), scopes.clone());
            Box::pin(async move {
                let refused = tx.refused(&presented).await?;
                Ok::<_, ServiceError>((refused, by_scope(tx.scopes(&scopes).await?)))
            })
        })
        .await?;
    let mut places: Vec<Place> = presented
        .iter()
        .map(|presented| {
            Ok([Scope::Global, Scope::User(presented.user)].iter().filter_map(|s| states.get(s).cloned()).collect())
        })
        .collect();
    for (place, refusal) in refused {
        places[place] = Err(refusal);
    }
    Ok(places)
}

/// The newest versions of each list of scopes.
async fn heads(store: &dyn Store, asked: Vec<Vec<Scope>>) -> Result<Vec<Heads>, ServiceError> {
    let scopes: HashSet<Scope> = asked.iter().flatten().copied().collect();
    let scopes: Vec<Scope> = scopes.into_iter().collect();
    let states = store
        .read(Access::Daemon, move |tx| {
            let scopes = scopes.clone();
            Box::pin(async move { Ok::<_, ServiceError>(by_scope(tx.scopes(&scopes).await?)) })
        })
        .await?;
    let head = |scope: &Scope| Some((*scope, states.get(scope)?.version));
    Ok(asked.iter().map(|scopes| scopes.iter().filter_map(head).collect()).collect())
}

fn by_scope(states: Vec<ScopeState>) -> HashMap<Scope, ScopeState> {
    states.into_iter().map(|state| (state.scope, state)).collect()
}

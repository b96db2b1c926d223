//! Tokens and the devices that they are used by: what is remembered so that a revoked device's tokens open nothing any more.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use ryzed_adapters::format_time;

use super::{Service, ServiceError};
use crate::auth::{Caller, LEEWAY};
use crate::store::tokens::Use;
use crate::store::{Access, StoreError, Transaction};
use crate::sync::token::{Presented, Refusal};
use crate::sync::{DeviceId, Mark, Scope, UserId};

/// The number of uses known to be in the database without a look-up. One more, and all are forgotten: each costs one
/// write again.
const MOST: usize = 50_000;
/// The time that a session is remembered after a token of it was first used. Tokens do not tell their session's end.
const SESSION: TimeDelta = TimeDelta::days(90);

/// Uses that the database is known to remember.
#[derive(Debug, Default)]
pub(super) struct Noted(Mutex<HashSet<(UserId, DeviceId, Mark)>>);

impl Noted {
    /// True if the database remembers this device with this caller's token.
    fn has(&self, caller: &Caller, device: &DeviceId) -> bool {
        let Some(token) = &caller.token else { return true };
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.contains(&(caller.user, device.clone(), token.mark))
    }

    /// Takes note once the database has committed it.
    pub(super) fn note(&self, caller: &Caller, device: &DeviceId) {
        let Some(token) = &caller.token else { return };
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= MOST {
            noted.clear();
        }
        noted.insert((caller.user, device.clone(), token.mark));
    }
}

/// The record to store for a device that comes with a token for the first time.
#[derive(Debug, Clone)]
pub(super) struct Coming {
    user: UserId,
    device: DeviceId,
    uses: Vec<Use>,
    most: i64,
}

impl Coming {
    /// Remembers it in the running transaction.
    pub(super) async fn keep(&self, tx: &mut dyn Transaction, now: &str) -> Result<(), StoreError> {
        if self.uses.is_empty() {
            return Ok(());
        }
        tx.keep_uses(self.user, &self.device, &self.uses, now, self.most).await
    }
}

impl Service {
    /// The unstored part of a device's use of this caller's token.
    pub(super) fn coming(&self, caller: &Caller, device: &DeviceId) -> Coming {
        let token = caller.token.as_deref().filter(|_| !self.noted.has(caller, device));
        let uses = token.into_iter().flat_map(|token| {
            let own = Use { mark: token.mark, until: caller.expires_at + LEEWAY };
            let session = token.session.map(|mark| Use { mark, until: self.clock.now() + SESSION });
            [own].into_iter().chain(session)
        });
        let most = i64::try_from(self.limits.tokens_per_user).unwrap_or(i64::MAX);
        Coming { user: caller.user, device: device.clone(), uses: uses.collect(), most }
    }

    /// Checks that a caller is not refused, for requests that read nothing else from the database.
    ///
    /// # Errors
    /// [`ServiceError::Revoked`], [`ServiceError::TokenRevoked`] or [`ServiceError::TokenTooOld`].
    pub async fn admit(&self, caller: &Caller, device: Option<&DeviceId>) -> Result<(), ServiceError> {
        match device {
            Some(device) if !self.noted.has(caller, device) => self.used(caller, device).await,
            _ => {
                let access = Access::of(caller, device);
                // The transaction's opening refuses; a read makes sure that it is sent.
                self.store
                    .read(access, |tx| {
                        Box::pin(async move {
                            tx.scopes(&[Scope::Global]).await?;
                            Ok::<_, ServiceError>(())
                        })
                    })
                    .await
            }
        }
    }

    /// Remembers that a device has come with this caller's token, unless it is refused.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub async fn used(&self, caller: &Caller, device: &DeviceId) -> Result<(), ServiceError> {
        let (coming, now) = (self.coming(caller, device), format_time(self.clock.now()));
        self.store
            .write(Access::of(caller, Some(device)), move |tx| {
                let (coming, now) = (coming.clone(), now.clone());
                Box::pin(async move { Ok::<_, ServiceError>(coming.keep(tx, &now).await?) })
            })
            .await?;
        self.noted.note(caller, device);
        Ok(())
    }

    /// Those of the connected who are refused by now, by their places in `presented`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn refused(&self, presented: Vec<Presented>) -> Result<Vec<(usize, Refusal)>, ServiceError> {
        self.store
            .read(Access::Daemon, move |tx| {
                let presented = presented.clone();
                Box::pin(async move { Ok::<_, ServiceError>(tx.refused(&presented).await?) })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;

    use super::*;
    use crate::auth::Role;
    use crate::sync::Token;

    #[test]
    fn no_crowd_of_tokens_makes_it_grow_without_end() {
        let noted = Noted::default();
        let device: DeviceId = "phone".parse().unwrap();
        let caller = |n: u32| {
            let mut mark = [0; 32];
            mark[..4].copy_from_slice(&n.to_be_bytes());
            let token = Token { mark: Mark(mark), session: None, issued_at: None, device: None };
            let (user, expires_at) = (UserId(uuid::Uuid::nil()), DateTime::UNIX_EPOCH);
            Caller { user, role: Role::default(), email: None, expires_at, token: Some(Arc::new(token)) }
        };
        for n in 0..=MOST as u32 {
            noted.note(&caller(n), &device);
        }
        assert!(noted.has(&caller(MOST as u32), &device) && !noted.has(&caller(0), &device));
        assert!(noted.0.lock().unwrap().len() <= MOST);
    }
}

//! The callers since the start, so that not every request has to look up its caller's row.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{Service, ServiceError};
use crate::auth::Caller;
use crate::sync::UserId;

/// The number of people remembered. One more, and all are forgotten: each costs one look-up again.
const MOST: usize = 10_000;

/// The people whose rows are there.
#[derive(Debug, Default)]
pub(super) struct KnownUsers(Mutex<HashSet<UserId>>);

impl KnownUsers {
    /// Takes note of somebody whose row is there.
    pub(super) fn note(&self, user: UserId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(user);
    }

    fn has(&self, user: UserId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&user)
    }
}

impl Service {
    /// Makes the row of somebody who calls for the first time since the start, unless it is there. A database that can't
    /// do so now is no reason to refuse what they came for.
    ///
    /// # Errors
    /// When the caller's token is refused.
    pub async fn ensure_user(&self, caller: &Caller) -> Result<(), ServiceError> {
        if self.registry.get("users").is_none() || self.known_users.has(caller.user) {
            return Ok(());
        }
        match self.create_user(caller).await {
            Ok(()) => self.known_users.note(caller.user),
            Err(refused @ (ServiceError::TokenRevoked | ServiceError::TokenTooOld)) => return Err(refused),
            Err(error) => tracing::debug!(%error, "a caller's row could not be made"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn no_crowd_makes_it_grow_without_end() {
        let known = KnownUsers::default();
        for person in 0..=MOST {
            known.note(UserId(Uuid::from_u128(person as u128)));
        }
        let last = UserId(Uuid::from_u128(MOST as u128));
        assert!(known.has(last) && known.0.lock().unwrap().len() <= MOST);
    }
}

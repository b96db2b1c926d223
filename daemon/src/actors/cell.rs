//! A place for the address of an actor, or of another part that is replaced when it fails.

use std::sync::{PoisonError, RwLock};

/// The content of `place`.
pub(crate) fn get<T: Clone>(place: &RwLock<Option<T>>) -> Option<T> {
    place.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Puts `value` into `place`.
pub(crate) fn set<T>(place: &RwLock<Option<T>>, value: T) {
    *place.write().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

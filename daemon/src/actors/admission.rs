//! Closes the sockets of devices that were revoked after they connected. Only the database is believed. It is read at
//! every sweep, at once after a message that a person's device was revoked, and when such a message may have been lost.

use super::cell;
use super::close::CloseReason;
use super::context::ActorContext;
use super::mailbox::FeedMsg;
use crate::service::ServiceError;
use crate::sync::{Scope, UserId};

impl ActorContext {
    /// Has it looked whether this person's devices may stay.
    pub(crate) fn look_at_devices_of(&self, user: UserId) {
        if let Some(feed) = cell::get(&self.feed) {
            let _ = feed.cast(FeedMsg::Revoked(user));
        }
    }
}

/// Closes the sockets of those in a scope who are refused by now, and has their requests ask, which tells them.
pub(super) async fn look(shared: &ActorContext, scope: Scope) -> Result<(), ServiceError> {
    let (links, waiters) = (shared.connections.links(scope), shared.connections.waiters(scope));
    if links.is_empty() && waiters.is_empty() {
        return Ok(());
    }
    let presented = links.iter().map(|link| link.presented());
    let presented = presented.chain(waiters.iter().map(|waiter| waiter.presented())).collect();
    for (place, refusal) in shared.backend.refused(presented).await? {
        match links.get(place) {
            Some(link) => link.close(CloseReason::from(refusal)),
            None => waiters.get(place - links.len()).into_iter().for_each(|waiter| waiter.ring()),
        }
    }
    Ok(())
}

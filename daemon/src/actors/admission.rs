//! Which of the connected may not stay, because a device was revoked since they came. The database alone is believed; it is asked
//! at every sweep, at once when somebody says that a device of a person was revoked, and when that may have been said in vain.

use std::sync::Arc;

use super::close::CloseReason;
use super::feed::FeedMsg;
use super::link::Link;
use super::realtime::{self, ActorContext};
use crate::service::ServiceError;
use crate::sync::UserId;

impl ActorContext {
    /// Has it looked whether this person's devices may stay.
    pub(crate) fn look_at_devices_of(&self, user: UserId) {
        if let Some(feed) = realtime::get(&self.feed) {
            let _ = feed.cast(FeedMsg::Revoked(user));
        }
    }
}

/// Closes the sockets of those who are refused by now.
pub(super) async fn look(shared: &ActorContext, links: &[Arc<Link>]) -> Result<(), ServiceError> {
    if links.is_empty() {
        return Ok(());
    }
    let presented = links.iter().map(|link| link.presented()).collect();
    for (place, refusal) in shared.backend.refused(presented).await? {
        if let Some(link) = links.get(place) {
            link.close(CloseReason::from(refusal));
        }
    }
    Ok(())
}

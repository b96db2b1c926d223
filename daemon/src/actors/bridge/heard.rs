//! What is done with a message from another instance. Called from the carrier's task: nothing here waits.

use std::sync::Arc;

use bytes::Bytes;
use tracing::debug;

use super::Bridge;
use super::envelope::{self, Addressees, Message, Origin, Read};
use crate::actors::close::CloseReason;
use crate::actors::link::Link;
use crate::actors::live::Shared;
use crate::service::Committed;
use crate::sync::Scope;

/// Takes a message from another instance.
pub(super) fn heard(shared: &Shared, bytes: &Bytes) {
    match envelope::read(shared.bridge.neighbours.me, bytes) {
        Read::Own => {}
        Read::Unknown => {
            debug!("a message of another release");
            shared.look_soon();
        }
        Read::Other(_, Message::Committed { scope, version, records }) => {
            if let Some(commit) = envelope::to_commit(&scope, version, records, shared.backend.registry()) {
                committed(shared, commit);
            }
        }
        // Clients would see it twice. Whoever does not hear Redis, or whose Redis the sender does not reach, has this one only.
        Read::Other(Origin { again: true, .. }, Message::Pass { .. }) if shared.bridge.hears_redis() => {}
        Read::Other(_, Message::Pass { to, frame }) => pass(shared, &to, &bytes.slice_ref(frame.get().as_bytes())),
        // Whether one was is for the database to say.
        Read::Other(_, Message::Close { user, at: None, .. }) => shared.look_at_devices_of(user),
        Read::Other(_, Message::Close { user, device, at: Some(at) }) => {
            let is_meant = |found: &Arc<Link>| at == (shared.bridge.neighbours.me, found.id);
            if let Some(found) = shared.roster.link(user, &device).filter(is_meant) {
                found.close(CloseReason::Replaced);
            }
        }
        Read::Other(_, Message::Look) => shared.look_soon(),
        Read::Other(Origin { from, .. }, Message::Hello) => {
            Bridge::renew_now(shared, Some(from));
            shared.look_soon();
        }
    }
}

/// Tells the session that is concerned, if it runs here.
pub(super) fn committed(shared: &Shared, commit: Committed) {
    if let Some(session) = shared.session_of(commit.scope) {
        session.committed(commit);
    }
}

fn pass(shared: &Shared, to: &Addressees, frame: &Bytes) {
    let links = shared.roster.links(to.user.map_or(Scope::Global, Scope::User));
    let meant = links.iter().filter(|link| {
        to.only.as_ref().is_none_or(|only| *only == link.device)
            && to.except.as_ref() != Some(&link.device)
            && to.table.as_deref().is_none_or(|table| link.outbox().wants(table))
    });
    meant.for_each(|link| link.message(frame.clone()));
}

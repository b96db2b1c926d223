//! The handling of messages from another instance. Called from the carrier's task: nothing here waits.

use std::time::Duration;

use bytes::Bytes;
use tracing::debug;

use super::envelope::{self, Addressees, Message, Passed};
use crate::actors::context::ActorContext;
use crate::actors::link::Link;
use crate::carrier::Letter;
use crate::sync::Scope;

/// The tolerance of clocks: a device that came so much later than a message still gets it.
const TOGETHER: Duration = Duration::from_millis(500);

/// Takes a message from another instance.
pub(crate) fn heard(shared: &ActorContext, letter: &Letter) {
    let Some((message, again)) = envelope::read(&letter.text) else {
        debug!("a message of another release");
        return shared.missed_something();
    };
    match message {
        Message::Moved { scope, version, table } => {
            if let Some(session) = scope.parse().ok().and_then(|scope| shared.session_of(scope)) {
                let table = table.and_then(|table| shared.backend.registry().get(&table)).map(|table| table.name);
                session.told(version, table);
            }
        }
        // Clients would see it twice. Whoever does not hear Redis, or whose Redis the sender does not reach, has this one only.
        Message::Pass(_) if again && shared.bridge.hears_redis() => {}
        Message::Pass(Passed { to, frame }) => {
            pass(shared, &to, &letter.text.slice_ref(frame.get().as_bytes()), letter);
        }
        Message::Doubt { user, device } => shared.doubt(user, device),
        Message::Revoked { user } => shared.look_at_devices_of(user),
        Message::Resync => shared.request_resync(),
        Message::Missed => shared.missed_something(),
        Message::Hello => {
            shared.renew_now(Some(letter.from));
            shared.missed_something();
        }
    }
}

fn pass(shared: &ActorContext, to: &Addressees, frame: &Bytes, letter: &Letter) {
    let links = shared.connections.links(to.user.map_or(Scope::Global, Scope::User));
    let meant = links.iter().filter(|link| {
        to.only.as_ref().is_none_or(|only| *only == link.device)
            && to.except.as_ref() != Some(&link.device)
            && to.table.as_deref().is_none_or(|table| link.outbox().wants(table))
            && is_meant_for(link, letter)
    });
    meant.for_each(|link| link.message(frame.clone()));
}

/// True if the message was sent while the device was here. An older one is not for it, even when it is repeated.
fn is_meant_for(link: &Link, letter: &Letter) -> bool {
    link.since <= letter.sent + TOGETHER
}

//! One device's connection, from its welcome to its end: what a socket needs to serve it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::ActorRef;
use tokio::time::Instant;

use super::cell;
use super::close::CloseReason;
use super::connection_registry::Left;
use super::device::mailbox::{Answer, DeviceMsg, Input, Setup};
use super::frame;
use super::link::Link;
use super::mailbox::{DevicesMsg, SessionsMsg};
use super::message::ServerMessage;
use super::outbox::{Outbox, Outgoing};
use super::presence::queue::PresenceChange;
use super::realtime::Realtime;
use super::replay::Replay;
use crate::auth::{Caller, Verify};
use crate::budget::CONNECTING;
use crate::config::Limits;
use crate::metrics::Loss;
use crate::service::DeviceSeen;
use crate::sync::strangers::Strangers;
use crate::sync::{ChangeRecord, Cursor, DeviceId};

/// The longest replay, in versions. A device further behind pulls, which is cheaper for both.
const LONGEST_REPLAY: i64 = 5000;

/// A device's introduction when it connects.
pub struct Hello {
    /// The caller of its token.
    pub caller: Caller,
    /// Its id.
    pub device: DeviceId,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub device_type: Option<String>,
    /// The app's release.
    pub app_version: Option<String>,
    /// Its cursor; none to begin at the newest version.
    pub cursor: Option<Cursor>,
    /// The tables that it wants; none named means all.
    pub tables: Vec<String>,
    /// Keys of its address and first message that nothing reads.
    pub ignored: Strangers,
}

/// A connected device. Dropping it is what disconnects it.
pub struct Connection {
    live: Realtime,
    link: Arc<Link>,
    device: ActorRef<DeviceMsg>,
    welcome: Option<Bytes>,
    replay: Option<Replay>,
    _membership: Membership,
}

/// Takes the device off the registry when it ends, however that comes.
struct Membership {
    live: Realtime,
    link: Arc<Link>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let shared = &self.live.shared;
        let left = shared.connections.leave(&self.link, shared.backend.now());
        if left != Left::Replaced && shared.bridge.cluster.directory.is_some() {
            shared.moved(PresenceChange::Left(Arc::clone(&self.link)));
        }
        if left == Left::Last {
            shared.bridge.follow(self.link.user, &|| shared.connections.has(self.link.user));
            if let Some(sessions) = cell::get(&shared.sessions) {
                let _ = sessions.cast(SessionsMsg::Close(self.link.user));
            }
        }
    }
}

impl Realtime {
    /// Connects a device: registers it, attaches it to the sessions, and finds out where its stream starts.
    ///
    /// # Errors
    /// When it may not connect: the socket is to be closed.
    pub async fn connect(&self, hello: Hello, verify: Arc<dyn Verify>) -> Result<Connection, CloseReason> {
        let Hello { caller, device, device_type, app_version, cursor, tables, ignored } = hello;
        let tables = self.known(&tables)?;
        let backend = Arc::clone(&self.shared.backend);
        let charged = backend.budget().charge(caller.user, CONNECTING);
        charged.map_err(|refused| CloseReason::of(&refused.into()))?;
        let seen = DeviceSeen {
            device: device.clone(),
            device_type: device_type.clone(),
            app_version,
            name: None,
            pending_uploads: None,
            cursor: cursor.clone(),
        };
        backend.seen(&caller, seen).await.map_err(|error| CloseReason::of(&error))?;

        let outbox = Outbox::new(backend.limits().outbox_bytes, tables);
        let device_type = device_type.map(String::into_boxed_str);
        let link = Arc::new(Link::new(self.next_link(), caller.user, device, device_type, outbox));
        link.came_with(caller.token.clone());
        self.shared.connections.join(&link, backend.now());
        let membership = Membership { live: self.clone(), link: Arc::clone(&link) };
        self.shared.bridge.follow(link.user, &|| self.shared.connections.has(link.user));
        if *self.draining().borrow() {
            return Err(CloseReason::restarting());
        }
        // Attached before it counts as connected: from then on it gets every message.
        self.attach(&link).await?;
        if !self.shared.came(&link).await {
            return Err(CloseReason::TryLater);
        }
        // What others say of the person's devices is said once. Where it takes too long, the device is let in all the same.
        let followed = self.shared.bridge.followed(link.user);
        self.shared.in_time(followed.map(Some)).await;
        // Asked after it was attached: what is committed between is in the outbox.
        let (starts, replay) = self.place(&caller, &link, cursor).await?;
        let welcome = self.shared.encoded(&ServerMessage::ConnectionEstablished {
            user_id: caller.user,
            device_id: &link.device,
            server_version: env!("CARGO_PKG_VERSION"),
            heartbeat_seconds: self.shared.settings.heartbeat.as_secs(),
            cursor: &starts,
            ignored: ignored.names(),
        });
        let stopped = self.shared.stopped_tables.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.tell_stopped(&link, &stopped);
        let setup = Box::new(Setup { link: Arc::clone(&link), caller, verify });
        let devices = cell::get(&self.shared.devices).ok_or(CloseReason::TryLater)?;
        let started = async { ractor::call!(devices, DevicesMsg::Start, setup).ok().flatten() };
        let device = self.shared.in_time(started).await.ok_or(CloseReason::TryLater)?;
        let welcome = Some(welcome);
        Ok(Connection { live: self.clone(), link, device, welcome, replay, _membership: membership })
    }

    /// The tables of these names; none when none is named.
    fn known(&self, names: &[String]) -> Result<Option<Vec<&'static str>>, CloseReason> {
        let most = self.shared.backend.limits().subscriptions;
        if names.len() > most {
            return Err(CloseReason::Limit(format!("at most {most} tables (limits.subscriptions)").into()));
        }
        let (known, unknown) = self.shared.backend.registry().resolve(names);
        if let Some(unknown) = unknown.first() {
            return Err(CloseReason::Protocol(format!("tables: {unknown}").into()));
        }
        Ok((!known.is_empty()).then_some(known))
    }

    /// Finds the start of the stream, and the replay to be sent before it goes live.
    async fn place(
        &self,
        caller: &Caller,
        link: &Arc<Link>,
        cursor: Option<Cursor>,
    ) -> Result<(Cursor, Option<Replay>), CloseReason> {
        let backend = &self.shared.backend;
        let refused = |error| CloseReason::of(&error);
        // Also whether it was revoked while it was on its way here, where nobody could tell it.
        let standing = backend.standing(caller, &link.device, cursor.as_ref()).await.map_err(refused)?;
        let newest = standing.newest;
        let Some(given) = cursor else {
            link.start(newest.clone());
            return Ok((newest, None));
        };
        if !standing.can_resume {
            link.start(Cursor::zero(&newest.epoch));
            link.outbox().lose(Loss::CursorTooOld);
            return Ok((newest, None));
        }
        // In this epoch, and not ahead of it.
        let (user, global) = (given.user.min(newest.user), given.global.min(newest.global));
        let stands = Cursor { epoch: newest.epoch.clone(), user, global, ..given.clone() };
        link.start(stands.clone());
        if (newest.user - user) + (newest.global - global) > LONGEST_REPLAY {
            link.outbox().lose(Loss::TooFarBehind);
            return Ok((newest, None));
        }
        // What is committed from here on is in the outbox.
        Ok((given, Replay::between(backend, link, stands, &newest)))
    }
}

impl Connection {
    /// The time within which a client is expected to say something.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        self.live.shared.settings.heartbeat
    }

    /// What sessions and socket share.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.live.limits()
    }

    /// The first message; none when it was taken.
    pub fn take_welcome(&mut self) -> Option<Bytes> {
        self.welcome.take()
    }

    /// The replay to send before the outbox is released; none when it was taken.
    pub fn take_replay(&mut self) -> Option<Replay> {
        self.replay.take()
    }

    /// Asks the device. None when its actor has failed.
    #[must_use]
    pub fn input(&self, input: Input) -> BoxFuture<'static, Option<Answer>> {
        let device = self.device.clone();
        async move { ractor::call!(device, DeviceMsg::Input, input).ok() }.boxed()
    }

    /// The time for the first [`Input::Tick`].
    #[must_use]
    pub fn first_deadline(&self) -> Instant {
        Instant::now()
    }

    /// A change as a message.
    #[must_use]
    pub fn change(&self, record: &ChangeRecord) -> Bytes {
        frame::encode(record, self.live.shared.backend.now())
    }

    /// Encodes an item of the outbox as a message.
    #[must_use]
    pub fn outgoing(&self, outgoing: Outgoing) -> Bytes {
        match outgoing {
            Outgoing::Message(bytes) => bytes,
            Outgoing::SyncRequired { reason, cursor } => {
                self.live.shared.encoded(&ServerMessage::SyncRequired { reason, cursor: &cursor })
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.device.stop(None);
    }
}

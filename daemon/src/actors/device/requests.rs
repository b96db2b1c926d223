//! Serves a device's requests: uploads, syncs, subscriptions, and messages to the user's other devices.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::DeviceState;
use super::incoming::Request;
use super::mailbox::Answer;
use super::problem::{Problem, Refused, code};
use crate::actors::message::{SMALL, ServerMessage, written};
use crate::budget::Turn;
use crate::service::{DeviceSeen, Served, ServiceError};
use crate::sync::raw::Uploads;
use crate::sync::wire::SyncRequest;
use crate::sync::{Cursor, Scope};

/// The time that a check of a device's right to speak to others is valid.
const BELIEVED: Duration = Duration::from_secs(1);

impl DeviceState {
    /// Everything is charged to the person, whichever door it came by. Here who has spent what they had waits: their socket
    /// is not read meanwhile.
    pub(super) async fn serve(&mut self, request: Request, answer: &mut Answer) -> Result<(), Refused> {
        let charged = self.shared.backend.budget().charge_in_time(self.caller.user, request.cost()).await;
        charged.map_err(|refused| request.refused(refused))?;
        self.link.pulse.heartbeat();
        match request {
            Request::Report { pending_uploads } => self.report(pending_uploads).await,
            Request::Push { change, mutation_id } => self.push(change, mutation_id, answer).await,
            Request::Sync { request, request_id } => self.sync(*request, &request_id, answer).await,
            Request::TriggerSync => {
                self.stays("trigger_sync").await?;
                self.shared.trigger_sync(self.caller.user, Some(&self.link.device));
                Ok(())
            }
            Request::Subscribe(names) => self.subscribe(&names, true),
            Request::Unsubscribe(names) => self.subscribe(&names, false),
            Request::Broadcast { event, payload } => {
                self.stays("broadcast").await?;
                self.broadcast(&event, payload.as_deref());
                Ok(())
            }
        }
    }

    /// Looks whether the device may still speak to others, where nothing else asks the database. While that is away, what it
    /// said last counts.
    async fn stays(&mut self, kind: &str) -> Result<(), Refused> {
        if self.admitted.is_some_and(|admitted| admitted.elapsed() < BELIEVED) {
            return Ok(());
        }
        match self.shared.backend.admit(&self.caller, &self.link.device).await {
            Ok(()) => self.admitted = Some(Instant::now()),
            Err(ServiceError::Unavailable { .. }) => {}
            Err(error) => return Err(Refused::of(&error, kind)),
        }
        Ok(())
    }

    async fn report(&self, pending_uploads: u32) -> Result<(), Refused> {
        let seen = DeviceSeen {
            device: self.link.device.clone(),
            device_type: None,
            app_version: None,
            name: None,
            pending_uploads: Some(pending_uploads),
            cursor: None,
        };
        let backend = &self.shared.backend;
        backend.seen(&self.caller, seen).await.map_err(|error| Refused::of(&error, "ping"))
    }

    async fn push(&self, change: Uploads, mutation_id: Option<String>, answer: &mut Answer) -> Result<(), Refused> {
        const KIND: &str = "data_updated";
        let named = |refused| match refused {
            Refused::Say(problem) => Refused::Say(Problem { mutation_id: mutation_id.clone(), ..problem }),
            close => close,
        };
        let backend = &self.shared.backend;
        self.link.outbox().set_uploading(true);
        let ignored = change.ignored.clone();
        let pushed = backend.push(&self.caller, &self.link.device, change).await;
        self.link.pulse.heartbeat();
        let settled = async {
            let pushed = pushed.map_err(|error| named(Refused::of(&error, KIND)))?;
            for (scope, version) in &pushed.scopes {
                self.shared.settled(*scope, *version).await;
                self.link.pulse.heartbeat();
            }
            Ok(pushed)
        };
        let settled = settled.await;
        self.link.outbox().set_uploading(false);
        let pushed = settled?;
        let Some(result) = pushed.results.first() else {
            return Err(named(Refused::Say(Problem::new(code::INTERNAL, "the change has no result").answering(KIND))));
        };
        let message =
            ServerMessage::ChangeResult { result, conflict: pushed.conflicts.first(), ignored: ignored.names() };
        self.say_in_memory(answer, &message, SMALL, None).await;
        Ok(())
    }

    async fn sync(&self, request: SyncRequest, request_id: &Value, answer: &mut Answer) -> Result<(), Refused> {
        const KIND: &str = "sync";
        let named = |refused| match refused {
            Refused::Say(problem) => Refused::Say(Problem { request_id: Some(request_id.clone()), ..problem }),
            close => close,
        };
        let uploads = request.changes.count > 0;
        let full = request.force_full_sync;
        let ignored = request.changes.ignored.clone();
        let all_tables = request.tables.0.is_empty();
        self.link.outbox().set_uploading(uploads);
        let done = self.shared.backend.sync(&self.caller, request).await;
        self.link.pulse.heartbeat();
        if let Ok(served) = &done {
            self.settled_at(&served.answer.cursor).await;
        }
        self.link.outbox().set_uploading(false);
        let Served { answer: response, turn } = match done {
            Ok(served) => served,
            Err(error) => return Err(named(Refused::of(&error, KIND))),
        };
        let message = ServerMessage::SyncResponse { request_id, response: &response, ignored: ignored.names() };
        self.say_in_memory(answer, &message, response.about_bytes(), Some(turn)).await;
        if all_tables && !response.has_more && !response.reset {
            self.link.outbox().pulled(&response.cursor);
        }
        let device_id = &self.link.device;
        if let Some(changes_count) = self.shared.synced(self.caller.user, device_id, &response, full) {
            self.say(answer, &ServerMessage::SyncCompleted { device_id, changes_count });
        }
        Ok(())
    }

    /// Answers with what may be long, about so many bytes, in memory of the person's share. `turn` is kept until there is some.
    async fn say_in_memory(&self, answer: &mut Answer, message: &ServerMessage<'_>, about: usize, turn: Option<Turn>) {
        let backend = &self.shared.backend;
        let text = written(message, about, backend.now());
        // It is done: too late for a refusal.
        loop {
            match backend.budget().answer(self.caller.user, text.capacity()).await {
                Ok(memory) => {
                    answer.memory = Some(memory);
                    break;
                }
                Err(_) => self.link.pulse.heartbeat(),
            }
        }
        drop(turn);
        answer.messages.push(text.into());
    }

    /// Waits until the outbox holds all changes up to `cursor`, so that versions arrive in order before the answer.
    async fn settled_at(&self, cursor: &Cursor) {
        for scope in [Scope::User(self.caller.user), Scope::Global] {
            self.shared.settled(scope, cursor.at(scope)).await;
            self.link.pulse.heartbeat();
        }
    }

    fn subscribe(&self, names: &[String], add: bool) -> Result<(), Refused> {
        let kind = if add { "subscribe" } else { "unsubscribe" };
        let refused = |code, detail: String| Refused::Say(Problem::new(code, detail).answering(kind));
        let most = self.shared.backend.limits().subscriptions;
        let over = || refused(code::LIMIT, format!("at most {most} tables can be named (limits.subscriptions)"));
        if names.len() > most {
            return Err(over());
        }
        let registry = self.shared.backend.registry();
        let (tables, unknown) = registry.resolve(names);
        if let Some(unknown) = unknown.first() {
            return Err(refused(code::UNKNOWN_TABLE, format!("{unknown}; see GET /tables")));
        }
        let mut outbox = self.link.outbox();
        if !add {
            outbox.unsubscribe(&tables, registry.iter().map(|table| table.name));
        } else if !outbox.subscribe(&tables, most) {
            return Err(over());
        }
        Ok(())
    }

    fn broadcast(&self, event: &str, payload: Option<&RawValue>) {
        let source_device = Some(&self.link.device);
        let message = ServerMessage::Broadcast { event, payload, source_device };
        self.shared.tell_others(self.caller.user, source_device, &message);
    }
}

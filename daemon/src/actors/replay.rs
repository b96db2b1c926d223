//! The replay: the changes that a device missed since its cursor, a page at a time, while its outbox is held.

use std::sync::Arc;

use super::backend::Backend;
use super::close::CloseReason;
use super::link::Link;
use crate::metrics::Loss;
use crate::sync::{ChangeRecord, Cursor, Scope, Version};

/// The rest of a replay.
pub struct Replay {
    backend: Arc<dyn Backend>,
    link: Arc<Link>,
    at: Cursor,
    /// The scopes that are left, the next one last.
    scopes: Vec<Scope>,
}

/// A part of a replay.
pub struct ReplayPage {
    /// The changes to send, in version order.
    pub records: Vec<ChangeRecord>,
    /// The scope.
    pub scope: Scope,
    /// Everything of the scope up to here was sent once the records were.
    pub reached: Version,
    /// The rest of the replay after this page.
    pub rest: Option<Replay>,
}

impl Replay {
    /// The replay of what lies between two cursors; none where that is nothing.
    pub(crate) fn between(backend: &Arc<dyn Backend>, link: &Arc<Link>, from: Cursor, newest: &Cursor) -> Option<Self> {
        // The catalogue comes first: a user's rows may refer to it.
        let mut scopes = vec![Scope::User(link.user), Scope::Global];
        scopes.retain(|scope| from.at(*scope) < newest.at(*scope));
        let (backend, link) = (Arc::clone(backend), Arc::clone(link));
        (!scopes.is_empty()).then_some(Self { backend, link, at: from, scopes })
    }

    /// Reads the next page.
    ///
    /// # Errors
    /// When the database can't be read: the socket is to be closed.
    pub async fn next(mut self) -> Result<ReplayPage, CloseReason> {
        let scope = self.scopes.last().copied().unwrap_or(Scope::Global);
        let after = self.at.at(scope);
        let page = self.backend.replay_page(self.link.user, scope, after).await;
        let page = page.map_err(|error| CloseReason::of(&error))?;
        let mut records = page.records;
        {
            let outbox = self.link.outbox();
            records.retain(|record| record.version > after && outbox.wants(record.table));
        }
        // It ends before a row that only a pull can show, or not.
        if let Some(hidden) = records.iter().position(ChangeRecord::is_hidden) {
            records.truncate(hidden);
            let reached = records.last().map_or(after, |record| record.version);
            self.link.outbox().lose(Loss::NotShown);
            return Ok(ReplayPage { records, scope, reached, rest: None });
        }
        self.at.set(scope, page.version.max(after));
        if !page.has_more || page.version <= after {
            self.scopes.pop();
        }
        let rest = (!self.scopes.is_empty()).then_some(self);
        Ok(ReplayPage { records, scope, reached: page.version, rest })
    }
}

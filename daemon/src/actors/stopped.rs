//! Tables that are stopped, as devices hear of them.

use std::sync::PoisonError;

use super::link::Link;
use super::message::ServerMessage;
use super::realtime::Realtime;
use crate::sync::Scope;

/// The code of the message that tells of tables which are stopped.
const TABLE_STOPPED: &str = "table_stopped";

impl Realtime {
    /// Sets the stopped tables, and informs the devices that copy a newly stopped one.
    pub fn tables_stopped(&self, tables: Vec<&'static str>) {
        let before = {
            let mut stopped = self.shared.stopped_tables.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *stopped, tables.clone())
        };
        let fresh: Vec<&'static str> = tables.into_iter().filter(|table| !before.contains(table)).collect();
        self.shared.connections.links(Scope::Global).iter().for_each(|link| self.tell_stopped(link, &fresh));
    }

    /// Tells a device which of the tables that it copies are stopped.
    pub(crate) fn tell_stopped(&self, link: &Link, tables: &[&'static str]) {
        let copied: Vec<&str> = tables.iter().filter(|table| link.outbox().wants(table)).copied().collect();
        if !copied.is_empty() {
            let detail =
                format!("stopped until they are mended: {}; keep changes to them for later", copied.join(", "));
            let (code, answers, mutation_id, request_id) = (TABLE_STOPPED, None, None, None);
            link.message(self.shared.encoded(&ServerMessage::Error {
                code,
                detail: &detail,
                answers,
                mutation_id,
                request_id,
            }));
        }
    }
}

//! The people with their devices, and the frames that they hear.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{SecondsFormat, Utc};
use tokio::sync::mpsc::Sender;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use super::Fault;
use super::token::Key;

/// One of so many changes meets a fault that a test has built in.
const ONE_OF: i64 = 10;

/// Everybody.
#[derive(Debug)]
pub(super) struct Hall {
    key: Key,
    people: Mutex<HashMap<Uuid, Arc<Person>>>,
    fault: Option<Fault>,
}

#[derive(Debug)]
pub(super) struct Person {
    pub(super) id: Uuid,
    version: AtomicI64,
    devices: Mutex<Vec<Arc<Device>>>,
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) queue: Sender<Utf8Bytes>,
}

/// A change on its way.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) person: Arc<Person>,
    pub(super) from: Arc<Device>,
    pub(super) version: i64,
    pub(super) table: String,
    pub(super) operation: String,
    pub(super) mutation: Uuid,
    pub(super) row: Uuid,
    pub(super) data: String,
}

impl Hall {
    pub(super) fn new(secret: &str, fault: Option<Fault>) -> Self {
        Self { key: Key::new(secret), people: Mutex::default(), fault }
    }

    /// The person of a valid token.
    pub(super) fn person(&self, token: &str) -> Option<Arc<Person>> {
        let id = self.key.subject(token)?;
        let new = || Arc::new(Person { id, version: AtomicI64::new(0), devices: Mutex::default() });
        Some(Arc::clone(held(&self.people).entry(id).or_insert_with(new)))
    }

    /// Tells a stored change to the person's other devices, and its result to the device that it came from.
    pub(super) fn publish(&self, change: &Change) {
        let Change { person, from, version, table, operation, mutation, row, data } = change;
        let (now, source, scope) = (now(), &from.name, person.id);
        let fault = self.fault.filter(|_| version % ONE_OF == 0);
        let told = if fault == Some(Fault::Old) { 1 } else { *version };
        let devices = held(&person.devices);
        if devices.len() > 1 {
            let frame = Utf8Bytes::from(format!(
                r#"{{"type":"data_updated","table":"{table}","operation":"{operation}","data":{data},"source_device":"{source}","scope":"user:{scope}","version":{told},"timestamp":"{now}"}}"#
            ));
            let times = match fault {
                Some(Fault::Drop) => 0,
                Some(Fault::Double) => 2,
                _ => 1,
            };
            let is_meant = |device: &Arc<Device>| fault == Some(Fault::Echo) || !Arc::ptr_eq(device, from);
            for device in devices.iter().filter(|device| is_meant(device)) {
                (0..times).for_each(|_| device.tell(frame.clone()));
            }
        }
        from.tell(Utf8Bytes::from(format!(
            r#"{{"type":"change_result","mutation_id":"{mutation}","status":"applied","table":"{table}","id":"{row}","version":{version},"timestamp":"{now}"}}"#
        )));
    }
}

impl Person {
    /// The next version.
    pub(super) fn next(&self) -> i64 {
        self.version.fetch_add(1, Relaxed) + 1
    }

    /// Takes a device in, which hears first where its stream starts. One of the same name hears nothing any more.
    pub(super) fn enter(&self, device: &Arc<Device>) {
        let mut devices = held(&self.devices);
        devices.retain(|known| known.name != device.name);
        let (id, name, version, now) = (self.id, &device.name, self.version.load(Relaxed), now());
        device.tell(Utf8Bytes::from(format!(
            r#"{{"type":"connection_established","user_id":"{id}","device_id":"{name}","server_version":"relay","heartbeat_seconds":30,"cursor":{{"user":{version},"global":0}},"timestamp":"{now}"}}"#
        )));
        devices.push(Arc::clone(device));
    }

    pub(super) fn leave(&self, device: &Arc<Device>) {
        held(&self.devices).retain(|known| !Arc::ptr_eq(known, device));
    }
}

impl Device {
    /// Queues a frame. A device that takes nothing for so long loses it: this is a yardstick.
    pub(super) fn tell(&self, frame: Utf8Bytes) {
        let _ = self.queue.try_send(frame);
    }
}

/// The time as it travels.
pub(super) fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! An honest client: a copy, a queue, a cursor.

use std::collections::BTreeMap;

use ryzed::auth::Caller;
use ryzed::service::Service;
use ryzed::sync::Cursor;
use ryzed::sync::digest::TableDigest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The tables that the devices write to.
pub const TABLES: [&str; 3] = ["workout_templates", "workout_sessions", "workout_exercises"];

type Row = Map<String, Value>;

#[derive(Debug, Clone)]
pub struct Device {
    name: String,
    user: Uuid,
    pub cursor: Cursor,
    /// The rows as the server last sent them.
    pub rows: BTreeMap<(String, String), Row>,
    queue: Vec<Value>,
    /// The counter's value after the queued edits.
    counted: i64,
    /// The last request that was sent.
    sent: Option<Value>,
}

impl Device {
    pub fn new(number: usize, user: Uuid) -> Self {
        Self {
            name: format!("device-{number}"),
            user,
            cursor: Cursor::default(),
            rows: BTreeMap::new(),
            queue: Vec::new(),
            counted: 0,
            sent: None,
        }
    }

    /// The ids are the person's and the row's number, so that devices meet in them.
    fn id(&self, table: &str, row: usize) -> String {
        Uuid::new_v5(&self.user, format!("{table}/{row}").as_bytes()).to_string()
    }

    fn queue(&mut self, operation: &str, table: &str, data: Value) {
        let id = data["id"].as_str().unwrap_or_default().to_owned();
        let base = self.rows.get(&(table.to_owned(), id)).map(|row| row["_version"].clone());
        self.queue.push(json!({
            "mutation_id": Uuid::new_v4(), "table": table, "operation": operation, "data": data, "base_version": base,
            "conflict_strategy": if table == TABLES[0] { "merge" } else { "client_wins" },
        }));
    }

    pub fn make_counter(&mut self) {
        let data = json!({"id": self.id(TABLES[0], 0), "name_en": "Counter", "name_fr": "Compteur"});
        self.queue("INSERT", TABLES[0], data);
    }

    pub fn counter(&self) -> i64 {
        let counter = self.rows.get(&(TABLES[0].to_owned(), self.id(TABLES[0], 0)));
        counter.and_then(|row| row["usage_count"].as_i64()).unwrap_or(-1)
    }

    /// Increments the counter; false if it was not there.
    pub fn increment(&mut self) -> bool {
        let now = self.counter();
        if now < 0 {
            return false;
        }
        self.counted += 1;
        let data = json!({"id": self.id(TABLES[0], 0), "usage_count": now + self.counted});
        self.queue("UPDATE", TABLES[0], data);
        true
    }

    /// Rows 0 to 2 are sessions, 3 to 5 are exercises of session 0.
    pub fn edit(&mut self, row: usize, field: usize, value: u8) {
        let (table, mut data) = self.template(row);
        let (name, value) = match (row < 3, field) {
            (true, 0 | 1) => ("name", json!(format!("name {value}"))),
            (true, _) => ("is_completed", json!(value.is_multiple_of(2))),
            (false, _) => ("order_index", json!(value)),
        };
        data[name] = value;
        self.queue("UPSERT", table, data);
    }

    pub fn delete(&mut self, row: usize) {
        let (table, data) = self.template(row);
        self.queue("DELETE", table, json!({"id": data["id"]}));
    }

    fn template(&self, row: usize) -> (&'static str, Value) {
        if row < 3 {
            (TABLES[1], json!({"id": self.id(TABLES[1], row), "name": "new", "start_time": "2026-05-01T08:00:00Z"}))
        } else {
            (TABLES[2], json!({"id": self.id(TABLES[2], row), "session_id": self.id(TABLES[1], 0)}))
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty()
    }

    /// No request of this device is under way any more.
    pub fn forget_sent(&mut self) {
        self.sent = None;
    }

    /// Sends what is queued, and never hears the answer.
    pub async fn send(&mut self, service: &Service, caller: &Caller) {
        let request = json!({"device_id": self.name, "cursor": self.cursor, "changes": self.queue});
        self.ask(service, caller, &request).await;
        self.sent = Some(request);
    }

    /// The last request arrives once more.
    pub async fn again(&mut self, service: &Service, caller: &Caller) {
        if let Some(request) = self.sent.clone() {
            self.ask(service, caller, &request).await;
        }
    }

    pub async fn sync(&mut self, service: &Service, caller: &Caller) {
        let request = json!({"device_id": self.name, "cursor": self.cursor, "changes": self.queue, "limit": 7});
        let mut answer = self.ask(service, caller, &request).await;
        self.sent = Some(request);
        self.queue.clear();
        self.counted = 0;
        loop {
            self.apply(&answer);
            if answer["has_more"] == json!(false) {
                break;
            }
            let more = json!({"device_id": self.name, "cursor": self.cursor, "limit": 7});
            answer = self.ask(service, caller, &more).await;
        }
    }

    async fn ask(&self, service: &Service, caller: &Caller, request: &Value) -> Value {
        let request = serde_json::from_value(request.clone()).expect("a request");
        let answer = service.sync(caller, request).await.expect("an answer");
        serde_json::to_value(&answer.answer).expect("JSON")
    }

    fn apply(&mut self, answer: &Value) {
        if answer["reset"] == json!(true) {
            self.rows.clear();
        }
        for (table, rows) in answer["changes"].as_object().into_iter().flatten() {
            for row in rows.as_array().into_iter().flatten() {
                let id = row["id"].as_str().unwrap_or_default().to_owned();
                self.rows.insert((table.clone(), id), row.as_object().cloned().unwrap_or_default());
            }
        }
        for (table, gone) in answer["deletions"].as_object().into_iter().flatten() {
            for row in gone.as_array().into_iter().flatten() {
                self.rows.remove(&(table.clone(), row["id"].as_str().unwrap_or_default().to_owned()));
            }
        }
        self.cursor = serde_json::from_value(answer["cursor"].clone()).expect("a cursor");
    }

    pub fn digest(&self, table: &str) -> TableDigest {
        let rows = self.rows.iter().filter(|((name, _), _)| name == table);
        rows.fold(TableDigest::default(), |sum, ((_, id), row)| {
            sum + TableDigest::of(id, row["_version"].as_i64().unwrap_or_default())
        })
    }
}

//! One person at one daemon: the shortest way for a story to write and to look.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::{Api, Change, Connect, Device, Person, Token, insert};

/// The device that an account's own calls come from.
pub const PHONE: &str = "phone";

/// One person at one daemon, or at two that are as one.
#[derive(Debug, Clone)]
pub struct Account {
    /// The person.
    pub person: Person,
    /// HTTP with their token.
    pub api: Api,
    /// The addresses of its sockets, each to the next one.
    sockets: Vec<String>,
    connected: Arc<AtomicUsize>,
    /// The token of its sockets; none: each with a token of its own.
    token: Option<String>,
}

impl Account {
    /// An account at a daemon. When the stories run on pairs, everything is checked at the daemon's twin: the account
    /// reads there, and every other of its sockets goes there, the first one included.
    pub(crate) fn new(address: &str, twin: Option<String>, person: Person) -> Self {
        let api = Api::new(address, Some(person.token())).reading_at(twin.clone());
        let sockets = twin.into_iter().chain([address.to_owned()]).collect();
        Self { api, person, sockets, connected: Arc::default(), token: None }
    }

    /// The user's id as JSON.
    #[must_use]
    pub fn user(&self) -> Value {
        json!(self.person.id)
    }

    /// A token in the making.
    #[must_use]
    pub fn token(&self) -> Token {
        Token::of(&self.person)
    }

    /// What its calls come with.
    #[must_use]
    pub fn bearer(&self) -> String {
        self.token.clone().unwrap_or_else(|| self.person.token())
    }

    /// The same person, whose calls and sockets all come with this token.
    #[must_use]
    pub fn with_token(&self, token: Token) -> Self {
        let token = token.sign();
        Self { api: self.api.with_token(Some(token.clone())), token: Some(token), ..self.clone() }
    }

    /// Syncs; the device is [`PHONE`] when `body` names none.
    pub async fn sync(&self, mut body: Value) -> Value {
        if body.get("device_id").is_none() {
            body["device_id"] = PHONE.into();
        }
        self.api.post("/sync", &body).await.ok()
    }

    /// Uploads from [`PHONE`]; the whole answer.
    pub async fn push(&self, changes: impl IntoIterator<Item = Change>) -> Value {
        self.push_from(PHONE, changes).await
    }

    /// Uploads; the whole answer.
    pub async fn push_from(&self, device: &str, changes: impl IntoIterator<Item = Change>) -> Value {
        let changes: Vec<Value> = changes.into_iter().map(|change| change.json()).collect();
        // What is downloaded does not matter here, and one small table is the least.
        self.sync(json!({"device_id": device, "tables": ["users"], "changes": changes})).await
    }

    /// Uploads one change; its result.
    pub async fn change(&self, change: Change) -> Value {
        self.push([change]).await["results"][0].clone()
    }

    /// Uploads one change that must be applied; the row's version.
    pub async fn apply(&self, change: Change) -> Value {
        let result = self.change(change).await;
        assert_eq!(result["status"], "applied", "{result}");
        assert!(result["version"].is_i64(), "{result}");
        result["version"].clone()
    }

    /// Uploads a new row; its version.
    pub async fn store(&self, table: &str, row: &Value) -> Value {
        self.apply(insert(table, row)).await
    }

    /// The code of the first error with which a change is rejected.
    pub async fn refusal(&self, change: Change) -> String {
        let result = self.change(change).await;
        assert_eq!(result["status"], "rejected", "{result}");
        let error = &result["errors"][0];
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{result}");
        assert!(error["field"].is_string(), "{result}");
        error["code"].as_str().unwrap_or_else(|| panic!("no code: {result}")).to_owned()
    }

    /// Downloads everything that `body` asks for, page by page: `changes`, `deletions`, `cursor`, and `pages`.
    pub async fn pull(&self, mut body: Value) -> Value {
        let mut all = json!({"changes": {}, "deletions": {}, "pages": 0});
        loop {
            let page = self.sync(body.clone()).await;
            assert_eq!(page["reset"], false, "{page}");
            for part in ["changes", "deletions"] {
                for (table, rows) in page[part].as_object().into_iter().flatten() {
                    let held = all[part].as_object_mut().expect("an object").entry(table).or_insert_with(|| json!([]));
                    let rows = rows.as_array().unwrap_or_else(|| panic!("no list of rows: {page}"));
                    held.as_array_mut().expect("a list").extend(rows.iter().cloned());
                }
            }
            all["pages"] = json!(all["pages"].as_u64().unwrap_or(0) + 1);
            all["cursor"] = page["cursor"].clone();
            if page["has_more"] == false {
                return all;
            }
            body["cursor"] = page["cursor"].clone();
            body.as_object_mut().expect("an object").remove("force_full_sync");
        }
    }

    /// The person's rows of a table, and the catalogue's, as a new device gets them.
    pub async fn rows(&self, table: &str) -> Vec<Value> {
        let pulled = self.pull(json!({"tables": [table]})).await;
        pulled["changes"][table].as_array().cloned().unwrap_or_default()
    }

    /// One row as a new device gets it.
    pub async fn row(&self, table: &str, id: &Value) -> Option<Value> {
        self.rows(table).await.into_iter().find(|row| row["id"] == *id)
    }

    /// The newest cursor.
    pub async fn cursor(&self) -> Value {
        self.pull(json!({"tables": ["users"]})).await["cursor"].clone()
    }

    /// A socket in the making.
    #[must_use]
    pub fn connect(&self, device: &str) -> Connect {
        let turn = self.connected.fetch_add(1, Ordering::Relaxed);
        let token = self.token.clone().unwrap_or_else(|| self.person.token());
        Connect::new(&self.sockets[turn % self.sockets.len()], device, token)
    }

    /// A connected socket.
    pub async fn socket(&self, device: &str) -> crate::Socket {
        self.connect(device).established().await
    }

    /// A device with a copy of its own.
    #[must_use]
    pub fn device(&self, id: &str) -> Device {
        Device::new(self.api.clone(), id)
    }
}

/// A cursor in the form of a query string.
#[must_use]
pub fn cursor_text(cursor: &Value) -> String {
    let mut text = cursor["epoch"].as_str().unwrap_or_default().to_owned();
    for (scope, version) in cursor.as_object().into_iter().flatten().filter(|(name, _)| *name != "epoch") {
        text.push_str(&format!(",{scope}:{version}"));
    }
    text
}

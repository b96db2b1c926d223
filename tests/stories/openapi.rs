//! The description of the interface is true: what a daemon really answers is what it says.

use hyper::Method;
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, Answer, Daemon, Person, delete, insert, update};
use serde_json::{Value, json};

/// The description, made strict: an object has no members but those that are described.
fn strict(value: &mut Value) {
    if let Value::Object(members) = value {
        if members.contains_key("properties") && members.get("type") == Some(&json!("object")) {
            members.entry("additionalProperties").or_insert(json!(false));
        }
        members.values_mut().for_each(strict);
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(strict);
    }
}

/// Judges answers by the description.
struct Description {
    document: Value,
    seen: Vec<(String, String)>,
}

impl Description {
    async fn of(account: &Account) -> Self {
        let mut document = account.api.with_token(None).get("//openapi.json").await.ok();
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{document}");
        strict(&mut document["components"]["schemas"]);
        Self { document, seen: Vec::new() }
    }

    /// Checks status, type and body of an answer to `operation`, as `GET /api/realtime/devices`.
    fn check(&mut self, operation: &str, answer: &Answer) {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let described = &self.document["paths"][path][method.to_lowercase()];
        assert!(described.is_object(), "{operation} is not described");
        let responses = &described["responses"];
        let by_status = &responses[answer.status.to_string()];
        let mut response = if by_status.is_null() { &responses["default"] } else { by_status };
        assert!(!by_status.is_null() || answer.status >= 400, "{operation}: {} is not described", answer.status);
        if let Some(place) = response["$ref"].as_str() {
            response = self.document.pointer(&place[1..]).expect("the reference leads somewhere");
        }
        self.seen.push((method.to_owned(), path.to_owned()));
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{operation}: a body that is not described");
            return;
        };
        let (kind, media) = content.iter().next().expect("a media type");
        let sent = answer.header("content-type");
        assert!(kind == "*/*" || sent.starts_with(kind), "{operation}: {sent} and not {kind}");
        if kind.ends_with("json") && !kind.ends_with("ndjson") {
            self.judge(operation, &media["schema"], &answer.json());
        }
    }

    fn judge(&self, what: &str, schema: &Value, instance: &Value) {
        let mut whole = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema]});
        whole["components"] = self.document["components"].clone();
        let validator = jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{what}: {error}"));
        let errors: Vec<String> =
            validator.iter_errors(instance).map(|error| format!("{} {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}\nin {instance}");
    }
}

/// A person gets rows, deletions, and conflicts of both kinds; the id of the open one.
async fn lived(me: &Account, description: &mut Description) -> String {
    let entry = food_entry(json!({}));
    let version = me.store("food_entries", &entry).await;
    let gone = food_entry(json!({}));
    me.store("food_entries", &gone).await;
    me.apply(delete("food_entries", &gone["id"])).await;
    me.store("cardio_sessions", &row("cardio_sessions", json!({}))).await;
    me.apply(update("food_entries", &entry["id"], json!({"quantity": 7})).base(&version)).await;
    let conflict = update("food_entries", &entry["id"], json!({"quantity": 9})).base(&version).strategy("manual");
    let changes = [conflict.json(), insert("food_entries", &food_entry(json!({"quantity": -1}))).json()];
    let request = json!({"device_id": "phone", "device_type": "web", "digest": true, "changes": changes});
    description.judge("a request", &json!({"$ref": "#/components/schemas/SyncRequest"}), &request);
    let synced = me.api.post("/sync", &request).await;
    description.check("POST /api/realtime/sync", &synced);
    let open = &synced.json()["conflicts"][0]["conflict_id"];
    open.as_str().unwrap_or_else(|| panic!("no open conflict: {}", synced.text())).to_owned()
}

#[tokio::test]
async fn what_the_daemon_answers_is_what_its_description_says() {
    let daemon = Daemon::builder().env("RYZED_DEV__TEST_BROADCAST", true).start();
    let me = daemon.account();
    let mut description = Description::of(&me).await;
    let api = |path: &str| format!("/api/realtime/{path}");

    let conflict = lived(&me, &mut description).await;
    let _socket = me.socket("phone").await;
    for (path, query) in [
        ("changes", "?digest=true"),
        ("digest", ""),
        ("sync-status", "?device_id=phone"),
        ("sync-status", "?device_id=never-seen"),
        ("devices", ""),
        ("topics", ""),
        ("tables", ""),
        ("conflicts", ""),
        ("export", ""),
        ("active-users", ""),
        ("health", ""),
    ] {
        let answer = me.api.get(&format!("/{path}{query}")).await;
        description.check(&format!("GET {}", api(path)), &answer);
    }
    let keeper = daemon.account_of(Person::admin());
    description.check(&format!("GET {}", api("active-users")), &keeper.api.get("/active-users").await);
    let schema = me.api.get("/tables/food_entries/schema").await;
    description.check(&format!("GET {}", api("tables/{table}/schema")), &schema);
    for (path, operation, body) in [
        (format!("/conflicts/{}/resolve", conflict), "conflicts/{id}/resolve", json!({"resolution": "client"})),
        ("/trigger-sync".into(), "trigger-sync", json!({})),
        ("/test-broadcast".into(), "test-broadcast", json!({"message": "hello"})),
        ("/sync".into(), "sync", json!({"device_id": "no id at all"})),
        ("/sync".into(), "sync", json!({"device_id": "phone", "tables": ["steps"]})),
    ] {
        description.check(&format!("POST {}", api(operation)), &me.api.post(&path, &body).await);
    }
    let device = api("devices/{id}");
    description.check(&format!("PATCH {device}"), &me.api.patch("/devices/phone", &json!({"name": "mine"})).await);
    description.check(&format!("DELETE {device}"), &me.api.delete("/devices/nobodys").await);
    description.check(&format!("DELETE {device}"), &me.api.delete("/devices/phone").await);
    // What was revoked with the device.
    description.check(&format!("DELETE {device}"), &me.api.delete("/devices/phone").await);
    description.check(&format!("GET {}", api("ws/{device_id}")), &me.api.get("/ws/phone").await);
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/client.js",
        "/client-online.js",
        "/client-more.js",
        "/client-query.js",
        "/client-inspector.js",
        "/client-lazy.js",
        "/",
        "/demo",
        "/demo/people",
    ] {
        description.check(&format!("GET {path}"), &me.api.get(&format!("/{path}")).await);
    }
    description.check("POST /demo/people", &me.api.with_token(None).post("//demo/people", &json!({})).await);
    let refused = me.api.with_token(None).raw(Method::GET, "/devices", &[], "").await.expect("an answer");
    assert_eq!(refused.status, 401);
    description.check(&format!("GET {}", api("devices")), &refused);

    // Nothing was left out but a file of the demo page.
    let paths = description.document["paths"].as_object().expect("paths");
    for (path, operations) in paths.iter().filter(|(path, _)| *path != "/demo/{asset}") {
        for method in operations.as_object().expect("operations").keys() {
            let called = (method.to_uppercase(), path.clone());
            assert!(description.seen.contains(&called), "{method} {path} was not tried");
        }
    }
}

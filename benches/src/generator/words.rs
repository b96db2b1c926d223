//! Frames, as devices send and read them.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

/// The table of all rows that are written; the catalogue has none of it.
pub const TABLE: &str = "food_entries";
/// The frame of a device that says it is there.
pub const PING: &str = r#"{"type":"ping"}"#;
const MEALS: [&str; 5] = ["breakfast", "lunch", "dinner", "snack", "other"];

/// A new row, about 230 bytes. Its values follow from its number.
#[must_use]
pub fn row(id: Uuid, number: u64) -> String {
    let meal = MEALS[(number % 5) as usize];
    let [quantity, calories, proteins, carbs, fats] = [400, 700, 60, 90, 40].map(|most| 1 + number % most);
    let [minute, second] = [number / 60 % 60, number % 60];
    format!(
        r#"{{"id":"{id}","quantity":{quantity}.5,"unit":"g","meal_type":"{meal}","consumed_at":"2026-03-01T12:{minute:02}:{second:02}.000000Z","calories":{calories},"proteins":{proteins}.5,"carbs":{carbs}.25,"fats":{fats}.75}}"#
    )
}

/// The frame that inserts a row; its mutation id is the row's.
#[must_use]
pub fn frame(id: Uuid, number: u64) -> String {
    let row = row(id, number);
    format!(r#"{{"type":"data_updated","table":"{TABLE}","operation":"INSERT","mutation_id":"{id}","data":{row}}}"#)
}

/// The body of a `POST /sync` that inserts rows and downloads nothing of them.
#[must_use]
pub fn upload(device: &str, cursor: Option<&str>, rows: impl Iterator<Item = (Uuid, u64)>) -> String {
    let cursor = cursor.unwrap_or("null");
    let changes: Vec<String> = rows
        .map(|(id, number)| {
            let row = row(id, number);
            format!(r#"{{"mutation_id":"{id}","table":"{TABLE}","operation":"INSERT","data":{row}}}"#)
        })
        .collect();
    let changes = changes.join(",");
    format!(r#"{{"device_id":"{device}","tables":["users"],"cursor":{cursor},"changes":[{changes}]}}"#)
}

/// A frame of the server, as far as it matters here.
#[derive(Debug, PartialEq)]
pub enum Heard<'a> {
    /// `connection_established`.
    Ready,
    /// The answer to a change of this device.
    Answer {
        /// The row that the change made.
        row: Uuid,
        /// True if it is in the database now.
        is_accepted: bool,
    },
    /// A row of somebody.
    Row {
        /// Its id.
        row: Uuid,
        /// Its scope.
        scope: Cow<'a, str>,
        /// Its version.
        version: i64,
    },
    /// `sync_required`: what waited for this device was dropped.
    Behind,
    /// `error` that answers no change.
    Error,
    /// Something that nobody counts.
    Other,
    /// Something that this generator does not understand.
    Unknown,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    scope: Option<Cow<'a, str>>,
    mutation_id: Option<Uuid>,
    version: Option<i64>,
    data: Option<OnlyId>,
    new_record: Option<OnlyId>,
}

#[derive(Deserialize)]
struct OnlyId {
    id: Option<Uuid>,
}

/// Reads a frame.
#[must_use]
pub fn hear(text: &str) -> Heard<'_> {
    let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else { return Heard::Unknown };
    match &*frame.kind {
        "data_updated" | "database_change" => {
            let row = frame.data.or(frame.new_record).and_then(|row| row.id);
            match (row, frame.scope, frame.version) {
                (Some(row), Some(scope), Some(version)) => Heard::Row { row, scope, version },
                _ => Heard::Unknown,
            }
        }
        "change_result" => match (frame.mutation_id, frame.status.as_deref()) {
            (Some(row), Some(status)) => Heard::Answer { row, is_accepted: matches!(status, "applied" | "merged") },
            _ => Heard::Unknown,
        },
        "error" => frame.mutation_id.map_or(Heard::Error, |row| Heard::Answer { row, is_accepted: false }),
        "connection_established" => Heard::Ready,
        "sync_required" => Heard::Behind,
        "pong" | "presence" | "sync_triggered" | "sync_completed" | "other_device_synced" | "token_expiring" => {
            Heard::Other
        }
        _ => Heard::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: Uuid = Uuid::from_u128(0x7d44_4840_9dc0_4e0b_8d7e_1a2b_3c4d_5e6f);

    #[test]
    fn what_is_sent_is_json_of_the_table() {
        let frame: Value = serde_json::from_str(&frame(ID, 4321)).expect("JSON");
        assert_eq!((&frame["type"], &frame["mutation_id"]), (&json!("data_updated"), &json!(ID)));
        assert_eq!(frame["data"]["id"], json!(ID));
        assert!(frame["data"]["quantity"].as_f64().is_some_and(|quantity| quantity > 0.0));
        let body = upload("phone", None, [(ID, 1), (Uuid::nil(), 2)].into_iter());
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["changes"].as_array().map(Vec::len), Some(2));
        assert_eq!(body["cursor"], Value::Null);
    }

    #[test]
    fn what_comes_is_understood() {
        let says = |frame: Value, wanted: Heard<'_>| assert_eq!(hear(&frame.to_string()), wanted, "{frame}");
        says(json!({"type": "connection_established", "cursor": {"user": 1}}), Heard::Ready);
        let row =
            json!({"type": "data_updated", "data": {"id": ID, "unit": "a \"b\""}, "scope": "user:1", "version": 3});
        says(row, Heard::Row { row: ID, scope: "user:1".into(), version: 3 });
        let row = json!({"type": "database_change", "new_record": {"id": ID}, "scope": "global", "version": 9});
        says(row, Heard::Row { row: ID, scope: "global".into(), version: 9 });
        let answer = |status| json!({"type": "change_result", "mutation_id": ID, "status": status});
        says(answer("applied"), Heard::Answer { row: ID, is_accepted: true });
        says(answer("rejected"), Heard::Answer { row: ID, is_accepted: false });
        let error = json!({"type": "error", "code": "limit", "detail": "\u{e9}", "mutation_id": ID});
        says(error, Heard::Answer { row: ID, is_accepted: false });
        says(json!({"type": "error", "code": "limit"}), Heard::Error);
        says(json!({"type": "sync_required", "reason": "too_slow"}), Heard::Behind);
        says(json!({"type": "presence"}), Heard::Other);
        says(json!({"type": "data_updated"}), Heard::Unknown);
        says(json!([]), Heard::Unknown);
    }
}

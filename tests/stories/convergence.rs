//! After quiet, every device that pulled holds exactly the server's rows.

use std::collections::BTreeMap;

use ryzed_tests::device::live;
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, Device};
use serde_json::{Value, json};

use crate::somebody;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

async fn all_agree(me: &Account, devices: &mut [Device]) {
    for device in devices.iter_mut() {
        device.sync().await;
    }
    let digest = live(&me.api.get("/digest").await.ok()["digest"]);
    for device in devices.iter_mut() {
        // Those that synced first have not seen what the later ones uploaded.
        device.sync().await;
    }
    for device in devices.iter() {
        assert_eq!(live(&device.digest()), digest, "{} holds something else than the server", device.id);
    }
    let copies: Vec<BTreeMap<&String, &BTreeMap<String, Value>>> =
        devices.iter().map(|device| device.rows.iter().filter(|(_, rows)| !rows.is_empty()).collect()).collect();
    assert!(copies.windows(2).all(|pair| pair[0] == pair[1]), "the copies differ");
}

#[tokio::test]
async fn two_devices_one_offline_for_a_hundred_edits_that_overlap_with_the_others() {
    let me = somebody();
    let (mut phone, mut tablet) = (me.device("phone"), me.device("tablet"));
    let rows: Vec<Value> = (0..100).map(|n| food_entry(json!({"quantity": n + 1, "calories": 1}))).collect();
    for row in &rows {
        phone.insert("food_entries", row);
    }
    phone.sync().await;
    tablet.sync().await;

    // The tablet is offline: a hundred edits, and ten rows of its own.
    for (n, row) in rows.iter().enumerate() {
        match n % 5 {
            0..3 => tablet.update("food_entries", &row["id"], json!({"quantity": 1000 + n, "unit": "ml"})),
            3 => tablet.update("food_entries", &row["id"], json!({"meal_type": "snack"})),
            _ => tablet.delete("food_entries", &row["id"]),
        }
    }
    for _ in 0..10 {
        tablet.insert("food_entries", &food_entry(json!({})));
    }
    // Meanwhile the phone edits and deletes some of the same rows.
    for (n, row) in rows.iter().enumerate() {
        match n % 4 {
            0 => phone.update("food_entries", &row["id"], json!({"quantity": 2000 + n})),
            1 => phone.update("food_entries", &row["id"], json!({"calories": 5})),
            2 => phone.delete("food_entries", &row["id"]),
            _ => {}
        }
    }
    phone.sync().await;
    let wanted = tablet.queue.clone();
    tablet.sync().await;
    phone.sync().await;

    for edit in &wanted {
        lost_values_are_reported(edit, &tablet);
    }
    all_agree(&me, &mut [phone, tablet]).await;
}

/// Asserts that an edit's values are in the copy, or in a conflict.
fn lost_values_are_reported(edit: &Value, device: &Device) {
    let reported = |field: &str, value: &Value| {
        device.conflicts.iter().any(|conflict| {
            let fields = conflict["fields"].as_array().into_iter().flatten();
            conflict["mutation_id"] == edit["mutation_id"]
                && (conflict["row"].is_null()
                    || fields.clone().any(|of| of["field"] == field && of["client"] == *value))
        })
    };
    let row = device.row("food_entries", &edit["data"]["id"]);
    if edit["operation"] == "DELETE" {
        let told = device.conflicts.iter().any(|conflict| conflict["mutation_id"] == edit["mutation_id"]);
        assert!(row.is_none() || told, "the delete is lost and not reported: {edit}");
        return;
    }
    for (field, value) in edit["data"].as_object().expect("fields").iter().filter(|(name, _)| !name.ends_with("_at")) {
        let kept = row.is_some_and(|row| row[field] == *value);
        assert!(kept || reported(field, value), "{field} = {value} is lost and not reported: {edit}");
    }
}

#[tokio::test]
async fn five_devices_that_come_and_go_end_with_one_copy() {
    for seed in 1..=3 {
        let me = somebody();
        let mut dice = Dice(seed);
        let mut devices: Vec<Device> = (0..5).map(|n| me.device(&format!("device-{n}"))).collect();
        for step in 0..150 {
            let at = dice.roll(devices.len());
            devices[at].limit = 1 + dice.roll(40);
            match dice.roll(6) {
                0 | 1 => devices[at].sync().await,
                _ => edit(&mut devices[at], &mut dice, step),
            }
        }
        all_agree(&me, &mut devices).await;
    }
}

fn edit(device: &mut Device, dice: &mut Dice, step: usize) {
    let sessions: Vec<Value> = known(device, "workout_sessions");
    let exercises: Vec<Value> = known(device, "workout_exercises");
    let pick = |dice: &mut Dice, ids: &[Value]| (!ids.is_empty()).then(|| ids[dice.roll(ids.len())].clone());
    match dice.roll(8) {
        0 | 1 => device.insert("workout_sessions", &row("workout_sessions", json!({"name": format!("S{step}")}))),
        2 | 3 => {
            if let Some(session) = pick(dice, &sessions) {
                device.insert("workout_exercises", &row("workout_exercises", json!({"session_id": session})));
            }
        }
        4 | 5 => {
            if let Some(session) = pick(dice, &sessions) {
                device.update("workout_sessions", &session, json!({"name": format!("E{step}"), "is_completed": true}));
            }
        }
        6 => {
            if let (Some(exercise), Some(session)) = (pick(dice, &exercises), pick(dice, &sessions)) {
                device.update("workout_exercises", &exercise, json!({"session_id": session, "order_index": step}));
            }
        }
        _ => {
            if let Some(session) = pick(dice, &sessions) {
                device.delete("workout_sessions", &session);
            }
        }
    }
}

/// The rows of its copy that it has not deleted.
fn known(device: &Device, table: &str) -> Vec<Value> {
    let rows = device.rows.get(table).into_iter().flatten().map(|(_, row)| row["id"].clone());
    let deleted = |id: &Value| device.queue.iter().any(|m| m["operation"] == "DELETE" && m["data"]["id"] == *id);
    rows.filter(|id| !deleted(id)).collect()
}

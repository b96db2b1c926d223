//! The judgement when all is quiet: every copy is the server's, every edit took effect exactly once, nothing is lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::device::Device;
use super::oracle::{Issued, Oracle, uuid};
use super::plan::{Kind, SyncStep};
use super::world::Processes;
use crate::device::live;
use crate::rows::TABLES;
use crate::{Account, Database, Person};

/// The time that the devices may take to upload everything.
const UPLOADED: Duration = Duration::from_secs(120);
/// The time that sockets may take to bring everything, sweeps included.
const DELIVERED: Duration = Duration::from_secs(30);

/// Everybody may see what a daemon brings along.
pub async fn know_catalogue(processes: &Processes, oracle: &Oracle) {
    let catalogue = pulled(&processes.daemons[0].account()).await;
    catalogue.values().flatten().filter_map(|(id, _)| id.parse().ok()).for_each(|id| oracle.everybody_may_see(id));
}

/// Comes to rest: all that is queued is uploaded, and sockets bring everything without a pull.
pub async fn come_to_rest(devices: Vec<Device>, oracle: &Arc<Oracle>) -> Vec<Device> {
    let mut resting = tokio::task::JoinSet::new();
    for mut device in devices {
        resting.spawn(async move {
            device.offline_until = None;
            let began = Instant::now();
            while !(device.kept.queue.is_empty()
                && !device.kept.must_pull
                && device.sync(&SyncStep::plain(), false).await)
            {
                if began.elapsed() > UPLOADED {
                    let left = device.kept.queue.len();
                    device.oracle.violated(&device.id.name, format!("{left} edits are left and can't be uploaded"));
                    break;
                }
                if !device.sync(&SyncStep::plain(), false).await {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            device
        });
    }
    let mut devices = resting.join_all().await;
    devices.sort_by(|a, b| a.id.name.cmp(&b.id.name));
    oracle.timeline.note("verdict", "everything is uploaded");
    devices
}

/// Checks one person: their devices against the server, and the server against what was made.
pub async fn judge(person: usize, who: &Person, devices: &mut [Device], processes: &Processes, oracle: &Oracle) {
    let account = processes.daemons[0].account_of(who.clone());
    served(&account, oracle).await;
    let server = pulled(&account).await;
    let digest = live(&account.api.get("/digest").await.ok()["digest"]);
    for device in devices.iter_mut().filter(|device| device.id.person == person) {
        by_socket(device, &server).await;
        // Those that hear of nothing by themselves have not seen what the others uploaded last.
        while !device.sync(&SyncStep::plain(), false).await {}
        same(&device.id.name, "the server", &server, &device.kept.rows, device.id.tables(), oracle);
        if device.id.tables().is_empty() && device.kept.digest() != digest {
            oracle.violated(&device.id.name, format!("holds {:?}, the server {digest:?}", device.kept.digest()));
        }
    }
    let stored = stored(&processes.database(), who.id);
    for table in TABLES {
        let told: Vec<String> = server.get(table).into_iter().flatten().map(|(id, _)| id.clone()).collect();
        if told != stored[table] {
            oracle.violated(
                "verdict",
                format!("person {person} is told {told:?} of {table}, the database has {:?}", stored[table]),
            );
        }
    }
    let receipts = receipts(&processes.database(), who.id);
    edits(person, &server, &receipts, oracle);
    for (_, id) in oracle.all_committed().iter().filter(|(owner, _)| *owner == person) {
        if row(&server, "cardio_sessions", *id).is_none() {
            oracle.violated("verdict", format!("cardio_sessions {id} was committed with SQL and is gone"));
        }
    }
}

/// Waits until no table is stopped, and nothing of one that was is still owed.
async fn served(account: &Account, oracle: &Oracle) {
    let began = Instant::now();
    loop {
        let stopped = account.api.get("/digest").await.ok()["stopped"].clone();
        if stopped.is_null() {
            return;
        }
        if began.elapsed() > DELIVERED {
            return oracle.violated("verdict", format!("{stopped} do not go on within {DELIVERED:?}"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A device with a socket comes to hold everything without asking.
async fn by_socket(device: &mut Device, server: &super::replica::Rows) {
    if !matches!(device.id.kind, Kind::Live | Kind::Narrow) {
        return;
    }
    let began = Instant::now();
    let wanted = trimmed(server, device.id.tables());
    while trimmed(&device.kept.rows, device.id.tables()) != wanted && !device.kept.must_pull {
        if began.elapsed() > DELIVERED {
            let oracle = Arc::clone(&device.oracle);
            oracle.violated(&device.id.name, format!("its socket did not bring everything within {DELIVERED:?}"));
            return same(&device.id.name, "its socket's", server, &device.kept.rows, device.id.tables(), &oracle);
        }
        device.live(Instant::now() + Duration::from_millis(500)).await;
    }
}

fn trimmed<'a>(rows: &'a super::replica::Rows, tables: &[&str]) -> BTreeMap<&'a String, &'a BTreeMap<String, Value>> {
    rows.iter()
        .filter(|(table, rows)| !rows.is_empty() && (tables.is_empty() || tables.contains(&table.as_str())))
        .collect()
}

fn same(
    actor: &str,
    other: &str,
    server: &super::replica::Rows,
    copy: &super::replica::Rows,
    tables: &[&str],
    oracle: &Oracle,
) {
    let (server, copy) = (trimmed(server, tables), trimmed(copy, tables));
    for table in TABLES.map(str::to_owned) {
        let rows = |of: &BTreeMap<&String, &BTreeMap<String, Value>>| {
            of.get(&table).map(|rows| (*rows).clone()).unwrap_or_default()
        };
        let (theirs, own) = (rows(&server), rows(&copy));
        for id in theirs.keys().chain(own.keys().filter(|id| !theirs.contains_key(*id))) {
            if theirs.get(id) != own.get(id) {
                let show = |row: Option<&Value>| row.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                oracle.violated(
                    actor,
                    format!(
                        "{table} {id} differs: {other} copy has {}, the device {}",
                        show(theirs.get(id)),
                        show(own.get(id))
                    ),
                );
            }
        }
    }
}

/// Everything that a new device gets.
async fn pulled(account: &Account) -> super::replica::Rows {
    let answer = account.pull(json!({"device_id": "verdict"})).await;
    let mut rows = super::replica::Rows::new();
    for (table, list) in answer["changes"].as_object().into_iter().flatten() {
        for row in list.as_array().into_iter().flatten() {
            let id = row["id"].as_str().unwrap_or_default().to_owned();
            rows.entry(table.clone()).or_default().insert(id, row.clone());
        }
    }
    // The catalogue's first page may be older than the last one.
    for (table, list) in answer["deletions"].as_object().into_iter().flatten() {
        for gone in list.as_array().into_iter().flatten() {
            let id = gone["id"].as_str().unwrap_or_default();
            let at = gone["_version"].as_i64();
            if let Some(rows) =
                rows.get_mut(table).filter(|rows| rows.get(id).is_some_and(|row| row["_version"].as_i64() < at))
            {
                rows.remove(id);
            }
        }
    }
    rows
}

/// The ids of the rows that a person reads, found without the daemons' index.
fn stored(database: &Database, user: Uuid) -> BTreeMap<&'static str, Vec<String>> {
    let mut stored = BTreeMap::new();
    for table in TABLES {
        let own = format!("user_id = '{user}'");
        let condition = match table {
            "users" => format!("id = '{user}'"),
            "food_entries" | "workout_sessions" | "hiit_sessions" | "cardio_sessions" => own,
            "workout_exercises" => format!("session_id IN (SELECT id FROM workout_sessions WHERE {own})"),
            "exercise_sets" => format!(
                "workout_exercise_id IN (SELECT e.id FROM workout_exercises e JOIN workout_sessions s ON s.id = e.session_id WHERE s.{own})"
            ),
            "workout_template_exercises" => {
                format!("template_id IN (SELECT id FROM workout_templates WHERE {own} OR user_id IS NULL)")
            }
            "location_points" => format!("cardio_session_id IN (SELECT id FROM cardio_sessions WHERE {own})"),
            _ => format!("{own} OR user_id IS NULL"),
        };
        let mut ids: Vec<String> =
            database.run(&format!("SELECT id FROM {table} WHERE {condition}")).lines().map(str::to_owned).collect();
        ids.sort();
        stored.insert(table, ids);
    }
    stored
}

/// The server's receipts of a person's edits.
fn receipts(database: &Database, user: Uuid) -> HashMap<Uuid, Value> {
    let table = if matches!(database, Database::Postgres(_)) { "ryzed.receipts" } else { "sync_receipts" };
    let listed = database.run(&format!("SELECT mutation_id, result FROM {table} WHERE user_id = '{user}'"));
    let receipt = |line: &str| {
        let (id, json) = line.split_once('|')?;
        Some((id.parse().ok()?, serde_json::from_str(json).ok()?))
    };
    listed.lines().filter_map(receipt).collect()
}

fn row(server: &super::replica::Rows, table: &str, id: Uuid) -> Option<Value> {
    server.get(table)?.get(&id.to_string()).cloned()
}

/// True if an edit was refused only for now, which is not remembered: sent again later, it is judged anew.
fn is_for_now(result: &Value) -> bool {
    let errors = result["errors"].as_array().map_or(&[][..], Vec::as_slice);
    !errors.is_empty() && errors.iter().all(|error| error["code"] == "in_future")
}

/// Checks that every edit with a good result is done, and counts once.
fn edits(person: usize, server: &super::replica::Rows, receipts: &HashMap<Uuid, Value>, oracle: &Oracle) {
    let issued = oracle.all_issued();
    let own: HashMap<Uuid, &Issued> =
        issued.iter().filter(|(_, one)| one.person == person).map(|(id, one)| (*id, one)).collect();
    let fail = |what: String| oracle.violated("verdict", what);
    let mut counts: HashMap<Uuid, i64> = HashMap::new();
    let mut highest: HashMap<Uuid, i64> = HashMap::new();
    let mut last: HashMap<Uuid, ((i64, usize), Value)> = HashMap::new();
    for (id, one) in &own {
        let receipt = receipts.get(id).map(|receipt| &receipt["result"]);
        if let Some(result) = one.result.as_ref().filter(|result| !is_for_now(result))
            && Some(result) != receipt
        {
            fail(format!("{id} got {result}, and the server remembers {receipt:?}"));
        }
        let Some(receipt) = receipt.filter(|receipt| receipt["status"] != "rejected") else { continue };
        let (table, data) = (one.mutation["table"].as_str().unwrap_or_default(), &one.mutation["data"]);
        let Some(row_id) = uuid(&data["id"]) else { continue };
        match table {
            "cardio_sessions" => {
                let stored = row(server, table, row_id);
                if stored.as_ref().map(|row| &row["notes"]) != Some(&data["notes"]) {
                    fail(format!("{table} {row_id} was {receipt} and is {stored:?}"));
                }
            }
            "workout_templates" => {
                *counts.entry(row_id).or_default() += i64::from(one.mutation["operation"] == "UPDATE")
            }
            "hiit_sessions" => {
                let value = data["current_round"].as_i64().unwrap_or(0);
                highest.entry(row_id).and_modify(|most| *most = value.max(*most)).or_insert(value);
            }
            "cardio_activities" => {
                // Several edits of one request share the row's version.
                let version = (receipt["version"].as_i64().unwrap_or(0), one.number);
                if last.get(&row_id).is_none_or(|(before, _)| version > *before) {
                    last.insert(row_id, (version, data["name_fr"].clone()));
                }
            }
            _ => {}
        }
    }
    for (id, count) in counts {
        let stored = row(server, "workout_templates", id);
        if stored.as_ref().and_then(|row| row["usage_count"].as_i64()) != Some(count) {
            let history = history(id, &own, receipts);
            fail(format!("workout_templates {id} was counted up {count} times and is {stored:?}:\n{history}"));
        }
    }
    for (id, most) in highest {
        let stored = row(server, "hiit_sessions", id);
        if stored.as_ref().and_then(|row| row["current_round"].as_i64()) != Some(most) {
            fail(format!("hiit_sessions {id} was raised to {most} and is {stored:?}"));
        }
    }
    for (id, (version, value)) in last {
        let stored = row(server, "cardio_activities", id);
        if stored.as_ref().map(|row| &row["name_fr"]) != Some(&value) {
            fail(format!("cardio_activities {id} was set to {value} at {version:?} and is {stored:?}"));
        }
    }
}

/// The history of one row, in the order of versions: the edits that were sent, and their results.
fn history(row: Uuid, own: &HashMap<Uuid, &Issued>, receipts: &HashMap<Uuid, Value>) -> String {
    let of_row = own.iter().filter(|(_, one)| uuid(&one.mutation["data"]["id"]) == Some(row));
    let mut told: Vec<(Option<i64>, usize, String)> = of_row
        .filter(|(_, one)| !one.sent.is_empty())
        .map(|(id, one)| {
            let receipt = receipts.get(id).unwrap_or(&Value::Null);
            let sent: Vec<String> =
                one.sent.iter().map(|sent| format!("{} on {}", sent["data"], sent["base_version"])).collect();
            let line = format!("  {id} {}; {receipt}\n", sent.join(", then "));
            (receipt["result"]["version"].as_i64(), one.number, line)
        })
        .collect();
    told.sort();
    told.into_iter().map(|(_, _, line)| line).collect()
}

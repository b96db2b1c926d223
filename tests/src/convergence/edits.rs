//! Edits of rows as a person makes them on their copy. Each kind of row is there to show one sort of failure: rows that
//! are made once and never touched show losses, counters show what counts twice, and the rest meets everybody else's
//! edits.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::oracle::{CHILDREN, Oracle};
use super::plan::{Dice, STRATEGIES};
use super::replica::{Nature, Replica};

/// The tables of a device that follows only some.
pub const NARROW: [&str; 4] = ["workout_sessions", "workout_exercises", "exercise_sets", "food_entries"];

/// The person and device that edit.
#[derive(Debug)]
pub struct Editor<'a> {
    /// The person's number.
    pub person: usize,
    /// The device's name.
    pub device: &'a str,
    /// The error of its clock.
    pub skew: TimeDelta,
    /// True if it follows [`NARROW`] only.
    pub is_narrow: bool,
    /// The row that this device alone writes.
    pub own_row: Uuid,
}

/// Makes the edit that these dice show, if the copy has what it needs, and queues it.
pub fn make(editor: &Editor<'_>, replica: &mut Replica, oracle: &Oracle, mut dice: Dice) {
    let edits = if editor.is_narrow { 40 + dice.below(60) } else { dice.below(100) };
    let made = match edits {
        0..14 => Some(ledger(editor, &mut dice)),
        14..26 => counter(editor, replica, oracle, &mut dice),
        26..32 => highest(editor, replica, &mut dice),
        32..40 => Some(own(editor, replica)),
        40..68 => diary(editor, replica, &mut dice),
        _ => workout(editor, replica, &mut dice),
    };
    let Some(Edit { table, operation, data, strategy, nature }) = made else { return };
    let id: Uuid = data["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_default();
    match CHILDREN.iter().find(|(child, _, _)| *child == table) {
        Some((_, column, _)) => {
            let parent = data[*column].as_str().and_then(|id| id.parse().ok());
            parent.into_iter().for_each(|parent| oracle.hangs_on(id, parent));
        }
        // Of a row that it has been shown and that went elsewhere, the device still knows the id.
        None if operation == "INSERT" || table.starts_with("cardio") => oracle.may_see(editor.person, id),
        None => {}
    }
    if table == "workout_templates" && operation == "INSERT" {
        oracle.new_counter(id);
    }
    let mut mutation = json!({"mutation_id": dice.id(), "table": table, "operation": operation, "data": data});
    if let Some(strategy) = strategy {
        mutation["conflict_strategy"] = strategy.into();
    }
    oracle.issue(editor.person, &mutation);
    replica.edit(mutation, nature);
}

struct Edit {
    table: &'static str,
    operation: &'static str,
    data: Value,
    strategy: Option<&'static str>,
    nature: Nature,
}

impl Edit {
    fn new(table: &'static str, operation: &'static str, data: Value) -> Self {
        Self { table, operation, data, strategy: None, nature: Nature::Sets }
    }

    fn strategy(mut self, strategy: Option<&'static str>) -> Self {
        self.strategy = strategy;
        self
    }
}

impl Editor<'_> {
    /// The time by the device's clock.
    fn now(&self) -> String {
        let now: DateTime<Utc> = Utc::now() + self.skew;
        now.to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}

/// A row that nobody ever touches again.
fn ledger(editor: &Editor<'_>, dice: &mut Dice) -> Edit {
    let id = dice.id();
    let data = json!({"id": id, "activity_type": "running", "activity_title": "Run", "format_title": "Free",
        "start_time": editor.now(), "created_at": editor.now(), "notes": format!("{} {id}", editor.device),
        "distance_km": dice.below(10_000) as f64 / 100.0});
    Edit::new("cardio_sessions", if dice.percent(80) { "INSERT" } else { "UPSERT" }, data)
}

/// One more use of a template.
fn counter(editor: &Editor<'_>, replica: &Replica, oracle: &Oracle, dice: &mut Dice) -> Option<Edit> {
    const TABLE: &str = "workout_templates";
    const FIELD: &str = "usage_count";
    if let Some(id) = oracle.counter(&replica.ids(TABLE)) {
        let now = replica.seen(TABLE, &id, FIELD).as_i64()?;
        let mut edit = Edit::new(TABLE, "UPDATE", json!({"id": id, FIELD: now + 1})).strategy(Some("merge"));
        edit.nature = Nature::Adds(FIELD, 1);
        return Some(edit);
    }
    let data = json!({"id": dice.id(), "name_en": editor.device, "name_fr": editor.device, "created_at": editor.now()});
    Some(Edit::new(TABLE, "INSERT", data))
}

/// A number that only rises, raised by several devices.
fn highest(editor: &Editor<'_>, replica: &Replica, dice: &mut Dice) -> Option<Edit> {
    const TABLE: &str = "hiit_sessions";
    let ids = replica.ids(TABLE);
    if ids.len() < 3 && dice.percent(20) {
        return Some(Edit::new(TABLE, "INSERT", json!({"id": dice.id(), "start_time": editor.now()})));
    }
    let id = dice.pick(&ids)?;
    let now = replica.seen(TABLE, id, "current_round").as_i64()?;
    let next = now + dice.between(1, 3) as i64;
    let mut edit = Edit::new(TABLE, "UPDATE", json!({"id": id, "current_round": next})).strategy(Some("merge"));
    edit.nature = Nature::Stays;
    // Beyond 10000 the column refuses.
    (next <= 10_000).then_some(edit)
}

/// The row that only this device writes: each edit has a value that never was before.
fn own(editor: &Editor<'_>, replica: &Replica) -> Edit {
    const TABLE: &str = "cardio_activities";
    let id = editor.own_row.to_string();
    let last = replica.seen(TABLE, &id, "name_fr");
    let next = last.as_str().and_then(|last| last.parse::<u64>().ok()).unwrap_or(0) + 1;
    let data = json!({"id": id, "activity_type": editor.device, "name_en": editor.device, "name_fr": next.to_string()});
    Edit::new(TABLE, "UPSERT", data).strategy(Some("client_wins"))
}

/// Edits of the food diary: rows that everybody edits and deletes.
fn diary(editor: &Editor<'_>, replica: &Replica, dice: &mut Dice) -> Option<Edit> {
    const TABLE: &str = "food_entries";
    let ids = replica.ids(TABLE);
    let strategy = STRATEGIES[dice.below(STRATEGIES.len())];
    if ids.len() < 5 || dice.percent(25) {
        let mut data = json!({"id": dice.id(), "quantity": 1 + dice.below(500), "consumed_at": editor.now(),
            "created_at": editor.now(), "meal_type": "lunch"});
        if let Some(food) = dice.pick(&replica.ids("foods")) {
            data["food_id"] = json!(food);
        }
        return Some(Edit::new(TABLE, "INSERT", data));
    }
    let id = dice.pick(&ids)?.clone();
    let mut data = json!({"id": id});
    match dice.below(10) {
        0 => return Some(Edit::new(TABLE, "DELETE", data).strategy(strategy)),
        1..5 => data["quantity"] = json!(1 + dice.below(500)),
        5..7 => data["unit"] = json!(format!("{} {}", editor.device, dice.below(1000))),
        7 => data["meal_type"] = json!(["dinner", "snack", "other"][dice.below(3)]),
        8 => data["calories"] = if dice.percent(30) { Value::Null } else { json!(dice.below(900)) },
        _ => {
            let data = json!({"id": id, "quantity": 1 + dice.below(500), "consumed_at": editor.now(), "unit": "ml"});
            return Some(Edit::new(TABLE, "UPSERT", data).strategy(strategy));
        }
    }
    Some(Edit::new(TABLE, "UPDATE", data).strategy(strategy))
}

/// Sessions, their exercises and sets: parents that are deleted, children that move.
fn workout(editor: &Editor<'_>, replica: &Replica, dice: &mut Dice) -> Option<Edit> {
    let [sessions, exercises, sets] = ["workout_sessions", "workout_exercises", "exercise_sets"];
    let strategy = STRATEGIES[dice.below(STRATEGIES.len())];
    let (known_sessions, known_exercises) = (replica.ids(sessions), replica.ids(exercises));
    let of_session = |dice: &mut Dice| dice.pick(&known_sessions).cloned();
    let edit = match dice.below(20) {
        0..4 => Edit::new(
            sessions,
            "INSERT",
            json!({"id": dice.id(), "name": editor.device, "start_time": editor.now(), "created_at": editor.now()}),
        ),
        4..8 => Edit::new(
            exercises,
            "INSERT",
            json!({"id": dice.id(), "session_id": of_session(dice)?, "order_index": dice.below(9)}),
        ),
        8..11 => Edit::new(
            sets,
            "INSERT",
            json!({"id": dice.id(), "workout_exercise_id": dice.pick(&known_exercises)?, "reps": dice.below(20), "weight": 60}),
        ),
        11..13 => {
            let name = format!("{} {}", editor.device, dice.below(1000));
            Edit::new(sessions, "UPDATE", json!({"id": of_session(dice)?, "name": name}))
        }
        13 => {
            Edit::new(exercises, "UPDATE", json!({"id": dice.pick(&known_exercises)?, "order_index": dice.below(99)}))
        }
        14 => {
            Edit::new(exercises, "UPDATE", json!({"id": dice.pick(&known_exercises)?, "session_id": of_session(dice)?}))
        }
        15 | 16 => Edit::new(sets, "UPDATE", json!({"id": dice.pick(&replica.ids(sets))?, "reps": dice.below(30)})),
        17 => Edit::new(sessions, "DELETE", json!({"id": of_session(dice)?})),
        18 => Edit::new(exercises, "DELETE", json!({"id": dice.pick(&known_exercises)?})),
        _ => Edit::new(
            sessions,
            "UPSERT",
            json!({"id": of_session(dice)?, "name": "Again", "start_time": editor.now(), "is_completed": true}),
        ),
    };
    Some(edit.strategy(strategy))
}

//! The rules that must hold, watched during the run and checked at its end: who may see which row, which edits were
//! made, and the results that the daemons gave them. It believes no daemon.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::RwLock;
use uuid::Uuid;

use super::timeline::Timeline;

/// Violations that are kept; the first is what matters.
const KEPT: usize = 20;
/// The most increments of one counter: the daemons remember the last 32 values exactly.
const COUNTS: usize = 24;
/// Tables whose rows hang on another row: by which column, on which table.
pub const CHILDREN: [(&str, &str, &str); 2] = [
    ("workout_exercises", "session_id", "workout_sessions"),
    ("exercise_sets", "workout_exercise_id", "workout_exercises"),
];

/// A broken rule.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The actor that met it.
    pub actor: String,
    /// The rule that was broken, in words.
    pub what: String,
}

/// An edit that a device has made.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The person who made it.
    pub person: usize,
    /// Edits are counted as they are made.
    pub number: usize,
    /// As it was made.
    pub mutation: Value,
    /// As it was sent: once, unless a backup was restored or an atomic request was stopped in between.
    pub sent: Vec<Value>,
    /// Its first result.
    pub result: Option<Value>,
}

/// The error of a device's clock, which makes rejections expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Within a day of the server's.
    Near,
    /// More than a day ahead.
    FarAhead,
}

/// All that is known from outside.
#[derive(Debug, Default)]
pub struct Oracle {
    /// The events so far.
    pub timeline: Timeline,
    /// The number of times that tombstones were made old, by person. Whoever makes them so holds it alone; clients that
    /// know only times hold it while they ask, since their times have to be moved with it.
    pub ages: Vec<RwLock<usize>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    violations: Vec<Violation>,
    /// The people who may see a row that hangs on none.
    readers: HashMap<Uuid, BTreeSet<usize>>,
    everybodys: HashSet<Uuid>,
    parents: HashMap<Uuid, HashSet<Uuid>>,
    never: HashSet<Uuid>,
    committed: Vec<(usize, Uuid)>,
    issued: HashMap<Uuid, Issued>,
    counts: HashMap<Uuid, usize>,
    forgotten: bool,
    tallies: BTreeMap<String, usize>,
}

impl Oracle {
    /// An oracle for so many people.
    #[must_use]
    pub fn of(people: usize) -> Self {
        Self { ages: (0..people).map(|_| RwLock::new(0)).collect(), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a violation.
    pub fn violated(&self, actor: &str, what: impl Into<String>) {
        let what = what.into();
        self.timeline.note(actor, format!("VIOLATION {what}"));
        let mut state = self.state();
        if state.violations.len() < KEPT {
            state.violations.push(Violation { actor: actor.to_owned(), what });
        }
    }

    /// The violations so far.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.state().violations.clone()
    }

    /// A person may see a row from now on.
    pub fn may_see(&self, person: usize, id: Uuid) {
        self.state().readers.entry(id).or_default().insert(person);
    }

    /// Everybody may see a row from now on.
    pub fn everybody_may_see(&self, id: Uuid) {
        self.state().everybodys.insert(id);
    }

    /// A row hangs on another from now on.
    pub fn hangs_on(&self, child: Uuid, parent: Uuid) {
        self.state().parents.entry(child).or_default().insert(parent);
    }

    /// A row was written in a transaction that was rolled back: nobody may ever see it.
    pub fn rolled_back(&self, id: Uuid) {
        self.state().never.insert(id);
    }

    /// A row of a person was committed by somebody else, and is never touched again.
    pub fn committed(&self, person: usize, id: Uuid) {
        self.state().committed.push((person, id));
    }

    /// The rows of [`Self::committed`].
    #[must_use]
    pub fn all_committed(&self) -> Vec<(usize, Uuid)> {
        self.state().committed.clone()
    }

    /// Tombstones are forgotten in this run: edits may have become stale.
    pub fn forgets(&self) {
        self.state().forgotten = true;
    }

    /// An edit is made.
    pub fn issue(&self, person: usize, mutation: &Value) {
        let Some(id) = uuid(&mutation["mutation_id"]) else { return };
        let mut state = self.state();
        let number = state.issued.len();
        state.issued.insert(id, Issued { person, number, mutation: mutation.clone(), sent: Vec::new(), result: None });
    }

    /// Edits leave a device.
    pub fn sent(&self, mutations: &[Value]) {
        let mut state = self.state();
        for mutation in mutations {
            let issued = uuid(&mutation["mutation_id"]).and_then(|id| state.issued.get_mut(&id));
            if let Some(issued) = issued.filter(|issued| issued.sent.last() != Some(mutation)) {
                issued.sent.push(mutation.clone());
            }
        }
    }

    /// All edits, by their ids.
    #[must_use]
    pub fn all_issued(&self) -> HashMap<Uuid, Issued> {
        self.state().issued.clone()
    }

    /// True if an edit had a result before this one.
    #[must_use]
    pub fn has_result(&self, result: &Value) -> bool {
        let state = self.state();
        uuid(&result["mutation_id"]).and_then(|id| state.issued.get(&id)).is_some_and(|issued| issued.result.is_some())
    }

    /// Counts something that shows what the run has met.
    pub fn tally(&self, what: &str) {
        *self.state().tallies.entry(what.to_owned()).or_default() += 1;
    }

    /// The counted events, in one line.
    #[must_use]
    pub fn tallied(&self) -> String {
        let state = self.state();
        let told: Vec<String> = state.tallies.iter().map(|(what, count)| format!("{count} {what}")).collect();
        told.join(", ")
    }

    /// The number of edits, and of those with a result.
    #[must_use]
    pub fn counted(&self) -> (usize, usize) {
        let state = self.state();
        (state.issued.len(), state.issued.values().filter(|issued| issued.result.is_some()).count())
    }

    /// One of these counters that may still be incremented.
    #[must_use]
    pub fn counter(&self, ids: &[String]) -> Option<String> {
        let mut state = self.state();
        let free = ids.iter().find_map(|id| {
            let id: Uuid = id.parse().ok()?;
            state.counts.get(&id).filter(|count| **count < COUNTS).map(|_| id)
        })?;
        *state.counts.entry(free).or_default() += 1;
        Some(free.to_string())
    }

    /// A new counter.
    pub fn new_counter(&self, id: Uuid) {
        self.state().counts.insert(id, 0);
    }

    /// Checks a row, or the tombstone of one, that this person was shown.
    pub fn shown(&self, actor: &str, person: usize, user: Uuid, table: &str, row: &Value) {
        let Some(id) = uuid(&row["id"]) else {
            return self.violated(actor, format!("a row of {table} without id: {row}"));
        };
        let wrong = {
            let state = self.state();
            let owner = row.get("user_id").and_then(Value::as_str).filter(|owner| *owner != user.to_string());
            if state.never.contains(&id) {
                Some("a row that was rolled back was shown")
            } else if owner.is_some() || !state.may(person, user, id, 0) {
                Some("somebody else's row was shown")
            } else {
                None
            }
        };
        if let Some(wrong) = wrong {
            self.violated(actor, format!("{wrong}: {table} {row}"));
        }
    }

    /// Takes a daemon's result of an edit; the same edit always gets the same answer.
    pub fn told(&self, actor: &str, result: &Value, clock: Clock) {
        let wrong = {
            let mut state = self.state();
            let forgotten = state.forgotten;
            let Some(issued) = uuid(&result["mutation_id"]).and_then(|id| state.issued.get_mut(&id)) else {
                drop(state);
                return self.violated(actor, format!("a result of an edit that nobody made: {result}"));
            };
            match &issued.result {
                Some(first) if first != result => Some(format!("two results of one edit: {first} and {result}")),
                Some(_) => None,
                None => {
                    issued.result = Some(result.clone());
                    let status = result["status"].as_str().unwrap_or("no status").to_owned();
                    let mutation = issued.mutation.clone();
                    *state.tallies.entry(status).or_default() += 1;
                    (!state.is_fair(&mutation, result, clock, forgotten))
                        .then(|| format!("rejected without reason: {result} of {mutation}"))
                }
            }
        };
        if let Some(wrong) = wrong {
            self.violated(actor, wrong);
        }
    }
}

impl State {
    /// True if a person may see a row, or a row that it hangs or hung on.
    fn may(&self, person: usize, user: Uuid, id: Uuid, depth: usize) -> bool {
        id == user
            || self.everybodys.contains(&id)
            || self.readers.get(&id).is_some_and(|readers| readers.contains(&person))
            || (depth < 3
                && self
                    .parents
                    .get(&id)
                    .is_some_and(|parents| parents.iter().any(|parent| self.may(person, user, *parent, depth + 1))))
    }

    /// True if a result is no rejection, or one that an honest client can meet.
    fn is_fair(&self, mutation: &Value, result: &Value, clock: Clock, forgotten: bool) -> bool {
        let status = result["status"].as_str().unwrap_or_default();
        if ["applied", "merged", "conflict"].contains(&status) {
            return result["version"].is_i64() || mutation["operation"] == "DELETE" || status == "conflict";
        }
        let table = mutation["table"].as_str().unwrap_or_default();
        let is_kept = KEPT_TABLES.contains(&table);
        let fair = |code: &str| match code {
            "in_future" => clock == Clock::FarAhead,
            "stale" => forgotten && !is_kept,
            // What it refers to, or the row, was deleted or went to somebody else.
            "not_found" | "invalid_reference" | "forbidden" => !is_kept || clock == Clock::FarAhead,
            _ => false,
        };
        let errors = result["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        status == "rejected"
            && !errors.is_empty()
            && errors.iter().all(|error| fair(error["code"].as_str().unwrap_or("")))
    }
}

/// Tables whose rows nobody deletes and nobody moves: nothing that is written there may be refused.
pub const KEPT_TABLES: [&str; 4] = ["cardio_sessions", "workout_templates", "hiit_sessions", "cardio_activities"];

/// An id in a message.
#[must_use]
pub fn uuid(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn somebody_elses_rows_and_rolled_back_ones_are_noticed() {
        let oracle = Oracle::of(2);
        let (me, session, exercise, ghost) =
            (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4));
        oracle.may_see(0, session);
        oracle.hangs_on(exercise, session);
        oracle.shown("d", 0, me, "workout_exercises", &json!({"id": exercise}));
        assert!(oracle.violations().is_empty());
        oracle.shown("d", 1, Uuid::from_u128(9), "workout_exercises", &json!({"id": exercise}));
        oracle.shown("d", 0, me, "workout_sessions", &json!({"id": session, "user_id": Uuid::from_u128(9)}));
        oracle.may_see(0, ghost);
        oracle.rolled_back(ghost);
        oracle.shown("d", 0, me, "cardio_sessions", &json!({"id": ghost}));
        assert_eq!(oracle.violations().len(), 3);
    }

    #[test]
    fn one_edit_has_one_result_and_no_rejection_without_reason() {
        let oracle = Oracle::of(1);
        let id = Uuid::from_u128(7);
        oracle.issue(0, &json!({"mutation_id": id, "table": "cardio_sessions", "operation": "INSERT", "data": {}}));
        let applied = json!({"mutation_id": id, "status": "applied", "version": 3});
        oracle.told("d", &applied, Clock::Near);
        oracle.told("d", &applied, Clock::Near);
        assert!(oracle.violations().is_empty());
        oracle.told("d", &json!({"mutation_id": id, "status": "applied", "version": 4}), Clock::Near);
        assert_eq!(oracle.violations().len(), 1);
        let other = Uuid::from_u128(8);
        oracle.issue(0, &json!({"mutation_id": other, "table": "cardio_sessions", "operation": "INSERT", "data": {}}));
        let refused = json!({"mutation_id": other, "status": "rejected", "errors": [{"code": "not_found"}]});
        oracle.told("d", &refused, Clock::Near);
        assert_eq!(oracle.violations().len(), 2);
    }
}

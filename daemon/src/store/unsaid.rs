//! Log lines about values that can't be expressed in JSON: devices get null for them, and the operator should know why.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ryzed_adapters::{Table, UNSAID};
use serde::Deserialize;

/// The time between two lines about a column.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// The time of the last line about a column, by its table and its name.
static TOLD: LazyLock<Mutex<HashMap<(&'static str, String), Instant>>> = LazyLock::new(Mutex::default);

#[derive(Deserialize)]
struct Marked {
    #[serde(rename = "_unsaid", default)]
    names: Vec<String>,
}

/// Tells the log of the columns that a row, as it is said, is marked with: each once an hour, and nothing of the row.
pub(super) fn note(table: &Table, json: &str) {
    // Within texts a quote is escaped.
    if !json.contains(&format!("\"{UNSAID}\":[")) {
        return;
    }
    let Ok(Marked { names }) = serde_json::from_str(json) else { return };
    for column in names.into_iter().filter(|name| table.column(name).is_some()) {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        let last = told.get(&(table.name, column.clone()));
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            continue;
        }
        tracing::warn!(
            table = table.name,
            column,
            "a row holds a value that JSON or the table's schema can't say: devices get null in its place (_unsaid)"
        );
        told.insert((table.name, column), Instant::now());
    }
}

//! Picks the rows and people for the trials, and makes the rows that the trials write.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use ryzed_adapters::{Kind, Purpose, Row, ScopeRule, Table};
use serde_json::{Map, Value, json};

use super::super::super::layout::{Place, literal, quoted};
use super::super::super::sql_text::texts;
use super::super::super::triggers::{Placed, owner_column};
use crate::store::{Rights, StoreError};

/// The number of people of a table that are tried, and of rows of each.
const PEOPLE: usize = 8;
const ROWS: usize = 3;

/// A row, and a person who should see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub person: String,
    pub id: String,
    /// True if it is the person's own, and not the catalogue's.
    pub is_own: bool,
}

/// Rows and people of all tables.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows, by the table's name on the wire.
    pub rows: BTreeMap<&'static str, Vec<Candidate>>,
    /// Rows of the catalogue, by the table's name on the wire.
    pub catalogue: BTreeMap<&'static str, Vec<String>>,
    /// The people whose rows were found; if there are none, people that owners may refer to.
    pub people: Vec<String>,
}

/// Looks for rows and people, as the owner of the tables.
pub(super) async fn find(connection: &mut AsyncPgConnection, placed: Placed<'_>) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut people = BTreeSet::new();
    for (table, place) in placed.iter() {
        let rows = owned(connection, placed, table, place).await?;
        people.extend(rows.iter().map(|row| row.person.clone()));
        found.rows.insert(table.name, rows);
    }
    if people.is_empty() {
        for (table, place) in placed.iter() {
            people.extend(referred(connection, table, place).await?);
        }
    }
    found.people = people.into_iter().take(PEOPLE).collect();
    for (table, place) in placed.iter().filter(|(table, _)| table.scope == ScopeRule::OwnerOrGlobal) {
        if found.people.is_empty() {
            continue;
        }
        let owner = quoted(owner_column(table, place));
        let sql = format!("SELECT id::text FROM {} WHERE {owner} IS NULL LIMIT {ROWS}", place.relation());
        let ids = or_none(texts(connection, &sql).await)?;
        found.catalogue.insert(table.name, ids.clone());
        let rows = found.rows.entry(table.name).or_default();
        if !rows.is_empty() {
            continue;
        }
        let person = &found.people[0];
        rows.extend(ids.into_iter().map(|id| Candidate { person: person.clone(), id, is_own: false }));
    }
    Ok(found)
}

/// Rows that belong to people, a few of each.
async fn owned(
    connection: &mut AsyncPgConnection,
    placed: Placed<'_>,
    table: &Table,
    place: &Place,
) -> Result<Vec<Candidate>, StoreError> {
    let Some((joins, owner)) = way_to_owner(placed, table, place, "t") else { return Ok(Vec::new()) };
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    while seen.len() < PEOPLE {
        let others: Vec<String> = seen.iter().map(|person: &String| literal(person)).collect();
        let sql = format!(
            "SELECT json_build_array({owner}::text, t.id::text)::text FROM {} t{joins} WHERE {owner} IS NOT NULL \
             AND {owner} <> ALL (ARRAY[{}]::uuid[]) LIMIT {ROWS}",
            place.relation(),
            others.join(", ")
        );
        let rows = or_none(texts(connection, &sql).await)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let (person, id): (String, String) =
                serde_json::from_str(&row).map_err(|error| StoreError::Failed(error.to_string()))?;
            seen.insert(person.clone());
            found.push(Candidate { person, id, is_own: true });
        }
    }
    Ok(found)
}

/// Joins from the row `alias` to the one that says whose it is, and the column there.
fn way_to_owner(placed: Placed<'_>, table: &Table, place: &Place, alias: &str) -> Option<(String, String)> {
    let column = format!("{alias}.{}", quoted(owner_column(table, place)));
    let ScopeRule::Via { parent, .. } = table.scope else { return Some((String::new(), column)) };
    let (above, there) = placed.registry.get(parent).zip(placed.layout.of(parent))?;
    let up = format!("{alias}_up");
    let (joins, owner) = way_to_owner(placed, above, there, &up)?;
    Some((format!(" JOIN {} {up} ON {up}.id = {column}{joins}", there.relation()), owner))
}

/// People to whom the owner of a row may refer, such as those who have signed up and have no rows yet.
async fn referred(connection: &mut AsyncPgConnection, table: &Table, place: &Place) -> Result<Vec<String>, StoreError> {
    if matches!(table.scope, ScopeRule::Via { .. }) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT format('SELECT %I::text FROM %I.%I LIMIT {PEOPLE}', o.attname, n.nspname, r.relname) FROM pg_constraint f \
         JOIN pg_class r ON r.oid = f.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace \
         JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1] \
         JOIN pg_attribute o ON o.attrelid = f.confrelid AND o.attnum = f.confkey[1] AND o.atttypid = 'uuid'::regtype \
         WHERE f.contype = 'f' AND cardinality(f.conkey) = 1 AND f.conrelid = {}::regclass AND a.attname = {}",
        literal(&place.relation()),
        literal(owner_column(table, place))
    );
    match texts(connection, &sql).await?.first() {
        Some(sql) => or_none(texts(connection, sql).await),
        None => Ok(Vec::new()),
    }
}

/// Treats rows that could not be read for lack of time or rights as missing; a lost connection stays an error.
fn or_none(found: Result<Vec<String>, StoreError>) -> Result<Vec<String>, StoreError> {
    match found {
        Err(StoreError::Unavailable(why)) if !why.contains("timeout") => Err(StoreError::Unavailable(why)),
        found => Ok(found.unwrap_or_default()),
    }
}

/// The row that a device could upload, and the fields that it could not.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Brought {
    pub row: Row,
    /// Fields whose values are there and are refused from devices: name, and why.
    pub refused: BTreeMap<String, String>,
}

/// The part of a row that a device may send back: fields that it may change, in the form that is accepted.
pub(super) fn edited(table: &Table, rights: Option<&Rights>, read: &Row, now: DateTime<Utc>) -> Brought {
    let may = |name: &str| rights.is_none_or(|rights| rights.update.contains(name));
    let mut brought = accepted(table, read, Purpose::Patch, now, |name| may(name) && !table.is_key(name));
    brought.row.remove("id");
    brought
}

/// A row of this person's like the one that was read, with another id.
pub(super) fn copied(
    table: &Table,
    rights: Option<&Rights>,
    read: &Row,
    person: &str,
    now: DateTime<Utc>,
) -> Option<Brought> {
    let may = |name: &str| name == "id" || rights.is_none_or(|rights| rights.insert.contains(name));
    let mut row = read.clone();
    row.insert("id".into(), uuid::Uuid::new_v4().to_string().into());
    if let Some(owner) = row.get_mut("user_id") {
        *owner = person.into();
    }
    let mut brought = accepted(table, &row, Purpose::Whole, now, may);
    if brought.row.is_empty() {
        return None;
    }
    table.complete(&mut brought.row, now);
    brought.row.retain(|name, _| may(name));
    Some(brought)
}

fn accepted(table: &Table, row: &Row, purpose: Purpose, now: DateTime<Utc>, may: impl Fn(&str) -> bool) -> Brought {
    let is_written =
        |name: &str| name == "id" || table.column(name).is_some_and(|column| !column.read_only && !column.is_computed);
    let mut left = row.clone();
    left.retain(|name, _| name == "id" || (is_written(name) && may(name)));
    let mut refused = BTreeMap::new();
    loop {
        match table.accept(left.clone(), purpose, now) {
            Ok(row) => return Brought { row, refused },
            Err(errors) => {
                let before = left.len();
                for error in errors {
                    left.remove(&error.field);
                    refused.insert(error.field, error.message);
                }
                if left.len() == before {
                    return Brought { row: Map::new(), refused };
                }
            }
        }
    }
}

/// A row that nobody has made, for a table without any: the least that is required. None where that needs rows of others.
pub(super) fn made_up(table: &Table, person: &str, now: DateTime<Utc>) -> Option<Row> {
    let mut row = Row::new();
    for name in table.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let column = table.column(name)?;
        let value = match name {
            "id" => uuid::Uuid::new_v4().to_string().into(),
            "user_id" => person.into(),
            _ if column.references.is_some() => return None,
            _ => value_of(column.kind, &table.schema["properties"][name]),
        };
        row.insert(name.into(), value);
    }
    if table.column("user_id").is_some() {
        row.insert("user_id".into(), person.into());
    }
    row.retain(|name, _| table.column(name).is_some_and(|column| !column.read_only));
    let mut row = table.accept(row, Purpose::Whole, now).ok()?;
    table.complete(&mut row, now);
    Some(row)
}

fn value_of(kind: Kind, property: &Value) -> Value {
    if let Some(options) = property["enum"].as_array() {
        return options.iter().find(|option| !option.is_null()).cloned().unwrap_or_default();
    }
    match kind {
        Kind::Uuid => uuid::Uuid::new_v4().to_string().into(),
        Kind::Time => "2026-01-01T00:00:00.000000Z".into(),
        Kind::Number | Kind::Integer => json!(property["minimum"].as_i64().unwrap_or(1).max(1)),
        Kind::Bool => false.into(),
        Kind::Text if property["format"] == "date" => "2026-01-01".into(),
        Kind::Text => "ryzed".into(),
        Kind::TextList => json!([]),
        Kind::Json => json!([]),
    }
}

#[cfg(test)]
mod tests {
    use ryzed_adapters::Registry;

    use super::*;

    #[test]
    fn rows_that_are_made_up_are_accepted() {
        let (registry, now) = (Registry::standard(), Utc::now());
        let person = uuid::Uuid::nil().to_string();
        let made: Vec<&str> =
            registry.iter().filter(|table| made_up(table, &person, now).is_some()).map(|table| table.name).collect();
        for table in ["foods", "workout_sessions", "cardio_sessions", "hiit_workouts"] {
            assert!(made.contains(&table), "{table} is not among {made:?}");
        }
    }

    #[test]
    fn fields_that_devices_could_not_send_are_named() {
        let registry = Registry::standard();
        let table = registry.get("food_entries").unwrap();
        let read = json!({"id": uuid::Uuid::nil(), "quantity": 2, "meal_type": "LUNCH", "user_id": uuid::Uuid::nil(),
            "consumed_at": "2026-01-01T00:00:00.000000Z", "_version": 3});
        let brought = edited(table, None, read.as_object().unwrap(), Utc::now());
        assert_eq!(brought.refused.keys().collect::<Vec<_>>(), ["meal_type"]);
        assert!(brought.row.contains_key("quantity") && !brought.row.contains_key("user_id"), "{brought:?}");
        let rights = Rights { update: BTreeSet::from(["unit".to_owned()]), ..Rights::default() };
        let brought = edited(table, Some(&rights), read.as_object().unwrap(), Utc::now());
        assert!(!brought.row.contains_key("quantity"), "{brought:?}");
    }
}

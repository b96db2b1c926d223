//! Rows that exchange places of which each is one row's. Whichever is written first finds its place taken; so all leave first:
//! to nowhere, where a column of the rule may be null, and in a table of our own to a number that nobody uses. An application's
//! triggers may look at the numbers of its tables.

use std::collections::{HashMap, HashSet};

use ryzed_adapters::{FieldError, Kind, Row, Table};
use serde_json::Value;

use super::super::request::ParsedChange;
use super::places::{UniquePlace, is_delete, places_of};
use super::row_cache::Key;
use super::run::PushRun;
use super::write::{CONSTRAINT, refusal};
use super::{Stop, to_json};
use crate::store::Transaction;
use crate::sync::decide::{Decision, PendingRow};
use crate::sync::wire::Status;

/// The error for rows that would exchange unique values and can't.
const NO_WAY: &str = "its place is another row's of this request, which is to leave it in exchange, and the database lets neither \
                      leave first: give one of them a free place, and this one its place in a later request";

/// Edits whose rows leave their places first, with the column that is set for that, and to what.
pub(super) type Parked = HashMap<usize, (String, Value)>;

/// The edits of which each waits for another one's place.
#[derive(Default)]
pub(super) struct Swaps {
    /// Those whose rows can leave it.
    pub parked: Parked,
    /// All of them.
    all: HashSet<usize>,
}

/// A value of a column at which a row stands in nobody's place, when there is one.
fn aside(table: &Table, column: &str, index: usize) -> Option<Value> {
    let column = table.column(column).filter(|column| !column.is_computed && column.references.is_none())?;
    let number = || Some(i32::MAX - i32::try_from(index).ok()?);
    match column.kind {
        _ if column.nullable => Some(Value::Null),
        Kind::Integer if !table.is_external => number().map(Value::from),
        _ => None,
    }
}

impl PushRun<'_> {
    /// Finds edits that are refused since another refused one's row is where theirs is to go.
    pub(super) async fn swaps(&self, tx: &mut dyn Transaction, ready: &[&ParsedChange]) -> Result<Swaps, Stop> {
        let mut tables: HashMap<usize, Vec<usize>> = HashMap::new();
        for index in self.refused.keys().filter(|index| !is_delete(ready[**index])) {
            let (rank, id) = (ready[*index].rank, &ready[*index].id);
            if self.working(rank, id).is_some_and(PendingRow::is_stored) {
                tables.entry(rank).or_default().push(*index);
            }
        }
        let mut swaps = Swaps::default();
        for (rank, edits) in tables.into_iter().filter(|(_, edits)| edits.len() > 1) {
            let Some(table) = self.push.registry.iter().nth(rank) else { continue };
            let rules = tx.unique(table).await?;
            let stands = |index: &usize| self.standing_places(ready[*index], &rules);
            let held: HashMap<UniquePlace, usize> =
                edits.iter().flat_map(|index| stands(index).into_iter().map(|place| (place, *index))).collect();
            for index in &edits {
                let wanted = self.places(ready[*index], &rules);
                let is_anothers = |place: &&UniquePlace| held.get(*place).is_some_and(|other| other != index);
                let Some((_, rule, _)) = wanted.iter().find(is_anothers) else { continue };
                swaps.all.insert(*index);
                let brought = ready[*index].asked.brought();
                let brought = rules[*rule].iter().filter(|name| brought.is_some_and(|row| row.contains_key(*name)));
                let aside = brought.filter_map(|name| Some((name.clone(), aside(table, name, *index)?)));
                swaps.parked.extend(aside.min_by_key(|(_, value)| !value.is_null()).map(|aside| (*index, aside)));
            }
        }
        Ok(swaps)
    }

    /// Has rows leave their places.
    pub(super) async fn park(
        &self,
        tx: &mut dyn Transaction,
        ready: &[&ParsedChange],
        parked: &Parked,
    ) -> Result<(), Stop> {
        for (index, (column, value)) in parked {
            let change = ready[*index];
            let Some(table) = self.push.registry.get(change.table) else { continue };
            let fields = if table.is_external { vec![column.clone()] } else { Vec::new() };
            let nowhere: Row =
                [("id".into(), change.id.as_str().into()), (column.clone(), value.clone())].into_iter().collect();
            let parts = to_json(&[nowhere])?;
            if let Err(error) = tx.update(table, &fields, &parts, self.push.device.as_ref()).await {
                // Then its edit is refused as before.
                refusal(table, error)?;
            }
        }
        Ok(())
    }

    /// True if a parked row was refused or kept its old value, so that parking it was in vain.
    pub(super) fn parked_in_vain(&self, ready: &[&ParsedChange], parked: &Parked) -> bool {
        parked.iter().any(|(index, (column, _))| {
            let change = ready[*index];
            let is_done = self.outcomes.get(index).is_some_and(|outcome| outcome.status != Status::Rejected);
            let key: Key = (change.rank, change.id.clone());
            let has_moved = self.cache.working(&key).is_some_and(|working| {
                working.row.is_none()
                    || working.row.as_ref().and_then(|row| row.get(column)) != working.in_database(column)
            });
            !(is_done && has_moved)
        })
    }

    /// Tells those that could not change places why.
    pub(super) fn tell_swaps(&mut self, swaps: &Swaps) {
        for index in swaps.all.iter().filter(|index| self.refused.contains_key(index)) {
            self.outcomes.insert(*index, Decision::rejected(vec![FieldError::new("", CONSTRAINT, NO_WAY)]));
        }
    }

    /// The unique keys that the row of an edit has in the database.
    fn standing_places(&self, change: &ParsedChange, rules: &[Vec<String>]) -> Vec<UniquePlace> {
        let Some(working) = self.working(change.rank, &change.id) else { return Vec::new() };
        let value = |name: &String| {
            let value = working.in_database(name).filter(|value| !value.is_null())?;
            Some(value.to_string().to_lowercase())
        };
        places_of(change.rank, rules, value)
    }
}

//! The order in which changes are done. First all together, puts before deletes and parents before children, since no order of
//! a request matters to foreign keys. Where a rule of the database refuses a row then, the order may matter to that: what a
//! device deletes makes room for what it puts. So all is taken back and done once more, one by one, as the device has done it.

use std::collections::{HashMap, HashSet};

use ryzed_adapters::{FieldError, code};
use serde_json::Value;

use super::super::request::{ParsedChange, references};
use super::places::{UniquePlace, is_delete, places_of};
use super::row_cache::Key;
use super::run::PushRun;
use super::swap::Parked;
use super::write::CONSTRAINT;
use super::{Push, Stop, Task};
use crate::store::Transaction;
use crate::sync::decide::Decision;
use crate::sync::rounds::{Step, parents_first, rounds};
use crate::sync::wire::{Intent, Status, is_for_now};

/// The number of times that refused changes are tried again behind the others, as long as that helps any of them.
const PASSES: usize = 4;
/// After so many times not only the nearest deletion is left out with a row that is refused, but all of its table.
const PATIENT: usize = 3;
/// The error for a deletion that made room for a row which is refused all the same.
const TOGETHER: &str = "a row that was to take its place is refused, so it stays";

impl Push {
    /// The changes, decided and written.
    pub(super) async fn worked<'p>(&'p self, tx: &mut dyn Transaction, task: &Task<'_>) -> Result<PushRun<'p>, Stop> {
        let order = self.order(task.ready);
        let may_matter =
            task.ready.len() > 1 && !task.ready.iter().all(|change| change.asked.operation == Intent::Insert);
        if may_matter {
            tx.mark().await?;
        }
        let mut work = self.begin(tx, task).await?;
        work.together(tx, task.ready, &order).await?;
        if !may_matter {
            return Ok(work);
        }
        let mut course = Course::default();
        if work.refused.is_empty() {
            course.left_out = work.lone(tx, task.ready, &HashMap::new(), false).await?;
            if course.left_out.is_empty() {
                return Ok(work);
            }
        }
        let first = std::mem::take(&mut work.refused);
        let (mut swaps, mut times) = (None, 0);
        loop {
            tx.take_back().await?;
            work = self.begin(tx, task).await?;
            work.one_by_one(tx, task.ready, &order, &course).await?;
            if work.parked_in_vain(task.ready, &course.parked) {
                course.parked.clear();
                continue;
            }
            if swaps.is_none() {
                let found = swaps.insert(work.swaps(tx, task.ready).await?);
                course.parked = found.parked.clone();
                if !found.parked.is_empty() {
                    continue;
                }
            }
            let lone = work.lone(tx, task.ready, &first, times >= PATIENT).await?;
            if lone.is_empty() {
                break;
            }
            course.parked.retain(|index, _| !lone.contains_key(index));
            course.left_out.extend(lone);
            times += 1;
        }
        work.tell_swaps(&swaps.unwrap_or_default());
        Ok(work)
    }

    /// Parents before what refers to them, and else as the device has done it.
    pub(super) fn order(&self, ready: &[&ParsedChange]) -> Vec<usize> {
        let refers = |change: &&ParsedChange| {
            let found = self.registry.get(change.table).zip(change.asked.brought());
            let named = found.into_iter().flat_map(|(table, row)| references(table, row));
            named.filter_map(|(_, parent, id)| Some((self.registry.rank(parent)?, id))).collect()
        };
        let refers: Vec<Vec<(usize, String)>> = ready.iter().map(refers).collect();
        parents_first(&steps(ready), &refers)
    }
}

impl PushRun<'_> {
    /// A statement a table, round by round.
    async fn together(
        &mut self,
        tx: &mut dyn Transaction,
        ready: &[&ParsedChange],
        order: &[usize],
    ) -> Result<(), Stop> {
        let steps = steps(ready);
        let steps: Vec<Step<'_>> = order.iter().map(|index| steps[*index]).collect();
        let of = |places: &[usize]| -> Vec<usize> { places.iter().map(|place| order[*place]).collect() };
        for round in rounds(&steps) {
            self.decide_all(&of(&round.puts), ready)?;
            self.write(tx, ready).await?;
            self.decide_all(&of(&round.deletes), ready)?;
            self.write(tx, ready).await?;
        }
        Ok(())
    }

    /// Each change by itself. What is refused is tried again behind the others, the last of them first, as rows that move up by
    /// one place have to.
    async fn one_by_one(
        &mut self,
        tx: &mut dyn Transaction,
        ready: &[&ParsedChange],
        order: &[usize],
        course: &Course,
    ) -> Result<(), Stop> {
        let left_out = &course.left_out;
        self.park(tx, ready, &course.parked).await?;
        self.outcomes.extend(left_out.iter().map(|(index, outcome)| (*index, outcome.clone())));
        let mut left: Vec<Vec<usize>> =
            order.iter().filter(|index| !left_out.contains_key(index)).map(|index| vec![*index]).collect();
        for _ in 0..PASSES {
            let tried: usize = left.iter().map(Vec::len).sum();
            left = self.pass(tx, ready, left).await?;
            let is_no_use = left.iter().map(Vec::len).sum::<usize>() == tried;
            if left.is_empty() || is_no_use || !left.iter().flatten().any(|index| self.refused.contains_key(index)) {
                break;
            }
            left.reverse();
        }
        self.alone = None;
        Ok(())
    }

    /// Does changes in this order; those that are refused, by row. What follows on a refused change of a row is refused with it.
    async fn pass(
        &mut self,
        tx: &mut dyn Transaction,
        ready: &[&ParsedChange],
        changes: Vec<Vec<usize>>,
    ) -> Result<Vec<Vec<usize>>, Stop> {
        let (mut left, mut rows): (Vec<Vec<usize>>, HashMap<Key, usize>) = (Vec::new(), HashMap::new());
        for index in changes.into_iter().flatten() {
            let key: Key = (ready[index].rank, ready[index].id.clone());
            if let Some(place) = rows.get(&key) {
                let behind = left[*place][0];
                if let Some(outcome) = self.outcomes.get(&behind).cloned() {
                    self.outcomes.insert(index, outcome);
                }
                left[*place].push(index);
                continue;
            }
            self.refused.remove(&index);
            let (kept, was_changed) = (self.cache.kept(&key), self.changed.contains(&key));
            self.alone = Some(index);
            self.decide_all(&[index], ready)?;
            self.write(tx, ready).await?;
            let is_refused = self.refused.contains_key(&index);
            if is_refused {
                self.cache.come_back(&key, kept);
                if !was_changed {
                    self.changed.remove(&key);
                }
            }
            if is_refused || self.lacks_a_parent(index) {
                rows.insert(key, left.len());
                left.push(vec![index]);
            }
        }
        Ok(left)
    }

    fn lacks_a_parent(&self, index: usize) -> bool {
        let outcome = self.outcomes.get(&index);
        outcome.is_some_and(|outcome| outcome.errors.iter().any(|error| error.code == code::INVALID_REFERENCE))
    }

    /// The deletions that are done for rows which are refused all the same, with those and with what follows on either, and what
    /// becomes of each; `first` says why the rows were refused before.
    async fn lone(
        &self,
        tx: &mut dyn Transaction,
        ready: &[&ParsedChange],
        first: &HashMap<usize, String>,
        all: bool,
    ) -> Result<HashMap<usize, Decision>, Stop> {
        let own = self.at_fault(ready);
        if own.is_empty() && self.refused.is_empty() {
            return Ok(HashMap::new());
        }
        let room = self.room(tx, ready, &own).await?;
        let (mut lone, mut out) = (HashSet::new(), HashMap::new());
        self.held_back(ready, &own, &room, &mut out);
        let mut refused: Vec<(&usize, &String)> =
            self.refused.iter().filter(|(index, _)| !is_delete(ready[**index])).collect();
        refused.sort_unstable();
        for (put, rule) in refused {
            let Some(gone) = room.gone.get(&ready[*put].rank) else { continue };
            let has_helped = first.get(put).is_some_and(|before| before != rule);
            let mut left = room.places[*put].iter().filter(|place| !room.taken.contains(place));
            let found: Vec<usize> = if all {
                gone.clone()
            } else if let Some(index) = left.find_map(|place| room.freed.get(place)) {
                vec![*index]
            } else if has_helped {
                // Some deletion has: the nearest before it.
                let nearest = gone.iter().rev().find(|index| *index < put && !lone.contains(*index)).or(gone.first());
                nearest.copied().into_iter().collect()
            } else {
                Vec::new()
            };
            if let Some(outcome) = self.outcomes.get(put).filter(|_| !found.is_empty()) {
                out.insert(*put, outcome.clone());
            }
            lone.extend(found);
        }
        let stays = Decision::rejected(vec![FieldError::new("", CONSTRAINT, TOGETHER)]);
        for index in lone {
            out.entry(index).or_insert_with(|| stays.clone());
        }
        Ok(with_what_follows(ready, out))
    }

    /// The changes that are at fault by our own rules, of tables of which a row is deleted: such a row may be what another is
    /// deleted for.
    fn at_fault(&self, ready: &[&ParsedChange]) -> Vec<usize> {
        let removed = ready.iter().enumerate().filter(|(index, change)| self.has_removed(change, *index));
        let gone: HashSet<usize> = removed.map(|(_, change)| change.rank).collect();
        let is_at_fault = |(index, change): &(usize, &&ParsedChange)| {
            let outcome = self.outcomes.get(index).filter(|outcome| outcome.status == Status::Rejected);
            outcome.is_some() && !is_delete(change) && !self.refused.contains_key(index) && gone.contains(&change.rank)
        };
        ready.iter().enumerate().filter(is_at_fault).map(|(index, _)| index).collect()
    }

    /// Holds back the deletions that make room for rows which are at fault: in the same place, or under the same id.
    fn held_back(&self, ready: &[&ParsedChange], own: &[usize], room: &Room, out: &mut HashMap<usize, Decision>) {
        for put in own {
            let mut left = room.places[*put].iter().filter(|place| !room.taken.contains(place));
            let gone = room.gone.get(&ready[*put].rank).into_iter().flatten();
            let same = gone.copied().find(|index| index < put && ready[*index].id == ready[*put].id);
            let found = left.find_map(|place| room.freed.get(place).copied()).or(same);
            if let Some((index, outcome)) = found.zip(self.outcomes.get(put)) {
                // What is refused for now comes again: so does the deletion, with it.
                let code = if is_for_now(&outcome.errors) { code::IN_FUTURE } else { CONSTRAINT };
                out.insert(index, Decision::rejected(vec![FieldError::new("", code, TOGETHER)]));
                out.insert(*put, outcome.clone());
            }
        }
    }

    /// Collects the unique values that the request has freed and taken, of the tables in which a row is refused.
    async fn room(&self, tx: &mut dyn Transaction, ready: &[&ParsedChange], own: &[usize]) -> Result<Room, Stop> {
        let mut rules: HashMap<usize, Vec<Vec<String>>> = HashMap::new();
        for index in self.refused.keys().chain(own) {
            let (rank, table) = (ready[*index].rank, self.push.registry.get(ready[*index].table));
            if let (Some(table), false) = (table, rules.contains_key(&rank)) {
                rules.insert(rank, tx.unique(table).await?);
            }
        }
        let mut room = Room::default();
        for (index, change) in ready.iter().enumerate() {
            let places = rules.get(&change.rank).map_or_else(Vec::new, |rules| self.places(change, rules));
            if self.has_removed(change, index) {
                room.gone.entry(change.rank).or_default().push(index);
                room.freed.extend(places.iter().map(|place| (place.clone(), index)));
            } else if !is_delete(change) && self.is_done(index) {
                room.taken.extend(places.iter().cloned());
            }
            room.places.push(places);
        }
        Ok(room)
    }

    fn is_done(&self, index: usize) -> bool {
        self.outcomes.get(&index).is_some_and(|outcome| outcome.status != Status::Rejected)
    }

    /// True if a change has deleted a row that was there before the request.
    fn has_removed(&self, change: &ParsedChange, index: usize) -> bool {
        let working = self.working(change.rank, &change.id);
        let was_there = working.is_some_and(|working| working.in_database("id").is_some() && working.row.is_none());
        is_delete(change) && self.is_done(index) && was_there
    }

    /// The unique keys of the row that a change is about: as it is to be, or as it was before it was deleted.
    pub(super) fn places(&self, change: &ParsedChange, rules: &[Vec<String>]) -> Vec<UniquePlace> {
        let Some(working) = self.working(change.rank, &change.id) else { return Vec::new() };
        let mine = Value::String(self.push.caller.user.to_string());
        let value = |name: &String| -> Option<String> {
            let asked = change.asked.brought().unwrap_or(&change.asked.at_fault).get(name);
            let now = asked.or_else(|| working.row.as_ref()?.get(name)).or_else(|| working.in_database(name));
            let now = now.or((name == "user_id").then_some(&mine)).filter(|value| !value.is_null())?;
            Some(now.to_string().to_lowercase())
        };
        places_of(change.rank, rules, value)
    }
}

/// How changes are done one by one.
#[derive(Default)]
struct Course {
    /// The changes that are left out, with their decisions.
    left_out: HashMap<usize, Decision>,
    /// The edits whose rows leave their places first.
    parked: Parked,
}

/// Which places of rows a request is about.
#[derive(Default)]
struct Room {
    /// Those of each change.
    places: Vec<Vec<UniquePlace>>,
    /// Those of rows that are put.
    taken: HashSet<UniquePlace>,
    /// Those of rows that are deleted, with the deletion.
    freed: HashMap<UniquePlace, usize>,
    /// All deletions, by table.
    gone: HashMap<usize, Vec<usize>>,
}

/// Extends each decision to the later changes of the same row.
fn with_what_follows(ready: &[&ParsedChange], out: HashMap<usize, Decision>) -> HashMap<usize, Decision> {
    let mut rows: HashMap<(usize, &str), &Decision> = HashMap::new();
    let mut all = HashMap::new();
    for (index, change) in ready.iter().enumerate() {
        let row = (change.rank, change.id.as_str());
        if let Some(outcome) = out.get(&index) {
            rows.insert(row, outcome);
        }
        all.extend(rows.get(&row).map(|outcome| (index, (*outcome).clone())));
    }
    all
}

fn steps<'r>(ready: &[&'r ParsedChange]) -> Vec<Step<'r>> {
    let step =
        |change: &&'r ParsedChange| Step { rank: change.rank, id: change.id.as_str(), delete: is_delete(change) };
    ready.iter().map(step).collect()
}

//! Conflicts that wait for a person: those under the strategy `manual`, and those of rows that were deleted elsewhere and have
//! parts that wait with them. Of one row, those of one device are one: what it asked for last is what waits. There are only so
//! many of a person; a change that would need one more is refused before anything is done.

use std::collections::{HashMap, HashSet};

use ryzed_adapters::{FieldError, Strategy};
use serde_json::Value;
use uuid::Uuid;

use super::super::request::ParsedChange;
use super::lineage::{Above, Held, Up};
use super::row_cache::{Key, RowCache};
use super::{Push, to_json};
use crate::store::{OpenConflict, OpenStand, StoreError, Transaction};
use crate::sync::RowId;
use crate::sync::decide::ResolvedConflict;
use crate::sync::weight::Weight;
use crate::sync::wire::{Conflict, ConflictField, Intent, Mutation};

/// The code of a change that would leave a conflict open where there are enough of them.
pub(super) const TOO_MANY: &str = "too_many_conflicts";
/// Of a value that is longer it is not kept what the client started from, in bytes.
const LONGEST_BASE: usize = 16 << 10;
/// About what a conflict takes besides the values that the client sent.
const ENVELOPE: usize = 500;

/// The person's open conflicts, as far as a push is concerned.
#[derive(Default)]
pub(super) struct OpenBook {
    stand: OpenStand,
    /// Those of the rows that the push is about, by place.
    held: HashMap<String, OpenConflict>,
    /// The places that the push has come to need, with what their fields take.
    needed: HashMap<String, HashMap<String, usize>>,
    /// The rows that wait at places.
    parts: HashMap<String, HashSet<(String, RowId)>>,
    /// The rows that wait no more, by place.
    forgotten: HashMap<String, HashSet<(String, RowId)>>,
    /// Those that the push leaves open, by place.
    noted: HashMap<String, Open>,
}

/// A conflict that is left open.
struct Open {
    id: Uuid,
    conflict: Conflict,
    mutation: Mutation,
}

/// The changes to the stored open conflicts.
pub(super) struct Kept {
    /// New ones, and those that have changed.
    pub open: Vec<OpenConflict>,
    /// Those of which nothing is left.
    pub gone: Vec<Uuid>,
}

impl OpenBook {
    /// Looks what there is, when any of the changes may leave a conflict open, or may be about a row that waits in one; with the
    /// rows that wait.
    pub(super) async fn load(
        tx: &mut dyn Transaction,
        push: &Push,
        ready: &[&ParsedChange],
        cache: &RowCache,
    ) -> Result<(Self, Held), StoreError> {
        let (places, may_wait) = push.wanted(ready, cache);
        let user = push.caller.user;
        let mut found = if places.is_empty() { Vec::new() } else { tx.conflicts_at(user, &places).await? };
        if may_wait {
            found.extend(tx.conflicts_with_parts(user).await?);
        }
        let (mut book, mut held) = (Self::default(), Held::new());
        for open in found {
            let Some(place) = open.place.clone() else { continue };
            let waiting = read(&open).filter(|(conflict, mutation)| {
                !mutation.parts.is_empty() && push.place(&conflict.table, &conflict.id) == place
            });
            if let Some((conflict, mutation)) = waiting {
                let above =
                    push.key(&conflict.table, &conflict.id).map(|key| Above { key, strategy: conflict.strategy });
                let keys = mutation.parts.iter().filter_map(|part| push.key(&part.table, &id_of(part)));
                held.extend(above.iter().flat_map(|above| keys.clone().map(|key| (key, above.clone()))));
                let parts = mutation.parts.iter().map(|part| (part.table.clone(), id_of(part))).collect();
                book.parts.insert(place.clone(), parts);
            }
            book.held.insert(place, open);
        }
        if !places.is_empty() || !held.is_empty() {
            book.stand = tx.open_stand(user).await?;
        }
        Ok((book, held))
    }

    /// Makes room for a conflict that is to stay open; an error when there is none.
    pub(super) fn admit(
        &mut self,
        push: &Push,
        change: &ParsedChange,
        met: &ResolvedConflict,
    ) -> Result<(), FieldError> {
        if met.strategy != Strategy::Manual {
            return Ok(());
        }
        self.take(push, change, push.place(change.table, &change.id), "")
    }

    /// Makes room for a row that is to wait; an error when there is none.
    pub(super) fn admit_part(&mut self, push: &Push, change: &ParsedChange, above: &Above) -> Result<(), FieldError> {
        let Some(place) = push.place_of(above) else { return Ok(()) };
        let part = (change.table.to_owned(), change.id.clone());
        self.forgotten.get_mut(&place).map(|forgotten| forgotten.remove(&part));
        let parts = self.parts.entry(place.clone()).or_default();
        let most = push.limits.open_conflict_parts;
        if !parts.contains(&part) && parts.len() >= most {
            let message = format!(
                "the row that it is a part of was deleted elsewhere, and {most} parts of it wait already \
                 (limits.open_conflict_parts): settle that one of GET /api/realtime/conflicts, then send this again"
            );
            return Err(FieldError::new("", TOO_MANY, message));
        }
        self.stand.bytes += if parts.insert(part) { ENVELOPE } else { 0 };
        self.take(push, change, place, &format!("{} {} ", change.table, change.id))
    }

    /// Takes note that a row waits no more.
    pub(super) fn forget(&mut self, push: &Push, above: &Above, key: &Key) {
        let table = push.registry.iter().nth(key.0).map(|table| table.name.to_owned());
        if let (Some(place), Some(table)) = (push.place_of(above), table) {
            self.forgotten.entry(place).or_default().insert((table, key.1.clone()));
        }
    }

    fn take(&mut self, push: &Push, change: &ParsedChange, place: String, part: &str) -> Result<(), FieldError> {
        if !self.held.contains_key(&place) && !self.needed.contains_key(&place) {
            self.stand.count += 1;
            self.stand.bytes += ENVELOPE;
        }
        let needed = self.needed.entry(place).or_default();
        for (field, value) in change.asked.brought().into_iter().flatten() {
            let bytes = Weight::of_field(field, value).bytes;
            let before = needed.insert(format!("{part}{field}"), bytes).unwrap_or_default();
            self.stand.bytes = self.stand.bytes.saturating_add(bytes).saturating_sub(before);
        }
        let limits = &push.limits;
        if self.stand.count <= limits.open_conflicts && self.stand.bytes <= limits.open_conflict_bytes {
            return Ok(());
        }
        let message = "as many conflicts as may be are open (limits.open_conflicts, limits.open_conflict_bytes): settle some \
                       of GET /api/realtime/conflicts, then send this again";
        Err(FieldError::new("", TOO_MANY, message))
    }

    /// Gives the conflict its name, and notes it together with what the device left open of the same row before.
    pub(super) fn note(&mut self, push: &Push, change: &ParsedChange, conflict: &mut Conflict) {
        let place = push.place(&conflict.table, &conflict.id);
        let (mut kept, mut mutation) = (without_values(conflict), mutation_of(change, conflict));
        let noted = self.noted.remove(&place);
        let stored = self.held.get(&place).filter(|_| noted.is_none());
        let id = noted.as_ref().map(|open| open.id).or(stored.map(|open| open.id)).unwrap_or_else(Uuid::now_v7);
        let before = noted.map(|open| (open.conflict, open.mutation)).or_else(|| read(stored?));
        if let Some((old, asked)) = before {
            join(&mut kept, &mut mutation, old, asked);
        }
        (conflict.conflict_id, kept.conflict_id) = (Some(id), Some(id));
        self.noted.insert(place, Open { id, conflict: kept, mutation });
    }

    /// Those that are to be kept, and those of which nothing is left.
    pub(super) fn kept(mut self) -> Result<Kept, StoreError> {
        let mut kept = Kept { open: Vec::new(), gone: Vec::new() };
        for (place, forgotten) in std::mem::take(&mut self.forgotten) {
            let stored = self.held.get(&place);
            let noted = self.noted.remove(&place).or_else(|| {
                let (conflict, mutation) = read(stored?)?;
                Some(Open { id: stored?.id, conflict, mutation })
            });
            let Some(mut open) = noted else { continue };
            open.mutation.parts.retain(|part| !forgotten.contains(&(part.table.clone(), id_of(part))));
            // What names nothing but the row was there for its parts.
            let mutation = &open.mutation;
            if mutation.parts.is_empty() && mutation.data.len() == 1 && mutation.operation == Intent::Update {
                kept.gone.extend(stored.map(|open| open.id));
            } else {
                self.noted.insert(place, open);
            }
        }
        for (place, Open { id, conflict, mutation }) in self.noted {
            let (conflict, mutation) = (to_json(&conflict)?, to_json(&mutation)?);
            kept.open.push(OpenConflict { id, place: Some(place), conflict, mutation });
        }
        Ok(kept)
    }
}

impl Push {
    fn may_stay_open(&self, change: &ParsedChange) -> bool {
        let of_table = || self.registry.get(change.table).map(|table| table.strategy);
        change.asked.conflict_strategy.or(self.strategy).or_else(of_table) == Some(Strategy::Manual)
    }

    /// The places where changes may leave conflicts open, and whether any is about a row that may wait in one already.
    fn wanted(&self, ready: &[&ParsedChange], cache: &RowCache) -> (Vec<String>, bool) {
        let is_put = |change: &&&ParsedChange| matches!(change.asked.operation, Intent::Insert | Intent::Upsert);
        let puts: HashSet<Key> = ready.iter().filter(is_put).map(|change| (change.rank, change.id.clone())).collect();
        let (mut places, mut may_wait, none) = (HashSet::new(), false, Held::new());
        for change in ready {
            if self.may_stay_open(change) {
                places.insert(self.place(change.table, &change.id));
            }
            match change.asked.brought().map(|row| self.above(cache, &none, change, row)) {
                Some(Up::Gone(above)) => places.extend(self.place_of(&above)),
                Some(Up::Unknown(key)) => may_wait |= !puts.contains(&key),
                Some(Up::Settled) | None => {}
            }
            let key = (change.rank, change.id.clone());
            let is_unknown = cache.working(&key).is_none_or(|working| working.known.is_none());
            may_wait |= is_unknown && !puts.contains(&key);
        }
        (places.into_iter().collect(), may_wait)
    }

    /// Tells those conflicts apart that are not one.
    fn place(&self, table: &str, id: &RowId) -> String {
        let device = self.device.as_ref().map_or("", |device| device.as_str());
        format!("{table} {id} {device}")
    }

    fn place_of(&self, above: &Above) -> Option<String> {
        Some(self.place(self.registry.iter().nth(above.key.0)?.name, &above.key.1))
    }

    fn key(&self, table: &str, id: &RowId) -> Option<Key> {
        Some((self.registry.rank(table)?, id.clone()))
    }
}

/// The stored form of a conflict: the server's values are in the row, and the client's in its change.
fn without_values(conflict: &Conflict) -> Conflict {
    let field = |field: &ConflictField| ConflictField {
        field: field.field.clone(),
        base: field.base.clone().filter(|base| Weight::within(base, LONGEST_BASE).is_some()),
        ..ConflictField::default()
    };
    Conflict {
        fields: conflict.fields.iter().map(field).collect(),
        parts: Vec::new(),
        row: conflict.row.as_ref().filter(|row| row.is_none()).cloned(),
        ..conflict.clone()
    }
}

fn mutation_of(change: &ParsedChange, conflict: &Conflict) -> Mutation {
    let named = |id: &RowId| ("id".to_owned(), id.as_str().into());
    let mut data = change.asked.brought().cloned().unwrap_or_default();
    data.extend([named(&change.id)]);
    let mutation = Mutation {
        mutation_id: change.asked.mutation_id,
        table: change.table.to_owned(),
        operation: change.asked.operation,
        data,
        base_version: change.asked.base_version,
        conflict_strategy: Some(Strategy::Manual),
        parts: Vec::new(),
    };
    if conflict.parts.is_empty() {
        return mutation;
    }
    Mutation {
        mutation_id: change.asked.mutation_id,
        table: conflict.table.clone(),
        operation: Intent::Update,
        data: [named(&conflict.id)].into_iter().collect(),
        base_version: None,
        conflict_strategy: Some(Strategy::Manual),
        parts: vec![mutation],
    }
}

fn read(open: &OpenConflict) -> Option<(Conflict, Mutation)> {
    Some((serde_json::from_str(&open.conflict).ok()?, serde_json::from_str(&open.mutation).ok()?))
}

fn id_of(part: &Mutation) -> RowId {
    part.data.get("id").and_then(Value::as_str).unwrap_or_default().into()
}

/// Both are about fields of the row, or about whether it lives; then the older one's fields are still wanted. What waits with
/// it waits on.
fn join(conflict: &mut Conflict, mutation: &mut Mutation, old: Conflict, mut asked: Mutation) {
    let mut parts = std::mem::take(&mut asked.parts);
    for part in std::mem::take(&mut mutation.parts) {
        let is_same = |old: &&mut Mutation| old.table == part.table && old.data.get("id") == part.data.get("id");
        match parts.iter_mut().find(is_same) {
            Some(old) => {
                old.mutation_id = part.mutation_id;
                old.data.extend(part.data);
            }
            None => parts.push(part),
        }
    }
    mutation.parts = parts;
    let deletes = |mutation: &Mutation| mutation.operation == Intent::Delete;
    if deletes(mutation) != deletes(&asked) || conflict.row.is_some() != old.row.is_some() {
        return;
    }
    let mut fields = old.fields;
    let known: HashSet<String> = fields.iter().map(|field| field.field.clone()).collect();
    fields.extend(std::mem::take(&mut conflict.fields).into_iter().filter(|field| !known.contains(&field.field)));
    conflict.fields = fields;
    let mut data = asked.data;
    data.extend(std::mem::take(&mut mutation.data));
    mutation.data = data;
}

//! Conflicts under the strategy `manual` that wait for a person. Of one row, those of one device are one: what it asked for last
//! is what waits. There are only so many of a person; a change that would need one more is refused before anything is done.

use std::collections::{HashMap, HashSet};

use ryzed_adapters::{FieldError, Strategy};
use uuid::Uuid;

use super::super::request::Ready;
use super::{Push, to_json};
use crate::store::{OpenConflict, OpenStand, StoreError, Transaction};
use crate::sync::decide::Met;
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
    /// Those that the push leaves open, by place.
    noted: HashMap<String, OpenConflict>,
}

impl OpenBook {
    /// Looks what there is, when any of the changes may leave a conflict open.
    pub(super) async fn load(tx: &mut dyn Transaction, push: &Push, ready: &[&Ready]) -> Result<Self, StoreError> {
        let may = ready.iter().filter(|change| push.may_stay_open(change));
        let places: Vec<String> = may.map(|change| push.place(change)).collect::<HashSet<_>>().into_iter().collect();
        if places.is_empty() {
            return Ok(Self::default());
        }
        let stand = tx.open_stand(push.caller.user).await?;
        let held = tx.conflicts_at(push.caller.user, &places).await?;
        let held = held.into_iter().filter_map(|open| Some((open.place.clone()?, open))).collect();
        Ok(Self { stand, held, ..Self::default() })
    }

    /// Makes room for a conflict that is to stay open; an error when there is none.
    pub(super) fn admit(&mut self, push: &Push, change: &Ready, met: &Met) -> Result<(), FieldError> {
        if met.strategy != Strategy::Manual {
            return Ok(());
        }
        let place = push.place(change);
        if !self.held.contains_key(&place) && !self.needed.contains_key(&place) {
            self.stand.count += 1;
            self.stand.bytes += ENVELOPE;
        }
        let needed = self.needed.entry(place).or_default();
        for (field, value) in change.asked.brought().into_iter().flatten() {
            let bytes = Weight::of_field(field, value).bytes;
            let before = needed.insert(field.clone(), bytes).unwrap_or_default();
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
    pub(super) fn note(&mut self, push: &Push, change: &Ready, conflict: &mut Conflict) -> Result<(), StoreError> {
        let place = push.place(change);
        let before = self.noted.get(&place).or_else(|| self.held.get(&place));
        let id = before.map_or_else(Uuid::now_v7, |open| open.id);
        conflict.conflict_id = Some(id);
        let (mut kept, mut mutation) = (without_values(conflict), mutation_of(change));
        if let Some((old, asked)) = before.and_then(read) {
            join(&mut kept, &mut mutation, old, asked);
        }
        let (conflict, mutation) = (to_json(&kept)?, to_json(&mutation)?);
        self.noted.insert(place.clone(), OpenConflict { id, place: Some(place), conflict, mutation });
        Ok(())
    }

    /// Those that are to be kept.
    pub(super) fn noted(self) -> Vec<OpenConflict> {
        self.noted.into_values().collect()
    }
}

impl Push {
    fn may_stay_open(&self, change: &Ready) -> bool {
        let of_table = || self.registry.get(change.table).map(|table| table.strategy);
        change.asked.conflict_strategy.or(self.strategy).or_else(of_table) == Some(Strategy::Manual)
    }

    /// Tells those conflicts apart that are not one.
    fn place(&self, change: &Ready) -> String {
        let device = self.device.as_ref().map_or("", |device| device.as_str());
        format!("{} {} {device}", change.table, change.id)
    }
}

/// What is kept of a conflict. What the server holds is in the row, and what the client wants in its change.
fn without_values(conflict: &Conflict) -> Conflict {
    let field = |field: &ConflictField| ConflictField {
        field: field.field.clone(),
        base: field.base.clone().filter(|base| Weight::within(base, LONGEST_BASE).is_some()),
        ..ConflictField::default()
    };
    Conflict {
        fields: conflict.fields.iter().map(field).collect(),
        row: conflict.row.as_ref().filter(|row| row.is_none()).cloned(),
        ..conflict.clone()
    }
}

fn mutation_of(change: &Ready) -> Mutation {
    let mut data = change.asked.brought().cloned().unwrap_or_default();
    data.insert("id".into(), change.id.as_str().into());
    Mutation {
        mutation_id: change.asked.mutation_id,
        table: change.table.to_owned(),
        operation: change.asked.operation,
        data,
        base_version: change.asked.base_version,
        conflict_strategy: Some(Strategy::Manual),
    }
}

fn read(open: &OpenConflict) -> Option<(Conflict, Mutation)> {
    Some((serde_json::from_str(&open.conflict).ok()?, serde_json::from_str(&open.mutation).ok()?))
}

/// Both are about fields of the row, or about whether it lives; then the older one's fields are still wanted.
fn join(conflict: &mut Conflict, mutation: &mut Mutation, old: Conflict, asked: Mutation) {
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

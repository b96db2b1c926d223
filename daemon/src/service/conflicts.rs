//! Conflicts that wait for a person: listed until they are settled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ryzed_adapters::{Registry, Row, Strategy, code};
use serde_json::Value;
use uuid::Uuid;

use super::push::{Push, Stop};
use super::request::{Change, refused};
use super::{ConflictPage, Pushed, Resolution, Served, Service, ServiceError, Settlement};
use crate::auth::Caller;
use crate::budget::Kind;
use crate::store::{OpenConflict, PAGE_BYTES, RowState, StoreError, Transaction};
use crate::sync::raw;
use crate::sync::said;
use crate::sync::weight::Weight;
use crate::sync::wire::{ChangeResult, Conflict, ConflictField, Intent, Mutation, Part, Status};
use crate::sync::{RowId, Scope, UserId};

/// The device on whose behalf a settled conflict is written: nobody's, so that every device gets the change.
const SETTLER: &str = "ryzed";
/// The most conflicts of one page, and how many it has unless asked otherwise.
const PAGE: i64 = 100;
/// The size from which a value is reported once, as the server's, and not again as the result, in bytes.
const LONG: usize = 16 << 10;

impl Service {
    /// The caller's open conflicts behind `after`, oldest first, as the rows are now.
    ///
    /// # Errors
    /// When `limit` is below 1.
    pub async fn conflicts(
        &self,
        caller: &Caller,
        after: Option<Uuid>,
        limit: Option<i64>,
    ) -> Result<Served<ConflictPage>, ServiceError> {
        let limit = match limit {
            None => PAGE,
            Some(limit @ 1..) => limit.min(PAGE),
            Some(_) => return Err(ServiceError::field("limit", code::OUT_OF_RANGE, "must be at least 1")),
        };
        let (user, registry) = (caller.user, Arc::clone(&self.registry));
        let mut turn = self.budget.turn(user, Kind::Read).await?;
        let answer = self
            .store
            .read(caller, move |tx| {
                let registry = Arc::clone(&registry);
                Box::pin(async move { Ok::<_, ServiceError>(page(tx, &registry, user, after, limit).await?) })
            })
            .await?;
        turn.has_read();
        Ok(Served { answer, turn })
    }

    /// Settles one conflict: the chosen values are written as the newest, the conflict is forgotten.
    ///
    /// # Errors
    /// When there is no such conflict, when `fields` comes without data, or when the values can't be stored: the conflict
    /// then stays open.
    pub async fn settle(
        &self,
        caller: &Caller,
        id: Uuid,
        settlement: Settlement,
    ) -> Result<ChangeResult, ServiceError> {
        let bounds = self.row_bounds();
        let chosen = settlement.data.map(|data| raw::row(&data, bounds)).transpose();
        let chosen = chosen.map_err(|bad| ServiceError::Invalid(vec![refused(bad, bounds)]))?.unwrap_or_default();
        if (settlement.resolution == Resolution::Fields) == chosen.is_empty() {
            let message = "must be given with the resolution \"fields\", and only with it";
            return Err(ServiceError::field("data", code::REQUIRED, message));
        }
        let settle = Arc::new(Settle {
            push: Push {
                registry: Arc::clone(&self.registry),
                caller: caller.clone(),
                device: SETTLER.parse().ok(),
                changes: Vec::new(),
                strategy: Some(Strategy::ClientWins),
                atomic: false,
                same_epoch: true,
                is_operators: false,
                is_early: false,
                now: self.clock.now(),
                limits: Arc::clone(&self.limits),
            },
            id,
            resolution: settlement.resolution,
            chosen,
            newest: self.newest_time(),
        });
        let _turn = self.budget.turn(caller.user, Kind::Write).await?;
        let (pushed, result) = self
            .store
            .write(caller, move |tx| {
                let settle = Arc::clone(&settle);
                Box::pin(async move { settle.run(tx).await })
            })
            .await?;
        self.tell(&pushed);
        Ok(result)
    }
}

struct Settle {
    push: Push,
    id: Uuid,
    resolution: Resolution,
    /// The values, for [`Resolution::Fields`].
    chosen: Row,
    /// The newest time that is known.
    newest: DateTime<Utc>,
}

impl Settle {
    async fn run(&self, tx: &mut dyn Transaction) -> Result<(Pushed, ChangeResult), ServiceError> {
        let user = self.push.caller.user;
        let open = tx.open_conflict(user, self.id).await?.ok_or(ServiceError::NotFound("open conflict"))?;
        let unreadable = || ServiceError::NotFound("readable conflict");
        let mut conflict: Conflict = serde_json::from_str(&open.conflict).map_err(|_| unreadable())?;
        let mut asked: Mutation = serde_json::from_str(&open.mutation).map_err(|_| unreadable())?;
        to_wire(&mut conflict, &mut asked, &self.push.registry);
        tx.drop_conflict(user, self.id).await?;
        let parts = std::mem::take(&mut asked.parts);
        let Some(mutation) = self.mutation(&conflict, asked) else {
            let result = ChangeResult {
                mutation_id: None,
                status: Status::Applied,
                table: conflict.table,
                id: Some(conflict.id),
                version: None,
                errors: Vec::new(),
            };
            return Ok((Pushed::default(), result));
        };
        let all = std::iter::once(mutation).chain(parts.into_iter().map(taken));
        let changes = all.map(|mutation| Change::of(mutation, &self.push.registry, false, self.newest));
        let changes: Vec<Change> =
            changes.collect::<Result<_, _>>().map_err(|error| ServiceError::Invalid(vec![*error]))?;
        let push = Push {
            registry: Arc::clone(&self.push.registry),
            caller: self.push.caller.clone(),
            device: self.push.device.clone(),
            changes,
            limits: self.push.limits.clone(),
            ..self.push
        };
        let mut pushed = push.run(tx).await.map_err(|stop| match stop {
            Stop::Store(error) => ServiceError::from(error),
            Stop::Limit { limit, detail } => ServiceError::Limit { limit, detail },
            Stop::Atomic(_) | Stop::Waits(_) => unreadable(),
        })?;
        if let Some(table) = pushed.waits_for.first() {
            return Err(ServiceError::Stopped(table));
        }
        let results = std::mem::take(&mut pushed.results);
        if let Some(refused) = results.iter().find(|result| result.status == Status::Rejected) {
            return Err(ServiceError::Invalid(refused.errors.clone()));
        }
        let mut result = results.into_iter().next().ok_or_else(unreadable)?;
        // That the chosen values beat the server's is what was asked for, and no conflict.
        result.status = Status::Applied;
        Ok((pushed, result))
    }

    /// The change to write; none when the server's values stay. Of a row that was there only the fields that
    /// conflicted: the others were written at once.
    fn mutation(&self, conflict: &Conflict, asked: Mutation) -> Option<Mutation> {
        let was_deleted = conflict.row == Some(None);
        let data = match self.resolution {
            Resolution::Server => return None,
            Resolution::Client if asked.operation == Intent::Delete || was_deleted => asked.data,
            Resolution::Client => {
                let client = |field: &ConflictField| asked.data.get(&field.field).or(field.client.as_ref()).cloned();
                let fields = conflict.fields.iter();
                fields.map(|field| (field.field.clone(), client(field).unwrap_or(Value::Null))).collect()
            }
            Resolution::Fields => self.chosen.clone(),
        };
        let deletes = asked.operation == Intent::Delete && self.resolution == Resolution::Client;
        Some(Mutation {
            mutation_id: None,
            table: conflict.table.clone(),
            operation: if deletes { Intent::Delete } else { Intent::Upsert },
            data: with_id(data, conflict),
            base_version: None,
            conflict_strategy: Some(Strategy::ClientWins),
            parts: Vec::new(),
        })
    }
}

/// A part that comes back with the row that it waited with.
fn taken(part: Mutation) -> Mutation {
    let conflict_strategy = Some(Strategy::ClientWins);
    Mutation { mutation_id: None, operation: Intent::Upsert, base_version: None, conflict_strategy, ..part }
}

/// A page, cut behind the conflict that makes it too long.
async fn page(
    tx: &mut dyn Transaction,
    registry: &Registry,
    user: UserId,
    after: Option<Uuid>,
    limit: i64,
) -> Result<ConflictPage, StoreError> {
    let found = tx.open_page(user, after, limit, PAGE_BYTES).await?;
    let mut page = ConflictPage { conflicts: Vec::new(), has_more: found.has_more, after: None };
    let mut read: Vec<(Uuid, Conflict, Mutation)> = Vec::new();
    for open in found.open {
        let (id, mut conflict, mut asked) = parsed(open)?;
        to_wire(&mut conflict, &mut asked, registry);
        read.push((id, conflict, asked));
    }
    let mut rows = rows(tx, registry, user, &read).await?;
    let (mut bytes, count) = (0, read.len());
    for (id, mut conflict, asked) in read {
        let key = (conflict.table.clone(), conflict.id.clone());
        // A row that did not fit comes with a later page, and if it is the first, alone.
        if !rows.contains_key(&key) && page.conflicts.is_empty() {
            rows.extend(row(tx, registry, user, &key).await?);
        }
        let Some(now) = rows.get(&key) else { break };
        as_it_is_now(&mut conflict, &asked, now.as_ref());
        conflict.parts = asked.parts.into_iter().map(shown_part).collect();
        bytes += size(&conflict);
        if bytes > PAGE_BYTES && !page.conflicts.is_empty() {
            break;
        }
        page.conflicts.push(conflict);
        page.after = Some(id);
    }
    page.has_more |= page.conflicts.len() < count;
    Ok(page)
}

fn parsed(open: OpenConflict) -> Result<(Uuid, Conflict, Mutation), StoreError> {
    let unreadable = |error| StoreError::Failed(format!("the open conflict {} can't be read: {error}", open.id));
    let conflict = serde_json::from_str(&open.conflict).map_err(unreadable)?;
    Ok((open.id, conflict, serde_json::from_str(&open.mutation).map_err(unreadable)?))
}

/// Rows by table and id: as they are now, none inside when they are deleted. Those that are too many are missing.
type RowsNow = HashMap<(String, RowId), Option<Row>>;

async fn rows(
    tx: &mut dyn Transaction,
    registry: &Registry,
    user: UserId,
    of: &[(Uuid, Conflict, Mutation)],
) -> Result<RowsNow, StoreError> {
    let mut wanted: BTreeMap<&str, Vec<RowId>> = BTreeMap::new();
    for (_, conflict, _) in of {
        wanted.entry(&conflict.table).or_default().push(conflict.id.clone());
    }
    let (mut found, mut left) = (RowsNow::new(), PAGE_BYTES);
    for (name, ids) in wanted {
        let name = name.to_owned();
        let Some(table) = registry.get(&name) else {
            found.extend(ids.into_iter().map(|id| ((name.clone(), id), None)));
            continue;
        };
        let states = tx.states(table, &ids, &read_by(user), left).await?;
        for state in states.rows {
            left = left.saturating_sub(state.size());
            let known = found.entry((name.clone(), state.id.clone())).or_default();
            *known = known.take().or(shown(state, user));
        }
        if states.is_whole {
            for id in ids {
                found.entry((name.clone(), id)).or_default();
            }
        }
    }
    Ok(found)
}

/// One row, however large.
async fn row(
    tx: &mut dyn Transaction,
    registry: &Registry,
    user: UserId,
    key: &(String, RowId),
) -> Result<RowsNow, StoreError> {
    let Some(table) = registry.get(&key.0) else { return Ok([(key.clone(), None)].into()) };
    let states = tx.states(table, std::slice::from_ref(&key.1), &read_by(user), 0).await?;
    Ok([(key.clone(), states.rows.into_iter().find_map(|state| shown(state, user)))].into())
}

fn read_by(user: UserId) -> [Scope; 2] {
    [Scope::User(user), Scope::Global]
}

/// The row, when it is still one that the person reads.
fn shown(state: RowState, user: UserId) -> Option<Row> {
    let row = state.row.filter(|_| state.scope.is_some_and(|scope| read_by(user).contains(&scope)))?;
    Some(said::object(&row))
}

/// Tells what the server holds now, and what the client wants.
fn as_it_is_now(conflict: &mut Conflict, asked: &Mutation, row: Option<&Row>) {
    for field in &mut conflict.fields {
        let now = row.and_then(|row| row.get(&field.field)).unwrap_or(&Value::Null);
        let client = asked.data.get(&field.field).filter(|_| asked.operation != Intent::Delete);
        field.client = client.cloned().or(field.client.take()).or(Some(Value::Null));
        field.base.get_or_insert(Value::Null);
        field.server = Some(now.clone());
        field.resolved = Weight::within(now, LONG).map(|_| now.clone());
    }
    conflict.row = Some(row.cloned());
}

fn shown_part(part: Mutation) -> Part {
    let id = part.data.get("id").and_then(Value::as_str).unwrap_or_default().into();
    Part { mutation_id: part.mutation_id, table: part.table, id, data: Some(part.data) }
}

fn size(conflict: &Conflict) -> usize {
    let of = |value: &Option<Value>| value.as_ref().map_or(0, |value| Weight::of(value).bytes);
    let fields = conflict.fields.iter().map(|field| of(&field.client) + of(&field.server));
    let parts = conflict.parts.iter().flat_map(|part| &part.data).map(|data| Weight::of_row(data).bytes);
    fields.sum::<usize>()
        + parts.sum::<usize>()
        + conflict.row.iter().flatten().map(|row| Weight::of_row(row).bytes).sum::<usize>()
}

/// Removes the columns that have been hidden since from a stored conflict.
fn to_wire(conflict: &mut Conflict, asked: &mut Mutation, registry: &Registry) {
    let travels = |table: &str, column: &str| registry.get(table).is_some_and(|table| table.column(column).is_some());
    conflict.fields.retain(|field| travels(&conflict.table, &field.field));
    asked.data.retain(|name, _| travels(&conflict.table, name));
    for part in &mut asked.parts {
        part.data.retain(|name, _| travels(&part.table, name));
    }
}

fn with_id(mut data: Row, conflict: &Conflict) -> Row {
    data.insert("id".into(), conflict.id.as_str().into());
    data
}

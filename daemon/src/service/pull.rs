//! The download: a page of everything after a cursor, read from one snapshot.

mod item;
mod stopped;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use ryzed_adapters::{Registry, Table, code, format_time, is_in_calendar};

use super::{Counted, PullRequest, Served, Service, ServiceError};
use crate::auth::Caller;
use crate::budget::Kind;
use crate::metrics::metrics;
use crate::store::{PAGE_BYTES, Query, Range, ScopeState, StoreError, Transaction};
use crate::sync::digest::{Digest, TableDigest};
use crate::sync::page::{Stand, advanced, can_serve, can_serve_since, fitting};
use crate::sync::wire::SyncResponse;
use crate::sync::{Cursor, Operation, Scope, UserId, Version};
use item::{Item, by_table};
use stopped::{Pulled, passed, untold};

/// The most rows of one page, and how many it has unless asked otherwise.
const PAGE_ROWS: i64 = 1000;
/// The pause before the next sync of a client without a socket.
const COME_AGAIN: TimeDelta = TimeDelta::minutes(5);
/// The time that is before every change.
const BEFORE_ALL: &str = "1970-01-01T00:00:00.000000Z";

/// One pull, ready to be run on a snapshot.
pub(super) struct Pull {
    pub registry: Arc<Registry>,
    pub user: UserId,
    pub epoch: String,
    pub cursor: Option<Cursor>,
    /// None: the client holds nothing.
    pub since: Option<DateTime<Utc>>,
    /// Empty: all.
    pub tables: Vec<&'static str>,
    pub limit: i64,
    pub digest: bool,
    pub now: DateTime<Utc>,
}

/// One scope's part of the page.
struct Part {
    items: Vec<Item>,
    reached: Version,
    has_more: bool,
}

/// Counts a download that is about to go out.
fn count(answer: &SyncResponse) {
    metrics().pulls.inc();
    metrics().rows_pulled.inc_by(answer.total_changes as u64);
}

impl Pull {
    /// The kind of work that it is: a search by time or a full count is long, whatever its result.
    pub(super) fn kind(&self) -> Kind {
        let by_time = self.cursor.is_none() && self.since.is_some();
        if by_time || self.digest { Kind::LongRead } else { Kind::Read }
    }

    /// The catalogue first: people's rows refer to it.
    fn scopes(&self) -> [Scope; 2] {
        [Scope::Global, Scope::User(self.user)]
    }

    /// Runs on a snapshot.
    pub(super) async fn run(&self, tx: &mut dyn Transaction) -> Result<Pulled, StoreError> {
        let served = self.served(tx)?;
        self.prefetch(tx, &served.tables).await?;
        let states = tx.scopes(&self.scopes()).await?;
        let stands: Vec<Stand> = states.iter().map(stand).collect();
        let from = self.start(tx).await?;
        let by_time = self.cursor.is_none() && self.since.is_some();
        if !can_serve(&from, &self.epoch, &stands) || (by_time && !can_serve_since(&from, &stands)) {
            let answer = self.answer(Vec::new(), Cursor::zero(&self.epoch), BEFORE_ALL.into(), true, true)?;
            return Ok(Pulled { answer: SyncResponse { stopped: served.stopped, ..answer }, passed: Vec::new() });
        }
        let mut items = Vec::new();
        let mut reached = Vec::new();
        let (mut rows, mut bytes, mut has_more) = (self.limit, PAGE_BYTES, false);
        for state in &states {
            let part = if has_more {
                Part { items: Vec::new(), reached: from.at(state.scope), has_more: true }
            } else {
                self.part(tx, state, from.at(state.scope), (rows, bytes), &served.tables).await?
            };
            rows -= part.items.len() as i64;
            bytes = bytes.saturating_sub(part.items.iter().map(Item::size).sum());
            reached.push((state.scope, part.reached));
            has_more |= part.has_more;
            items.extend(part.items);
        }
        let cursor = advanced(&from, &self.epoch, &stands, &reached);
        let stamp = self.timestamp(&states, has_more);
        let mut answer = self.answer(items, cursor, stamp, has_more, false)?;
        let passed = if served.stopped.is_empty() { Vec::new() } else { passed(&from, &reached, &served.stopped) };
        let mut stopped = served.stopped;
        if self.digest && !has_more {
            stopped.extend(untold(tx, &self.registry, &self.tables, &self.scopes()).await?);
            // A client takes a table that a digest leaves out for one that has no rows, and its copy for a damaged one.
            if stopped.is_empty() {
                answer.digest = Some(digest(tx, &self.registry, &self.tables, &self.scopes()).await?);
            }
        }
        Ok(Pulled { answer: SyncResponse { stopped, ..answer }, passed })
    }

    /// Tells the transaction what is going to be read, where the cursor is known.
    async fn prefetch(&self, tx: &mut dyn Transaction, tables: &[&'static str]) -> Result<(), StoreError> {
        let scopes = self.scopes();
        let mut reads = vec![Query::Scopes(&scopes)];
        if let Some(cursor) = self.cursor.as_ref().filter(|cursor| cursor.epoch == self.epoch) {
            let after = |scope| Query::Entries(scope, cursor.at(scope), tables, self.limit + 1);
            reads.extend(scopes.map(after));
        }
        tx.prefetch(&reads).await
    }

    /// The cursor that the pull starts from. A time becomes the last versions before it, which is exact, since within
    /// a scope the times of changes never run backwards.
    async fn start(&self, tx: &mut dyn Transaction) -> Result<Cursor, StoreError> {
        if let Some(cursor) = &self.cursor {
            return Ok(cursor.clone());
        }
        let mut cursor = Cursor::zero(&self.epoch);
        if let Some(since) = self.since {
            for scope in self.scopes() {
                cursor.set(scope, tx.version_before(scope, &format_time(since)).await?);
            }
        }
        Ok(cursor)
    }

    async fn part(
        &self,
        tx: &mut dyn Transaction,
        state: &ScopeState,
        after: Version,
        (rows, bytes): (i64, usize),
        tables: &[&'static str],
    ) -> Result<Part, StoreError> {
        let mut entries = tx.entries(state.scope, after, tables, self.limit + 1).await?;
        let mut has_more = entries.len() as i64 > rows;
        entries.truncate(usize::try_from(rows).unwrap_or_default());
        let last = entries.last().map_or(after, |entry| entry.version);
        let range = Range { after, upto: last, bytes };
        let mut found: BTreeMap<Version, String> = BTreeMap::new();
        let mut cut: Option<Version> = None;
        for table in self.registry.iter() {
            if entries.iter().any(|entry| entry.table == Some(table.name) && entry.operation != Operation::Delete) {
                let rows = tx.rows(table, state.scope, range).await?;
                cut = [cut, rows.cut].into_iter().flatten().min();
                found.extend(rows.rows);
            }
        }
        has_more |= cut.is_some();
        let mut items: Vec<Item> = entries
            .into_iter()
            .filter(|entry| cut.is_none_or(|cut| entry.version <= cut))
            .filter_map(|entry| {
                let json = found.remove(&entry.version);
                Some(Item { table: entry.table?, id: entry.id, version: entry.version, json })
            })
            .collect();
        let fits = fitting(items.iter().map(Item::size), bytes);
        if fits < items.len() {
            has_more = true;
            items.truncate(fits);
        }
        // All that there is was read: what follows `last` belongs to tables that were not asked for.
        let reached = if has_more { items.last().map_or(after, |item| item.version) } else { state.version };
        Ok(Part { items, reached, has_more })
    }

    /// An answer that brings nothing and has the client ask again from where it stands.
    pub(super) fn nothing(&self) -> Result<SyncResponse, StoreError> {
        let cursor = self.cursor.clone().unwrap_or_else(|| Cursor::zero(&self.epoch));
        self.answer(Vec::new(), cursor, self.timestamp(&[], true), true, false)
    }

    /// The `last_sync_timestamp` for a client without a cursor: no change that it lacks is from an earlier time.
    fn timestamp(&self, states: &[ScopeState], has_more: bool) -> String {
        if has_more {
            return self.since.map_or_else(|| BEFORE_ALL.into(), format_time);
        }
        let times = states.iter().map(|state| state.changed_at.as_str());
        times.min().filter(|time| !time.is_empty()).unwrap_or(BEFORE_ALL).to_owned()
    }

    fn answer(
        &self,
        items: Vec<Item>,
        cursor: Cursor,
        sync_timestamp: String,
        has_more: bool,
        reset: bool,
    ) -> Result<SyncResponse, StoreError> {
        let total_changes = items.len();
        let (changes, deletions) = by_table(items)?;
        let next = if has_more { self.now } else { self.now + COME_AGAIN };
        Ok(SyncResponse {
            sync_timestamp,
            changes,
            deletions,
            conflicts: Vec::new(),
            results: Vec::new(),
            next_sync_recommended: format_time(next),
            total_changes,
            cursor,
            has_more,
            reset,
            digest: None,
            stopped: Vec::new(),
        })
    }
}

impl Service {
    /// The download alone: `GET /changes`.
    ///
    /// # Errors
    /// When the request is at fault.
    pub async fn pull(&self, caller: &Caller, request: PullRequest) -> Result<Served<SyncResponse>, ServiceError> {
        let PullRequest { cursor, since, tables, limit, digest } = request;
        let pull = self.plan(caller, cursor, since, &tables, limit, digest)?;
        let mut turn = self.budget.turn(caller.user, pull.kind()).await?;
        let answer = self.run(caller, pull).await?;
        turn.has_read();
        Ok(Served { answer, turn })
    }

    /// The download, on a snapshot of its own, once it can go out.
    pub(super) async fn run(&self, caller: &Caller, pull: Pull) -> Result<SyncResponse, ServiceError> {
        let pull = Arc::new(pull);
        let Pulled { answer, passed } = self
            .store
            .read(caller, move |tx| {
                let pull = Arc::clone(&pull);
                Box::pin(async move { Ok::<_, ServiceError>(pull.run(tx).await?) })
            })
            .await?;
        self.pass_over(passed).await?;
        count(&answer);
        Ok(answer)
    }

    /// `GET /digest`: where the caller's newest state is, and its digest.
    ///
    /// # Errors
    /// When a table is unknown.
    pub async fn digest(&self, caller: &Caller, tables: &[String]) -> Result<Counted, ServiceError> {
        let tables = self.tables(tables)?;
        let _turn = self.budget.turn(caller.user, Kind::LongRead).await?;
        let (registry, epoch, user) = (Arc::clone(&self.registry), self.epoch().to_owned(), read_by(caller));
        self.store
            .read(caller, move |tx| {
                let (registry, epoch, tables) = (Arc::clone(&registry), epoch.clone(), tables.clone());
                Box::pin(async move {
                    let scopes = [Scope::Global, Scope::User(user)];
                    let mut cursor = Cursor::zero(&epoch);
                    for state in tx.scopes(&scopes).await? {
                        cursor.set(state.scope, state.version);
                    }
                    let mut digest = digest(tx, &registry, &tables, &scopes).await?;
                    let untold = untold(tx, &registry, &[], &scopes).await?;
                    digest.retain(|table, _| !untold.contains(&table.as_str()));
                    let stopped = tx.stopped().names().chain(untold).collect();
                    Ok::<_, ServiceError>(Counted { cursor, digest, stopped })
                })
            })
            .await
    }

    /// The pull that a request asks for.
    pub(super) fn plan(
        &self,
        caller: &Caller,
        cursor: Option<Cursor>,
        since: Option<DateTime<Utc>>,
        tables: &[String],
        limit: Option<i64>,
        digest: bool,
    ) -> Result<Pull, ServiceError> {
        let cursor = cursor.map(|cursor| {
            let negative = || ServiceError::field("cursor", code::OUT_OF_RANGE, "versions must not be negative");
            cursor.checked().ok_or_else(negative)
        });
        if since.is_some_and(|time| !is_in_calendar(time)) {
            let message = "must lie in the years 1 to 9999 in UTC";
            return Err(ServiceError::field("last_sync_timestamp", code::OUT_OF_RANGE, message));
        }
        let (tables, stopped) = (self.tables(tables)?, self.store.stopped());
        if let Some(table) = tables.first().filter(|_| tables.iter().all(|table| stopped.has(table))) {
            return Err(ServiceError::Stopped(table));
        }
        Ok(Pull {
            registry: Arc::clone(&self.registry),
            user: read_by(caller),
            epoch: self.epoch().to_owned(),
            cursor: cursor.transpose()?,
            since: since.filter(|time| *time > DateTime::UNIX_EPOCH),
            tables,
            limit: match limit {
                None => PAGE_ROWS,
                Some(1..) => limit.unwrap_or(PAGE_ROWS).min(PAGE_ROWS),
                Some(_) => return Err(ServiceError::field("limit", code::OUT_OF_RANGE, "must be at least 1")),
            },
            digest,
            now: self.clock.now(),
        })
    }
}

/// The user whose scope the caller reads: their own.
fn read_by(caller: &Caller) -> UserId {
    #[cfg(feature = "faults")]
    return crate::faults::pulled_by(caller.user);
    #[cfg(not(feature = "faults"))]
    caller.user
}

/// The state of a scope, as far as a pull needs it.
pub(super) fn stand(state: &ScopeState) -> Stand {
    Stand { scope: state.scope, newest: state.version, floor: state.floor }
}

/// Computes the digest of the live rows of `tables` (empty: all), including empty tables.
pub(super) async fn digest(
    tx: &mut dyn Transaction,
    registry: &Registry,
    tables: &[&'static str],
    scopes: &[Scope],
) -> Result<Digest, StoreError> {
    let stopped = tx.stopped();
    let wanted = |table: &&Table| (tables.is_empty() || tables.contains(&table.name)) && !stopped.has(table.name);
    let mut digest: Digest =
        registry.iter().filter(wanted).map(|table| (table.name.to_owned(), TableDigest::default())).collect();
    for (table, found) in tx.digest(scopes).await? {
        if let Some(entry) = digest.get_mut(&table) {
            *entry = *entry + found;
        }
    }
    Ok(digest)
}

//! The calls that jobs wait for, answered with a statement for each kind and table.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use ryzed_adapters::{Registry, Table};
use uuid::Uuid;

use super::call::{Answer, Call, KeptUses, NewUser, Write};
use crate::store::{DeviceRow, Entry, Receipts, Records, RowState, ScopeState, States, StoreError, Transaction};
use crate::sync::{DeviceId, Operation, RowId, Scope, UserId, Version};

/// A scope, and the version behind which its changes are wanted.
pub(in crate::store) type Span = (Scope, Version);

/// A scope, and the device on whose behalf its rows are written.
pub(in crate::store) type Writer = (Scope, DeviceId);

/// Receipts of one person that are to be kept.
pub(in crate::store) struct KeptReceipts {
    pub user: UserId,
    pub receipts: Vec<(Uuid, String)>,
    pub now: String,
}

/// The operations of a backend for several people at once, each with a statement. What it answers to several is in the
/// order in which they were asked.
#[async_trait]
pub(in crate::store) trait Sets: Transaction {
    /// The synced tables.
    fn registry(&self) -> Arc<Registry>;
    /// The receipts that each person wants.
    async fn all_receipts(&mut self, wanted: &[(UserId, Vec<Uuid>)]) -> Result<Vec<Receipts>, StoreError>;
    /// Everything behind each version.
    async fn all_entries(&mut self, spans: &[Span]) -> Result<Vec<Vec<Entry>>, StoreError>;
    /// Everything behind each version, with its rows.
    async fn all_records(&mut self, spans: &[Span]) -> Result<Vec<Records>, StoreError>;
    /// Keeps everybody's receipts.
    async fn keep_all_receipts(&mut self, kept: &[KeptReceipts]) -> Result<(), StoreError>;
    /// Whole rows of several people, as one JSON array, each on behalf of the device that writes its scope. All, or an error.
    async fn upsert_all(&mut self, table: &Table, rows: &str, by: &[Writer]) -> Result<(), StoreError>;
    /// The same for parts of rows that are there.
    async fn update_all(&mut self, table: &Table, parts: &str, by: &[Writer]) -> Result<(), StoreError>;
    /// The same for rows that go.
    async fn delete_all(&mut self, table: &Table, ids: &[RowId], by: &[Writer]) -> Result<(), StoreError>;
    /// Makes the rows of people, unless they are there; says whether any was made.
    async fn ensure_users(&mut self, new: &[NewUser]) -> Result<bool, StoreError>;
    /// Each of these devices, where it is known.
    async fn all_devices(&mut self, wanted: &[(UserId, DeviceId)]) -> Result<Vec<Option<DeviceRow>>, StoreError>;
    /// The number of each person's devices that are not revoked.
    async fn count_all_devices(&mut self, people: &[UserId]) -> Result<Vec<i64>, StoreError>;
    /// Writes devices, new or not.
    async fn keep_devices(&mut self, kept: &[(UserId, DeviceRow)]) -> Result<(), StoreError>;
    /// Remembers the tokens that devices have used.
    async fn keep_all_uses(&mut self, kept: &[KeptUses]) -> Result<(), StoreError>;
}

type Answers = Of<Answer>;

/// Calls of one kind, each with the place of its job.
type Of<T> = Vec<(usize, T)>;

type ByTable<T> = BTreeMap<&'static str, Of<T>>;

/// Rows that a job reads with these scopes, and the bytes that they may have.
type Rowset = (Vec<RowId>, Vec<Scope>, usize);

/// The calls, by kind.
#[derive(Default)]
struct Sorted {
    scopes: Of<Vec<Scope>>,
    states: ByTable<Rowset>,
    owners: BTreeMap<String, Of<Vec<RowId>>>,
    receipts: Of<(UserId, Vec<Uuid>)>,
    entries: Of<(Span, Vec<&'static str>)>,
    records: Of<Span>,
    writes: ByTable<(Write, Writer)>,
    kept: Of<KeptReceipts>,
    touched: BTreeMap<String, Of<Vec<Scope>>>,
    people: Of<NewUser>,
    devices: Of<(UserId, DeviceId)>,
    counts: Of<UserId>,
    kept_devices: Of<(UserId, DeviceRow)>,
    uses: Of<KeptUses>,
}

impl Sorted {
    fn of(calls: Vec<(usize, Call)>) -> Self {
        let mut sorted = Self::default();
        for (place, call) in calls {
            match call {
                Call::Scopes(scopes) => sorted.scopes.push((place, scopes)),
                Call::States { table, ids, scopes, bytes } => {
                    sorted.states.entry(table).or_default().push((place, (ids, scopes, bytes)));
                }
                Call::Owners { table, ids } => sorted.owners.entry(table).or_default().push((place, ids)),
                Call::Receipts { user, mutations } => sorted.receipts.push((place, (user, mutations))),
                Call::Entries { scope, after, tables } => sorted.entries.push((place, ((scope, after), tables))),
                Call::Records { scope, after } => sorted.records.push((place, (scope, after))),
                Call::Write { table, write, user, device } => {
                    sorted.writes.entry(table).or_default().push((place, (write, (Scope::User(user), device))));
                }
                Call::KeepReceipts { user, receipts, now } => {
                    sorted.kept.push((place, KeptReceipts { user, receipts, now }));
                }
                Call::Touch { scopes, now } => sorted.touched.entry(now).or_default().push((place, scopes)),
                Call::EnsureUser(new) => sorted.people.push((place, new)),
                Call::Device { user, device } => sorted.devices.push((place, (user, device))),
                Call::CountDevices(user) => sorted.counts.push((place, user)),
                Call::KeepDevice { user, device } => sorted.kept_devices.push((place, (user, device))),
                Call::KeepUses(uses) => sorted.uses.push((place, uses)),
            }
        }
        sorted
    }
}

/// Answers calls of different jobs.
///
/// # Errors
/// The first failure of any statement: what was written before it is to be undone.
pub(super) async fn answer<S: Sets + ?Sized>(tx: &mut S, calls: Vec<(usize, Call)>) -> Result<Answers, StoreError> {
    let sorted = Sorted::of(calls);
    let mut answers = Vec::new();
    scopes(tx, sorted.scopes, &mut answers).await?;
    receipts(tx, sorted.receipts, &mut answers).await?;
    for (table, calls) in sorted.states {
        states(tx, table, calls, &mut answers).await?;
    }
    for (table, calls) in sorted.owners {
        owners(tx, &table, calls, &mut answers).await?;
    }
    for (table, calls) in sorted.writes {
        write(tx, table, calls, &mut answers).await?;
    }
    devices(tx, sorted.people, sorted.devices, sorted.counts, &mut answers).await?;
    keep_devices(tx, sorted.kept_devices, sorted.uses, &mut answers).await?;
    for (now, calls) in sorted.touched {
        touch(tx, &now, calls, &mut answers).await?;
    }
    entries(tx, sorted.entries, &mut answers).await?;
    if !sorted.kept.is_empty() {
        let (places, kept): (Vec<_>, Vec<_>) = sorted.kept.into_iter().unzip();
        tx.keep_all_receipts(&kept).await?;
        answers.extend(places.into_iter().map(|place| (place, Answer::Written)));
    }
    records(tx, sorted.records, &mut answers).await?;
    Ok(answers)
}

/// Makes people's rows, and finds their devices.
async fn devices<S: Sets + ?Sized>(
    tx: &mut S,
    people: Of<NewUser>,
    wanted: Of<(UserId, DeviceId)>,
    counts: Of<UserId>,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    if !people.is_empty() {
        let (places, new): (Vec<_>, Vec<_>) = people.into_iter().unzip();
        let has_made = tx.ensure_users(&new).await?;
        answers.extend(places.into_iter().map(|place| (place, Answer::Ensured(has_made))));
    }
    if !wanted.is_empty() {
        let (places, wanted): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let found = tx.all_devices(&wanted).await?;
        answers.extend(places.into_iter().zip(found.into_iter().map(Answer::Device)));
    }
    if !counts.is_empty() {
        let (places, people): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
        let found = tx.count_all_devices(&people).await?;
        answers.extend(places.into_iter().zip(found.into_iter().map(Answer::Count)));
    }
    Ok(())
}

async fn keep_devices<S: Sets + ?Sized>(
    tx: &mut S,
    devices: Of<(UserId, DeviceRow)>,
    uses: Of<KeptUses>,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    if !devices.is_empty() {
        let (places, kept): (Vec<_>, Vec<_>) = devices.into_iter().unzip();
        tx.keep_devices(&kept).await?;
        answers.extend(places.into_iter().map(|place| (place, Answer::Written)));
    }
    if !uses.is_empty() {
        let (places, kept): (Vec<_>, Vec<_>) = uses.into_iter().unzip();
        tx.keep_all_uses(&kept).await?;
        answers.extend(places.into_iter().map(|place| (place, Answer::Written)));
    }
    Ok(())
}

async fn scopes<S: Sets + ?Sized>(tx: &mut S, calls: Of<Vec<Scope>>, answers: &mut Answers) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    let wanted: HashSet<Scope> = calls.iter().flat_map(|(_, scopes)| scopes).copied().collect();
    let wanted: Vec<Scope> = wanted.into_iter().collect();
    let found = tx.scopes(&wanted).await?;
    let found: HashMap<Scope, ScopeState> = found.into_iter().map(|state| (state.scope, state)).collect();
    answers.extend(calls.into_iter().map(|(place, scopes)| {
        (place, Answer::Scopes(scopes.iter().filter_map(|scope| found.get(scope).cloned()).collect()))
    }));
    Ok(())
}

async fn touch<S: Sets + ?Sized>(
    tx: &mut S,
    now: &str,
    calls: Of<Vec<Scope>>,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    let scopes: HashSet<Scope> = calls.iter().flat_map(|(_, scopes)| scopes).copied().collect();
    tx.touch(&scopes.into_iter().collect::<Vec<_>>(), now).await?;
    answers.extend(calls.into_iter().map(|(place, _)| (place, Answer::Written)));
    Ok(())
}

async fn receipts<S: Sets + ?Sized>(
    tx: &mut S,
    calls: Of<(UserId, Vec<Uuid>)>,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    let (places, wanted): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    let found = tx.all_receipts(&wanted).await?;
    answers.extend(places.into_iter().zip(found.into_iter().map(Answer::Receipts)));
    Ok(())
}

/// Live rows go to who asked for them, wherever they are; tombstones only of the scopes that were asked for with them.
async fn states<S: Sets + ?Sized>(
    tx: &mut S,
    table: &'static str,
    calls: Of<Rowset>,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    let registry = tx.registry();
    let table = known(&registry, table)?;
    let ids: Vec<RowId> = calls.iter().flat_map(|(_, (ids, ..))| ids).cloned().collect();
    let scopes: HashSet<Scope> = calls.iter().flat_map(|(_, (_, scopes, _))| scopes).copied().collect();
    let bytes = calls.iter().map(|(_, (.., bytes))| *bytes).min().unwrap_or_default();
    let found = tx.states(table, &ids, &scopes.into_iter().collect::<Vec<_>>(), bytes).await?;
    if !found.is_whole {
        return Err(StoreError::TooMuch("the rows of several people are too much together".into()));
    }
    let mut rows: HashMap<RowId, Vec<RowState>> = HashMap::new();
    for row in found.rows {
        rows.entry(row.id.clone()).or_default().push(row);
    }
    for (place, (ids, scopes, _)) in calls {
        let mut own = States { rows: Vec::new(), is_whole: true };
        for id in ids {
            let found = rows.remove(&id).unwrap_or_default();
            own.rows.extend(seen_from(found, &scopes));
        }
        answers.push((place, Answer::States(own)));
    }
    Ok(())
}

/// The states of one row as they are read with these scopes alone: a tombstone of another scope is not seen.
fn seen_from(found: Vec<RowState>, scopes: &[Scope]) -> Vec<RowState> {
    let is_seen =
        |row: &RowState| row.operation != Operation::Delete || row.scope.is_none_or(|scope| scopes.contains(&scope));
    let (mut seen, unseen): (Vec<RowState>, Vec<RowState>) = found.into_iter().partition(is_seen);
    if seen.is_empty() {
        let rest = unseen.into_iter().find(|row| row.row.is_some());
        seen.extend(rest.map(RowState::without_entry));
    }
    seen
}

async fn owners<S: Sets + ?Sized>(
    tx: &mut S,
    table: &str,
    calls: Of<Vec<RowId>>,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    let wanted: HashSet<RowId> = calls.iter().flat_map(|(_, ids)| ids).cloned().collect();
    let found = tx.owners(table, &wanted.into_iter().collect::<Vec<_>>()).await?;
    let mut scopes: HashMap<RowId, Vec<Scope>> = HashMap::new();
    for (id, scope) in found {
        scopes.entry(id).or_default().push(scope);
    }
    answers.extend(calls.into_iter().map(|(place, ids)| {
        let own = ids.iter().flat_map(|id| scopes.get(id).into_iter().flatten().map(|scope| (id.clone(), *scope)));
        (place, Answer::Owners(own.collect()))
    }));
    Ok(())
}

async fn entries<S: Sets + ?Sized>(
    tx: &mut S,
    calls: Of<(Span, Vec<&'static str>)>,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    let spans: Vec<Span> = calls.iter().map(|(_, (span, _))| *span).collect();
    let found = tx.all_entries(&spans).await?;
    answers.extend(calls.into_iter().zip(found).map(|((place, (_, tables)), mut entries)| {
        let is_wanted = |entry: &Entry| entry.table.is_some_and(|table| tables.contains(&table));
        entries.retain(|entry| tables.is_empty() || is_wanted(entry));
        (place, Answer::Entries(entries))
    }));
    Ok(())
}

async fn records<S: Sets + ?Sized>(tx: &mut S, calls: Of<Span>, answers: &mut Answers) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    let (places, spans): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    let found = tx.all_records(&spans).await?;
    answers.extend(places.into_iter().zip(found.into_iter().map(Answer::Records)));
    Ok(())
}

async fn write<S: Sets + ?Sized>(
    tx: &mut S,
    table: &'static str,
    calls: Of<(Write, Writer)>,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    let registry = tx.registry();
    let table = known(&registry, table)?;
    let (mut made, mut changed, mut gone) = <(Rows, Rows, (Vec<RowId>, Vec<_>))>::default();
    for (place, (write, by)) in calls {
        match write {
            Write::Upsert(rows) => made.add(&rows, by),
            Write::Update(parts) => changed.add(&parts, by),
            Write::Delete(ids) => {
                gone.0.extend(ids);
                gone.1.push(by);
            }
        }
        answers.push((place, Answer::Written));
    }
    if !made.by.is_empty() {
        tx.upsert_all(table, &made.json(), &made.by).await?;
    }
    if !changed.by.is_empty() {
        tx.update_all(table, &changed.json(), &changed.by).await?;
    }
    if !gone.1.is_empty() {
        tx.delete_all(table, &gone.0, &gone.1).await?;
    }
    Ok(())
}

fn known<'r>(registry: &'r Registry, table: &str) -> Result<&'r Table, StoreError> {
    registry.get(table).ok_or_else(|| StoreError::Failed(format!("no table {table}")))
}

/// Rows of several people, from a JSON array of each.
#[derive(Default)]
struct Rows {
    elements: String,
    by: Vec<Writer>,
}

impl Rows {
    fn add(&mut self, array: &str, by: Writer) {
        let elements = array.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
        if !elements.is_empty() && !self.elements.is_empty() {
            self.elements.push(',');
        }
        self.elements.push_str(elements);
        self.by.push(by);
    }

    fn json(&self) -> String {
        format!("[{}]", self.elements)
    }
}

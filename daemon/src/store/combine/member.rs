//! A job's view of the transaction that it shares.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use ryzed_adapters::Table;
use uuid::Uuid;

use super::call::{Answer, Call, NewUser, Write};
use super::{Desk, lock};
use crate::store::decode::count;
use crate::store::{
    Entry, IndexOperations, Range, ReceiptOperations, Receipts, Records, RowOperations, Rows, ScopeOperations,
    ScopeState, States, StoreError, Transaction,
};
use crate::sync::digest::TableDigest;
use crate::sync::{DeviceId, RowId, Scope, UserId, Version};

/// The transaction of one job among others.
pub(super) struct Member {
    place: usize,
    user: UserId,
    desk: Arc<Mutex<Desk>>,
}

/// What a job gets that has left. Nobody hears of it: the job is run again.
fn left() -> StoreError {
    StoreError::Failed("the job is run alone".into())
}

impl Member {
    pub(super) fn new(place: usize, user: UserId, desk: Arc<Mutex<Desk>>) -> Self {
        Self { place, user, desk }
    }

    pub(super) async fn ask(&self, call: Call) -> Result<Answer, StoreError> {
        if !lock(&self.desk).put(self.place, call) {
            return Err(left());
        }
        let answer = poll_fn(|_| match lock(&self.desk).answers[self.place].take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        });
        Ok(answer.await)
    }

    async fn write(&self, table: &Table, write: Write, device: Option<&DeviceId>) -> Result<(), StoreError> {
        let Some(device) = device.cloned() else { return self.leave() };
        self.ask(Call::Write { table: table.name, write, user: self.user, device }).await.map(|_| ())
    }

    pub(super) fn leave<T>(&self) -> Result<T, StoreError> {
        lock(&self.desk).leave(self.place);
        Err(left())
    }
}

/// Takes the answer that belongs to the call; any other is a mistake of this module.
macro_rules! answer {
    ($answer:expr, $kind:ident) => {
        match $answer {
            Answer::$kind(answer) => Ok(answer),
            other => Err(StoreError::Failed(format!("a shared call got another's answer: {other:?}"))),
        }
    };
}
pub(super) use answer;

#[async_trait]
impl Transaction for Member {
    fn refuse_unbooked(&mut self) {
        lock(&self.desk).seats[self.place].is_unbooked = true;
    }
}

#[async_trait]
impl ScopeOperations for Member {
    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError> {
        answer!(self.ask(Call::Scopes(scopes.to_vec())).await?, Scopes)
    }

    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError> {
        self.ask(Call::Touch { scopes: scopes.to_vec(), now: now.into() }).await.map(|_| ())
    }
}

#[async_trait]
impl RowOperations for Member {
    async fn states(
        &mut self,
        table: &Table,
        ids: &[RowId],
        scopes: &[Scope],
        bytes: usize,
    ) -> Result<States, StoreError> {
        let call = Call::States { table: table.name, ids: ids.to_vec(), scopes: scopes.to_vec(), bytes };
        answer!(self.ask(call).await?, States)
    }

    async fn owners(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Scope)>, StoreError> {
        answer!(self.ask(Call::Owners { table: table.into(), ids: ids.to_vec() }).await?, Owners)
    }

    async fn upsert(&mut self, table: &Table, rows: &str, device: Option<&DeviceId>) -> Result<(), StoreError> {
        self.write(table, Write::Upsert(rows.into()), device).await
    }

    async fn update(
        &mut self,
        table: &Table,
        _fields: &[String],
        parts: &str,
        device: Option<&DeviceId>,
    ) -> Result<usize, StoreError> {
        self.write(table, Write::Update(parts.into()), device).await?;
        Ok(count(parts))
    }

    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError> {
        self.write(table, Write::Delete(ids.to_vec()), device).await
    }

    async fn unique(&mut self, _table: &Table) -> Result<Vec<Vec<String>>, StoreError> {
        self.leave()
    }

    async fn mark(&mut self) -> Result<(), StoreError> {
        self.leave()
    }

    async fn take_back(&mut self) -> Result<(), StoreError> {
        self.leave()
    }

    async fn standing(&mut self, _table: &Table, _ids: &[RowId]) -> Result<Vec<RowId>, StoreError> {
        self.leave()
    }

    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError> {
        let new = NewUser { user, email: email.map(str::to_owned), now: now.into() };
        if answer!(self.ask(Call::EnsureUser(new)).await?, Ensured)? {
            lock(&self.desk).seats[self.place].has_written = true;
        }
        Ok(())
    }
}

#[async_trait]
impl IndexOperations for Member {
    async fn entries(
        &mut self,
        scope: Scope,
        after: Version,
        tables: &[&'static str],
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        if limit < i64::MAX {
            return self.leave();
        }
        answer!(self.ask(Call::Entries { scope, after, tables: tables.to_vec() }).await?, Entries)
    }

    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        let mut records = answer!(self.ask(Call::Records { scope, after }).await?, Records)?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(next) = records.records.get(most) {
            records.reached = next.version - 1;
            records.has_more = true;
            records.records.truncate(most);
        }
        Ok(records)
    }

    async fn rows(&mut self, _table: &Table, _scope: Scope, _range: Range) -> Result<Rows, StoreError> {
        self.leave()
    }

    async fn version_before(&mut self, _scope: Scope, _time: &str) -> Result<Version, StoreError> {
        self.leave()
    }

    async fn count_after(&mut self, _scope: Scope, _after: Version, _most: i64) -> Result<i64, StoreError> {
        self.leave()
    }

    async fn digest(&mut self, _scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError> {
        self.leave()
    }
}

#[async_trait]
impl ReceiptOperations for Member {
    async fn receipts(&mut self, user: UserId, mutations: &[Uuid]) -> Result<Receipts, StoreError> {
        answer!(self.ask(Call::Receipts { user, mutations: mutations.to_vec() }).await?, Receipts)
    }

    async fn keep_receipts(&mut self, user: UserId, receipts: &[(Uuid, String)], now: &str) -> Result<(), StoreError> {
        self.ask(Call::KeepReceipts { user, receipts: receipts.to_vec(), now: now.into() }).await.map(|_| ())
    }
}

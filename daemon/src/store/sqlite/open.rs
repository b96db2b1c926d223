//! Open conflicts in SQLite.

use async_trait::async_trait;
use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use uuid::Uuid;

use super::reads::json;
use super::transaction::SqliteTransaction;
use crate::store::decode::{OpenColumns, OpenTuple, open_of, stand_of};
use crate::store::statement::{Statement, statement};
use crate::store::{HOLDS_PARTS, OpenConflict, OpenConflicts, OpenPage, OpenStand, StoreError};
use crate::sync::UserId;

#[async_trait]
impl OpenConflicts for SqliteTransaction<'_> {
    async fn open_page(
        &mut self,
        user: UserId,
        after: Option<Uuid>,
        limit: i64,
        bytes: usize,
    ) -> Result<OpenPage, StoreError> {
        let after = after.unwrap_or_default().to_string();
        let (mut page, mut size) = (OpenPage::default(), 0);
        let wanted = open_page(user, &after, limit.saturating_add(1));
        for row in wanted.load_iter::<OpenTuple, DefaultLoadingMode>(self.connection)? {
            let Some(open) = open_of(row?) else { continue };
            if size > bytes || i64::try_from(page.open.len()).is_ok_and(|count| count == limit) {
                page.has_more = true;
                break;
            }
            size += open.conflict.len() + open.mutation.len();
            page.open.push(open);
        }
        Ok(page)
    }

    async fn open_conflict(&mut self, user: UserId, id: Uuid) -> Result<Option<OpenConflict>, StoreError> {
        Ok(self.load(open_conflict(user, &id.to_string()))?.into_iter().find_map(open_of))
    }

    async fn conflicts_at(&mut self, user: UserId, places: &[String]) -> Result<Vec<OpenConflict>, StoreError> {
        Ok(self.load(conflicts_at(user, places))?.into_iter().filter_map(open_of).collect())
    }

    async fn conflicts_with_parts(&mut self, user: UserId) -> Result<Vec<OpenConflict>, StoreError> {
        Ok(self.load(conflicts_with_parts(user))?.into_iter().filter_map(open_of).collect())
    }

    async fn open_stand(&mut self, user: UserId) -> Result<OpenStand, StoreError> {
        let found: Vec<(i64, i64)> = self.load(open_stand(user))?;
        Ok(found.first().map(|stand| stand_of(*stand)).unwrap_or_default())
    }

    async fn keep_conflicts(&mut self, user: UserId, conflicts: &[OpenConflict], now: &str) -> Result<(), StoreError> {
        let user = user.to_string();
        let conflicts: Vec<_> =
            conflicts.iter().map(|open| (open.id, &open.place, &open.conflict, &open.mutation)).collect();
        let conflicts = json(&conflicts);
        self.run(
            statement(
                "INSERT INTO sync_conflicts (id, user_id, created_at, place, conflict, mutation, bytes) \
                 SELECT value ->> 0, ?1, ?3, value ->> 1, value ->> 2, value ->> 3, length(value ->> 2) + length(value ->> 3) \
                 FROM json_each(?2) WHERE TRUE ON CONFLICT (id) DO UPDATE SET conflict = excluded.conflict, \
                 mutation = excluded.mutation, bytes = excluded.bytes",
            )
            .text(&user)
            .text(&conflicts)
            .text(now),
        )?;
        Ok(())
    }

    async fn drop_conflict(&mut self, user: UserId, id: Uuid) -> Result<(), StoreError> {
        let (user, id) = (user.to_string(), id.to_string());
        self.run(statement("DELETE FROM sync_conflicts WHERE user_id = ?1 AND id = ?2").text(&user).text(&id))?;
        Ok(())
    }
}

/// A person's open conflicts behind one, at most so many.
pub(super) fn open_page(user: UserId, after: &str, limit: i64) -> Statement<'_, OpenColumns> {
    statement(
        "SELECT id, place, conflict, mutation FROM sync_conflicts WHERE user_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
    )
    .text(user.to_string())
    .text(after)
    .int(limit)
}

pub(super) fn open_conflict(user: UserId, id: &str) -> Statement<'_, OpenColumns> {
    statement("SELECT id, place, conflict, mutation FROM sync_conflicts WHERE user_id = ?1 AND id = ?2")
        .text(user.to_string())
        .text(id)
}

pub(super) fn conflicts_at(user: UserId, places: &[String]) -> Statement<'static, OpenColumns> {
    statement(
        "SELECT id, place, conflict, mutation FROM sync_conflicts \
         WHERE user_id = ?1 AND place IN (SELECT value FROM json_each(?2))",
    )
    .text(user.to_string())
    .text(json(&places))
}

pub(super) fn conflicts_with_parts(user: UserId) -> Statement<'static, OpenColumns> {
    statement(
        "SELECT id, place, conflict, mutation FROM sync_conflicts WHERE user_id = ?1 AND instr(mutation, ?2) > 0 ORDER BY id",
    )
    .text(user.to_string())
    .text(HOLDS_PARTS)
}

pub(super) fn open_stand(user: UserId) -> Statement<'static, (BigInt, BigInt)> {
    statement("SELECT count(*), coalesce(sum(bytes), 0) FROM sync_conflicts WHERE user_id = ?1").text(user.to_string())
}

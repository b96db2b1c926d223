//! Open conflicts in PostgreSQL.

use async_trait::async_trait;
use diesel::sql_types::BigInt;
use uuid::Uuid;

use super::reads::list;
use super::session::PostgresTransaction;
use super::transaction::SEPARATOR;
use crate::store::decode::{OpenColumns, OpenTuple, open_of, stand_of};
use crate::store::statement::{Statement, statement};
use crate::store::{HOLDS_PARTS, OpenConflict, OpenConflicts, OpenPage, OpenStand, StoreError};
use crate::sync::UserId;

#[async_trait]
impl OpenConflicts for PostgresTransaction<'_> {
    async fn open_page(
        &mut self,
        user: UserId,
        after: Option<Uuid>,
        limit: i64,
        bytes: usize,
    ) -> Result<OpenPage, StoreError> {
        let wanted = open_page(user, after.unwrap_or_default(), limit.saturating_add(1));
        let size_of = |open: &OpenTuple| open.2.len() + open.3.len();
        let (mut rows, is_whole): (Vec<OpenTuple>, bool) = self.load_some(wanted, bytes, size_of).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = !is_whole || rows.len() > most;
        rows.truncate(most);
        Ok(OpenPage { open: rows.into_iter().filter_map(open_of).collect(), has_more })
    }

    async fn open_conflict(&mut self, user: UserId, id: Uuid) -> Result<Option<OpenConflict>, StoreError> {
        Ok(self.load(open_conflict(user, id)).await?.into_iter().find_map(open_of))
    }

    async fn conflicts_at(&mut self, user: UserId, places: &[String]) -> Result<Vec<OpenConflict>, StoreError> {
        Ok(self.load(conflicts_at(user, places)).await?.into_iter().filter_map(open_of).collect())
    }

    async fn conflicts_with_parts(&mut self, user: UserId) -> Result<Vec<OpenConflict>, StoreError> {
        Ok(self.load(conflicts_with_parts(user)).await?.into_iter().filter_map(open_of).collect())
    }

    async fn open_stand(&mut self, user: UserId) -> Result<OpenStand, StoreError> {
        let found: Vec<(i64, i64)> = self.load(open_stand(user)).await?;
        Ok(found.first().map(|stand| stand_of(*stand)).unwrap_or_default())
    }

    async fn keep_conflicts(&mut self, user: UserId, conflicts: &[OpenConflict], now: &str) -> Result<(), StoreError> {
        let joined = |text: fn(&OpenConflict) -> &str| conflicts.iter().map(text).collect::<Vec<_>>().join(SEPARATOR);
        self.pipeline(
            statement(
                "INSERT INTO ryzed.conflicts (id, user_id, created_at, place, conflict, mutation, bytes) \
                 SELECT c.id, ?1::uuid, ?6::timestamptz, c.place, c.conflict::json, c.mutation::json, \
                 octet_length(c.conflict) + octet_length(c.mutation) \
                 FROM unnest(?2::uuid[], string_to_array(?3, E'\\x1e', ''), string_to_array(?4, E'\\x1e'), \
                 string_to_array(?5, E'\\x1e')) AS c (id, place, conflict, mutation) ON CONFLICT (id) DO UPDATE \
                 SET conflict = excluded.conflict, mutation = excluded.mutation, bytes = excluded.bytes",
            )
            .text(user.to_string())
            .text(list(conflicts.iter().map(|open| open.id)))
            .text(joined(|open| open.place.as_deref().unwrap_or_default()))
            .text(joined(|open| &open.conflict))
            .text(joined(|open| &open.mutation))
            .text(now),
        )
        .await
    }

    async fn drop_conflict(&mut self, user: UserId, id: Uuid) -> Result<(), StoreError> {
        let (user, id) = (user.to_string(), id.to_string());
        let drop = "DELETE FROM ryzed.conflicts WHERE user_id = ?1::uuid AND id = ?2::uuid";
        self.pipeline(statement(drop).text(&user).text(&id)).await
    }
}

/// A person's open conflicts behind one, at most so many.
fn open_page(user: UserId, after: Uuid, limit: i64) -> Statement<'static, OpenColumns> {
    statement(
        "SELECT id::text, place, conflict::text, mutation::text FROM ryzed.conflicts \
         WHERE user_id = ?1::uuid AND id > ?2::uuid ORDER BY id LIMIT ?3",
    )
    .text(user.to_string())
    .text(after.to_string())
    .int(limit)
}

fn open_conflict(user: UserId, id: Uuid) -> Statement<'static, OpenColumns> {
    statement(
        "SELECT id::text, place, conflict::text, mutation::text FROM ryzed.conflicts \
         WHERE user_id = ?1::uuid AND id = ?2::uuid",
    )
    .text(user.to_string())
    .text(id.to_string())
}

fn conflicts_at(user: UserId, places: &[String]) -> Statement<'static, OpenColumns> {
    statement(
        "SELECT id::text, place, conflict::text, mutation::text FROM ryzed.conflicts WHERE user_id = ?1::uuid \
         AND place IN (SELECT json_array_elements_text(?2::json))",
    )
    .text(user.to_string())
    .text(serde_json::json!(places).to_string())
}

fn conflicts_with_parts(user: UserId) -> Statement<'static, OpenColumns> {
    statement(
        "SELECT id::text, place, conflict::text, mutation::text FROM ryzed.conflicts WHERE user_id = ?1::uuid \
         AND strpos(mutation::text, ?2) > 0 ORDER BY id",
    )
    .text(user.to_string())
    .text(HOLDS_PARTS)
}

fn open_stand(user: UserId) -> Statement<'static, (BigInt, BigInt)> {
    statement("SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM ryzed.conflicts WHERE user_id = ?1::uuid")
        .text(user.to_string())
}

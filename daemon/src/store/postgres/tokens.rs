//! Refused tokens and revoked devices in PostgreSQL: who is refused is judged by `ryzed.refusal`.

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use ryzed_adapters::format_time;
use serde_json::{Value, json};

use super::reads::list;
use super::session::PostgresTransaction;
use crate::store::StoreError;
use crate::store::statement::statement;
use crate::store::tokens::{Tokens, Use};
use crate::sync::token::{Credentials, Presented, Refusal};
use crate::sync::{DeviceId, UserId};

#[async_trait]
impl Tokens for PostgresTransaction<'_> {
    async fn keep_uses(
        &mut self,
        user: UserId,
        device: &DeviceId,
        uses: &[Use],
        now: &str,
        most: i64,
    ) -> Result<(), StoreError> {
        self.pipeline(
            statement(
                "INSERT INTO ryzed.tokens AS t (user_id, device_id, mark, used_at, expires_at) \
                 SELECT ?1::uuid, ?2, u.mark, ?5::timestamptz, u.until \
                 FROM unnest(?3::text[], ?4::timestamptz[]) u (mark, until) ORDER BY u.mark \
                 ON CONFLICT (user_id, mark, device_id) DO UPDATE SET used_at = excluded.used_at, \
                 expires_at = greatest(t.expires_at, excluded.expires_at)",
            )
            .text(user.to_string())
            .text(device.as_str())
            .text(list(uses.iter().map(|use_| use_.mark)))
            .text(list(uses.iter().map(|use_| format_time(use_.until))))
            .text(now),
        )
        .await?;
        self.pipeline(
            statement(
                "WITH gone AS (DELETE FROM ryzed.tokens t USING (SELECT device_id, mark FROM ryzed.tokens \
                 WHERE user_id = ?1::uuid ORDER BY is_barred DESC, used_at DESC, mark OFFSET ?2) o \
                 WHERE t.user_id = ?1::uuid AND t.device_id = o.device_id AND t.mark = o.mark \
                 RETURNING t.device_id, t.expires_at) \
                 UPDATE ryzed.devices d SET lost_until = greatest(d.lost_until, g.until) \
                 FROM (SELECT device_id, max(expires_at) AS until FROM gone GROUP BY device_id) g \
                 WHERE d.user_id = ?1::uuid AND d.device_id = g.device_id",
            )
            .text(user.to_string())
            .int(most),
        )
        .await
    }

    async fn bar(&mut self, user: UserId, device: &DeviceId, at: &str) -> Result<(), StoreError> {
        self.pipeline(
            statement(
                "WITH barred AS (UPDATE ryzed.tokens SET is_barred = TRUE \
                 WHERE user_id = ?1::uuid AND device_id = ?2 AND NOT is_barred) \
                 UPDATE ryzed.devices SET barred_at = greatest(barred_at, ?3::timestamptz) \
                 WHERE user_id = ?1::uuid AND device_id = ?2",
            )
            .text(user.to_string())
            .text(device.as_str())
            .text(at),
        )
        .await
    }

    async fn refused(&mut self, presented: &[Presented]) -> Result<Vec<(usize, Refusal)>, StoreError> {
        let rows = presented.iter().enumerate().map(|(place, standing)| {
            let Credentials { token, device } = &standing.credentials;
            let token = token.as_deref();
            json!({
                "place": place,
                "person": standing.user,
                "device": device,
                "named": token.and_then(|token| token.device.as_ref()),
                "token": token.map(|token| token.mark),
                "session": token.and_then(|token| token.session),
                "issued": token.and_then(|token| token.issued_at).map(|issued_at| issued_at.timestamp()),
            })
        });
        let found: Vec<(i64, String)> = self
            .load(
                statement::<(BigInt, Text)>(
                    "SELECT place, refusal FROM (SELECT s.place, ryzed.refusal(s.person, s.device, s.named, s.token, \
                     s.session, s.issued) AS refusal FROM json_to_recordset(?1::json) AS s (place bigint, person uuid, \
                     device text, named text, token text, session text, issued bigint) \
                     WHERE s.person IN (SELECT d.user_id FROM ryzed.devices d \
                     WHERE d.revoked_at IS NOT NULL OR d.barred_at IS NOT NULL)) r WHERE refusal IS NOT NULL",
                )
                .text(Value::from_iter(rows).to_string()),
            )
            .await?;
        let refused = found
            .into_iter()
            .filter_map(|(place, refusal)| Some((usize::try_from(place).ok()?, Refusal::of(&refusal)?)));
        Ok(refused.collect())
    }

    async fn prune_uses(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        self.run(
            statement(
                "DELETE FROM ryzed.tokens WHERE (user_id, mark, device_id) IN (SELECT user_id, mark, device_id \
                 FROM ryzed.tokens WHERE expires_at < ?1::timestamptz ORDER BY expires_at LIMIT ?2 \
                 FOR UPDATE SKIP LOCKED)",
            )
            .text(before)
            .int(limit),
        )
        .await
    }
}

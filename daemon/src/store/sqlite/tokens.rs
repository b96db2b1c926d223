//! Refused tokens and revoked devices in SQLite.

use async_trait::async_trait;
use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Nullable, Text};
use ryzed_adapters::format_time;
use serde_json::json;

use super::reads::json;
use super::transaction::SqliteTransaction;
use crate::store::combine::KeptUses;
use crate::store::statement::statement;
use crate::store::tokens::{Tokens, Use};
use crate::store::{Access, StoreError};
use crate::sync::token::{Credentials, Presented, Refusal};
use crate::sync::{DeviceId, Token, UserId};

/// Marks of a person beyond the `?2` that are kept: those of revoked devices are kept longest, then the newest.
macro_rules! beyond {
    () => {
        "SELECT device_id, mark, expires_at FROM sync_tokens WHERE user_id = ?1 \
         ORDER BY is_barred DESC, used_at DESC, mark LIMIT -1 OFFSET ?2"
    };
}

/// Selects how severely somebody is refused, NULL or 0 for not at all, from these expressions: the person, the device, the
/// device that the token names, its mark, its session's, and when it was issued, in seconds since 1970. Without a token there is
/// only the device to refuse. Times are compared as numbers: whoever revokes with SQL may write them in another form.
macro_rules! severity {
    ($person:literal, $device:literal, $named:literal, $token:literal, $session:literal, $issued:literal) => {
        concat!(
            "SELECT max(CASE WHEN d.device_id = ", $device, " AND d.revoked_at IS NOT NULL THEN 3 \
             WHEN d.is_older AND (d.device_id = ", $named, " OR unixepoch(d.lost_until) > unixepoch('now')) THEN 2 \
             WHEN EXISTS (SELECT 1 FROM sync_tokens t WHERE t.user_id = ", $person, " AND t.device_id = d.device_id \
             AND (t.mark = ", $token, " AND (t.is_barred OR d.is_older) \
             OR t.mark = ", $session, " AND (d.revoked_at IS NOT NULL OR d.is_older))) THEN 2 \
             WHEN d.device_id = ", $device, " AND d.is_older THEN 1 ELSE 0 END) \
             FROM (SELECT device_id, revoked_at, lost_until, ", $token, " IS NOT NULL AND (", $issued, " IS NULL OR coalesce(max( \
             coalesce(unixepoch(revoked_at), unixepoch(barred_at)), coalesce(unixepoch(barred_at), unixepoch(revoked_at))) \
             >= CAST(", $issued, " AS INTEGER), 1)) AS is_older FROM sync_devices WHERE user_id = ", $person, " \
             AND (revoked_at IS NOT NULL OR barred_at IS NOT NULL)) d"
        )
    };
}

const SEVERITY: &str = severity!("?1", "?2", "?3", "?4", "?5", "?6");
const SEVERITIES: &str = concat!(
    "SELECT * FROM (SELECT s.key AS place, (",
    severity!("s.value ->> 0", "s.value ->> 1", "s.value ->> 2", "s.value ->> 3", "s.value ->> 4", "s.value ->> 5"),
    ") AS severity FROM json_each(?1) s) WHERE severity > 0"
);

fn refusal_of(severity: i64) -> Option<Refusal> {
    match severity {
        1 => Some(Refusal::Age),
        2 => Some(Refusal::Token),
        3 => Some(Refusal::Device),
        _ => None,
    }
}

fn issued(token: &Token) -> Option<i64> {
    token.issued_at.map(|issued_at| issued_at.timestamp())
}

impl SqliteTransaction<'_> {
    /// Refuses a caller whose token or device is refused.
    pub(super) fn admit(&mut self, access: &Access) -> Result<(), StoreError> {
        let Access::Person { user, credentials, .. } = access else { return Ok(()) };
        if credentials.are_none() {
            return Ok(());
        }
        let Credentials { token, device } = credentials;
        let text = |mark: Option<crate::sync::Mark>| mark.map(|mark| mark.to_string());
        let token = token.as_deref();
        let mark = text(token.map(|token| token.mark));
        let session = text(token.and_then(|token| token.session));
        let issued = token.and_then(issued).map(|issued| issued.to_string());
        let severity: Vec<Option<i64>> = statement::<Nullable<BigInt>>(SEVERITY)
            .text(user.to_string())
            .maybe(device.as_ref().map(DeviceId::as_str))
            .maybe(token.and_then(|token| token.device.as_ref()).map(DeviceId::as_str))
            .maybe(mark.as_deref())
            .maybe(session.as_deref())
            .maybe(issued.as_deref())
            .load(self.connection)?;
        let refusal = severity.first().copied().flatten().and_then(refusal_of);
        refusal.map_or(Ok(()), |refusal| Err(StoreError::Refused(refusal)))
    }

    /// Remembers the tokens that devices of people have used.
    pub(super) fn write_uses(&mut self, kept: &[KeptUses]) -> Result<(), StoreError> {
        let rows: Vec<_> = kept
            .iter()
            .flat_map(|of| of.uses.iter().map(move |use_| (of, use_)))
            .map(|(of, use_)| (of.user, &of.device, use_.mark, &of.now, format_time(use_.until)))
            .collect();
        self.run(
            statement(
                "INSERT INTO sync_tokens (user_id, device_id, mark, used_at, expires_at) \
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1) WHERE TRUE \
                 ON CONFLICT (user_id, mark, device_id) DO UPDATE SET used_at = excluded.used_at, \
                 expires_at = max(expires_at, excluded.expires_at)",
            )
            .text(json(&rows)),
        )?;
        let most: Vec<_> = kept.iter().map(|of| (of.user, of.most)).collect();
        let full: Vec<(String, i64)> = self.load(
            statement::<(Text, BigInt)>(
                "SELECT i.value ->> 0, i.value ->> 1 FROM json_each(?1) i \
                 WHERE (SELECT count(*) FROM sync_tokens WHERE user_id = i.value ->> 0) > i.value ->> 1",
            )
            .text(json(&most)),
        )?;
        full.iter().try_for_each(|(user, most)| self.forget_beyond(user, *most))
    }

    /// Forgets the marks of a person beyond the `most` that are kept, and notes which devices had some of them.
    fn forget_beyond(&mut self, user: &str, most: i64) -> Result<(), StoreError> {
        self.run(
            statement(concat!(
                "UPDATE sync_devices SET lost_until = max(coalesce(lost_until, ''), g.until) FROM (SELECT device_id, \
                 max(expires_at) AS until FROM (",
                beyond!(),
                ") GROUP BY device_id) g WHERE sync_devices.user_id = ?1 AND sync_devices.device_id = g.device_id"
            ))
            .text(user)
            .int(most),
        )?;
        self.run(
            statement(concat!(
                "DELETE FROM sync_tokens WHERE user_id = ?1 AND (device_id, mark) IN (SELECT device_id, mark FROM (",
                beyond!(),
                "))"
            ))
            .text(user)
            .int(most),
        )
        .map(|_| ())
    }
}

#[async_trait]
impl Tokens for SqliteTransaction<'_> {
    async fn keep_uses(
        &mut self,
        user: UserId,
        device: &DeviceId,
        uses: &[Use],
        now: &str,
        most: i64,
    ) -> Result<(), StoreError> {
        let kept = KeptUses { user, device: device.clone(), uses: uses.to_vec(), now: now.into(), most };
        self.write_uses(&[kept])
    }

    async fn bar(&mut self, user: UserId, device: &DeviceId, at: &str) -> Result<(), StoreError> {
        let user = user.to_string();
        let devices = "UPDATE sync_devices SET barred_at = max(coalesce(barred_at, ''), ?3) \
                       WHERE user_id = ?1 AND device_id = ?2";
        self.run(statement(devices).text(&user).text(device.as_str()).text(at))?;
        let tokens = "UPDATE sync_tokens SET is_barred = 1 WHERE user_id = ?1 AND device_id = ?2";
        self.run(statement(tokens).text(&user).text(device.as_str())).map(|_| ())
    }

    async fn refused(&mut self, presented: &[Presented]) -> Result<Vec<(usize, Refusal)>, StoreError> {
        let rows = presented.iter().map(|standing| {
            let Credentials { token, device } = &standing.credentials;
            let token = token.as_deref();
            json!([
                standing.user,
                device,
                token.and_then(|token| token.device.as_ref()),
                token.map(|token| token.mark),
                token.and_then(|token| token.session),
                token.and_then(issued),
            ])
        });
        let rows = serde_json::Value::from_iter(rows).to_string();
        let found: Vec<(i64, i64)> = statement::<(BigInt, BigInt)>(SEVERITIES).text(rows).load(self.connection)?;
        let refused = found
            .into_iter()
            .filter_map(|(place, severity)| Some((usize::try_from(place).ok()?, refusal_of(severity)?)));
        Ok(refused.collect())
    }

    async fn prune_uses(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        self.run(
            statement(
                "DELETE FROM sync_tokens WHERE (user_id, mark, device_id) IN (SELECT user_id, mark, device_id \
                 FROM sync_tokens WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
            )
            .text(before)
            .int(limit),
        )
    }
}

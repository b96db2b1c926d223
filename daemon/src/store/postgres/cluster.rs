//! Instances and their devices in PostgreSQL. Each operation is one statement; lists travel as JSON.

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde_json::{Value, json};
use uuid::Uuid;

use super::session::PostgresTransaction;
use crate::store::StoreError;
use crate::store::cluster::Presence;
use crate::store::statement::statement;
use crate::sync::presence::{Arrival, Compared, DevicePlace, Differs, Entered, Gone, Lease, Other, Renewed};
use crate::sync::{DeviceId, UserId};

/// Columns of a device's place: person, device, socket.
type PlaceColumns = (String, String, i64);
/// Columns of a device that is gone: person, device, type.
type GoneColumns = (String, String, Option<String>);

#[async_trait]
impl Presence for PostgresTransaction<'_> {
    async fn renew(&mut self, lease: Lease) -> Result<Renewed, StoreError> {
        // To one that seals nothing, none that seals is heard over Redis.
        let renewed: Vec<(i64, i64)> = self
            .load(
                statement::<(BigInt, BigInt)>(
                    "WITH known AS (SELECT alive_until FROM ryzed.instances WHERE id = ?1::uuid) \
                     INSERT INTO ryzed.instances (id, name, started_at, alive_until, hears_redis, hears_sealed) \
                     VALUES (?1::uuid, ?2, clock_timestamp(), clock_timestamp() + make_interval(secs => ?3), FALSE, ?4::boolean) \
                     ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until, hears_sealed = excluded.hears_sealed \
                     RETURNING CASE WHEN (SELECT alive_until FROM known) > clock_timestamp() THEN 0::bigint ELSE 1 END, \
                     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
                )
                .text(lease.me.to_string())
                .text(&lease.name)
                .int(i64::try_from(lease.seconds).unwrap_or(i64::MAX))
                .text(if lease.hears_redis { "t" } else { "f" }),
            )
            .await?;
        let (is_new, now) = renewed.into_iter().next().unwrap_or((1, 0));
        Ok(Renewed { is_new: is_new == 1, now })
    }

    async fn others(&mut self, me: Uuid) -> Result<Vec<Other>, StoreError> {
        let rows: Vec<(String, Option<i64>)> = self
            .load(
                statement::<(Text, Nullable<BigInt>)>(
                    "SELECT id::text, hears_sealed::integer::bigint FROM ryzed.instances \
                     WHERE id <> ?1::uuid AND alive_until > clock_timestamp()",
                )
                .text(me.to_string()),
            )
            .await?;
        let others = rows.into_iter().filter_map(|(id, hears)| {
            Some(Other { id: Uuid::try_parse(&id).ok()?, hears_redis: hears == Some(1), seals: hears.is_some() })
        });
        Ok(others.collect())
    }

    async fn sweep(&mut self) -> Result<Vec<Gone>, StoreError> {
        // An instance goes with the last of its devices: to forget it forgets them, whoever has locked them.
        let rows: Vec<GoneColumns> = self
            .load(statement::<(Text, Text, Nullable<Text>)>(
                "WITH dead AS MATERIALIZED (SELECT id FROM ryzed.instances WHERE alive_until <= clock_timestamp() \
                 FOR UPDATE SKIP LOCKED), \
                 free AS MATERIALIZED (SELECT p.user_id, p.device_id, p.instance FROM ryzed.presence p \
                 JOIN dead ON p.instance = dead.id FOR UPDATE OF p SKIP LOCKED), \
                 gone AS (DELETE FROM ryzed.presence p USING free f WHERE p.user_id = f.user_id \
                 AND p.device_id = f.device_id RETURNING p.user_id, p.device_id, p.device_type), \
                 swept AS (DELETE FROM ryzed.instances i USING dead WHERE i.id = dead.id \
                 AND (SELECT count(*) FROM ryzed.presence p WHERE p.instance = i.id) \
                 = (SELECT count(*) FROM free f WHERE f.instance = i.id)) \
                 SELECT user_id::text, device_id, device_type FROM gone",
            ))
            .await?;
        Ok(rows.into_iter().filter_map(gone_of).collect())
    }

    async fn retire(&mut self, me: Uuid) -> Result<(), StoreError> {
        self.run(statement("DELETE FROM ryzed.instances WHERE id = ?1::uuid").text(me.to_string())).await.map(|_| ())
    }

    async fn enter(&mut self, me: Uuid, arrivals: Vec<Arrival>) -> Result<Vec<Entered>, StoreError> {
        type Row = (String, String, i64, Option<String>, Option<i64>);
        let list: Vec<Value> = arrivals
            .iter()
            .map(|arrival| {
                let mut row = row_of(&arrival.place);
                row["device_type"] = json!(arrival.device_type);
                row
            })
            .collect();
        let rows: Vec<Row> = self
            .load(
                statement::<(Text, Text, BigInt, Nullable<Text>, Nullable<BigInt>)>(
                    "INSERT INTO ryzed.presence AS p (user_id, device_id, instance, link, device_type, since) \
                     SELECT r.user_id, r.device_id, ?1::uuid, r.link, r.device_type, clock_timestamp() \
                     FROM json_to_recordset(?2::json) AS r (user_id uuid, device_id text, link bigint, device_type text) \
                     ORDER BY r.user_id, r.device_id \
                     ON CONFLICT (user_id, device_id) DO UPDATE SET instance = excluded.instance, link = excluded.link, \
                     device_type = coalesce(excluded.device_type, p.device_type), since = excluded.since, \
                     former_instance = p.instance, former_link = p.link \
                     RETURNING user_id::text, device_id, link, (SELECT i.id::text FROM ryzed.instances i \
                     WHERE i.id = p.former_instance AND i.alive_until > clock_timestamp()), former_link",
                )
                .text(me.to_string())
                .text(Value::from(list).to_string()),
            )
            .await?;
        let entered = rows.into_iter().filter_map(|(user, device, link, former, former_link)| {
            let former = former.and_then(|id| Uuid::try_parse(&id).ok()).zip(former_link.map(unsigned));
            Some(Entered { place: place_of((user, device, link))?, former })
        });
        Ok(entered.collect())
    }

    async fn leave(&mut self, me: Uuid, gone: Vec<DevicePlace>) -> Result<Vec<DevicePlace>, StoreError> {
        let rows: Vec<PlaceColumns> = self
            .load(
                statement::<(Text, Text, BigInt)>(
                    "DELETE FROM ryzed.presence p USING \
                     json_to_recordset(?2::json) AS r (user_id uuid, device_id text, link bigint) \
                     WHERE p.user_id = r.user_id AND p.device_id = r.device_id AND p.link = r.link AND p.instance = ?1::uuid \
                     RETURNING p.user_id::text, p.device_id, p.link",
                )
                .text(me.to_string())
                .text(rows_of(&gone)),
            )
            .await?;
        Ok(rows.into_iter().filter_map(place_of).collect())
    }

    async fn compare(&mut self, me: Uuid, held: Vec<DevicePlace>) -> Result<Compared, StoreError> {
        let gone: Vec<GoneColumns> = self
            .load(
                statement::<(Text, Text, Nullable<Text>)>(
                    "DELETE FROM ryzed.presence p WHERE p.instance = ?1::uuid AND NOT EXISTS (SELECT FROM \
                     json_to_recordset(?2::json) AS r (user_id uuid, device_id text, link bigint) \
                     WHERE r.user_id = p.user_id AND r.device_id = p.device_id) \
                     RETURNING p.user_id::text, p.device_id, p.device_type",
                )
                .text(me.to_string())
                .text(rows_of(&held)),
            )
            .await?;
        let differing = self.differing(me, held).await?;
        Ok(Compared { differing, gone: gone.into_iter().filter_map(gone_of).collect() })
    }

    async fn differing(&mut self, me: Uuid, held: Vec<DevicePlace>) -> Result<Vec<(DevicePlace, Differs)>, StoreError> {
        let rows: Vec<(String, String, i64, String)> = self
            .load(
                statement::<(Text, Text, BigInt, Text)>(
                    "SELECT * FROM (SELECT r.user_id::text, r.device_id, r.link, CASE \
                         WHEN p.instance = ?1::uuid AND p.link = r.link THEN 'known' \
                         WHEN p.instance <> ?1::uuid AND i.alive_until > clock_timestamp() THEN 'elsewhere' \
                         ELSE 'missing' END AS state \
                     FROM json_to_recordset(?2::json) AS r (user_id uuid, device_id text, link bigint) \
                     LEFT JOIN ryzed.presence p ON p.user_id = r.user_id AND p.device_id = r.device_id \
                     LEFT JOIN ryzed.instances i ON i.id = p.instance) c \
                     WHERE c.state <> 'known'",
                )
                .text(me.to_string())
                .text(rows_of(&held)),
            )
            .await?;
        let differing = rows.into_iter().filter_map(|(user, device, link, state)| {
            let differs = match state.as_str() {
                "elsewhere" => Differs::OnOtherInstance,
                _ => Differs::Missing,
            };
            Some((place_of((user, device, link))?, differs))
        });
        Ok(differing.collect())
    }

    async fn on_other_instances(&mut self, me: Uuid, user: UserId) -> Result<Vec<DeviceId>, StoreError> {
        let rows: Vec<String> = self
            .load(
                statement::<Text>(
                    "SELECT p.device_id FROM ryzed.presence p JOIN ryzed.instances i ON i.id = p.instance \
                     WHERE p.user_id = ?2::uuid AND p.instance <> ?1::uuid AND i.alive_until > clock_timestamp()",
                )
                .text(me.to_string())
                .text(user.to_string()),
            )
            .await?;
        Ok(rows.into_iter().filter_map(|device| device.parse().ok()).collect())
    }

    async fn count_on_other_instances(&mut self, me: Uuid) -> Result<i64, StoreError> {
        self.number(
            statement(
                "SELECT count(*) FROM ryzed.presence p JOIN ryzed.instances i ON i.id = p.instance \
                 WHERE p.instance <> ?1::uuid AND i.alive_until > clock_timestamp()",
            )
            .text(me.to_string()),
        )
        .await
    }

    async fn users_elsewhere(&mut self, me: Uuid) -> Result<Vec<(UserId, i64)>, StoreError> {
        let rows: Vec<(String, i64)> = self
            .load(
                statement::<(Text, BigInt)>(
                    "SELECT p.user_id::text, count(*) FROM ryzed.presence p JOIN ryzed.instances i ON i.id = p.instance \
                     WHERE p.instance <> ?1::uuid AND i.alive_until > clock_timestamp() GROUP BY p.user_id",
                )
                .text(me.to_string()),
            )
            .await?;
        Ok(rows.into_iter().filter_map(|(user, devices)| Some((user_of(&user)?, devices))).collect())
    }

    async fn notify(&mut self, messages: Vec<String>) -> Result<(), StoreError> {
        let messages = Value::from(messages).to_string();
        self.number(
            statement("SELECT count(pg_notify('ryzed_bridge', m)) FROM json_array_elements_text(?1::json) AS m")
                .text(&messages),
        )
        .await
        .map(|_| ())
    }
}

fn row_of(place: &DevicePlace) -> Value {
    json!({"user_id": place.user, "device_id": place.device, "link": place.link})
}

fn rows_of(places: &[DevicePlace]) -> String {
    Value::from_iter(places.iter().map(row_of)).to_string()
}

fn user_of(text: &str) -> Option<UserId> {
    Uuid::try_parse(text).ok().map(UserId)
}

fn place_of((user, device, link): PlaceColumns) -> Option<DevicePlace> {
    Some(DevicePlace { user: user_of(&user)?, device: device.parse().ok()?, link: unsigned(link) })
}

fn gone_of((user, device, device_type): GoneColumns) -> Option<Gone> {
    Some(Gone { user: user_of(&user)?, device: device.parse().ok()?, device_type })
}

fn unsigned(link: i64) -> u64 {
    u64::try_from(link).unwrap_or_default()
}

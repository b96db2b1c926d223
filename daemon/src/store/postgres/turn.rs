//! The lock under which a start or a command changes the schema, one after the other. Anybody who may connect to the
//! database can hold it, so nobody waits for it in silence, nor without end.

use std::time::{Duration, Instant};

use diesel_async::AsyncPgConnection;

use super::sql_text::{execute, texts};
use crate::store::StoreError;

/// The lock's number: "ryzed" in ASCII.
const LOCK: &str = "491664336228";
/// The time that another start, or a command, may hold the lock.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time between two attempts.
const TRY: Duration = Duration::from_millis(50);
/// The time until the first log line about the holder, and between later ones.
const TELL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Takes the lock; it goes with the connection, or with [`leave`].
pub(super) async fn take(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    let (began, mut tell) = (Instant::now(), TELL.0);
    while !try_to_take(connection).await? {
        let waited = began.elapsed();
        if waited >= tell {
            tell += TELL.1;
            let holder = holder(connection).await?;
            tracing::warn!(holder, "waiting for another start, or a command, that works on the database's schema");
        }
        if waited >= PATIENCE {
            return Err(StoreError::Unavailable(format!(
                "{} has held the lock under which ryzed changes the schema (advisory lock {LOCK}) for more than {} s; if \
                 that is no ryzed, end it: SELECT pg_terminate_backend(<pid>)",
                holder(connection).await?,
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(TRY).await;
    }
    Ok(())
}

/// Takes the lock if nobody has it.
pub(super) async fn try_to_take(connection: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    Ok(!texts(connection, &format!("SELECT 'yes' WHERE pg_try_advisory_lock({LOCK})")).await?.is_empty())
}

/// Gives it to the next.
pub(super) async fn leave(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    execute(connection, &format!("SELECT pg_advisory_unlock({LOCK})")).await
}

/// A daemon or command of ryzed that is connected beside this connection, for people. Anybody may call themselves so.
pub(super) async fn another(connection: &mut AsyncPgConnection) -> Result<Option<String>, StoreError> {
    let others = "SELECT format('pid %s, user %s', pid, coalesce(usename, 'unknown')) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'ryzed' AND pid <> pg_backend_pid() LIMIT 1";
    Ok(texts(connection, others).await?.pop())
}

/// The holder of the lock, for people.
pub(super) async fn holder(connection: &mut AsyncPgConnection) -> Result<String, StoreError> {
    let found = texts(
        connection,
        &format!(
            "SELECT format('pid %s (application %s, user %s)', a.pid, coalesce(nullif(a.application_name, ''), 'unknown'), \
             coalesce(a.usename, 'unknown')) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
             WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database \
             WHERE datname = current_database()) AND (l.classid::bigint << 32) + l.objid::bigint = {LOCK} AND l.objsubid = 1"
        ),
    )
    .await?;
    Ok(found.into_iter().next().unwrap_or_else(|| "somebody".into()))
}

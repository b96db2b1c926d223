//! The database's epoch, and how a restored backup is told from the database that went on.
//!
//! A cursor is worth something only in the epoch that it was given in. A backup that is restored by `pg_restore` is in
//! a database of another number, one that is restored by replaying the log runs on another timeline, and a new cluster
//! has another identifier: any of these begins a new epoch. The copy of a cluster's files that is put back as it was
//! has all three as before and is not recognised; whoever restores so removes the row `life` of `ryzed.meta`.

use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rand::distr::{Alphanumeric, SampleString};

use super::fault::judge;
use super::sql_text::{execute, texts};
use crate::store::StoreError;
use crate::store::cluster::BridgeKey;
use crate::store::statement::statement;

/// Letters of an epoch.
const EPOCH_LENGTH: usize = 8;

/// The query for the database's identity, which its epoch belongs to.
const PLACE: &str = "SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), \
     (SELECT timeline_id FROM pg_control_checkpoint()), (SELECT oid FROM pg_database WHERE datname = current_database()))";
/// The same where the server does not let us look.
const PLACE_BY_NUMBER: &str = "SELECT oid::text FROM pg_database WHERE datname = current_database()";

/// The epoch; a new one, which is logged, when the database has another identity. The caller has the lock under which
/// it is written.
pub(super) async fn epoch(connection: &mut AsyncPgConnection) -> Result<String, StoreError> {
    let place = place(connection).await?;
    let before = texts(connection, "SELECT value FROM ryzed.meta WHERE key = 'life'").await?.into_iter().next();
    let has_lived = texts(connection, "SELECT 'yes' WHERE EXISTS (SELECT FROM ryzed.scopes WHERE version > 0)").await?;
    // Of daemons that start together, one writes and all read the same. A new epoch has a new key, so that two
    // databases that were one do not understand each other; a restored one may have none yet.
    let fresh = fresh();
    execute(
        connection,
        &format!(
            "DO $life$ BEGIN INSERT INTO ryzed.meta AS m VALUES ('life', '{place} {fresh}') ON CONFLICT (key) DO UPDATE \
             SET value = excluded.value WHERE split_part(m.value, ' ', 1) <> '{place}'; \
             IF FOUND OR NOT (SELECT relispopulated FROM pg_class WHERE oid = 'ryzed.bridge_key'::regclass) THEN \
             REFRESH MATERIALIZED VIEW ryzed.bridge_key; END IF; END $life$"
        ),
    )
    .await?;
    let epoch = texts(connection, "SELECT split_part(value, ' ', 2) FROM ryzed.meta WHERE key = 'life'").await?;
    let epoch = epoch.into_iter().next().ok_or_else(|| StoreError::Failed("the database has no epoch".into()))?;
    if epoch == fresh && !has_lived.is_empty() {
        let reason = match before {
            Some(_) => "it is in another place now, as a backup that was restored or a server that was promoted",
            None => "its epoch was taken away, as after a restored backup",
        };
        tracing::warn!(epoch, reason, "the database begins a new epoch: every device drops its copy and starts over");
    }
    Ok(epoch)
}

/// The key with which instances seal their messages to each other. Only the owner of the schema may read it.
pub(super) async fn bridge_key(connection: &mut AsyncPgConnection) -> Result<BridgeKey, StoreError> {
    let key = texts(connection, "SELECT k::text FROM ryzed.bridge_key k").await?;
    let key = key.into_iter().next().ok_or_else(|| StoreError::Failed("the database has no bridge key".into()))?;
    Ok(BridgeKey(key.into_bytes()))
}

/// True if the database was taken elsewhere as a whole.
pub(super) async fn is_sealed(connection: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    Ok(!texts(connection, "SELECT value FROM ryzed.meta WHERE key = 'sealed'").await?.is_empty())
}

/// Seals the database, which is not opened any more from then on.
pub(super) async fn seal(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    execute(connection, "INSERT INTO ryzed.meta VALUES ('sealed', 'yes') ON CONFLICT (key) DO NOTHING").await
}

/// Takes the seal off. The next start begins a new epoch.
pub(super) async fn unseal(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM ryzed.meta WHERE key IN ('sealed', 'life')").await
}

/// Makes an epoch that came from elsewhere this database's own, or begins a new one. The caller has a transaction open.
pub(super) async fn begin(connection: &mut AsyncPgConnection, epoch: Option<&str>) -> Result<(), StoreError> {
    let place = place(connection).await?;
    let epoch = epoch.map_or_else(fresh, str::to_owned);
    let put = statement::<()>("INSERT INTO ryzed.meta VALUES ('life', ?1)").text(format!("{place} {epoch}"));
    execute(connection, "DELETE FROM ryzed.meta WHERE key IN ('sealed', 'life')").await?;
    put.execute(connection).await.map_err(|error| judge(&error).0)?;
    Ok(())
}

/// The database's identity.
async fn place(connection: &mut AsyncPgConnection) -> Result<String, StoreError> {
    // Asked before it is tried: what the server refuses would spoil a transaction.
    let may = "SELECT 'yes' WHERE has_function_privilege('pg_control_system()', 'EXECUTE') \
        AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')";
    let told = if texts(connection, may).await?.is_empty() { PLACE_BY_NUMBER } else { PLACE };
    Ok(texts(connection, told).await?.into_iter().next().unwrap_or_default())
}

fn fresh() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), EPOCH_LENGTH).to_ascii_lowercase()
}

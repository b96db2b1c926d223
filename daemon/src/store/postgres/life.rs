//! The database's life, and how a restored backup is told from the database that went on.
//!
//! A cursor is worth something only in the life that it was given in. A backup that is restored by `pg_restore` lives in
//! a database of another number, one that is restored by replaying the log runs on another timeline, and a new cluster has
//! another identifier: any of these begins a new life. The copy of a cluster's files that is put back as it was has all
//! three as before and is not recognised; whoever restores so removes the row `life` of `ryzed.meta`.

use diesel_async::AsyncPgConnection;
use rand::distr::{Alphanumeric, SampleString};

use super::migrate::{execute, texts};
use crate::store::StoreError;

/// Letters of an epoch.
const EPOCH_LENGTH: usize = 8;

/// What a life is told by.
const PLACE: &str = "SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), \
     (SELECT timeline_id FROM pg_control_checkpoint()), (SELECT oid FROM pg_database WHERE datname = current_database()))";
/// The same where the server does not let us look.
const PLACE_BY_NUMBER: &str = "SELECT oid::text FROM pg_database WHERE datname = current_database()";

/// The epoch, a new one when a new life has begun. The caller has the lock under which it is written.
pub(super) async fn epoch(connection: &mut AsyncPgConnection) -> Result<String, StoreError> {
    let place = match texts(connection, PLACE).await {
        Ok(place) => place,
        Err(StoreError::Failed(_)) => texts(connection, PLACE_BY_NUMBER).await?,
        Err(error) => return Err(error),
    };
    let place = place.into_iter().next().unwrap_or_default();
    // Of daemons that start together, one writes and all read the same.
    let fresh = Alphanumeric.sample_string(&mut rand::rng(), EPOCH_LENGTH).to_ascii_lowercase();
    execute(
        connection,
        &format!(
            "INSERT INTO ryzed.meta AS m VALUES ('life', '{place} {fresh}') ON CONFLICT (key) DO UPDATE \
             SET value = excluded.value WHERE split_part(m.value, ' ', 1) <> '{place}'"
        ),
    )
    .await?;
    let epoch = texts(connection, "SELECT split_part(value, ' ', 2) FROM ryzed.meta WHERE key = 'life'").await?;
    epoch.into_iter().next().ok_or_else(|| StoreError::Failed("the database has no epoch".into()))
}

//! Changes in a file of SQLite: one thread writes, and what comes while it does goes into its next transaction.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use tokio::sync::mpsc;

use super::QUEUE;
use super::hall::{Change, Hall};

/// The most changes of one transaction.
const GROUP: usize = 512;
const MAKE: &str = "CREATE TABLE IF NOT EXISTS relay_changes (version BIGINT NOT NULL, user_id TEXT NOT NULL, \
    tbl TEXT NOT NULL, op TEXT NOT NULL, row_id TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (user_id, version)); \
    DELETE FROM relay_changes;";

diesel::table! {
    relay_changes (user_id, version) {
        version -> BigInt,
        user_id -> Text,
        tbl -> Text,
        op -> Text,
        row_id -> Text,
        data -> Text,
    }
}

diesel::table! {
    sqlite_master (name) {
        name -> Text,
        tbl_name -> Text,
    }
}

/// Opens the file and starts its writer; the way to it.
pub(super) fn start(file: &str, is_full: bool, hall: Arc<Hall>) -> Result<mpsc::Sender<Change>> {
    let mut db = SqliteConnection::establish(file).with_context(|| format!("{file} can't be opened"))?;
    let foreign = sqlite_master::table.filter(sqlite_master::tbl_name.ne("relay_changes")).count();
    let foreign: i64 = foreign.get_result(&mut db).with_context(|| format!("{file} is no database of SQLite"))?;
    if foreign > 0 {
        bail!("{file} has tables of somebody else: name a new file");
    }
    let synchronous = if is_full { "FULL" } else { "NORMAL" };
    db.batch_execute(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; {MAKE}"))?;

    let (way, mut queue) = mpsc::channel::<Change>(QUEUE);
    // Others hear of a group while the next one is written.
    let (done, mut committed) = mpsc::channel::<Vec<Change>>(QUEUE / GROUP);
    tokio::spawn(async move {
        while let Some(group) = committed.recv().await {
            group.iter().for_each(|change| hall.publish(change));
        }
    });
    std::thread::spawn(move || {
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while let Some(change) = (group.len() < GROUP).then(|| queue.try_recv().ok()).flatten() {
                group.push(change);
            }
            if let Err(error) = db.transaction(|db| write(db, &mut group)) {
                // The generator counts what is not stored as lost.
                eprintln!("ryzed-relay: a group of changes was not stored: {error}");
            } else if done.blocking_send(group).is_err() {
                return;
            }
        }
    });
    Ok(way)
}

fn write(db: &mut SqliteConnection, group: &mut [Change]) -> QueryResult<()> {
    use relay_changes::{data, op, row_id, tbl, user_id, version};
    for change in group {
        change.version = change.person.next();
        diesel::insert_into(relay_changes::table)
            .values((
                version.eq(change.version),
                user_id.eq(change.person.id.to_string()),
                tbl.eq(&change.table),
                op.eq(&change.operation),
                row_id.eq(change.row.to_string()),
                data.eq(&change.data),
            ))
            .execute(db)?;
    }
    Ok(())
}

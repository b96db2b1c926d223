//! Changes in PostgreSQL: each is one `INSERT` and a transaction of its own; a connection has many under way, and the server
//! commits those of several connections together.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio_postgres::{Client, NoTls, Statement};

use super::QUEUE;
use super::hall::{Change, Hall};

const CONNECTIONS: usize = 8;
/// Statements under way at one connection.
const UNDER_WAY: usize = 512;
const FOREIGN: &str = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
    AND c.relname <> 'relay_changes'";
const MAKE: &str = "CREATE TABLE IF NOT EXISTS relay_changes (version BIGINT NOT NULL, user_id TEXT NOT NULL, \
    tbl TEXT NOT NULL, op TEXT NOT NULL, row_id TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (user_id, version)); \
    TRUNCATE relay_changes";
const INSERT: &str = "INSERT INTO relay_changes VALUES ($1, $2, $3, $4, $5, $6)";

/// Opens the database and starts its writers; the ways to them.
pub(super) async fn start(url: &str, hall: &Arc<Hall>) -> Result<Vec<mpsc::Sender<Change>>> {
    let mut ways = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("the database does not answer")?;
        tokio::spawn(connection);
        if number == 0 {
            let foreign: i64 = client.query_one(FOREIGN, &[]).await?.get(0);
            if foreign > 0 {
                bail!("the database has tables of somebody else: make a new one");
            }
            client.batch_execute(MAKE).await?;
        }
        let insert = client.prepare(INSERT).await?;
        let (way, queue) = mpsc::channel(QUEUE);
        tokio::spawn(write(client, insert, queue, Arc::clone(hall)));
        ways.push(way);
    }
    Ok(ways)
}

async fn write(client: Client, insert: Statement, mut queue: mpsc::Receiver<Change>, hall: Arc<Hall>) {
    let (client, insert) = (&client, &insert);
    let mut writing = FuturesOrdered::new();
    loop {
        tokio::select! {
            biased;
            Some(mut change) = queue.recv(), if writing.len() < UNDER_WAY => {
                change.version = change.person.next();
                writing.push_back(store(client, insert, change));
            }
            Some(stored) = writing.next(), if !writing.is_empty() => match stored {
                Ok(change) => hall.publish(&change),
                // The generator counts what is not stored as lost.
                Err(error) => eprintln!("ryzed-relay: a change was not stored: {error}"),
            },
            else => return,
        }
    }
}

async fn store(client: &Client, insert: &Statement, change: Change) -> Result<Change, tokio_postgres::Error> {
    let (person, row) = (change.person.id.to_string(), change.row.to_string());
    let Change { version, table, operation, data, .. } = &change;
    client.execute(insert, &[version, &person, table, operation, &row, data]).await?;
    Ok(change)
}

//! Checks that the daemon can work with the server: a database in UTF-8, reached without a pooler that spreads a
//! connection's statements over several of the server's. This is checked before anything is set or prepared, since
//! behind such a pooler settings would stay for the next program.

use std::time::Duration;

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::server;
use crate::store::StoreError;

/// The time that a second transaction may take to begin while the first one is open.
const SECOND: Duration = Duration::from_secs(5);
/// The number of times that two transactions are begun together: some poolers choose by chance.
const ROUNDS: usize = 8;
/// Part of the message of poolers that allow no transactions.
const STATEMENT_POOLING: &str = "statement pooling";

const POOLER: &str = "the database is reached through a pooler that shares connections between programs by transaction or by \
    statement (pgbouncer, pgcat, Supavisor): settings, locks and notices don't last there, and would leak into other programs. \
    Name the server itself in database.url, or a pool with pool_mode = session";

/// Refuses a server that the daemon can't work with; says what to do.
///
/// # Errors
/// [`StoreError::Unsuitable`] for that, others when it can't be reached.
pub(super) async fn must_fit(url: &str) -> Result<(), StoreError> {
    let first = server::plain(url).await?;
    let encoding = ask(&first, "SHOW server_encoding").await.map_err(judged)?;
    if encoding != "UTF8" {
        return Err(StoreError::Unsuitable(format!(
            "the database is in the encoding {encoding}, which can't hold what people write; rows are in UTF-8. Make one that can, \
             CREATE DATABASE <name> ENCODING 'UTF8' TEMPLATE template0, and restore this one into it with pg_dump and pg_restore"
        )));
    }
    let second = match server::plain(url).await {
        Ok(second) => second,
        // There is room for one connection only, and who shares nothing can't be found out.
        Err(StoreError::Unavailable(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    match is_shared(&first, &second).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Unsuitable(POOLER.into())),
        Err(error) => Err(judged(error)),
    }
}

/// True if the server runs one connection's transactions on several of its own, or one waits for the other.
async fn is_shared(first: &Client, second: &Client) -> Result<bool, Error> {
    let (mut seen, mut turn) = ([None, None], [first, second]);
    for round in 0..ROUNDS {
        let one = begun(turn[0]).await?;
        let Ok(other) = tokio::time::timeout(SECOND, begun(turn[1])).await else { return Ok(true) };
        let numbers = if std::ptr::eq(turn[0], first) { [one, other?] } else { [other?, one] };
        ask(turn[0], "COMMIT").await?;
        ask(turn[1], "COMMIT").await?;
        for (seen, number) in seen.iter_mut().zip(numbers) {
            if seen.get_or_insert_with(|| number.clone()) != &number {
                return Ok(true);
            }
        }
        // What is given back last may be given out first, or last: so in every second round the other one asks first.
        if round % 2 == 1 {
            turn.swap(0, 1);
        }
    }
    Ok(false)
}

/// Begins a transaction; the server's process that runs it.
async fn begun(client: &Client) -> Result<String, Error> {
    ask(client, "BEGIN; SELECT pg_backend_pid()").await
}

/// Asks without preparing anything; the first answer.
async fn ask(client: &Client, sql: &str) -> Result<String, Error> {
    let messages = client.simple_query(sql).await?;
    let answer = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(answer.unwrap_or_default())
}

fn judged(error: Error) -> StoreError {
    let words = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    if words.contains(STATEMENT_POOLING) {
        return StoreError::Unsuitable(POOLER.into());
    }
    StoreError::Unavailable(format!("can't look at the server: {words}"))
}

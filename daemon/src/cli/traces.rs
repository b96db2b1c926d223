//! Never begins an empty database in the place of a former one unless the operator says so: every device would drop its
//! copy of data that is perhaps only on a disk that is not mounted. It looks before anything is made.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use super::{Failure, Outcome, store};
use crate::auth::Secret;
use crate::config::Config;
use crate::private;
use crate::store::{postgres, sqlite};

/// The daemon's note in its data directory about the database that it has served.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Served {
    /// The file, or the server's URL without a password.
    database: String,
    /// Its epoch at the last start.
    epoch: String,
}

/// Refuses to begin an empty database where there are traces of one; with `is_wanted` they are put aside.
pub(super) fn check(config: &Config, is_wanted: bool) -> Outcome {
    if config.database_server().is_some() {
        // The server is asked once it is there.
        return Ok(());
    }
    let path = config.database_path();
    let about = || format!("can't open the database {} (database.url)", path.display());
    private::vouch_for_database(&path).with_context(about).map_err(Failure::Usage)?;
    sqlite::must_be_free(&path).with_context(about).map_err(store::judged)?;
    if sqlite::is_begun(&path).with_context(about).map_err(store::judged)? {
        return Ok(());
    }
    let traces = traces_of_file(config);
    if traces.is_empty() {
        return Ok(());
    }
    if !is_wanted {
        return Err(refusal(config, &traces));
    }
    let kept =
        sqlite::put_aside(&path).with_context(|| format!("can't put aside what is left of {}", path.display()))?;
    for name in kept {
        tracing::warn!(path = %name.display(), "the traces of an earlier database are kept under this name");
    }
    Ok(())
}

/// The same for a server, which can be asked now.
pub(super) async fn check_server(config: &Config, is_wanted: bool) -> Outcome {
    let (Some(url), false) = (store::server_url(config)?, is_wanted) else { return Ok(()) };
    let Some(note) = note_of(config) else { return Ok(()) };
    let about = || format!("can't look at the database {} (database.url)", config.database_name());
    if postgres::is_begun(&url).await.with_context(about)? {
        return Ok(());
    }
    Err(refusal(config, &[note]))
}

/// Notes which database is served here.
pub(super) fn leave(config: &Config, epoch: &str) {
    let served = Served { database: config.database_name(), epoch: epoch.to_owned() };
    if read(config).as_ref() == Some(&served) {
        return;
    }
    let path = note(config);
    let written = serde_json::to_vec(&served).map_err(std::io::Error::other);
    let written = written.and_then(|bytes| private::create(&path)?.write_all(&bytes));
    if let Err(error) = written {
        // It guards against a mistake, and nothing else needs it.
        tracing::warn!(%error, path = %path.display(), "the note about the served database could not be written");
    }
}

fn traces_of_file(config: &Config) -> Vec<String> {
    let mut traces: Vec<String> =
        sqlite::leftovers(&config.database_path()).iter().map(|path| path.display().to_string()).collect();
    traces.extend(note_of(config));
    let secret = Secret::own_path(config);
    let is_own = config.auth.secret.is_none() && config.auth.secret_file.is_none();
    if is_own && secret.exists() {
        traces.push(format!("{}, which an earlier start has made", secret.display()));
    }
    traces
}

/// The note, when it is about this database.
fn note_of(config: &Config) -> Option<String> {
    let served = read(config).filter(|served| served.database == config.database_name())?;
    Some(format!("{}, which tells of its epoch {}", note(config).display(), served.epoch))
}

fn refusal(config: &Config, traces: &[String]) -> Failure {
    Failure::Usage(anyhow!(
        "the database {} is missing or empty, and there was one: {}. Is a disk not mounted, or was a file moved? Put it back, or \
         restore a backup. To begin an empty database in its place, with which every device starts over: ryzed serve \
         --new-database",
        config.database_name(),
        traces.join("; ")
    ))
}

fn read(config: &Config) -> Option<Served> {
    serde_json::from_slice(&std::fs::read(note(config)).ok()?).ok()
}

fn note(config: &Config) -> PathBuf {
    config.data_dir.join("served.json")
}

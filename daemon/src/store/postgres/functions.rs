//! The functions of the schema `ryzed`: one text for all of them, which is installed behind the migrations where the database has
//! an earlier one, or where a function is no longer as it was installed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::literal;
use super::sql_text::{escaped, execute, texts};
use crate::store::StoreError;

/// The text, see its head.
pub(super) const TEXT: &str = include_str!("../../../../migrations/postgres/functions.sql");
/// The text's name, where it is listed behind the migrations.
pub(super) const NAME: &str = "functions.sql";
/// The text's number. It rises with every change of the text, so that an instance of an earlier release leaves in place what a
/// later one has installed.
pub(super) const NUMBER: u32 = 3;

/// The beginning of each function in the text.
const BEGINS: &str = "CREATE OR REPLACE FUNCTION ryzed.";

/// The note about the functions that a database has, in `ryzed.meta`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installed {
    /// The number of the text.
    pub number: u32,
    /// The digest of the text.
    text: String,
    /// The digest of each function as the catalogue had it then; by its name and the types of its arguments.
    pub functions: BTreeMap<String, String>,
}

/// True if the database has the functions of this release or of a later one. Changes nothing.
pub(super) async fn are_new_enough(connection: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    Ok(noted(connection).await?.is_some_and(|noted| noted.number >= NUMBER))
}

/// Installs the functions where the database has earlier ones, or others than were installed. The caller has a transaction open
/// and the lock under which the schema changes.
pub(super) async fn install(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    let noted = noted(connection).await?;
    let text = digest(TEXT);
    if let Some(noted) = &noted {
        if noted.number > NUMBER {
            return Ok(());
        }
        if noted.number == NUMBER && noted.text == text {
            let changed = changed(&noted.functions, &found(connection).await?);
            if changed.is_empty() {
                return Ok(());
            }
            let functions = changed.join("; ");
            tracing::warn!(
                functions,
                "functions of the schema ryzed are not as they were installed, and are installed anew"
            );
        }
    }
    execute(connection, TEXT).await?;
    let installed = Installed { number: NUMBER, text, functions: found(connection).await? };
    let note = serde_json::to_string(&installed).map_err(|error| StoreError::Failed(error.to_string()))?;
    let note = escaped(&note);
    execute(
        connection,
        &format!(
            "INSERT INTO ryzed.meta VALUES ('functions', {note}) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
    )
    .await
}

/// The note; none where no text was installed, or one that is not understood.
pub(super) async fn noted(connection: &mut AsyncPgConnection) -> Result<Option<Installed>, StoreError> {
    let found = texts(connection, "SELECT value FROM ryzed.meta WHERE key = 'functions'").await?;
    Ok(found.first().and_then(|note| serde_json::from_str(note).ok()))
}

/// The functions of the text as the catalogue has them: a digest of all that `CREATE FUNCTION` and `GRANT` say of each.
pub(super) async fn found(connection: &mut AsyncPgConnection) -> Result<BTreeMap<String, String>, StoreError> {
    let names: Vec<String> = names().map(literal).collect();
    let query = format!(
        "SELECT md5(concat_ws(E'\\x1f', array_to_string(p.proargnames, ','), array_to_string(p.proargmodes, ','), \
         y.typname, p.proretset, l.lanname, p.provolatile, \
         p.proparallel, p.proisstrict, p.prosecdef, array_to_string(p.proconfig, ','), p.prosrc, ARRAY(SELECT DISTINCT \
         CASE a.grantee WHEN 0 THEN 'anybody' ELSE 'daemon' END FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a \
         WHERE a.grantee = 0 OR (a.grantee = to_regrole('ryzed_daemon') AND a.grantee <> p.proowner) ORDER BY 1))) || ' ' \
         || p.proname || '(' || oidvectortypes(p.proargtypes) || ')' \
         FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_type y ON y.oid = p.prorettype \
         WHERE p.pronamespace = 'ryzed'::regnamespace \
         AND p.proname = ANY (ARRAY[{}])",
        names.join(", ")
    );
    let lines = texts(connection, &query).await?;
    let parts = lines.iter().filter_map(|line| line.split_once(' '));
    Ok(parts.map(|(digest, function)| (function.to_owned(), digest.to_owned())).collect())
}

/// The names of the functions in the text.
fn names() -> impl Iterator<Item = &'static str> {
    TEXT.lines().filter_map(|line| line.strip_prefix(BEGINS)?.split('(').next())
}

/// The functions that are missing, others, or more than were installed.
fn changed(installed: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Vec<String> {
    let all = installed.keys().chain(found.keys().filter(|function| !installed.contains_key(*function)));
    all.filter(|function| installed.get(*function) != found.get(*function)).cloned().collect()
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;

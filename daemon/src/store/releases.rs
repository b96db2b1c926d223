//! Migrations that a database has, and of which release that makes it.

use super::StoreError;

/// One migration and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Its name, as its folder's.
    pub name: String,
    /// True once it is applied.
    pub applied: bool,
}

/// Refuses a database that has migrations of a later release.
pub(super) fn known_only(applied: &[String], known: &[String]) -> Result<(), StoreError> {
    let newer: Vec<&str> = applied.iter().filter(|name| !known.contains(name)).map(String::as_str).collect();
    if newer.is_empty() {
        return Ok(());
    }
    Err(StoreError::Unsuitable(format!(
        "the database is of a later release: it has migrations that ryzed {} does not know ({}). Install that release again, or \
         restore a backup that was made before",
        env!("CARGO_PKG_VERSION"),
        newer.join(", ")
    )))
}

/// Refuses a database that a command beside the daemon would have to migrate.
pub(super) fn up_to_date_only(pending: &[String]) -> Result<(), StoreError> {
    if pending.is_empty() {
        return Ok(());
    }
    Err(StoreError::Unsuitable(format!(
        "the database is not up to date: {} migrations are missing. Start the daemon of this release on it, or run `ryzed \
         migrate` while none is running",
        pending.len()
    )))
}

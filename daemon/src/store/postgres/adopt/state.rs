//! Remembers whether a database was adopted and how. This note is the first thing that is made and the last that is
//! removed, so that an interrupted command leaves no riddle.

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::super::fault::judge;
use super::super::fit::must_fit;
use super::super::layout::{Layout, literal};
use super::super::migrate;
use super::super::sql_text::{execute, texts};
use super::facts::TAKES;
use super::{AdoptError, Naming, TableNaming};
use crate::store::StoreError;
use crate::store::statement::statement;

/// The progress of a database's adoption.
#[derive(Debug, Clone, PartialEq)]
pub enum AdoptionState {
    /// Nothing of the daemon is in it.
    Untouched,
    /// The daemon's migrations have made its tables.
    Own,
    /// Adopting it has begun, and was not finished.
    Begun(Layout),
    /// Adoption is complete.
    Complete(Layout),
}

/// The words in `ryzed.adopted.made`, each for a thing that adopting has made, so that leaving removes no more than
/// those.
pub(super) const ROLE: &str = "role";
pub(super) const MEMBER: &str = "member";
pub(super) const BELONGS: &str = "belongs";
pub(super) const AUTH: &str = "auth";
pub(super) const UID: &str = "uid";

/// The condition that the daemon's role is a member of `authenticated`, so that its policies apply.
pub(super) const IS_AUTHENTICATED: &str =
    "coalesce(pg_has_role(to_regrole('ryzed_daemon'), to_regrole('authenticated'), 'USAGE'), FALSE)";

impl AdoptionState {
    pub(in super::super) async fn of(connection: &mut AsyncPgConnection) -> Result<Self, StoreError> {
        if !migrate::is_adopted(connection).await? {
            let own = "SELECT 'yes' WHERE to_regnamespace('ryzed') IS NOT NULL";
            return Ok(if texts(connection, own).await?.is_empty() { Self::Untouched } else { Self::Own });
        }
        let noted: Vec<(String, String)> = statement::<(Text, Text)>("SELECT state, layout::text FROM ryzed.adopted")
            .load(connection)
            .await
            .map_err(|error| judge(&error).0)?;
        let (state, layout) = noted.into_iter().next().unwrap_or_default();
        let layout = serde_json::from_str(&layout)
            .map_err(|error| StoreError::Failed(format!("the note about the adoption is not understood: {error}")))?;
        Ok(match state.as_str() {
            "complete" => Self::Complete(layout),
            _ => Self::Begun(layout),
        })
    }
}

/// The layout of an adopted database; none when the database is the daemon's own, or is going to be. The watch checks
/// later that its tables are still the same.
///
/// # Errors
/// When the adoption is not finished, or the configuration names tables otherwise than when it was adopted: says what to do.
pub async fn layout_to_serve(url: &str, naming: &Naming) -> Result<Option<Layout>, AdoptError> {
    must_fit(url).await?;
    let mut connection = migrate::open(url).await?;
    migrate::applied(&mut connection).await?;
    let refuse = |message: String| Err(AdoptError::Refused(message));
    let layout = match AdoptionState::of(&mut connection).await? {
        AdoptionState::Untouched | AdoptionState::Own => {
            let Some((named, _)) = naming.iter().find(|(_, table)| table.is_of_adopted()) else { return Ok(None) };
            return refuse(format!(
                "the configuration names tables of an adopted database (tables.{named}), and this one is not: run `ryzed adopt`"
            ));
        }
        AdoptionState::Begun(_) => {
            return refuse("adopting this database was not finished: run `ryzed adopt` again".into());
        }
        AdoptionState::Complete(layout) => layout,
    };
    let differences = named_otherwise(&layout, naming);
    if differences.is_empty() {
        return Ok(Some(layout));
    }
    refuse(format!(
        "the configuration names tables otherwise than when the database was adopted: {}. Run `ryzed adopt` again",
        differences.join("; ")
    ))
}

/// The differences between the configuration's names of tables and columns and the adopted ones.
fn named_otherwise(layout: &Layout, naming: &Naming) -> Vec<String> {
    let mut differences = Vec::new();
    for place in &layout.tables {
        let named = naming.get(&place.table).cloned().unwrap_or_else(|| TableNaming::of(&place.table));
        let (is, was) = (format!("{}.{}", named.schema, named.name), place.shown());
        if named.skip {
            differences.push(format!("{} is to be left alone", place.table));
        } else if is != was {
            differences.push(format!("{} is {is} and was {was}", place.table));
        }
        for column in place.columns.iter().filter(|column| column.property.is_none()) {
            let is = named.columns.get(&column.name).unwrap_or(&column.name);
            if *is != column.column {
                differences.push(format!("{}.{} is {is} and was {}", place.table, column.name, column.column));
            }
        }
    }
    let synced = |table: &str| layout.of(table).is_some();
    let more = naming.iter().filter(|(table, named)| named.is_explicit && !named.skip && !synced(table));
    differences
        .extend(more.map(|(table, named)| format!("{table} is {}.{}, and was not synced", named.schema, named.name)));
    differences
}

/// The first step: takes note of what is going to be made.
pub(super) async fn begin(connection: &mut AsyncPgConnection, layout: &Layout) -> Result<(), StoreError> {
    // What the daemon's role may do already, because an administrator has said so, is not taken away again.
    let note = format!(
        "BEGIN; CREATE SCHEMA ryzed; CREATE TABLE ryzed.adopted (state text NOT NULL, layout json NOT NULL, made text[] NOT NULL, \
         granted text[] NOT NULL); ALTER TABLE ryzed.adopted ENABLE ROW LEVEL SECURITY; \
         INSERT INTO ryzed.adopted SELECT 'begun', {}, ARRAY(SELECT w FROM (VALUES \
         ('{ROLE}', to_regrole('ryzed_daemon') IS NULL), \
         ('{MEMBER}', NOT coalesce(pg_has_role(current_user, to_regrole('ryzed_daemon'), {TAKES}), FALSE)), \
         ('{BELONGS}', NOT {IS_AUTHENTICATED}), ('{AUTH}', to_regnamespace('auth') IS NULL), ('{UID}', to_regprocedure('auth.uid()') IS NULL)) AS m (w, is_made) \
         WHERE is_made), ARRAY(SELECT d.classid::regclass || ' ' || d.objid FROM pg_shdepend d \
         WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = to_regrole('ryzed_daemon') AND d.deptype = 'a' \
         AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())); COMMIT",
        literal(&to_json(layout)?)
    );
    execute(connection, &note).await
}

/// The last step. What was entered is new to the planner.
pub(super) async fn complete(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    execute(connection, "ANALYZE ryzed.changes; ANALYZE ryzed.scopes; UPDATE ryzed.adopted SET state = 'complete'")
        .await
}

pub(in super::super) fn to_json(layout: &Layout) -> Result<String, StoreError> {
    serde_json::to_string(layout).map_err(|error| StoreError::Failed(error.to_string()))
}

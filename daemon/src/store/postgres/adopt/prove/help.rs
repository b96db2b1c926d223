//! Finds the statements and settings that may help where a trial is denied something, or where policies look at more
//! than the person.

use diesel_async::AsyncPgConnection;

use super::super::super::layout::{literal, quoted};
use super::super::super::sql_text::texts;
use super::Subject;
use crate::store::StoreError;

/// Statements that may let the daemon's role use a thing of this name, the one that gives least first.
pub(super) async fn ways_in(
    connection: &mut AsyncPgConnection,
    kind: &str,
    name: &str,
) -> Result<Vec<String>, StoreError> {
    let (found, rights): (&str, &[&str]) = match kind {
        "schema" => {
            ("SELECT format('SCHEMA %I', nspname) AS what, nspname::text AS name FROM pg_namespace", &["USAGE"])
        }
        "sequence" => (
            "SELECT format('SEQUENCE %I.%I', n.nspname, c.relname), c.relname::text FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'",
            &["USAGE", "SELECT, UPDATE"],
        ),
        "function" | "procedure" => (
            "SELECT format('FUNCTION %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), \
             p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace",
            &["EXECUTE"],
        ),
        "table" | "view" | "materialized" | "foreign" | "relation" => (
            "SELECT format('%I.%I', n.nspname, c.relname), c.relname::text FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')",
            &[
                "SELECT",
                "INSERT",
                "UPDATE",
                "DELETE",
                "SELECT, INSERT",
                "SELECT, UPDATE",
                "SELECT, INSERT, UPDATE, DELETE",
            ],
        ),
        _ => return Ok(Vec::new()),
    };
    let sql = format!(
        "SELECT w.what FROM ({found}) AS w (what, name) WHERE w.name = {} AND w.what !~ '(pg_catalog|information_schema)\\.' LIMIT 4",
        literal(name)
    );
    let things = texts(connection, &sql).await?;
    let joins = "SELECT 'GRANT authenticated TO ryzed_daemon' WHERE to_regrole('authenticated') IS NOT NULL \
        AND NOT pg_has_role('ryzed_daemon', 'authenticated', 'USAGE')";
    let mut ways = Vec::new();
    for right in rights {
        ways.extend(things.iter().map(|thing| format!("GRANT {right} ON {thing} TO ryzed_daemon")));
    }
    ways.extend(texts(connection, joins).await?);
    Ok(ways)
}

/// The person's address, by which policies may go.
pub(super) async fn email(connection: &mut AsyncPgConnection, subject: Subject<'_>, person: &str) -> Option<String> {
    let mut wanted = Vec::new();
    if let Some(place) =
        subject.placed.layout.of("users").filter(|place| place.columns.iter().any(|c| c.name == "email"))
    {
        wanted.push((place.relation(), quoted(place.physical("email"))));
    }
    wanted.push(("auth.users".into(), "email".into()));
    for (relation, column) in wanted {
        let sql = format!(
            "SELECT {column}::text FROM {relation} WHERE id = {}::uuid AND {column} IS NOT NULL",
            literal(person)
        );
        if let Some(email) = texts(connection, &sql).await.ok().and_then(|found| found.into_iter().next()) {
            return Some(email);
        }
    }
    None
}

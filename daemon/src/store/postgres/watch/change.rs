//! The consequences of a look, besides that tables are stopped and resumed: notes that outlive the daemon, policies of
//! ours that follow the application's, and changes that devices have missed.

use diesel_async::AsyncPgConnection;
use ryzed_adapters::Registry;

use super::super::adopt::{authenticated_joins, to_json};
use super::super::layout::literal;
use super::super::sql_text::{execute, texts};
use super::super::triggers::Placed;
use super::judge::{newly_granted, other_permits};
use super::look::{EVER, Fingerprint};
use super::{Cause, Found, Kind, Trouble, Watcher};
use crate::store::{Stopped, StoreError};

/// Adds troubles for triggers that stand as they were installed, and were others for a moment between two looks.
pub(super) fn add_moments(found: &mut Found, seen: &Fingerprint, adapters: &Registry) {
    for (table, now) in &found.fingerprint.triggers {
        let (Some(before), Some(table)) = (seen.triggers.get(table), adapters.get(table)) else { continue };
        // Whoever has put them up anew has noted so together with that.
        if before.noted == now.noted && before.marks != now.marks {
            let reason = "triggers of ryzed were switched off, or others, for a moment".to_owned();
            found.troubles.entry(table.name).or_default().push(Trouble { reason, kind: Kind::Off });
        }
    }
}

/// Keeps in mind where people were granted something, so that it counts when nothing is left of it.
pub(super) async fn note_grants(connection: &mut AsyncPgConnection, found: &mut Found) -> Result<(), StoreError> {
    let granted = newly_granted(&found.noted, &found.now);
    if granted.is_empty() {
        return Ok(());
    }
    let mut noted = found.noted.clone();
    noted.tables.iter_mut().for_each(|place| place.is_granted |= granted.contains(&place.table));
    execute(connection, &format!("UPDATE ryzed.adopted SET layout = {}", literal(&to_json(&noted)?))).await?;
    found.noted = noted;
    Ok(())
}

/// Makes our policies follow the application's: where those let people in, they decide.
pub(super) async fn permit(
    connection: &mut AsyncPgConnection,
    watcher: &Watcher,
    found: &mut Found,
) -> Result<(), StoreError> {
    for (table, permits) in other_permits(&found.noted, &found.now) {
        let mut noted = found.noted.clone();
        noted.tables.iter_mut().filter(|place| place.table == table).for_each(|place| place.permits = permits);
        let registry = noted.fit(&watcher.adapters);
        let placed = Placed { registry: &registry, layout: &noted };
        let Some((known, place)) = placed.iter().find(|(known, _)| known.name == table) else { continue };
        if found.troubles.contains_key(known.name) {
            continue;
        }
        let mut sql = vec!["BEGIN".to_owned()];
        sql.extend(noted.is_for_authenticated().then(authenticated_joins));
        sql.push(placed.permit(place));
        sql.push(format!(
            "UPDATE ryzed.tables t SET policies = ryzed.policies_of(t.relation), made = md5({}) WHERE t.table_name = '{table}'",
            literal(&placed.made(known, place))
        ));
        sql.push(format!("UPDATE ryzed.adopted SET layout = {}", literal(&to_json(&noted)?)));
        sql.push("COMMIT".into());
        match execute(connection, &sql.join("; ")).await {
            Ok(()) => {
                tracing::info!(table, "policies of the application have changed, and the daemon goes by them");
                found.noted = noted;
            }
            Err(error) => {
                execute(connection, "ROLLBACK").await?;
                let reason = format!(
                    "policies of the application have changed, and are not in force for the daemon yet: {error}"
                );
                let table = watcher.adapters.get(&table).map_or("", |table| table.name);
                found.troubles.entry(table).or_default().push(Trouble { reason, kind: Kind::Open });
            }
        }
    }
    Ok(())
}

/// Notes that rows may have changed unseen, so that it is not forgotten with the daemon. Before the daemon writes rows of its own
/// into a table whose triggers would refuse them, it notes that as well.
pub(super) async fn take_note(
    connection: &mut AsyncPgConnection,
    found: &Found,
    seen: Option<&Fingerprint>,
    cause: Cause,
) -> Result<(), StoreError> {
    let horizon = seen.map_or(EVER, |seen| seen.horizon.as_str());
    for (table, troubles) in &found.troubles {
        let is_noted = found.stands.get(*table).is_none_or(|stand| !stand.notes.is_empty());
        let worth = |trouble: &&Trouble| {
            matches!(trouble.kind, Kind::Blind | Kind::Off)
                || (cause == Cause::Refusal && trouble.kind == Kind::Strayed)
        };
        let Some(trouble) = troubles.iter().find(worth).filter(|_| !is_noted) else { continue };
        let note = format!(
            "INSERT INTO ryzed.stopped (table_name, since_xid, reason) VALUES ('{table}', '{horizon}', {})",
            literal(&trouble.reason)
        );
        execute(connection, &note).await?;
    }
    Ok(())
}

/// Tells again what devices were not given of tables that go on. Whether that is all, or somebody writes where some of it is.
pub(super) async fn tell_passed(
    connection: &mut AsyncPgConnection,
    found: &Found,
    stopped: &Stopped,
) -> Result<bool, StoreError> {
    let passed = texts(connection, "SELECT DISTINCT table_name FROM ryzed.passed").await?;
    let mut is_all = true;
    for table in passed.iter().filter(|table| !stopped.has(table) && found.stands.contains_key(*table)) {
        let busy = texts(connection, &format!("SELECT ryzed.tell_passed({})::text", literal(table))).await?;
        is_all &= busy.iter().all(|count| count == "0");
    }
    Ok(is_all)
}

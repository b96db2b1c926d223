//! Adopts an existing database: examines it, installs sync on its tables, enters its rows into the index, and removes
//! all of that again. Every lock on an application's table is tried for a moment only, and then again.

mod advice;
mod again;
mod backfill;
mod columns;
mod examine;
mod facts;
mod ident;
mod install;
mod policies;
mod proof;
mod prove;
mod report;
mod state;
mod uninstall;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use ryzed_adapters::{Registry, Table, TableRules};

use super::fit::must_fit;
use super::kept;
use super::layout::{Place, literal};
use super::migrate;
use super::sql_text::{execute, texts};
use super::triggers::Placed;
use super::turn;
use crate::backoff::Backoff;
use crate::store::StoreError;

pub use advice::setting;
pub(super) use again::hands;
pub use backfill::Entered;
pub(super) use columns::is_base;
pub use examine::{Examined, examine};
pub(super) use facts::facts;
pub use facts::{Facts, ForeignKey, FoundColumn, Pointer, Relation, Server};
use install::Round;
pub(super) use install::{Backfill, authenticated_joins};
pub(super) use policies::permits;
pub use proof::{Outcome, Proof};
pub use report::{TableReport, Verdict};
pub(super) use state::to_json;
pub use state::{AdoptionState, layout_to_serve};
pub use uninstall::{Undone, undo};

/// The database's names of the tables, from the configuration; by their names on the wire.
pub type Naming = BTreeMap<String, TableNaming>;

/// The database's names of one table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNaming {
    /// The schema that it is in.
    pub schema: String,
    /// Its name there.
    pub name: String,
    /// Columns that have other names there: name on the wire to name there.
    pub columns: BTreeMap<String, String>,
    /// True if the table is left alone.
    pub skip: bool,
    /// True if the configuration names the table, so that it must exist.
    pub is_explicit: bool,
    /// The columns that travel, and who writes them.
    pub rules: TableRules,
}

impl TableNaming {
    /// A table of which nothing is said.
    #[must_use]
    pub fn of(table: &str) -> Self {
        Self {
            schema: "public".into(),
            name: table.into(),
            columns: BTreeMap::new(),
            skip: false,
            is_explicit: false,
            rules: TableRules::default(),
        }
    }

    /// True if it has settings that only a table of an application has.
    fn is_of_adopted(&self) -> bool {
        self.is_explicit || self.skip
    }
}

/// The reason why a database is not adopted, served or left.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A person has to decide or do something first; says what.
    #[error("{0}")]
    Refused(String),
    /// The database failed, or was busy for too long.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Receives the progress, for a person who waits.
pub trait Watch: Send {
    /// A step has begun, or has to wait for somebody.
    fn step(&mut self, what: &str);
    /// Reports the progress: so many rows of about so many are entered.
    fn entered(&mut self, table: &str, rows: u64, of: u64);
}

/// The state of a database, as it was found.
#[derive(Debug)]
pub struct Inspection {
    /// The progress of its adoption.
    pub state: AdoptionState,
    /// The report on its tables.
    pub examined: Examined,
    /// The server's release.
    pub version: String,
}

/// The result of adopting.
#[derive(Debug)]
pub enum Adopted {
    /// It is adopted.
    Complete {
        /// The rows that were entered into the index.
        entered: Entered,
        /// The results of the trials, table by table.
        proofs: Vec<Proof>,
    },
    /// It is not adopted, since people could not use it.
    Unproven {
        /// The results of the trials, table by table.
        proofs: Vec<Proof>,
        /// True if everything is as before the attempt; else it stands as it was adopted before.
        is_left: bool,
        /// True if the role `ryzed_daemon` was removed again, too.
        is_role_gone: bool,
    },
}

/// The most time that a lock on an application's table, or on a scope, is tried for at once. Far below the second after
/// which PostgreSQL looks for deadlocks, so that it is never the application's transaction that is ended.
const LOCK_MS: u32 = 100;
/// The time for which locks are tried in all.
const PATIENCE: Duration = Duration::from_secs(600);
/// The pause between two looks at who else is connected, and the first before a lock is tried for again.
const PAUSE: Duration = Duration::from_millis(20);
/// The pauses between the tries for a lock.
const PAUSES: Backoff = Backoff::new(PAUSE, Duration::from_millis(500));
/// The time to wait for other daemons that may just have ended: the server does not notice at once that they are gone.
const OTHERS: Duration = Duration::from_secs(3);

/// Looks, and changes nothing.
///
/// # Errors
/// When the database can't be read.
pub async fn inspect(url: &str, adapters: &Registry, naming: &Naming) -> Result<Inspection, AdoptError> {
    must_fit(url).await?;
    let mut connection = open(url).await?;
    inspected(&mut connection, adapters, naming).await
}

async fn inspected(
    connection: &mut AsyncPgConnection,
    adapters: &Registry,
    naming: &Naming,
) -> Result<Inspection, AdoptError> {
    let facts = facts(connection, adapters.iter().map(|table| table.name), naming).await?;
    let state = AdoptionState::of(connection).await?;
    let mut examined = examine(adapters, &facts, naming);
    if let AdoptionState::Begun(before) | AdoptionState::Complete(before) = &state {
        again::mark_missing(connection, before, &mut examined).await?;
        again::tell_stopped(connection, &mut examined).await?;
    }
    Ok(Inspection { state, examined, version: facts.server.version })
}

/// Tries the tables of an adopted database as people, as adopting does, and takes it back; none where what would be tried does
/// not stand.
///
/// # Errors
/// When the database fails.
pub async fn proven(
    url: &str,
    adapters: &Registry,
    naming: &Naming,
    watch: &mut dyn Watch,
) -> Result<Option<Vec<Proof>>, AdoptError> {
    let mut connection = open(url).await?;
    let inspection = inspected(&mut connection, adapters, naming).await?;
    let layout = inspection.examined.layout;
    let AdoptionState::Complete(before) = inspection.state else { return Ok(None) };
    let registry = layout.fit(adapters);
    let placed = Placed { registry: &registry, layout: &layout };
    let plan = again::again(&mut connection, placed, Some(&before), &BTreeSet::new()).await?;
    if !plan.stands {
        return Ok(None);
    }
    let mut worker = Worker { connection, watch };
    Ok(Some(worker.prove(placed).await?))
}

/// Adopts the database, or goes on with it. Safe to be interrupted and run again. Rows of the tables in `accepted` may belong to
/// others than before, although the column that tells so is another one.
///
/// # Errors
/// When something is in the way, or the database fails.
pub async fn adopt(
    url: &str,
    adapters: &Registry,
    naming: &Naming,
    accepted: &BTreeSet<String>,
    watch: &mut dyn Watch,
) -> Result<Adopted, AdoptError> {
    let mut connection = open(url).await?;
    alone(&mut connection).await?;
    migrate::applied(&mut connection).await?;
    let inspection = inspected(&mut connection, adapters, naming).await?;
    if inspection.examined.is_stopped() {
        return Err(AdoptError::Refused("nothing was changed: see what the report says does not fit".into()));
    }
    let before = match inspection.state {
        AdoptionState::Own => return Err(AdoptError::Refused(OWN.into())),
        AdoptionState::Untouched => None,
        AdoptionState::Begun(layout) | AdoptionState::Complete(layout) => Some(layout),
    };
    let layout = inspection.examined.layout;
    let registry = layout.fit(adapters);
    if before.is_none() {
        watch.step("making the schema ryzed");
        state::begin(&mut connection, &layout).await?;
    }
    let mut connection = migrate::migrated(connection, migrate::Migrations { is_adopted: true }).await?;
    let placed = Placed { registry: &registry, layout: &layout };
    kept::note(&mut connection, placed, before.is_none()).await?;
    let plan = again::again(&mut connection, placed, before.as_ref(), accepted).await?;
    let mut worker = Worker { connection, watch };
    let tables: Vec<_> = placed.iter().collect();
    let round = Round { tables: &tables, enter: &plan.enter, is_all: true };
    if !plan.stands {
        worker.install_policies(placed, round).await?;
    }
    let proofs = worker.prove(placed).await?;
    if proofs.iter().any(|proof| proof.problem().is_some()) {
        return worker.unproven(proofs, before.is_none()).await;
    }
    if !plan.stands {
        let mut with =
            vec![format!("UPDATE ryzed.adopted SET state = 'begun', layout = {}", literal(&to_json(&layout)?))];
        if let Some(before) = &before
            && worker.take_down_gone(before, &layout).await?
        {
            // Devices have rows of a table that they do not hear of any more: their copies start over.
            with.push("DELETE FROM ryzed.meta WHERE key = 'life'".into());
        }
        worker.install_triggers(placed, round, &with).await?;
    }
    let entered = worker.enter_all(placed).await?;
    state::complete(&mut worker.connection).await?;
    Ok(Adopted::Complete { entered, proofs })
}

/// Puts up anew what stands round these tables of an adopted database, as another release does it, and enters rows.
pub(super) async fn renew(
    connection: AsyncPgConnection,
    placed: Placed<'_>,
    tables: &[(&Table, &Place)],
    enter: &BTreeMap<&'static str, Backfill>,
    watch: &mut dyn Watch,
) -> Result<AsyncPgConnection, AdoptError> {
    let mut worker = Worker { connection, watch };
    let round = Round { tables, enter, is_all: false };
    worker.install_policies(placed, round).await?;
    worker.install_triggers(placed, round, &[]).await?;
    worker.enter_all(placed).await?;
    Ok(worker.connection)
}

/// The refusal of a database whose tables the daemon has made itself.
const OWN: &str =
    "the tables of this database are the daemon's own: there is nothing to adopt, `ryzed serve` works on it";

/// Opens a connection that can be told from a daemon's.
async fn open(url: &str) -> Result<AsyncPgConnection, StoreError> {
    let mut connection = migrate::open(url).await?;
    let settings = "SET application_name = 'ryzed adopt'; SET statement_timeout = 0; SET client_min_messages = error; \
                    SET idle_in_transaction_session_timeout = 0; SET ryzed.device = '*'";
    execute(&mut connection, settings).await?;
    Ok(connection)
}

/// Makes sure that no other command of this kind works on the database, and no daemon.
async fn alone(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    let began = std::time::Instant::now();
    while !turn::try_to_take(connection).await? {
        if began.elapsed() > OTHERS {
            let holder = turn::holder(connection).await?;
            return Err(StoreError::Unavailable(format!(
                "another command of ryzed works on this database: {holder}; wait for it to end"
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
    loop {
        let Some(another) = turn::another(connection).await? else { return Ok(()) };
        if began.elapsed() > OTHERS {
            return Err(StoreError::Unavailable(format!(
                "a daemon, or another command of ryzed, is connected to this database; stop it first ({another})"
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A connection that works on tables which an application uses, with the listener for its progress.
struct Worker<'w> {
    connection: AsyncPgConnection,
    watch: &'w mut dyn Watch,
}

impl Worker<'_> {
    /// Leaves what was not adopted before as it was.
    async fn unproven(mut self, proofs: Vec<Proof>, is_new: bool) -> Result<Adopted, AdoptError> {
        if is_new {
            self.remove().await?;
        }
        let is_role_gone = texts(&mut self.connection, "SELECT 'yes' WHERE to_regrole('ryzed_daemon') IS NULL").await?;
        Ok(Adopted::Unproven { proofs, is_left: is_new, is_role_gone: !is_role_gone.is_empty() })
    }

    /// Runs statements in a transaction that waits for locks only for a moment, again and again until it goes well.
    async fn patiently(&mut self, what: &str, sql: &str) -> Result<(), StoreError> {
        self.patiently_reading(what, sql, "SELECT 'done'").await.map(|_| ())
    }

    /// Runs statements in the same way; the last one has an answer.
    async fn patiently_reading(&mut self, what: &str, sql: &str, last: &str) -> Result<Vec<String>, StoreError> {
        let (began, mut backoff, mut told) = (std::time::Instant::now(), PAUSES, false);
        loop {
            match self.once(sql, last).await {
                Err(StoreError::Unavailable(cause)) => {
                    execute(&mut self.connection, "ROLLBACK").await?;
                    if began.elapsed() > PATIENCE {
                        let message =
                            format!("{what}: {cause}. It was tried for {} s; run it again", PATIENCE.as_secs());
                        return Err(StoreError::Unavailable(message));
                    }
                    if !told && began.elapsed() > Duration::from_secs(1) {
                        told = true;
                        let blockers = self.blockers().await?;
                        self.watch.step(&format!("{what}: waiting for transactions of others{blockers}"));
                    }
                    tokio::time::sleep(backoff.pause()).await;
                }
                other => return other,
            }
        }
    }

    async fn once(&mut self, sql: &str, last: &str) -> Result<Vec<String>, StoreError> {
        execute(&mut self.connection, &format!("BEGIN; SET LOCAL lock_timeout = {LOCK_MS}; {sql}")).await?;
        let answer = texts(&mut self.connection, last).await?;
        execute(&mut self.connection, "COMMIT").await?;
        Ok(answer)
    }

    /// The oldest open transaction of another connection, for people.
    async fn blockers(&mut self) -> Result<String, StoreError> {
        let oldest = "SELECT format('pid %s, for %s s, %s', pid, extract(epoch FROM now() - xact_start)::int, \
             coalesce(nullif(application_name, ''), usename)) FROM pg_stat_activity WHERE datname = current_database() \
             AND xact_start IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1";
        let found = texts(&mut self.connection, oldest).await?;
        Ok(found.first().map(|oldest| format!(" (the oldest: {oldest})")).unwrap_or_default())
    }
}

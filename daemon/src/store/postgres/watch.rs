//! Checks that the synced tables are still as the daemon knows them. Every instance looks by itself, every two seconds,
//! when a trigger says that it has booked nothing, and when a statement failed in a way that another layout explains. A
//! table that is another, or is no longer guarded, is stopped alone; one that is put back goes on.

mod change;
mod judge;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use ryzed_adapters::Registry;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::adopt::{AdoptionState, Examined, Naming, examine};
use super::layout::Layout;
use super::migrate;
use super::renew::{Ground, served};
use super::sql::Guard;
use super::sql_text::execute;
use super::triggers::Placed;
use super::{Guards, Schema};
use crate::metrics::metrics;
use crate::store::{OnStopped, Stopped, StoreError};
use look::{Fingerprint, fingerprint};

pub(super) use judge::{Kind, Sight, Trouble, Troubles};
pub(super) use look::{EVER, Stand, stands};

/// The time between two looks at the catalogue.
const EVERY: Duration = Duration::from_secs(2);
/// The shortest time between two looks, however many ask for one.
const PAUSE: Duration = Duration::from_millis(100);
/// The time that a look may take, connecting included; one on a connection that does not answer any more ends, and the
/// next makes another.
const LONGEST: Duration = Duration::from_secs(15);
/// A look waits for no lock; should it wait for anything, it is given up.
const PATIENT: &str = "SET statement_timeout = '10s'; SET lock_timeout = '100ms'; SET ryzed.device = '*'";

/// The schema that statements are made of, until the next look finds a change.
pub(super) struct Current(RwLock<Arc<Schema>>);

impl Current {
    pub(super) fn new(schema: Schema) -> Self {
        Self(RwLock::new(Arc::new(schema)))
    }

    pub(super) fn get(&self) -> Arc<Schema> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, schema: Schema) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(schema);
    }
}

/// The cause of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The interval is over.
    Time,
    /// A statement has failed.
    Failure,
    /// A trigger has refused the daemon's own write: rows may be written next that nobody books.
    Refusal,
}

/// Looks at the catalogue and stops or resumes tables.
pub(super) struct Watcher {
    pub url: String,
    pub adapters: Arc<Registry>,
    pub naming: Naming,
    /// True if the tables are an application's.
    pub is_adopted: bool,
    /// Tables that were not judged at the start, see [`super::now_served`].
    unjudged: BTreeSet<String>,
    pub current: Arc<Current>,
    ear: OnceLock<OnStopped>,
    bell: Notify,
    state: Mutex<WatchState>,
}

#[derive(Default)]
struct WatchState {
    connection: Option<AsyncPgConnection>,
    seen: Option<Fingerprint>,
    /// The start of the last look that was completed.
    looked: Option<Instant>,
}

/// The findings of a look.
struct Found {
    fingerprint: Fingerprint,
    /// The layout that was adopted, or made.
    noted: Layout,
    /// The layout as it is now.
    now: Layout,
    stands: BTreeMap<String, Stand>,
    troubles: Troubles,
}

impl Found {
    fn guards(&self, adapters: &Registry) -> Guards {
        let guard = |stand: &Stand| Guard { oid: Some(stand.oid), is_open: !stand.has_rls };
        let known = self.stands.values().filter_map(|stand| Some((adapters.get(&stand.table)?.name, guard(stand))));
        known.collect()
    }
}

impl Watcher {
    /// A watcher that knows nothing yet.
    pub(super) fn new(
        url: &str,
        adapters: &Arc<Registry>,
        naming: Naming,
        adopted: Option<BTreeSet<String>>,
        current: &Arc<Current>,
    ) -> Self {
        Self {
            url: url.to_owned(),
            adapters: Arc::clone(adapters),
            naming,
            is_adopted: adopted.is_some(),
            unjudged: adopted.unwrap_or_default(),
            current: Arc::clone(current),
            ear: OnceLock::new(),
            bell: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Sets the listener for changes of the set of stopped tables. Call it once.
    pub(super) fn tell(&self, ear: OnStopped) {
        let _ = self.ear.set(ear);
    }

    /// Requests a look soon.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Looks until it is aborted.
    pub(super) fn start(self: &Arc<Self>) -> JoinHandle<()> {
        let watcher = Arc::clone(self);
        tokio::spawn(async move {
            let mut is_told = false;
            loop {
                let _ = tokio::time::timeout(EVERY, watcher.bell.notified()).await;
                match watcher.look(Cause::Time).await {
                    Ok(()) => is_told = false,
                    Err(error) if !std::mem::replace(&mut is_told, true) => {
                        tracing::warn!(%error, "the check of the synced tables failed and is repeated soon");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    /// Looks now. Who asks while another looks is content with a look that began after the question.
    pub(super) async fn look(&self, cause: Cause) -> Result<(), StoreError> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if cause == Cause::Failure && state.looked.is_some_and(|looked| looked > asked) {
            return Ok(());
        }
        let began = Instant::now();
        let kept = state.connection.take();
        // A connection on which it fails is not kept.
        let looking = tokio::time::timeout(LONGEST, self.look_on(kept, state.seen.as_ref(), cause));
        let took_long = |_| StoreError::Unavailable("the look at the tables took too long".into());
        let (connection, fingerprint) = looking.await.map_err(took_long)??;
        *state = WatchState { connection: Some(connection), seen: Some(fingerprint), looked: Some(began) };
        Ok(())
    }

    async fn look_on(
        &self,
        kept: Option<AsyncPgConnection>,
        seen: Option<&Fingerprint>,
        cause: Cause,
    ) -> Result<(AsyncPgConnection, Fingerprint), StoreError> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let mut connection = migrate::open(&self.url).await?;
                execute(&mut connection, PATIENT).await?;
                connection
            }
        };
        let fingerprint = self.look_with(&mut connection, seen, cause).await?;
        Ok((connection, fingerprint))
    }

    async fn look_with(
        &self,
        connection: &mut AsyncPgConnection,
        seen: Option<&Fingerprint>,
        cause: Cause,
    ) -> Result<Fingerprint, StoreError> {
        execute(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let fingerprint = fingerprint(connection).await?;
        if cause != Cause::Refusal && seen.is_some_and(|seen| seen.all == fingerprint.all) {
            execute(connection, "COMMIT").await?;
            return Ok(fingerprint);
        }
        let mut found = self.find(connection, fingerprint).await?;
        execute(connection, "COMMIT").await?;
        if let Some(seen) = seen {
            change::add_moments(&mut found, seen, &self.adapters);
        }
        if self.is_adopted {
            change::permit(connection, self, &mut found).await?;
            change::note_grants(connection, &mut found).await?;
        }
        change::take_note(connection, &found, seen, cause).await?;
        let stopped = self.stopped(&found);
        // First served, then told: who hears of it must not pass over it again. Until it is told, no copy is called whole.
        self.serve(&found, stopped.clone());
        if !change::tell_passed(connection, &found, &stopped).await? {
            found.fingerprint.all.clear();
            self.bell.notify_one();
        }
        Ok(found.fingerprint)
    }

    fn stopped(&self, found: &Found) -> Stopped {
        Stopped::of(found.troubles.iter().map(|(table, troubles)| (*table, self.told(troubles))))
    }

    async fn find(&self, connection: &mut AsyncPgConnection, fingerprint: Fingerprint) -> Result<Found, StoreError> {
        let own = || Layout::own(&self.adapters);
        let noted = match self.is_adopted {
            true => match AdoptionState::of(connection).await? {
                AdoptionState::Begun(layout) | AdoptionState::Complete(layout) => layout,
                AdoptionState::Untouched | AdoptionState::Own => own(),
            },
            false => own(),
        };
        let restricted = self.is_adopted.then(|| noted.fit(&self.adapters));
        let placed = Placed { registry: restricted.as_ref().unwrap_or(&self.adapters), layout: &noted };
        let ground = self.ground(placed);
        let facts = ground.facts(connection).await?;
        let stands = stands(connection, placed).await?;
        let mut troubles = ground.sight(&facts, &stands).troubles();
        for table in self.adapters.iter().filter(|table| self.unjudged.contains(table.name)) {
            troubles.entry(table.name).or_insert_with(|| {
                let reason = "it was not as it was adopted when the daemon was started; start it again".to_owned();
                vec![Trouble { reason, kind: Kind::Open }]
            });
        }
        let Examined { layout: now, .. } = examine(&self.adapters, &facts, &self.naming);
        Ok(Found { fingerprint, noted, now, stands, troubles })
    }

    pub(super) fn ground<'a>(&'a self, placed: Placed<'a>) -> Ground<'a> {
        Ground { adapters: &self.adapters, placed, naming: &self.naming, is_adopted: self.is_adopted }
    }

    /// The reasons for people, and what is to be done.
    fn told(&self, troubles: &[Trouble]) -> String {
        let reasons: Vec<&str> = troubles.iter().map(|trouble| trouble.reason.as_str()).collect();
        let is_open = troubles.iter().all(|trouble| matches!(trouble.kind, Kind::Open | Kind::Strayed));
        let is_noted = troubles.iter().all(|trouble| matches!(trouble.kind, Kind::Noted | Kind::Off));
        let remedy = match (self.is_adopted, is_open) {
            _ if is_noted => {
                "run `ryzed verify --repair`, which switches triggers on and holds the index against the rows while everybody goes on"
            }
            (true, true) => "put it back, and it goes on by itself; or stop the daemon and run `ryzed adopt` again",
            (true, false) => "stop the daemon and run `ryzed adopt` again",
            (false, true) => {
                "put it back, and it goes on by itself; or start the daemon again, which puts up what is its own"
            }
            (false, false) => {
                "put back what is not as it was, and start the daemon again, which holds the index against the rows"
            }
        };
        format!("{}. To mend it: {remedy}", reasons.join("; "))
    }

    /// Makes statements follow the findings from now on.
    fn serve(&self, found: &Found, stopped: Stopped) {
        let before = self.current.get();
        let layout = if self.is_adopted { served(&found.noted, &found.now) } else { found.noted.clone() };
        let guards = found.guards(&self.adapters);
        let is_same = *before.stopped == stopped;
        if is_same && before.layout == layout && before.guards == guards {
            return;
        }
        for table in stopped.names().filter(|table| !before.stopped.has(table)) {
            tracing::warn!(table, reason = stopped.reason(table).unwrap_or_default(), "a synced table is stopped");
        }
        for table in before.stopped.names().filter(|table| !stopped.has(table)) {
            tracing::info!(table, "a synced table goes on");
        }
        let stopped = Arc::new(stopped);
        metrics().tables_stopped.set(stopped.names().count().try_into().unwrap_or(i64::MAX));
        self.current.set(before.with(layout, Arc::clone(&stopped), guards));
        if let Some(ear) = self.ear.get().filter(|_| !is_same) {
            ear(&stopped);
        }
    }
}

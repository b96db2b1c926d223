//! Hands out connections so that no waiting caller keeps others from the database.
//!
//! - **In turn**: what one person writes comes one after the other anyway, since the first holds their scope. The others wait here,
//!   without a connection; and so do those who write the catalogue.
//! - **Shares**: reads leave some connections to writes, writes some to reads, and both one to the daemon itself.
//! - **Locks**: a lock that is not given soon, as while an application changes a table, is not waited for with a connection in
//!   hand. The transaction is given up and begun again after a pause, in one of the few places where a lock may be waited for
//!   longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::store::{Access, Mode, StoreError};
use crate::sync::Scope;

/// The time that a caller waits for a turn, a place or a connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The time that the first try waits for a lock; and the shorter one while so many locks timed out that a table must be
/// locked.
const FIRST: Duration = Duration::from_millis(500);
const FIRST_WHILE_LOCKED: Duration = Duration::from_millis(50);
/// The number of lock timeouts, and the time within which they make a table count as locked.
const LOCKED: (usize, Duration) = (3, Duration::from_secs(5));
/// The time that a try waits for a lock in one of the places for that.
const LONG: Duration = Duration::from_secs(1);
/// Turns that are remembered before those are forgotten that nobody has.
const TURNS: usize = 1024;

/// The ways to the pool.
#[derive(Debug)]
pub(super) struct Lanes {
    turns: Mutex<HashMap<Scope, Weak<Turn<()>>>>,
    /// The places of everybody but the daemon itself.
    all: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    /// The places in which a try may wait for locks.
    waits: Arc<Semaphore>,
    /// The times of the last lock timeouts.
    refused: Mutex<[Option<Instant>; LOCKED.0]>,
}

/// A turn among what one person, and those who keep the catalogue, write. Let go of with the value.
pub(super) struct InTurn {
    _own: Option<OwnedMutexGuard<()>>,
    _catalogue: Option<OwnedMutexGuard<()>>,
}

/// A place on a lane. Let go of with the value.
#[derive(Debug, Default)]
pub(super) struct LaneTicket {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Lanes {
    /// To a pool of so many connections.
    pub(super) fn new(connections: usize) -> Self {
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.max(1)));
        // A small pool has nothing to divide.
        let reserved = if connections < 4 { 0 } else { (connections / 5).max(1) };
        Self {
            turns: Mutex::default(),
            all: semaphore(connections - reserved.min(1)),
            reads: semaphore(connections - reserved),
            writes: semaphore(connections - reserved),
            waits: semaphore(connections / 5),
            refused: Mutex::default(),
        }
    }

    /// A turn; none is needed for what is not written on behalf of a person.
    pub(super) async fn turn(&self, mode: Mode, access: &Access) -> Result<InTurn, StoreError> {
        let mut turn = InTurn { _own: None, _catalogue: None };
        if let (Mode::Write, Access::Person { user, role, .. }) = (mode, access) {
            // In one order, as the database locks the scopes.
            if role.is_admin() {
                turn._catalogue = Some(self.turn_of(Scope::Global).await?);
            }
            turn._own = Some(self.turn_of(Scope::User(*user)).await?);
        }
        Ok(turn)
    }

    async fn turn_of(&self, scope: Scope) -> Result<OwnedMutexGuard<()>, StoreError> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() > TURNS {
                turns.retain(|_, turn| turn.strong_count() > 0);
            }
            let known = turns.get(&scope).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(Turn::new(()));
                turns.insert(scope, Arc::downgrade(&turn));
                turn
            })
        };
        let late = |_| StoreError::Unavailable("what the same person writes takes too long".into());
        timeout(PATIENCE, turn.lock_owned()).await.map_err(late)
    }

    /// Takes a place on the way to a connection; with `waits`, one in which a lock may be waited for.
    pub(super) async fn place(&self, mode: Mode, access: &Access, waits: bool) -> Result<LaneTicket, StoreError> {
        if matches!(access, Access::Daemon) {
            return Ok(LaneTicket::default());
        }
        let lane = if mode == Mode::Read { &self.reads } else { &self.writes };
        let wanted = [waits.then_some(&self.waits), Some(lane), Some(&self.all)];
        let taking = async {
            let mut permits = Vec::with_capacity(wanted.len());
            for semaphore in wanted.into_iter().flatten() {
                permits.push(Arc::clone(semaphore).acquire_owned().await.ok()?);
            }
            Some(LaneTicket { _permits: permits })
        };
        timeout(PATIENCE, taking).await.ok().flatten().ok_or_else(busy)
    }

    /// The time that a try may wait for a lock.
    pub(super) fn lock_timeout(&self, access: &Access, waits: bool) -> Option<Duration> {
        match access {
            Access::Daemon => None,
            _ if waits => Some(LONG),
            _ if self.is_locked(Instant::now()) => Some(FIRST_WHILE_LOCKED),
            _ => Some(FIRST),
        }
    }

    /// Notes that a lock was not given in time.
    pub(super) fn refused(&self) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.rotate_right(1);
        refused[0] = Some(Instant::now());
    }

    fn is_locked(&self, now: Instant) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().all(|at| at.is_some_and(|at| now.duration_since(at) < LOCKED.1))
    }
}

/// The error for a caller who got no connection in time.
pub(super) fn busy() -> StoreError {
    StoreError::Unavailable("every connection to the database is busy (database.connections)".into())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::sync::token::Credentials;
    use crate::sync::{Role, UserId};

    fn person(number: u128, role: Role) -> Access {
        Access::Person { user: UserId(Uuid::from_u128(number)), role, email: None, credentials: Credentials::default() }
    }

    fn is_free<T>(turn: impl Future<Output = T>) -> Option<T> {
        futures_util::FutureExt::now_or_never(turn)
    }

    #[tokio::test]
    async fn one_person_writes_one_after_the_other_and_nobody_else_waits_for_it() {
        let lanes = Lanes::new(10);
        let (me, other) = (person(1, Role::default()), person(2, Role::default()));
        let mine = lanes.turn(Mode::Write, &me).await.unwrap();
        assert!(is_free(lanes.turn(Mode::Write, &me)).is_none());
        assert!(is_free(lanes.turn(Mode::Read, &me)).is_some());
        assert!(is_free(lanes.turn(Mode::Write, &other)).is_some());
        drop(mine);
        assert!(is_free(lanes.turn(Mode::Write, &me)).is_some());
        let (keeper, second) = (person(3, Role::Admin), person(4, Role::Admin));
        let _keeping = lanes.turn(Mode::Write, &keeper).await.unwrap();
        assert!(is_free(lanes.turn(Mode::Write, &second)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn reads_and_writes_leave_each_other_some_and_the_daemon_one() {
        let lanes = Lanes::new(10);
        let me = person(1, Role::default());
        let mut held = Vec::new();
        while let Ok(place) = lanes.place(Mode::Read, &me, false).await {
            held.push(place);
        }
        assert_eq!(held.len(), 8);
        held.push(lanes.place(Mode::Write, &me, false).await.unwrap());
        assert!(lanes.place(Mode::Write, &me, false).await.is_err());
        assert!(is_free(lanes.place(Mode::Read, &Access::Daemon, false)).is_some());
        held.clear();
        let _waits = [lanes.place(Mode::Write, &me, true).await, lanes.place(Mode::Read, &me, true).await];
        assert!(lanes.place(Mode::Write, &me, true).await.is_err(), "few wait for locks");
        assert!(lanes.place(Mode::Write, &me, false).await.is_ok());
    }

    #[tokio::test]
    async fn a_small_pool_is_not_divided() {
        let lanes = Lanes::new(1);
        let _place = lanes.place(Mode::Write, &person(1, Role::default()), true).await.unwrap();
    }

    #[test]
    fn locks_are_waited_for_shortly_while_a_table_is_locked() {
        let (lanes, me) = (Lanes::new(10), person(1, Role::default()));
        for _ in 0..LOCKED.0 {
            assert_eq!(lanes.lock_timeout(&me, false), Some(FIRST));
            lanes.refused();
        }
        assert_eq!(lanes.lock_timeout(&me, false), Some(FIRST_WHILE_LOCKED));
        assert_eq!(lanes.lock_timeout(&me, true), Some(LONG));
        assert!(!lanes.is_locked(Instant::now() + LOCKED.1));
        assert_eq!(lanes.lock_timeout(&Access::Daemon, false), None);
    }
}

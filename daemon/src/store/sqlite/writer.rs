//! The one thread that writes. It takes what is queued into one transaction, each job in a savepoint, and commits
//! them together: one wait for the disk serves all of them. A caller that gives up leaves nothing half done.

mod group;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::Integer;
use diesel::{RunQueryDsl, SqliteConnection};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::epoch::Life;
use super::ground::Ground;
use super::guard::Guard;
use super::transaction::Care;
use super::transaction::SqliteTransaction;
use super::{Asked, Schema, finish};
use crate::metrics::metrics;
use crate::store::statement::statement;
use crate::store::turns::{Next, Turns, Whose};
use crate::store::{Mode, OnOutsideWrite, StoreError};
use group::{Group, Loss};

/// Jobs that may wait for the writer; more wait in their callers.
const QUEUE: usize = 1024;
/// The jobs of one person that may wait.
const QUEUE_OF_ONE: usize = 64;
/// The time between two checks for writes of other processes.
const LOOK_OUTSIDE: Duration = Duration::from_millis(100);
/// SQLite's own wait for another process that holds the database; after it the writer does its other work.
const HELD: &str = "PRAGMA busy_timeout = 100";
/// Part of SQLite's message after that wait.
const IS_HELD: &str = "is locked";
/// The time that a job waits for such a process.
const PATIENCE: Duration = Duration::from_secs(5);
/// A job that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);
/// The time between two attempts to write a database that could not be written.
const TRY_AGAIN: Duration = Duration::from_secs(1);

type Done = oneshot::Sender<Result<(), StoreError>>;

/// A job that waits.
struct Waiting {
    asked: Asked,
    done: Done,
    /// The time at which the job is given up, if another process holds the database until then.
    until: Instant,
    _room: OwnedSemaphorePermit,
}

/// The state that callers and the writer share.
#[derive(Default)]
struct Queue {
    state: Mutex<WriterState>,
    /// Notified when a job was queued, or the queue is closing.
    came: Notify,
    /// Notified when a job was taken out.
    left: Notify,
}

#[derive(Default)]
struct WriterState {
    turns: Turns<Waiting>,
    /// No more is taken.
    is_closing: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, WriterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the writer thread.
pub(super) struct Writer {
    queue: Arc<Queue>,
    room: Arc<Semaphore>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        mut connection: SqliteConnection,
        schema: Arc<Schema>,
        life: Life,
        (ground, guard): (Arc<Ground>, Guard),
        outside: OnOutsideWrite,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| StoreError::Failed(format!("can't start the writer: {error}")))?;
        connection.batch_execute(HELD)?;
        let queue = Arc::new(Queue::default());
        let (looked, tried) = (Instant::now(), Instant::now());
        let mut work = WriteJob {
            connection,
            schema,
            life,
            ground,
            outside,
            data_version: 0,
            looked,
            tried,
            held_since: None,
            guard,
            alone: 0,
            queue: Arc::clone(&queue),
        };
        work.data_version = work.look();
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || runtime.block_on(work.until_closed()))
            .map_err(|error| StoreError::Failed(format!("can't start the writer: {error}")))?;
        Ok(Self { queue, room: Arc::new(Semaphore::new(QUEUE)), thread: Mutex::new(Some(thread)) })
    }

    pub(super) async fn run(&self, asked: Asked) -> Result<(), StoreError> {
        let whose = Whose::from(&asked.access);
        // Room among those of the same person first: who has much to do takes up none of others.
        while !self.has_room(whose) {
            let left = self.queue.left.notified();
            let mut left = std::pin::pin!(left);
            left.as_mut().enable();
            if !self.has_room(whose) {
                left.await;
            }
        }
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| closed())?;
        let (done, answer) = oneshot::channel();
        let waiting = Waiting { asked, done, until: Instant::now() + PATIENCE, _room: room };
        {
            let mut state = self.queue.state();
            if state.is_closing {
                return Err(closed());
            }
            state.turns.push(whose, waiting);
        }
        self.queue.came.notify_one();
        answer.await.map_err(|_| closed())?
    }

    fn has_room(&self, whose: Whose) -> bool {
        let state = self.queue.state();
        state.is_closing || state.turns.queued(whose) < QUEUE_OF_ONE
    }

    pub(super) async fn close(&self) {
        self.queue.state().is_closing = true;
        self.queue.came.notify_one();
        self.queue.left.notify_waiters();
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed".into())
}

struct WriteJob {
    connection: SqliteConnection,
    schema: Arc<Schema>,
    life: Life,
    ground: Arc<Ground>,
    outside: OnOutsideWrite,
    data_version: i32,
    /// The time of the last attempt to write a database that could not be written.
    tried: Instant,
    /// The time of the last check for writes from outside.
    looked: Instant,
    /// Since when another process has kept the writer from its work.
    held_since: Option<Instant>,
    guard: Guard,
    /// The number of jobs that are yet to be run alone, behind a set that took its transaction back.
    alone: usize,
    queue: Arc<Queue>,
}

impl WriteJob {
    async fn until_closed(mut self) {
        loop {
            if self.looked.elapsed() >= LOOK_OUTSIDE {
                self.tick();
                self.looked = Instant::now();
            }
            let (next, is_closing) = self.next(false);
            let wake = self.looked + LOOK_OUTSIDE;
            let wake = match next {
                Next::Do(whose, waiting) => {
                    self.group(whose, waiting);
                    continue;
                }
                Next::Nothing if is_closing => break,
                Next::Nothing => wake,
                Next::At(at) => at.min(wake),
            };
            let _ = tokio::time::timeout_at(wake.into(), self.queue.came.notified()).await;
        }
        if self.ground.check().is_ok() {
            self.life.end(&mut self.connection);
        } else {
            self.life.leave_trace();
        }
        if self.ground.is_replaced() {
            // SQLite would remove the log of the file that is there now: it goes by names.
            std::mem::forget(self.connection);
        }
    }

    /// The next job, and whether the queue is closing.
    fn next(&self, short: bool) -> (Next<Waiting>, bool) {
        let mut state = self.queue.state();
        let now = Instant::now();
        let next = if state.is_closing { state.turns.any(now) } else { state.turns.next(now, short) };
        let is_closing = state.is_closing;
        drop(state);
        self.queue.left.notify_waiters();
        (next, is_closing)
    }

    /// Another process may hold the database: then each job waits for as long as if it were the only one.
    fn not_begun(&mut self, whose: Whose, waiting: Waiting, error: StoreError) {
        if !matches!(&error, StoreError::Unavailable(why) if why.contains(IS_HELD)) {
            self.ground.refused(&error);
            let _ = waiting.done.send(Err(error));
            return;
        }
        let now = Instant::now();
        if self.held_since.is_none() {
            self.held_since = Some(now);
            tracing::warn!(%error, "another process holds the database; uploads wait for it");
        }
        let given_up = {
            let mut state = self.queue.state();
            state.turns.put_back(whose, waiting);
            state.turns.retain(|waiting| waiting.until > now)
        };
        for waiting in given_up {
            let _ = waiting.done.send(Err(StoreError::Unavailable(error.to_string())));
        }
    }

    /// Runs one job, and puts its time on its person's account.
    fn timed(
        &mut self,
        whose: Whose,
        waiting: Waiting,
        group: &mut Group,
        care: &mut Option<Care>,
    ) -> Result<(), Loss> {
        let began = Instant::now();
        let (outcome, whole) = self.one(&waiting.asked, care);
        group.0.push((whose, waiting, outcome));
        let took = began.elapsed();
        self.queue.state().turns.took(whose, took, Instant::now());
        metrics().database_writes.observe(took.as_secs_f64());
        if took > SLOW {
            tracing::warn!(?whose, seconds = took.as_secs_f32(), "everybody waited for one upload (limits.work_bytes)");
        }
        whole
    }

    /// Runs one job in its savepoint: its failure, or its panic, is its own. A loss means that the whole transaction is
    /// gone: SQLite rolls it back by itself when the disk is full, or when a rule of the operator's says so.
    fn one(&mut self, asked: &Asked, care: &mut Option<Care>) -> (Result<(), StoreError>, Result<(), Loss>) {
        let begun = self.connection.batch_execute("SAVEPOINT job");
        let mut transaction = SqliteTransaction::new(&mut self.connection, &self.schema);
        transaction.care = care.take();
        let outcome = match begun {
            Ok(()) => catch_unwind(AssertUnwindSafe(|| finish(asked, &mut transaction)))
                .unwrap_or_else(|_| Err(StoreError::Failed("a job panicked".into()))),
            Err(error) => Err(error.into()),
        };
        // The job has turned the cause into an error of its own.
        let outcome = match (outcome, transaction.trouble.take()) {
            (Err(_), Some(trouble)) => Err(StoreError::Unavailable(trouble)),
            (Ok(()), _) if transaction.is_unbooked => Err(StoreError::unbooked()),
            (outcome, _) => outcome,
        };
        *care = transaction.care.take();
        if transaction.is_taken_back {
            return (outcome, Err(Loss::Row));
        }
        let end = if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
        let ended = self.connection.batch_execute(end);
        let lost = match (&outcome, &ended) {
            (Err(StoreError::Unavailable(why)), Err(_)) => Some(StoreError::Unavailable(why.clone())),
            (_, Err(error)) => Some(StoreError::Unavailable(error.to_string())),
            (_, Ok(())) => None,
        };
        (outcome, lost.map_or(Ok(()), |error| Err(Loss::Database(error))))
    }

    fn tick(&mut self) {
        self.look_outside();
        if self.ground.check().is_ok() {
            self.guard.look(&mut self.connection, &self.schema);
            self.life.keep(&mut self.connection);
            self.try_again();
        }
    }

    /// Finds out whether a database that could not be written can be again, by writing what it says already.
    fn try_again(&mut self) {
        if self.ground.fault().is_none() || self.tried.elapsed() < TRY_AGAIN {
            return;
        }
        self.tried = Instant::now();
        let probe = "BEGIN IMMEDIATE; UPDATE sync_meta SET value = value WHERE key = 'epoch'; COMMIT";
        match self.connection.batch_execute(probe).map_err(StoreError::from) {
            Ok(()) => self.ground.worked(Mode::Write),
            Err(error) => {
                let _ = self.connection.batch_execute("ROLLBACK");
                self.ground.refused(&error);
            }
        }
    }

    fn look_outside(&mut self) {
        let seen = self.look();
        if seen != self.data_version {
            self.data_version = seen;
            (self.outside)();
        }
    }

    /// A number that moves when another connection commits, and not when this one does.
    fn look(&mut self) -> i32 {
        let seen: Result<Vec<i32>, _> = statement::<Integer>("PRAGMA data_version").load(&mut self.connection);
        seen.ok().and_then(|rows| rows.first().copied()).unwrap_or(self.data_version)
    }
}

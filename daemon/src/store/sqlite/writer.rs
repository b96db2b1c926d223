//! The one thread that writes. It takes what is queued into one transaction, each job in a savepoint, and commits
//! them together: one wait for the disk serves all of them. A caller that gives up leaves nothing half done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::Integer;
use diesel::{RunQueryDsl, SqliteConnection};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::life::Life;
use super::transaction::SqliteTransaction;
use super::{Asked, Schema, finish};
use crate::metrics::metrics;
use crate::store::statement::statement;
use crate::store::turns::{Next, Turns, Whose};
use crate::store::{OnOutsideWrite, StoreError};

/// Jobs that may wait for the writer; more wait in their callers.
const QUEUE: usize = 1024;
/// Those of one person.
const QUEUE_OF_ONE: usize = 64;
/// A transaction takes no further job once it has run for this long, so that the first ones are not kept waiting.
const LONGEST_GROUP: Duration = Duration::from_millis(10);
/// How often the writer looks whether somebody else has written.
const LOOK_OUTSIDE: Duration = Duration::from_millis(100);
/// How long SQLite itself waits for another process that holds the database, before what is due otherwise is done.
const HELD: &str = "PRAGMA busy_timeout = 100";
/// How long a job waits for such a process.
const PATIENCE: Duration = Duration::from_secs(5);
/// A job that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);

type Done = oneshot::Sender<Result<(), StoreError>>;

/// A job that waits.
struct Waiting {
    asked: Asked,
    done: Done,
    /// It is given up when the database is held by somebody else for so long.
    until: Instant,
    _room: OwnedSemaphorePermit,
}

/// What callers and the writer share.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// Something was queued, or the end was asked for.
    came: Notify,
    /// Something was taken out.
    left: Notify,
}

#[derive(Default)]
struct State {
    turns: Turns<Waiting>,
    /// No more is taken.
    is_closing: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
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
        outside: OnOutsideWrite,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| StoreError::Failed(format!("can't start the writer: {error}")))?;
        connection.batch_execute(HELD)?;
        let queue = Arc::new(Queue::default());
        let looked = Instant::now();
        let theirs = Arc::clone(&queue);
        let mut work =
            Work { connection, schema, life, outside, data_version: 0, looked, held_since: None, queue: theirs };
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

struct Work {
    connection: SqliteConnection,
    schema: Arc<Schema>,
    life: Life,
    outside: OnOutsideWrite,
    data_version: i32,
    /// When it was last looked for writes from outside.
    looked: Instant,
    /// Since when another process has kept the writer from its work.
    held_since: Option<Instant>,
    queue: Arc<Queue>,
}

impl Work {
    async fn until_closed(mut self) {
        loop {
            if self.looked.elapsed() >= LOOK_OUTSIDE {
                self.look_outside();
                self.life.keep(&mut self.connection);
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
        self.life.end(&mut self.connection);
    }

    /// What comes next, and whether the end was asked for.
    fn next(&self, short: bool) -> (Next<Waiting>, bool) {
        let mut state = self.queue.state();
        let now = Instant::now();
        let next = if state.is_closing { state.turns.any(now) } else { state.turns.next(now, short) };
        let is_closing = state.is_closing;
        drop(state);
        self.queue.left.notify_waiters();
        (next, is_closing)
    }

    /// Runs this job and those behind it, and commits.
    fn group(&mut self, whose: Whose, waiting: Waiting) {
        let began = Instant::now();
        if let Err(error) = self.connection.batch_execute("BEGIN IMMEDIATE") {
            return self.held(whose, waiting, error.into());
        }
        if let Some(since) = self.held_since.take() {
            tracing::info!(seconds = since.elapsed().as_secs_f32(), "the database is let go of by another process");
        }
        let mut answers = vec![self.timed(whose, waiting)];
        while began.elapsed() < LONGEST_GROUP {
            let (Next::Do(whose, waiting), _) = self.next(true) else { break };
            answers.push(self.timed(whose, waiting));
        }
        let committed = self.connection.batch_execute("COMMIT").map_err(StoreError::from);
        if committed.is_err() {
            let _ = self.connection.batch_execute("ROLLBACK");
        }
        for (done, outcome) in answers {
            let _ = done.send(match (&committed, outcome) {
                (Err(error), Ok(())) => Err(StoreError::Unavailable(error.to_string())),
                (_, outcome) => outcome,
            });
        }
    }

    /// Another process holds the database. Each job waits for as long as if it were the only one.
    fn held(&mut self, whose: Whose, waiting: Waiting, error: StoreError) {
        if !matches!(error, StoreError::Unavailable(_)) {
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

    /// One job, with its time on its person's account.
    fn timed(&mut self, whose: Whose, waiting: Waiting) -> (Done, Result<(), StoreError>) {
        let began = Instant::now();
        let outcome = self.one(&waiting.asked);
        let took = began.elapsed();
        self.queue.state().turns.took(whose, took, Instant::now());
        metrics().database_writes.observe(took.as_secs_f64());
        if took > SLOW {
            tracing::warn!(?whose, seconds = took.as_secs_f32(), "everybody waited for one upload (limits.work_bytes)");
        }
        (waiting.done, outcome)
    }

    /// One job in its savepoint: its failure, or its panic, is its own.
    fn one(&mut self, asked: &Asked) -> Result<(), StoreError> {
        self.connection.batch_execute("SAVEPOINT job")?;
        let mut transaction = SqliteTransaction { connection: &mut self.connection, schema: &self.schema };
        let outcome = catch_unwind(AssertUnwindSafe(|| finish(asked, &mut transaction)))
            .unwrap_or_else(|_| Err(StoreError::Failed("a job panicked".into())));
        let end = if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
        self.connection.batch_execute(end)?;
        outcome
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

//! The one thread that writes. It takes what is queued into one transaction, each job in a savepoint, and commits
//! them together: one wait for the disk serves all of them. A caller that gives up leaves nothing half done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::Integer;
use diesel::{RunQueryDsl, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::ground::Ground;
use super::life::Life;
use super::transaction::SqliteTransaction;
use super::{Asked, Schema, finish};
use crate::store::statement::statement;
use crate::store::{Mode, OnOutsideWrite, StoreError};

/// Jobs that may wait for the writer; more wait in their callers.
const QUEUE: usize = 1024;
/// A transaction takes no further job once it has run for this long, so that the first ones are not kept waiting.
const LONGEST_GROUP: Duration = Duration::from_millis(10);
/// How often the idle writer looks whether somebody else has written.
const LOOK_OUTSIDE: Duration = Duration::from_millis(100);
/// How often it is tried whether a database that could not be written can be again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

type Done = oneshot::Sender<Result<(), StoreError>>;

enum Order {
    Run(Asked, Done),
    Close(oneshot::Sender<()>),
}

/// The way to the writer thread.
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        connection: SqliteConnection,
        schema: Arc<Schema>,
        life: Life,
        ground: Arc<Ground>,
        outside: OnOutsideWrite,
    ) -> Result<Self, StoreError> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| StoreError::Failed(format!("can't start the writer: {error}")))?;
        let tried = Instant::now();
        let mut work = Work { connection, schema, life, ground, outside, data_version: 0, tried };
        work.data_version = work.look();
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || runtime.block_on(work.until_closed(queue)))
            .map_err(|error| StoreError::Failed(format!("can't start the writer: {error}")))?;
        Ok(Self { orders, thread: Mutex::new(Some(thread)) })
    }

    pub(super) async fn run(&self, asked: Asked) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        self.orders.send(Order::Run(asked, done)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    pub(super) async fn close(&self) {
        let (done, answer) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            let _ = answer.await;
        }
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
    ground: Arc<Ground>,
    outside: OnOutsideWrite,
    data_version: i32,
    /// When it was last tried whether the database can be written again.
    tried: Instant,
}

/// Jobs of one transaction, with what became of each.
struct Group(Vec<(Done, Result<(), StoreError>)>);

impl Work {
    async fn until_closed(mut self, mut queue: mpsc::Receiver<Order>) {
        let mut ticks = tokio::time::interval(LOOK_OUTSIDE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let closing = loop {
            let order = tokio::select! {
                order = queue.recv() => order,
                _ = ticks.tick() => {
                    self.tick();
                    continue;
                }
            };
            match order {
                Some(Order::Run(asked, done)) => {
                    if let Some(closing) = self.group(asked, done, &mut queue) {
                        break Some(closing);
                    }
                }
                Some(Order::Close(closing)) => break Some(closing),
                None => break None,
            }
        };
        if self.ground.check().is_ok() {
            self.life.end(&mut self.connection);
        } else {
            self.life.leave_trace();
        }
        if self.ground.is_replaced() {
            // SQLite would remove the log of the file that is there now: it goes by names.
            std::mem::forget(self.connection);
        } else {
            drop(self.connection);
        }
        if let Some(closing) = closing {
            let _ = closing.send(());
        }
    }

    /// Runs this job and those that are queued behind it, and commits. Returns the order to close if it came up.
    fn group(&mut self, asked: Asked, done: Done, queue: &mut mpsc::Receiver<Order>) -> Option<oneshot::Sender<()>> {
        let began = Instant::now();
        let mut closing = None;
        let begun = self.ground.check().and_then(|()| Ok(self.connection.batch_execute("BEGIN IMMEDIATE")?));
        if let Err(error) = begun {
            self.ground.refused(&error);
            let _ = done.send(Err(error));
            return None;
        }
        let mut group = Group(Vec::new());
        let mut whole = self.one(&asked, done, &mut group);
        while whole.is_ok() && began.elapsed() < LONGEST_GROUP {
            match queue.try_recv() {
                Ok(Order::Run(asked, done)) => whole = self.one(&asked, done, &mut group),
                Ok(Order::Close(order)) => {
                    closing = Some(order);
                    break;
                }
                Err(_) => break,
            }
        }
        let committed = whole.and_then(|()| Ok(self.connection.batch_execute("COMMIT")?));
        // What went into a file that nobody will open again is not there.
        let committed = committed.and_then(|()| self.ground.check());
        if let Err(error) = &committed {
            let _ = self.connection.batch_execute("ROLLBACK");
            self.ground.refused(error);
        }
        group.answer(committed, &self.ground);
        closing
    }

    /// One job in its savepoint: its failure, or its panic, is its own. An error means that the whole transaction is gone:
    /// SQLite rolls it back by itself when the disk is full.
    fn one(&mut self, asked: &Asked, done: Done, group: &mut Group) -> Result<(), StoreError> {
        let begun = self.connection.batch_execute("SAVEPOINT job");
        let mut transaction =
            SqliteTransaction { connection: &mut self.connection, schema: &self.schema, trouble: None };
        let outcome = match begun {
            Ok(()) => catch_unwind(AssertUnwindSafe(|| finish(asked, &mut transaction)))
                .unwrap_or_else(|_| Err(StoreError::Failed("a job panicked".into()))),
            Err(error) => Err(error.into()),
        };
        // The job has turned the cause into an error of its own.
        let outcome = match (outcome, transaction.trouble.take()) {
            (Err(_), Some(trouble)) => Err(StoreError::Unavailable(trouble)),
            (outcome, _) => outcome,
        };
        let end = if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
        let ended = self.connection.batch_execute(end);
        let lost = match (&outcome, &ended) {
            (Err(StoreError::Unavailable(why)), Err(_)) => Some(StoreError::Unavailable(why.clone())),
            (_, Err(error)) => Some(StoreError::Unavailable(error.to_string())),
            (_, Ok(())) => None,
        };
        group.0.push((done, outcome));
        lost.map_or(Ok(()), Err)
    }

    fn tick(&mut self) {
        self.look_outside();
        if self.ground.check().is_ok() {
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

impl Group {
    /// Tells the callers, once it is known whether their changes are there.
    fn answer(self, committed: Result<(), StoreError>, ground: &Ground) {
        for (done, outcome) in self.0 {
            let outcome = match (&committed, outcome) {
                (Err(StoreError::Unavailable(why)), Ok(())) => Err(StoreError::Unavailable(why.clone())),
                (Err(error), Ok(())) => Err(StoreError::Unavailable(error.to_string())),
                (_, outcome) => outcome,
            };
            match &outcome {
                Ok(()) => ground.worked(Mode::Write),
                Err(error) => ground.refused(error),
            }
            let _ = done.send(outcome);
        }
    }
}

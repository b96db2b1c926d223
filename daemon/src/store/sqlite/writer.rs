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

use super::life::Life;
use super::transaction::SqliteTransaction;
use super::{Asked, Schema, finish};
use crate::store::statement::statement;
use crate::store::{OnOutsideWrite, StoreError};

/// Jobs that may wait for the writer; more wait in their callers.
const QUEUE: usize = 1024;
/// A transaction takes no further job once it has run for this long, so that the first ones are not kept waiting.
const LONGEST_GROUP: Duration = Duration::from_millis(10);
/// How often the idle writer looks whether somebody else has written.
const LOOK_OUTSIDE: Duration = Duration::from_millis(100);

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
        outside: OnOutsideWrite,
    ) -> Result<Self, StoreError> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| StoreError::Failed(format!("can't start the writer: {error}")))?;
        let mut work = Work { connection, schema, life, outside, data_version: 0 };
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
    outside: OnOutsideWrite,
    data_version: i32,
}

impl Work {
    async fn until_closed(mut self, mut queue: mpsc::Receiver<Order>) {
        let mut ticks = tokio::time::interval(LOOK_OUTSIDE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let closing = loop {
            let order = tokio::select! {
                order = queue.recv() => order,
                _ = ticks.tick() => {
                    self.look_outside();
                    self.life.keep(&mut self.connection);
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
        self.life.end(&mut self.connection);
        drop(self.connection);
        if let Some(closing) = closing {
            let _ = closing.send(());
        }
    }

    /// Runs this job and those that are queued behind it, and commits. Returns the order to close if it came up.
    fn group(&mut self, asked: Asked, done: Done, queue: &mut mpsc::Receiver<Order>) -> Option<oneshot::Sender<()>> {
        let began = Instant::now();
        let mut closing = None;
        if let Err(error) = self.connection.batch_execute("BEGIN IMMEDIATE") {
            let _ = done.send(Err(error.into()));
            return None;
        }
        let mut answers = vec![(done, self.one(&asked))];
        while began.elapsed() < LONGEST_GROUP {
            match queue.try_recv() {
                Ok(Order::Run(asked, done)) => answers.push((done, self.one(&asked))),
                Ok(Order::Close(order)) => {
                    closing = Some(order);
                    break;
                }
                Err(_) => break,
            }
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
        closing
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

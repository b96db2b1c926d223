//! Work on what one person has sent, such as unpacking, parsing and judging it. Small work is done where it is asked for. The rest
//! goes aside: to threads of its own, fewer than there are cores and behind everything else on the machine, so that nobody's
//! round trips wait for it. A person has one piece of work there at a time, so everybody's come in turns.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, available_parallelism};

use tokio::sync::oneshot;

use super::memory::owned;
use super::people::Person;

/// Work on so many bytes is done where it is asked for.
pub const SMALL: usize = 16 << 10;
/// By how much the threads stand back behind others.
const NICE: i32 = 10;
/// The threads' name.
const NAME: &str = "aside";

type Job = Box<dyn FnOnce() + Send>;

/// The threads, from the first work on.
#[derive(Default)]
pub(super) struct Aside(OnceLock<Option<Sender<Job>>>);

impl Aside {
    /// Does work on so many bytes of a person. A panic in it goes on where the outcome is waited for.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        person: &Person,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let threads = if bytes <= SMALL { None } else { self.0.get_or_init(|| start(count())).as_ref() };
        let Some(threads) = threads else { return work() };
        // The job keeps it: who goes away meanwhile has no other work begun before this one is over.
        let turn = owned(&person.aside, 1).await;
        let (reply, outcome) = oneshot::channel();
        let job = Box::new(move || {
            if !reply.is_closed() {
                let _ = reply.send(catch_unwind(AssertUnwindSafe(work)));
            }
            drop(turn);
        });
        // The threads last as long as this does, and answer everything.
        let _ = threads.send(job);
        match outcome.await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Fewer than cores, but for the only one.
fn count() -> usize {
    (available_parallelism().map_or(1, usize::from) / 2).max(1)
}

/// Starts the threads; none where the system has none to give.
fn start(count: usize) -> Option<Sender<Job>> {
    let (jobs, waiting) = channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let start = |_| {
        let waiting = Arc::clone(&waiting);
        thread::Builder::new().name(NAME.into()).spawn(move || serve(&waiting)).ok()
    };
    ((0..count).filter_map(start).count() > 0).then_some(jobs)
}

fn serve(waiting: &Mutex<Receiver<Job>>) {
    // On Linux that is this thread alone. Where it is not allowed, it is done without.
    let _ = rustix::process::nice(NICE);
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { break };
        job();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::super::Budget;
    use super::*;
    use crate::config::Limits;
    use crate::sync::UserId;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn here() -> Option<String> {
        thread::current().name().map(str::to_owned)
    }

    #[tokio::test]
    async fn only_what_is_large_is_done_aside() {
        let budget = Budget::new(Arc::new(Limits::default()));
        assert_eq!(budget.aside(user(1), SMALL, here).await, here());
        assert_eq!(budget.aside(user(1), SMALL + 1, here).await.as_deref(), Some(NAME));
    }

    #[tokio::test]
    async fn the_threads_stand_back() {
        let budget = Budget::new(Arc::new(Limits::default()));
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let (mine, theirs) = (nice(), budget.aside(user(1), SMALL + 1, nice).await);
        assert_eq!((theirs, nice()), ((mine + NICE).min(19), mine));
    }

    #[tokio::test]
    async fn a_person_has_one_piece_of_work_there_at_a_time() {
        let budget = Budget::new(Arc::new(Limits::default()));
        let (open, gate) = channel::<()>();
        let aside = |number, work: Box<dyn FnOnce() + Send>| {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move { budget.aside(user(number), SMALL + 1, work).await })
        };
        let first = aside(1, Box::new(move || gate.recv().unwrap()));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let more: Vec<_> = (0..5).map(|_| aside(1, Box::new(|| ()))).collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(budget.people.of(user(1)).aside.available_permits(), 0);
        assert_eq!(budget.people.of(user(2)).aside.available_permits(), 1, "others' is their own");
        // Who no longer waits for an outcome has the place until its work is over.
        first.abort();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(more.iter().all(|work| !work.is_finished()));
        open.send(()).unwrap();
        for work in more {
            work.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_work_alone() {
        let budget = Budget::new(Arc::new(Limits::default()));
        for _ in 0..2 * count() {
            let budget = Arc::clone(&budget);
            let failed = tokio::spawn(async move { budget.aside(user(1), SMALL + 1, || panic!("meant")).await });
            assert!(failed.await.unwrap_err().is_panic());
        }
        assert_eq!(budget.aside(user(1), SMALL + 1, here).await.as_deref(), Some(NAME));
    }
}

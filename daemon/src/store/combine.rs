//! Several people's jobs in one transaction, with one statement for what all of them ask for at the same time.
//!
//! Each job runs as it would alone. A read or write that can be shared is a [`Call`] that waits until every job waits
//! for one; then the calls of one kind become one statement ([`round`]), and the jobs go on. A job that asks for
//! anything else leaves, and is run alone afterwards. So a job never sees that it shares, and nothing that decides
//! about a change knows of it.
//!
//! What one job does changes no other's outcome: they are of different people, none of whom may write the catalogue
//! ([`may_share`]), and a row that two of them name makes the second one leave. A job that fails behind a write has all
//! of them undone and run alone, and so has a statement that fails.

mod alone;
mod call;
mod devices;
mod member;
mod round;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;

use super::{Access, Job, StoreError};
use crate::sync::{RowId, UserId};
use call::{Answer, Call};
use member::Member;

pub(super) use call::{KeptUses, NewUser};
pub(super) use round::{KeptReceipts, Sets, Span, Writer};

/// The bytes of one call beyond which its job is run alone: a large one is not others' to wait for.
const MOST_BYTES: usize = 32 << 10;

/// A job that may share a transaction, and whose it is.
pub(super) struct Shared<'j> {
    pub user: UserId,
    pub job: &'j Job,
}

/// The outcome of a job among others.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It has come to its end; `size` is about the bytes that its calls took.
    Done { result: Result<(), StoreError>, size: usize },
    /// It wants something that can't be shared, and has written nothing.
    Left,
}

/// The reason why nothing may be kept of what jobs did together: each of them is to be run alone.
#[derive(Debug)]
pub(super) struct Undone;

/// Whether jobs with this access may share a transaction with other people's. Who keeps the catalogue may not: their
/// writes are everybody's to see.
pub(super) fn may_share(access: &Access) -> bool {
    matches!(access, Access::Person { role, .. } if !role.is_admin())
}

/// Runs jobs of different people together, to their ends.
///
/// # Errors
/// When what they have written has to be undone.
pub(super) async fn run<S: Sets + ?Sized>(tx: &mut S, jobs: &[Shared<'_>]) -> Result<Vec<Outcome>, Undone> {
    let desk = Arc::new(Mutex::new(Desk::new(jobs.len())));
    let mut members: Vec<Member> =
        jobs.iter().enumerate().map(|(place, job)| Member::new(place, job.user, Arc::clone(&desk))).collect();
    let mut running: Vec<Option<BoxFuture<'_, Result<(), StoreError>>>> =
        members.iter_mut().zip(jobs).map(|(member, shared)| Some((shared.job)(member))).collect();
    let mut results: Vec<Option<Result<(), StoreError>>> = jobs.iter().map(|_| None).collect();
    loop {
        for (place, job) in running.iter_mut().enumerate() {
            let Some(polled) = job.as_mut().map(poll) else { continue };
            if let Poll::Ready(result) = polled {
                *job = None;
                results[place] = Some(result);
            } else if !lock(&desk).waits(place) {
                *job = None;
                lock(&desk).leave(place);
            }
        }
        let calls = lock(&desk).take_calls();
        if calls.is_empty() {
            break;
        }
        for (place, answer) in round::answer(tx, calls).await.map_err(|_| Undone)? {
            lock(&desk).answers[place] = Some(answer);
        }
    }
    drop(running);
    let desk = lock(&desk);
    let outcomes = results.into_iter().zip(&desk.seats).map(|(result, seat)| seat.outcome(result));
    outcomes.collect()
}

/// A job that panics has failed, and takes nobody along.
fn poll(job: &mut BoxFuture<'_, Result<(), StoreError>>) -> Poll<Result<(), StoreError>> {
    let mut context = Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| job.as_mut().poll(&mut context)))
        .unwrap_or_else(|_| Poll::Ready(Err(StoreError::Failed("a job panicked".into()))))
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place where jobs leave their calls and find the answers.
struct Desk {
    calls: Vec<Option<Call>>,
    answers: Vec<Option<Answer>>,
    seats: Vec<Seat>,
    /// The rows that jobs have asked for, and the first job that did.
    rows: HashMap<(&'static str, RowId), usize>,
}

/// What is known of one job.
#[derive(Clone, Default)]
struct Seat {
    has_left: bool,
    has_written: bool,
    /// Something that it wrote would reach nobody.
    is_unbooked: bool,
    size: usize,
}

impl Seat {
    fn outcome(&self, result: Option<Result<(), StoreError>>) -> Result<Outcome, Undone> {
        let is_well = matches!(result, Some(Ok(()))) && !self.has_left;
        if self.is_unbooked || (self.has_written && !is_well) {
            return Err(Undone);
        }
        Ok(match result {
            Some(result) if !self.has_left => Outcome::Done { result, size: self.size },
            _ => Outcome::Left,
        })
    }
}

impl Desk {
    fn new(jobs: usize) -> Self {
        let nothing = || (0..jobs).map(|_| None);
        Self {
            calls: nothing().collect(),
            answers: (0..jobs).map(|_| None).collect(),
            seats: vec![Seat::default(); jobs],
            rows: HashMap::new(),
        }
    }

    fn waits(&self, place: usize) -> bool {
        self.calls[place].is_some()
    }

    fn leave(&mut self, place: usize) {
        self.seats[place].has_left = true;
        self.calls[place] = None;
    }

    /// Takes a call, unless it is about a row that another job has asked for.
    fn put(&mut self, place: usize, call: Call) -> bool {
        let is_taken = call.rows().any(|row| *self.rows.entry(row).or_insert(place) != place);
        let seat = &mut self.seats[place];
        if is_taken || seat.has_left || call.size() > MOST_BYTES {
            self.leave(place);
            return false;
        }
        seat.size += call.size();
        seat.has_written |= call.writes();
        self.calls[place] = Some(call);
        true
    }

    fn take_calls(&mut self) -> Vec<(usize, Call)> {
        self.calls.iter_mut().enumerate().filter_map(|(place, call)| Some((place, call.take()?))).collect()
    }
}

//! Jobs of several people that run together: a statement serves all of them.

use std::time::Instant;

use diesel::connection::SimpleConnection;
use futures_util::FutureExt;

use super::super::{Waiting, WriteJob};
use super::{Group, Loss};
use crate::metrics::metrics;
use crate::store::Access;
use crate::store::combine::{self, Outcome, Shared, Undone};
use crate::store::sqlite::transaction::SqliteTransaction;
use crate::store::tokens::Tokens;
use crate::store::turns::{Next, Whose};
use crate::sync::token::Presented;

/// The most jobs that run together.
const MOST: usize = 32;

impl WriteJob {
    /// Runs this job, together with those of other people that wait behind it.
    pub(super) fn turn(&mut self, whose: Whose, waiting: Waiting, group: &mut Group) -> Result<(), Loss> {
        if self.alone > 0 || !combine::may_share(&waiting.asked.access) {
            self.alone = self.alone.saturating_sub(1);
            return self.timed(whose, waiting, group, &mut None);
        }
        let mut set = vec![(whose, waiting)];
        while set.len() < MOST {
            let (Next::Do(whose, waiting), _) = self.next(true) else { break };
            let is_another = set.iter().all(|(other, _)| *other != whose);
            if !is_another || !combine::may_share(&waiting.asked.access) {
                self.queue.state().turns.put_back(whose, waiting);
                break;
            }
            set.push((whose, waiting));
        }
        if set.len() > 1 { self.together(set, group) } else { self.one_by_one(set, group) }
    }

    fn one_by_one(&mut self, set: Vec<(Whose, Waiting)>, group: &mut Group) -> Result<(), Loss> {
        let mut set = set.into_iter();
        for (whose, waiting) in set.by_ref() {
            if let Err(loss) = self.timed(whose, waiting, group, &mut None) {
                let mut state = self.queue.state();
                set.rev().for_each(|(whose, waiting)| state.turns.put_back(whose, waiting));
                return Err(loss);
            }
        }
        Ok(())
    }

    /// Runs jobs of different people. Those that can't share, and all of them when one fails behind a write, are run alone.
    fn together(&mut self, set: Vec<(Whose, Waiting)>, group: &mut Group) -> Result<(), Loss> {
        let began = Instant::now();
        let outcomes = match self.shared(&set) {
            Ok(outcomes) => outcomes,
            Err(Lost::Set) => return self.one_by_one(set, group),
            Err(Lost::Transaction) => {
                group.0.extend(set.into_iter().map(|(whose, waiting)| (whose, waiting, Ok(()))));
                return Err(Loss::Set);
            }
        };
        self.share_time(&set, &outcomes, began);
        let mut alone = Vec::new();
        for ((whose, waiting), outcome) in set.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Done { result, .. } => group.0.push((whose, waiting, result)),
                Outcome::Left => alone.push((whose, waiting)),
            }
        }
        self.one_by_one(alone, group)
    }

    /// Puts everybody's part of the time on their account.
    fn share_time(&mut self, set: &[(Whose, Waiting)], outcomes: &[Outcome], began: Instant) {
        let took = began.elapsed();
        let size = |outcome: &Outcome| match outcome {
            Outcome::Done { size, .. } => 1 + *size,
            Outcome::Left => 0,
        };
        let all: usize = outcomes.iter().map(size).sum();
        let mut state = self.queue.state();
        for ((whose, _), outcome) in set.iter().zip(outcomes).filter(|(_, outcome)| size(outcome) > 0) {
            let part = took.mul_f64(size(outcome) as f64 / all as f64);
            state.turns.took(*whose, part, Instant::now());
            metrics().database_writes.observe(part.as_secs_f64());
            metrics().shared_writes.inc();
        }
    }

    fn shared(&mut self, set: &[(Whose, Waiting)]) -> Result<Vec<Outcome>, Lost> {
        self.connection.batch_execute("SAVEPOINT job").map_err(|_| Lost::Set)?;
        let mut transaction = SqliteTransaction::new(&mut self.connection, &self.schema);
        let outcomes = run(&mut transaction, set).now_or_never().unwrap_or(Err(Undone));
        if transaction.is_taken_back {
            return Err(Lost::Transaction);
        }
        let end = if outcomes.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
        let ended = self.connection.batch_execute(end);
        match (outcomes, ended) {
            (Ok(outcomes), Ok(())) => Ok(outcomes),
            (Err(Undone), Ok(())) => Err(Lost::Set),
            (_, Err(_)) => Err(Lost::Transaction),
        }
    }
}

/// What is lost.
enum Lost {
    /// What the set has written.
    Set,
    /// The whole transaction.
    Transaction,
}

/// Runs jobs of people whose tokens are not refused.
async fn run(transaction: &mut SqliteTransaction<'_>, set: &[(Whose, Waiting)]) -> Result<Vec<Outcome>, Undone> {
    let mut presented = Vec::with_capacity(set.len());
    let mut jobs = Vec::with_capacity(set.len());
    for (_, waiting) in set {
        let Access::Person { user, credentials, .. } = &waiting.asked.access else { return Err(Undone) };
        presented.push(Presented { user: *user, credentials: credentials.clone() });
        jobs.push(Shared { user: *user, job: &waiting.asked.job });
    }
    let refused = transaction.refused(&presented).await.map_err(|_| Undone)?;
    let is_refused = |place: &usize| refused.iter().any(|(refused, _)| refused == place);
    let (mut places, mut allowed) = (Vec::new(), Vec::new());
    for (place, job) in jobs.into_iter().enumerate().filter(|(place, _)| !is_refused(place)) {
        places.push(place);
        allowed.push(job);
    }
    let done = combine::run(transaction, &allowed).await?;
    // Those who are refused are told so when they are run alone.
    let mut outcomes: Vec<Outcome> = set.iter().map(|_| Outcome::Left).collect();
    for (place, outcome) in places.into_iter().zip(done) {
        outcomes[place] = outcome;
    }
    Ok(outcomes)
}

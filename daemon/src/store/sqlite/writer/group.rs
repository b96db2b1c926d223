//! Jobs that share a transaction: how it is begun and committed, and what becomes of them when it is lost.

mod set;

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;

use super::super::ground::Ground;
use super::super::transaction::Care;
use super::{Waiting, WriteJob};
use crate::store::turns::{Next, Whose};
use crate::store::{Mode, StoreError};

/// A transaction takes no further job once it has run for this long, so that the first ones are not kept waiting.
const LONGEST_GROUP: Duration = Duration::from_millis(10);
/// The most times that a job runs again because of rows that roll its transaction back.
const TAKEN_BACK: usize = 16;

/// Jobs of one transaction, with what became of each.
#[derive(Default)]
pub(super) struct Group(pub(super) Vec<(Whose, Waiting, Result<(), StoreError>)>);

/// The loss of a whole transaction.
pub(super) enum Loss {
    /// A row of the last job took it back.
    Row,
    /// A row of one of the jobs that ran together took it back.
    Set,
    /// The database can't go on with it.
    Database(StoreError),
}

impl WriteJob {
    /// Runs this job and those behind it, and commits.
    pub(super) fn group(&mut self, whose: Whose, waiting: Waiting) {
        let began = Instant::now();
        let begun = self.ground.check().and_then(|()| Ok(self.connection.batch_execute("BEGIN IMMEDIATE")?));
        if let Err(error) = begun {
            return self.not_begun(whose, waiting, error);
        }
        if let Err(error) = self.stand() {
            let _ = waiting.done.send(Err(error));
            return;
        }
        if let Some(since) = self.held_since.take() {
            tracing::info!(seconds = since.elapsed().as_secs_f32(), "the other process has released the database");
        }
        let mut group = Group::default();
        let mut whole = self.turn(whose, waiting, &mut group);
        while whole.is_ok() && began.elapsed() < LONGEST_GROUP {
            let (Next::Do(whose, waiting), _) = self.next(true) else { break };
            whole = self.turn(whose, waiting, &mut group);
        }
        match whole {
            Ok(()) => self.commit(group, Ok(())),
            Err(Loss::Database(error)) => self.commit(group, Err(error)),
            Err(Loss::Row) => self.apart(group),
            Err(Loss::Set) => self.singly(group),
        }
    }

    /// Makes sure of the triggers. From here on nobody else changes the schema.
    fn stand(&mut self) -> Result<(), StoreError> {
        let stands = self.guard.stand(&mut self.connection, &self.schema);
        stands.inspect_err(|error| self.roll_back(error))
    }

    fn roll_back(&mut self, error: &StoreError) {
        let _ = self.connection.batch_execute("ROLLBACK");
        self.guard.forget();
        self.ground.refused(error);
    }

    fn commit(&mut self, group: Group, whole: Result<(), StoreError>) {
        let committed = whole.and_then(|()| Ok(self.connection.batch_execute("COMMIT")?));
        // What went into a file that nobody will open again is not there.
        let committed = committed.and_then(|()| self.ground.check());
        if let Err(error) = &committed {
            self.roll_back(error);
        }
        group.answer(committed, &self.ground);
    }

    /// Some job of a set has a row that took everybody's transaction back: all come again, one by one.
    fn singly(&mut self, group: Group) {
        self.alone = group.0.len();
        let mut state = self.queue.state();
        group.0.into_iter().rev().for_each(|(whose, waiting, _)| state.turns.put_back(whose, waiting));
    }

    /// The last job has a row that took everybody's transaction back: the others come again, and it is done alone, with care.
    fn apart(&mut self, mut group: Group) {
        let Some((whose, mut waiting, _)) = group.0.pop() else { return };
        {
            let mut state = self.queue.state();
            group.0.into_iter().rev().for_each(|(whose, waiting, _)| state.turns.put_back(whose, waiting));
        }
        let mut care = Some(Care::default());
        for _ in 0..TAKEN_BACK {
            let begun = self.ground.check().and_then(|()| Ok(self.connection.batch_execute("BEGIN IMMEDIATE")?));
            if let Err(error) = begun {
                return self.not_begun(whose, waiting, error);
            }
            self.guard.forget();
            if let Err(error) = self.stand() {
                let _ = waiting.done.send(Err(error));
                return;
            }
            let mut group = Group::default();
            match self.timed(whose, waiting, &mut group, &mut care) {
                Ok(()) => return self.commit(group, Ok(())),
                Err(Loss::Database(error)) => return self.commit(group, Err(error)),
                Err(Loss::Row | Loss::Set) => {}
            }
            let Some((_, again, _)) = group.0.pop() else { return };
            waiting = again;
        }
        let _ = waiting.done.send(Err(StoreError::TooMuch(
            "rules of the database take back everything for the sake of some of these rows; send fewer changes at once"
                .into(),
        )));
    }
}

impl Group {
    /// Tells the callers, once it is known whether their changes are there.
    fn answer(self, committed: Result<(), StoreError>, ground: &Ground) {
        for (_, Waiting { done, .. }, outcome) in self.0 {
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

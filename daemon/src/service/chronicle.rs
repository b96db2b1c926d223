//! The machine's clock held against what is known of the time otherwise: the newest time that the database holds, the time that
//! passes while the daemon runs, the database's own clock. A clock that is wrong must not forget what devices still need, nor
//! refuse for good what they bring; and it is said.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::sync::UserId;

/// A difference from what is known that is worth a word: more than clocks drift, or a start takes.
const NOTABLE: TimeDelta = TimeDelta::minutes(5);
/// The distance ahead of all known times up to which retention believes a clock at once.
const BELIEVED: TimeDelta = TimeDelta::days(1);
/// The time that a clock further ahead has to go on so before it is believed after all: somebody may mend it until
/// then.
const DOUBTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of people whose clocks have to agree against this one.
const WITNESSES: usize = 3;
/// The time between two records of the clock, from which the next start knows how far it had come.
const WRITTEN_DOWN: Duration = Duration::from_secs(60 * 60);
/// The time between two log lines about the same doubt.
const SAID_AGAIN: Duration = Duration::from_secs(60 * 60);

/// A look at the clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time of the machine's clock.
    pub now: DateTime<Utc>,
    /// The time since the machine was started, which no one sets.
    pub uptime: Duration,
}

/// The newest times in the database.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewestTimes {
    /// The newest time that it holds, written with whatever clock there was.
    pub newest: Option<DateTime<Utc>>,
    /// The newest time that was believed.
    pub believed: Option<DateTime<Utc>>,
}

/// Something that an operator should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The clock is so far behind the newest time that is known.
    Behind(TimeDelta),
    /// It is so far ahead of it; nothing is forgotten by it yet.
    Doubted(TimeDelta),
    /// It has been so far ahead for so long that it is believed now.
    Believed(TimeDelta),
    /// Several people's clocks are ahead of it by so much (or behind, when negative).
    Contradicted(TimeDelta),
    /// It was set forward (or back, when negative) while the daemon ran.
    Set(TimeDelta),
}

/// The daemon's knowledge of the time.
#[derive(Debug, Default)]
pub(super) struct Chronicle(Mutex<Option<ClockState>>, Mutex<ClientClocks>);

/// The times that people's devices have sent.
#[derive(Debug, Default)]
struct ClientClocks {
    /// The offset of each person's clock ahead of this one, one for each person, the latest at the end.
    clocks: VecDeque<(UserId, TimeDelta)>,
    /// The time of the last log line about contradicting clocks.
    said: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct ClockState {
    /// The newest time that was known when the daemon began.
    newest: DateTime<Utc>,
    /// A time that is believed, and when that was.
    believed: DateTime<Utc>,
    at: Duration,
    /// The clock less the time that is expected, when it was looked at last.
    off: TimeDelta,
    /// Since when it is doubted, and when that was said last.
    doubt: Option<(Duration, Duration)>,
    /// The time at which the believed time was last recorded.
    written: Option<Duration>,
}

impl Chronicle {
    /// Begins with what the database knows; nothing when it is new. `is_sure` when somebody else has set the clock since the
    /// machine was started.
    pub(super) fn begin(&self, known: NewestTimes, moment: Moment, is_sure: bool) -> Option<Finding> {
        let newest = known.newest.or(known.believed).unwrap_or(moment.now);
        // Times that were written meanwhile may be those of a clock that was wrong already.
        let believed = known.believed.unwrap_or(newest);
        let mut state = ClockState {
            newest,
            believed: moment.now,
            at: moment.uptime,
            off: TimeDelta::zero(),
            doubt: None,
            written: None,
        };
        let (behind, ahead) = (newest - moment.now, moment.now - believed);
        let finding = if ahead > BELIEVED && !is_sure {
            (state.believed, state.off) = (believed, ahead);
            state.doubt = Some((moment.uptime, moment.uptime));
            Some(Finding::Doubted(ahead))
        } else {
            (behind > NOTABLE).then_some(Finding::Behind(behind))
        };
        *self.lock() = Some(state);
        finding
    }

    /// True if the believed time is to be recorded again; it counts as recorded then.
    pub(super) fn is_due(&self, moment: Moment) -> bool {
        let mut state = self.lock();
        let Some(state) = state.as_mut() else { return false };
        let is_due = state.written.is_none_or(|written| moment.uptime.saturating_sub(written) >= WRITTEN_DOWN);
        if is_due {
            state.written = Some(moment.uptime);
        }
        is_due
    }

    /// Looks again.
    pub(super) fn look(&self, moment: Moment) -> Option<Finding> {
        let mut state = self.lock();
        let state = state.as_mut()?;
        let off = moment.now - state.expected(moment.uptime);
        let step = off - state.off;
        state.off = off;
        if let Some((since, said)) = state.doubt {
            if off <= BELIEVED {
                state.believe(moment);
                return (step.abs() > NOTABLE).then_some(Finding::Set(step));
            }
            if moment.uptime.saturating_sub(since) >= DOUBTED_FOR {
                state.believe(moment);
                return Some(Finding::Believed(off));
            }
            let is_due = step.abs() > NOTABLE || moment.uptime.saturating_sub(said) >= SAID_AGAIN;
            if is_due {
                state.doubt = Some((since, moment.uptime));
            }
            return is_due.then_some(Finding::Doubted(off));
        }
        if off > BELIEVED {
            state.doubt = Some((moment.uptime, moment.uptime));
            return Some(Finding::Doubted(off));
        }
        state.believe(moment);
        (step.abs() > NOTABLE).then_some(Finding::Set(step))
    }

    /// Hears what time it is for a person's device. One that is alone is wrong itself; that several agree is worth a word.
    pub(super) fn hear(&self, user: UserId, theirs: DateTime<Utc>, moment: Moment) -> Option<Finding> {
        let mut heard = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clocks.retain(|(known, _)| *known != user);
        heard.clocks.push_back((user, theirs - moment.now));
        if heard.clocks.len() < WITNESSES {
            return None;
        }
        if heard.clocks.len() > WITNESSES {
            heard.clocks.pop_front();
        }
        let least = heard.clocks.iter().map(|(_, off)| *off).min()?;
        let most = heard.clocks.iter().map(|(_, off)| *off).max()?;
        let is_due = heard.said.is_none_or(|said| moment.uptime.saturating_sub(said) >= SAID_AGAIN);
        if (least > NOTABLE || most < -NOTABLE) && is_due {
            heard.said = Some(moment.uptime);
            return Some(Finding::Contradicted(if least > NOTABLE { least } else { most }));
        }
        None
    }

    /// The time by which things are forgotten: never ahead of what is believed.
    pub(super) fn believed(&self, moment: Moment) -> DateTime<Utc> {
        let expected = (*self.lock()).map(|state| state.expected(moment.uptime) + BELIEVED);
        match expected {
            Some(most) if moment.now > most => most - BELIEVED,
            _ => moment.now,
        }
    }

    /// The time that a row's times are held against: a clock that is behind what is known makes nobody's entry one of the
    /// future.
    pub(super) fn newest(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        (*self.lock()).map_or(now, |state| now.max(state.newest))
    }

    fn lock(&self) -> MutexGuard<'_, Option<ClockState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClockState {
    fn expected(&self, uptime: Duration) -> DateTime<Utc> {
        self.believed + TimeDelta::from_std(uptime.saturating_sub(self.at)).unwrap_or(TimeDelta::MAX)
    }

    fn believe(&mut self, moment: Moment) {
        (self.believed, self.at, self.off, self.doubt) = (moment.now, moment.uptime, TimeDelta::zero(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn day(days: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + days)
    }

    fn known(newest: DateTime<Utc>) -> NewestTimes {
        NewestTimes { newest: Some(newest), believed: None }
    }

    fn moment(now: DateTime<Utc>, hours: u32) -> Moment {
        Moment { now, uptime: HOUR * hours }
    }

    #[test]
    fn a_clock_that_agrees_is_not_worth_a_word() {
        let chronicle = Chronicle::default();
        assert_eq!(chronicle.begin(known(day(0)), moment(day(0) + TimeDelta::hours(20), 1), false), None);
        for hour in 2..200 {
            let at = moment(day(0) + TimeDelta::hours(19 + i64::from(hour)), hour);
            assert_eq!((chronicle.look(at), chronicle.believed(at)), (None, at.now));
        }
        assert_eq!(
            Chronicle::default().begin(NewestTimes::default(), moment(day(0), 1), false),
            None,
            "a new database knows nothing"
        );
        assert_eq!(Chronicle::default().begin(known(day(-40)), moment(day(0), 1), true), None, "somebody has set it");
    }

    #[test]
    fn a_clock_that_is_far_ahead_forgets_nothing_until_it_has_been_so_for_long() {
        let chronicle = Chronicle::default();
        let ahead = TimeDelta::days(400);
        assert_eq!(chronicle.begin(known(day(0)), moment(day(400), 1), false), Some(Finding::Doubted(ahead)));
        assert_eq!(chronicle.believed(moment(day(400), 1)), day(0));
        let later = moment(day(400) + TimeDelta::hours(5), 6);
        assert_eq!(chronicle.look(later), Some(Finding::Doubted(ahead)), "it is said again");
        assert_eq!(chronicle.look(later), None);
        assert_eq!(chronicle.believed(later), day(0) + TimeDelta::hours(5), "time goes on from what is known");
        // Somebody mends it.
        let mended = moment(day(0) + TimeDelta::hours(6), 7);
        assert_eq!(chronicle.look(mended), Some(Finding::Set(-ahead)));
        assert_eq!(chronicle.believed(mended), mended.now);
        // And where it was right, because the machine was away for so long.
        let chronicle = Chronicle::default();
        chronicle.begin(known(day(0)), moment(day(400), 1), false);
        let next_day = moment(day(401), 25);
        assert_eq!(chronicle.look(next_day), Some(Finding::Believed(ahead)));
        assert_eq!(chronicle.believed(next_day), day(401));
    }

    #[test]
    fn what_was_written_with_a_wrong_clock_proves_nothing() {
        let chronicle = Chronicle::default();
        let known = NewestTimes { newest: Some(day(400)), believed: Some(day(0)) };
        assert_eq!(chronicle.begin(known, moment(day(400), 1), false), Some(Finding::Doubted(TimeDelta::days(400))));
        assert_eq!(chronicle.believed(moment(day(400), 1)), day(0));
        assert!(chronicle.is_due(moment(day(400), 1)) && !chronicle.is_due(moment(day(400), 1)));
        assert!(chronicle.is_due(moment(day(400), 2)));
    }

    #[test]
    fn one_device_is_wrong_itself_and_several_are_believed() {
        let chronicle = Chronicle::default();
        let person = |n: u128| UserId(uuid::Uuid::from_u128(n));
        let now = moment(day(0), 1);
        for _ in 0..5 {
            assert_eq!(chronicle.hear(person(1), day(3), now), None);
        }
        assert_eq!(chronicle.hear(person(2), day(0), now), None);
        assert_eq!(chronicle.hear(person(3), day(3), now), None, "one of three agrees with us");
        assert_eq!(chronicle.hear(person(4), day(4), now), None);
        assert_eq!(chronicle.hear(person(5), day(2), now), Some(Finding::Contradicted(TimeDelta::days(2))));
        assert_eq!(chronicle.hear(person(6), day(2), now), None, "it was said");
        assert_eq!(
            chronicle.hear(person(1), day(2), moment(day(0), 3)),
            Some(Finding::Contradicted(TimeDelta::days(2)))
        );
    }

    #[test]
    fn a_clock_that_leaps_while_the_daemon_runs_is_noticed() {
        let chronicle = Chronicle::default();
        chronicle.begin(known(day(0)), moment(day(0), 1), false);
        let leapt = moment(day(90), 2);
        assert_eq!(chronicle.believed(leapt), day(0) + TimeDelta::hours(1), "before anybody has looked");
        let off = day(90) - day(0) - TimeDelta::hours(1);
        assert_eq!(chronicle.look(leapt), Some(Finding::Doubted(off)));
        assert_eq!(chronicle.look(moment(day(0) + TimeDelta::hours(2), 3)), Some(Finding::Set(-off)));
        let hour = moment(day(0) + TimeDelta::hours(4), 4);
        assert_eq!(chronicle.look(hour), Some(Finding::Set(TimeDelta::hours(1))));
        assert_eq!(chronicle.look(moment(day(0) + TimeDelta::hours(5), 5)), None);
        assert_eq!(chronicle.look(moment(day(-3), 6)), Some(Finding::Set(day(-3) - day(0) - TimeDelta::hours(6))));
    }

    #[test]
    fn a_clock_that_is_behind_makes_nothing_one_of_the_future() {
        let chronicle = Chronicle::default();
        assert_eq!(chronicle.begin(known(day(5)), moment(day(0), 1), false), Some(Finding::Behind(TimeDelta::days(5))));
        assert_eq!(chronicle.newest(day(0)), day(5));
        assert_eq!(chronicle.newest(day(6)), day(6));
        assert_eq!(chronicle.believed(moment(day(0), 1)), day(0), "what it forgets is less");
    }
}

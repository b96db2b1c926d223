//! A fair queue: people take turns, however much each has queued, and a person who took much time waits until others
//! had theirs.
//!
//! Time is given, so that tests need not wait.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Access;
use crate::sync::UserId;

/// The share of the time that one person may take while others want some, as one part in so many.
const SHARE: u32 = 5;
/// The time that somebody may take at once before the share counts.
const CREDIT: Duration = Duration::from_millis(50);
/// The longest that anybody is kept waiting for the time that they took.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The time after a turn for which a person counts as wanting another.
const LATELY: Duration = Duration::from_secs(1);
/// The length from which a turn is better not grouped with jobs of others, who would wait for it.
const LONG: Duration = Duration::from_millis(10);
/// A person's turn that is longer counts for more than its time, by as many times as it is longer: everybody waits for it at once,
/// and no turn of theirs can go between.
const TOO_LONG: Duration = Duration::from_millis(25);
/// Accounts that are kept before those are forgotten that are even.
const ACCOUNTS: usize = 1024;

/// The person, or the daemon, on whose behalf something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// A person's.
    Person(UserId),
    /// The daemon's own.
    Daemon,
}

impl From<&Access> for Whose {
    fn from(access: &Access) -> Self {
        match access {
            Access::Person { user, .. } => Self::Person(*user),
            Access::Anybody | Access::Daemon => Self::Daemon,
        }
    }
}

/// The queue, by person.
#[derive(Debug)]
pub(super) struct Turns<T> {
    queued: HashMap<Whose, VecDeque<T>>,
    /// The people with queued jobs, the next one's first.
    order: VecDeque<Whose>,
    accounts: HashMap<Whose, Account>,
    /// The last two people who had a turn, and when.
    lately: [Option<(Whose, Instant)>; 2],
}

/// The time that somebody took.
#[derive(Debug, Clone, Copy)]
struct Account {
    /// The time at which waiting has made up for all of it.
    even_at: Instant,
    /// The length of the last turn.
    last: Duration,
}

/// The next thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// This, and whose it is.
    Do(Whose, T),
    /// A later turn: nothing before this time, unless more is queued.
    At(Instant),
    /// Nothing is queued.
    Nothing,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { queued: HashMap::new(), order: VecDeque::new(), accounts: HashMap::new(), lately: [None; 2] }
    }
}

impl<T> Turns<T> {
    /// Queues something behind what the same person has queued.
    pub(super) fn push(&mut self, whose: Whose, what: T) {
        let queue = self.queued.entry(whose).or_default();
        if queue.is_empty() {
            self.order.push_back(whose);
        }
        queue.push_back(what);
    }

    /// Puts back what could not be done now, before everything else.
    pub(super) fn put_back(&mut self, whose: Whose, what: T) {
        let queue = self.queued.entry(whose).or_default();
        if queue.is_empty() {
            self.order.push_front(whose);
        }
        queue.push_front(what);
    }

    /// The number of jobs that a person has queued.
    pub(super) fn queued(&self, whose: Whose) -> usize {
        self.queued.get(&whose).map_or(0, VecDeque::len)
    }

    /// Takes out what is no longer wanted.
    pub(super) fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for queue in self.queued.values_mut() {
            let (kept, gone): (VecDeque<T>, VecDeque<T>) =
                std::mem::take(queue).into_iter().partition(|what| is_wanted(what));
            *queue = kept;
            taken.extend(gone);
        }
        self.queued.retain(|_, queue| !queue.is_empty());
        self.order.retain(|whose| self.queued.contains_key(whose));
        taken
    }

    /// Takes out the next job. With `short`, none of a person whose turns take long.
    pub(super) fn next(&mut self, now: Instant, short: bool) -> Next<T> {
        let mut soonest: Option<Instant> = None;
        for place in 0..self.order.len() {
            let whose = self.order[place];
            let account = self.accounts.get(&whose);
            if short && account.is_some_and(|account| account.last > LONG) {
                continue;
            }
            let waits_until = account.map(|account| account.even_at).filter(|at| *at > now + CREDIT * SHARE);
            match waits_until.filter(|_| self.others_wait(whose, now)) {
                Some(at) => {
                    let at = at - CREDIT * SHARE;
                    soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
                }
                None => return self.take(place, now),
            }
        }
        soonest.map_or(Next::Nothing, Next::At)
    }

    /// Takes out the next job without making anybody wait.
    pub(super) fn any(&mut self, now: Instant) -> Next<T> {
        if self.order.is_empty() { Next::Nothing } else { self.take(0, now) }
    }

    /// Notes what a turn took.
    pub(super) fn took(&mut self, whose: Whose, time: Duration, now: Instant) {
        let before = self.accounts.get(&whose).map_or(now, |account| account.even_at.max(now));
        let even_at = (before + counted(whose, time) * SHARE).min(now + LONGEST_WAIT + CREDIT * SHARE);
        self.accounts.insert(whose, Account { even_at, last: time });
        if self.accounts.len() > ACCOUNTS {
            self.accounts.retain(|_, account| account.even_at > now);
        }
    }

    fn take(&mut self, place: usize, now: Instant) -> Next<T> {
        let Some(whose) = self.order.remove(place) else { return Next::Nothing };
        let Some(mut queue) = self.queued.remove(&whose) else { return Next::Nothing };
        let Some(what) = queue.pop_front() else { return Next::Nothing };
        if !queue.is_empty() {
            self.queued.insert(whose, queue);
            self.order.push_back(whose);
        }
        if let Whose::Person(_) = whose
            && self.lately[0].is_none_or(|(last, _)| last != whose)
        {
            self.lately[1] = self.lately[0];
        }
        if let Whose::Person(_) = whose {
            self.lately[0] = Some((whose, now));
        }
        Next::Do(whose, what)
    }

    /// True if anybody else has something queued, or had a turn lately.
    fn others_wait(&self, whose: Whose, now: Instant) -> bool {
        self.order.iter().any(|other| *other != whose)
            || self.lately.iter().flatten().any(|(other, at)| *other != whose && now.duration_since(*at) < LATELY)
    }
}

/// The time that a turn counts for.
fn counted(whose: Whose, time: Duration) -> Duration {
    let times = time.as_secs_f64() / TOO_LONG.as_secs_f64();
    if times > 1.0 && whose != Whose::Daemon { time.mul_f64(times) } else { time }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn person(number: u128) -> Whose {
        Whose::Person(UserId(Uuid::from_u128(number)))
    }

    fn taken<T>(next: Next<T>) -> Option<T> {
        match next {
            Next::Do(_, what) => Some(what),
            Next::At(_) | Next::Nothing => None,
        }
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn people_take_turns_however_much_each_has_queued() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        for what in 0..3 {
            turns.push(person(1), what);
        }
        turns.push(person(2), 10);
        turns.push(person(3), 20);
        let order: Vec<_> = std::iter::from_fn(|| taken(turns.next(now, false))).collect();
        assert_eq!(order, [0, 10, 20, 1, 2]);
    }

    #[test]
    fn who_takes_long_waits_while_others_want_some() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        turns.push(person(2), 0);
        assert_eq!(taken(turns.next(start, false)), Some(0));
        turns.took(person(2), ms(1), start);
        turns.push(person(1), 1);
        assert_eq!(taken(turns.next(start, false)), Some(1));
        turns.took(person(1), ms(20), start + ms(20));
        turns.took(person(1), ms(50), start + ms(70));
        turns.push(person(1), 2);
        // A fifth of the time, but for what may be taken at once; half of it was twice too long.
        let free = start + ms(20) + (ms(20 + 2 * 50) - CREDIT) * SHARE;
        assert_eq!(turns.next(start + ms(70), false), Next::At(free));
        turns.push(person(2), 3);
        assert_eq!(taken(turns.next(start + ms(80), false)), Some(3));
        assert_eq!(taken(turns.next(free, false)), Some(2));
    }

    #[test]
    fn who_is_alone_does_not_wait() {
        let (mut turns, mut now) = (Turns::default(), Instant::now());
        for what in 0..10 {
            turns.push(person(1), what);
            assert_eq!(taken(turns.next(now, false)), Some(what));
            now += ms(500);
            turns.took(person(1), ms(500), now);
        }
        turns.push(person(2), 10);
        assert_eq!(taken(turns.next(now, false)), Some(10));
        turns.push(person(1), 11);
        let Next::At(at) = turns.next(now, false) else { panic!("it waits, now that somebody else is there") };
        assert!(at <= now + LONGEST_WAIT);
        assert_eq!(taken(turns.next(now + LATELY, false)), Some(11), "alone again");
    }

    #[test]
    fn what_takes_long_is_not_done_together_with_others() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.took(person(1), ms(30), now);
        turns.push(person(1), 1);
        turns.push(person(2), 2);
        assert_eq!(taken(turns.next(now, true)), Some(2));
        assert_eq!(taken(turns.next(now, true)), None);
        assert_eq!(taken(turns.next(now, false)), Some(1));
    }

    #[test]
    fn what_is_put_back_comes_first_and_what_is_not_wanted_goes() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.push(person(1), 1);
        turns.push(person(2), 2);
        let Next::Do(whose, what) = turns.next(now, false) else { panic!("something is queued") };
        turns.put_back(whose, what);
        assert_eq!(turns.retain(|what| *what != 2), [2]);
        assert_eq!((turns.queued(person(1)), turns.queued(person(2))), (1, 0));
        assert_eq!(taken(turns.next(now, false)), Some(1));
        assert_eq!(turns.next(now, false), Next::Nothing);
    }

    proptest! {
        #[test]
        fn everything_comes_once_and_each_persons_in_order(
            queued in proptest::collection::vec((0u128..4, 0u64..200), 0..40)
        ) {
            let (mut turns, mut now) = (Turns::default(), Instant::now());
            for (place, (whose, _)) in queued.iter().enumerate() {
                turns.push(person(*whose), place);
            }
            let mut done = Vec::new();
            loop {
                match turns.next(now, false) {
                    Next::Do(whose, place) => {
                        let time = ms(queued[place].1);
                        now += time;
                        turns.took(whose, time, now);
                        done.push(place);
                    }
                    Next::At(at) => {
                        prop_assert!(at > now && at <= now + LONGEST_WAIT);
                        now = at;
                    }
                    Next::Nothing => break,
                }
            }
            for whose in 0..4 {
                prop_assert!(done.iter().filter(|place| queued[**place].0 == whose).is_sorted());
            }
            done.sort_unstable();
            prop_assert_eq!(done, (0..queued.len()).collect::<Vec<_>>());
        }
    }
}

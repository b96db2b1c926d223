//! People who reach what is between the daemons and may do nothing else there: a database role without a grant, a client of
//! the same Redis. They make up notices, change genuine ones, say again what was said before, flood, and have Redis withhold.
//! Nothing may come of it: the oracle knows what they make up, and how old a broadcast can be.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::oracle::Oracle;
use super::plan::Dice;
use crate::stranger::{Overheard, Stranger};

/// The mark that is somewhere in every invented message.
const MARK: &str = "made up by a stranger";
/// The longest delay of a genuine broadcast: a daemon stands still, then lines do, and a slow reader has much to read.
const OLDEST: Duration = Duration::from_secs(90);
/// Messages that are remembered: the oldest half is kept, the rest makes room for new ones.
const REMEMBERED: usize = 2000;
/// The most that is said at once.
const AT_ONCE: usize = 300;
/// The time that the carrier between the daemons may take to come back.
const BACK: Duration = Duration::from_millis(300);

/// A step of an attacker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mischief {
    /// Says what earlier releases would have said.
    Lie(Dice),
    /// Says something genuine with one byte of it changed.
    Forge(Dice),
    /// Says again what was said, from which of what is remembered on.
    Again(usize),
    /// The same messages, the last first.
    Backwards(usize),
    /// The same messages, on another channel.
    Elsewhere(usize, usize),
    /// Gives notice of nothing, many times.
    Flood(usize),
    /// Has Redis withhold everything for a while.
    Withhold(Duration),
    /// Has Redis cut all subscribers.
    Cut,
}

/// The mischief of one attacker, with the pause before each step.
#[derive(Debug, Clone)]
pub struct HostilePlan(Dice);

impl HostilePlan {
    /// The plan of one of them.
    #[must_use]
    pub fn of(seed: u64, name: &str) -> Self {
        Self(Dice::of(seed, name))
    }
}

impl Iterator for HostilePlan {
    type Item = (Duration, Mischief);

    fn next(&mut self) -> Option<Self::Item> {
        let dice = &mut self.0;
        let pause = dice.pause(20, 800);
        let mischief = match dice.below(16) {
            0..4 => Mischief::Lie(Dice::of(dice.roll(), "lie")),
            4..7 => Mischief::Forge(Dice::of(dice.roll(), "forgery")),
            7..10 => Mischief::Again(dice.below(REMEMBERED)),
            10 => Mischief::Backwards(dice.below(REMEMBERED)),
            11..13 => Mischief::Elsewhere(dice.below(REMEMBERED), dice.below(20)),
            13 => Mischief::Flood(dice.below(5000)),
            14 => Mischief::Withhold(dice.pause(50, 1500)),
            _ => Mischief::Cut,
        };
        Some((pause, mischief))
    }
}

/// The place from which an attacker works.
#[derive(Debug, Clone)]
pub enum Seat {
    /// At the database, by its URL.
    Database(String),
    /// At Redis, by its port.
    Redis(u16),
}

impl Seat {
    fn name(&self) -> &'static str {
        match self {
            Self::Database(_) => "role without a grant",
            Self::Redis(_) => "client of Redis",
        }
    }
}

/// An attacker.
#[derive(Debug)]
pub struct Hostile {
    seat: Seat,
    people: Vec<Uuid>,
    oracle: Arc<Oracle>,
    remembered: Vec<Overheard>,
}

impl Hostile {
    /// An attacker who knows the ids of these people.
    #[must_use]
    pub fn new(seat: Seat, people: &[Uuid], oracle: &Arc<Oracle>) -> Self {
        Self { seat, people: people.to_vec(), oracle: Arc::clone(oracle), remembered: Vec::new() }
    }

    /// Does as planned until told to stop.
    pub async fn run(mut self, seed: u64, mut stop: watch::Receiver<bool>) {
        let name = self.seat.name();
        let mut stranger = None;
        for (pause, mischief) in HostilePlan::of(seed, name) {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            let connected = match stranger.take() {
                Some(stranger) => Ok(stranger),
                None => self.sit_down().await,
            };
            let Ok(connected) = connected else {
                tokio::time::sleep(BACK).await;
                continue;
            };
            self.remember(connected.heard_since());
            self.oracle.timeline.note(name, format!("{mischief:?}"));
            if self.carry_out(&connected, mischief).await.is_ok() {
                self.oracle.tally("mischiefs");
                stranger = Some(connected);
            }
        }
    }

    async fn sit_down(&self) -> anyhow::Result<Stranger> {
        match &self.seat {
            Seat::Database(url) => Stranger::try_at_postgres(url).await,
            Seat::Redis(port) => Stranger::try_at_redis(*port, None),
        }
    }

    fn remember(&mut self, heard: Vec<Overheard>) {
        self.remembered.extend(heard);
        if self.remembered.len() > REMEMBERED {
            let (kept, new) = (REMEMBERED / 2, self.remembered.len() - REMEMBERED / 2);
            self.remembered.drain(kept..new);
        }
    }

    /// The remembered messages from this place on.
    fn from(&self, place: usize) -> Vec<Overheard> {
        let at = place % self.remembered.len().max(1);
        self.remembered.iter().skip(at).take(AT_ONCE).cloned().collect()
    }

    async fn carry_out(&self, stranger: &Stranger, mischief: Mischief) -> anyhow::Result<()> {
        let said = match mischief {
            Mischief::Lie(mut dice) => self.lies(&stranger.channels(), &mut dice),
            Mischief::Forge(mut dice) => {
                let mut all = self.from(dice.below(REMEMBERED));
                all.iter_mut().for_each(|heard| {
                    if !heard.message.is_empty() {
                        let at = dice.below(heard.message.len());
                        heard.message[at] = heard.message[at].wrapping_add(1).max(1);
                    }
                });
                all
            }
            Mischief::Again(place) => self.from(place),
            Mischief::Backwards(place) => self.from(place).into_iter().rev().collect(),
            Mischief::Elsewhere(place, channel) => {
                let channels = stranger.channels();
                // Before anybody was overheard there is none.
                let Some(channel) = channels.get(channel % channels.len().max(1)) else { return Ok(()) };
                self.from(place).into_iter().map(|heard| Overheard { channel: channel.clone(), ..heard }).collect()
            }
            Mischief::Flood(count) => {
                let notice = |n| Overheard { channel: "ryzed".into(), message: format!("{n}").into_bytes() };
                (0..count).map(notice).collect()
            }
            // A role can withhold nothing: the lines do.
            Mischief::Withhold(lasts) => {
                let _ = stranger.command(&["CLIENT", "PAUSE", &lasts.as_millis().to_string()]);
                Vec::new()
            }
            // Its own ear as well.
            Mischief::Cut => {
                stranger.command(&["CLIENT", "KILL", "TYPE", "pubsub"])?;
                bail!("to be connected again")
            }
        };
        stranger.try_say_all(&said).await
    }

    /// Messages as earlier releases would have sent them, on all channels, with the names of that time, too.
    fn lies(&self, channels: &[String], dice: &mut Dice) -> Vec<Overheard> {
        let user = *dice.pick(&self.people).unwrap_or(&Uuid::nil());
        let row = dice.id();
        // Nobody may ever see it.
        self.oracle.rolled_back(row);
        let device = format!("device-{:02}", dice.below(20));
        let scope = [format!("user:{user}"), "global".to_owned()][dice.below(2)].clone();
        let version = [1_000_000_000_000_000, dice.below(5000) as i64][dice.below(2)];
        let frame =
            |kind: &str| json!({"type": kind, "event": MARK, "device_id": MARK, "payload": MARK, "is_online": true});
        let record = json!({"version": version, "table": "cardio_sessions", "operation": "INSERT", "id": row,
            "row": {"id": row, "user_id": user, "notes": MARK, "_version": version}});
        let message = match dice.below(6) {
            0 => json!({"pass": {"to": {"user": user}, "frame": frame("broadcast")}}),
            1 => json!({"pass": {"to": {}, "frame": frame("presence")}}),
            2 => json!({"committed": {"scope": scope, "version": version, "records": [record]}}),
            3 => json!({"committed": {"scope": scope, "version": version}}),
            4 => json!({"close": {"user": user, "device": device}}),
            _ => json!("hello"),
        };
        let said = json!({"v": 1, "from": dice.id(), "m": message}).to_string().into_bytes();
        let former = [format!("ryzed:{{{user}}}"), "ryzed:{global}".to_owned()];
        let all = channels.iter().chain(&former).take(AT_ONCE);
        all.map(|channel| Overheard { channel: channel.clone(), message: said.clone() }).collect()
    }
}

/// A device's broadcast to the person's others, with its time and its person in it.
#[must_use]
pub fn broadcast(person: usize, oracle: &Oracle) -> Value {
    let at = oracle.timeline.elapsed().as_millis() as u64;
    json!({"type": "broadcast", "event": "note", "payload": {"person": person, "at": at}})
}

/// The fault of a message that a device of this person has got, if it has one.
#[must_use]
pub fn wrong_about(message: &Value, person: usize, oracle: &Oracle) -> Option<&'static str> {
    if message.to_string().contains(MARK) {
        return Some("it was made up by a stranger");
    }
    if message["type"] != "broadcast" {
        return None;
    }
    let payload = &message["payload"];
    let age = oracle.timeline.elapsed().as_millis() as u64 - payload["at"].as_u64().unwrap_or(0);
    if payload["person"].as_u64() != Some(person as u64) {
        Some("it was for somebody else")
    } else if u128::from(age) > OLDEST.as_millis() {
        Some("it was said long ago")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_in_which_everything_happens() {
        let plan = |seed| HostilePlan::of(seed, "x").take(500).collect::<Vec<_>>();
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
        let kinds: std::collections::HashSet<_> =
            plan(1).iter().map(|(_, mischief)| std::mem::discriminant(mischief)).collect();
        assert_eq!(kinds.len(), 8);
    }

    #[test]
    fn what_is_made_up_old_or_for_others_is_noticed() {
        let oracle = Oracle::of(2);
        let mine = broadcast(0, &oracle);
        assert_eq!(wrong_about(&mine, 0, &oracle), None);
        assert!(wrong_about(&mine, 1, &oracle).is_some());
        assert!(wrong_about(&json!({"type": "presence", "device_id": MARK}), 0, &oracle).is_some());
        assert_eq!(wrong_about(&json!({"type": "presence", "device_id": "d"}), 0, &oracle), None);
    }

    #[test]
    fn the_first_and_the_last_are_remembered() {
        let one = |n: usize| Overheard { channel: n.to_string(), message: vec![] };
        let mut hostile = Hostile::new(Seat::Redis(1), &[], &Arc::default());
        (0..5000).for_each(|n| hostile.remember(vec![one(n)]));
        assert_eq!(hostile.remembered.len(), REMEMBERED);
        assert_eq!((&hostile.remembered[0], hostile.remembered.last()), (&one(0), Some(&one(4999))));
    }
}

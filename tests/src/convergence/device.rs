//! A device that follows its plan: edits, syncs, goes offline, comes back, is restored from a backup. An honest client,
//! written from the protocol alone.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::edits::{self, Editor, NARROW};
use super::hostile;
use super::line::{Heard, Line};
use super::oracle::{Clock, Oracle};
use super::plan::{DevicePlan, Dice, Kind, Step};
use super::replica::Replica;
use crate::{Api, Person, Token};

/// The time between two pings of a device.
const PING: Duration = Duration::from_secs(2);
/// The time until it connects again.
const AGAIN: Duration = Duration::from_millis(400);
/// Longer than any run.
const TOKEN_SECONDS: i64 = 14 * 24 * 3600;
/// More edits than this do not pile up.
const MOST_QUEUED: usize = 400;

/// The identity of a device.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its id, unique in the whole run so that it names its lines in the report.
    pub name: String,
    /// The number of its person.
    pub person: usize,
    /// The person's id.
    pub user: Uuid,
    /// The kind of client that it is.
    pub kind: Kind,
    /// The error of its clock.
    pub skew: TimeDelta,
}

impl Identity {
    /// The tables that it asks for; none: all.
    #[must_use]
    pub fn tables(&self) -> &'static [&'static str] {
        if self.kind == Kind::Narrow { &NARROW } else { &[] }
    }

    /// The daemons' view of its clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        if self.skew > TimeDelta::hours(23) { Clock::FarAhead } else { Clock::Near }
    }
}

/// A device.
#[derive(Debug)]
pub struct Device {
    /// Its identity.
    pub id: Identity,
    /// Its stored state.
    pub kept: Replica,
    pub(super) oracle: Arc<Oracle>,
    pub(super) daemons: Vec<String>,
    pub(super) apis: Vec<Api>,
    pub(super) token: String,
    /// The daemon that it talks to.
    pub(super) at: usize,
    pub(super) line: Option<Line>,
    pub(super) offline_until: Option<Instant>,
    own_row: Uuid,
    backup: Option<Replica>,
    connect_at: Instant,
    ping_at: Instant,
    pub(super) requests: u64,
}

impl Device {
    /// A device that has never called.
    #[must_use]
    pub fn new(id: Identity, person: &Person, daemons: &[String], oracle: &Arc<Oracle>, seed: u64) -> Self {
        let token = Token::of(person).expires_in(TOKEN_SECONDS).sign();
        let mut dice = Dice::of(seed, &format!("{} itself", id.name));
        Self {
            apis: daemons.iter().map(|address| Api::new(address, Some(token.clone()))).collect(),
            daemons: daemons.to_vec(),
            oracle: Arc::clone(oracle),
            kept: Replica::default(),
            at: dice.below(daemons.len()),
            own_row: dice.id(),
            line: None,
            offline_until: None,
            backup: None,
            connect_at: Instant::now(),
            ping_at: Instant::now(),
            requests: 0,
            token,
            id,
        }
    }

    /// Follows its plan until it is told to stop.
    pub async fn run(mut self, plan: DevicePlan, mut stop: watch::Receiver<bool>) -> Self {
        for (pause, step) in plan {
            let due = Instant::now() + pause;
            while Instant::now() < due {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return self,
                    () = self.live(due) => {}
                }
            }
            self.step(step).await;
            if *stop.borrow() {
                return self;
            }
        }
        self
    }

    /// Listens, connects and says that it is there, at most until `due`. May be dropped while it waits, except that a
    /// socket in the making is lost.
    pub(super) async fn live(&mut self, due: Instant) {
        if self.offline_until.is_some_and(|until| until <= Instant::now()) {
            self.offline_until = None;
            self.note("is online again");
        }
        let wants_line = matches!(self.id.kind, Kind::Live | Kind::Narrow) && self.offline_until.is_none();
        if self.line.is_none() && wants_line && self.connect_at <= Instant::now() {
            self.connect().await;
        }
        if self.line.is_some() && self.ping_at <= Instant::now() {
            self.ping_at = Instant::now() + PING;
            self.say(&json!({"type": "ping", "pending_uploads": self.kept.queue.len()})).await;
            self.say(&hostile::broadcast(self.id.person, &self.oracle)).await;
        }
        let Some(line) = &mut self.line else {
            return sleep_until(due.min(Instant::now() + AGAIN)).await;
        };
        let wake = due.min(self.ping_at);
        tokio::select! {
            heard = line.hear() => self.heard(heard),
            () = sleep_until(wake) => {}
        }
    }

    async fn step(&mut self, step: Step) {
        let online = self.offline_until.is_none();
        match step {
            Step::Edit(dice) if self.kept.queue.len() < MOST_QUEUED => self.edit(dice),
            Step::Sync(how) if online => {
                self.sync(&how, false).await;
            }
            Step::SocketSync(how) if self.line.is_some() => {
                self.sync(&how, true).await;
            }
            Step::SocketPush if self.line.is_some() => self.push_one().await,
            Step::HangUp(after) if online => self.hang_up(after).await,
            Step::Offline(pause) => {
                self.note(format!("goes offline for {pause:?}"));
                self.offline_until = Some(Instant::now() + pause);
                self.hang_up_line();
            }
            Step::Vanish => self.hang_up_line(),
            Step::Twin if self.line.is_some() => self.connect().await,
            Step::Backup => {
                self.note(format!("takes a backup at {} with {} queued", self.kept.cursor, self.kept.queue.len()));
                self.backup = Some(self.kept.clone());
            }
            Step::Restore => self.restore(),
            Step::Resolve(which, how) if online => self.resolve(which, how).await,
            _ => {}
        }
    }

    fn edit(&mut self, dice: Dice) {
        let editor = Editor {
            person: self.id.person,
            device: &self.id.name,
            skew: self.id.skew,
            is_narrow: self.id.kind == Kind::Narrow,
            own_row: self.own_row,
        };
        edits::make(&editor, &mut self.kept, &self.oracle, dice);
    }

    /// Everything is as it was when the backup was made, and the socket with it.
    fn restore(&mut self) {
        if let Some(backup) = &self.backup {
            self.kept = backup.clone();
            self.hang_up_line();
            self.oracle.tally("restored backups");
            self.note(format!("is restored to {} with {} queued", self.kept.cursor, self.kept.queue.len()));
        }
    }

    /// Opens a socket, instead of the one that it has.
    async fn connect(&mut self) {
        let address = &self.daemons[self.at];
        match Line::open(address, &self.id.name, &self.token, &self.kept.cursor, self.id.tables()).await {
            Ok(line) => {
                self.note(format!("connects to daemon {} with {}", self.at, self.kept.cursor));
                self.kept.line_lost();
                self.line = Some(line);
                self.ping_at = Instant::now();
                // Without a cursor the stream begins at the newest version.
                self.kept.must_pull |= self.kept.cursor.is_null();
            }
            Err(error) => self.lose_line(&format!("can't connect: {error:#}"), AGAIN),
        }
    }

    fn hang_up_line(&mut self) {
        self.line = None;
        self.kept.line_lost();
    }

    pub(super) fn lose_line(&mut self, why: &str, pause: Duration) {
        self.note(format!("daemon {}: {why}", self.at));
        self.hang_up_line();
        self.connect_at = Instant::now() + pause;
        self.at = (self.at + 1) % self.daemons.len();
    }

    pub(super) async fn say(&mut self, message: &Value) {
        let Some(line) = &mut self.line else { return };
        if let Err(error) = line.send(message).await {
            self.lose_line(&format!("{error:#}"), AGAIN);
        }
    }

    /// Sends the oldest edit that was never sent alone, unless it builds on one that is in the air.
    async fn push_one(&mut self) {
        let Some(first) = self.kept.single() else { return };
        self.oracle.sent(std::slice::from_ref(&first));
        let mut message = first;
        message["type"] = "data_updated".into();
        self.say(&message).await;
    }

    /// Takes what a socket brought.
    pub(super) fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Message(message) => self.message(&message),
            Heard::Broken(error) => {
                self.oracle.tally("broken sockets");
                self.lose_line(&error, AGAIN);
            }
            Heard::Closed(code, reason) => {
                let hint: Value = serde_json::from_str(&reason).unwrap_or_default();
                let pause = hint["reconnect_in_ms"].as_u64().map_or(AGAIN, Duration::from_millis);
                if ![1000, 1001, 1005, 1012, 1013, 4408, 4409].contains(&code) {
                    self.oracle.violated(&self.id.name, format!("its socket closed with {code} {reason}"));
                }
                self.oracle.tally(&format!("closes with {code}"));
                self.lose_line(&format!("closed with {code} {reason}"), pause);
            }
        }
    }

    fn message(&mut self, message: &Value) {
        if let Some(wrong) = hostile::wrong_about(message, self.id.person, &self.oracle) {
            self.oracle.violated(&self.id.name, format!("{wrong}: {message}"));
        }
        match message["type"].as_str().unwrap_or_default() {
            "data_updated" | "database_change" => self.change(message),
            "change_result" => {
                self.note(format!("{message}"));
                self.oracle.told(&self.id.name, &result_of(message), self.id.clock());
                self.kept.confirm(&message["mutation_id"], false);
            }
            "sync_required" => {
                self.note(format!("must pull: {message}"));
                self.oracle.tally(message["reason"].as_str().unwrap_or("sync_required"));
                self.kept.must_pull = true;
            }
            "connection_established"
                if message["user_id"] != json!(self.id.user) || message["device_id"] != self.id.name =>
            {
                self.oracle.violated(&self.id.name, format!("taken for somebody else: {message}"));
            }
            "error" if message["code"] != "unavailable" && message["code"] != "table_stopped" => {
                self.oracle.violated(&self.id.name, format!("an error: {message}"));
            }
            "broadcast" => self.oracle.tally("broadcasts"),
            "error" | "sync_response" => self.note(format!("{}: {}", message["type"], message["detail"])),
            _ => {}
        }
    }

    /// Keeps its socket, or gets another, for a while.
    pub async fn stay(&mut self, lasts: Duration) {
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            self.live(until).await;
        }
    }

    /// True if it has a socket.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    fn change(&mut self, message: &Value) {
        let ordered = self.line.as_mut().map_or(Ok(()), |line| line.in_order(message));
        for row in [&message["data"], &message["new_record"], &message["old_record"]] {
            if row.is_object() {
                let table = message["table"].as_str().unwrap_or_default();
                self.oracle.shown(&self.id.name, self.id.person, self.id.user, table, row);
            }
        }
        let stored = ordered.and_then(|()| self.kept.live(message, self.id.user));
        match stored {
            Ok(_) => self.note(format!(
                "hears {} {} {} {}",
                message["version"],
                message["operation"],
                message["table"],
                if message["data"].is_object() { &message["data"]["id"] } else { &message["new_record"]["id"] }
            )),
            Err(error) => self.oracle.violated(&self.id.name, format!("{error:#}")),
        }
    }

    /// Notes something in the report.
    pub(super) fn note(&self, what: impl Into<String>) {
        self.oracle.timeline.note(&self.id.name, what);
    }

    /// The time that it sends, moved with the tombstones that became old since it was told.
    pub(super) fn since(&self, age: usize) -> Option<String> {
        const DAYS: i64 = super::outside::AGE_DAYS;
        let (time, told_at) = self.kept.since.as_ref()?;
        let time: DateTime<Utc> = time.parse().ok()?;
        let moved = time - TimeDelta::days(DAYS) * i32::try_from(age - told_at).unwrap_or_default();
        Some(moved.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

/// The element of `results` in a `change_result`.
fn result_of(message: &Value) -> Value {
    let mut result = message.clone();
    if let Some(fields) = result.as_object_mut() {
        fields.retain(|name, _| !["type", "timestamp", "conflict"].contains(&name.as_str()));
    }
    result
}

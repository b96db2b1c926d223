//! The plan of a run, drawn from the seed: the steps of the devices and of the writers with SQL, and the faults. Pure;
//! the same seed gives the same plan. What a plan meets when it is carried out depends on the machine.

use std::time::Duration;

/// Numbers that look random and are the same in every run and every release of every library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dice(u64);

impl Dice {
    /// The dice of one actor: each has a stream of its own, so that one more roll here changes nothing there.
    #[must_use]
    pub fn of(seed: u64, actor: &str) -> Self {
        let name = actor
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut dice = Self(seed ^ name);
        dice.roll();
        dice
    }

    /// Any number (SplitMix64).
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`, which must not be 0.
    pub fn below(&mut self, sides: usize) -> usize {
        (self.roll() % sides as u64) as usize
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.roll() % 100 < chance
    }

    /// Milliseconds from `low` to `high`.
    pub fn pause(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// An id for a row or a change.
    pub fn id(&mut self) -> uuid::Uuid {
        let (high, low) = (u128::from(self.roll()), u128::from(self.roll()));
        uuid::Builder::from_random_bytes(((high << 64) | low).to_be_bytes()).into_uuid()
    }

    /// One of several things; none when there are none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }
}

/// The kind of client that a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keeps a cursor and, when online, a socket.
    Live,
    /// Keeps a cursor, and never opens a socket.
    Poller,
    /// Knows only the time of its last sync.
    Clock,
    /// Keeps a cursor and a socket, of some tables only.
    Narrow,
}

impl Kind {
    /// Most are live.
    #[must_use]
    pub fn of(number: usize) -> Self {
        match number % 6 {
            3 => Self::Poller,
            4 => Self::Clock,
            5 => Self::Narrow,
            _ => Self::Live,
        }
    }
}

/// A step of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Edits its copy; what and how is drawn from these dice.
    Edit(Dice),
    /// Uploads and downloads with `POST /sync`.
    Sync(SyncStep),
    /// The same over the socket.
    SocketSync(SyncStep),
    /// Sends the oldest unsent edit alone over the socket.
    SocketPush,
    /// Sends what is queued with `POST /sync` and hangs up before the answer.
    HangUp(Duration),
    /// Loses its line for so long.
    Offline(Duration),
    /// Drops its socket without a word, and connects again.
    Vanish,
    /// Opens a second socket under its own id.
    Twin,
    /// Takes a backup of all that it keeps.
    Backup,
    /// Goes back to its backup.
    Restore,
    /// Settles one open conflict: an index, and how.
    Resolve(usize, &'static str),
}

/// The parameters of a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncStep {
    /// The most rows of a page.
    pub limit: usize,
    /// The most edits of the request.
    pub batch: usize,
    /// The strategy of the request.
    pub strategy: Option<&'static str>,
    /// All or nothing.
    pub atomic: bool,
    /// True if a repeated request may carry new edits behind the old ones.
    pub append: bool,
    /// Everything from zero.
    pub full: bool,
    /// Downloads with `GET /changes` where there is nothing to upload.
    pub get: bool,
}

/// The strategies, and none at all.
pub const STRATEGIES: [Option<&str>; 5] =
    [None, Some("server_wins"), Some("client_wins"), Some("merge"), Some("manual")];

/// The steps of one device, with the pause before each.
#[derive(Debug, Clone)]
pub struct DevicePlan(Dice);

impl DevicePlan {
    /// The plan of the device with this name.
    #[must_use]
    pub fn of(seed: u64, device: &str) -> Self {
        Self(Dice::of(seed, device))
    }

    fn sync(&mut self) -> SyncStep {
        let dice = &mut self.0;
        SyncStep {
            limit: [3, 7, 20, 100, 1000][dice.below(5)],
            batch: [1, 3, 10, 100][dice.below(4)],
            strategy: STRATEGIES[dice.below(STRATEGIES.len())],
            atomic: dice.percent(10),
            append: dice.percent(50),
            full: dice.percent(1),
            get: dice.percent(30),
        }
    }
}

impl Iterator for DevicePlan {
    type Item = (Duration, Step);

    fn next(&mut self) -> Option<Self::Item> {
        let pause = if self.0.percent(70) { self.0.pause(5, 120) } else { self.0.pause(100, 700) };
        let step = match self.0.below(1000) {
            0..600 => Step::Edit(Dice(self.0.roll())),
            600..780 => Step::Sync(self.sync()),
            780..860 => Step::SocketSync(self.sync()),
            860..910 => Step::SocketPush,
            910..935 => Step::HangUp(self.0.pause(0, 30)),
            935..945 => Step::Offline(self.0.pause(500, 12_000)),
            945..955 => Step::Vanish,
            955..959 => Step::Twin,
            959..968 => Step::Backup,
            968..974 => Step::Restore,
            _ => {
                let how = ["server", "client"][self.0.below(2)];
                Step::Resolve(self.0.below(1000), how)
            }
        };
        Some((pause, step))
    }
}

/// A fault of the processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A daemon dies as in a power cut, and is started again after a while.
    KillDaemon(usize, Duration),
    /// All daemons die at once.
    KillAllDaemons(Duration),
    /// A daemon stands still.
    PauseDaemon(usize, Duration),
    /// A daemon is told to stop, and started again when it has.
    RestartDaemon(usize),
    /// The database server crashes.
    CrashPostgres(Duration),
    /// The database server is stopped and started.
    RestartPostgres(Duration),
    /// Redis dies and comes back empty.
    KillRedis(Duration),
    /// All that a person's scope remembers of deletions becomes old, and a daemon that starts forgets it.
    Forget(usize, usize),
    /// A table is altered by DDL, written into all the same, and put back after a while.
    Alter(Alteration),
    /// The clock is so many days behind all that the database knows, from the next start of the daemons on.
    ClockBehind(u64),
    /// The file of the database is not there when a daemon starts, as where its disk is not mounted yet. On SQLite.
    LoseFile(usize),
    /// The data folder goes while a daemon serves, as where its disk is unmounted, and comes back after a while. On SQLite.
    Unmount(usize, Duration),
}

/// A change of a table by DDL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alteration {
    /// The kind of change.
    pub kind: Altered,
    /// To which of the tables that are altered.
    pub table: usize,
    /// The person whose rows are written meanwhile, and the one who gets one of them.
    pub people: (usize, usize),
    /// The time until it is put back.
    pub lasts: Duration,
    /// The daemon that is started again to mend it, where that is needed.
    pub daemon: usize,
}

/// A kind of alteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Altered {
    /// The owner's column has another name.
    OwnerRenamed,
    /// And another column has its name.
    OwnerReplaced,
    /// The table has another name.
    Moved,
    /// Triggers are switched off, and on again.
    TriggersOff,
    /// A trigger is dropped.
    TriggerDropped,
    /// A policy is dropped.
    PolicyDropped,
    /// Row level security is off, and on again.
    Unguarded,
}

/// All of them.
pub const ALTERED: [Altered; 7] = [
    Altered::OwnerRenamed,
    Altered::OwnerReplaced,
    Altered::Moved,
    Altered::TriggersOff,
    Altered::TriggerDropped,
    Altered::PolicyDropped,
    Altered::Unguarded,
];

/// A fault of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weather {
    /// All connections end.
    Cut,
    /// Only the way back ends.
    HalfClose,
    /// Everything takes longer, in each direction.
    Delay(Duration),
    /// The line carries nothing.
    Stall,
    /// The line accepts nothing.
    Refuse,
    /// Requests travel, answers get lost.
    Deaf,
}

/// The faults of the processes, with the quiet time before each.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    dice: Dice,
    daemons: usize,
    people: usize,
    redis: bool,
}

impl FaultPlan {
    /// The faults for so many daemons and people.
    #[must_use]
    pub fn of(seed: u64, daemons: usize, people: usize, redis: bool) -> Self {
        Self { dice: Dice::of(seed, "faults"), daemons, people, redis }
    }
}

impl Iterator for FaultPlan {
    type Item = (Duration, Fault);

    fn next(&mut self) -> Option<Self::Item> {
        let calm = self.dice.pause(500, 6000);
        let daemon = self.dice.below(self.daemons);
        let down = self.dice.pause(0, 2500);
        let fault = match self.dice.below(if self.redis { 33 } else { 29 }) {
            0..6 => Fault::KillDaemon(daemon, down),
            6 => Fault::KillAllDaemons(down),
            7..10 => Fault::PauseDaemon(daemon, self.dice.pause(200, 14_000)),
            10..13 => Fault::RestartDaemon(daemon),
            13..16 => Fault::CrashPostgres(down),
            16 => Fault::RestartPostgres(down),
            17..20 => Fault::Forget(self.dice.below(self.people), daemon),
            20..24 => Fault::Alter(Alteration {
                kind: ALTERED[self.dice.below(ALTERED.len())],
                table: self.dice.below(1000),
                people: (self.dice.below(self.people), self.dice.below(self.people)),
                lasts: self.dice.pause(0, 5000),
                daemon,
            }),
            24 => Fault::ClockBehind(self.dice.between(1, 9)),
            25..27 => Fault::LoseFile(daemon),
            27..29 => Fault::Unmount(daemon, down),
            _ => Fault::KillRedis(down),
        };
        Some((calm, fault))
    }
}

/// The faults of the lines: the line (a number), the fault, how long it lasts, and the quiet time before.
#[derive(Debug, Clone)]
pub struct WeatherPlan(Dice);

impl WeatherPlan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(Dice::of(seed, "weather"))
    }
}

impl Iterator for WeatherPlan {
    type Item = (Duration, usize, Weather, Duration);

    fn next(&mut self) -> Option<Self::Item> {
        let dice = &mut self.0;
        let calm = dice.pause(300, 4000);
        let weather = match dice.below(12) {
            0..3 => Weather::Cut,
            3 => Weather::HalfClose,
            4..6 => Weather::Delay(dice.pause(5, 400)),
            6..8 => Weather::Stall,
            8..10 => Weather::Refuse,
            _ => Weather::Deaf,
        };
        Some((calm, dice.below(1000), weather, dice.pause(200, 6000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(seed: u64) -> Vec<(Duration, Step)> {
        DevicePlan::of(seed, "device-1").take(3000).collect()
    }

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
        assert_ne!(steps(7), DevicePlan::of(7, "device-2").take(3000).collect::<Vec<_>>());
        let faults = |seed| FaultPlan::of(seed, 2, 3, true).take(500).collect::<Vec<_>>();
        assert_eq!(faults(7), faults(7));
        let weather = |seed| WeatherPlan::of(seed).take(500).collect::<Vec<_>>();
        assert_eq!(weather(7), weather(7));
    }

    #[test]
    fn everything_that_may_happen_happens() {
        let kinds = |of: &dyn Fn() -> Vec<std::mem::Discriminant<Step>>| {
            of().into_iter().collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!(kinds(&|| steps(1).iter().map(|(_, step)| std::mem::discriminant(step)).collect()), 11);
        let faults: std::collections::HashSet<_> =
            FaultPlan::of(1, 2, 3, true).take(500).map(|(_, fault)| std::mem::discriminant(&fault)).collect();
        assert_eq!(faults.len(), 12);
        let weather: std::collections::HashSet<_> =
            WeatherPlan::of(1).take(500).map(|(_, _, weather, _)| std::mem::discriminant(&weather)).collect();
        assert_eq!(weather.len(), 6);
    }
}

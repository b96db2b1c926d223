//! The daemon's knowledge of the time: read from the database, and logged for the operator.

use chrono::{DateTime, TimeDelta, Utc};

use super::chronicle::{Finding, Moment, NewestTimes};
use super::{Service, ServiceError};
use crate::store::Access;
use crate::sync::UserId;

/// The difference between the clocks of daemon and database that is logged.
const APART: TimeDelta = TimeDelta::seconds(60);

impl Service {
    /// Holds the clock against what the database knows, and goes on doing so at each [`Service::keep_time`]. `is_set` is
    /// what the system says of a time server that sets the clock.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn begin_time(&self, is_set: Option<bool>) -> Result<(), ServiceError> {
        let times =
            self.store.read(Access::Daemon, |tx| Box::pin(async move { Ok::<_, ServiceError>(tx.times().await?) }));
        let times = times.await?;
        let moment = self.moment();
        let known = NewestTimes {
            newest: times.newest.as_deref().and_then(read),
            believed: times.believed.as_deref().and_then(read),
        };
        if let Some(finding) = self.chronicle.begin(known, moment, is_set == Some(true)) {
            say(finding, moment.now);
        }
        if is_set == Some(false) {
            let now = ryzed_adapters::format_time(moment.now);
            tracing::warn!(
                now,
                "no time server has set this machine's clock, the system says: `timedatectl set-ntp true`, or see to chronyd or ntpd"
            );
        }
        let apart = read(&times.here).map_or(TimeDelta::zero(), |theirs| theirs - moment.now);
        if apart.abs() > APART {
            let (seconds, direction) =
                (apart.abs().num_seconds(), if apart < TimeDelta::zero() { "behind" } else { "ahead of" });
            tracing::warn!(seconds, "the database's clock is {direction} this machine's; set both by NTP");
        }
        self.keep_time().await
    }

    /// Looks at the clock again, and writes the time down now and then.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn keep_time(&self) -> Result<(), ServiceError> {
        let moment = self.moment();
        if let Some(finding) = self.chronicle.look(moment) {
            say(finding, moment.now);
        }
        if !self.chronicle.is_due(moment) {
            return Ok(());
        }
        let believed = ryzed_adapters::format_time(self.chronicle.believed(moment));
        self.store
            .write(Access::Daemon, move |tx| {
                let believed = believed.clone();
                Box::pin(async move { Ok::<_, ServiceError>(tx.keep_time(&believed).await?) })
            })
            .await
    }

    /// Hears what time it is for a person's device.
    pub fn hear_clock(&self, user: UserId, theirs: DateTime<Utc>) {
        let moment = self.moment();
        if let Some(finding) = self.chronicle.hear(user, theirs, moment) {
            say(finding, moment.now);
        }
    }

    /// The time by which things are forgotten.
    pub(super) fn believed_time(&self) -> DateTime<Utc> {
        self.chronicle.believed(self.moment())
    }

    /// The newest time that is known, by which a time counts as one of the future.
    pub(super) fn newest_time(&self) -> DateTime<Utc> {
        self.chronicle.newest(self.clock.now())
    }

    fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), uptime: self.clock.uptime() }
    }
}

fn read(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

fn say(finding: Finding, now: DateTime<Utc>) {
    let now = ryzed_adapters::format_time(now);
    let hours = |by: TimeDelta| by.num_minutes() as f64 / 60.0;
    match finding {
        Finding::Behind(by) => tracing::warn!(
            now,
            hours = hours(by),
            "the clock is behind the newest time that the database knows; until it is set, what devices bring is held against that time"
        ),
        Finding::Doubted(by) => tracing::warn!(
            now,
            hours = hours(by),
            "the clock is far ahead of all that is known of the time: is it set right? Nothing is forgotten by it for a day"
        ),
        Finding::Believed(by) => tracing::warn!(
            now,
            hours = hours(by),
            "the clock has been far ahead for a day and is believed now: what is old by it is forgotten"
        ),
        Finding::Contradicted(by) => tracing::warn!(
            now,
            hours = hours(by),
            "several people's devices say that this machine's clock is wrong: by so much theirs are ahead of it"
        ),
        Finding::Set(by) => tracing::warn!(now, hours = hours(by), "the clock was set while the daemon ran"),
    }
}

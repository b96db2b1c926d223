//! Several daemons on one PostgreSQL database, with or without a Redis between them.

use crate::daemon::Builder;
use crate::{Account, Daemon, Person, postgres, redis::Redis};

/// Two daemons on one database.
#[derive(Debug)]
pub struct Instances {
    /// The first.
    pub a: Daemon,
    /// The second.
    pub b: Daemon,
    /// The Redis server between them, if there is one.
    pub redis: Option<Redis>,
}

impl Instances {
    /// Two with a Redis of their own.
    #[must_use]
    pub fn with_redis(settings: impl Fn(Builder) -> Builder) -> Self {
        let redis = Redis::start();
        let both = Self::over(&redis.url(), settings);
        Self { redis: Some(redis), ..both }
    }

    /// Two with something at this URL that somebody else looks after.
    #[must_use]
    pub fn over(url: &str, settings: impl Fn(Builder) -> Builder) -> Self {
        Self::over_each([url, url], settings)
    }

    /// Two that reach one Redis by ways of their own.
    #[must_use]
    pub fn over_each(urls: [&str; 2], settings: impl Fn(Builder) -> Builder) -> Self {
        let builder = settings(Self::builder());
        let [a, b] = urls.map(|url| builder.clone().env("RYZED_REDIS__URL", url).start());
        Self { a, b, redis: None }
    }

    /// Two that have only their database in common.
    #[must_use]
    pub fn without_redis(settings: impl Fn(Builder) -> Builder) -> Self {
        let builder = settings(Self::builder());
        Self { a: builder.clone().start(), b: builder.start(), redis: None }
    }

    /// Daemons on a new database. Without the sweep, only what one tells the other brings changes.
    fn builder() -> Builder {
        let database = postgres::new_database();
        Daemon::builder().alone().env("RYZED_DATABASE__URL", database).env("RYZED_SYNC__SWEEP_SECONDS", 3600)
    }

    /// The Redis between them.
    #[must_use]
    pub fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("these have no Redis")
    }

    /// A new person's account at each.
    #[must_use]
    pub fn account(&self) -> (Account, Account) {
        let person = Person::new();
        (self.a.account_of(person.clone()), self.b.account_of(person))
    }
}

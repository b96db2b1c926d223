//! The choice of the way for messages, and its report to the operator. No I/O.

use std::collections::HashMap;

use uuid::Uuid;

/// The state of the ways to other instances.
#[derive(Debug, Default)]
pub(crate) struct Route {
    /// True if the configuration names a Redis server.
    pub redis_configured: bool,
    /// True while Redis works.
    redis_up: bool,
    /// The others, and whether each hears Redis.
    others: HashMap<Uuid, bool>,
    /// True once a carrier has reported on Redis since the carriers began.
    told: bool,
}

/// The ways that a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ways {
    /// Redis.
    pub redis: bool,
    /// Notices of PostgreSQL.
    pub notices: bool,
}

impl Ways {
    /// True if there is none.
    pub(crate) fn are_none(self) -> bool {
        !self.redis && !self.notices
    }
}

/// The change of the route that the operator should see, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing.
    Same,
    /// Redis began to work.
    Up,
    /// Redis does not work any more, or not from the start.
    Down,
}

impl Route {
    pub(crate) fn new(redis_configured: bool) -> Self {
        Self { redis_configured, ..Self::default() }
    }

    /// The carriers are new ones, of which nothing is known.
    pub(crate) fn begin(&mut self) {
        (self.redis_up, self.told) = (false, false);
    }

    /// Redis works, or does not.
    pub(crate) fn redis(&mut self, is_up: bool) -> Turn {
        if self.told && self.redis_up == is_up {
            return Turn::Same;
        }
        self.told = true;
        self.redis_up = is_up;
        if is_up { Turn::Up } else { Turn::Down }
    }

    /// True while Redis works.
    pub(crate) fn hears_redis(&self) -> bool {
        self.redis_up
    }

    /// The other instances that are alive, and whether each hears Redis.
    pub(crate) fn others(&mut self, others: impl IntoIterator<Item = (Uuid, bool)>) {
        self.others = others.into_iter().collect();
    }

    /// The ways of the next message: Redis when it works, and notices when somebody would not hear it there.
    pub(crate) fn ways(&self) -> Ways {
        Ways { redis: self.redis_up, notices: self.others.values().any(|hears_redis| !(self.redis_up && *hears_redis)) }
    }

    /// The name of the state in `/health`.
    pub(crate) fn word(&self) -> &'static str {
        match (self.redis_configured, self.redis_up) {
            (true, true) => "redis",
            (true, false) => "degraded",
            (false, _) if self.others.is_empty() => "none",
            (false, _) => "postgres",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    #[test]
    fn an_instance_alone_tells_nobody() {
        let mut route = Route::new(false);
        assert!(route.ways().are_none());
        assert_eq!(route.word(), "none");
        route.others([]);
        assert!(route.ways().are_none());
    }

    #[test]
    fn without_redis_there_are_notices_once_somebody_is_there() {
        let mut route = Route::new(false);
        route.others([(A, false)]);
        assert_eq!((route.ways(), route.word()), (Ways { redis: false, notices: true }, "postgres"));
        route.others([]);
        assert!(route.ways().are_none());
    }

    #[test]
    fn redis_down_means_notices_until_it_is_back() {
        let mut route = Route::new(true);
        route.others([(A, true)]);
        assert_eq!(route.redis(true), Turn::Up);
        assert_eq!((route.ways(), route.word()), (Ways { redis: true, notices: false }, "redis"));
        assert_eq!((route.redis(false), route.redis(false)), (Turn::Down, Turn::Same));
        assert_eq!((route.ways(), route.word()), (Ways { redis: false, notices: true }, "degraded"));
        assert_eq!(route.redis(true), Turn::Up);
    }

    #[test]
    fn a_redis_that_never_came_is_said_once() {
        let mut route = Route::new(true);
        assert_eq!((route.redis(false), route.redis(false)), (Turn::Down, Turn::Same));
    }

    #[test]
    fn new_carriers_work_once_they_have_said_so() {
        let mut route = Route::new(true);
        route.redis(true);
        route.others([(A, true)]);
        route.begin();
        assert_eq!((route.ways(), route.word()), (Ways { redis: false, notices: true }, "degraded"));
        assert_eq!(route.redis(true), Turn::Up);
        route.begin();
        assert_eq!(route.redis(false), Turn::Down);
    }

    #[test]
    fn who_does_not_hear_redis_is_told_otherwise() {
        let mut route = Route::new(true);
        route.redis(true);
        route.others([(A, true), (B, true)]);
        assert_eq!(route.ways(), Ways { redis: true, notices: false });
        route.others([(A, true), (B, false)]);
        assert_eq!(route.ways(), Ways { redis: true, notices: true });
    }
}

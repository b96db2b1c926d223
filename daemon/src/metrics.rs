//! The metrics, and the text in which Prometheus reads them. Any layer may count; no decision depends on a count.
//!
//! One process is one daemon, so the counters are one static: handing them through every constructor of five layers would
//! tie all of those together for nothing. Counting is an atomic addition. No label holds anything of a person.

mod label;

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use label::label;
pub use label::{Counters, Label};

/// Upper bounds of the durations' buckets, in seconds: from a read in memory to a request that is about to be given up.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

label! {
    /// The result of an uploaded change.
    Outcome "status" {
        /// Done as asked.
        Applied "applied",
        /// Done together with somebody else's edit.
        Merged "merged",
        /// Settled by the strategy.
        Conflict "conflict",
        /// Not done.
        Rejected "rejected",
    }
}
label! {
    /// The reason for which a device was told to pull.
    Loss "reason" {
        /// It reads more slowly than changes are written.
        TooSlow "too_slow",
        /// The changes that it lacks are no longer known.
        CursorTooOld "cursor_too_old",
        /// The changes that it lacks are too many for a replay.
        TooFarBehind "too_far_behind",
        /// Only a pull can ask the database for its right to see a row.
        NotShown "not_shown",
    }
}
label! {
    /// A kind of actor.
    ActorKind "actor" {
        /// The registry of the users' sessions.
        Sessions "sessions",
        /// One user's session.
        Session "session",
        /// The session of the catalogue.
        Catalogue "catalogue",
        /// The supervisor of the devices.
        Devices "devices",
        /// One device. It is not started again: its socket closes, and the client comes back.
        Device "device",
        /// The actor that asks the database for new versions.
        Feed "feed",
        /// The way to other instances.
        Bridge "bridge",
        /// The actor that keeps the connected devices in the database.
        Presence "presence",
        /// The actor that forgets what is old.
        Janitor "janitor",
    }
}
label! {
    /// The reason for which a token was refused.
    Refusal "reason" {
        /// There was none.
        Missing "missing",
        /// It has expired.
        Expired "expired",
        /// It is not valid here.
        Refused "refused",
        /// The keys to judge it by are away.
        Unavailable "unavailable",
    }
}
label! {
    /// A limit of the configuration that somebody exceeded, by its key.
    Limit "limit" {
        /// A WebSocket message is too large.
        MessageBytes "message_bytes",
        /// A body is too large.
        RequestBytes "request_bytes",
        /// Values would take too much memory.
        ParsedBytes "parsed_bytes",
        /// A header is too large.
        HeaderBytes "header_bytes",
        /// Too many changes in one request.
        ChangesPerRequest "changes_per_request",
        /// Too many devices of one person.
        DevicesPerUser "devices_per_user",
        /// Too many tables are named.
        Subscriptions "subscriptions",
        /// Too many messages over one socket.
        MessagesPerSecond "messages_per_second",
        /// Too many requests of one person.
        RequestsPerSecond "requests_per_second",
        /// Too many requests of one person at once.
        RequestsPerUser "requests_per_user",
        /// A read that others of the same person have kept waiting for too long.
        ReadsPerUser "reads_per_user",
        /// An upload that others of the same person have kept waiting for too long.
        WritesPerUser "writes_per_user",
        /// A long read that others' have kept waiting for too long.
        LongReads "long_reads",
        /// Too much in memory over all.
        BytesInFlight "bytes_in_flight",
        /// Too much in memory of one person.
        BytesPerUser "bytes_per_user",
        /// A body that came too slowly, or an answer that was read too slowly.
        LeastBytesPerSecond "least_bytes_per_second",
        /// Too many requests without a good token from one address.
        StrangersPerSecond "strangers_per_second",
        /// Too many throw-away people in a minute.
        DemoPeoplePerMinute "demo_people_per_minute",
        /// Too many throw-away people whose tokens have not ended yet.
        DemoPeople "demo_people",
        /// Too many requests of one person that wait for news.
        PollsPerUser "polls_per_user",
        /// Too many requests that wait for news.
        Polls "polls",
        /// Too many connections.
        Connections "connections",
        /// Too many connections of one address.
        ConnectionsPerAddress "connections_per_address",
        /// Too many devices with a socket.
        Sockets "sockets",
    }
}
label! {
    /// The kind of a database error.
    DatabaseError "kind" {
        /// Away or too busy.
        Unavailable "unavailable",
        /// A rule of the schema refused.
        Constraint "constraint",
        /// A row was not the caller's, which the daemon should have seen before.
        Denied "denied",
        /// A statement failed.
        Failed "failed",
    }
}
label! {
    /// The reason for which a message on the bridge was rejected.
    Disbelief "reason" {
        /// No instance of this database has sealed it for the channel on which it came.
        Forged "forged",
        /// It has come before.
        Replayed "replayed",
        /// It is genuine, but too old.
        Late "late",
        /// Its sender is an instance that is not alive.
        Stranger "stranger",
        /// An instance of an older release has not sealed it.
        Plain "plain",
    }
}
label! {
    /// The things that the housekeeping forgot.
    Forgotten "kind" {
        /// Entries of deleted rows.
        Tombstones "tombstones",
        /// Results of mutations.
        Receipts "receipts",
        /// Devices that never came back.
        Devices "devices",
        /// Tokens that devices came with, which have ended.
        Tokens "tokens",
    }
}
label! {
    /// The side that ended a socket.
    EndedBy "by" {
        /// The daemon; the code is in `ryzed_socket_closes_total`.
        Daemon "daemon",
        /// The client.
        Client "client",
        /// Nobody: the connection broke.
        Network "network",
    }
}

/// A request, for its duration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's template; empty where nothing took the request.
    pub route: &'static str,
    /// The method, when the daemon knows it.
    pub method: &'static str,
    /// The status code of the answer.
    pub status: u16,
}

/// The close code of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CloseLabels {
    /// As in the close frame.
    pub code: u16,
}

/// The gauges' values at the moment of asking.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// Connected devices.
    pub connections: usize,
    /// People with at least one.
    pub users: usize,
    /// Database connections at work, of those that there may be.
    pub database: Option<PoolUse>,
}

/// The connections of a pool that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// At work.
    pub busy: usize,
    /// The most that there may be.
    pub most: usize,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    connections: Gauge,
    users: Gauge,
    database_busy: Gauge,
    database_most: Gauge,
    /// Requests that wait for news.
    pub polls: Gauge,
    /// Synced tables that are stopped until somebody has mended them.
    pub tables_stopped: Gauge,
    /// Rows of which samples have found that the index says something else.
    pub index_differences: Gauge,
    /// Rows that were entered into the index anew because it said something else.
    pub index_mended: Counter,
    /// Uploaded changes.
    pub changes_pushed: Counters<Outcome>,
    /// Downloads.
    pub pulls: Counter,
    /// Rows and deletions that went out in downloads.
    pub rows_pulled: Counter,
    /// Changes that were put into devices' outboxes.
    pub changes_fanned_out: Counter,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    /// Devices that were told to pull.
    pub outbox_losses: Counters<Loss>,
    /// Actors that ended and were replaced.
    pub actor_restarts: Counters<ActorKind>,
    /// Those of them that were ended because they did nothing any more.
    pub actor_hangs: Counters<ActorKind>,
    /// Times a session read from the database what no hint had brought.
    pub holes_filled: Counter,
    /// Scopes that a sweep found ahead of their session.
    pub sweep_corrections: Counter,
    /// Messages to other instances for which there was no room.
    pub bridge_dropped: Counter,
    /// Messages on the bridge that were not believed.
    pub bridge_disbelieved: Counters<Disbelief>,
    /// Times a session read the database since another instance had said that there is something.
    pub bridge_reads: Counter,
    /// The things that the housekeeping forgot.
    pub forgotten: Counters<Forgotten>,
    /// The time for which a batch of the housekeeping kept others from writing.
    pub forgetting: Histogram,
    /// The time for which each write kept the one writer of SQLite, or a connection to PostgreSQL, from others.
    pub database_writes: Histogram,
    /// Writes that shared their statements with those of other people.
    pub shared_writes: Counter,
    /// Errors of the database that ended somebody's work.
    pub database_errors: Counters<DatabaseError>,
    /// Transactions that were begun again.
    pub database_retries: Counter,
    /// Tokens that were not believed.
    pub auth_refusals: Counters<Refusal>,
    /// Requests that were refused for being over a limit.
    pub limit_refusals: Counters<Limit>,
    /// Sockets that were closed for sending too much.
    pub rate_limit_closes: Counter,
    /// Ends of sockets.
    pub sockets_ended: Counters<EndedBy>,
    /// Lines of the log that nobody read in time, or at all.
    pub log_lines_dropped: Counter,
    closes: Family<CloseLabels, Counter>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// The counters of this process.
#[must_use]
pub fn metrics() -> &'static Metrics {
    &METRICS
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("ryzed");
        let r = &mut registry;
        r.register("build", "The release", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let requests = Family::new_with_constructor(seconds as fn() -> Histogram);
        let help = "From a request to the end of its answer, by the route's template";
        r.register_with_unit("http_request_duration", help, Unit::Seconds, requests.clone());
        let forgetting = seconds();
        let help = "How long a batch of the housekeeping kept others from writing";
        r.register_with_unit("housekeeping_batch_duration", help, Unit::Seconds, forgetting.clone());
        let database_writes = seconds();
        let help = "How long a write kept the one writer of SQLite, or a connection to PostgreSQL, from others";
        r.register_with_unit("database_write_duration", help, Unit::Seconds, database_writes.clone());
        let closes = Family::default();
        r.register("socket_closes", "Sockets closed by the daemon, by close code", Family::clone(&closes));
        Self {
            connections: gauge(r, "connections", "Devices with a socket"),
            users: gauge(r, "users", "People with at least one connected device"),
            database_busy: gauge(r, "database_connections_busy", "Database connections at work"),
            database_most: gauge(r, "database_connections_most", "Database connections that there may be"),
            polls: gauge(r, "polls", "Requests that wait for news"),
            tables_stopped: gauge(
                r,
                "tables_stopped",
                "Synced tables that are stopped until they are mended; the log says why",
            ),
            index_differences: gauge(
                r,
                "index_differences",
                "Rows that samples have found to differ from the change index; ryzed verify --repair mends them",
            ),
            index_mended: counter(r, "index_mended", "Rows entered anew because the change index said something else"),
            changes_pushed: Counters::new(r, "changes_pushed", "Uploaded changes, by what became of them"),
            pulls: counter(r, "pulls", "Downloads, those of a sync included"),
            rows_pulled: counter(r, "rows_pulled", "Rows and deletions that went out in downloads"),
            changes_fanned_out: counter(r, "changes_fanned_out", "Changes handed to devices, one for each device"),
            requests,
            outbox_losses: Counters::new(r, "outbox_losses", "Devices owed a sync_required, by reason"),
            actor_restarts: Counters::new(r, "actor_restarts", "Actors that failed or hung and were replaced"),
            actor_hangs: Counters::new(r, "actor_hangs", "Actors that hung and were ended for it"),
            holes_filled: counter(r, "holes_filled", "Times a session read from the database what no hint had brought"),
            sweep_corrections: counter(r, "sweep_corrections", "Scopes that a look found ahead of their session"),
            bridge_dropped: counter(r, "bridge_dropped", "Messages to other instances for which there was no room"),
            bridge_disbelieved: Counters::new(r, "bridge_disbelieved", "Messages on the bridge that were not believed"),
            bridge_reads: counter(r, "bridge_reads", "Times a session read as another instance had told it to"),
            forgotten: Counters::new(r, "forgotten", "What the housekeeping forgot"),
            forgetting,
            database_writes,
            database_errors: Counters::new(r, "database_errors", "Errors of the database that ended somebody's work"),
            shared_writes: counter(
                r,
                "database_writes_shared",
                "Writes that shared their statements with those of other people",
            ),
            database_retries: counter(r, "database_retries", "Transactions that were begun again"),
            auth_refusals: Counters::new(r, "auth_refusals", "Tokens that were not believed, by reason"),
            limit_refusals: Counters::new(r, "limit_refusals", "What was refused, by the limit that it was over"),
            rate_limit_closes: counter(r, "rate_limit_closes", "Sockets closed for sending too much"),
            sockets_ended: Counters::new(r, "sockets_ended", "Ends of sockets, by who ended them"),
            log_lines_dropped: counter(r, "log_lines_dropped", "Lines of the log that nobody read in time"),
            closes,
            registry,
        }
    }

    /// A request was answered.
    pub fn request(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).observe(took.as_secs_f64());
    }

    /// The daemon has closed a socket.
    pub fn closed(&self, code: u16) {
        self.closes.get_or_create(&CloseLabels { code }).inc();
        self.sockets_ended.inc(EndedBy::Daemon);
    }

    /// An actor was replaced, `hung` when it was ended for doing nothing.
    pub fn restarted(&self, actor: ActorKind, hung: bool) {
        self.actor_restarts.inc(actor);
        if hung {
            self.actor_hangs.inc(actor);
        }
    }

    /// The whole in OpenMetrics' text format.
    #[must_use]
    pub fn text(&self, now: Now) -> String {
        self.connections.set(now.connections as i64);
        self.users.set(now.users as i64);
        let PoolUse { busy, most } = now.database.unwrap_or(PoolUse { busy: 0, most: 0 });
        self.database_busy.set(busy as i64);
        self.database_most.set(most as i64);
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            // Writing into memory does not fail; a metric that can't be shown would be a fault of ours.
            let _ = write!(text, "# EOF");
        }
        text
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

#[cfg(test)]
mod tests;

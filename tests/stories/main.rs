//! Stories about a real daemon, told from outside over HTTP, WebSocket, SQL and the command line.
//!
//! A story whose promise is about one person uses the daemon that all share, with a person of its own; one that needs
//! other settings, or an end, starts its own.

use std::sync::LazyLock;

use ryzed_tests::{Account, Daemon};

mod abuse;
mod adopt;
mod adopt_leaving;
mod adopt_meanwhile;
mod adopted;
mod adopted_edges;
mod adopted_policies;
mod adopted_refusals;
mod cascades;
mod changes_feed;
mod command_line;
mod conflict_table;
mod convergence;
mod devices;
mod durability;
mod export;
mod forgetting;
mod hostile_readers;
mod imports;
mod instances;
mod instances_faults;
mod instances_restart;
mod last_line;
mod limits;
mod live;
mod logs;
mod merging;
mod metrics;
mod moving;
mod open_conflicts;
mod openapi;
mod outside_writes;
mod ownership;
mod paging;
mod postgres;
mod postgres_access;
mod postgres_connecting;
mod postgres_errors;
mod postgres_language;
mod postgres_migrating;
mod postgres_outages;
mod public;
mod pushing;
mod reference;
mod resume;
mod retention;
mod roles;
mod round_trips;
mod socket_closes;
mod socket_messages;
mod stopping;
mod supervision;
mod systemd;
mod tokens;
mod validation;

static SHARED: LazyLock<Daemon> = LazyLock::new(Daemon::start);
static KEEPERS: LazyLock<Daemon> = LazyLock::new(Daemon::start);

/// The daemon that stories share.
fn shared() -> &'static Daemon {
    &SHARED
}

/// The daemon of the stories that write the catalogue, which everybody's copies hold.
fn keepers() -> &'static Daemon {
    &KEEPERS
}

/// Somebody new at the shared daemon.
fn somebody() -> Account {
    shared().account()
}

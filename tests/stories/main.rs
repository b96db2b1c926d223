//! Stories about a real daemon, told from outside over HTTP, WebSocket, SQL and the command line.
//!
//! A story whose promise is about one person uses the daemon that all share, with a person of its own; one that needs
//! other settings, or an end, starts its own.

use std::sync::LazyLock;

use ryzed_tests::{Account, Daemon};

// What the contract promises, whichever instance is asked. `./test` tells these with two as well, by this list.
mod abuse;
mod cascades;
mod changes_feed;
mod conflict_table;
mod convergence;
mod costs;
mod devices;
mod digests;
mod export;
mod live;
mod merging;
mod misspelt;
mod open_conflicts;
mod open_conflicts_bounds;
mod outside_writes;
mod ownership;
mod paging;
mod parents_gone;
mod polling;
mod proxied;
mod public;
mod pushing;
mod reference;
mod resume;
mod retention;
mod revoking;
mod revoking_remembered;
mod roles;
mod socket_closes;
mod socket_compression;
mod socket_messages;
mod tokens;
mod unsaid;
mod validation;

// What is about one process, its settings, its commands or its end.
mod aside;
mod budgets;
mod clocks;
mod command_line;
mod connections;
mod declared;
mod declared_changes;
mod demo_people;
mod durability;
mod files_private;
mod forgetting;
mod former_values;
mod hidden_columns;
mod hostile_readers;
mod imports;
mod imports_tracks;
mod judging;
mod limits;
mod logs;
mod lost_files;
mod metrics;
mod moving;
mod newer_release;
mod openapi;
mod operator_log;
mod order_of_changes;
mod origins;
mod planted;
mod polling_bounds;
mod refused_rows;
mod request_lines;
mod secrets;
mod sqlite_held;
mod stopping;
mod storage_faults;
mod streaming;
mod supervision;
mod systemd;
mod turns;
mod two_daemons;
mod verifying;

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

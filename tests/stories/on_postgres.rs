//! Stories that only PostgreSQL can tell: what it promises more than SQLite, an application's own tables, several daemons on one
//! database. They start it themselves, whichever database the other stories run on.

mod adopt;
mod adopt_leaving;
mod adopt_meanwhile;
mod adopted;
mod adopted_edges;
mod adopted_policies;
mod adopted_references;
mod adopted_refusals;
mod adopted_secrets;
mod bridge_key;
mod bridge_releases;
mod bridge_trust;
mod instances;
mod instances_faults;
mod instances_leases;
mod instances_redis;
mod instances_restart;
mod last_line;
mod moving_between;
mod postgres;
mod postgres_access;
mod postgres_backup;
mod postgres_connecting;
mod postgres_errors;
mod postgres_language;
mod postgres_locks;
mod postgres_migrating;
mod postgres_outages;
mod postgres_unfit;
mod revoking_instances;
mod round_trips;
mod supervision_presence;

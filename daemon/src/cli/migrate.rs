//! `ryzed migrate`: the schema, brought up to date or only looked at.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::store;
use super::{Outcome, print};
use crate::config::Config;
use crate::store::{MigrationState, Stay, postgres, sqlite};

/// Bring the database's schema up to date; serve does so as well. A database in a file is made by serve alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ryzed migrate                        apply what is missing
  ryzed migrate --status               list every migration and whether the database has it
  ryzed migrate --dry-run              list what would be applied, and change nothing")]
pub(super) struct Options {
    /// List every migration and whether the database has it
    #[arg(long, conflicts_with = "dry_run")]
    status: bool,
    /// List what would be applied, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(config: &Config, options: &Options) -> Outcome {
    let name = config.database_name();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the runtime")?;
    let before = match store::server_url(config)? {
        Some(url) => runtime.block_on(postgres::migration_states(&url)),
        None => sqlite::migration_states(&config.database_path()),
    };
    let before = before.with_context(|| format!("can't look at the database {name}")).map_err(store::judged)?;
    if options.status {
        return print(&listed(&before));
    }
    let pending: Vec<&MigrationState> = before.iter().filter(|state| !state.applied).collect();
    let text: String = pending.iter().map(|state| format!("{}\n", state.name)).collect();
    if options.dry_run {
        let summary = format!("{} to apply to {name}; nothing was changed\n", pending.len());
        return print(&(text + &summary));
    }
    runtime.block_on(apply(config))?;
    print(&format!("{text}{} applied; {name} is up to date\n", pending.len()))
}

fn listed(states: &[MigrationState]) -> String {
    let word = |applied| if applied { "applied" } else { "pending" };
    states.iter().map(|state| format!("{}  {}\n", word(state.applied), state.name)).collect()
}

/// Opens the database, which brings it up to date, and closes it.
async fn apply(config: &Config) -> Outcome {
    let opened = store::open(config, Stay::Keeper, Arc::new(|| ())).await?;
    opened.store.close().await;
    Ok(())
}

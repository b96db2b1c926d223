//! `ryzed migrate`: the schema, brought up to date or only looked at.

use std::path::Path;

use clap::Args;

use super::{Outcome, print};
use crate::config::Config;

/// Bring the database's schema up to date; serve does so as well.
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

/// One migration and whether the database has it.
struct State {
    name: String,
    applied: bool,
}

pub(super) fn run(config: &Config, options: &Options) -> Outcome {
    let path = config.database_path();
    let before = states(&path)?;
    if options.status {
        return print(&listed(&before));
    }
    let pending: Vec<&State> = before.iter().filter(|state| !state.applied).collect();
    let text: String = pending.iter().map(|state| format!("{}\n", state.name)).collect();
    if options.dry_run {
        let summary = format!("{} to apply to {}; nothing was changed\n", pending.len(), path.display());
        return print(&(text + &summary));
    }
    apply(config)?;
    print(&format!("{text}{} applied; {} is up to date\n", pending.len(), path.display()))
}

fn listed(states: &[State]) -> String {
    let word = |applied| if applied { "applied" } else { "pending" };
    states.iter().map(|state| format!("{}  {}\n", word(state.applied), state.name)).collect()
}

/// Every migration, in order. Makes no file.
fn states(path: &Path) -> anyhow::Result<Vec<State>> {
    anyhow::bail!("can't look at {}: no store is joined yet", path.display())
}

/// Opens the store, which brings it up to date, and closes it.
fn apply(config: &Config) -> anyhow::Result<()> {
    anyhow::bail!("can't open {}: no store is joined yet", config.database_path().display())
}

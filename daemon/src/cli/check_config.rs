//! `ryzed check-config`: what came of file, environment and flags. What is wrong has been reported before.

use anyhow::Context;

use super::{Outcome, print};
use crate::config::Config;

pub(super) fn run(config: &Config) -> Outcome {
    let text = toml::to_string(&config.masked()).context("can't write the configuration as TOML")?;
    print(&text)
}

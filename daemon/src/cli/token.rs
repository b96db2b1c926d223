//! `ryzed token`: a token of our own, on the standard output and nothing else there.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::{Failure, Outcome, print};
use crate::auth::{Grant, Role, Secret, sign};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::sync::UserId;
use crate::transfer::a_uuid;

/// The refusal where tokens that are signed with the secret are not accepted.
const UNBELIEVED: &str = "a token of ours would not be believed here, where tokens come from the issuer whose public keys are \
                          configured (auth.hs256). Get one from there; or have both believed with auth.hs256 = \"on\"";

/// Print a token for a person, and nothing else.
#[derive(Debug, Args)]
#[command(after_help = "\
Any UUID is a person; their row is made when they first call.

Examples:
  ryzed token --user 7b0e9f0e-7d2c-4f5c-9d5f-6f1c2b1f8a11
  TOKEN=$(ryzed token --user $(uuidgen) --ttl 1h --email runner@example.com)
  ryzed token --user 7b0e9f0e-7d2c-4f5c-9d5f-6f1c2b1f8a11 --role admin
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8000/api/realtime/tables")]
pub(super) struct Options {
    /// The person, a UUID
    #[arg(long, value_parser = a_uuid)]
    user: Uuid,
    /// The person's role
    #[arg(long, default_value = "authenticated")]
    role: Role,
    /// The time that the token is good: 30d, 12h, 90m
    #[arg(long, default_value = "30d", value_parser = lifetime)]
    ttl: Duration,
    /// The person's email, for their row
    #[arg(long)]
    email: Option<String>,
}

pub(super) fn run(config: &Config, options: Options) -> Outcome {
    if Secret::is_to_be_made(config) {
        let path = Secret::own_path(config);
        return Err(Failure::usage(anyhow!(
            "there is no token secret {}: `ryzed serve` makes one at its first start. If the daemon's data is elsewhere, say so: \
             --config, --data-dir, or auth.secret_file",
            path.display()
        )));
    }
    let secret = Secret::load_or_create(config).map_err(Failure::usage)?;
    let secret = secret.ok_or_else(|| Failure::usage(anyhow!(UNBELIEVED)))?;
    let grant = Grant {
        user: UserId(options.user),
        role: options.role,
        email: options.email,
        issuer: config.auth.issuer.clone(),
        audience: config.auth.audience.clone(),
    };
    let token = sign(&secret, &grant, SystemClock.now(), options.ttl).context("can't make the token")?;
    print(&format!("{token}\n"))
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.as_secs() > 0 => Ok(duration),
        _ => Err("write a number and its unit, such as 30d, 12h or 90m".into()),
    }
}

impl ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Authenticated, Self::Admin, Self::ServiceRole]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Authenticated => "authenticated",
            Self::Admin => "admin",
            Self::ServiceRole => "service_role",
        }))
    }
}

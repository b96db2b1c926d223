//! `ryzed check-config`: all that is wrong with file, environment and flags, and with the files that they name; what came of
//! it, and where each value was written. Nothing is made, changed or connected to.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, anyhow};

use super::{Failure, Outcome, print, store, words};
use crate::auth::{Secret, Verifier};
use crate::config::{Config, DemoPeople, Loaded, Sources};
use crate::telemetry;

pub(super) fn run(sources: &Sources) -> Outcome {
    let loaded = sources.look();
    for name in sources.strangers() {
        aside!("ryzed: the environment variable {name} sets no key and is passed over");
    }
    for line in &loaded.renamed {
        aside!("ryzed: {line}");
    }
    print(&shown(&loaded)?)?;
    let mut faults = loaded.faults.clone();
    faults.extend(telemetry::check_override().err().map(|error| error.to_string()));
    faults.extend(unusable(&loaded));
    match faults.len() {
        0 => Ok(()),
        count => {
            let faults_are = if count == 1 { "1 fault" } else { &format!("{count} faults") };
            Err(Failure::Usage(anyhow!("{faults_are} in the configuration:\n{}", faults.join("\n"))))
        }
    }
}

/// Settings that are well written and that a start could not use.
fn unusable(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let mut faults = Vec::new();
    let mut fault = |key: &str, complaint: String| faults.push(loaded.fault(key, &complaint));
    if config.data_dir.exists() && !config.data_dir.is_dir() {
        fault("data_dir", format!("{} is no folder", config.data_dir.display()));
    }
    // One that is missing is made at the first start.
    if !Secret::is_to_be_made(config)
        && let Err(error) = Secret::load_or_create(config)
    {
        let key = if config.auth.secret.is_some() { "auth.secret" } else { "auth.secret_file" };
        fault(key, error.to_string());
    }
    check_keys(config, &mut fault);
    if let Err(Failure::Usage(error) | Failure::Running(error)) = store::server_url(config) {
        let key = if config.database.password_file.is_some() { "database.password_file" } else { "database.url" };
        // Whose it is, the fault says itself.
        fault(key, words(&error).pop().unwrap_or_default());
    }
    if let Err(complaint) = config.redis_address()
        && config.redis.url.is_none()
    {
        fault("redis.url_file", complaint);
    }
    if let Some(complaint) = store::unreadable(config) {
        fault("database.url", complaint);
    }
    faults
}

fn check_keys(config: &Config, fault: &mut impl FnMut(&str, String)) {
    // One at a time, so that one fault hides no other.
    let keys = [
        ("auth.public_key_file", config.auth.public_key_file.clone(), None),
        ("auth.jwks_file", None, config.auth.jwks_file.clone()),
    ];
    for (key, public_key_file, jwks_file) in keys {
        let auth = crate::config::Auth { public_key_file, jwks_file, ..Default::default() };
        if let Err(error) = Verifier::new(&auth, None) {
            fault(key, error.to_string());
        }
    }
}

/// Tells whether the demo page will make people, as far as can be told without opening anything.
fn demo_people(config: &Config) -> &'static str {
    let listen = config.server.listen.as_str();
    let named = listen.rsplit_once(':').is_some_and(|(host, _)| host.eq_ignore_ascii_case("localhost"));
    let address = listen.parse().map_or(Ipv4Addr::UNSPECIFIED.into(), |address: SocketAddr| address.ip());
    let address = if named { Ipv4Addr::LOCALHOST.into() } else { address };
    let has_secret = Secret::is_to_be_made(config) || !matches!(Secret::load_or_create(config), Ok(None));
    match config.dev.demo_people.allowed(address, false) {
        Err(_) => "none (dev.demo_people)",
        Ok(()) if !has_secret => "none, for want of a secret to sign their tokens with (auth.hs256)",
        Ok(()) if config.dev.demo_people == DemoPeople::Auto => {
            "some, unless the database was adopted (dev.demo_people)"
        }
        Ok(()) => "some (dev.demo_people)",
    }
}

/// The configuration as TOML, without secrets, with the place of each value.
fn shown(loaded: &Loaded) -> anyhow::Result<String> {
    let config = &loaded.config;
    let text = toml::to_string(&config.masked()).context("can't write the configuration as TOML")?;
    let mut shown = match &loaded.file {
        Some(file) => format!("# The file that was read: {}\n", file.display()),
        None => {
            "# No file was read: none was named, and neither ./ryzed.toml nor /etc/ryzed/ryzed.toml is there.\n".into()
        }
    };
    shown += &format!("# The database: {}\n", config.database_name());
    shown += &format!("# Throw-away people for the demo page: {}\n", demo_people(config));
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        }
        match line.split_once(" = ") {
            Some((name, _)) => shown += &format!("{line}  # {}\n", loaded.origin(&format!("{section}{name}"))),
            None => shown += &format!("{line}\n"),
        }
    }
    Ok(shown)
}

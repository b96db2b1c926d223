//! The greeting when the daemon has started: its address, and what to try first.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use uuid::Uuid;

use super::super::{Outcome, SettingFlags, print as print_out, quoted};
use crate::auth::{Grant, Role, Secret, sign};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::sync::UserId;

/// The time that the token in the link is good.
const LINK_TTL: Duration = Duration::from_secs(3600);

/// Prints it. The link with a token in it is for a terminal only: anything else may be a journal.
pub(super) fn print(address: SocketAddr, config: &Config, secret: Option<&Secret>, settings: &SettingFlags) -> Outcome {
    let Some(secret) = secret else { return print_out(&head(address, config)) };
    let person = UserId(Uuid::new_v4());
    let link = std::io::stdout().is_terminal().then(|| token(person, config, secret)).transpose()?;
    print_out(&text(address, config, &program(), &settings.retyped(), person, link.as_deref()))
}

fn head(address: SocketAddr, config: &Config) -> String {
    let (version, base, data) = (env!("CARGO_PKG_VERSION"), base(address), config.data_dir.display());
    format!("ryzed {version} listens on {base}, its data is in {data}\n")
}

fn base(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

fn text(
    address: SocketAddr,
    config: &Config,
    program: &str,
    flags: &str,
    person: UserId,
    token: Option<&str>,
) -> String {
    let (head, base) = (head(address, config), base(address));
    let fragment = token.map(|token| format!("#token={token}")).unwrap_or_default();
    format!(
        "{head}\n\
         Make a token (any UUID is a person):\n  {program} token --user {person}{flags}\n\
         Try it:\n  curl -H \"Authorization: Bearer $({program} token --user {person}{flags})\" '{base}/api/realtime/changes?limit=3'\n\
         Two devices side by side:\n  {base}/demo{fragment}\n"
    )
}

fn token(person: UserId, config: &Config, secret: &Secret) -> anyhow::Result<String> {
    let (issuer, audience) = (config.auth.issuer.clone(), config.auth.audience.clone());
    let grant = Grant { user: person, role: Role::default(), email: None, issuer, audience };
    sign(secret, &grant, SystemClock.now(), LINK_TTL).context("can't make the token of the demo's link")
}

/// The program's name as it was typed, so that it can be typed again.
fn program() -> String {
    let typed = std::env::args_os().next().map(PathBuf::from).unwrap_or_else(|| "ryzed".into());
    quoted(&typed.display().to_string())
}

/// The address at which a client on this machine reaches a daemon that listens on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_pasted_and_keeps_the_token_for_terminals() {
        let address: SocketAddr = "0.0.0.0:8123".parse().unwrap();
        let person = UserId(Uuid::from_u128(5));
        let config = Config::default();
        let journal = text(address, &config, "target/release/ryzed", " --data-dir /d", person, None);
        assert!(journal.contains("http://127.0.0.1:8123/demo\n") && !journal.contains("token="), "{journal}");
        let command = format!("$(target/release/ryzed token --user {person} --data-dir /d)");
        assert!(journal.contains(&command), "{journal}");
        assert!(text(address, &config, "ryzed", "", person, Some("a.b.c")).contains("/demo#token=a.b.c"));
    }
}

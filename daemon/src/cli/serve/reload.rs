//! SIGHUP: the configuration is read again, and what can change while the daemon serves does.

use serde_json::Value;
use tokio::signal::unix::Signal;

use crate::config::{Config, Sources};
use crate::telemetry;

/// Reads the configuration again at each hangup. Never ends.
pub(super) async fn at_hangups(mut hangups: Signal, sources: Sources, mut running: Config) {
    while hangups.recv().await.is_some() {
        match sources.load() {
            Ok(config) => take(&mut running, config),
            Err(error) => tracing::error!(%error, "the configuration is not reloaded; the daemon goes on as it is"),
        }
    }
    std::future::pending().await
}

/// Takes over the level of the log, and names what has to wait for a restart.
fn take(running: &mut Config, config: Config) {
    let level = match telemetry::set_level(&config.log) {
        Ok(level) => level,
        Err(error) => return tracing::error!(%error, "the level of the log stays as it is"),
    };
    running.log.level = config.log.level.clone();
    let waiting = differing(running, &config);
    if waiting.is_empty() {
        tracing::info!(level, "the configuration is reloaded");
    } else {
        let keys = waiting.join(", ");
        tracing::warn!(level, keys, "the configuration is reloaded; these keys have changed and wait for a restart");
    }
}

/// The keys whose values differ.
fn differing(one: &Config, other: &Config) -> Vec<String> {
    let mut keys = Vec::new();
    let value = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    walk("", &value(one), &value(other), &mut keys);
    keys
}

fn walk(key: &str, one: &Value, other: &Value, keys: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(fields), Value::Object(others)) => {
            let missing = others.keys().filter(|name| !fields.contains_key(*name));
            for name in fields.keys().chain(missing) {
                let (one, other) = (fields.get(name).unwrap_or_default(), others.get(name).unwrap_or_default());
                walk(&if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, one, other, keys);
            }
        }
        _ if one != other => keys.push(key.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_its_key() {
        let (one, mut other) = (Config::default(), Config::default());
        assert_eq!(differing(&one, &other), Vec::<String>::new());
        other.server.listen = "127.0.0.1:1".into();
        other.auth.secret = Some("s".into());
        other.tables.insert("foods".into(), crate::config::TableConfig::default());
        assert_eq!(differing(&one, &other), ["auth.secret", "server.listen", "tables.foods"]);
    }
}

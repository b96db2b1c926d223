//! The log: lines on the standard error, as text or JSON. Metrics are elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoUtc;

use crate::config::{Log, LogFormat};

/// Overrides `log.level` for one run.
const VARIABLE: &str = "RYZED_LOG";

/// Libraries that would write headers, and tokens with them, when asked for every detail.
const KEPT_QUIET: &str = "h2=info,hyper=info,hyper_util=info,rustls=info,tungstenite=info,ureq=info,ureq_proto=info";

/// Why the log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level can't be read.
    #[error(
        "{place}: can't read {level:?} as a log level: {error}; write info, debug, or a list such as warn,ryzed=debug"
    )]
    Level {
        /// Where it was written.
        place: &'static str,
        /// What was written.
        level: String,
        /// What is wrong with it.
        error: tracing_subscriber::filter::ParseError,
    },
    /// There is a log already.
    #[error("the log can't be set up: {0}")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sets the log up, for the whole process. What panics is written to it as well.
///
/// # Errors
/// When the level can't be read, or it is done twice.
pub fn init(log: &Log) -> Result<(), LogError> {
    let overridden = std::env::var(VARIABLE).ok().filter(|level| !level.trim().is_empty());
    let (place, level) = overridden.map_or(("log.level", log.level.clone()), |level| (VARIABLE, level));
    let filter = filter(&level).map_err(|error| LogError::Level { place, level, error })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_timer(ChronoUtc::new("%Y-%m-%dT%H:%M:%S%.6fZ".into()));
    match log.format {
        LogFormat::Text => tracing::subscriber::set_global_default(builder.finish())?,
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())?,
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let payload = panic.payload();
        let text =
            payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("no message");
        tracing::error!(place, message, "a task failed");
    }));
    Ok(())
}

/// The bare word is for everything; what must stay quiet stays so unless it is named.
fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(format!("{KEPT_QUIET},{level}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_a_list() {
        for good in ["info", "debug", "warn,ryzed=debug", "ryzed::request=off"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        assert!(filter("ryzed=loud").is_err());
    }
}

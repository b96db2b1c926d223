//! The log: lines on the standard error, as text or JSON. Metrics are elsewhere.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::fmt::time::ChronoUtc;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat, log_filter};
use queue::Queue;

/// Overrides `log.level` for one run.
const VARIABLE: &str = "RYZED_LOG";
/// The time that the end of the process waits for the reader of the log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of this process, once there is one.
static LOG: OnceLock<Running> = OnceLock::new();

struct Running {
    queue: Queue,
    level: reload::Handle<EnvFilter, Registry>,
}

/// A failure to set up the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level can't be read.
    #[error("{place}: {complaint}")]
    Level {
        /// The place where it was written.
        place: &'static str,
        /// The complaint about it.
        complaint: String,
    },
    /// There is a log already.
    #[error("the log can't be set up: {0}")]
    Twice(tracing::subscriber::SetGlobalDefaultError),
    /// The standard error can't be used.
    #[error("the log can't be written to the standard error: {0}")]
    Output(io::Error),
}

/// Sets the log up, for the whole process. Panics are written to it as well. Logging never waits for the log's reader:
/// a line for which its queue has no room is dropped, and counted.
///
/// # Errors
/// When the level can't be read, or it is done twice.
pub fn init(log: &Log) -> Result<(), LogError> {
    let filter = filter(log)?;
    // Past the lock of the standard error: a writer that a slow reader holds up must hold up nobody else.
    let out = File::from(io::stderr().as_fd().try_clone_to_owned().map_err(LogError::Output)?);
    let queue = Queue::start(out, |lines| {
        tracing::warn!(lines, "lines of the log were dropped, since nobody read them in time");
    })
    .map_err(LogError::Output)?;
    let (filter, level) = reload::Layer::new(filter);
    let lines = fmt::layer()
        .log_internal_errors(false)
        .with_writer(queue.clone())
        .with_ansi(io::stderr().is_terminal())
        .with_timer(ChronoUtc::new("%Y-%m-%dT%H:%M:%S%.6fZ".into()));
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing::subscriber::set_global_default(Registry::default().with(filter).with(lines)).map_err(LogError::Twice)?;
    let _ = LOG.set(Running { queue, level });
    std::panic::set_hook(Box::new(told_panic));
    Ok(())
}

/// Takes another level for what is logged from now on; says which one counts, since the environment has the last word.
///
/// # Errors
/// When it can't be read.
pub fn set_level(log: &Log) -> Result<String, LogError> {
    let filter = filter(log)?;
    if let Some(running) = LOG.get() {
        // It fails only when the log is gone, and then nobody would hear of it.
        let _ = running.level.reload(filter);
    }
    Ok(chosen(log).1)
}

/// Checks the level that the environment sets for one run.
///
/// # Errors
/// When it can't be read.
pub fn check_override() -> Result<(), LogError> {
    match chosen(&Log::default()) {
        (VARIABLE, level) => {
            log_filter(&level).map(|_| ()).map_err(|complaint| LogError::Level { place: VARIABLE, complaint })
        }
        _ => Ok(()),
    }
}

/// Writes a line for the person who started the process. It goes behind what was logged before, and like that holds up nobody.
pub fn say(line: &str) {
    match LOG.get() {
        Some(running) => running.queue.push(format!("{line}\n").as_bytes()),
        None => {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// Gives the reader of the log a moment for the last lines, before the process ends.
pub fn flush() {
    if let Some(running) = LOG.get() {
        running.queue.flush(LAST_LINES);
    }
}

fn filter(log: &Log) -> Result<EnvFilter, LogError> {
    let (place, level) = chosen(log);
    log_filter(&level).map_err(|complaint| LogError::Level { place, complaint })
}

/// The level that counts, and where it was written.
fn chosen(log: &Log) -> (&'static str, String) {
    let overridden = std::env::var(VARIABLE).ok().filter(|level| !level.trim().is_empty());
    overridden.map_or(("log.level", log.level.clone()), |level| (VARIABLE, level))
}

fn told_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("no message");
    // Empty unless `RUST_BACKTRACE` asks for it.
    let backtrace = Some(Backtrace::capture()).filter(|backtrace| backtrace.status() == BacktraceStatus::Captured);
    let backtrace = backtrace.map(|backtrace| backtrace.to_string());
    tracing::error!(place, message, backtrace, "a task failed");
    // The process ends with its first thread, and with it what is still on its way.
    if std::thread::current().name() == Some("main") {
        flush();
    }
}

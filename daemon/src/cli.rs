//! The command line: what can be typed, and how each command ends. What a command does is in the file of its name.
//!
//! Exit codes: 0 ended well, 1 failed while running, 2 wrong use or configuration, 3 something differs that was to be verified.

mod adopt;
mod check_config;
mod completions;
mod migrate;
mod print_tables;
mod serve;
mod store;
mod token;
mod traces;
mod transfer;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand};
use ryzed_adapters::{Registry, UnknownTable};

use crate::config::{Flag, Sources, has_password};
use crate::telemetry;
use crate::transfer::{ExportArgs, ImportArgs};

/// Told of a password among the arguments.
const EXPOSED: &str = "everybody on this machine can read the password in --database-url while this runs; put it into a file \
     (database.password_file), or the URL into the environment (RYZED_DATABASE__URL)";

const EXAMPLES: &str = "\
Examples:
  ryzed                                       serve on 127.0.0.1:8000, data in ./data
  ryzed --listen 0.0.0.0:8000 --data-dir /var/lib/ryzed
  ryzed token --user 7b0e9f0e-7d2c-4f5c-9d5f-6f1c2b1f8a11 --ttl 1h
  ryzed import foods.csv --table foods        rows into the catalogue
  ryzed import run.gpx --user 7b0e9f0e-7d2c-4f5c-9d5f-6f1c2b1f8a11
  ryzed migrate --status                      which migrations the database has
  ryzed adopt --dry-run                       how an application's database would be synced
  ryzed verify                                whether devices get what the tables hold
  ryzed check-config                          what came of file, environment and flags

Every key of the configuration can be set in a file, by the environment and partly by flags, in this order:
  ryzed.toml < RYZED_SERVER__LISTEN=… < --listen …
config/ryzed.toml shows all of them.";

/// Keeps a person's data in step on all their devices.
#[derive(Debug, Parser)]
#[command(name = "ryzed", version, about, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    settings: SettingFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
struct SettingFlags {
    /// The configuration file [default: $RYZED_CONFIG, else ./ryzed.toml, else /etc/ryzed/ryzed.toml]
    #[arg(long, value_name = "FILE", global = true, hide_default_value = true)]
    config: Option<PathBuf>,
    /// The folder of the database and the token secret (data_dir)
    #[arg(long, value_name = "FOLDER", global = true)]
    data_dir: Option<String>,
    /// The database, sqlite:// and its path, or postgres:// (database.url)
    #[arg(long, value_name = "URL", global = true)]
    database_url: Option<String>,
    /// Address or name, and port, to listen on (server.listen)
    #[arg(long, value_name = "ADDRESS", global = true)]
    listen: Option<String>,
    /// The form of the log: text or json (log.format)
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    /// The level of the log: error, warn, info, debug (log.level)
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop; what happens without a command
    Serve(serve::Options),
    /// Bring the database's schema up to date; serve does so as well
    Migrate(migrate::Options),
    /// Sync the tables of a PostgreSQL database that an application has already
    Adopt(adopt::Options),
    /// Print a token for a person, and nothing else
    Token(token::Options),
    /// List the synced tables, those that the configuration declares included
    Tables(print_tables::Options),
    /// Bring rows of a file into the database: NDJSON, CSV, a GPX track, or a whole database
    Import(ImportArgs),
    /// Write everything that a person owns, the catalogue, or the whole database, as NDJSON
    Export(ExportArgs),
    /// Hold the change index against the tables, and mend it
    Verify(verify::Options),
    /// Check the configuration and the files it names, and print what came of it and from where, secrets masked
    CheckConfig,
    /// Print a completion script for a shell
    Completions(completions::Options),
}

/// Checks that a flag names tables that there are.
fn check_tables(registry: &Registry, flag: &str, names: &[String]) -> Result<(), Failure> {
    let (_, unknown) = registry.resolve(names);
    let complaint = |name: &UnknownTable<'_>| {
        Failure::Usage(anyhow!("{flag} {}: there is no such table; `ryzed tables` lists them", name.0))
    };
    unknown.first().map_or(Ok(()), |name| Err(complaint(name)))
}

/// The failure of a command.
#[derive(Debug)]
enum Failure {
    /// Wrong use or configuration: trying again changes nothing.
    Usage(anyhow::Error),
    /// A failure on the way.
    Running(anyhow::Error),
    /// The index differs from the tables, and was not mended.
    Differs(anyhow::Error),
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    /// The same failure, with the attempt named.
    fn context(self, what: String) -> Self {
        match self {
            Self::Usage(error) => Self::Usage(error.context(what)),
            Self::Running(error) => Self::Running(error.context(what)),
            Self::Differs(error) => Self::Differs(error.context(what)),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Running(error)
    }
}

type Outcome = Result<(), Failure>;

/// Runs the command that was typed.
#[must_use]
pub fn run() -> ExitCode {
    crate::private::by_default();
    // Ends the process by itself: 0 for help, 2 for what it does not understand.
    let cli = Cli::parse();
    let (code, error) = match execute(cli) {
        Ok(()) => (ExitCode::SUCCESS, None),
        Err(Failure::Running(error)) => (ExitCode::from(1), Some(error)),
        Err(Failure::Usage(error)) => (ExitCode::from(2), Some(error)),
        Err(Failure::Differs(error)) => (ExitCode::from(3), Some(error)),
    };
    if let Some(error) = error {
        telemetry::say(&format!("ryzed: {}", words(&error).join(": ")));
    }
    telemetry::flush();
    code
}

/// An error and what has led to it, from the outside in; what the system answered in words for people.
fn words(error: &anyhow::Error) -> Vec<String> {
    let word = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().map_or_else(|| cause.to_string(), crate::private::why)
    };
    error.chain().map(word).collect()
}

fn execute(cli: Cli) -> Outcome {
    if let Some(Command::Completions(options)) = &cli.command {
        return completions::run(options);
    }
    let sources = cli.settings.sources();
    let is_exposed = cli.settings.database_url.as_deref().is_some_and(has_password);
    if let Some(Command::CheckConfig) = &cli.command {
        if is_exposed {
            aside!("ryzed: {EXPOSED}");
        }
        return check_config::run(&sources);
    }
    let config = sources.load().map_err(Failure::usage)?;
    telemetry::init(&config.log).map_err(Failure::usage)?;
    for name in sources.strangers() {
        tracing::warn!("the environment variable {name} sets no key and is passed over");
    }
    if is_exposed {
        tracing::warn!("{EXPOSED}");
    }
    #[cfg(feature = "faults")]
    crate::faults::arm().map_err(Failure::usage)?;
    match cli.command.unwrap_or_else(|| Command::Serve(serve::Options::default())) {
        Command::Serve(options) => serve::run(config, sources, &cli.settings, &options),
        Command::Migrate(options) => migrate::run(&config, &options),
        Command::Adopt(options) => adopt::run(&config, &options),
        Command::Verify(options) => verify::run(&config, &options),
        Command::Token(options) => token::run(&config, options),
        Command::Tables(options) => print_tables::run(&config, &options),
        Command::Import(args) => transfer::import(&config, &args),
        Command::Export(args) => transfer::export(&config, &args),
        Command::CheckConfig | Command::Completions(_) => Ok(()),
    }
}

impl SettingFlags {
    fn sources(&self) -> Sources {
        let flags = [
            ("--data-dir", "data_dir", &self.data_dir),
            ("--database-url", "database.url", &self.database_url),
            ("--listen", "server.listen", &self.listen),
            ("--log-format", "log.format", &self.log_format),
            ("--log-level", "log.level", &self.log_level),
        ];
        let given =
            flags.into_iter().filter_map(|(name, key, value)| Some(Flag { name, key, value: value.as_ref()?.clone() }));
        Sources::of_process(self.config.clone(), given.collect())
    }

    /// The flags that another call needs to find the same secret, as they are typed.
    fn retyped(&self) -> String {
        let config = self.config.as_ref().map(|file| format!(" --config {}", quoted(&file.display().to_string())));
        let folder = self.data_dir.as_ref().map(|folder| format!(" --data-dir {}", quoted(folder)));
        config.unwrap_or_default() + &folder.unwrap_or_default()
    }
}

/// `text` as a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Writes to the standard output. A reader who has seen enough, as in `| head`, is no failure.
fn print(text: &str) -> Outcome {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("can't write to the standard output").into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_needs_no_command_and_flags_stand_anywhere() {
        let bare = Cli::try_parse_from(["ryzed", "--listen", "127.0.0.1:9"]).unwrap();
        assert!(bare.command.is_none() && bare.settings.listen.is_some());
        let after = Cli::try_parse_from(["ryzed", "serve", "--data-dir", "a b"]).unwrap();
        assert_eq!(after.settings.retyped(), " --data-dir 'a b'");
        assert!(Cli::try_parse_from(["ryzed", "swim"]).is_err());
    }

    #[test]
    fn a_lifetime_is_written_with_its_unit() {
        let user = "7b0e9f0e-7d2c-4f5c-9d5f-6f1c2b1f8a11";
        assert!(
            Cli::try_parse_from(["ryzed", "token", "--user", user, "--ttl", "90m", "--role", "service_role"]).is_ok()
        );
        for bad in [["--ttl", "90"], ["--ttl", "0s"], ["--role", "king"]] {
            let line = ["ryzed", "token", "--user", user, bad[0], bad[1]];
            assert!(Cli::try_parse_from(line).is_err(), "{bad:?}");
        }
        assert!(Cli::try_parse_from(["ryzed", "token", "--user", "bob"]).is_err());
    }
}

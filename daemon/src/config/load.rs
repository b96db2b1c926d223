//! Reads the configuration from its sources: defaults < file < environment < flags. All faults in it are reported at
//! once, each with its key and the place where it was written. The meaning of the keys is in [`super`].

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::Config;
use super::file::File;
use super::value::{KnownKeys, found, put, typed};

/// The prefix of all our environment variables.
const PREFIX: &str = "RYZED_";
/// Names the file.
const FILE_VARIABLE: &str = "RYZED_CONFIG";
/// Overrides `log.level` for one run; read where the log is set up.
const LOG_VARIABLE: &str = "RYZED_LOG";
/// The paths at which the file is looked for when it is not named.
const USUAL_FILES: [&str; 2] = ["ryzed.toml", "/etc/ryzed/ryzed.toml"];

/// The sources to read.
#[derive(Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// True to look for the file in the usual places when it is not named.
    pub usual_files: bool,
    /// The environment; variables of others are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags that were given.
    pub flags: Vec<Flag>,
}

/// A flag that sets a key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as it is typed, `--listen`.
    pub name: &'static str,
    /// The key, `server.listen`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
}

/// The faults of the configuration. Says what and where, for the person who wrote it: a line a fault.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(Vec<String>);

/// The configuration as the sources give it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The configuration, with the default where a value is wrong.
    pub config: Config,
    /// All that is wrong, a line a fault.
    pub faults: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Keys that have other names by now, a line each.
    pub renamed: Vec<String>,
    set: Vec<Set>,
    sections: Vec<(String, Origin)>,
}

/// Keys that had another name in an earlier release: that one, and the one of today.
const RENAMED: [(&str, &str); 1] = [("server.patience_seconds", "server.hang_timeout_seconds")];

/// A value that was written somewhere.
#[derive(Debug)]
struct Set {
    key: String,
    origin: Origin,
    value: Value,
}

#[derive(Debug, Clone)]
enum Origin {
    Line(PathBuf, usize),
    Variable,
    Flag(&'static str),
}

impl Sources {
    /// The process's environment, the usual files, and these.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        Self { file, usual_files: true, environment: std::env::vars_os().collect(), flags }
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let Loaded { config, faults, .. } = self.look();
        if faults.is_empty() { Ok(config) } else { Err(ConfigError(faults)) }
    }

    /// Reads and checks everything, and tells where it was found, also when some of it is wrong.
    #[must_use]
    pub fn look(&self) -> Loaded {
        let known = KnownKeys::new();
        let mut loaded = Loaded::default();
        if let Some(path) = self.path() {
            match File::read(&path) {
                Ok(file) => loaded.take_file(path, file),
                Err(fault) => loaded.faults.push(fault),
            }
        }
        self.take_environment(&mut loaded, &known);
        for flag in &self.flags {
            let (key, value) = (flag.key.to_owned(), flag.value.clone().into());
            loaded.set.push(Set { key, origin: Origin::Flag(flag.name), value });
        }
        loaded.settle(&known);
        loaded
    }

    /// Variables that begin as ours do and are no key's: of the client, of a container's neighbours, or misspelt. One that names
    /// a section has been refused.
    #[must_use]
    pub fn strangers(&self) -> Vec<&str> {
        let known = KnownKeys::new();
        let names = self.environment.iter().filter_map(|(name, _)| name.to_str());
        let ours = names.filter(|name| name.starts_with(PREFIX) && !is_read_elsewhere(name));
        ours.filter(|name| key_of(name, &known).is_none()).collect()
    }

    /// The file, when it holds a secret.
    #[must_use]
    pub fn file_with_secrets(&self) -> Option<PathBuf> {
        let path = self.path()?;
        let alone = Self { file: Some(path.clone()), usual_files: false, environment: Vec::new(), flags: Vec::new() };
        alone.look().config.holds_secrets().then_some(path)
    }

    /// The file to read, if there is one.
    fn path(&self) -> Option<PathBuf> {
        let named = self.environment.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
        let named = self.file.clone().or_else(|| named.map(|(_, value)| PathBuf::from(value)));
        // One that can't be looked at is there, and an error: passing it over would mean another database.
        let is_there = |path: &PathBuf| self.usual_files && !matches!(path.try_exists(), Ok(false));
        let usual = || USUAL_FILES.iter().map(PathBuf::from).find(is_there);
        named.or_else(usual)
    }

    /// Each variable read as its key's type wants it: a secret of digits stays a text.
    fn take_environment(&self, loaded: &mut Loaded, known: &KnownKeys) {
        for (name, value) in &self.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let Some((key, default)) = key_of(name, known) else {
                if name.contains("__") {
                    loaded.faults.push(format!(
                        "environment variable {name}: there is no such key; the names are {PREFIX}<SECTION>__<KEY>, as in RYZED_SERVER__LISTEN"
                    ));
                }
                continue;
            };
            let text = value.to_str().ok_or("UTF-8");
            // How those who start programs from a template say "none".
            if text == Ok("") && default.is_null() {
                continue;
            }
            match text.and_then(|text| typed(text, default)) {
                Ok(value) => loaded.set.push(Set { key, origin: Origin::Variable, value }),
                Err(wanted) => {
                    let found = text.map_or_else(|_| "other bytes".into(), |text| found(&key, &text.into()));
                    loaded
                        .faults
                        .push(format!("environment variable {name} ({key}): must be {wanted}, and is {found}"));
                }
            }
        }
    }
}

impl Loaded {
    /// The place where the value of `key` was written.
    #[must_use]
    pub fn origin(&self, key: &str) -> String {
        match self.set.iter().rev().find(|set| set.key == key) {
            None => "default".to_owned(),
            Some(Set { origin: Origin::Line(path, line), .. }) => format!("{}:{line}", path.display()),
            Some(Set { origin: Origin::Variable, .. }) => variable_of(key),
            Some(Set { origin: Origin::Flag(name), .. }) => (*name).to_owned(),
        }
    }

    /// A fault of `key`, with the place of its value.
    #[must_use]
    pub fn fault(&self, key: &str, complaint: &str) -> String {
        match self.nearest(key) {
            None => format!("{key}: {complaint}"),
            Some(origin) => placed(origin, key, complaint),
        }
    }

    fn take_file(&mut self, path: PathBuf, file: File) {
        let lines = file.leaves.into_iter();
        self.set.extend(lines.map(|leaf| Set {
            key: leaf.key,
            origin: Origin::Line(path.clone(), leaf.line),
            value: leaf.value,
        }));
        let sections = file.sections.into_iter();
        self.sections = sections.map(|(name, line)| (name, Origin::Line(path.clone(), line))).collect();
        self.file = Some(path);
    }

    /// Makes the configuration of what was written, and reports what can't be meant. A value that is wrong is left at its
    /// default, so that it hides no other fault.
    fn settle(&mut self, known: &KnownKeys) {
        for set in &mut self.set {
            let Some((former, key)) = RENAMED.iter().find(|(former, _)| *former == set.key) else { continue };
            self.renamed.push(placed(
                &set.origin,
                former,
                &format!("is called {key} now; the former name still works"),
            ));
            set.key = (*key).to_owned();
        }
        let mut values = Value::Object(serde_json::Map::new());
        for set in &self.set {
            match known.complaint(&set.key, &set.value) {
                None => put(&mut values, &set.key, set.value.clone()),
                Some(complaint) => self.faults.push(placed(&set.origin, &set.key, &complaint)),
            }
        }
        match serde_json::from_value(values) {
            Ok(config) => self.config = config,
            // Each value alone was good.
            Err(_) => {
                self.faults.push("the configuration can't be used: each value is good, and all together are not".into())
            }
        }
        let complaints = self.config.complaints();
        let faults: Vec<String> = complaints.iter().map(|(key, complaint)| self.fault(key, complaint)).collect();
        self.faults.extend(faults);
    }

    /// The place of the value of `key`, or of the beginning of its section.
    fn nearest(&self, key: &str) -> Option<&Origin> {
        let sections = self.sections.iter().find(|(name, _)| name == key).map(|(_, origin)| origin);
        self.set.iter().rev().find(|set| set.key == key).map(|set| &set.origin).or(sections)
    }
}

fn placed(origin: &Origin, key: &str, complaint: &str) -> String {
    match origin {
        Origin::Line(path, line) => format!("{}:{line}: {key}: {complaint}", path.display()),
        Origin::Variable => format!("environment variable {} ({key}): {complaint}", variable_of(key)),
        Origin::Flag(name) => format!("{name} ({key}): {complaint}"),
    }
}

/// The key that a variable sets, with its default; none when it is no key's.
fn key_of<'k>(name: &str, known: &'k KnownKeys) -> Option<(String, &'k Value)> {
    let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace("__", ".");
    let renamed = RENAMED.iter().find(|(former, _)| *former == key).map(|(_, key)| *key);
    let default = known.default(renamed.unwrap_or(&key))?;
    (!default.is_object() && variable_of(&key) == name).then_some((key, default))
}

/// True if the variable is read elsewhere.
fn is_read_elsewhere(name: &str) -> bool {
    #[cfg(feature = "faults")]
    if name == crate::faults::VARIABLE {
        return true;
    }
    name == FILE_VARIABLE || name == LOG_VARIABLE
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

//! Where the configuration comes from: defaults < file < environment < flags. A wrong key or value is reported with
//! its name and the place it was written. What the keys mean is in [`super`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use serde_json::{Value, json};

use super::Config;
use crate::private;

/// What every environment variable of ours starts with.
const PREFIX: &str = "RYZED_";
/// Names the file.
const FILE_VARIABLE: &str = "RYZED_CONFIG";
/// Overrides `log.level` for one run; read where the log is set up.
const LOG_VARIABLE: &str = "RYZED_LOG";
/// Where the file is looked for when it is not named.
const USUAL_FILES: [&str; 2] = ["ryzed.toml", "/etc/ryzed/ryzed.toml"];

/// Where to look.
#[derive(Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Whether to look for the file in the usual places when it is not named.
    pub usual_files: bool,
    /// The environment; variables of others are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags that were given.
    pub flags: Vec<Flag>,
}

/// A flag that sets a key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As it is typed, `--listen`.
    pub name: &'static str,
    /// The key, `server.listen`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
}

/// Something in the configuration is wrong. Says what and where, for the person who wrote it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Sources {
    /// The process's environment, the usual files, and these.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        Self { file, usual_files: true, environment: std::env::vars_os().collect(), flags }
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong, with its name and place.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let file = self.read_file()?;
        let environment = environment_layer(&self.environment)?;
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(file) = &file {
            figment = figment.merge(Serialized::defaults(&file.values));
        }
        figment = figment.merge(Serialized::defaults(&environment.values));
        for flag in &self.flags {
            figment = figment.merge(Serialized::default(flag.key, &flag.value));
        }
        let place = |key: &str| self.place_of(key, &environment, file.as_ref());
        let config: Config = figment.extract().map_err(|error| {
            let key = error.path.join(".");
            ConfigError(format!("{}: {}", place(&key), error.kind))
        })?;
        config.check().map_err(|(key, complaint)| ConfigError(format!("{}: {complaint}", place(key))))?;
        config.check_tables().map_err(|(key, complaint)| ConfigError(format!("{}: {complaint}", place(&key))))?;
        Ok(config)
    }

    /// Variables that begin as ours do and are no key's: of the client, of a container's neighbours, or misspelt. One that names
    /// a section has been refused.
    #[must_use]
    pub fn strangers(&self) -> Vec<&str> {
        let known = serde_json::to_value(Config::default()).unwrap_or_default();
        let names = self.environment.iter().filter_map(|(name, _)| name.to_str());
        let ours = names.filter(|name| name.starts_with(PREFIX) && !is_read_elsewhere(name));
        ours.filter(|name| key_of(name, &known).is_none()).collect()
    }

    /// The file, when it holds a secret.
    #[must_use]
    pub fn file_with_secrets(&self) -> Option<PathBuf> {
        let file = self.read_file().ok()??;
        let alone: Config = file.values.try_into().ok()?;
        alone.holds_secrets().then_some(file.path)
    }

    fn read_file(&self) -> Result<Option<File>, ConfigError> {
        let from_environment = self
            .environment
            .iter()
            .find(|(name, value)| name == FILE_VARIABLE && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value));
        if let Some(path) = self.file.clone().or(from_environment) {
            return File::read(path).map(Some);
        }
        let usual = USUAL_FILES.iter().map(PathBuf::from).find(|path| self.usual_files && path.exists());
        usual.map(File::read).transpose()
    }

    /// The key and where its value was written, from the place that counts most downwards.
    fn place_of(&self, key: &str, environment: &Environment, file: Option<&File>) -> String {
        if let Some(flag) = self.flags.iter().rev().find(|flag| flag.key == key) {
            return format!("{} ({key})", flag.name);
        }
        if environment.keys.iter().any(|set| set == key) {
            return format!("environment variable {} ({key})", variable_of(key));
        }
        match file.and_then(|file| Some((file, file.line_of(key)?))) {
            Some((file, line)) => format!("{}:{line}: {key}", file.path.display()),
            None => key.to_owned(),
        }
    }
}

/// The file, already known to be a configuration of its own.
struct File {
    path: PathBuf,
    text: String,
    values: toml::Table,
}

impl File {
    fn read(path: PathBuf) -> Result<Self, ConfigError> {
        let text = private::read_text(&path)
            .map_err(|error| ConfigError(format!("can't read the configuration {}: {error}", path.display())))?;
        let values = parse(&path, &text)?;
        Ok(Self { path, text, values })
    }

    /// The line that sets `key`.
    fn line_of(&self, key: &str) -> Option<usize> {
        let document = toml::de::DeTable::parse(&self.text).ok()?;
        let (mut table, mut names) = (document.get_ref(), key.split('.').peekable());
        while let Some(name) = names.next() {
            let (found, value) = table.iter().find(|(found, _)| found.get_ref().as_ref() == name)?;
            if names.peek().is_none() {
                return Some(line_at(&self.text, found.span().start));
            }
            table = value.get_ref().as_table()?;
        }
        None
    }
}

/// Reads the file as a whole configuration, so that what is wrong in it can name its line.
fn parse(path: &Path, text: &str) -> Result<toml::Table, ConfigError> {
    let complain = |key: &str, error: &toml::de::Error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        let key = if key.is_empty() || key == "." { String::new() } else { format!("{key}: ") };
        ConfigError(format!("{}:{line}: {key}{}", path.display(), error.message()))
    };
    let document = toml::Deserializer::parse(text).map_err(|error| complain("", &error))?;
    serde_path_to_error::deserialize::<_, Config>(document)
        .map_err(|error| complain(&error.path().to_string(), error.inner()))?;
    toml::from_str(text).map_err(|error| complain("", &error))
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// What the environment sets.
struct Environment {
    values: Value,
    keys: Vec<String>,
}

/// Each variable read as its key's type wants it: a secret of digits stays a text.
fn environment_layer(variables: &[(OsString, OsString)]) -> Result<Environment, ConfigError> {
    let known = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut layer = Environment { values: json!({}), keys: Vec::new() };
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let Some((key, default)) = key_of(name, &known) else {
            if name.contains("__") {
                return Err(ConfigError(format!(
                    "environment variable {name}: there is no such key; the names are {PREFIX}<SECTION>__<KEY>, as in RYZED_SERVER__LISTEN"
                )));
            }
            continue;
        };
        let complain = |wanted: &str| ConfigError(format!("environment variable {name} ({key}): must be {wanted}"));
        let text = value.to_str().ok_or_else(|| complain("UTF-8"))?;
        // How those who start programs from a template say "none".
        if text.is_empty() && default.is_null() {
            continue;
        }
        let value = typed(text, default).map_err(complain)?;
        let mut place = &mut layer.values;
        for part in key.split('.') {
            place = &mut place[part];
        }
        *place = value;
        layer.keys.push(key);
    }
    Ok(layer)
}

/// The key that a variable sets, with its default; none when it is no key's.
fn key_of<'k>(name: &str, known: &'k Value) -> Option<(String, &'k Value)> {
    let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace("__", ".");
    let default = known.pointer(&format!("/{}", key.replace('.', "/")))?;
    (!default.is_object() && variable_of(&key) == name).then_some((key, default))
}

/// Whether it is read elsewhere.
fn is_read_elsewhere(name: &str) -> bool {
    #[cfg(feature = "faults")]
    if name == crate::faults::VARIABLE {
        return true;
    }
    name == FILE_VARIABLE || name == LOG_VARIABLE
}

/// `text` as the type that `default` has.
fn typed(text: &str, default: &Value) -> Result<Value, &'static str> {
    match default {
        Value::Bool(_) => match text {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            _ => Err("true or false"),
        },
        Value::Number(_) => text.parse::<u64>().map(Value::from).map_err(|_| "a whole number"),
        Value::Array(_) => Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()),
        _ => Ok(Value::from(text)),
    }
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

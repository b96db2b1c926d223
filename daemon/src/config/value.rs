//! One value of the configuration: whether its key is there, and what it must be.

use serde_json::{Value, json};

use super::Config;

/// The keys of `[tables.<table>]`.
const OF_TABLES: [&str; 13] = [
    "owner",
    "strategy",
    "ordered",
    "domain",
    "columns",
    "relation",
    "skip",
    "future_hours",
    "hidden",
    "read_only",
    "send",
    "write",
    "references",
];

/// Every key with its default.
pub(super) struct KnownKeys(Value);

impl KnownKeys {
    /// As the defaults have them.
    pub(super) fn new() -> Self {
        Self(serde_json::to_value(Config::default()).unwrap_or_default())
    }

    /// The default of a key; an object for a section.
    pub(super) fn default(&self, key: &str) -> Option<&Value> {
        self.0.pointer(&format!("/{}", key.replace('.', "/")))
    }

    /// The complaint about a value of `key`, if it is wrong.
    pub(super) fn complaint(&self, key: &str, value: &Value) -> Option<String> {
        let is_of_table = key.starts_with("tables.") || (key == "tables" && value.is_object());
        match self.default(key) {
            None if !is_of_table => return Some(self.unknown(key)),
            Some(Value::Object(_)) if value.is_object() => return None,
            Some(Value::Object(_)) if !is_of_table => {
                return Some(format!("is a section: write [{key}], and its keys below"));
            }
            _ => {}
        }
        let mut alone = json!({});
        put(&mut alone, key, value.clone());
        let error = serde_json::from_value::<Config>(alone).err()?.to_string();
        let found = found(key, value);
        if error.starts_with("unknown field") {
            return Some(format!("there is no such key; a table has {}", OF_TABLES.join(", ")));
        }
        Some(match error.split_once("expected ") {
            // A word of a few that are known.
            Some((before, words)) if before.starts_with("unknown variant") => {
                format!("must be {}, and is {found}", words.replace('`', "\"").replace("one of ", ""))
            }
            Some(_) => format!("must be {}, and is {found}", self.wanted(key)),
            // Ours already.
            None => error,
        })
    }

    fn unknown(&self, key: &str) -> String {
        let (section, keys) = match key.rsplit_once('.').map(|(section, _)| (section, self.default(section))) {
            Some((section, Some(Value::Object(keys)))) => (format!("[{section}] has "), keys),
            _ => match &self.0 {
                Value::Object(keys) => ("there are ".to_owned(), keys),
                _ => return "there is no such key".into(),
            },
        };
        let names: Vec<&str> = keys.keys().map(String::as_str).collect();
        format!("there is no such key; {section}{}", names.join(", "))
    }

    fn wanted(&self, key: &str) -> &'static str {
        match self.default(key) {
            Some(Value::Bool(_)) => "true or false",
            Some(Value::Number(_)) => WHOLE,
            Some(Value::Array(_)) => "a list of texts, such as [\"a\", \"b\"]",
            None => match key.split('.').nth(2) {
                Some("skip") => "true or false",
                Some("future_hours") => WHOLE,
                Some("columns") => "names, and what each column is, such as { note = { type = \"text\" } }",
                Some("references") => "names of columns and what they may refer to, such as { coach_id = \"any\" }",
                Some("hidden" | "read_only" | "send" | "write") => "a list of columns, such as [\"notes\"]",
                _ => "a text, in quotes",
            },
            _ => "a text, in quotes",
        }
    }
}

/// The range of a whole number.
const WHOLE: &str = "a whole number, not below zero and not too large";
/// The most of a text that is repeated, in characters.
const LONGEST: usize = 60;
/// Keys whose values are nobody else's business, or have a password in them.
const SECRET: [&str; 4] = ["auth.secret", "auth.jwks_url", "database.url", "redis.url"];

/// The text that stands there, as far as it may be shown.
pub(super) fn found(key: &str, value: &Value) -> String {
    match value {
        _ if SECRET.contains(&key) => "something else".into(),
        Value::String(text) => format!("{:?}", text.chars().take(LONGEST).collect::<String>()),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a section".into(),
        Value::Null => "nothing".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Puts a value at its key.
pub(super) fn put(values: &mut Value, key: &str, value: Value) {
    let mut place = values;
    for part in key.split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}

/// `text` as the type that `default` has.
///
/// # Errors
/// What it must be.
pub(super) fn typed(text: &str, default: &Value) -> Result<Value, &'static str> {
    match default {
        Value::Bool(_) => match text {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            _ => Err("true or false"),
        },
        Value::Number(_) => text.parse::<u64>().map(Value::from).map_err(|_| WHOLE),
        Value::Array(_) => Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()),
        _ => Ok(Value::from(text)),
    }
}

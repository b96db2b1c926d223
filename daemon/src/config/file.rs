//! A configuration file, taken apart into the values that it sets, each with its line.

use std::path::Path;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::private;

/// The settings of a file.
#[derive(Debug)]
pub(super) struct File {
    /// Its values, in the order of the file.
    pub leaves: Vec<Leaf>,
    /// The beginnings of its sections: each with its name and its line.
    pub sections: Vec<(String, usize)>,
}

/// A value of a file.
#[derive(Debug)]
pub(super) struct Leaf {
    /// With its sections, `server.listen`.
    pub key: String,
    /// From 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or is no TOML; says where.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = private::read_text(path)
            .map_err(|error| format!("can't read the configuration {}: {}", path.display(), private::why(&error)))?;
        let fault = |error: &toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            format!("{}:{}: {}", path.display(), line_at(&text, offset), told(error.message(), &text, offset))
        };
        let document = DeTable::parse(&text).map_err(|error| fault(&error))?;
        let values: toml::Table = toml::from_str(&text).map_err(|error| fault(&error))?;
        let mut file = Self { leaves: Vec::new(), sections: Vec::new() };
        file.walk(&text, "", document.get_ref(), &values);
        file.leaves.sort_by_key(|leaf| leaf.line);
        Ok(file)
    }

    /// Takes the values of a table and of the tables in it. One that holds nothing is a value as well: its name may be wrong.
    fn walk(&mut self, text: &str, above: &str, table: &DeTable<'_>, values: &toml::Table) {
        for (name, value) in table {
            let (name, line) = (name.get_ref().as_ref(), line_at(text, name.span().start));
            let key = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
            let Some(said) = values.get(name) else { continue };
            match (inner(value), said) {
                (Some(table), toml::Value::Table(values)) if !values.is_empty() => {
                    self.walk(text, &key, table, values);
                    self.sections.push((key, line));
                }
                _ => self.leaves.push(Leaf { key, line, value: serde_json::to_value(said).unwrap_or_default() }),
            }
        }
    }
}

fn inner<'t, 'i>(value: &'t Spanned<DeValue<'i>>) -> Option<&'t DeTable<'i>> {
    value.get_ref().as_table()
}

/// The fault of the text at `offset`, in words for its author. Never the value: it may be a secret.
fn told(message: &str, text: &str, offset: usize) -> String {
    if message.starts_with("duplicate key") {
        return "stands there twice; keep one of the two".into();
    }
    let before = text.get(..offset).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let name = line.split_once('=').map_or("", |(name, _)| name.trim());
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let whose = if is_name { format!("{name}: ") } else { String::new() };
    format!(
        "{whose}is no TOML from character {} on: a line is [section], key = value or # a comment, and a value is \"text\", a \
         number, true, false, [a list] or {{ name = value }}",
        line.chars().count() + 1
    )
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

//! A configuration file, taken apart into the values that it sets, each with its line.

use std::path::Path;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::private;

/// What a file sets.
#[derive(Debug)]
pub(super) struct File {
    /// Its values, in the order of the file.
    pub leaves: Vec<Leaf>,
    /// Where its sections begin: each with its name and its line.
    pub sections: Vec<(String, usize)>,
}

/// A value of a file.
#[derive(Debug)]
pub(super) struct Leaf {
    /// With its sections, `server.listen`.
    pub key: String,
    /// From 1.
    pub line: usize,
    /// What it says.
    pub value: Value,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or is no TOML; says where.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = private::read_text(path)
            .map_err(|error| format!("can't read the configuration {}: {error}", path.display()))?;
        let fault = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| line_at(&text, span.start));
            format!("{}:{line}: is no TOML: {}", path.display(), error.message())
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

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

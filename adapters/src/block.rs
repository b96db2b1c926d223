//! Tables that the configuration declares: from the blocks `[tables.<table>]` to specs. A block's values come as they were written,
//! so that every complaint can name the key that it is about.

mod column;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{Registry, ScopeRule, Strategy, TableSpec};
use column::{Declared, Type};
use words::{kept, name_fault};

/// The most tables that a configuration may declare.
pub const MOST_TABLES: usize = 200;
/// The most columns of its own that a declared table may have.
pub const MOST_COLUMNS: usize = 200;
/// The part of the app that a table belongs to whose block names none.
const DOMAIN: &str = "own";
/// The longest name of a domain, in characters.
const LONGEST_DOMAIN: usize = 63;

/// The block of a table, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableBlock {
    /// The rule for the owner of a row.
    pub owner: Option<Value>,
    /// The strategy for conflicts.
    pub strategy: Option<Value>,
    /// Pairs of columns in order.
    pub ordered: Option<Value>,
    /// The part of the app.
    pub domain: Option<Value>,
    /// The columns.
    pub columns: BTreeMap<String, Value>,
}

/// A key of the configuration, and what to do about it.
pub type Complaint = (String, String);

impl Registry {
    /// The same tables and those that blocks declare, parents before children.
    ///
    /// # Errors
    /// Everything in the blocks that makes no sense.
    pub fn declaring(self, blocks: &BTreeMap<String, TableBlock>) -> Result<Self, Vec<Complaint>> {
        let specs = specs(blocks, &self)?;
        Ok(self.and(specs))
    }
}

/// The specs of declared tables, parents before children.
fn specs(blocks: &BTreeMap<String, TableBlock>, known: &Registry) -> Result<Vec<TableSpec>, Vec<Complaint>> {
    let mut complaints = Vec::new();
    if blocks.len() > MOST_TABLES {
        complaints.push(("tables".into(), format!("declares {} tables; {MOST_TABLES} are the most", blocks.len())));
    }
    let mut parsed = BTreeMap::new();
    for (name, block) in blocks {
        let fault = known.get(name).map(|_| "is a table of the daemon already; give yours another name".to_owned());
        if let Some(fault) = fault.or_else(|| name_fault(name, true)) {
            complaints.push((format!("tables.{name}"), fault));
            continue;
        }
        let found = Parser { name, block, blocks, known, complaints: &mut complaints }.spec();
        parsed.insert(name.as_str(), found);
    }
    if !complaints.is_empty() {
        return Err(complaints);
    }
    in_order(parsed.into_iter().filter_map(|(name, spec)| Some((name, spec?))).collect())
}

/// Parents before children.
fn in_order(mut specs: BTreeMap<&str, TableSpec>) -> Result<Vec<TableSpec>, Vec<Complaint>> {
    let mut ordered = Vec::new();
    while !specs.is_empty() {
        let waits = |spec: &TableSpec| parents(spec).any(|parent| parent != spec.name && specs.contains_key(parent));
        let ready: BTreeSet<&str> = specs.iter().filter(|(_, spec)| !waits(spec)).map(|(name, _)| *name).collect();
        if ready.is_empty() {
            let circle: Vec<&str> = specs.keys().copied().collect();
            let fault = format!("{} refer to each other in a circle; leave one reference out", circle.join(", "));
            return Err(vec![(format!("tables.{}", circle[0]), fault)]);
        }
        ordered.extend(ready.into_iter().filter_map(|name| specs.remove(name)));
    }
    Ok(ordered)
}

fn parents(spec: &TableSpec) -> impl Iterator<Item = &str> {
    let properties = spec.schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.filter_map(|(_, property)| property.get("x-references").and_then(Value::as_str))
}

/// Reads one block.
struct Parser<'a> {
    name: &'a str,
    block: &'a TableBlock,
    blocks: &'a BTreeMap<String, TableBlock>,
    known: &'a Registry,
    complaints: &'a mut Vec<Complaint>,
}

impl Parser<'_> {
    fn complain(&mut self, key: &str, complaint: impl Into<String>) {
        let dot = if key.is_empty() { "" } else { "." };
        self.complaints.push((format!("tables.{}{dot}{key}", self.name), complaint.into()));
    }

    /// The spec; none where complaints say why.
    fn spec(mut self) -> Option<TableSpec> {
        let before = self.complaints.len();
        let columns = self.columns();
        let scope = self.scope(&columns);
        let strategy = self.strategy();
        let ordered = self.ordered(&columns);
        let domain = self.domain();
        if self.complaints.len() > before {
            return None;
        }
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, column) in columns {
            if column.required {
                required.push(json!(name));
            }
            properties.insert(name, column.property);
        }
        let mut schema = Map::new();
        schema.insert("properties".into(), Value::Object(properties));
        schema.insert("required".into(), Value::Array(required));
        Some(TableSpec {
            name: kept(self.name),
            domain: kept(&domain),
            scope: scope?,
            strategy,
            future_hours: 0,
            schema,
            ordered,
            is_generated: true,
            check: None,
        })
    }

    fn columns(&mut self) -> BTreeMap<String, Declared> {
        let mut columns = BTreeMap::new();
        let block = self.block;
        if block.columns.is_empty() {
            self.complain(
                "",
                "has no columns; write [tables.<table>.columns], and below it name = { type = \"text\" }",
            );
        }
        if block.columns.len() > MOST_COLUMNS {
            self.complain("columns", format!("are {}; {MOST_COLUMNS} are the most", block.columns.len()));
        }
        for (name, said) in block.columns.iter().take(MOST_COLUMNS) {
            let key = format!("columns.{name}");
            if let Some(fault) = name_fault(name, false) {
                self.complain(&key, fault);
                continue;
            }
            match column::declared(said) {
                Ok(column) => {
                    self.reference(&key, &column);
                    columns.insert(name.clone(), column);
                }
                Err(faults) => {
                    for (below, fault) in faults {
                        let dot = if below.is_empty() { "" } else { "." };
                        self.complain(&format!("{key}{dot}{below}"), fault);
                    }
                }
            }
        }
        columns
    }

    /// Checks that a column refers to a table that there is, and may become null unless the owner comes through it.
    fn reference(&mut self, key: &str, column: &Declared) {
        let Some(parent) = &column.references else { return };
        if self.known.get(parent).is_none() && !self.blocks.contains_key(parent) {
            self.complain(
                &format!("{key}.references"),
                format!("there is no table {parent:?}; `ryzed tables` lists them"),
            );
        }
        if column.required && self.via().is_none_or(|via| format!("columns.{via}") != key) {
            let fault = "a reference becomes null when the row that it names is deleted: leave `required` out, or make the row a \
                         part of that one with owner = { via = \"<this column>\" }";
            self.complain(key, fault);
        }
    }

    /// The column that the owner comes through.
    fn via(&self) -> Option<&str> {
        self.block.owner.as_ref()?.get("via")?.as_str()
    }

    fn scope(&mut self, columns: &BTreeMap<String, Declared>) -> Option<ScopeRule> {
        const WANTED: &str = "must be \"user_id\", \"catalogue\", or { via = \"<column>\" }";
        match &self.block.owner {
            None => self.complain("", format!("has no owner, which says whose a row is; it {WANTED}")),
            Some(Value::String(rule)) if rule == "user_id" => return Some(ScopeRule::Owner),
            Some(Value::String(rule)) if rule == "catalogue" => return Some(ScopeRule::OwnerOrGlobal),
            Some(Value::Object(rule)) if rule.len() == 1 && rule.get("via").is_some_and(Value::is_string) => {
                let via = self.via().unwrap_or_default().to_owned();
                match columns.get(&via) {
                    Some(Declared { references: Some(parent), .. }) if parent == self.name => {
                        let wanted = "must name a column that refers to another table: no row could be the first one";
                        self.complain("owner.via", wanted);
                    }
                    Some(Declared { references: Some(parent), required: true, .. }) => {
                        return Some(ScopeRule::Via { column: kept(&via), parent: kept(parent) });
                    }
                    // Why it is none of them is said already.
                    None if self.block.columns.contains_key(&via) => {}
                    _ => {
                        let wanted =
                            "must name a column with type = \"uuid\", required = true and references = \"<table>\"";
                        self.complain("owner.via", wanted);
                    }
                }
            }
            Some(_) => self.complain("owner", WANTED),
        }
        None
    }

    fn strategy(&mut self) -> Strategy {
        let Some(said) = &self.block.strategy else { return Strategy::default() };
        serde_json::from_value(said.clone()).unwrap_or_else(|_| {
            self.complain("strategy", "must be \"server_wins\", \"client_wins\", \"merge\" or \"manual\"");
            Strategy::default()
        })
    }

    fn ordered(&mut self, columns: &BTreeMap<String, Declared>) -> Vec<(String, String)> {
        let Some(said) = &self.block.ordered else { return Vec::new() };
        let Ok(pairs) = serde_json::from_value::<Vec<(String, String)>>(said.clone()) else {
            self.complain("ordered", "must be pairs of columns, such as [[\"began_at\", \"ended_at\"]]");
            return Vec::new();
        };
        for (earlier, later) in &pairs {
            let kinds = [earlier, later].map(|name| columns.get(name).map(|column| column.kind));
            let fits = match kinds {
                [Some(Type::Time), Some(Type::Time)] => true,
                [Some(a), Some(b)] => a.is_numeric() && b.is_numeric(),
                // A column with a fault of its own is told of there.
                [a, b] => {
                    let has_fault =
                        |name: &String, kind: Option<Type>| kind.is_some() || self.block.columns.contains_key(name);
                    has_fault(earlier, a) && has_fault(later, b)
                }
            };
            if !fits {
                let fault = format!("{earlier:?} and {later:?} must be two columns of times, or of numbers");
                self.complain("ordered", fault);
            }
        }
        pairs
    }

    fn domain(&mut self) -> String {
        match &self.block.domain {
            None => DOMAIN.into(),
            Some(Value::String(name)) if !name.is_empty() && name.chars().count() <= LONGEST_DOMAIN => name.clone(),
            Some(_) => {
                self.complain("domain", format!("must be a text of 1 to {LONGEST_DOMAIN} characters"));
                DOMAIN.into()
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! One declared column: from `{ type = "integer", min = 1 }` to its JSON Schema.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::Merge;
use crate::column::Kind;

/// The most values of an enum.
const MOST_VALUES: usize = 200;
/// The longest value of an enum, in characters.
const LONGEST_VALUE: usize = 200;
/// The most that `length` may allow, in characters.
const LONGEST_TEXT: u64 = 1_000_000;

/// The keys of a column.
const KEYS: [&str; 9] = ["type", "required", "default", "min", "max", "length", "values", "references", "merge"];

/// A fault: the key below the column, or nothing for the column itself, and what to do.
type Fault = (&'static str, String);

/// A column as it was declared.
#[derive(Debug, PartialEq)]
pub(super) struct Declared {
    pub kind: Type,
    pub required: bool,
    pub references: Option<String>,
    /// Its JSON Schema.
    pub property: Value,
}

/// The type of a declared column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Uuid,
    Text,
    Integer,
    Number,
    Bool,
    Time,
    Json,
    TextList,
    Enum,
}

impl Type {
    /// Every type with its name.
    const ALL: [(Self, &'static str); 9] = [
        (Self::Uuid, "uuid"),
        (Self::Text, "text"),
        (Self::Integer, "integer"),
        (Self::Number, "number"),
        (Self::Bool, "bool"),
        (Self::Time, "time"),
        (Self::Json, "json"),
        (Self::TextList, "text_list"),
        (Self::Enum, "enum"),
    ];

    fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    pub(super) fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Number)
    }

    /// The JSON Schema of its values.
    fn property(self) -> Map<String, Value> {
        let property = match self {
            Self::Uuid => json!({"type": "string", "format": "uuid"}),
            Self::Text | Self::Enum => json!({"type": "string"}),
            Self::Integer => json!({"type": "integer", "format": "int32"}),
            Self::Number => json!({"type": "number"}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::Json => json!({"type": ["object", "array", "string", "number", "boolean"]}),
            Self::TextList => json!({"type": "array", "items": {"type": "string"}}),
        };
        property.as_object().cloned().unwrap_or_default()
    }

    fn takes(self, merge: Merge) -> bool {
        match merge {
            Merge::Latest => true,
            Merge::Max | Merge::Min => self.is_numeric() || self == Self::Time,
            Merge::Sum => self.is_numeric(),
            Merge::Or => self == Self::Bool,
            Merge::Union => self == Self::TextList,
        }
    }
}

/// Reads a column.
pub(super) fn declared(said: &Value) -> Result<Declared, Vec<Fault>> {
    let Some(said) = said.as_object() else {
        let fault =
            "must say what it is, such as { type = \"text\" }; a name alone is for the tables of an adopted database";
        return Err(vec![("", fault.into())]);
    };
    let mut faults: Vec<Fault> = Vec::new();
    let unknown: Vec<&str> = said.keys().map(String::as_str).filter(|key| !KEYS.contains(key)).collect();
    if !unknown.is_empty() {
        let fault = format!("there is no key {}; a column has {}", unknown.join(", "), KEYS.join(", "));
        faults.push(("", fault));
    }
    let Some(kind) = type_of(said, &mut faults) else { return Err(faults) };
    let mut reader = Reader { said, kind, property: kind.property(), faults };
    let required = reader.required();
    reader.bounds();
    reader.length();
    reader.values();
    let references = reader.references();
    reader.merge();
    reader.default(required, references.is_some());
    if !required && !reader.property.contains_key("default") {
        reader.nullable();
    }
    let Reader { property, faults, .. } = reader;
    if faults.is_empty() {
        Ok(Declared { kind, required, references, property: Value::Object(property) })
    } else {
        Err(faults)
    }
}

fn type_of(said: &Map<String, Value>, faults: &mut Vec<Fault>) -> Option<Type> {
    let names = Type::ALL.map(|(_, name)| name).join(", ");
    let Some(named) = said.get("type") else {
        faults.push(("", format!("has no type; the types are {names}")));
        return None;
    };
    let kind = named.as_str().and_then(Type::of);
    if kind.is_none() {
        faults.push(("type", format!("there is no type {named}; the types are {names}")));
    }
    kind
}

struct Reader<'a> {
    said: &'a Map<String, Value>,
    kind: Type,
    property: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, key: &'static str, fault: impl Into<String>) {
        self.faults.push((key, fault.into()));
    }

    fn required(&mut self) -> bool {
        match self.said.get("required") {
            None => false,
            Some(Value::Bool(required)) => *required,
            Some(_) => {
                self.fault("required", "must be true or false");
                false
            }
        }
    }

    fn bounds(&mut self) {
        for (key, name) in [("min", "minimum"), ("max", "maximum")] {
            let Some(bound) = self.said.get(key) else { continue };
            let is_whole = bound.as_i64().is_some_and(|bound| i32::try_from(bound).is_ok());
            if !self.kind.is_numeric() {
                self.fault(key, "is for the types integer and number; the length of a text is `length`");
            } else if !bound.is_number() || (self.kind == Type::Integer && !is_whole) {
                self.fault(key, "must be a number, of an integer a whole one of at most 32 bits");
            } else {
                self.property.insert(name.into(), bound.clone());
            }
        }
        let bound = |name| self.property.get(name).and_then(Value::as_f64);
        if bound("minimum").zip(bound("maximum")).is_some_and(|(least, most)| least > most) {
            self.fault("min", "must not be greater than max");
        }
    }

    fn length(&mut self) {
        let Some(length) = self.said.get("length") else { return };
        match length.as_u64() {
            _ if self.kind != Type::Text => self.fault("length", "is for the type text"),
            Some(most @ 1..=LONGEST_TEXT) => drop(self.property.insert("maxLength".into(), most.into())),
            _ => self.fault("length", format!("must be a whole number from 1 to {LONGEST_TEXT}, in characters")),
        }
    }

    fn values(&mut self) {
        let values = self.said.get("values");
        if self.kind != Type::Enum {
            if values.is_some() {
                self.fault("values", "is for the type enum");
            }
            return;
        }
        let is_value = |value: &Value| {
            let text = value.as_str();
            text.is_some_and(|text| !text.is_empty() && text.chars().count() <= LONGEST_VALUE && !text.contains('\0'))
        };
        let list = values.and_then(Value::as_array).filter(|list| {
            let distinct: BTreeSet<&str> = list.iter().filter_map(Value::as_str).collect();
            (1..=MOST_VALUES).contains(&list.len()) && list.iter().all(is_value) && distinct.len() == list.len()
        });
        match list {
            Some(list) => drop(self.property.insert("enum".into(), list.clone().into())),
            None => {
                let key = if values.is_some() { "values" } else { "" };
                self.fault(
                    key,
                    format!("an enum has values = [\"a\", \"b\"]: 1 to {MOST_VALUES} different texts of at most {LONGEST_VALUE} characters"),
                );
            }
        }
    }

    fn references(&mut self) -> Option<String> {
        let parent = self.said.get("references")?;
        match parent.as_str() {
            _ if self.kind != Type::Uuid => self.fault("references", "is for the type uuid"),
            Some(parent) => {
                self.property.insert("x-references".into(), parent.into());
                return Some(parent.to_owned());
            }
            None => self.fault("references", "must be the name of a table, in quotes"),
        }
        None
    }

    fn merge(&mut self) {
        let Some(said) = self.said.get("merge") else { return };
        match serde_json::from_value::<Merge>(said.clone()) {
            Ok(merge) if self.kind.takes(merge) => drop(self.property.insert("x-merge".into(), said.clone())),
            Ok(_) => self.fault(
                "merge",
                "does not fit the type: max and min are for numbers and times, sum for numbers, or for bool, union for text_list",
            ),
            Err(_) => self.fault("merge", "must be \"latest\", \"max\", \"min\", \"or\", \"union\" or \"sum\""),
        }
    }

    fn default(&mut self, required: bool, is_reference: bool) {
        let Some(default) = self.said.get("default") else { return };
        if required {
            return self.fault(
                "required",
                "can't be true beside a default, which stands in for what an insert leaves out; take one of both away",
            );
        }
        if is_reference {
            return self.fault("default", "a reference has none: leave it out, and the column may be null");
        }
        let schema = Value::Object(self.property.clone());
        let validator = jsonschema::options().should_validate_formats(true).build(&schema);
        let fits = validator.is_ok_and(|validator| validator.is_valid(default));
        match Kind::of_property(&schema).canonical(default.clone()).filter(|_| fits) {
            Some(canonical) => drop(self.property.insert("default".into(), canonical)),
            // What is wrong with the type's own bounds is told there.
            None if !self.faults.is_empty() => {}
            None => self.fault("default", "must be a value that the column takes"),
        }
    }

    /// Lets the column be null.
    fn nullable(&mut self) {
        if let Some(kinds) = self.property.get_mut("type") {
            let mut types = kinds.as_array().cloned().unwrap_or_else(|| vec![kinds.clone()]);
            types.push("null".into());
            *kinds = types.into();
        }
        if let Some(Value::Array(values)) = self.property.get_mut("enum") {
            values.push(Value::Null);
        }
    }
}

//! Tables that no migration makes: what is missing of them in a database, and what of them can't be had. Pure; both backends read
//! their catalogues into it, and make what it says.

use std::collections::BTreeSet;

use ryzed_adapters::{Column, Kind, Table};

use super::StoreError;

/// A column as a database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundColumn {
    pub name: String,
    /// Its type, as SQL writes it.
    pub sql_type: String,
    /// True if it takes NULL.
    pub nullable: bool,
    /// True if the database fills it in a row that does not bring a value.
    pub fills_itself: bool,
    /// True if it alone is the primary key.
    pub is_key: bool,
    /// The table that it refers to, and what happens to the row when that one is deleted, as SQL writes it.
    pub references: Option<(String, String)>,
    /// True if it stands first in an index.
    pub is_indexed: bool,
}

/// A part that is missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step<'t> {
    /// A column.
    Column(&'t Column),
    /// The index of a column that refers to another table.
    Index(&'t Column),
}

/// The action on a row when the one is deleted that a column refers to.
pub(super) fn on_delete(table: &Table, column: &Column) -> &'static str {
    if table.is_part_by(&column.name) { "CASCADE" } else { "SET NULL" }
}

/// The parts that a table lacks which is there.
///
/// # Errors
/// What can't be added: the key of the configuration, and what to do.
pub(super) fn missing<'t>(
    table: &'t Table,
    found: &[FoundColumn],
    type_of: fn(Kind) -> &'static str,
) -> Result<Vec<Step<'t>>, Vec<String>> {
    let (mut steps, mut faults) = (Vec::new(), Vec::new());
    let of = |name: &str| found.iter().find(|column| column.name == name);
    if !of("id").is_some_and(|id| id.is_key) {
        let fault =
            "is another table in the database, with no primary key id: rename that one, or give this one another name";
        return Err(vec![told(table, None, fault)]);
    }
    for column in table.every_column() {
        let judged = match of(&column.name) {
            None => new_column(column),
            Some(found) => kept_column(table, column, found, type_of(column.kind)),
        };
        let is_new = of(&column.name).is_none();
        match judged {
            Ok(()) if is_new => steps.push(Step::Column(column)),
            Ok(()) => {}
            Err(fault) => faults.push(told(table, Some(&column.name), &fault)),
        }
        if column.references.is_some() && !of(&column.name).is_some_and(|found| found.is_indexed) {
            steps.push(Step::Index(column));
        }
    }
    let known: BTreeSet<&str> = table.every_column().map(|column| column.name.as_str()).collect();
    for other in found.iter().filter(|column| !known.contains(column.name.as_str())) {
        if !other.nullable && !other.fills_itself {
            let fault = format!(
                "is not in the block, and the database wants a value in it, so that no device could make a row: put it back into \
                 the block, or say ALTER TABLE {} DROP COLUMN {}, which loses its values",
                table.name, other.name
            );
            faults.push(told(table, Some(&other.name), &fault));
        }
    }
    if faults.is_empty() { Ok(steps) } else { Err(faults) }
}

fn new_column(column: &Column) -> Result<(), String> {
    if is_base(&column.name) {
        return Err(
            "is missing in the database: the table there is another one; rename it, or give this one another name"
                .into(),
        );
    }
    if column.nullable || column.default.is_some() {
        return Ok(());
    }
    Err("can't be added as a column that is required, since rows are there that have no value for it: give it a default, or leave \
         `required` out"
        .into())
}

fn kept_column(table: &Table, column: &Column, found: &FoundColumn, sql_type: &str) -> Result<(), String> {
    if !found.sql_type.eq_ignore_ascii_case(sql_type) {
        return Err(format!(
            "is {} in the database and would be {sql_type}: put the type back, or take another name for the new column",
            found.sql_type
        ));
    }
    if found.nullable && !column.nullable {
        return Err(
            "may be null in the database, and the block allows it no more: leave `required` and `default` out, or take another \
             name for the new column"
                .into(),
        );
    }
    if !found.nullable && column.nullable {
        return Err(
            "is never null in the database, and the block allows it: write `required = true` or a default".into()
        );
    }
    let wanted = column.references.as_deref().map(|parent| (parent, on_delete(table, column)));
    let has = found.references.as_ref().map(|(parent, rule)| (parent.as_str(), rule.as_str()));
    if wanted != has {
        let words = |refers: Option<(&str, &str)>| match refers {
            Some((parent, rule)) => format!("refers to {parent} (ON DELETE {rule})"),
            None => "refers to nothing".into(),
        };
        return Err(format!(
            "{} in the database, and by the block it {}: put it back, or take another name for the new column",
            words(has),
            words(wanted)
        ));
    }
    Ok(())
}

fn is_base(name: &str) -> bool {
    matches!(name, "id" | "user_id" | "created_at" | "updated_at")
}

fn told(table: &Table, column: Option<&str>, fault: &str) -> String {
    let below = column.map_or(String::new(), |column| format!(".columns.{column}"));
    format!("tables.{}{below}: {fault}", table.name)
}

/// The error for a database whose tables can't become what the configuration declares.
pub(super) fn refused(faults: &[String]) -> StoreError {
    StoreError::Unsuitable(format!(
        "the tables that the configuration declares are other ones in the database, and the daemon only ever adds to them. Nothing \
         was changed.\n{}",
        faults.join("\n")
    ))
}

/// The error for a command beside the daemon that meets a database in which declared tables are not made yet.
pub(super) fn unmade(tables: &[&str]) -> StoreError {
    StoreError::Unsuitable(format!(
        "the database lacks what the configuration declares of {}: start the daemon on it, or run `ryzed migrate` while none is \
         running",
        tables.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ryzed_adapters::{Registry, TableBlock};
    use serde_json::{Value, json};

    use super::*;

    fn table(columns: Value) -> Registry {
        let columns = columns.as_object().cloned().unwrap_or_default().into_iter().collect();
        let block = TableBlock { owner: Some(json!("user_id")), columns, ..TableBlock::default() };
        Registry::standard().declaring(&BTreeMap::from([("logs".to_owned(), block)])).expect("a table")
    }

    fn sql_type(kind: Kind) -> &'static str {
        match kind {
            Kind::Integer => "INTEGER",
            _ => "TEXT",
        }
    }

    /// The table as it is made of this block.
    fn made(columns: Value) -> Vec<FoundColumn> {
        let registry = table(columns);
        let table = registry.get("logs").expect("the table");
        let of = |column: &Column| FoundColumn {
            name: column.name.clone(),
            sql_type: sql_type(column.kind).into(),
            nullable: column.nullable,
            fills_itself: column.default.is_some() || column.name.ends_with("_at"),
            is_key: column.name == "id",
            references: column.references.clone().map(|parent| (parent, on_delete(table, column).into())),
            is_indexed: column.references.is_some(),
        };
        table.every_column().map(of).collect()
    }

    fn judged(before: Value, now: Value) -> Result<Vec<String>, String> {
        let registry = table(now);
        let steps = missing(registry.get("logs").expect("the table"), &made(before), sql_type);
        let word = |step: Step<'_>| match step {
            Step::Column(column) => format!("column {}", column.name),
            Step::Index(column) => format!("index {}", column.name),
        };
        steps.map(|steps| steps.into_iter().map(word).collect()).map_err(|faults| faults.join("\n"))
    }

    #[test]
    fn what_only_adds_is_added() {
        let a = json!({"type": "text"});
        assert_eq!(judged(json!({"a": a}), json!({"a": a})), Ok(vec![]));
        let more =
            json!({"a": a, "b": {"type": "integer", "default": 1}, "c": {"type": "uuid", "references": "foods"}});
        assert_eq!(
            judged(json!({"a": a}), more.clone()),
            Ok(["column b", "column c", "index c"].map(String::from).into())
        );
        assert_eq!(
            judged(more, json!({"a": {"type": "text", "length": 9}})),
            Ok(vec![]),
            "what may be left out may go"
        );
    }

    #[test]
    fn anything_else_is_refused_with_what_to_do() {
        let a = |said: Value| json!({"a": said, "z": {"type": "text"}});
        for (before, now, words) in [
            (json!({"type": "text"}), json!({"type": "integer"}), "tables.logs.columns.a: is TEXT in the database"),
            (json!({"type": "text"}), json!({"type": "text", "required": true}), "may be null in the database"),
            (json!({"type": "text", "required": true}), json!({"type": "text"}), "never null"),
            (
                json!({"type": "uuid"}),
                json!({"type": "uuid", "references": "foods"}),
                "refers to nothing in the database",
            ),
            (
                json!({"type": "uuid", "references": "foods"}),
                json!({"type": "uuid"}),
                "refers to foods (ON DELETE SET NULL)",
            ),
        ] {
            let fault = judged(a(before.clone()), a(now.clone())).expect_err("a refusal");
            assert!(fault.contains(words), "{before} to {now}: {fault}");
        }
        let z = json!({"z": {"type": "text"}});
        let fault = judged(z.clone(), a(json!({"type": "text", "required": true}))).expect_err("a refusal");
        assert!(fault.contains("give it a default"), "{fault}");
        let fault = judged(a(json!({"type": "text", "required": true})), z).expect_err("a refusal");
        assert!(fault.contains("ALTER TABLE logs DROP COLUMN a"), "{fault}");
    }

    #[test]
    fn another_table_of_the_name_is_left_alone() {
        let registry = table(json!({"a": {"type": "text"}}));
        let logs = registry.get("logs").expect("the table");
        let mut other = made(json!({"a": {"type": "text"}}));
        other[0].is_key = false;
        assert!(missing(logs, &other, sql_type).expect_err("a refusal")[0].contains("is another table"));
        let mut other = made(json!({"a": {"type": "text"}}));
        other.retain(|column| column.name != "updated_at");
        assert!(missing(logs, &other, sql_type).expect_err("a refusal")[0].contains("updated_at: is missing"));
    }
}

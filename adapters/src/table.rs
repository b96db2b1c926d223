//! A table as the daemon works with it: a spec compiled once, at start.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use jsonschema::Validator;
use serde_json::Value;

use crate::column::{Column, Kind, format_time, is_nullable};
use crate::restrict::{self, ColumnFacts};
use crate::schema::{MARKS, UNSAID};
use crate::{
    FieldError, Merge, Row, ScopeRule, Sighting, Strategy, TableAdapter, TableRules, TableSpec, check, code, ordered,
    schema,
};

/// Hours that a row's times may lie ahead of the server's clock, unless more is allowed.
const FUTURE_HOURS: u32 = 24;

/// A compiled spec.
pub struct Table {
    /// The table's name in the database and on the wire.
    pub name: &'static str,
    /// The name of the part of the app that it belongs to.
    pub domain: &'static str,
    /// The rule that finds a row's scope.
    pub scope: ScopeRule,
    /// The strategy for conflicts when the request names none.
    pub strategy: Strategy,
    /// Every column that travels, the base columns first.
    pub columns: Vec<Column>,
    /// The hidden columns.
    pub hidden: Vec<Column>,
    /// The JSON Schema of one row as it travels.
    pub schema: Value,
    /// True if the table belongs to an application whose database was there before, see [`Table::restricted_to`].
    pub is_external: bool,
    /// True if no migration makes the table: the daemon generates its DDL, and adds columns to it.
    pub is_generated: bool,
    /// Hours that a row's times may lie ahead of the server's clock.
    future_hours: u32,
    whole: Validator,
    patch: Validator,
    /// Pairs of columns of which the later one must not be less than the earlier one, where a row has both.
    pub ordered: Vec<(String, String)>,
    check: Option<fn(&Row) -> Vec<FieldError>>,
}

/// The purpose of an uploaded row, which decides the fields that it must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A whole row: required fields must be there.
    Whole,
    /// Some fields of a row that exists.
    Patch,
}

impl Table {
    /// Compiles a spec.
    ///
    /// # Panics
    /// If its JSON Schema is not one, which the first test run shows.
    #[must_use]
    pub fn new(spec: TableSpec) -> Self {
        let row = schema::of_row(spec.name, spec.scope, &spec.schema);
        Self {
            name: spec.name,
            domain: spec.domain,
            scope: spec.scope,
            strategy: spec.strategy,
            columns: columns_of(&row, spec.scope),
            hidden: Vec::new(),
            is_external: false,
            is_generated: spec.is_generated,
            future_hours: FUTURE_HOURS.max(spec.future_hours),
            whole: compile(&row),
            patch: compile(&schema::of_patch(&row)),
            schema: row,
            ordered: spec.ordered,
            check: spec.check,
        }
    }

    /// Compiles an adapter.
    #[must_use]
    pub fn of<T: TableAdapter>() -> Self {
        Self::new(TableSpec::of::<T>())
    }

    /// The same table with the columns that a database has, which was there before and belongs to an application. Rows have
    /// these columns and no others, but for hidden ones; of an edit, only what it brings is written.
    #[must_use]
    pub fn restricted_to(&self, columns: &[ColumnFacts], has_table: impl Fn(&str) -> bool) -> Self {
        let row = restrict::schema(&self.schema, columns, has_table);
        let named = |which: fn(&ColumnFacts) -> bool| -> BTreeSet<&str> {
            columns.iter().filter(|column| which(column)).map(|column| column.name.as_str()).collect()
        };
        let mut all = columns_of(&row, self.scope);
        for column in &mut all {
            if let Some(fitting) = columns.iter().find(|fitting| fitting.name == column.name) {
                column.is_computed = fitting.is_computed;
                column.fills_itself = fitting.fills_itself;
            }
        }
        self.to_wire(&row, all, &named(|column| column.is_hidden), &named(|column| column.read_only), true)
    }

    /// The same table under the rules of the configuration, where it is one of our own.
    ///
    /// # Errors
    /// What makes no sense: the key of `[tables.<table>]`, and what to do.
    pub fn ruled(&self, rules: &TableRules) -> Result<Self, (&'static str, String)> {
        let sightings: Vec<Sighting> =
            self.columns.iter().map(|column| Sighting::own(&column.name, self.is_key(&column.name))).collect();
        if let Some(complaint) = rules.complaints(&sightings).into_iter().next() {
            return Err(complaint);
        }
        let foreign = [("send", &rules.send), ("write", &rules.write), ("references", &rules.references)];
        if let Some((list, _)) = foreign.into_iter().find(|(_, names)| !names.is_empty()) {
            return Err((list, "is for the columns of an application, and this database is the daemon's own".into()));
        }
        for (list, names) in [("hidden", &rules.hidden), ("read_only", &rules.read_only)] {
            let needed = self.columns.iter().find(|column| column.required && names.contains(&column.name));
            if let Some(column) = needed {
                let name = &column.name;
                let complaint = format!(
                    "no device could make a row: {name} must be given, and has no default; take it out of the list"
                );
                return Err((list, complaint));
            }
        }
        let hidden = rules.hidden.iter().map(String::as_str).collect();
        let read_only = rules.read_only.iter().map(String::as_str).collect();
        Ok(self.to_wire(&self.schema, self.columns.clone(), &hidden, &read_only, self.is_external))
    }

    /// The same table with these columns, of which some are hidden and others are not written by devices.
    fn to_wire(
        &self,
        row: &Value,
        columns: Vec<Column>,
        hidden: &BTreeSet<&str>,
        read_only: &BTreeSet<&str>,
        is_external: bool,
    ) -> Self {
        let row = restrict::shown(row, hidden, read_only);
        let (hidden, mut columns): (Vec<Column>, Vec<Column>) =
            columns.into_iter().partition(|column| hidden.contains(column.name.as_str()));
        for column in &mut columns {
            column.read_only = read_only.contains(column.name.as_str());
        }
        Self {
            name: self.name,
            domain: self.domain,
            scope: self.scope,
            strategy: self.strategy,
            columns,
            hidden,
            is_external,
            is_generated: self.is_generated,
            future_hours: self.future_hours,
            whole: compile(&row),
            patch: compile(&schema::of_patch(&row)),
            schema: row,
            ordered: self.ordered.clone(),
            check: self.check,
        }
    }

    /// Lets a row's times lie so many hours ahead of the server's clock, where the adapter does not allow more.
    pub(crate) fn allow_ahead(&mut self, hours: u32) {
        let own = if self.future_hours > FUTURE_HOURS { self.future_hours } else { 0 };
        self.future_hours = own.max(hours);
    }

    /// True if the column identifies a row, or its owner.
    #[must_use]
    pub fn is_key(&self, name: &str) -> bool {
        name == "id" || name == self.scope.column()
    }

    /// True where devices may make rows: not where a row's id names something elsewhere that no device sees.
    #[must_use]
    pub fn takes_rows(&self) -> bool {
        self.column("id").is_none_or(|id| !id.read_only)
    }

    /// Every column that the table has, hidden ones included.
    pub fn every_column(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().chain(&self.hidden)
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Columns that point to other tables, with the table they point to.
    pub fn references(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns.iter().filter_map(|c| c.references.as_deref().map(|parent| (c.name.as_str(), parent)))
    }

    /// True if a row is a part of the row that `column` names, and goes when that one is deleted. Any other reference
    /// becomes null then.
    #[must_use]
    pub fn is_part_by(&self, column: &str) -> bool {
        column == "user_id" || matches!(self.scope, ScopeRule::Via { column: above, .. } if above == column)
    }

    /// The row without what a client merely sends back of columns that it may not write.
    ///
    /// # Errors
    /// Every such column for which it brings another value. Where the operator writes, only the database's own are such.
    pub fn without_read_only(
        &self,
        mut row: Row,
        is_operators: bool,
        is_sent_back: impl Fn(&Column, &Value) -> bool,
    ) -> Result<Row, Vec<FieldError>> {
        let mut refused = Vec::new();
        let is_closed = |column: &&Column| column.is_computed || (column.read_only && !is_operators);
        for column in self.columns.iter().filter(is_closed).filter(|column| column.name != "id") {
            let Some(value) = row.get(&column.name) else { continue };
            if column.name == "updated_at" || is_sent_back(column, value) {
                row.remove(&column.name);
            } else {
                let who = if column.is_computed { "the database alone" } else { "others than devices" };
                let message = format!("is set by {who}; leave it out");
                refused.push(FieldError::new(&column.name, code::READ_ONLY, message));
            }
        }
        if refused.is_empty() { Ok(row) } else { Err(refused) }
    }

    /// Checks a row that came from outside and brings every value into its one form.
    ///
    /// `now` is the newest time that is known, by which a time counts as one of the future.
    /// `null` in a column that has a default and holds none means the default. `_version`, `_unsaid` and `updated_at` are dropped: clients send back what they got, and these are the server's.
    ///
    /// # Errors
    /// Every field that is at fault.
    pub fn accept(&self, mut row: Row, purpose: Purpose, now: DateTime<Utc>) -> Result<Row, Vec<FieldError>> {
        leave_unsaid(&mut row);
        row.remove("_version");
        row.remove("updated_at");
        self.fill_nulls(&mut row, purpose);
        let row = Value::Object(row);
        let validator = if purpose == Purpose::Whole { &self.whole } else { &self.patch };
        if !validator.is_valid(&row) {
            return Err(check::explained(validator, &row));
        }
        let Value::Object(row) = row else { return Ok(Row::new()) };
        self.canonical(row, now)
    }

    /// `null` where a column that need not be given holds none is what a client sends that writes whole objects and knows
    /// nothing of the field. It means the column's default, or where the server fills the column, nothing.
    fn fill_nulls(&self, row: &mut Row, purpose: Purpose) {
        for column in self.columns.iter().filter(|column| !column.nullable && !column.required) {
            let Some(value) = row.get_mut(&column.name).filter(|value| value.is_null()) else { continue };
            match &column.default {
                Some(default) => value.clone_from(default),
                None if is_stamp(&column.name) || purpose == Purpose::Whole => drop(row.remove(&column.name)),
                None => {}
            }
        }
    }

    /// Checks the rules that span fields, on the row as it would be stored.
    ///
    /// # Errors
    /// What contradicts.
    pub fn check(&self, row: &Row) -> Result<(), Vec<FieldError>> {
        let pairs = self.ordered.iter().filter_map(|(earlier, later)| ordered(row, earlier, later));
        let errors: Vec<FieldError> = pairs.chain(self.check.into_iter().flat_map(|check| check(row))).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Fills what an insert left out: the column's default, else null. What the database fills by itself stays out, and so does
    /// what devices may not write of an application's.
    pub fn complete(&self, row: &mut Row, now: DateTime<Utc>) {
        for column in &self.columns {
            let is_the_databases =
                (column.fills_itself && column.default.is_none()) || (column.read_only && self.is_external);
            let is_left = column.is_computed || (is_the_databases && !is_stamp(&column.name));
            if !is_left && !row.contains_key(&column.name) {
                let value = match column.name.as_str() {
                    name if is_stamp(name) => Value::from(format_time(now)),
                    _ => column.default.clone().unwrap_or(Value::Null),
                };
                row.insert(column.name.clone(), value);
            }
        }
    }

    fn canonical(&self, row: Row, now: DateTime<Utc>) -> Result<Row, Vec<FieldError>> {
        let latest = format_time(now + TimeDelta::hours(self.future_hours.into()));
        let mut errors = Vec::new();
        let mut canonical = Row::new();
        for (name, value) in row {
            let kind = self.column(&name).map_or(Kind::Json, |column| column.kind);
            match kind.canonical(value) {
                Some(Value::String(time)) if kind == Kind::Time && time > latest => {
                    let message = format!(
                        "is more than {} h ahead of the server's clock; keep the change and send it again later",
                        self.future_hours
                    );
                    errors.push(FieldError::new(name, code::IN_FUTURE, message));
                }
                Some(value) => {
                    canonical.insert(name, value);
                }
                None => errors.push(FieldError::new(name, code::OUT_OF_RANGE, "can't be stored in this column")),
            }
        }
        if errors.is_empty() { Ok(canonical) } else { Err(errors) }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

fn compile(schema: &Value) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap_or_else(|error| panic!("the table's JSON Schema is not one: {error}"))
}

fn columns_of(row: &Value, scope: ScopeRule) -> Vec<Column> {
    let required: Vec<&str> = row["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut columns: Vec<Column> = row["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !MARKS.contains(&name.as_str()))
        .map(|(name, property)| Column {
            name: name.clone(),
            kind: Kind::of_property(property),
            required: required.contains(&name.as_str()),
            nullable: is_nullable(property),
            default: property.get("default").filter(|value| !value.is_null()).cloned(),
            references: property.get("x-references").and_then(Value::as_str).map(str::to_owned),
            merge: property.get("x-merge").map_or(Merge::default(), merge_of),
            read_only: false,
            is_computed: false,
            fills_itself: false,
        })
        .collect();
    if let ScopeRule::Via { column, .. } = scope {
        debug_assert!(columns.iter().any(|c| c.name == column), "no column {column} to find the owner by");
    }
    columns.sort_by_key(|column| base_rank(&column.name));
    columns
}

/// A client that writes whole objects sends back `null` for what could not be said, and the list of it: neither is an edit.
fn leave_unsaid(row: &mut Row) {
    let Some(Value::Array(names)) = row.remove(UNSAID) else { return };
    for name in names.iter().filter_map(Value::as_str) {
        if row.get(name).is_some_and(Value::is_null) {
            row.remove(name);
        }
    }
}

fn is_stamp(name: &str) -> bool {
    matches!(name, "created_at" | "updated_at")
}

fn merge_of(value: &Value) -> Merge {
    serde_json::from_value(value.clone()).unwrap_or_else(|_| panic!("x-merge is a Merge, not {value}"))
}

/// The base columns stand around the table's own, as in the migrations.
fn base_rank(name: &str) -> u8 {
    match name {
        "id" => 0,
        "user_id" => 1,
        "created_at" => 3,
        "updated_at" => 4,
        _ => 2,
    }
}

//! A resolved conflict, and the size limits of its report.

use std::collections::HashSet;

use ryzed_adapters::Strategy;
use serde_json::Value;

use crate::sync::weight::Weight;
use crate::sync::wire::ConflictField;

/// Of a value over so many bytes it is told once a request what the server holds: whoever edits it again and again has no
/// new one to hear of.
const LONG: usize = 16 << 10;

/// A conflict, and what settled it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedConflict {
    /// The strategy that settled it.
    pub strategy: Strategy,
    /// Field by field.
    pub fields: Vec<ConflictField>,
    /// The bytes that it took to settle and report it.
    pub cost: Cost,
}

/// The cost of a conflict, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Values that are told, beside those that the client has sent.
    pub told: usize,
    /// Those of them that are nowhere else any more.
    pub lost: usize,
    /// The bytes that the merge went through.
    pub merged: usize,
}

/// The limits on reporting a conflict. A value that lost against the client's is always reported. What stays in the row
/// can be had from there, so it is left out when there is no room, or when it is long and was told before.
#[derive(Debug)]
pub struct Telling<'t> {
    /// The fields of the row of which the request was told before.
    told: &'t HashSet<String>,
    room: usize,
    cost: Cost,
}

impl<'t> Telling<'t> {
    pub(super) fn new(told: &'t HashSet<String>, room: usize) -> Self {
        Self { told, room, cost: Cost::default() }
    }

    /// A field, as far as there is room. What the server held `is_lost` when nobody will find it in the row.
    pub(super) fn field(
        &mut self,
        field: &str,
        base: Option<&Value>,
        server: &Value,
        client: Value,
        resolved: &Value,
        is_lost: bool,
    ) -> ConflictField {
        let is_new = !self.told.contains(field);
        ConflictField {
            field: field.to_owned(),
            server: if is_lost { Some(self.lost(server)) } else { self.optional(server, is_new) },
            base: self.optional(base.unwrap_or(&Value::Null), is_new),
            resolved: self.optional(resolved, is_new),
            client: Some(client),
        }
    }

    /// Notes that so much was gone through.
    pub(super) fn merged(&mut self, value: &Value) {
        self.cost.merged += Weight::of(value).bytes;
    }

    pub(super) fn met(self, strategy: Strategy, fields: Vec<ConflictField>) -> ResolvedConflict {
        ResolvedConflict { strategy, fields, cost: self.cost }
    }

    fn lost(&mut self, value: &Value) -> Value {
        let bytes = Weight::of(value).bytes;
        self.cost.lost += bytes;
        self.take(bytes);
        value.clone()
    }

    fn optional(&mut self, value: &Value, is_new: bool) -> Option<Value> {
        let most = if is_new { self.room } else { self.room.min(LONG) };
        let bytes = Weight::within(value, most)?.bytes;
        self.take(bytes);
        Some(value.clone())
    }

    fn take(&mut self, bytes: usize) {
        self.cost.told += bytes;
        self.room = self.room.saturating_sub(bytes);
    }
}

//! The rules by which the `merge` strategy settles one field that two sides changed.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The rule that makes one value of a column's conflicting values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// The write that arrives last.
    #[default]
    Latest,
    /// The greater one: for what only grows, such as a distance.
    Max,
    /// The smaller one: for what only shrinks, such as a start time.
    Min,
    /// True when either is: for what can't be undone, such as "finished".
    Or,
    /// The elements of both lists, the server's first.
    Union,
    /// Both changes added up: for counters. Needs the value both started from.
    Sum,
}

impl Merge {
    /// The settled value. `base` is what the client started from, when that is still known;
    /// `null` never beats a value.
    #[must_use]
    pub fn settle(self, base: Option<&Value>, server: &Value, client: &Value) -> Value {
        if server.is_null() || client.is_null() {
            return if client.is_null() { server } else { client }.clone();
        }
        match self {
            Self::Latest => client.clone(),
            Self::Max => pick(server, client, Ordering::Less),
            Self::Min => pick(server, client, Ordering::Greater),
            Self::Or => Value::Bool(server == &Value::Bool(true) || client == &Value::Bool(true)),
            Self::Union => union(server, client),
            Self::Sum => sum(base, server, client),
        }
    }
}

/// The client's value when the server's compares to it as `wanted`, else the server's.
fn pick(server: &Value, client: &Value, wanted: Ordering) -> Value {
    let order = match (server, client) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    };
    if order == Some(wanted) { client } else { server }.clone()
}

fn union(server: &Value, client: &Value) -> Value {
    let (Some(ours), Some(theirs)) = (server.as_array(), client.as_array()) else {
        return client.clone();
    };
    // A list of a device may be as long as a request takes, so nothing is looked for by going through it.
    let mut held: HashSet<&Value> = ours.iter().collect();
    let new: Vec<&Value> = theirs.iter().filter(|item| held.insert(item)).collect();
    Value::Array(ours.iter().chain(new).cloned().collect())
}

fn sum(base: Option<&Value>, server: &Value, client: &Value) -> Value {
    let Some(base) = base else {
        return client.clone();
    };
    if let (Some(b), Some(s), Some(c)) = (base.as_i64(), server.as_i64(), client.as_i64()) {
        return Value::from(s.saturating_add(c.saturating_sub(b)));
    }
    match (base.as_f64(), server.as_f64(), client.as_f64()) {
        (Some(b), Some(s), Some(c)) => Value::from(s + (c - b)),
        _ => client.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_rule_settles_as_its_name_says() {
        let settle = |rule: Merge, server: Value, client: Value| rule.settle(Some(&json!(5)), &server, &client);
        assert_eq!(settle(Merge::Latest, json!(1), json!(2)), json!(2));
        assert_eq!(settle(Merge::Max, json!(7), json!(6.5)), json!(7));
        assert_eq!(settle(Merge::Min, json!("2026-01-02"), json!("2026-01-01")), json!("2026-01-01"));
        assert_eq!(settle(Merge::Or, json!(true), json!(false)), json!(true));
        assert_eq!(settle(Merge::Union, json!(["a", "b"]), json!(["c", "a"])), json!(["a", "b", "c"]));
        assert_eq!(settle(Merge::Sum, json!(7), json!(6)), json!(8));
    }

    #[test]
    fn a_union_of_long_lists_takes_no_longer_than_reading_them() {
        const TAGS: usize = 300_000;
        let tags = |side: &str| (0..TAGS).map(|n| json!(format!("{side}{n}"))).collect::<Vec<_>>();
        let (ours, theirs) = (tags("a"), [tags("b"), tags("a")].concat());
        let began = std::time::Instant::now();
        let settled = Merge::Union.settle(None, &Value::Array(ours.clone()), &Value::Array(theirs));
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
        let settled = settled.as_array().unwrap();
        assert_eq!(settled.len(), 2 * TAGS);
        assert_eq!((&settled[..TAGS], &settled[TAGS]), (ours.as_slice(), &json!("b0")));
    }

    #[test]
    fn a_value_beats_null_and_a_sum_without_its_base_is_the_latest() {
        assert_eq!(Merge::Max.settle(None, &Value::Null, &json!(3)), json!(3));
        assert_eq!(Merge::Latest.settle(None, &json!(3), &Value::Null), json!(3));
        assert_eq!(Merge::Sum.settle(None, &json!(7), &json!(6)), json!(6));
    }

    proptest! {
        #[test]
        fn symmetric_rules_do_not_care_who_came_first(a in -1000i64..1000, b in -1000i64..1000) {
            for rule in [Merge::Max, Merge::Min] {
                prop_assert_eq!(rule.settle(None, &json!(a), &json!(b)), rule.settle(None, &json!(b), &json!(a)));
            }
        }

        #[test]
        fn a_sum_keeps_both_deltas(base in -1000i64..1000, ours in -100i64..100, theirs in -100i64..100) {
            let settled = Merge::Sum.settle(Some(&json!(base)), &json!(base + ours), &json!(base + theirs));
            prop_assert_eq!(settled, json!(base + ours + theirs));
        }
    }
}

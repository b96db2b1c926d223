//! The synced tables: `/topics`, `/tables`, `/tables/{table}/schema`.

use ryzed_adapters::{Registry, ScopeRule, Table};
use serde_json::{Value, json};

use super::super::answer::{Answer, json, typed};
use super::super::call::Call;
use super::super::problem::Problem;
use crate::auth::Caller;
use crate::sync::UserId;

/// `GET /topics`.
pub(in crate::http) async fn topics(call: Call, caller: Caller) -> Answer {
    json(&json!({"topics": topics_of(&call.app.service.registry, caller.user)}))
}

/// `GET /tables`.
pub(in crate::http) async fn list(call: Call, _caller: Caller) -> Answer {
    let (service, stopped) = (&call.app.service, call.app.service.stopped());
    let mut tables: Vec<Value> = service.registry.iter().map(described).collect();
    for table in tables.iter_mut().filter(|table| table["name"].as_str().is_some_and(|name| stopped.has(name))) {
        table["stopped"] = true.into();
    }
    json(&json!({"tables": tables}))
}

/// `GET /tables/{table}/schema`.
pub(in crate::http) async fn schema(call: Call, _caller: Caller) -> Answer {
    let table = call.app.service.registry.get(&call.name);
    let table =
        table.ok_or_else(|| Problem::not_found("there is no such table; GET /api/realtime/tables lists all"))?;
    typed("application/schema+json", &table.schema)
}

/// The topics that a user may receive: their own of every table, and the catalogue's of tables that have one.
pub(in crate::http) fn topics_of(registry: &Registry, user: UserId) -> Vec<String> {
    let own = registry.iter().map(|table| format!("user:{user}:{}", table.name));
    let catalogue = registry.iter().filter(|table| registry.has_catalogue(table));
    own.chain(catalogue.map(|table| format!("global:{}", table.name))).collect()
}

fn described(table: &Table) -> Value {
    let mut described = json!({
        "name": table.name,
        "domain": table.domain,
        "scope": table.scope.label(),
        "conflict_strategy": table.strategy,
        "columns": table.columns,
    });
    if let ScopeRule::Via { column, parent } = table.scope {
        described["via"] = json!({"column": column, "table": parent});
    }
    described
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn topics_follow_the_scopes() {
        let user = UserId(Uuid::from_u128(1));
        let topics = topics_of(&Registry::standard(), user);
        for there in ["global:foods", "global:workout_template_exercises"] {
            assert!(topics.iter().any(|topic| topic == there), "{there}");
        }
        for not_there in ["global:food_entries", "global:users", "global:exercise_sets"] {
            assert!(topics.iter().all(|topic| topic != not_there), "{not_there}");
        }
        assert_eq!(topics.iter().filter(|topic| topic.starts_with(&format!("user:{user}:"))).count(), 15);
    }
}

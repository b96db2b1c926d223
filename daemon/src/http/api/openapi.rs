//! `/openapi.json`: every route, described. The document is written by hand in `openapi.json` beside this file; what the
//! adapters know, the rows of the tables, is put into it here. Tests hold it to the routes and to real answers.

use ryzed_adapters::Registry;
use serde_json::{Value, json};

use super::super::answer::{Answer, of_json};
use super::super::call::Call;
use super::super::ignored::IGNORED;
use super::super::problem::Problem;
use super::sync::RELEASE;

/// The description without the tables.
const WRITTEN: &str = include_str!("openapi.json");

/// `GET /openapi.json`.
pub(in crate::http) async fn openapi(call: Call) -> Answer {
    let description = &call.app.kept.description;
    if description.get().is_none() {
        let text = document(&call.app.service.registry).and_then(|document| serde_json::to_vec(&document));
        let text = text.map_err(|error| {
            tracing::error!(%error, "the description of the interface can't be read");
            Problem::internal()
        })?;
        let _ = description.set(text.into());
    }
    Ok(of_json(description.get().cloned().unwrap_or_default()))
}

/// The description with a schema for the rows of each table.
fn document(registry: &Registry) -> serde_json::Result<Value> {
    let mut document: Value = serde_json::from_str(WRITTEN)?;
    document["info"]["version"] = json!(RELEASE);
    name_ignored(&mut document);
    for table in registry.iter() {
        let schemas = &mut document["components"]["schemas"];
        schemas[table.name] = table.schema.clone();
        let rows = json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{}", table.name)}});
        schemas["SyncResponse"]["properties"]["changes"]["properties"][table.name] = rows;
    }
    Ok(document)
}

/// Describes the header that names what nothing reads, with each answer that may have it.
fn name_ignored(document: &mut Value) {
    let header = |response: &mut Value| {
        if response.get("$ref").is_none() {
            response["headers"][IGNORED.as_str()] = json!({"$ref": "#/components/headers/Ignored"});
        }
    };
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations =
        paths.filter(|(path, _)| path.starts_with("/api/realtime/")).flat_map(|(_, path)| path.as_object_mut());
    let operations = operations.flatten().filter_map(|(_, operation)| operation["responses"].as_object_mut());
    operations.flatten().for_each(|(_, response)| header(response));
    let shared = document["components"]["responses"].as_object_mut();
    shared.into_iter().flatten().for_each(|(_, response)| header(response));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::routes;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = document(&Registry::standard()).unwrap();
        let described = document["paths"].as_object().unwrap().iter().flat_map(|(path, operations)| {
            operations.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        });
        let mut routes: BTreeSet<String> = routes::table()
            .iter()
            .flat_map(|route| route.endpoints.iter().map(|endpoint| format!("{} {}", endpoint.method, route.path)))
            .collect();
        routes.insert(format!("GET {}", routes::SOCKET));
        assert_eq!(described.collect::<BTreeSet<_>>(), routes);
    }

    #[test]
    fn a_path_names_its_parts_and_an_operation_its_name_once() {
        let document = document(&Registry::standard()).unwrap();
        let mut names = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                assert!(names.insert(operation["operationId"].to_string()), "{path}: its operationId is taken");
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let named: BTreeSet<String> = parameters
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                    .collect();
                let parts = path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned);
                assert_eq!(named, parts.collect(), "{path}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str));
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = document(&Registry::standard()).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let place = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            assert!(place.is_some(), "{reference}");
        }
    }
}

//! The lines of SQL and configuration that a person is advised to paste, and the names in them. Pure.

use super::facts::Facts;
use super::ident::ident;

/// A text as the configuration takes it.
pub(super) fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The beginning of a line to paste, below the sentence that it belongs to.
const BELOW: &str = "\n           ";

/// A line for the configuration's section of a table, below what is said of it, as it can be pasted.
#[must_use]
pub fn setting(table: &str, line: &str) -> String {
    format!("{BELOW}[tables.{table}]{BELOW}{line}")
}

/// The statement that makes the daemon's role, where it is not there yet, before what is granted to it.
pub(super) fn first_the_role(has_role: bool) -> &'static str {
    if has_role { "" } else { "CREATE ROLE ryzed_daemon NOLOGIN; " }
}

/// The problems of the server, apart from its tables, with the statements that solve them.
pub(super) fn server_problems(facts: &Facts) -> Vec<String> {
    let (server, mut problems) = (&facts.server, Vec::new());
    let (user, grantee) = (&server.user, ident(&server.user));
    if !server.may_make_schema {
        let database = ident(&server.database);
        problems
            .push(format!("{user} may not make the schema ryzed: GRANT CREATE ON DATABASE {database} TO {grantee}"));
    }
    if !server.has_role && !server.may_make_role {
        problems.push(format!(
            "{user} may not make the role ryzed_daemon; an administrator runs: CREATE ROLE ryzed_daemon NOLOGIN; GRANT ryzed_daemon TO {grantee}"
        ));
    } else if !server.may_take_role {
        problems.push(format!(
            "{user} may not take the role ryzed_daemon; an administrator runs: GRANT ryzed_daemon TO {grantee}"
        ));
    }
    let joins = server.auth_is_of_authenticated && server.may_be_authenticated;
    if !server.auth_is_open && !joins {
        let first = first_the_role(server.has_role);
        problems.push(if server.auth_is_of_authenticated {
            format!(
                "the schema auth is closed to the daemon's role; an administrator runs: {first}GRANT authenticated TO ryzed_daemon"
            )
        } else {
            format!(
                "the schema auth is closed to the daemon's role; its owner runs: {first}GRANT USAGE ON SCHEMA auth TO ryzed_daemon"
            )
        });
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_sql_needs_it() {
        for (name, wanted) in [
            ("foods", "foods"),
            ("_x1", "_x1"),
            ("end", "\"end\""),
            ("user", "\"user\""),
            ("createdAt", "\"createdAt\""),
            ("My \"Foods\"", "\"My \"\"Foods\"\"\""),
            ("1st", "\"1st\""),
            ("", "\"\""),
        ] {
            assert_eq!(ident(name), wanted);
        }
        assert_eq!(toml_text("a\"b"), "\"a\\\"b\"");
    }

    #[test]
    fn what_is_to_be_pasted_is_good_toml() {
        for name in ["foods", "My \"Foods\"", "a\\b", "a.b"] {
            let pasted = setting("foods", &format!("relation = {}", toml_text(name)));
            let read: toml::Table = toml::from_str(&pasted).unwrap();
            assert_eq!(read["tables"]["foods"]["relation"].as_str(), Some(name), "{pasted}");
        }
    }
}

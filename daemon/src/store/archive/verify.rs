//! Checks that rows and change index agree, as questions in SQL that both backends understand.

use ryzed_adapters::{Registry, ScopeRule, Table};

/// A question and what it means when its answer is not 0.
pub(in crate::store) struct Question {
    /// Returns one number.
    pub sql: String,
    /// The complaint, worded to follow the number.
    pub complaint: String,
}

/// The names of the tables in a backend.
pub(in crate::store) struct Names {
    /// The prefix of a synced table's name.
    pub rows: &'static str,
    /// The change index.
    pub changes: &'static str,
    /// The counters.
    pub scopes: &'static str,
}

/// Each row has one live entry, in the scope of its owner; each live entry has its row; no entry is ahead of its counter.
pub(in crate::store) fn questions(registry: &Registry, names: &Names) -> Vec<Question> {
    let Names { rows, changes, scopes } = names;
    let live = "c.operation <> 'DELETE'";
    let mut questions: Vec<Question> = registry
        .iter()
        .flat_map(|table| {
            let name = table.name;
            let owner = owner(table, changes);
            let unknown = Question {
                sql: format!(
                    "SELECT count(*) FROM {rows}{name} t LEFT JOIN {changes} c ON c.table_name = '{name}' \
                     AND c.row_id = t.id AND {live} WHERE c.scope IS NULL OR c.scope IS DISTINCT FROM {owner}"
                ),
                complaint: format!("rows of {name} that the change index does not have in their owner's scope"),
            };
            let empty = Question {
                sql: format!(
                    "SELECT count(*) FROM {changes} c WHERE c.table_name = '{name}' AND {live} \
                     AND NOT EXISTS (SELECT 1 FROM {rows}{name} t WHERE t.id = c.row_id)"
                ),
                complaint: format!("entries of the change index without their row of {name}"),
            };
            [unknown, empty]
        })
        .collect();
    questions.push(Question {
        sql: format!(
            "SELECT count(*) FROM {changes} c LEFT JOIN {scopes} s ON s.scope = c.scope \
             WHERE s.version IS NULL OR c.version > s.version"
        ),
        complaint: "entries of the change index ahead of their scope's counter".into(),
    });
    questions
}

/// The scope of the row `t`. A child's is its parent's, which is asked about as well.
fn owner(table: &Table, changes: &str) -> String {
    match table.scope {
        ScopeRule::Person => "'user:' || t.id".into(),
        ScopeRule::Owner => "'user:' || t.user_id".into(),
        ScopeRule::OwnerOrGlobal => "coalesce('user:' || t.user_id, 'global')".into(),
        ScopeRule::Via { column, parent } => format!(
            "(SELECT u.scope FROM {changes} u WHERE u.table_name = '{parent}' AND u.row_id = t.{column} \
             AND u.operation <> 'DELETE')"
        ),
    }
}

//! The names that a declared table and its columns may have.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The longest name: PostgreSQL cuts longer ones.
const LONGEST_NAME: usize = 63;

/// The columns that every table has by itself.
const BASE: [&str; 4] = ["id", "user_id", "created_at", "updated_at"];

/// The beginnings of the names of tables that are the daemon's or the database's.
const TAKEN: [&str; 4] = ["ryzed", "sync_", "sqlite_", "pg_"];

/// Names of tables that mean something else: the parts of an archive beside the tables, and functions of SQLite.
const OTHERS: [&str; 8] = ["scopes", "changes", "receipts", "devices", "tokens", "conflicts", "json_each", "json_tree"];

/// Words that SQL keeps for itself, in one of the two databases or in both. Whoever writes SQL would have to quote them.
const OF_SQL: &str = "add all alter analyse analyze and any array as asc asymmetric authorization autoincrement between binary both \
    case cast check collate collation column commit concurrently constraint create cross current_catalog current_date current_role \
    current_schema current_time current_timestamp current_user default deferrable delete desc distinct do drop else end escape \
    except exists false fetch for foreign freeze from full grant group having ilike in index initially inner insert intersect into \
    is isnull join lateral leading left like limit localtime localtimestamp natural not nothing notnull null offset on only or \
    order outer overlaps placing primary references returning right select session_user set similar some symmetric system_user \
    table tablesample then to trailing transaction true union unique update user using values variadic verbose when where window \
    with";

/// The fault of a name, if it can't be a table's or a column's.
pub(super) fn name_fault(name: &str, is_table: bool) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins_well || name.len() > LONGEST_NAME || !name.bytes().all(is_plain) {
        return Some(format!(
            "is no name: one begins with a letter and has up to {LONGEST_NAME} of a to z, 0 to 9 and _"
        ));
    }
    if OF_SQL.split_ascii_whitespace().any(|word| word == name) {
        return Some("is a word of SQL; take another name".into());
    }
    if is_table && (OTHERS.contains(&name) || TAKEN.iter().any(|taken| name.starts_with(taken))) {
        return Some("is a name of the daemon's or of the database's own; take another".into());
    }
    (!is_table && BASE.contains(&name)).then(|| "is on every table that needs it, by itself; leave it out".into())
}

/// The name for as long as the process lives, as tables do. However often the configuration is read, each name is kept once.
pub(super) fn kept(name: &str) -> &'static str {
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = names.get(name) {
        return name;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}

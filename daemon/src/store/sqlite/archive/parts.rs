//! SQL text for each part of an archive: records out as JSON in the order of their keys, and in from JSON.

use ryzed_adapters::{Column, Kind, Table};

use super::super::sql::{number_in, row_kept};
use crate::store::archive::Part;

/// A table of the sidecar: its name, its columns that hold text or numbers, those that hold truths and JSON, and its key.
struct Sidecar {
    table: &'static str,
    plain: &'static [&'static str],
    truths: &'static [&'static str],
    json: &'static [&'static str],
    key: (&'static str, &'static str),
}

const SCOPES: Sidecar = Sidecar {
    table: "sync_scopes",
    plain: &["scope", "version", "floor", "changed_at"],
    truths: &[],
    json: &[],
    key: ("scope", ""),
};
const CHANGES: Sidecar = Sidecar {
    table: "sync_changes",
    plain: &["table_name", "row_id", "scope", "version", "operation", "changed_at", "source_device"],
    truths: &[],
    json: &["field_versions", "previous"],
    key: ("scope", "version"),
};
const RECEIPTS: Sidecar = Sidecar {
    table: "sync_receipts",
    plain: &["user_id", "mutation_id", "created_at"],
    truths: &[],
    json: &["result"],
    key: ("user_id", "mutation_id"),
};
const DEVICES: Sidecar = Sidecar {
    table: "sync_devices",
    plain: &[
        "user_id",
        "device_id",
        "device_type",
        "app_version",
        "name",
        "first_seen",
        "last_seen",
        "last_sync",
        "pending_uploads",
        "revoked_at",
        "barred_at",
        "lost_until",
    ],
    truths: &[],
    json: &["cursor"],
    key: ("user_id", "device_id"),
};
const TOKENS: Sidecar = Sidecar {
    table: "sync_tokens",
    plain: &["user_id", "device_id", "mark", "used_at", "expires_at"],
    truths: &["is_barred"],
    json: &[],
    key: ("user_id", "mark"),
};
const CONFLICTS: Sidecar = Sidecar {
    table: "sync_conflicts",
    plain: &["id", "user_id", "created_at", "place", "bytes"],
    truths: &[],
    json: &["conflict", "mutation"],
    key: ("id", ""),
};

/// The table that holds the part.
pub(super) fn table(part: Part<'_>) -> &str {
    match part {
        Part::Rows(table) => table.name,
        _ => sidecar(part).map_or("", |sidecar| sidecar.table),
    }
}

/// Selects at most `?3` records behind the key `?1`, `?2` (empty texts: from the first): both parts of the key, and the
/// record.
pub(super) fn read(part: Part<'_>) -> String {
    match (part, sidecar(part)) {
        (Part::Rows(table), _) => page(table.name, &row_kept(table.every_column(), "t"), ("id", "")),
        (_, Some(sidecar)) => {
            let plain = sidecar.plain.iter().map(|name| format!("'{name}', t.{name}"));
            let truths = sidecar.truths.iter().map(|name| format!("'{name}', json(iif(t.{name}, 'true', 'false'))"));
            let json = sidecar.json.iter().map(|name| format!("'{name}', json(t.{name})"));
            let pairs: Vec<String> = plain.chain(truths).chain(json).collect();
            page(sidecar.table, &format!("json_object({})", pairs.join(", ")), sidecar.key)
        }
        (_, None) => String::new(),
    }
}

fn page(table: &str, record: &str, (first, second): (&str, &str)) -> String {
    match second {
        "" => format!(
            "SELECT t.{first}, '', {record} FROM {table} t WHERE t.{first} > ?1 AND ?2 = '' ORDER BY t.{first} LIMIT ?3"
        ),
        // The bound text is compared as the number that the column holds; a cast would keep the index from being used.
        "version" => format!(
            "SELECT t.{first}, CAST(t.version AS TEXT), {record} FROM {table} t \
             WHERE (t.{first}, t.version) > (?1, ?2) ORDER BY t.{first}, t.version LIMIT ?3"
        ),
        // Of fixed length, and not alone: the same token may have come with several devices.
        "mark" => format!(
            "SELECT t.{first}, t.mark || t.device_id, {record} FROM {table} t WHERE (t.{first}, t.mark, t.device_id) \
             > (?1, substr(?2, 1, 64), substr(?2, 65)) ORDER BY t.{first}, t.mark, t.device_id LIMIT ?3"
        ),
        _ => format!(
            "SELECT t.{first}, t.{second}, {record} FROM {table} t WHERE (t.{first}, t.{second}) > (?1, ?2) \
             ORDER BY t.{first}, t.{second} LIMIT ?3"
        ),
    }
}

/// Inserts the records in `?1`, a JSON array.
pub(super) fn write(part: Part<'_>) -> String {
    match (part, sidecar(part)) {
        (Part::Rows(table), _) => write_rows(table),
        (_, Some(sidecar)) => {
            let plain = sidecar.plain.iter().chain(sidecar.truths).map(|name| (*name, plain_in(name)));
            let json = sidecar.json.iter().map(|name| (*name, json_in(name)));
            insert(sidecar.table, plain.chain(json))
        }
        (_, None) => String::new(),
    }
}

fn write_rows(table: &Table) -> String {
    let value = |column: &Column| match column.kind {
        Kind::TextList | Kind::Json => json_in(&column.name),
        Kind::Number => number_in(&column.name, "value"),
        _ => plain_in(&column.name),
    };
    insert(table.name, table.every_column().map(|column| (column.name.as_str(), value(column))))
}

fn json_in(name: &str) -> String {
    format!("nullif(value -> '$.{name}', 'null')")
}

fn plain_in(name: &str) -> String {
    format!("value ->> '$.{name}'")
}

fn insert<'n>(table: &str, columns: impl Iterator<Item = (&'n str, String)>) -> String {
    let (names, values): (Vec<&str>, Vec<String>) = columns.unzip();
    format!("INSERT INTO {table} ({}) SELECT {} FROM json_each(?1)", names.join(", "), values.join(", "))
}

fn sidecar(part: Part<'_>) -> Option<&'static Sidecar> {
    match part {
        Part::Scopes => Some(&SCOPES),
        Part::Rows(_) => None,
        Part::Changes => Some(&CHANGES),
        Part::Receipts => Some(&RECEIPTS),
        Part::Devices => Some(&DEVICES),
        Part::Tokens => Some(&TOKENS),
        Part::Conflicts => Some(&CONFLICTS),
    }
}

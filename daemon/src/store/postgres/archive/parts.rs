//! SQL text for each part of an archive: records out as JSON in the order of their keys, and in from JSON.

use super::super::layout::{Layout, quoted};
use super::super::sql::{columns_kept, time_out};
use crate::store::archive::Part;

/// A table of the sidecar: its name, its columns, those of them that hold times, and its key.
struct Sidecar {
    table: &'static str,
    plain: &'static [&'static str],
    times: &'static [&'static str],
    key: &'static str,
}

const SCOPES: Sidecar = Sidecar {
    table: "ryzed.scopes",
    plain: &["scope", "version", "floor"],
    times: &["changed_at"],
    key: "t.scope COLLATE \"C\"",
};
const CHANGES: Sidecar = Sidecar {
    table: "ryzed.changes",
    plain: &["table_name", "row_id", "scope", "version", "operation", "source_device", "field_versions", "previous"],
    times: &["changed_at"],
    key: "t.scope COLLATE \"C\", t.version",
};
const RECEIPTS: Sidecar = Sidecar {
    table: "ryzed.receipts",
    plain: &["user_id", "mutation_id", "result"],
    times: &["created_at"],
    key: "t.user_id, t.mutation_id",
};
const DEVICES: Sidecar = Sidecar {
    table: "ryzed.devices",
    plain: &["user_id", "device_id", "device_type", "app_version", "name", "pending_uploads", "cursor"],
    times: &["first_seen", "last_seen", "last_sync", "revoked_at", "barred_at", "lost_until"],
    key: "t.user_id, t.device_id COLLATE \"C\"",
};
const TOKENS: Sidecar = Sidecar {
    table: "ryzed.tokens",
    plain: &["user_id", "device_id", "mark", "is_barred"],
    times: &["used_at", "expires_at"],
    key: "t.user_id, t.mark COLLATE \"C\", t.device_id COLLATE \"C\"",
};
const CONFLICTS: Sidecar = Sidecar {
    table: "ryzed.conflicts",
    plain: &["id", "user_id", "place", "bytes", "conflict", "mutation"],
    times: &["created_at"],
    key: "t.id",
};

/// The table that holds the part.
pub(super) fn table(part: Part<'_>) -> String {
    match (part, sidecar(part)) {
        (Part::Rows(table), _) => format!("public.{}", table.name),
        (_, sidecar) => sidecar.map_or("", |sidecar| sidecar.table).to_owned(),
    }
}

/// Selects every record.
pub(super) fn read(part: Part<'_>, layout: &Layout) -> String {
    let (columns, key) = match (part, sidecar(part)) {
        (Part::Rows(table), _) => (
            layout.of(table.name).map_or_else(|| "t.*".into(), |place| columns_kept(table.every_column(), place, "t")),
            "t.id",
        ),
        (_, Some(sidecar)) => {
            let plain = sidecar.plain.iter().map(|name| format!("t.{name}"));
            let times = sidecar.times.iter().map(|name| format!("{} AS {name}", time_out(&format!("t.{name}"))));
            let columns: Vec<String> = plain.chain(times).collect();
            (columns.join(", "), sidecar.key)
        }
        (_, None) => ("t.*".into(), "1"),
    };
    format!("SELECT row_to_json(r.*)::text FROM (SELECT {columns} FROM {} t ORDER BY {key}) r", table(part))
}

/// Inserts the records in `?1`, a JSON array.
pub(super) fn write(part: Part<'_>) -> String {
    let names = match (part, sidecar(part)) {
        (Part::Rows(table), _) => {
            table.every_column().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
        }
        (_, sidecar) => {
            let columns = sidecar.into_iter().flat_map(|sidecar| sidecar.plain.iter().chain(sidecar.times));
            columns.copied().collect::<Vec<_>>().join(", ")
        }
    };
    let table = table(part);
    format!("INSERT INTO {table} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{table}, ?1::json)")
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

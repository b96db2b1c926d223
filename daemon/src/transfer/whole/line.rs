//! A line of an archive: written from a record, and read back with a complaint that says what is wrong with it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, TimeDelta, Utc};
use ryzed_adapters::{Registry, Table, format_time};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{End, FORMAT, Header};
use crate::store::archive::Part;

/// For how long tokens are taken to live that an earlier release has not noted.
const FORGOTTEN: TimeDelta = TimeDelta::days(30);

/// The content of a line.
pub(super) enum ArchiveLine<'r, 'l> {
    Header(Header),
    Record { part: Part<'r>, record: Record<'l> },
    End(End),
}

/// A record as JSON: as it stands in the line, or with defaults for what it does not bring.
pub(super) type Record<'l> = std::borrow::Cow<'l, str>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'l> {
    ryzed: Option<Header>,
    end: Option<End>,
    table: Option<String>,
    #[serde(borrow)]
    row: Option<&'l RawValue>,
    scope: Option<&'l RawValue>,
    change: Option<&'l RawValue>,
    receipt: Option<&'l RawValue>,
    device: Option<&'l RawValue>,
    #[serde(borrow)]
    token: Option<&'l RawValue>,
    conflict: Option<&'l RawValue>,
}

/// Reads a line.
pub(super) fn read<'r, 'l>(registry: &'r Registry, line: &'l str) -> Result<ArchiveLine<'r, 'l>, String> {
    let members: Members<'l> =
        serde_json::from_str(line).map_err(|error| format!("is no line of an archive: {error}"))?;
    let Members { ryzed, end, table, row, scope, change, receipt, device, token, conflict } = members;
    let mut found: Vec<ArchiveLine<'r, 'l>> = Vec::new();
    if let Some(header) = ryzed {
        if header.format != FORMAT {
            return Err(format!("says form {}; this release reads {FORMAT}", header.format));
        }
        found.push(ArchiveLine::Header(header));
    }
    found.extend(end.map(ArchiveLine::End));
    match (table, row) {
        (Some(name), Some(row)) => {
            let table =
                registry.get(&name).ok_or_else(|| format!("is of the table {name:?}, which is none of ours"))?;
            found.push(ArchiveLine::Record { part: Part::Rows(table), record: whole(table, row)? });
        }
        (None, None) => {}
        _ => return Err("has no table or no row".into()),
    }
    let sidecar = [
        (Part::Scopes, scope),
        (Part::Changes, change),
        (Part::Receipts, receipt),
        (Part::Devices, device),
        (Part::Tokens, token),
        (Part::Conflicts, conflict),
    ];
    let records = sidecar.into_iter().filter_map(|(part, record)| Some((part, record?)));
    found.extend(records.map(|(part, record)| ArchiveLine::Record { part, record: record.get().into() }));
    match (found.pop(), found.is_empty()) {
        (Some(ArchiveLine::Record { part: Part::Devices, record }), true) => {
            Ok(ArchiveLine::Record { part: Part::Devices, record: device_of(record)? })
        }
        (Some(line), true) => Ok(line),
        _ => Err("does not say exactly one thing".into()),
    }
}

/// The row with every column of its table. An archive of an earlier release may know fewer, never more.
fn whole<'l>(table: &Table, row: &'l RawValue) -> Result<Record<'l>, String> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(row.get()).map_err(|error| format!("has a row that is no JSON object: {error}"))?;
    if let Some(strange) = fields.keys().find(|name| table.every_column().all(|column| column.name != **name)) {
        return Err(format!("has a column {strange:?}, which {} does not have here", table.name));
    }
    let mut added = String::new();
    for column in table.every_column().filter(|column| !fields.contains_key(&column.name)) {
        match &column.default {
            Some(default) => added += &format!(",\"{}\":{default}", column.name),
            None if column.nullable => {}
            None => return Err(format!("lacks the column {:?} of {}", column.name, table.name)),
        }
    }
    if added.is_empty() {
        return Ok(row.get().into());
    }
    let open = row.get().trim_end().strip_suffix('}').unwrap_or_default();
    Ok(format!("{open}{added}}}").into())
}

/// A device with everything that is kept of one. Earlier releases did not note what a device came with, so that for a while any
/// older token counts as such.
fn device_of(device: Record<'_>) -> Result<Record<'_>, String> {
    #[derive(Deserialize)]
    struct Known {
        last_seen: DateTime<Utc>,
        revoked_at: Option<DateTime<Utc>>,
        #[serde(default, deserialize_with = "given")]
        lost_until: Option<IgnoredAny>,
    }
    let known: Known = serde_json::from_str(&device).map_err(|error| format!("has a device that is none: {error}"))?;
    if known.lost_until.is_some() {
        return Ok(device);
    }
    let open = device.trim_end().strip_suffix('}').unwrap_or_default();
    let lost_until = known.revoked_at.unwrap_or(known.last_seen) + FORGOTTEN;
    Ok(format!("{open},\"lost_until\":\"{}\"}}", format_time(lost_until)).into())
}

/// Tells `null` from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(Some)
}

/// Writes a line that says one thing.
pub(super) fn write(to: &mut (dyn Write + Send), name: &str, what: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(what)?;
    writeln!(to, "{{\"{name}\":{json}}}")
}

/// Writes the line of a record, which is JSON on one line.
pub(super) fn write_record(to: &mut (dyn Write + Send), part: Part<'_>, record: &str) -> io::Result<()> {
    match part {
        Part::Scopes => writeln!(to, "{{\"scope\":{record}}}"),
        Part::Rows(table) => writeln!(to, "{{\"table\":\"{}\",\"row\":{record}}}", table.name),
        Part::Changes => writeln!(to, "{{\"change\":{record}}}"),
        Part::Receipts => writeln!(to, "{{\"receipt\":{record}}}"),
        Part::Devices => writeln!(to, "{{\"device\":{record}}}"),
        Part::Tokens => writeln!(to, "{{\"token\":{record}}}"),
        Part::Conflicts => writeln!(to, "{{\"conflict\":{record}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(line: &str) -> String {
        read(&Registry::standard(), line).err().expect("a complaint")
    }

    #[test]
    fn what_is_written_is_read() {
        let registry = Registry::standard();
        let device = r#"{"last_seen":"2026-01-01T00:00:00.000000Z","revoked_at":null,"lost_until":null}"#;
        let row = r#"{"id":"a","email":null,"name":"b","is_onboarded":false,"created_at":"c","updated_at":"d"}"#;
        for part in Part::all(&registry).filter(|part| !matches!(part, Part::Rows(table) if table.name != "users")) {
            let row = if matches!(part, Part::Devices) { device } else { row };
            let mut line = Vec::new();
            write_record(&mut line, part, row).unwrap();
            let line = String::from_utf8(line).unwrap();
            let Ok(ArchiveLine::Record { part: found, record }) = read(&registry, &line) else { panic!("{line}") };
            assert_eq!((found.name(), record.as_ref()), (part.name(), row));
        }
    }

    #[test]
    fn a_row_of_an_earlier_release_gets_defaults() {
        let registry = Registry::standard();
        let line = r#"{"table":"users","row":{"id":"a","created_at":"c","updated_at":"d"}}"#;
        let Ok(ArchiveLine::Record { record, .. }) = read(&registry, line) else { panic!("no record") };
        assert_eq!(record, r#"{"id":"a","created_at":"c","updated_at":"d","is_onboarded":false}"#);
    }

    #[test]
    fn of_a_device_of_an_earlier_release_nobody_knows_what_it_came_with() {
        let read = |device: &str| {
            let line = format!("{{\"device\":{device}}}");
            match read(&Registry::standard(), &line) {
                Ok(ArchiveLine::Record { record, .. }) => record.into_owned(),
                _ => panic!("{device}"),
            }
        };
        let used = r#"{"last_seen":"2026-01-01T00:00:00.000000Z","revoked_at":null"#;
        assert_eq!(read(&format!("{used}}}")), format!(r#"{used},"lost_until":"2026-01-31T00:00:00.000000Z"}}"#));
        assert_eq!(read(&format!("{used},\"lost_until\":null}}")), format!("{used},\"lost_until\":null}}"));
        assert!(complaint(r#"{"device":{"last_seen":"then"}}"#).contains("device"));
    }

    #[test]
    fn what_would_be_lost_or_guessed_is_refused() {
        assert!(complaint(r#"{"table":"users","row":{"id":"a","colour":1}}"#).contains("colour"));
        assert!(complaint(r#"{"table":"users","row":{"id":"a"}}"#).contains("created_at"));
        assert!(complaint(r#"{"table":"shoes","row":{}}"#).contains("shoes"));
        assert!(complaint(r#"{"table":"users"}"#).contains("no row"));
        assert!(complaint(r#"{"scope":{},"device":{}}"#).contains("exactly one"));
        assert!(complaint("{}").contains("exactly one"));
        assert!(complaint(r#"{"walk":{}}"#).contains("walk"));
        let header = r#"{"format":9,"version":"1","made_at":"","epoch":"e","sealed":true,"records":0}"#;
        assert!(complaint(&format!("{{\"ryzed\":{header}}}")).contains("form 9"));
    }
}

//! The digests' sums, kept beside the index: triggers on the index itself subtract an entry's old part and add its new
//! one, so that no writer can forget to. They run in every connection that writes, and use nothing newer than SQLite
//! 3.38.

use std::collections::BTreeSet;

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::reads::json;
use crate::store::StoreError;
use crate::store::decode::Sums;
use crate::store::statement::{Statement, statement};
use crate::sync::Scope;
use crate::sync::digest::Hash;

/// The stored sums of these scopes, by table.
pub(super) fn of(scopes: &[Scope]) -> Statement<'static, Sums> {
    statement(
        "SELECT table_name, rows, version_sum, hash_p, hash_q FROM sync_sums \
         WHERE scope IN (SELECT value FROM json_each(?1)) AND rows <> 0",
    )
    .text(json(&scopes))
}

/// Puts the triggers up unless they stand, and counts everything then: rows may have come and gone unseen. Whether it had to.
pub(super) fn stand(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let standing =
        "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'count\\_changes\\_%' ESCAPE '\\'";
    let standing: BTreeSet<String> = statement::<Text>(standing).load(connection)?.into_iter().collect();
    let wanted = triggers();
    if wanted.iter().all(|(_, trigger)| standing.contains(trigger)) {
        return Ok(false);
    }
    for (name, trigger) in &wanted {
        connection.batch_execute(&format!("DROP TRIGGER IF EXISTS {name}; {trigger}"))?;
    }
    connection.batch_execute(&format!("DELETE FROM sync_sums; INSERT INTO sync_sums {}", counted("TRUE")))?;
    Ok(true)
}

/// The scopes behind `?1`, at most `?2`, in order.
pub(super) const SCOPES_AFTER: &str = "SELECT scope FROM sync_scopes WHERE scope > ?1 ORDER BY scope LIMIT ?2";

/// The query for the tables whose sums differ from the index, in the scopes of `?1`.
pub(super) fn miscounted() -> String {
    let (kept, counted) = (
        "SELECT scope, table_name, rows, version_sum, hash_p, hash_q FROM sync_sums \
         WHERE rows <> 0 AND scope IN (SELECT value FROM json_each(?1))",
        counted("scope IN (SELECT value FROM json_each(?1))"),
    );
    format!(
        "WITH kept AS MATERIALIZED ({kept}), counted AS MATERIALIZED ({counted}) SELECT DISTINCT table_name FROM \
         (SELECT * FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted) \
         UNION ALL SELECT * FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept))"
    )
}

/// Counts the scopes in `?1` anew; two statements.
pub(super) fn recount() -> [String; 2] {
    [
        "DELETE FROM sync_sums WHERE scope IN (SELECT value FROM json_each(?1))".into(),
        format!("INSERT INTO sync_sums {}", counted("scope IN (SELECT value FROM json_each(?1))")),
    ]
}

/// The sums of the index entries where `is_wanted`.
fn counted(is_wanted: &str) -> String {
    let [p, q] = Hash::PRIMES;
    // Each in a step of its own that is not taken apart: what is named several times would be worked out as often.
    format!(
        "SELECT scope, table_name, count(*) AS rows, sum(version) AS version_sum, \
         sum(p * p % {p} * p % {p} * (version % {p}) % {p}) % {p} AS hash_p, \
         sum(q * q % {q} * q % {q} * (version % {q}) % {q}) % {q} AS hash_q FROM ( \
         WITH parts AS MATERIALIZED (SELECT scope, table_name, version, {} FROM sync_changes WHERE operation <> 'DELETE' AND {is_wanted}), \
         numbers AS MATERIALIZED (SELECT scope, table_name, version, {} FROM parts) SELECT * FROM numbers) GROUP BY scope, table_name",
        parts("row_id"),
        numbers(),
    )
}

/// The triggers, with their names.
fn triggers() -> [(&'static str, String); 4] {
    let is_live = |row: &str| format!("({row}.operation <> 'DELETE')");
    let (now, was) = (is_live("NEW"), is_live("OLD"));
    let difference = Part {
        row: "NEW",
        rows: format!("{now} - {was}"),
        versions: format!("{now} * NEW.version - {was} * OLD.version"),
        residue: |prime| {
            format!(
                "((NEW.operation <> 'DELETE') * (NEW.version % {prime}) - (OLD.operation <> 'DELETE') * (OLD.version % {prime}))"
            )
        },
    };
    let comes = Part {
        row: "NEW",
        rows: "1".into(),
        versions: "NEW.version".into(),
        residue: |prime| format!("(NEW.version % {prime})"),
    };
    let goes = Part {
        row: "OLD",
        rows: "-1".into(),
        versions: "-OLD.version".into(),
        residue: |prime| format!("-(OLD.version % {prime})"),
    };
    let is_same = "NEW.scope = OLD.scope AND NEW.table_name = OLD.table_name AND NEW.row_id = OLD.row_id";
    [
        (
            "count_changes_insert",
            format!(
                "CREATE TRIGGER count_changes_insert AFTER INSERT ON sync_changes WHEN {now} BEGIN {} END",
                comes.added("")
            ),
        ),
        (
            "count_changes_update",
            format!(
                "CREATE TRIGGER count_changes_update AFTER UPDATE OF version, operation ON sync_changes \
                 WHEN {is_same} AND ({now} OR {was}) BEGIN {} END",
                difference.added("")
            ),
        ),
        (
            "count_changes_move",
            format!(
                "CREATE TRIGGER count_changes_move AFTER UPDATE OF scope, table_name, row_id ON sync_changes \
                 WHEN NOT ({is_same}) BEGIN {} {} END",
                goes.added(&format!("AND {was}")),
                comes.added(&format!("AND {now}"))
            ),
        ),
        (
            "count_changes_delete",
            format!(
                "CREATE TRIGGER count_changes_delete AFTER DELETE ON sync_changes WHEN {was} BEGIN {} END",
                goes.added("")
            ),
        ),
    ]
}

/// One entry's contribution to the sums.
struct Part {
    /// The row of the trigger whose id and place count.
    row: &'static str,
    rows: String,
    versions: String,
    /// By what the weight is multiplied, modulo a prime.
    residue: fn(u64) -> String,
}

impl Part {
    fn added(&self, also: &str) -> String {
        let (Self { row, rows, versions, residue }, [p, q]) = (self, Hash::PRIMES);
        // What is subtracted is brought back above zero: `%` keeps the sign.
        format!(
            "INSERT INTO sync_sums (scope, table_name, rows, version_sum, hash_p, hash_q) \
             SELECT {row}.scope, {row}.table_name, {rows}, {versions}, \
             (p * p % {p} * p % {p} * {} % {p} + {p}) % {p}, (q * q % {q} * q % {q} * {} % {q} + {q}) % {q} \
             FROM (SELECT {} FROM (SELECT {})) WHERE TRUE {also} \
             ON CONFLICT (scope, table_name) DO UPDATE SET rows = rows + excluded.rows, \
             version_sum = version_sum + excluded.version_sum, hash_p = (hash_p + excluded.hash_p) % {p}, \
             hash_q = (hash_q + excluded.hash_q) % {q};",
            residue(p),
            residue(q),
            numbers(),
            parts(&format!("{row}.row_id")),
        )
    }
}

/// An id without its dashes as four numbers of 16 decimal digits: what `hex` makes of eight characters. `d` has more when the id
/// has, and one is less where a code has a letter.
fn parts(id: &str) -> String {
    let part =
        |name: &str, range: &str| format!("CAST(hex(substr(replace({id}, '-', ''), {range})) AS INTEGER) AS {name}");
    [part("a", "1, 8"), part("b", "9, 8"), part("c", "17, 8"), part("d", "25")].join(", ")
}

/// The number of the id modulo each prime, of its parts; nothing exceeds 63 bits.
fn numbers() -> String {
    let number = |name: &str, prime: u64| {
        let shift = 10_000_000_000_000_000 % prime;
        format!(
            "CASE WHEN a > 999999999999999 AND b > 999999999999999 AND c > 999999999999999 AND d > 999999999999999 AND d < 10000000000000000 \
             THEN (((a % {prime} * {shift} + b) % {prime} * {shift} + c) % {prime} * {shift} + d) % {prime} ELSE 1 END AS {name}"
        )
    };
    let [p, q] = Hash::PRIMES;
    format!("{}, {}", number("p", p), number("q", q))
}

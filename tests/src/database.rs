//! The database as somebody with SQL sees it: another program that writes while the daemon runs.

use std::path::PathBuf;
use std::process::Command;

use crate::postgres;

/// A way to run SQL that the daemon knows nothing of.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// The URL of a database on a server.
    Postgres(String),
}

impl Database {
    /// Runs statements; returns what they print, a line a row, columns parted by `|`.
    pub fn run(&self, sql: &str) -> String {
        match self {
            Self::Sqlite(file) => sqlite3(file, sql),
            Self::Postgres(url) => postgres::psql(url, sql).unwrap_or_else(|error| panic!("{error}")),
        }
    }

    /// True if the database finds nothing wrong with itself.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Sqlite(_) => {
                self.run("PRAGMA integrity_check") == "ok" && self.run("PRAGMA foreign_key_check").is_empty()
            }
            // The server looks after its files; what is ours is that each row has one live entry and each entry its row.
            Self::Postgres(_) => {
                let tables = self.run("SELECT table_name FROM ryzed.tables");
                tables.lines().all(|table| {
                    self.run(&format!(
                        "SELECT count(*) FROM (SELECT row_id FROM ryzed.changes WHERE table_name = '{table}' \
                         AND operation <> 'DELETE') c FULL JOIN public.{table} t ON t.id = c.row_id \
                         WHERE t.id IS NULL OR c.row_id IS NULL"
                    )) == "0"
                        && self.run(&format!(
                            "SELECT count(*) FROM (SELECT FROM ryzed.changes WHERE table_name = '{table}' \
                             AND operation <> 'DELETE' GROUP BY row_id HAVING count(*) > 1) c"
                        )) == "0"
                })
            }
        }
    }

    /// Makes a person's tombstones look older than any daemon keeps them.
    pub fn age_tombstones(&self, user: uuid::Uuid) {
        let changes = self.changes();
        self.run(&format!(
            "UPDATE {changes} SET changed_at = '2001-01-01T00:00:00.000000Z' \
             WHERE operation = 'DELETE' AND scope = 'user:{user}'"
        ));
    }

    /// The number of tombstones that are kept of a person.
    #[must_use]
    pub fn tombstones(&self, user: uuid::Uuid) -> String {
        let changes = self.changes();
        self.run(&format!("SELECT count(*) FROM {changes} WHERE operation = 'DELETE' AND scope = 'user:{user}'"))
    }

    /// Registers so many devices, each another person's.
    pub fn fill_devices(&self, count: usize) {
        const NOW: &str = "2026-01-01T00:00:00.000000Z";
        let people = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
        self.run(&match self {
            Self::Sqlite(_) => format!(
                "{people} INSERT INTO sync_devices (user_id, device_id, first_seen, last_seen) \
                 SELECT printf('00000000-0000-4000-8000-%012d', i), 'phone', '{NOW}', '{NOW}' FROM n"
            ),
            Self::Postgres(_) => format!(
                "INSERT INTO ryzed.devices (user_id, device_id, first_seen, last_seen) \
                 SELECT gen_random_uuid(), 'phone', '{NOW}', '{NOW}' FROM generate_series(1, {count})"
            ),
        });
    }

    /// Marks a device as revoked, as another daemon would that has told nobody.
    pub fn revoke(&self, user: uuid::Uuid, device: &str) {
        let (devices, now) = match self {
            Self::Sqlite(_) => ("sync_devices", "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"),
            Self::Postgres(_) => ("ryzed.devices", "now()"),
        };
        self.run(&format!(
            "UPDATE {devices} SET revoked_at = {now} WHERE user_id = '{user}' AND device_id = '{device}'"
        ));
    }

    fn changes(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sync_changes",
            Self::Postgres(_) => "ryzed.changes",
        }
    }
}

fn sqlite3(file: &std::path::Path, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .args(["-batch", "-bail", "-cmd", ".timeout 10000", "-cmd", "PRAGMA foreign_keys = ON"])
        .arg(file)
        .arg(sql)
        .output()
        .expect("the story needs the sqlite3 shell: apt-get install sqlite3");
    assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

//! The database as somebody with SQL sees it: another program that writes while the daemon runs.

use std::path::PathBuf;
use std::process::Command;

/// A way to run SQL that the daemon knows nothing of.
#[derive(Debug, Clone)]
pub struct Database {
    file: PathBuf,
}

impl Database {
    /// A SQLite file.
    #[must_use]
    pub fn sqlite(file: PathBuf) -> Self {
        Self { file }
    }

    /// Runs statements; returns what they print, a line a row, columns parted by `|`.
    pub fn run(&self, sql: &str) -> String {
        let output = Command::new("sqlite3")
            .args(["-batch", "-bail", "-cmd", ".timeout 10000", "-cmd", "PRAGMA foreign_keys = ON"])
            .arg(&self.file)
            .arg(sql)
            .output()
            .expect("the story needs the sqlite3 shell: apt-get install sqlite3");
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Whether the database finds nothing wrong with itself.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.run("PRAGMA integrity_check") == "ok" && self.run("PRAGMA foreign_key_check").is_empty()
    }

    /// Makes a person's tombstones look older than any daemon keeps them.
    pub fn age_tombstones(&self, user: uuid::Uuid) {
        self.run(&format!(
            "UPDATE sync_changes SET changed_at = '2001-01-01T00:00:00.000000Z' \
             WHERE operation = 'DELETE' AND scope = 'user:{user}'"
        ));
    }

    /// How many tombstones of a person are kept.
    #[must_use]
    pub fn tombstones(&self, user: uuid::Uuid) -> String {
        self.run(&format!("SELECT count(*) FROM sync_changes WHERE operation = 'DELETE' AND scope = 'user:{user}'"))
    }
}

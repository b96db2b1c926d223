//! A whole database taken elsewhere: where it is, and what it has gone through.

mod lived;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{command, ryzed};
use crate::{Account, Daemon, Ran, postgres};

pub use lived::{Lived, live};

const URL: &str = "RYZED_DATABASE__URL";

/// A database, which may not be there yet.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    url: String,
}

impl Place {
    /// A database in a file.
    #[must_use]
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("moved.db").display());
        Self { folder, url }
    }

    /// A database on the server that all stories share.
    #[must_use]
    pub fn postgres() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), url: postgres::new_database() }
    }

    /// On the database that the stories run on.
    #[must_use]
    pub fn usual() -> Self {
        if postgres::is_wanted() { Self::postgres() } else { Self::sqlite() }
    }

    /// A daemon on it.
    #[must_use]
    pub fn serve(&self) -> Daemon {
        Daemon::builder().env(URL, &self.url).start()
    }

    /// Runs `ryzed` on it to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        ryzed(self.folder.path(), &[(URL, &self.url)], arguments)
    }

    /// The same command, not run yet.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), &[(URL, &self.url)], arguments)
    }

    /// A file beside it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The database in a file.
    pub fn export(&self, name: &str, more: &[&str]) -> PathBuf {
        let file = self.file(name);
        let path = file.to_str().expect("a path");
        self.run(&[&["export", "--all", "--output", path], more].concat()).ok();
        file
    }

    /// Fills it from a file.
    #[must_use]
    pub fn import(&self, file: &Path) -> Ran {
        self.run(&["import", "--all", file.to_str().expect("a path")])
    }

    /// The output of a daemon that is started on it and must refuse.
    #[must_use]
    pub fn refusal_to_serve(&self) -> String {
        let ran = ryzed(self.folder.path(), &[(URL, &self.url), ("RYZED_SERVER__LISTEN", "127.0.0.1:0")], &["serve"]);
        assert_eq!(ran.code, 2, "{}", ran.said());
        ran.stderr
    }
}

/// Ends a daemon well.
pub async fn stop(daemon: &mut Daemon) {
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
}

/// Counts and sums of what a person has.
pub async fn digest(me: &Account) -> Value {
    me.api.get("/digest").await.ok()
}

/// An archive without its header, which says when it was made.
#[must_use]
pub fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("an archive");
    text.lines().skip(1).map(str::to_owned).collect()
}

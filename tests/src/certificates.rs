//! Certificates that `openssl` makes in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

impl Default for Authority {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        openssl(
            folder.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority",
        );
        Self { folder }
    }
}

impl Authority {
    /// The certificate that who trusts it names.
    #[must_use]
    pub fn pem(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The files of a certificate for `localhost` and of its key.
    #[must_use]
    pub fn sign(&self) -> (PathBuf, PathBuf) {
        let folder = self.folder.path();
        std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").expect("a file");
        openssl(
            folder,
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out request -subj /CN=localhost",
        );
        openssl(
            folder,
            "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
        );
        (folder.join("server.pem"), folder.join("key.pem"))
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().expect("the story needs openssl: run scripts/setup");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
